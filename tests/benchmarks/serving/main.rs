//! What senders and people wait for while the real program takes half of what it can: replies to
//! exports, pages, and the webhook of an alert.
//!
//! Run with `cargo bench --bench serving`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

mod alarms;
#[path = "../overloading/senders.rs"]
mod senders;
#[path = "../stalling/service.rs"]
#[expect(dead_code, reason = "this one does not look at memory")]
mod service;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the service has a database of its own")]
mod support;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::{
    task::{JoinSet, spawn_blocking},
    time,
};

use self::{
    alarms::{Alarms, Receiver},
    senders::{Offered, Senders},
    service::Service,
    support::print_goal,
};

/// With the SLO of the load and those of the alarms.
const SLOS: usize = 200;
const PAGES: [&str; 3] = ["/", "/slos/orders", "/api/v1/slos/orders"];
/// Goals of the 99th percentile.
const REPLY: Duration = Duration::from_millis(100);
const PAGE: Duration = Duration::from_millis(50);
const BETWEEN_PAGES: Duration = Duration::from_millis(50);

fn main() {
    if !support::is_wanted() {
        return;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let receiver = Receiver::start().await;
    let service = Arc::new(Service::start(&definitions(&receiver.url()), None, &[]));
    let senders = Senders::to(service.otlp);
    let most = senders.send(Offered::AsTaken).await;
    let half = most / 2.0;
    println!("half of what it takes: {half:.0} workflows/s, {SLOS} SLOs");
    senders.take_replies();
    let mut beside = JoinSet::new();
    beside.spawn(look(Arc::clone(&service)));
    beside.spawn(Alarms::to(service.otlp, receiver).raise());
    senders.send(Offered::PerSecond(half)).await;
    print_quantiles("reply to an export", senders.take_replies(), REPLY);
    beside.join_all().await;
    Arc::into_inner(service).unwrap().stop();
}

/// Reads each page again and again until the load ends.
async fn look(service: Arc<Service>) {
    let deadline = time::Instant::now() + senders::duration();
    let mut took = PAGES.map(|_| Vec::new());
    while time::Instant::now() < deadline {
        for (page, took) in PAGES.into_iter().zip(&mut took) {
            let service = Arc::clone(&service);
            let (_, one) = spawn_blocking(move || service.get(page)).await.unwrap();
            took.push(one);
            time::sleep(BETWEEN_PAGES).await;
        }
    }
    for (page, took) in PAGES.into_iter().zip(took) {
        print_quantiles(page, took, PAGE);
    }
}

fn definitions(webhook: &str) -> String {
    let mut text = format!(
        r#"
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: {{ name: hook }}
spec: {{ webhook: {{ url: "{webhook}" }} }}
---
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: orders }}
spec:
  objective: 99.5%
  window: 30d
  indicator:
    workflow:
      start:  '{{ name = "order placed" }}'
      finish: '{{ name = "order confirmed" }}'
      within: 1h
      correlate: [trace]
  notify: {{}}
"#
    );
    for number in 0..SLOS - 1 {
        let name = alarms::name(number);
        write!(
            text,
            r#"---
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: {name} }}
spec:
  objective: 99.5%
  window: 30d
  indicator:
    span:
      match: '{{ name = "{name}" }}'
      good:  '{{ status != error }}'
  notify: {{ page: [hook] }}
"#
        )
        .unwrap();
    }
    text
}

/// Prints the median and the 99th percentile, which is meant to be at most `goal`.
fn print_quantiles(what: &str, mut took: Vec<Duration>, goal: Duration) {
    took.sort();
    let millis =
        |rank: usize| took[(took.len() * rank / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{what}: p50 {:.1} ms, p99 {:.1} ms of {}",
        millis(50),
        millis(99),
        took.len()
    );
    let what = format!("{what} at half load, ms, p99");
    print_goal(&what, millis(99), ..=goal.as_secs_f64() * 1e3);
}
