//! What is not known well enough to page: the first events, ends that never came, evidence that cannot be
//! used.

use throughline::domain::{
    alerting::{rule_status::BurnCondition, status::SloState},
    notify::wording,
    slo::Severity,
};

use crate::support::{
    app::{MINUTE, ORDERS, SECOND, TestApp, slo},
    span::{SpanBuilder, span},
};

const CONSUMED: &str = r"
apiVersion: throughline/v1
kind: SLO
metadata: { name: consumed }
spec:
  objective: 99%
  window: 30d
  indicator:
    span:
      match: '{ kind = consumer }'
      good: '{ status != error }'
  notify: { page: [oncall] }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: oncall }
spec: { webhook: { url: { env: UNUSED } } }
";

/// So many spans of one second, of which so many are bad.
fn spans(second: u32, total: u64, bad: u64) -> Vec<SpanBuilder> {
    let one = |number| {
        let trace = u64::from(second) * 1_000 + number;
        let span = span("process").consumer().trace(trace);
        let span = span.at(f64::from(second)).lasting(0.1);
        if number < bad { span.error() } else { span }
    };
    (0..total).map(one).collect()
}

#[tokio::test]
async fn s43_eight_of_95_events_in_the_first_20_seconds_page_nobody_and_five_minutes_of_them_do() {
    let app = TestApp::new().slo(CONSUMED).young().await;
    app.send(spans(0, 95, 8)).await;
    app.send((1..10).flat_map(|minute| spans(minute * 60, 95, 48)))
        .await;
    app.advance(SECOND * 20);
    assert_eq!(app.evaluate().await.fired, 0);
    let status = app.status().await;
    assert_eq!(status.state, SloState::Rising);
    let conditions = status.rules.iter().map(|rule| rule.condition);
    assert!(conditions.eq([BurnCondition::TooYoung; 4]));
    assert_eq!(
        status.rules[1].long.text(),
        "the 19 s since the first event"
    );

    assert_eq!(app.ticks(1..=5).await.fired, 0);
    assert_eq!(app.ticks([6]).await.fired, 1);
    let facts = app.facts().await.remove(0);
    assert_eq!(facts.long.text(), "the 5 min since the first event");
}

/// An order every six seconds for twenty minutes; none is ever completed.
fn orders() -> Vec<SpanBuilder> {
    let one = |number: u32| {
        span("order")
            .trace(number.into())
            .at(f64::from(number) * 6.0)
    };
    (0..200).map(one).collect()
}

#[tokio::test]
async fn s44_timeouts_of_an_slo_that_has_never_ended_open_a_ticket_and_page_once_one_has() {
    let app = TestApp::new().slo(ORDERS).young().await;
    app.send(orders()).await;
    let renamed = span("order-complete").trace(9_000).at(60.0);
    // Of more than a hundred in one second only some are looked at.
    app.clock.set(app.minute(1));
    app.send_over_http(&[renamed]).await;
    app.clock.set(app.minute(16));
    app.judge().await;
    let counts = app.counts().await;
    assert_eq!((counts.good, counts.timeout), (0, 101));

    assert_eq!(app.ticks([16]).await.fired, 1);
    assert_eq!(app.status().await.state, SloState::Ticket);
    let facts = app.facts().await.remove(0);
    assert_eq!(facts.severity, Severity::Ticket);
    assert_eq!(facts.rule.as_str(), "never-ended");
    let headline = wording::headline(&facts);
    let why = "TICKET Orders complete: no span has ever matched `finish`, so 101 timeouts in the 11 min since the first";
    assert!(headline.starts_with(why), "{headline}");
    let nearest = "nearest: 1 span matches but for `name = \"order complete\"`: `name` is `\"order-complete\"`";
    let sentence = facts.limit.as_ref().unwrap().sentence();
    assert!(sentence.ends_with(nearest), "{sentence}");
    assert_eq!(
        app.deliveries().await,
        ["oncall firing slo/orders/ticket 1"]
    );

    let end = span("order complete").trace(199).at(19.0 * 60.0 + 59.0);
    app.send([end]).await;
    assert_eq!(app.ticks([17]).await.fired, 1);
    assert_eq!(app.status().await.state, SloState::Paging);
}

