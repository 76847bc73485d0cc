//! What is put aside is bounded, and goes when it is no longer needed.

use std::time::Duration;

use throughline::domain::{slo::Stages, workflow::classify::DiscardReason};

use super::world::{app, order, taken};
use crate::support::{app::TestApp, span::span};

const DAY: f64 = 86_400.0;

impl TestApp {
    pub(super) async fn kept(&self) -> i64 {
        self.number("select count(*) from stage_spans").await
    }
}

#[tokio::test]
async fn a_message_is_kept_once_and_other_spans_are_not_kept() {
    let app = app(Stages::Auto).await;
    for _ in 0..3 {
        app.at_second(10.0).send(order(1, 2.0)).await;
    }
    assert_eq!(app.kept().await, 4);
}

#[tokio::test]
async fn an_slo_without_stages_costs_no_row() {
    let app = app(Stages::None).await;
    app.at_second(10.0).send(order(1, 2.0)).await;
    assert_eq!(app.kept().await, 0);
    assert_eq!(app.at_second(11.0).aggregate().await.aggregated, 0);
}

#[tokio::test]
async fn one_key_has_room_for_64_pieces_and_what_is_missed_is_counted() {
    let app = app(Stages::Auto).await;
    app.at_second(200.0).send([span("placed")]).await;
    let message = |n| taken("cards", f64::from(n), f64::from(n) + 0.5);
    let flood: Vec<_> = (0..100).map(message).collect();
    for part in flood.chunks(30) {
        app.at_second(200.0).send(part).await;
    }
    assert_eq!(app.kept().await, 64);
    let missed = DiscardReason::TooMuchStageEvidence.as_str();
    assert_eq!(app.evidence_counts(missed).await, 36);
}

#[tokio::test]
async fn spans_are_forgotten_when_no_workflow_needs_them_any_more() {
    let app = app(Stages::Auto).await;
    let kept = Duration::from_hours(25);
    app.send(order(1, 2.0)).await;
    app.at_second(2.0 * DAY).send(order(2, 2.0)).await;
    for (day, rows) in [(2.0, 8), (3.0, 4), (4.0, 4), (5.0, 0)] {
        app.at_second(day * DAY);
        let now = app.clock.now();
        let mut tx = app.store.begin("forget").await.unwrap();
        tx.forget_stage_spans(now, kept).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(app.kept().await, rows, "{day}");
    }
}
