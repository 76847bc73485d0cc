//! Workflows that only links can tell, on a real Postgres and through real OTLP: evidence moves when
//! a missing span comes, and whatever the order and the replica, the counts are the same.

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use throughline::domain::{
    counting::customers::CustomerTotal,
    model::{counts::EventCounts, time::TimeRange},
    workflow::classify::DiscardReason,
};

use crate::support::{
    app::{HORIZON, HOUR, Replica, TestApp, good, time},
    database::TestDatabase,
    service::Site,
    span::{SpanBuilder, request, span},
    workload::{Delivery, Workload, minutes_ago, post},
};

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
      within: 1m
      correlate: [trace, links]
  grace: 3s
"#;

/// Workflow `nth` of three traces: placed in the first, worked on in the second, confirmed in the
/// third.
fn chain(nth: u64, took: f64) -> Vec<SpanBuilder> {
    let [a, b, c] = [3 * nth, 3 * nth + 1, 3 * nth + 2];
    let process = span("process").trace(b).id(1).at(1.0).link_to(a, 1);
    let end = span("order confirmed").trace(c).at(took);
    vec![
        span("order placed").trace(a).id(1),
        process,
        span("send").trace(b).id(2).at(1.0).child_of(1),
        end.link_to(b, 2),
    ]
}

async fn app(definition: &str) -> TestApp {
    TestApp::new().slo(definition).at("06:18").await
}

/// In requests of a few spans each.
async fn send_bit_by_bit(replica: &Replica, spans: &[SpanBuilder]) {
    for request in spans.chunks(5) {
        replica.send(request).await;
    }
}

async fn judge(app: &TestApp) {
    app.at_second(1_000.0).judge().await;
}

fn counts(good: i64, late: i64, timeout: i64) -> EventCounts {
    EventCounts {
        good,
        late,
        timeout,
        ..EventCounts::ZERO
    }
}

const LOST_AND_FOUND: EventCounts = EventCounts {
    timeout: 1,
    orphan: 1,
    ..EventCounts::ZERO
};

#[tokio::test]
async fn s5_a_chain_whose_middle_comes_last_is_corrected_and_its_orphan_is_gone() {
    let app = app(ORDERS).await;
    let spans = chain(0, 81.0);
    app.send([&spans[0], &spans[3]]).await;
    judge(&app).await;
    app.assert_counts(LOST_AND_FOUND).await;
    app.send(&spans[2..3]).await;
    app.assert_counts(LOST_AND_FOUND).await;
    app.send(&spans[1..2]).await;
    app.assert_counts(counts(0, 1, 0)).await;
    app.send(&spans).await;
    app.assert_counts(counts(0, 1, 0)).await;
}

#[tokio::test]
async fn s10_a_batch_of_100_links_is_100_verdicts_whatever_comes_first() {
    for batch_first in [true, false] {
        let app = app(ORDERS).await;
        let start = |nth: u32| span("order placed").trace(nth.into()).id(1).at(nth.into());
        let starts: Vec<_> = (0..100).map(start).collect();
        let batch = span("order confirmed").trace(900).at(110.0);
        let batch = starts.iter().fold(batch, SpanBuilder::after);
        let mut requests = [starts, vec![batch]];
        if batch_first {
            requests.reverse();
        }
        for request in &requests {
            app.send(request).await;
        }
        judge(&app).await;
        // Those placed in the first 50 seconds took longer than a minute.
        app.assert_counts(counts(50, 50, 0)).await;
    }
}

/// Request `nth` publishes five messages, each of which goes through two queues; the last is lost.
fn five_publishes(nth: u64) -> Vec<SpanBuilder> {
    let a = 100 * nth;
    let mut spans = vec![span("POST /orders").trace(a).id(1)];
    for message in 2..7 {
        let publish = span("order placed")
            .trace(a)
            .id(message)
            .at(0.1)
            .child_of(1);
        let process = span("process").trace(a + 10 + message).id(1).at(1.0);
        let process = process.after(&publish);
        let relay = span("order placed").id(2).at(1.5).below(&process);
        spans.extend([publish, process, relay.clone()]);
        if message < 6 {
            let end = span("order confirmed").trace(a + 20 + message);
            spans.push(end.at(4.0).after(&relay));
        }
    }
    spans
}

