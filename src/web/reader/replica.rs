//! Reads of pages from a replica of the database, and how old their data is.
//!
//! A request is answered from the replica if it only reads, and if the replica has the sender's
//! last write. The service knows its own writes, and a cookie has the time of those at other
//! replicas of the service. If the database replica fails, the primary answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use tokio::sync::watch;

use crate::{
    domain::model::{format, time::Timestamp},
    store::Store,
    web::{access::session, state::WebState},
};

/// The cookie with the time of the last write of a browser.
const COOKIE: &str = "written";
/// Longer than the replica may lag, in seconds.
const COOKIE_LASTS: u64 = 120;
/// A replica that lags more is not read.
const LARGEST_LAG: Duration = Duration::from_mins(1);
/// A page shows the age of its data if it is larger than this.
const NOTABLE_LAG: Duration = Duration::from_secs(5);

tokio::task_local! {
    static SOURCE: ReplicaSource;
}

/// The database replica that pages may read from. Clones share everything.
#[derive(Clone, Debug)]
pub struct ReadReplica {
    store: Store,
    /// The time until which it has all commits; `None` while it does not answer.
    complete_until: watch::Receiver<Option<Timestamp>>,
    /// The last write by this service, in microseconds.
    written_at: Arc<AtomicI64>,
}

/// The source of the reads of the current request.
#[derive(Clone, Debug)]
struct ReplicaSource {
    store: Store,
    lag: Duration,
    /// True if anything was read from it.
    is_used: Arc<AtomicBool>,
}

impl ReplicaSource {
    fn read(&self) -> Store {
        self.is_used.store(true, Ordering::Relaxed);
        self.store.clone()
    }
}

impl ReadReplica {
    pub fn new(store: Store, complete_until: watch::Receiver<Option<Timestamp>>) -> Self {
        Self {
            store,
            complete_until,
            written_at: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    fn note_write(&self, at: Timestamp) {
        self.written_at.fetch_max(at.as_micros(), Ordering::Relaxed);
    }

    /// Returns the replica if it has all writes until `written_at` and does not lag too much.
    fn source(&self, now: Timestamp, written_at: Option<Timestamp>) -> Option<ReplicaSource> {
        let complete_until = (*self.complete_until.borrow())?;
        let here = Timestamp::from_micros(self.written_at.load(Ordering::Relaxed));
        let written_at = written_at.map_or(here, |at| at.max(here));
        let lag = now.saturating_since(complete_until);
        (written_at < complete_until && lag <= LARGEST_LAG).then(|| ReplicaSource {
            store: self.store.clone(),
            lag,
            is_used: Arc::default(),
        })
    }
}

impl WebState {
    /// Returns the database for data that may be some seconds old.
    pub(in crate::web) fn reads(&self) -> Store {
        SOURCE
            .try_with(ReplicaSource::read)
            .unwrap_or_else(|_| self.store.clone())
    }
}

/// Returns a text on the age of the data, if it was read from a lagging replica.
pub(in crate::web) fn age() -> Option<String> {
    let lag = SOURCE.try_with(|source| source.lag).ok()?;
    (lag > NOTABLE_LAG).then(|| {
        format!(
            "The replica of the database that this page is read from is {} behind.",
            format::duration(Duration::from_secs(lag.as_secs()))
        )
    })
}

/// Chooses the source of the reads of a request, and records the time of a write.
pub(in crate::web) async fn choose_source(
    State(state): State<WebState>,
    request: Request,
    next: Next,
) -> Response {
    let Some(replica) = &state.replica else {
        return next.run(request).await;
    };
    if !request.method().is_safe() {
        let is_browser = !request.uri().path().starts_with("/api/");
        let mut response = next.run(request).await;
        let now = state.clock.now();
        replica.note_write(now);
        if is_browser && let Some(cookie) = written(&state, now) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        return response;
    }
    let written_at = written_at(request.headers());
    let Some(source) = replica.source(state.clock.now(), written_at) else {
        return next.run(request).await;
    };
    // The body of a request that only reads does not matter.
    let (parts, _) = request.into_parts();
    let again = Request::from_parts(parts.clone(), Body::empty());
    let (lag, is_used) = (source.lag, Arc::clone(&source.is_used));
    let reading = next.clone().run(Request::from_parts(parts, Body::empty()));
    let mut response = SOURCE.scope(source, reading).await;
    if !is_used.load(Ordering::Relaxed) {
        return response;
    }
    if response.status().is_server_error() {
        return next.run(again).await;
    }
    if let Ok(age) = HeaderValue::from_str(&lag.as_secs().to_string()) {
        response.headers_mut().insert(header::AGE, age);
    }
    response
}

fn written(state: &WebState, at: Timestamp) -> Option<HeaderValue> {
    let at = at.as_micros().to_string();
    session::cookie(state, COOKIE, "/", &at, COOKIE_LASTS)
}

fn written_at(headers: &HeaderMap) -> Option<Timestamp> {
    let micros = session::kept(headers, COOKIE)?.parse().ok()?;
    Some(Timestamp::from_micros(micros))
}
