//! Workflows that only links can tell, on a real Postgres and through real OTLP: evidence moves when
//! a missing span comes, and whatever the order and the replica, the counts are the same.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use opentelemetry_proto::tonic::trace::v1::{Span as WireSpan, span::Link as WireLink};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use throughline::{
    domain::{
        counting::ledger::CountDelta,
        model::{
            counts::EventCounts,
            ids::{SloId, SpanId, TraceId},
            sampling::EndSampling,
            span::{Link, Span, SpanKind, SpanStatus},
            time::{TimeRange, Timestamp},
        },
        slo::definition::{DefinitionFile, load},
        workflow::{
            Judging, Losses,
            classify::{ClassifiedBatch, Classifier, DiscardReason},
            gather, join,
        },
    },
    evaluate::resolve_links::Unplaced,
    store::{LinkNews, Store, StoreError, Writer},
};
use tokio::sync::watch;

use crate::support::{
    database::TestDatabase,
    service::Site,
    workload::{Delivery, Workload, minutes_ago, post, request, span},
};

const SLO: SloId = SloId(1);
const HORIZON: Duration = Duration::from_hours(168);

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
      correlate: [trace, links]
  grace: 3s
"#;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280) + Duration::from_secs(secs)
}

fn trace(number: u64) -> TraceId {
    TraceId::from_slice(&u128::from(number + 1).to_be_bytes()).unwrap()
}

fn span_id(number: u8) -> SpanId {
    SpanId::from_slice(&[number; 8]).unwrap()
}

/// Span `number` of a trace, of no length.
fn spoken((of, number): (u64, u8), name: &str, secs: u64) -> Span {
    let nanos = u64::try_from(at(secs).as_micros()).unwrap() * 1_000;
    Span {
        trace_id: trace(of),
        span_id: span_id(number),
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
        dropped_links_count: 0,
        flags: 0,
        links: Vec::new(),
    }
}

fn linked(mut span: Span, (to, number): (u64, u8)) -> Span {
    span.links.push(Link {
        trace_id: Some(trace(to)),
        span_id: Some(span_id(number)),
        trace_state: String::new(),
        attributes: Vec::new(),
    });
    span
}

fn child(mut span: Span, of: u8) -> Span {
    span.parent_span_id = Some(span_id(of));
    span
}

/// Workflow `nth` of three traces: placed in the first, worked on in the second, confirmed in the
/// third.
fn chain(nth: u64, took: u64) -> Vec<Span> {
    let [a, b, c] = [3 * nth, 3 * nth + 1, 3 * nth + 2];
    vec![
        spoken((a, 1), "order placed", 0),
        linked(spoken((b, 1), "process", 1), (a, 1)),
        child(spoken((b, 2), "send", 1), 1),
        linked(spoken((c, 1), "order confirmed", took), (b, 2)),
    ]
}

fn classifier(definition: &str) -> Classifier {
    let file = DefinitionFile {
        path: "orders.yaml".to_owned(),
        text: definition.to_owned(),
    };
    let (catalog, _) = load(&[file]).unwrap();
    let ids = catalog.slos.keys().map(|name| (name.clone(), SLO));
    Classifier::new(&catalog, &ids.collect())
}

fn judging(watermark: Timestamp) -> Judging {
    Judging {
        grace: Duration::from_secs(3),
        watermark,
        skew_tolerance: Judging::DEFAULT_SKEW_TOLERANCE,
        ends: EndSampling::default(),
        losses: Losses::NoneKnown,
    }
}

async fn ready() -> TestDatabase {
    let database = TestDatabase::create().await;
    let mut tx = database.store.begin("prepare").await.unwrap();
    tx.ensure_epoch(at(0), HORIZON).await.unwrap();
    let days = Duration::from_hours(48);
    tx.ensure_count_partitions(TimeRange::new(at(0) - days, at(0) + days))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    database
}

async fn try_record(
    store: &Store,
    writer: Writer,
    findings: &ClassifiedBatch,
) -> Result<i64, StoreError> {
    let mut gathered = gather(&findings.evidence);
    let news = LinkNews {
        linked: findings.linked.iter().collect(),
        edges: findings.edges.iter().collect(),
        batches: findings.batches.iter().collect(),
    };
    let (judging, mut moves) = (|_| judging(at(0)), CountDelta::default());
    let mut tx = store.begin("record").await?;
    let followed = tx.follow_links(&news, &judging, &mut moves).await?;
    join(&mut gathered, followed.gathered);
    tx.record_more(&gathered, &judging, &mut moves).await?;
    tx.add_counts(writer, &moves).await?;
    tx.commit().await?;
    Ok(followed.cut.values().sum())
}

