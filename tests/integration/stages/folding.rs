//! Every judged workflow is added once, and what changes is corrected exactly.

use throughline::domain::{counting::stages::MAX_STAGES, model::span::SpanKind, slo::Stages};

use super::world::{World, at, message, order, span};

#[tokio::test]
async fn good_and_bad_workflows_are_added_up_stage_by_stage() {
    let world = World::new(Stages::Auto).await;
    for (nth, wait) in [(1, 2.0), (2, 4.0), (3, 90.0)] {
        world.receive(at(100.0), &order(nth, wait)).await;
    }
    assert_eq!(world.fold(at(101.0)).await.folded, 3);
    assert_eq!(
        world.means().await,
        [
            "shop 2.0 2.0",
            "wait in cards 3.0 90.0",
            "cards 1.0 1.0",
            "wait in parcels 1.0 1.0",
            "parcels 1.0 1.0",
        ]
    );
    let (good, bad) = world.sums().await;
    assert_eq!((good.workflows, bad.workflows), (2, 1));
    assert_eq!(world.fold(at(102.0)).await.folded, 0);
}

#[tokio::test]
async fn any_order_duplication_and_spread_over_replicas_gives_the_same_sums() {
    let (straight, shuffled) = (
        World::new(Stages::Auto).await,
        World::new(Stages::Auto).await,
    );
    for nth in 1..=4 {
        straight
            .receive(at(100.0), &order(nth, f64::from(nth)))
            .await;
    }
    straight.fold(at(101.0)).await;

    for nth in [3, 1, 4, 2, 4] {
        for span in order(nth, f64::from(nth)).into_iter().rev() {
            shuffled
                .receive(at(100.0), std::slice::from_ref(&span))
                .await;
            let (one, other) = (shuffled.folder(), shuffled.folder());
            let (one, other) = tokio::join!(one.tick(at(100.0)), other.tick(at(100.0)));
            one.and(other).unwrap();
            shuffled.receive(at(100.5), &[span]).await;
        }
    }
    // Late spans are looked for once more after five minutes.
    shuffled.fold(at(401.0)).await;
    assert_eq!(shuffled.sums().await, straight.sums().await);
    assert_eq!(shuffled.fold(at(402.0)).await.folded, 0);
}

#[tokio::test]
async fn spans_that_come_after_the_verdict_are_added_within_minutes() {
    let world = World::new(Stages::Auto).await;
    let (early, late): (Vec<_>, Vec<_>) = order(1, 10.0)
        .into_iter()
        .partition(|span| span.kind == SpanKind::Internal);
    world.receive(at(20.0), &early).await;
    world.fold(at(21.0)).await;
    assert_eq!(world.means().await, ["other 15.0 -"]);
    world.receive(at(60.0), &late).await;
    assert_eq!(world.fold(at(61.0)).await.folded, 0);
    assert_eq!(world.fold(at(321.0)).await.folded, 1);
    assert!(
        world
            .means()
            .await
            .contains(&"wait in cards 10.0 -".to_owned())
    );
    assert!(!world.means().await.concat().contains("other"));
}

#[tokio::test]
async fn a_verdict_that_is_corrected_moves_from_bad_to_good() {
    let world = World::new(Stages::Auto).await;
    let spans = order(1, 40.0);
    let (end, begin) = spans.split_last().unwrap();
    world.receive(at(50.0), begin).await;
    world.sweep(at(300.0)).await;
    world.fold(at(301.0)).await;
    let (good, bad) = world.sums().await;
    assert_eq!((good.workflows, bad.workflows), (0, 1));
    assert_eq!(
        bad.by_stage.values().map(|sum| sum.micros).sum::<i64>(),
        60_000_000
    );

    world.receive(at(900.0), std::slice::from_ref(end)).await;
    world.fold(at(901.0)).await;
    let (good, bad) = world.sums().await;
    assert_eq!((good.workflows, bad.workflows), (1, 0));
    assert!(bad.by_stage.is_empty(), "{bad:?}");
    assert_eq!(
        good.by_stage.values().map(|sum| sum.micros).sum::<i64>(),
        45_000_000
    );
}