#[tokio::test]
async fn s34_each_of_five_publishes_in_one_request_is_a_workflow_in_any_order() {
    for seed in 0..3 {
        let app = app(ORDERS).await;
        let mut spans: Vec<_> = (0..6).flat_map(five_publishes).collect();
        spans.shuffle(&mut StdRng::seed_from_u64(seed));
        send_bit_by_bit(&app, &spans).await;
        let answer = app.send_over_http(&spans).await;
        assert_eq!(answer.status().as_u16(), 200);
        judge(&app).await;
        app.assert_counts(counts(24, 0, 6)).await;
    }
}

#[tokio::test]
async fn s34_an_end_that_could_be_of_several_starts_is_ambiguous() {
    let app = app(ORDERS).await;
    let publish = |id| span("order placed").trace(0).id(id).child_of(1);
    let end = span("order confirmed").trace(1).at(4.0).link_to(0, 1);
    app.send([end, publish(2)]).await;
    app.assert_counts(good(1)).await;
    app.send([publish(3)]).await;
    judge(&app).await;
    let expected = EventCounts {
        timeout: 2,
        ambiguous: 1,
        ..EventCounts::ZERO
    };
    app.assert_counts(expected).await;
}

#[tokio::test]
async fn replicas_that_learn_of_a_chain_at_once_miss_no_edge() {
    let app = app(ORDERS).await;
    let spans: Vec<_> = (0..60)
        .flat_map(|nth| chain(nth, if nth % 4 == 0 { 90.0 } else { 30.0 }))
        .collect();
    // Each replica gets two thirds of the spans, all of them together everything.
    let share = |replica: usize| {
        let mut spans = spans.clone();
        spans.shuffle(&mut StdRng::seed_from_u64(replica as u64));
        let of_three =
            |span: &SpanBuilder| usize::from(span.build(app.began).trace_id.as_bytes()[15]) % 3;
        spans.retain(|span| of_three(span) != replica);
        spans
    };
    let [one, two] = [app.replica(), app.replica()];
    let shares = [share(0), share(1), share(2)];
    tokio::join!(
        send_bit_by_bit(&app, &shares[0]),
        send_bit_by_bit(&one, &shares[1]),
        send_bit_by_bit(&two, &shares[2]),
    );
    judge(&app).await;
    app.assert_counts(counts(45, 15, 0)).await;
}

#[tokio::test]
async fn a_chain_of_40_links_is_followed_for_32_and_that_is_counted_once() {
    let app = app(ORDERS).await;
    let process = |nth| span("process").trace(nth).id(1).at(1.0).link_to(nth - 1, 1);
    let mut spans: Vec<_> = (1..40).map(process).collect();
    spans.push(span("order placed").trace(0).id(1));
    let end = span("order confirmed").trace(40).at(30.0);
    spans.push(end.link_to(39, 1));
    let reason = DiscardReason::TooManyHops.as_str();
    for _ in 0..2 {
        app.send(&spans).await;
        assert_eq!(app.evidence_counts(reason).await, 1);
    }
    judge(&app).await;
    app.assert_counts(LOST_AND_FOUND).await;
}

#[tokio::test]
async fn a_circle_of_links_ends() {
    let app = app(ORDERS).await;
    let spans = [
        span("order placed").trace(0).id(1).link_to(1, 1),
        span("process").trace(1).id(1).at(1.0).link_to(0, 1),
        span("order confirmed").trace(0).id(2).at(30.0).child_of(1),
    ];
    app.send(spans).await;
    app.assert_counts(good(1)).await;
}

#[tokio::test]
async fn a_span_that_is_sent_again_in_a_later_epoch_counts_no_second_time() {
    let app = app(ORDERS).await;
    app.send(chain(0, 30.0)).await;
    app.open_epoch(app.began + HORIZON).await;
    app.send(chain(0, 30.0)).await;
    app.assert_counts(good(1)).await;
}

#[tokio::test]
async fn what_one_request_leaves_to_be_placed_is_placed_by_a_later_turn() {
    let app = app(ORDERS).await;
    let spans = chain(0, 30.0);
    app.send([&spans[0], &spans[3]]).await;
    // As if more evidence had waited for the middle than one request places.
    app.execute("create table waiting as select * from pending_spans")
        .await;
    app.send(&spans[1..3]).await;
    app.execute(
        "update link_evidence set is_unresolved = true where id in (select evidence_id from waiting)",
    )
    .await;
    assert_eq!(app.place().await.placed, 2);
    assert_eq!(app.place().await.placed, 0);
    app.assert_counts(good(1)).await;
}

