//! Ends that a sender kept for hours: the budget is corrected, and nobody is told a second time.

use throughline::domain::{alerting::alert::TransitionKind, model::time::TimeRange};

use crate::support::{
    app::{HOUR, ORDERS, TestApp, after, good, slo},
    span::{SpanBuilder, span},
};

/// Ten orders a minute, whose deadlines are in the first ten minutes of the story.
const COUNT: u8 = 100;

/// The order with this number begins so many seconds after the story.
fn begins_at(order: u8) -> f64 {
    f64::from(order / 10) * 60.0 - 300.0
}

fn of_all(of: impl Fn(u8) -> SpanBuilder) -> Vec<SpanBuilder> {
    (0..COUNT)
        .map(|order| of(order).trace(order.into()))
        .collect()
}

#[tokio::test]
async fn an_end_delivered_two_hours_late_corrects_the_budget_and_sends_no_second_page() {
    let mut orders = slo(ORDERS);
    orders.alerting.rules.truncate(1);
    let app = TestApp::new().define(orders).history(HOUR * 48, good(10));
    let app = app.await;
    app.fill([10, 150], good(10)).await;
    let stall = TimeRange::new(after(0), after(10));

    app.clock.set(after(4));
    app.send(of_all(|order| span("order").at(begins_at(order))))
        .await;
    app.clock.set(after(12));
    app.judge().await;
    assert_eq!(app.sum(app.only(), stall).await.bad(), i64::from(COUNT));
    assert_eq!(app.ticks(12..13).await.fired, 1);
    assert_eq!(app.ticks(13..132).await.resolved, 1);

    app.clock.set(after(132));
    app.send(of_all(|order| {
        span("order complete").at(begins_at(order) + 240.0)
    }))
    .await;
    app.judge().await;
    assert_eq!(app.sum(app.only(), stall).await.bad(), 0);
    let since = app.ticks(132..145).await;
    assert_eq!((since.fired, since.resolved), (0, 0));
    assert_eq!(
        app.kinds().await,
        [TransitionKind::Firing, TransitionKind::Resolved]
    );
}