/// Records one request and returns how many pieces of evidence began too far away.
async fn record_by(definition: &str, (store, writer): (&Store, Writer), spans: &[Span]) -> i64 {
    let (classifier, mut findings) = (classifier(definition), ClassifiedBatch::default());
    for span in spans {
        classifier.classify(span, at(0) - HORIZON, &mut findings);
    }
    loop {
        match try_record(store, writer, &findings).await {
            Err(error) if error.is_conflict() => {}
            result => return result.unwrap(),
        }
    }
}

async fn record(store: &Store, spans: &[Span]) -> i64 {
    record_by(ORDERS, (store, Writer(0)), spans).await
}

/// In requests of a few spans each.
async fn record_bit_by_bit(definition: &str, (store, replica): (&Store, u64), spans: &[Span]) {
    let writer = Writer(i16::try_from(replica).unwrap());
    for request in spans.chunks(5) {
        record_by(definition, (store, writer), request).await;
    }
}

async fn sweep(store: &Store, watermark: Timestamp) {
    let mut tx = store.begin("sweep").await.unwrap();
    let judging = |_| judging(watermark);
    let (_, moves) = tx.judge_due(watermark, 10_000, &judging).await.unwrap();
    tx.add_counts(Writer(0), &moves).await.unwrap();
    tx.commit().await.unwrap();
}

/// As the buckets have it, and as the rows do: these must be the same.
async fn counts(database: &TestDatabase) -> BTreeMap<i16, i64> {
    let mut connection = database.connect().await;
    let buckets: Vec<(i16, i64)> = sqlx::query_as(
        "select o.code, sum(o.n)::bigint from event_counts, lateral (values (1::smallint, good),
             (2::smallint, late), (4::smallint, timeout), (6::smallint, orphan)) as o(code, n)
         where resolution = 60 group by 1 having sum(o.n) <> 0",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let rows: Vec<(i16, i64)> =
        sqlx::query_as("select outcome, count(*) from workflows where outcome <> 0 group by 1")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let (buckets, rows): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (buckets.into_iter().collect(), rows.into_iter().collect());
    assert_eq!(buckets, rows);
    rows
}

const GOOD: i16 = 1;
const LATE: i16 = 2;
const TIMEOUT: i16 = 4;
const ORPHAN: i16 = 6;

#[tokio::test]
async fn s5_a_chain_whose_middle_comes_last_is_corrected_and_its_orphan_is_gone() {
    let database = ready().await;
    let spans = chain(0, 81);
    record(&database.store, &[spans[0].clone(), spans[3].clone()]).await;
    sweep(&database.store, at(1_000)).await;
    let provisional = BTreeMap::from([(TIMEOUT, 1), (ORPHAN, 1)]);
    assert_eq!(counts(&database).await, provisional);
    record(&database.store, &spans[2..3]).await;
    assert_eq!(counts(&database).await, provisional);
    record(&database.store, &spans[1..2]).await;
    assert_eq!(counts(&database).await, BTreeMap::from([(LATE, 1)]));
    record(&database.store, &spans).await;
    assert_eq!(counts(&database).await, BTreeMap::from([(LATE, 1)]));
}

#[tokio::test]
async fn s10_a_batch_of_100_links_is_100_verdicts_whatever_comes_first() {
    for batch_first in [true, false] {
        let database = ready().await;
        let starts: Vec<_> = (0..100)
            .map(|nth| spoken((nth, 1), "order placed", nth))
            .collect();
        let batch = (0..100).fold(spoken((900, 1), "order confirmed", 110), |batch, nth| {
            linked(batch, (nth, 1))
        });
        let mut requests = [starts, vec![batch]];
        if batch_first {
            requests.reverse();
        }
        for request in &requests {
            record(&database.store, request).await;
        }
        sweep(&database.store, at(1_000)).await;
        // Those placed in the first 50 seconds took longer than a minute.
        let expected = BTreeMap::from([(GOOD, 50), (LATE, 50)]);
        assert_eq!(counts(&database).await, expected, "{batch_first}");
    }
}

