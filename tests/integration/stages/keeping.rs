//! What is put aside is bounded, and goes when it is no longer needed.

use std::time::Duration;

use throughline::domain::{model::span::SpanKind, slo::Stages};

use super::world::{World, at, message, order};

#[tokio::test]
async fn a_message_is_kept_once_and_other_spans_are_not_kept() {
    let mut world = World::new(Stages::Auto).await;
    for _ in 0..3 {
        world.receive(at(10.0), &order(1, 2.0)).await;
    }
    assert_eq!(world.count("select count(*) from stage_spans").await, 4);
}

#[tokio::test]
async fn an_slo_without_stages_costs_no_row() {
    let mut world = World::new(Stages::None).await;
    world.receive(at(10.0), &order(1, 2.0)).await;
    assert_eq!(world.count("select count(*) from stage_spans").await, 0);
    assert_eq!(world.fold(at(11.0)).await.folded, 0);
}

#[tokio::test]
async fn one_key_has_room_for_64_pieces_and_what_is_missed_is_counted() {
    let mut world = World::new(Stages::Auto).await;
    let flood: Vec<_> = (0..100)
        .map(|n| {
            message(
                1,
                SpanKind::Consumer,
                "cards",
                (f64::from(n), f64::from(n) + 0.5),
            )
        })
        .collect();
    for part in flood.chunks(30) {
        world.receive(at(200.0), part).await;
    }
    assert_eq!(world.count("select count(*) from stage_spans").await, 64);
    let missed = "select count from evidence_counts where reason = 'too_many_stage_spans'";
    assert_eq!(world.count(missed).await, 36);
}

#[tokio::test]
async fn spans_are_forgotten_when_no_workflow_needs_them_any_more() {
    let mut world = World::new(Stages::Auto).await;
    let kept = Duration::from_hours(25);
    let days = |n: f64| at(n * 86_400.0);
    world.receive(days(0.0), &order(1, 2.0)).await;
    world.receive(days(2.0), &order(2, 2.0)).await;
    for (day, rows) in [(2.0, 8), (3.0, 4), (4.0, 4), (5.0, 0)] {
        let mut tx = world.database.store.begin("forget").await.unwrap();
        tx.forget_stage_spans(days(day), kept).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            world.count("select count(*) from stage_spans").await,
            rows,
            "{day}"
        );
    }
}