#[tokio::test]
async fn s44_ends_that_belong_to_no_start_are_told_as_ids_that_differ() {
    let app = TestApp::new().slo(ORDERS).young().await;
    app.send(orders()).await;
    let strangers = (0..150_u32).map(|number| {
        let at = f64::from(number) * 6.0;
        span("order complete")
            .trace(u64::from(number) + 1_000)
            .at(at)
    });
    app.send(strangers).await;
    app.clock.set(app.minute(16));
    app.judge().await;
    assert_eq!(app.ticks([16]).await.fired, 1);
    let facts = app.facts().await.remove(0);
    let why = facts.limit.unwrap().sentence();
    assert!(
        why.contains("none of them with a start: ids differ"),
        "{why}"
    );
}

#[tokio::test]
async fn s44_a_page_after_an_edit_says_since_when_nothing_has_matched_the_new_finish() {
    let app = TestApp::new().slo(ORDERS).await;
    app.at_second(60.0);
    let renamed = ORDERS.replace("order complete", "order done");
    app.define([slo(&renamed)]).await;
    app.send(orders()).await;
    app.clock.set(app.minute(16));
    app.judge().await;
    assert_eq!(app.ticks([16]).await.fired, 1);
    let facts = app.facts().await.remove(0);
    assert_eq!(facts.severity, Severity::Page);
    let told = wording::description(&facts);
    let why = "Nothing has matched the new `finish` since 10:01 UTC.";
    assert!(told.ends_with(why), "{told}");

    // One that began under the new selector ends by it.
    app.send([span("order done").trace(30).at(400.0)]).await;
    app.ticks([17]).await;
    let mut tx = app.store.begin("read SLOs").await.unwrap();
    let due = tx
        .claim_due(app.minute(30), MINUTE, None)
        .await
        .unwrap()
        .due;
    assert_eq!(due[0].finish_unmatched_since, None);
}

/// Work of five seconds, by clocks that are half a minute apart.
const SHOP: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: mails }
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start: '{ name = "publish" }'
      finish: '{ name = "done" }'
      within: 5s
      correlate: [span.order.id]
  grace: 5s
  notify: { page: [oncall], ticket: [oncall] }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: oncall }
spec: { webhook: { url: { env: UNUSED } } }
"#;

#[tokio::test]
async fn s45_clocks_thirty_seconds_apart_page_nobody_and_open_a_ticket() {
    let app = TestApp::new().slo(SHOP).await;
    let publish = |number: u64| {
        let id = format!("o{number}");
        span("publish")
            .trace(number)
            .at(30.0)
            .attribute("order.id", id)
    };
    let done = |number: u64| {
        let id = format!("o{number}");
        span("done")
            .trace(1_000 + number)
            .at(0.5)
            .attribute("order.id", id)
    };
    app.send((0..300).map(publish)).await;
    app.send((0..297).map(done)).await;
    app.advance(MINUTE);
    app.judge().await;
    let counts = app.counts().await;
    assert_eq!((counts.good, counts.invalid, counts.timeout), (0, 297, 3));

    assert_eq!(app.ticks([1]).await.fired, 1);
    let status = app.status().await;
    assert_eq!(status.state, SloState::Ticket);
    assert_eq!(status.rules[0].condition, BurnCondition::InDoubt);
    assert!(status.budget_remaining_at_worst < status.budget_remaining);
    let facts = app.facts().await.remove(0);
    assert_eq!(facts.rule.as_str(), "data-quality");
    let why = facts.limit.unwrap().sentence();
    let expected = "297 of 300 events cannot be used (99 %)";
    assert!(why.starts_with(expected), "{why}");
    assert!(why.ends_with("whether to page is in doubt"), "{why}");
}

#[tokio::test]
async fn s45_starts_that_bear_no_id_open_a_ticket_of_their_own() {
    let app = TestApp::new().slo(SHOP).await;
    let publish = |number: u64| span("publish").trace(number).at(0.0);
    let with_id = |span: SpanBuilder, number: u64| {
        let id = format!("o{number}");
        span.attribute("order.id", id)
    };
    app.send((0..95).map(publish)).await;
    app.send((95..100).map(|number| with_id(publish(number), number)))
        .await;
    let done = |number| span("done").trace(1_000 + number).at(0.5);
    app.send((95..100).map(|number| with_id(done(number), number)))
        .await;
    app.advance(MINUTE);
    app.judge().await;
    assert_eq!(app.counts().await.good, 5);

    assert_eq!(app.ticks([1]).await.fired, 1);
    let facts = app.facts().await.remove(0);
    assert_eq!(facts.severity, Severity::Ticket);
    assert_eq!(facts.rule.as_str(), "uncorrelated-starts");
    let why = facts.limit.unwrap().sentence();
    assert!(why.starts_with("95 % of start spans in the "), "{why}");
    let lacking = "have no span.order.id: their workflows are not monitored";
    assert!(why.ends_with(lacking), "{why}");
}
