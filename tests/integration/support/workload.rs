//! Workflows of every outcome as OTLP requests, and a client that repeats each until it was taken.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use throughline::domain::model::{counts::EventCounts, time::Timestamp};
use tokio::{task::JoinSet, time::sleep};

use super::{
    api::{Api, client, until},
    app::good,
    span::{SpanBuilder, request, span},
};

/// Matches what [`Workload`] sends. All of it is over: three minutes
/// ago, so that every rule's windows see it.
pub(crate) const ORDERS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99.5%
  window: 30d
  indicator:
    workflow:
      start:  '{ name = "order placed" }'
      finish: '{ name = "order confirmed" }'
      fail:   '{ name = "order failed" }'
      cancel: '{ name = "order cancelled" }'
      within: 1m
      correlate: [trace]
  grace: 3s
"#;

/// Senders that are at work at the same time.
const SENDERS: usize = 8;

/// Requests in an order of no sense, and what must be counted once all were taken.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) expected: EventCounts,
}

impl Workload {
    /// Starts and ends are in different requests, and a third of these come twice. `seed` makes it
    /// another one.
    pub(crate) fn of(workflows: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut expected = EventCounts::ZERO;
        let mut spans = Vec::new();
        for nth in 0..workflows {
            let trace: [u8; 16] = random.random();
            let of_trace = |name| span(name).trace_of(&trace);
            spans.push(of_trace("order placed"));
            let (count, end) = match nth % 5 {
                0 => (&mut expected.good, Some(("order confirmed", 10.0))),
                1 => (&mut expected.late, Some(("order confirmed", 120.0))),
                2 => (&mut expected.failed, Some(("order failed", 20.0))),
                3 => (&mut expected.cancelled, Some(("order cancelled", 30.0))),
                _ => (&mut expected.timeout, None),
            };
            *count += 1;
            spans.extend(end.map(|(name, secs)| of_trace(name).at(secs)));
        }
        let requests = in_disorder(spans, minutes_ago(3), &mut random);
        Self { requests, expected }
    }

    /// The same of workflows that were placed then, and that all end in time.
    pub(crate) fn in_time(workflows: usize, placed: Timestamp, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let traces: Vec<[u8; 16]> = (0..workflows).map(|_| random.random()).collect();
        let spans = traces.iter().flat_map(|trace| {
            let ends = [("order placed", 0.0), ("order confirmed", 10.0)];
            ends.map(|(name, secs)| span(name).trace_of(trace).at(secs))
        });
        Self {
            requests: in_disorder(spans.collect(), placed, &mut random),
            expected: good(i64::try_from(workflows).unwrap()),
        }
    }

    /// Each a request of its own.
    pub(crate) fn good(workflows: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let placed = minutes_ago(3);
        let order = |_| {
            let trace = random.random();
            let ends = ["order placed", "order confirmed"];
            request(&ends.map(|name| span(name).trace_of(&trace)), placed)
        };
        Self {
            requests: (0..workflows).map(order).collect(),
            expected: good(i64::try_from(workflows).unwrap()),
        }
    }
}

/// Six spans a request, and every third request twice.
fn in_disorder(
    mut spans: Vec<SpanBuilder>,
    placed: Timestamp,
    random: &mut StdRng,
) -> Vec<Vec<u8>> {
    spans.shuffle(random);
    let requests = spans.chunks(6).map(|spans| request(spans, placed));
    let mut requests: Vec<_> = requests.collect();
    let twice = requests.iter().step_by(3).cloned().collect::<Vec<_>>();
    requests.extend(twice);
    requests.shuffle(random);
    requests
}

/// Orders that were placed then, of which nothing more is known, each a request of its own.
pub(crate) fn placed(orders: usize, at: Timestamp) -> Vec<Vec<u8>> {
    let order = |_| request(&[span("order placed").trace_of(&rand::random())], at);
    (0..orders).map(order).collect()
}