#[tokio::test]
async fn what_turns_out_to_be_cancelled_is_taken_out_again() {
    let world = World::new(Stages::Auto).await;
    let begin = span(1, "placed", SpanKind::Internal, (0.0, 0.0));
    world.receive(at(2.0), &[begin]).await;
    world.sweep(at(300.0)).await;
    world.fold(at(301.0)).await;
    let cancelled = span(1, "cancelled", SpanKind::Internal, (30.0, 30.0));
    world.receive(at(320.0), &[cancelled]).await;
    world.fold(at(321.0)).await;
    let (good, bad) = world.sums().await;
    assert_eq!((good.workflows, bad.workflows), (0, 0));
    assert!(bad.by_stage.is_empty(), "{bad:?}");
    // The look for late spans finds nothing to add, and is the last one.
    assert_eq!(world.fold(at(700.0)).await.folded, 1);
    assert_eq!(world.fold(at(701.0)).await.folded, 0);
}

#[tokio::test]
async fn a_workflow_that_is_stuck_is_waiting_in_its_queue() {
    let world = World::new(Stages::Auto).await;
    let spans = [
        span(1, "placed", SpanKind::Internal, (0.0, 0.0)),
        message(1, SpanKind::Producer, "cards", (0.0, 1.0)),
    ];
    world.receive(at(2.0), &spans).await;
    world.sweep(at(300.0)).await;
    world.fold(at(301.0)).await;
    assert_eq!(world.means().await, ["shop - 1.0", "wait in cards - 59.0"]);
}

#[tokio::test]
async fn stages_beyond_the_bound_are_other_and_counted() {
    let mut world = World::new(Stages::Auto).await;
    for nth in 1..=40 {
        let spans = [
            span(nth, "placed", SpanKind::Internal, (0.0, 0.0)),
            message(nth, SpanKind::Consumer, &format!("reply-{nth}"), (1.0, 2.0)),
            span(nth, "shipped", SpanKind::Internal, (2.0, 2.0)),
        ];
        world.receive(at(3.0), &spans).await;
    }
    world.fold(at(4.0)).await;
    let (good, _) = world.sums().await;
    assert_eq!(good.workflows, 40);
    assert_eq!(good.by_stage.len(), MAX_STAGES + 1);
    assert_eq!(
        good.by_stage.values().map(|sum| sum.micros).sum::<i64>(),
        80_000_000
    );
    let counted = "select count from evidence_counts where reason = 'too_many_stages'";
    assert_eq!(world.count(counted).await, 80 - 50);
}

#[tokio::test]
async fn s20_sampled_workflows_count_for_all_that_they_stand_for_and_are_corrected_so() {
    let world = World::new(Stages::Auto).await;
    let sampled = |nth: u8, wait: f64| {
        let mut spans = order(nth, wait);
        for span in &mut spans {
            "ot=th:c".clone_into(&mut span.trace_state);
        }
        spans
    };
    world.receive(at(100.0), &order(1, 10.0)).await;
    world.receive(at(100.0), &sampled(0xe0, 20.0)).await;
    world.fold(at(101.0)).await;
    assert_eq!(world.means().await[1], "wait in cards 18.0 -");
    // It turns out to have been late for a start that came first.
    let mut early = sampled(0xe0, 20.0).remove(0);
    early.start_unix_nano -= 100_000_000_000;
    world.receive(at(102.0), &[early]).await;
    world.fold(at(103.0)).await;
    let (good, bad) = world.sums().await;
    assert_eq!((good.workflows, good.unseen), (1, 0));
    assert_eq!((bad.workflows, bad.unseen), (1, 3_000_000));
    let means = world.means().await;
    assert!(
        means.contains(&"wait in cards 10.0 20.0".to_owned()),
        "{means:?}"
    );
}
