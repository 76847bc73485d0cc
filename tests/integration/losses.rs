//! Batches whose spans had no room for all of their links, on a real Postgres.

use std::{sync::Arc, time::Duration};

use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            ids::{SpanId, TraceId},
            sampling::EndSampling,
            span::{AttributeName, AttributeScope, Link, Span, SpanKind, SpanStatus},
            time::Timestamp,
        },
        slo::{Correlator, Indicator, Slo, WorkflowIndicator},
        traceql::Selector,
        workflow::{Judging, Losses},
    },
    evaluate::overdue::losses_kept,
    store::Writer,
};

use crate::support::stations::Stations;

const HOUR: Duration = Duration::from_hours(1);

/// On a whole minute.
fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280 + secs)
}

fn slo() -> Slo {
    let selector = |name: &str| Selector::parse(&format!("{{ name = \"{name}\" }}")).unwrap();
    let by_order = Correlator::Attribute {
        attribute: AttributeName {
            scope: AttributeScope::Span,
            key: "order.id".to_owned(),
        },
        run: None,
    };
    let indicator = WorkflowIndicator::new(
        selector("start"),
        selector("finish"),
        Duration::from_mins(1),
        vec![by_order],
    );
    Slo::new(
        "orders".parse().unwrap(),
        "99%".parse().unwrap(),
        HOUR * 720,
        Indicator::Workflow(indicator),
    )
}

fn span(name: &str, secs: i64) -> Span {
    let nanos = u64::try_from(at(secs).as_micros()).unwrap() * 1_000;
    Span {
        trace_id: TraceId::from_slice(&[7; 16]).unwrap(),
        span_id: SpanId::from_slice(&[name.as_bytes()[0]; 8]).unwrap(),
        parent_span_id: None,
        name: name.to_owned(),
        kind: SpanKind::Internal,
        status: SpanStatus::Unset,
        status_message: String::new(),
        start_unix_nano: nanos,
        end_unix_nano: nanos,
        trace_state: String::new(),
        attributes: Vec::new(),
        resource: Arc::default(),
        instrumentation: Arc::default(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_links_count: 0,
        flags: 0,
    }
}

fn start(order: &str, secs: i64) -> Span {
    let order = ("order.id".to_owned(), order.into());
    Span {
        attributes: vec![order],
        ..span("start", secs)
    }
}

/// Ends these orders, and 372 more that it has no room for.
fn batch(orders: [&str; 2], secs: i64) -> Span {
    let link = |order: &str| Link {
        trace_id: TraceId::from_slice(&[7; 16]),
        span_id: SpanId::from_slice(&[1; 8]),
        trace_state: String::new(),
        attributes: vec![("order.id".to_owned(), order.into())],
    };
    Span {
        links: orders.map(link).into(),
        dropped_links_count: 372,
        ..span("finish", secs)
    }
}

fn expected(good: i64, timeout: i64, evidence_lost: i64) -> EventCounts {
    EventCounts {
        good,
        timeout,
        evidence_lost,
        ..EventCounts::ZERO
    }
}

#[tokio::test]
async fn s10_timeouts_that_lost_links_may_explain_are_taken_back_whichever_replica_hears_of_them() {
    let world = Stations::begin(at(0), slo()).await;
    let orders = ["o1", "o2", "o3"].map(|order| start(order, 0));
    world.receive(0, &orders).await;
    world.receive(0, &[start("o4", 200)]).await;
    world.until(at(600)).await;
    assert_eq!(world.counts().await, expected(0, 4, 0));
    for _ in 0..2 {
        world.receive(1, &[batch(["o1", "o2"], 44)]).await;
        world.until(at(601)).await;
        assert_eq!(world.counts().await, expected(2, 1, 1));
    }
    // What comes after its deadline is judged as it arrives, by what is known to be lost.
    world.receive(0, &[start("o5", 10), start("o6", 300)]).await;
    assert_eq!(world.counts().await, expected(2, 2, 2));
    let end = Span {
        attributes: start("o3", 0).attributes,
        ..span("finish", 50)
    };
    world.receive(1, &[end]).await;
    assert_eq!(world.counts().await, expected(3, 2, 1));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
async fn s10_a_verdict_under_way_that_has_not_seen_the_loss_is_waited_for() {
    let mut world = Stations::begin(at(0), slo()).await;
    world.receive(0, &[start("o3", 0)]).await;
    let judging = |_| Judging {
        grace: Duration::from_mins(2),
        watermark: at(600),
        skew_tolerance: Judging::DEFAULT_SKEW_TOLERANCE,
        ends: EndSampling::default(),
        losses: Losses::NoneKnown,
    };
    let mut under_way = world.ledger.store.begin("judge").await.unwrap();
    let (judged, moves) = under_way.judge_due(at(600), 10, &judging).await.unwrap();
    assert_eq!(judged, 1);
    under_way.add_counts(Writer(5), &moves).await.unwrap();
    world.receive(1, &[batch(["o1", "o2"], 44)]).await;
    let overdue = world.overdue();
    let doubting = tokio::spawn(async move { overdue.tick(at(600), at(600)).await });
    let waits = "select exists (select 1 from pg_locks where not granted and locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database()))";
    while !sqlx::query_scalar::<_, bool>(waits)
        .fetch_one(&mut world.ledger.connection)
        .await
        .unwrap()
    {
        tokio::task::yield_now().await;
    }
    under_way.commit().await.unwrap();
    assert_eq!(doubting.await.unwrap().unwrap().doubted, 1);
    let counts = world.counts().await;
    assert_eq!((counts.timeout, counts.evidence_lost), (0, 1));
}

#[tokio::test]
async fn s10_when_evidence_was_lost_is_forgotten_and_stays_counted() {
    let world = Stations::begin(at(0), slo()).await;
    world
        .receive(0, &[start("o3", 0), batch(["o1", "o2"], 44)])
        .await;
    world.until(at(600)).await;
    // What is left of it: whether a start that comes now is judged by it.
    for (floor, order, lost) in [(0, "o4", 2), (60, "o5", 2)] {
        let mut tx = world.ledger.store.begin("forget").await.unwrap();
        tx.forget_losses(at(floor)).await.unwrap();
        tx.commit().await.unwrap();
        world.receive(1, &[start(order, 0)]).await;
        assert_eq!(world.counts().await.evidence_lost, lost, "{order}");
    }
}

#[test]
fn what_was_lost_is_remembered_longer_than_workflows_are_kept() {
    let horizon = HOUR * 168;
    assert_eq!(
        losses_kept([slo()].iter(), horizon),
        horizon * 3 + Duration::from_mins(1)
    );
}
