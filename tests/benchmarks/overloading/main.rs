//! Goodput of the real program: how many workflows a second are durable as senders see it, at the
//! most that it takes, when two and four times as much is offered, and when the database is farther
//! away.
//!
//! Run with `cargo bench --bench overloading`. Read the ratios, not the rates.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

#[expect(dead_code, reason = "this one does not look at single replies")]
mod senders;
#[path = "../stalling/service.rs"]
#[expect(dead_code, reason = "this one looks at no page")]
mod service;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "this one needs no schema in the database")]
mod support;
mod wire;

use std::time::Duration;

use self::{
    senders::{Offered, Senders},
    service::Service,
    support::{Database, print_goal, unless_short},
    wire::Wire,
};

/// More per round trip to the database: another zone, another continent.
const DISTANCES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];
const FACTORS: [f64; 3] = [1.0, 2.0, 4.0];
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
      within: 1h
      correlate: [trace]
      stages: none
  notify: {}
"#;

fn main() {
    if !support::is_wanted() {
        return;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    let database = Database::start().await;
    let mut wire = Wire::to(&database.options).await;
    let service = Service::start(ORDERS, Some(&wire.url()), &[]);
    let senders = Senders::to(service.otlp);
    let most = senders.send(Offered::AsTaken).await;
    println!("what it takes: {most:.0} workflows/s");
    for factor in FACTORS {
        let goodput = senders.send(Offered::PerSecond(most * factor)).await;
        println!(
            "{factor} x offered: {goodput:.0}/s, {:.0} %",
            100.0 * goodput / most
        );
        let what = format!("durable workflows when {factor} x as much is offered as is taken");
        print_goal(&what, goodput / most, 0.8..);
    }
    let distances = unless_short(&DISTANCES[..], &DISTANCES[..1]);
    for distance in distances.iter().copied() {
        wire.set_delay(distance);
        let goodput = senders.send(Offered::AsTaken).await;
        println!(
            "{} ms more per round trip: {goodput:.0}/s, {:.0} %",
            distance.as_millis(),
            100.0 * goodput / most
        );
        let what = format!("durable workflows with {distance:?} more per round trip");
        print_goal(&what, goodput / most, 0.5..);
    }
    wire.set_delay(Duration::ZERO);
    service.stop();
    database.stop().await;
}