#[tokio::test]
async fn replicas_that_learn_of_a_chain_at_once_miss_no_edge() {
    let database = ready().await;
    let mut spans: Vec<_> = (0..60)
        .flat_map(|nth| chain(nth, if nth % 4 == 0 { 90 } else { 30 }))
        .collect();
    let mut replicas = tokio::task::JoinSet::new();
    for replica in 0..3 {
        spans.shuffle(&mut StdRng::seed_from_u64(replica));
        // Each replica gets two thirds of the spans, all of them together everything.
        let share = spans.iter().filter(|span| {
            let of = u128::from_be_bytes(*span.trace_id.as_bytes()) % 3;
            of != u128::from(replica)
        });
        let share: Vec<Span> = share.cloned().collect();
        let store = database.store.clone();
        replicas.spawn(async move {
            record_bit_by_bit(ORDERS, (&store, replica), &share).await;
        });
    }
    replicas.join_all().await;
    sweep(&database.store, at(1_000)).await;
    let expected = BTreeMap::from([(GOOD, 45), (LATE, 15)]);
    assert_eq!(counts(&database).await, expected);
}

#[tokio::test]
async fn a_chain_of_40_links_is_followed_for_32_and_that_is_counted_once() {
    let database = ready().await;
    let process = |nth: u64| linked(spoken((nth, 1), "process", 1), (nth - 1, 1));
    let mut spans: Vec<_> = (1..40).map(process).collect();
    spans.push(spoken((0, 1), "order placed", 0));
    spans.push(linked(spoken((40, 1), "order confirmed", 30), (39, 1)));
    assert_eq!(record(&database.store, &spans).await, 1);
    assert_eq!(record(&database.store, &spans).await, 0);
    sweep(&database.store, at(1_000)).await;
    let expected = BTreeMap::from([(TIMEOUT, 1), (ORPHAN, 1)]);
    assert_eq!(counts(&database).await, expected);
}

#[tokio::test]
async fn a_circle_of_links_ends() {
    let database = ready().await;
    let spans = [
        linked(spoken((0, 1), "order placed", 0), (1, 1)),
        linked(spoken((1, 1), "process", 1), (0, 1)),
        child(spoken((0, 2), "order confirmed", 30), 1),
    ];
    record(&database.store, &spans).await;
    assert_eq!(counts(&database).await, BTreeMap::from([(GOOD, 1)]));
}

#[tokio::test]
async fn a_span_that_is_sent_again_in_a_later_epoch_counts_no_second_time() {
    let database = ready().await;
    record(&database.store, &chain(0, 30)).await;
    let mut tx = database.store.begin("open an epoch").await.unwrap();
    tx.ensure_epoch(at(0) + HORIZON, HORIZON).await.unwrap();
    tx.commit().await.unwrap();
    record(&database.store, &chain(0, 30)).await;
    assert_eq!(counts(&database).await, BTreeMap::from([(GOOD, 1)]));
}

