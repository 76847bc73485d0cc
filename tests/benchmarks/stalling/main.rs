//! A total stall: a million workflows that start and never end, into the real program. How fast they
//! are taken, how much memory that costs, whether each is counted exactly once, and how long pages
//! take meanwhile.
//!
//! Run with `cargo bench --bench stalling`, for fewer workflows with their number after it:
//! `-- 100000`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

mod service;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the service has a database of its own")]
mod support;

use std::{
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};
use prost::Message as _;
use tokio::time::Instant;

use self::{
    service::{Service, ask},
    support::{print_goal, unless_short},
};

const WORKFLOWS: usize = 1_000_000;
/// What the batch processor of a collector sends at once, by default 8,192 at most.
const SPANS_A_REQUEST: usize = 2_000;
const SENDERS: usize = 4;
const CUSTOMERS: usize = 5_000;
/// Ten times what it takes on two cores.
const PATIENCE: Duration = Duration::from_hours(1);
/// What people and their tools look at.
const PAGES: [&str; 4] = ["/", "/slos/orders", "/api/v1/slos/orders", "/metrics"];
const ORDERS: &str = r#"
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
      within: 1m
      correlate: [trace]
  customer: span.customer.id
  grace: 10s
  notify: {}
"#;

fn main() {
    if !support::is_wanted() {
        return;
    }
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let workflows: usize = asked.unwrap_or(unless_short(WORKFLOWS, 10_000));
    let service = Service::start(ORDERS, None, &[]);
    let began = Instant::now();
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| send(&service, &sent, workflows));
        }
        while sent.load(Ordering::SeqCst) < workflows {
            thread::sleep(Duration::from_secs(10));
            look(&service, "while they start");
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    println!("{workflows} started in {seconds:.0} s");
    while look(&service, "while they time out") < workflows {
        assert!(began.elapsed() < PATIENCE, "some are not counted");
        thread::sleep(Duration::from_secs(10));
    }
    // One that were counted twice would be seen by then.
    thread::sleep(Duration::from_secs(20));
    let timeouts = look(&service, "when all have timed out");
    assert_eq!(timeouts, workflows, "each is counted once");
    println!(
        "{timeouts} timeouts {:.0} s after the first start",
        began.elapsed().as_secs_f64()
    );
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let memory = service.most_memory_mib() as f64;
    let what = format!("most memory, MiB, with {workflows} workflows in flight");
    print_goal(&what, memory, ..=150.0);
    let page = millis(service.get("/slos/orders").1);
    let what = format!("page of an SLO with {workflows} timeouts, ms");
    print_goal(&what, page, ..=200.0);
    service.stop();
}

/// Requests until all workflows have started; one that is not taken is sent again.
fn send(service: &Service, sent: &AtomicUsize, workflows: usize) {
    loop {
        let first = sent.fetch_add(SPANS_A_REQUEST, Ordering::SeqCst);
        let numbers = first..(first + SPANS_A_REQUEST).min(workflows);
        if numbers.is_empty() {
            return;
        }
        let body = request(numbers.map(start).collect());
        loop {
            let stream = TcpStream::connect(service.otlp).unwrap();
            match ask(stream, "POST /v1/traces", &body) {
                (200, _) => break,
                (503, _) => thread::sleep(Duration::from_secs(1)),
                refused => unreachable!("{refused:?}"),
            }
        }
    }
}

/// Prints how long pages take, and returns how many have timed out.
fn look(service: &Service, when: &str) -> usize {
    let took = PAGES.map(|page| format!("{page} {:.0} ms", millis(service.get(page).1)));
    let (view, _) = service.get("/api/v1/slos/orders");
    let view: serde_json::Value = serde_json::from_str(&view).unwrap();
    let timeouts = view["counts"]["timeout"].as_u64().unwrap();
    println!("{when}: {timeouts} timeouts; {}", took.join(", "));
    usize::try_from(timeouts).unwrap()
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

#[expect(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
fn start(number: usize) -> Span {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = u64::try_from(now.unwrap().as_nanos()).unwrap();
    let customer = format!("customer-{}", number % CUSTOMERS);
    Span {
        trace_id: rand::random::<[u8; 16]>().to_vec(),
        span_id: rand::random::<[u8; 8]>().to_vec(),
        name: "order placed".to_owned(),
        kind: SpanKind::Producer.into(),
        start_time_unix_nano: at,
        end_time_unix_nano: at,
        attributes: vec![
            text("customer.id", &customer),
            text("messaging.destination.name", "orders"),
        ],
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
