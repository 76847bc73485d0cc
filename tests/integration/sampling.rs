//! Sampled spans on a real Postgres: what they stand for, and starts whose ends are dropped.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use throughline::domain::{
    model::{
        counts::EventCounts,
        ids::{SloId, SpanId, TraceId},
        sampling::{EndSampling, Threshold},
        span::{Span, SpanKind, SpanStatus},
        time::Timestamp,
    },
    slo::{Correlator, Indicator, Slo, WorkflowIndicator},
    traceql::Selector,
};

use crate::support::stations::Stations;

const NOW: i64 = 1_795_328_280;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOW + secs)
}

/// A span of the trace whose randomness begins with this byte.
fn span(randomness: u8, name: &str, secs: i64, trace_state: &str) -> Span {
    let mut trace_id = [7; 16];
    trace_id[9] = randomness;
    let nanos = u64::try_from(at(secs).as_micros()).unwrap() * 1_000;
    Span {
        trace_id: TraceId::from_slice(&trace_id).unwrap(),
        span_id: SpanId::from_slice(&[name.as_bytes()[0]; 8]).unwrap(),
        parent_span_id: None,
        name: name.to_owned(),
        kind: SpanKind::Internal,
        status: SpanStatus::Unset,
        status_message: String::new(),
        start_unix_nano: nanos,
        end_unix_nano: nanos,
        trace_state: trace_state.to_owned(),
        attributes: Vec::new(),
        resource: Arc::default(),
        instrumentation: Arc::default(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_links_count: 0,
        flags: 0,
    }
}

fn start(randomness: u8, secs: i64) -> Span {
    span(randomness, "start", secs, "ot=th:8")
}

fn finish(randomness: u8, secs: i64) -> Span {
    span(randomness, "finish", secs, "ot=th:c")
}

/// With one SLO of a minute.
async fn world() -> Stations {
    let selector = |name: &str| Selector::parse(&format!("{{ name = \"{name}\" }}")).unwrap();
    let indicator = WorkflowIndicator::new(
        selector("start"),
        selector("finish"),
        Duration::from_mins(1),
        vec![Correlator::Trace],
    );
    let definition = Slo::new(
        "orders".parse().unwrap(),
        "99%".parse().unwrap(),
        Duration::from_hours(720),
        Indicator::Workflow(indicator),
    );
    Stations::begin(at(0), definition).await
}

async fn learned(world: &Stations) -> BTreeMap<SloId, EndSampling> {
    let mut tx = world.ledger.store.begin("read thresholds").await.unwrap();
    tx.end_sampling(at(0)).await.unwrap()
}

#[tokio::test]
async fn s20_starts_whose_ends_are_dropped_are_no_bad_events_on_any_replica() {
    let world = world().await;
    world.receive(0, &[start(0xd0, 0), finish(0xd0, 30)]).await;
    // One whose end the other sampler drops, and one whose end never came.
    world.receive(1, &[start(0x90, 0), start(0xe0, 0)]).await;
    world.until(at(600)).await;
    let counts = world.counts().await;
    assert_eq!(
        (counts.good, counts.timeout, counts.unobservable),
        (1, 1, 1)
    );
    assert_eq!(
        (counts.unseen_good, counts.unseen_bad),
        (3_000_000, 3_000_000)
    );
    assert_eq!(counts.sampled, 2);

    // What comes after its deadline is judged as it arrives, by what the other replica has learned.
    world.receive(0, &[start(0x91, 10), start(0xe1, 10)]).await;
    let counts = world.counts().await;
    assert_eq!((counts.timeout, counts.unobservable), (2, 2));
}

#[tokio::test]
async fn s20_a_late_end_takes_out_exactly_the_weight_that_was_counted() {
    let world = world().await;
    world.receive(0, &[start(0xd0, 0), finish(0xd0, 30)]).await;
    world.receive(0, &[start(0xe0, 0)]).await;
    world.until(at(600)).await;
    world.receive(1, &[finish(0xe0, 50)]).await;
    world.receive(0, &[finish(0xe0, 50), start(0xe0, 0)]).await;
    assert_eq!(
        world.counts().await,
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
    let world = world().await;
    let quarter = Threshold::from_hex("c").unwrap();
    world.receive(0, &[finish(0xd0, 30)]).await;
    world
        .receive(1, &[span(0xd1, "finish", 30, "ot=th:8")])
        .await;
    assert_eq!(learned(&world).await[&world.slo].threshold, quarter);
    let mut tx = world.ledger.store.begin("forget").await.unwrap();
    tx.forget_end_sampling(at(0) + Duration::from_hours(24))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(learned(&world).await.is_empty());
}

#[tokio::test]
async fn weights_beyond_all_bounds_never_fail_a_batch() {
    let mut world = world().await;
    sqlx::query(
        "insert into event_counts (slo_id, resolution, bucket, writer, good, extrapolated_good)
         select $1, resolution, to_timestamp(floor($2 / resolution) * resolution), writer, 1,
             9000000000000000000
         from unnest('{60, 3600, 86400}'::integer[]) as resolution, generate_series(0, 1) as writer",
    )
    .bind(world.slo.0)
    .bind(f64::from(i32::try_from(NOW).unwrap()))
    .execute(&mut world.ledger.connection)
    .await
    .unwrap();
    world.receive(0, &[start(0xd0, 0), finish(0xd0, 1)]).await;
    let counts = world.counts().await;
    assert_eq!((counts.good, counts.sampled), (3, 1));
    assert_eq!(counts.unseen_good, 9_000_000_000_000_000_000);
}