#[tokio::test]
async fn what_one_request_leaves_to_be_placed_is_placed_by_a_later_turn() {
    let database = ready().await;
    let spans = chain(0, 30);
    record(&database.store, &[spans[0].clone(), spans[3].clone()]).await;
    // As if more evidence had waited for the middle than one request places.
    let mut connection = database.connect().await;
    sqlx::query("create table waiting as select * from pending_spans")
        .execute(&mut connection)
        .await
        .unwrap();
    record(&database.store, &spans[1..3]).await;
    sqlx::query(
        "update link_evidence set is_unresolved = true where id in (select evidence_id from waiting)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let (_sender, classifier) = watch::channel(Arc::new(classifier(ORDERS)));
    let unplaced = Unplaced {
        store: database.store.clone(),
        writer: Writer(1),
        classifier,
    };
    let report = unplaced.tick(at(0), at(0)).await.unwrap();
    assert_eq!(report.placed, 2);
    assert_eq!(unplaced.tick(at(0), at(0)).await.unwrap().placed, 0);
    assert_eq!(counts(&database).await, BTreeMap::from([(GOOD, 1)]));
}

/// A message of the batch that span 1 of trace 0 published.
fn received(message: u64, secs: u64) -> Span {
    let mut span = linked(spoken((message + 1, 1), "order confirmed", secs), (0, 1));
    let id = format!("m{message}");
    span.attributes
        .push(("messaging.message.id".to_owned(), id.as_str().into()));
    span
}

#[tokio::test]
async fn s11_messages_published_together_are_a_workflow_each_on_any_replica_in_any_order() {
    let by_message = ORDERS.replace("[trace, links]", "[{ message: span.messaging.message.id }]");
    let mut publication = spoken((0, 1), "order placed", 0);
    let count = ("messaging.batch.message_count".to_owned(), 40.into());
    publication.attributes.push(count);
    // Of 40 messages 30 are received, a third of them too late; each is told to two replicas.
    let mut spans: Vec<_> = (0..30)
        .map(|message| received(message, if message % 3 == 0 { 80 } else { 20 }))
        .collect();
    spans.push(publication);
    let database = ready().await;
    let mut replicas = tokio::task::JoinSet::new();
    for replica in 0..2 {
        spans.shuffle(&mut StdRng::seed_from_u64(replica));
        let (spans, store) = (spans.clone(), database.store.clone());
        let definition = by_message.clone();
        replicas.spawn(async move {
            record_bit_by_bit(&definition, (&store, replica), &spans).await;
        });
    }
    replicas.join_all().await;
    sweep(&database.store, at(1_000)).await;
    let expected = BTreeMap::from([(GOOD, 20), (LATE, 10), (TIMEOUT, 10)]);
    assert_eq!(counts(&database).await, expected);
}

fn wire_linked(mut span: WireSpan, to: &WireSpan) -> WireSpan {
    span.links.push(WireLink {
        trace_id: to.trace_id.clone(),
        span_id: to.span_id.clone(),
        ..WireLink::default()
    });
    span
}

#[tokio::test]
async fn one_batch_span_with_100_links_gives_100_verdicts_through_otlp() {
    let database = TestDatabase::create().await;
    let service = Site::on(&database, ORDERS).start().await;
    let mut random = StdRng::seed_from_u64(3);
    let placed = minutes_ago(3);
    let starts: Vec<_> = (0..100)
        .map(|_| span(random.random(), "order placed", placed))
        .collect();
    let batch = span(random.random(), "order confirmed", placed + 30_000_000_000);
    let batch = starts.iter().fold(batch, wire_linked);
    for spans in [vec![batch], starts] {
        let sent = post(&service.api.client, &service.api.http, request(spans));
        assert_eq!(sent.await.unwrap(), 200);
    }
    let expected = EventCounts {
        good: 100,
        ..EventCounts::ZERO
    };
    service.api.counts_become("orders", expected).await;
}

/// Chains of three traces, a fifth of them never confirmed; a middle that comes at any time.
fn chains(seed: u64) -> Workload {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut spans, placed) = (Vec::new(), minutes_ago(3));
    for nth in 0..60 {
        let start = span(random.random(), "order placed", placed);
        let middle = span(random.random(), "process", placed + 1_000_000_000);
        let middle = wire_linked(middle, &start);
        let sent = WireSpan {
            parent_span_id: middle.span_id.clone(),
            trace_id: middle.trace_id.clone(),
            ..span(random.random(), "send", placed + 1_000_000_000)
        };
        if nth % 5 != 0 {
            let end = span(random.random(), "order confirmed", placed + 9_000_000_000);
            spans.push(wire_linked(end, &sent));
        }
        spans.extend([start, middle, sent]);
    }
    spans.shuffle(&mut random);
    let requests = spans.chunks(5).map(|spans| request(spans.to_vec()));
    Workload {
        requests: requests.collect(),
        expected: EventCounts {
            good: 48,
            timeout: 12,
            ..EventCounts::ZERO
        },
    }
}

#[tokio::test]
async fn s5_chains_in_disorder_over_two_replicas_are_judged_as_one_workflow_each() {
    let database = TestDatabase::create().await;
    let (one, other) = (Site::on(&database, ORDERS), Site::on(&database, ORDERS));
    let (one, other) = tokio::join!(one.start(), other.start());
    let workload = chains(11);
    let doors = [one.api.http.as_str(), other.api.http.as_str()];
    Delivery::start(&workload, &doors).finish().await;
    one.api.counts_become("orders", workload.expected).await;
    Delivery::start(&workload, &doors).finish().await;
    other.api.counts_become("orders", workload.expected).await;
}

#[tokio::test]
async fn spans_that_name_no_workflow_are_told_on_the_page_and_in_the_metrics() {
    let database = TestDatabase::create().await;
    let by_order = ORDERS.replace("[trace, links]", "[span.order.id]");
    let service = Site::on(&database, &by_order).start().await;
    let spans = vec![span(rand::random(), "order placed", minutes_ago(3))];
    let sent = post(&service.api.client, &service.api.http, request(spans));
    assert_eq!(sent.await.unwrap(), 200);
    let twin = service.api.json("/api/v1/slos/orders").await;
    assert_eq!(twin["correlation"]["correlated_ratio"], 0.0, "{twin}");
    assert_eq!(twin["correlation"]["uncorrelated"], 1, "{twin}");
    let reason = DiscardReason::Uncorrelated.as_str();
    let sample = format!("throughline_slo_spans_window{{reason=\"{reason}\",slo=\"orders\"}}");
    assert_eq!(service.api.metric(&sample).await, Some(1.0));
    let page = service.api.text("/slos/orders").await;
    assert!(
        page.contains("of 1 selected spans name their workflow"),
        "{page}"
    );
}
