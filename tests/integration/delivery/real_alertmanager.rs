//! A real Alertmanager, as Debian packages it, takes what we post.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use throughline::{clock::Clock, domain::notify::delivery::AttemptClass::Delivered};

use super::world::TestBench;
use crate::support::{
    api::{client, until},
    service::free_port,
};

/// As Debian calls it, and as it calls itself.
const PROGRAMS: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];

struct Alertmanager {
    child: Child,
    url: String,
    _home: TempDir,
}

impl Alertmanager {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("alertmanager.yml");
        std::fs::write(
            &config,
            "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n",
        )
        .unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let spawn = |program: &str| {
            Command::new(program)
                .arg(flag("config.file", &config))
                .arg(flag("storage.path", &home.path().join("data")))
                .arg(format!("--web.listen-address={address}"))
                .arg("--cluster.listen-address=")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        let child = PROGRAMS.iter().find_map(|program| spawn(program).ok());
        let child = child.expect("an Alertmanager is missing: `.dev/setup tests` installs it");
        let started = Self {
            child,
            url: format!("http://{address}"),
            _home: home,
        };
        until("an Alertmanager", async || {
            let ready = client()
                .get(format!("{}/-/ready", started.url))
                .send()
                .await;
            ready.ok()?.status().is_success().then_some(())
        })
        .await;
        started
    }

    async fn alerts(&self) -> Vec<Value> {
        let url = format!("{}/api/v2/alerts", self.url);
        let text = client()
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[tokio::test]
async fn a_real_alertmanager_shows_an_alert_while_it_fires_and_not_after() {
    let mut world = TestBench::create().await;
    // It compares what it is told with its own clock.
    world.now = Clock::System.now();
    let alertmanager = Alertmanager::start().await;
    let target = world.declare_alertmanager("am", &[&alertmanager.url]);
    world.labels = [
        ("service.name", "shop"),
        ("1st", "<!channel> & \"quoted\" \\ ✓"),
        ("empty", ""),
        ("team", "payments"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    world.fires("checkout", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    let alerts = alertmanager.alerts().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["status"]["state"], "active");
    assert_eq!(
        alerts[0]["labels"],
        json!({
            "_1st": "<!channel> & \"quoted\" \\ ✓",
            "alertname": "checkout",
            "service": "checkout",
            "service_name": "shop",
            "severity": "page",
            "slo": "checkout",
            "team": "payments",
        })
    );
    world.resolves("checkout", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    // It is asked a millisecond too early perhaps: an alert lasts so long at least.
    until("the end of the alert", async || {
        alertmanager.alerts().await.is_empty().then_some(())
    })
    .await;
}