/// Ten messages are taken by one span; what it publishes is its child. The last two are lost.
fn batch_in_the_middle(nth: u64) -> Vec<SpanBuilder> {
    let batch = 100 * nth;
    let mut spans = Vec::new();
    let mut process = span("process").trace(batch).id(1).at(1.0).lasting(1.0);
    for message in 10..20 {
        let publish = span("order placed").trace(batch + message).id(1);
        let publish = publish.attribute("customer.id", format!("customer-{message}"));
        process = process.after(&publish);
        spans.push(publish);
        let sent = span("send").trace(batch).id(message).at(1.5).child_of(1);
        if message < 18 {
            let end = span("order confirmed").trace(batch + 20 + message);
            spans.push(end.at(4.0).after(&sent));
        }
        spans.push(sent);
    }
    spans.push(process);
    spans
}

#[tokio::test]
async fn s33_a_batch_in_the_middle_is_judged_by_number_in_any_order_on_any_replica() {
    for seed in 0..3 {
        let app = app(ORDERS).await;
        let other = app.replica();
        let mut spans: Vec<_> = (0..5).flat_map(batch_in_the_middle).collect();
        let orders = [0, 1].map(|replica| {
            spans.shuffle(&mut StdRng::seed_from_u64(2 * seed + replica));
            spans.clone()
        });
        // Half of it is judged while the rest is under way.
        let (first, rest) = orders[0].split_at(60);
        send_bit_by_bit(&app, first).await;
        judge(&app).await;
        tokio::join!(
            send_bit_by_bit(&app, rest),
            send_bit_by_bit(&other, &orders[1]),
        );
        let answer = app.send_over_http(&spans).await;
        assert_eq!(answer.status().as_u16(), 200);
        // What was first heard of after its deadline is waited for.
        app.at_second(5_000.0).judge().await;
        app.assert_counts(counts(40, 0, 10)).await;
    }
}

#[tokio::test]
async fn s33_customers_of_a_batch_are_counted_as_the_largest_possible_number() {
    let app = app(&ORDERS.replace("  grace:", "  customer: span.customer.id\n  grace:")).await;
    app.send(batch_in_the_middle(0)).await;
    app.at_second(5_000.0).judge().await;
    app.assert_counts(counts(8, 0, 2)).await;
    for hours in [1, 48] {
        let mut tx = app.store.begin("read customers").await.unwrap();
        let range = TimeRange::new(time("06:00"), time("06:00") + HOUR * hours);
        let impact = tx.customer_impact(&[(app.only(), vec![range])]).await;
        let impact = impact.unwrap()[&app.only()];
        let people = CustomerTotal::people(Some(impact.affected), Some(&impact.total));
        assert_eq!(people.unwrap(), "up to 2 of 10 customers");
    }
}

#[tokio::test]
async fn s33_one_end_ends_the_whole_batch_where_the_definition_says_so() {
    let whole = ORDERS.replace("[trace, links]", "[trace, { links: { batch: whole } }]");
    let app = app(&whole).await;
    let spans = batch_in_the_middle(0).into_iter();
    app.send(spans.collect::<Vec<_>>()).await;
    judge(&app).await;
    app.assert_counts(good(10)).await;
}

/// A message of the batch that span 1 of trace 0 published.
fn received(message: u64, secs: f64) -> SpanBuilder {
    let span = span("order confirmed").trace(message + 1).at(secs);
    let id = format!("m{message}");
    span.link_to(0, 1).attribute("messaging.message.id", id)
}

#[tokio::test]
async fn s11_messages_published_together_are_a_workflow_each_on_any_replica_in_any_order() {
    let by_message = ORDERS.replace("[trace, links]", "[{ message: span.messaging.message.id }]");
    let publication = span("order placed").trace(0).id(1);
    // Of 40 messages 30 are received, a third of them too late; each is told to two replicas.
    let mut spans: Vec<_> = (0..30)
        .map(|message| received(message, if message % 3 == 0 { 80.0 } else { 20.0 }))
        .collect();
    spans.push(publication.attribute("messaging.batch.message_count", 40));
    let app = app(&by_message).await;
    let other = app.replica();
    let orders = [0, 1].map(|replica| {
        spans.shuffle(&mut StdRng::seed_from_u64(replica));
        spans.clone()
    });
    tokio::join!(
        send_bit_by_bit(&app, &orders[0]),
        send_bit_by_bit(&other, &orders[1]),
    );
    judge(&app).await;
    app.assert_counts(counts(20, 10, 10)).await;
}

