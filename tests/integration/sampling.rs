//! Sampled spans on a real Postgres: what they stand for, and starts whose ends are dropped.

use std::{collections::BTreeMap, time::Duration};

use throughline::domain::{
    model::{counts::EventCounts, ids::SloId, sampling::Threshold},
    workflow::EndObservations,
};

use crate::support::{
    app::{TestApp, minute_long},
    span::{SpanBuilder, span},
};

/// A span of the trace whose randomness begins with this byte.
fn sampled(randomness: u8, name: &str, secs: f64, trace_state: &str) -> SpanBuilder {
    let mut trace_id = [7; 16];
    trace_id[9] = randomness;
    let span = span(name).trace_of(&trace_id).at(secs);
    span.trace_state(trace_state)
}

fn start(randomness: u8, secs: f64) -> SpanBuilder {
    sampled(randomness, "start", secs, "ot=th:8")
}

fn finish(randomness: u8, secs: f64) -> SpanBuilder {
    sampled(randomness, "finish", secs, "ot=th:c")
}

/// With one SLO of a minute.
async fn app() -> TestApp {
    let orders = minute_long("start", "finish", "trace", "");
    TestApp::new().slo(&orders).at("06:18").await
}

async fn learned(app: &TestApp) -> BTreeMap<SloId, EndObservations> {
    let mut tx = app.store.begin("read thresholds").await.unwrap();
    tx.end_observations(app.clock.now()).await.unwrap()
}

#[tokio::test]
async fn s20_starts_whose_ends_are_dropped_are_no_bad_events_on_any_replica() {
    let app = app().await;
    let other = app.replica();
    app.send([start(0xd0, 0.0), finish(0xd0, 30.0)]).await;
    // One whose end the other sampler drops, and one whose end never came.
    other.send([start(0x90, 0.0), start(0xe0, 0.0)]).await;
    app.at_second(600.0).judge().await;
    let counts = app.counts().await;
    assert_eq!(
        (counts.good, counts.timeout, counts.unobservable),
        (1, 1, 1)
    );
    assert_eq!(
        (counts.unseen_good, counts.unseen_bad),
        (3_000_000, 3_000_000)
    );
    assert_eq!(counts.sampled, 2);

    // What comes after its deadline is judged by what the other replica has learned.
    app.send([start(0x91, 10.0), start(0xe1, 10.0)]).await;
    app.at_second(1_000.0).judge().await;
    let counts = app.counts().await;
    assert_eq!((counts.timeout, counts.unobservable), (2, 2));
}

#[tokio::test]
async fn s20_a_late_end_takes_out_exactly_the_weight_that_was_counted() {
    let app = app().await;
    let other = app.replica();
    app.send([start(0xd0, 0.0), finish(0xd0, 30.0)]).await;
    app.send([start(0xe0, 0.0)]).await;
    app.at_second(600.0).judge().await;
    other.send([finish(0xe0, 50.0)]).await;
    app.send([finish(0xe0, 50.0), start(0xe0, 0.0)]).await;
    assert_eq!(
        app.counts().await,
        EventCounts {
            good: 2,
            sampled: 2,
            unseen_good: 6_000_000,
            ..EventCounts::ZERO
        }
    );
}

#[tokio::test]
async fn what_is_learned_of_ends_only_rises_and_is_forgotten_by_the_day() {
    let app = app().await;
    let other = app.replica();
    let quarter = Threshold::from_hex("c").unwrap();
    app.send([finish(0xd0, 30.0)]).await;
    other.send([sampled(0xd1, "finish", 30.0, "ot=th:8")]).await;
    assert_eq!(learned(&app).await[&app.only()].sampling.threshold, quarter);
    let mut tx = app.store.begin("forget").await.unwrap();
    tx.forget_end_sampling(app.began + Duration::from_hours(24))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(learned(&app).await.is_empty());
}

#[tokio::test]
async fn weights_beyond_all_bounds_never_fail_a_batch() {
    let app = app().await;
    app.execute(
        "insert into event_counts (slo_id, resolution, bucket, writer, good, extrapolated_good)
         select slos.id, resolution, date_bin(resolution * interval '1 second',
                 timestamptz '2026-11-22T06:18:00Z', timestamptz 'epoch'),
             writer, 1, 9000000000000000000
         from slos, unnest('{60, 3600, 86400}'::integer[]) as resolution,
             generate_series(0, 1) as writer",
    )
    .await;
    app.send([start(0xd0, 0.0), finish(0xd0, 1.0)]).await;
    let counts = app.counts().await;
    assert_eq!((counts.good, counts.sampled), (3, 1));
    assert_eq!(counts.unseen_good, 9_000_000_000_000_000_000);
}
