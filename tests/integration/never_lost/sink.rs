//! A target for thousands of notifications, that behaves as it is told at the moment and notes what it
//! took.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::{task::JoinSet, time::sleep};

use crate::support::receiver::listen;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Fine,
    /// Every fourth time an error, every twentieth time it takes what it got and says nothing.
    Flaky,
    Away,
    /// As long as half of the timeout.
    Slow,
    /// Never says a word, and takes nothing.
    Silent,
    /// Wants to be left alone for a minute, always.
    Limited,
    Gone,
}

/// What tests give a target that says nothing.
pub(super) const TIMEOUT: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub(super) struct Sink {
    pub(super) url: String,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    conduct: Mutex<Conduct>,
    random: Mutex<StdRng>,
    taken: Mutex<Vec<Taken>>,
}

/// A transition that the target knows of from now on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Taken {
    pub(super) key: String,
    pub(super) version: i64,
}

impl Sink {
    pub(super) async fn start(conduct: Conduct, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            conduct: Mutex::new(conduct),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            taken: Mutex::default(),
        });
        let (listener, url) = listen().await;
        let service = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, service).await.expect("it serves");
        });
        Self {
            url,
            shared,
            _server: server,
        }
    }

    pub(super) fn behave(&self, conduct: Conduct) {
        *self.shared.conduct.lock().unwrap() = conduct;
    }

    /// In the order of arrival.
    pub(super) fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let conduct = *shared.conduct.lock().unwrap();
    let chance = shared.random.lock().unwrap().random_range(0..20);
    match conduct {
        Conduct::Flaky if chance == 0 => {
            take(&shared, &body);
            std::future::pending().await
        }
        Conduct::Flaky if chance <= 5 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Conduct::Fine | Conduct::Flaky => {
            take(&shared, &body);
            StatusCode::OK.into_response()
        }
        Conduct::Slow => {
            take(&shared, &body);
            sleep(TIMEOUT / 2).await;
            StatusCode::OK.into_response()
        }
        Conduct::Away => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Conduct::Silent => std::future::pending().await,
        Conduct::Limited => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "60")]).into_response(),
        Conduct::Gone => StatusCode::GONE.into_response(),
    }
}

fn take(shared: &Shared, body: &[u8]) {
    let told: Value = serde_json::from_slice(body).expect("the body is JSON");
    let data = &told["data"];
    shared.taken.lock().unwrap().push(Taken {
        key: data["alert_key"].as_str().expect("a key").to_owned(),
        version: data["version"].as_i64().expect("a version"),
    });
}
