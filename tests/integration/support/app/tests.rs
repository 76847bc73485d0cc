//! The service that tests are made of, tested itself: it does what the real one does, and its end does
//! not pass over what is wrong.

use throughline::evaluate::EvaluationReport;

use super::{HOUR, MINUTE, ORDERS, TestApp, after, good};
use crate::support::{
    receiver::Reply,
    span::{SpanBuilder, request, span},
};

/// An SLO of which every page goes to the receiver `oncall`.
async fn app() -> TestApp {
    TestApp::new()
        .slo(ORDERS)
        .history(HOUR * 48, good(10))
        .at("10:00")
        .await
}

fn orders(count: u64) -> Vec<SpanBuilder> {
    (0..count).map(|nth| span("order").trace(nth)).collect()
}

#[tokio::test]
async fn a_stall_is_judged_paged_delivered_and_shown_and_a_replica_adds_nothing() {
    let app = app().await;
    let receiver = app.receiver("oncall", []).await;
    app.send(orders(100)).await;
    app.advance(MINUTE * 7);
    app.tick().await;
    assert_eq!(app.counts().await.timeout, 100);
    assert_eq!(receiver.requests().len(), 1);
    app.replica().tick().await;
    assert_eq!(receiver.requests().len(), 1);
    let slo = app.api("/slos/orders").await;
    assert_eq!(slo["state"], "paging", "{slo}");
    let page = app.page("/slos/orders").await;
    assert!(page.body.contains("Orders complete"), "{}", page.body);
}

/// Everything that a span can say, said in both ways.
#[tokio::test]
async fn a_span_says_the_same_in_process_and_over_a_socket() {
    let by_id = ORDERS.replace("correlate: [trace]", "correlate: [span.order.id, links]");
    let spans = |id: &str| {
        let start = span("order").trace_of(&[0xd0; 16]).producer();
        let end = span("order complete").trace_of(&[0xd1; 16]);
        let end = end.consumer().child_of(7).after(&start);
        [
            start
                .service("shop")
                .start_unix_nano(1_795_341_600_000_000_000)
                .trace_state("ot=th:8")
                .attribute("order.id", id)
                .attribute("ports", [80, 443])
                .attribute("share", 0.5)
                .attribute("is.new", true)
                .event("exception", "exception.message", "none"),
            end.at(1.0)
                .lasting(2.0)
                .trace_state("ot=th:8")
                .attribute("order.id", id)
                .link_attribute("message.id", 7)
                .dropped_links(3),
        ]
    };
    let app = TestApp::new().slo(&by_id).await;
    app.send(spans("one")).await;
    let answer = app.send_over_http(&spans("other")).await;
    assert_eq!(answer.status().as_u16(), 200);
    let counts = app.counts().await;
    assert_eq!((counts.good, counts.sampled), (2, 2), "{counts:?}");
}

#[test]
fn text_that_is_no_utf8_goes_over_the_wire_as_it_is() {
    let dirty = span("order").attribute("note", &b"caf\xe9"[..]);
    let body = request(&[dirty], after(0));
    let is_there = body.windows(4).any(|bytes| bytes == b"caf\xe9");
    assert!(is_there, "{body:?}");
}

#[tokio::test]
#[should_panic(expected = "leased by nobody")]
async fn a_delivery_that_is_left_in_the_middle_fails_the_test() {
    let app = app().await;
    let receiver = app.receiver("oncall", [Reply::Hang]).await;
    app.stall().await;
    app.ticks([10]).await;
    tokio::select! {
        () = app.deliver() => panic!("the receiver hangs"),
        () = receiver.wait_for(1) => {}
    }
}

#[tokio::test]
#[should_panic(expected = "never got msg_")]
async fn a_delivery_that_nobody_got_fails_the_test() {
    let app = app().await;
    let _receiver = app.receiver("oncall", []).await;
    app.stall().await;
    app.ticks([10]).await;
    app.execute(
        "update deliveries set state = 'delivered', attempts = 1, settled_at = now();
         insert into delivery_attempts (delivery_id, attempt, started_at, duration_ms, class)
         select id, 1, now(), 1, 'delivered' from deliveries",
    )
    .await;
}

#[tokio::test]
#[should_panic(expected = "which was never due")]
async fn a_message_that_the_outbox_does_not_know_fails_the_test() {
    let app = app().await;
    let receiver = app.receiver("oncall", []).await;
    app.stall().await;
    app.ticks([10]).await;
    app.deliver().await;
    assert_eq!(receiver.requests().len(), 1);
    app.execute("truncate deliveries cascade").await;
}

#[tokio::test]
#[should_panic(expected = "lost a race")]
async fn a_lost_race_that_nobody_takes_up_fails_the_test() {
    let app = app().await;
    app.stall().await;
    let lost = EvaluationReport {
        evaluated: 1,
        lost_races: 1,
        ..EvaluationReport::default()
    };
    app.final_check.evaluated(&lost);
}
