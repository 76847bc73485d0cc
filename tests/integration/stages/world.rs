//! One SLO whose messages are classified, recorded and folded as the service does it, by a clock
//! that stands still.

use throughline::domain::{
    counting::stages::{StageMean, StageSums, WhereTimeGoes},
    model::time::TimeRange,
    slo::{Indicator, Stages},
    traceql::Selector,
};

use crate::support::{
    app::{HOUR, Replica, TestApp, minute_long, slo},
    span::{SpanBuilder, span},
};

/// An order is placed, and within a minute it is shipped.
pub(super) async fn app(stages: Stages) -> TestApp {
    let mut orders = slo(&minute_long("placed", "shipped", "trace", ""));
    if let Indicator::Workflow(indicator) = &mut orders.indicator {
        indicator.stages = stages;
        indicator.cancel = Some(Selector::parse("{ name = \"cancelled\" }").unwrap());
    }
    TestApp::new().define(orders).at("06:18").await
}

/// Another replica of an app. Both know which workflows there are.
pub(super) async fn another_replica(app: &TestApp) -> Replica {
    let other = app.replica();
    for second in [0.0, 8.0, 16.0] {
        app.at_second(second).beat(app.clock.now()).await;
        other.beat(app.clock.now()).await;
        app.learn_workflows().await;
        other.learn_workflows().await;
    }
    other
}

impl TestApp {
    pub(super) async fn stage_sums(&self) -> (StageSums, StageSums) {
        let mut tx = self.store.begin("read sums").await.unwrap();
        let range = TimeRange::new(self.began - HOUR, self.began + HOUR);
        let mut sums = tx.stage_sums(self.only(), range).await.unwrap();
        for sums in [&mut sums.0, &mut sums.1] {
            sums.by_stage.retain(|_, sum| !sum.is_zero());
        }
        sums
    }

    /// `stage good bad`, in seconds.
    pub(super) async fn means(&self) -> Vec<String> {
        let (good, bad) = self.stage_sums().await;
        means(&good, &bad)
    }
}

pub(super) fn means(good: &StageSums, bad: &StageSums) -> Vec<String> {
    let text = |secs: Option<f64>| secs.map_or("-".to_owned(), |secs| format!("{secs:.1}"));
    let stages = WhereTimeGoes::new(good, bad).stages;
    let row = |mean: &StageMean| {
        let (good, bad) = (text(mean.good_secs), text(mean.bad_secs));
        format!("{} {good} {bad}", mean.stage.title())
    };
    stages.iter().map(row).collect()
}

/// In this queue, told by this service.
pub(super) fn message(queue: &str, service: &str) -> SpanBuilder {
    let message = span("message").service(service);
    message.attribute("messaging.destination.name", queue)
}

/// A message that `shop` has sent, from second to second.
pub(super) fn sent(queue: &str, from: f64, to: f64) -> SpanBuilder {
    message(queue, "shop").producer().between(from, to)
}

/// A message that was taken by the service of the same name as its queue.
pub(super) fn taken(queue: &str, from: f64, to: f64) -> SpanBuilder {
    message(queue, queue).consumer().between(from, to)
}

/// All spans of an order that waited so long for its cards service.
pub(super) fn order(nth: u64, wait: f64) -> Vec<SpanBuilder> {
    workflow(("placed", "shipped"), nth, 0.0, wait)
}

/// The same from another second on, and with another start and end.
pub(super) fn workflow(
    (start, end): (&str, &str),
    nth: u64,
    from: f64,
    wait: f64,
) -> Vec<SpanBuilder> {
    let taken_at = from + wait + 1.0;
    let spans = [
        span(start).at(from).lasting(0.5),
        sent("cards", from, from + 1.0),
        taken("cards", taken_at, taken_at + 2.0),
        sent("parcels", taken_at + 1.0, taken_at + 2.0),
        taken("parcels", taken_at + 3.0, taken_at + 4.0),
        span(end).at(taken_at + 4.0),
    ];
    spans.map(|span| span.trace(nth)).into()
}
