//! What a running service says of itself over HTTP.

use std::time::Duration;

use serde_json::Value;
use throughline::domain::model::counts::EventCounts;
use tokio::time::{sleep, timeout};

/// For what takes a second or two when nobody else is at work.
pub(crate) const LONG_ENOUGH: Duration = Duration::from_mins(1);
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// The addresses of a service, without a path.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) client: reqwest::Client,
    pub(crate) grpc: String,
    pub(crate) http: String,
    pub(crate) pages: String,
}

impl Api {
    /// `None` if there was no answer.
    pub(crate) async fn status(&self, path: &str) -> Option<u16> {
        let url = format!("{}{path}", self.pages);
        let response = self.client.get(url).send().await.ok()?;
        Some(response.status().as_u16())
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.pages);
        let response = self.client.get(url).send().await.expect("an answer");
        response.text().await.expect("the whole answer")
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let text = self.text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("`{path}` is no JSON: {text}"))
    }

    /// As `GET /api/v1/slos/{slo}` has them at this moment.
    pub(crate) async fn counts(&self, slo: &str) -> EventCounts {
        let view = self.json(&format!("/api/v1/slos/{slo}")).await;
        serde_json::from_value(view["counts"].clone())
            .unwrap_or_else(|error| panic!("no counts, {error}: {view}"))
    }

    /// One sample of `/metrics`, by its name and labels.
    pub(crate) async fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.text("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(sample))?;
        value.trim().parse().ok()
    }

    /// Waits until the counts are these; fails with those that there are instead.
    pub(crate) async fn counts_become(&self, slo: &str, expected: EventCounts) {
        let becoming = async {
            while self.counts(slo).await != expected {
                sleep(POLL_INTERVAL).await;
            }
        };
        if timeout(LONG_ENOUGH / 2, becoming).await.is_err() {
            assert_eq!(self.counts(slo).await, expected);
        }
    }

    /// Waits until the service has done so again, from its begin to its end.
    pub(crate) async fn has_ticked(&self, name: &str) {
        let ticks = self.ticks(name).await;
        until("a tick", async || {
            (self.ticks(name).await >= ticks + 2.0).then_some(())
        })
        .await;
    }

    /// How often it was done, well or not.
    async fn ticks(&self, name: &str) -> f64 {
        let mut ticks = 0.0;
        for result in ["failed", "ok"] {
            let labels = format!("{{loop=\"{name}\",result=\"{result}\"}}");
            let sample = format!("throughline_loop_turn_duration_seconds_count{labels}");
            ticks += self.metric(&sample).await.unwrap_or(0.0);
        }
        ticks
    }
}

/// Asks until there is an answer; fails if that takes unreasonably long.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    timeout(LONG_ENOUGH, looking)
        .await
        .unwrap_or_else(|_| panic!("waited for this in vain: {what}"))
}

/// An HTTP client as the tests need it: local, and told of every redirect.
pub(crate) fn client() -> reqwest::Client {
    // Only the first of all tests installs it; for the others it is there already.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}