pub(crate) fn minutes_ago(minutes: u32) -> Timestamp {
    now() - Duration::from_mins(1) * minutes
}

#[expect(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::UNIX_EPOCH + since_epoch.unwrap()
}

/// Sends one request once.
pub(crate) async fn post(
    client: &reqwest::Client,
    http: &str,
    request: Vec<u8>,
) -> reqwest::Result<u16> {
    let sending = client
        .post(format!("{http}/v1/traces"))
        .header("content-type", "application/x-protobuf")
        .body(request)
        .send();
    Ok(sending.await?.status().as_u16())
}

/// A span of this name in each of these traces, in one request that is taken.
pub(crate) async fn send(api: &Api, name: &str, traces: &[[u8; 16]], at: Timestamp) {
    let of_trace = |trace| span(name).trace_of(trace);
    let spans: Vec<_> = traces.iter().map(of_trace).collect();
    let answer = post(&api.client, &api.http, request(&spans, at));
    assert_eq!(answer.await.unwrap(), 200);
}

/// A client that keeps each request until it is answered 200.
#[derive(Debug)]
pub(crate) struct Delivery {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<VecDeque<Vec<u8>>>,
    /// Each request goes to one of them by chance.
    doors: Vec<String>,
    taken: AtomicUsize,
    unavailable: AtomicUsize,
    unanswered: AtomicUsize,
    unreachable: AtomicUsize,
}

impl Delivery {
    pub(crate) fn start(workload: &Workload, doors: &[&str]) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::new(workload.requests.clone().into()),
            doors: doors.iter().map(|&door| door.to_owned()).collect(),
            taken: AtomicUsize::new(0),
            unavailable: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            unreachable: AtomicUsize::new(0),
        });
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            senders.spawn(keep_sending(Arc::clone(&shared)));
        }
        Self { shared, senders }
    }

    /// Requests that were answered 200.
    pub(crate) fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }

    /// Answers 503.
    pub(crate) fn unavailable(&self) -> usize {
        self.shared.unavailable.load(Ordering::SeqCst)
    }

    /// Requests that were sent and got no answer, of which one can not know.
    pub(crate) fn unanswered(&self) -> usize {
        self.shared.unanswered.load(Ordering::SeqCst)
    }

    /// Requests that found nobody.
    pub(crate) fn unreachable(&self) -> usize {
        self.shared.unreachable.load(Ordering::SeqCst)
    }

    /// Gives up what was not taken yet.
    pub(crate) async fn stop(&mut self) {
        self.senders.shutdown().await;
    }

    /// Until so many requests were taken in all.
    pub(crate) async fn has_taken(&self, requests: usize) {
        until("requests that are taken", async || {
            (self.taken() >= requests).then_some(())
        })
        .await;
    }

    /// Until every request was taken. Fails on an answer other than 200 and 503.
    pub(crate) async fn finish(&mut self) {
        let finishing = async {
            while let Some(sender) = self.senders.join_next().await {
                sender.expect("no answer but 200 and 503");
            }
        };
        tokio::time::timeout(Duration::from_mins(2), finishing)
            .await
            .expect("all requests are taken in the end");
    }
}

async fn keep_sending(shared: Arc<Shared>) {
    let client = client();
    loop {
        let Some(request) = shared.waiting.lock().unwrap().pop_front() else {
            return;
        };
        let door = &shared.doors[rand::rng().random_range(0..shared.doors.len())];
        match post(&client, door, request.clone()).await {
            Ok(200) => {
                shared.taken.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            Ok(503) => shared.unavailable.fetch_add(1, Ordering::SeqCst),
            Ok(other) => panic!("answered {other}"),
            Err(error) if error.is_connect() => shared.unreachable.fetch_add(1, Ordering::SeqCst),
            Err(_) => shared.unanswered.fetch_add(1, Ordering::SeqCst),
        };
        shared.waiting.lock().unwrap().push_back(request);
        sleep(Duration::from_millis(50)).await;
    }
}