/// Batch `nth`: three messages are received by one span, whose links bear their ids; its children bear
/// the ids alone. The third fails.
fn received_together(nth: u64) -> Vec<SpanBuilder> {
    let id = |message: u64| format!("m{nth}-{message}");
    let batch = 100 * nth;
    let mut receive = span("receive").trace(batch).id(1).at(1.0);
    let mut spans = Vec::new();
    for message in 2..5 {
        let publish = span("order placed").trace(batch + message).id(1);
        receive = receive
            .after(&publish)
            .link_attribute("messaging.message.id", id(message));
        let process = span("order confirmed").trace(batch).id(message).at(2.0);
        let process = process
            .child_of(1)
            .attribute("messaging.message.id", id(message));
        spans.push(publish.attribute("messaging.message.id", id(message)));
        spans.push(if message == 4 {
            process.error()
        } else {
            process
        });
    }
    spans.push(receive);
    spans
}

#[tokio::test]
async fn s36_links_on_the_receive_span_only_are_followed_by_message_id_on_any_replica() {
    let by_message = ORDERS
        .replace(
            "[trace, links]",
            "[{ message: span.messaging.message.id }, links]",
        )
        .replace(
            "      within",
            "      fail: '{ name = \"order confirmed\" && status = error }'\n      within",
        )
        .replace(
            "'{ name = \"order confirmed\" }'",
            "'{ name = \"order confirmed\" && status != error }'",
        );
    let mut spans: Vec<_> = (0..20).flat_map(received_together).collect();
    let app = app(&by_message).await;
    let other = app.replica();
    let orders = [0, 1].map(|replica| {
        spans.shuffle(&mut StdRng::seed_from_u64(replica));
        spans.clone()
    });
    tokio::join!(
        send_bit_by_bit(&app, &orders[0]),
        send_bit_by_bit(&other, &orders[1]),
    );
    let answer = app.send_over_http(&spans).await;
    assert_eq!(answer.status().as_u16(), 200);
    judge(&app).await;
    let expected = EventCounts {
        good: 40,
        failed: 20,
        ..EventCounts::ZERO
    };
    app.assert_counts(expected).await;
}

/// A span of a trace of its own.
fn anywhere(name: &str, secs: f64) -> SpanBuilder {
    span(name).trace_of(&rand::random()).at(secs)
}

#[tokio::test]
async fn one_batch_span_with_100_links_gives_100_verdicts_through_otlp() {
    let database = TestDatabase::create().await;
    let service = Site::on(&database, ORDERS).start().await;
    let placed = minutes_ago(3);
    let starts: Vec<_> = (0..100).map(|_| anywhere("order placed", 0.0)).collect();
    let batch = anywhere("order confirmed", 30.0);
    let batch = starts.iter().fold(batch, SpanBuilder::after);
    for spans in [vec![batch], starts] {
        let sent = post(
            &service.api.client,
            &service.api.http,
            request(&spans, placed),
        );
        assert_eq!(sent.await.unwrap(), 200);
    }
    service.api.counts_become("orders", good(100)).await;
}

/// Chains of three traces, a fifth of them never confirmed; a middle that comes at any time.
fn chains(seed: u64) -> Workload {
    let mut random = StdRng::seed_from_u64(seed);
    let mut spans = Vec::new();
    for nth in 0..60 {
        let start = anywhere("order placed", 0.0);
        let middle = anywhere("process", 1.0).after(&start);
        let sent = span("send").below(&middle).at(1.0);
        if nth % 5 != 0 {
            spans.push(anywhere("order confirmed", 9.0).after(&sent));
        }
        spans.extend([start, middle, sent]);
    }
    spans.shuffle(&mut random);
    // What is first heard of long after its deadline is waited for longer than a test lasts.
    let placed = minutes_ago(1);
    let requests = spans.chunks(5).map(|spans| request(spans, placed));
    Workload {
        requests: requests.collect(),
        expected: counts(48, 0, 12),
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
    let body = request(&[anywhere("order placed", 0.0)], minutes_ago(3));
    let sent = post(&service.api.client, &service.api.http, body);
    assert_eq!(sent.await.unwrap(), 200);
    let json_view = service.api.json("/api/v1/slos/orders").await;
    assert_eq!(
        json_view["correlation"]["correlated_ratio"], 0.0,
        "{json_view}"
    );
    assert_eq!(json_view["correlation"]["uncorrelated"], 1, "{json_view}");
    let reason = DiscardReason::Uncorrelated.as_str();
    let sample = format!("throughline_slo_spans_window{{reason=\"{reason}\",slo=\"orders\"}}");
    assert_eq!(service.api.metric(&sample).await, Some(1.0));
    let page = service.api.text("/slos/orders").await;
    assert!(
        page.contains("of 1 selected spans name their workflow"),
        "{page}"
    );
}
