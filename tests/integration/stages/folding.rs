//! Every judged workflow is added once, and what changes is corrected exactly.

use throughline::domain::{
    counting::stages::MAX_STAGES, slo::Stages, workflow::classify::DiscardReason,
};

use super::world::{app, order, sent, taken};
use crate::support::span::{SpanBuilder, span};

#[tokio::test]
async fn good_and_bad_workflows_are_added_up_stage_by_stage() {
    let app = app(Stages::Auto).await;
    for (nth, wait) in [(1, 2.0), (2, 4.0), (3, 90.0)] {
        app.at_second(100.0).send(order(nth, wait)).await;
    }
    assert_eq!(app.at_second(101.0).aggregate().await.aggregated, 3);
    assert_eq!(
        app.means().await,
        [
            "shop 2.0 2.0",
            "wait in cards 3.0 90.0",
            "cards 1.0 1.0",
            "wait in parcels 1.0 1.0",
            "parcels 1.0 1.0",
        ]
    );
    let (good, bad) = app.stage_sums().await;
    assert_eq!((good.workflows, bad.workflows), (2, 1));
    assert_eq!(app.at_second(102.0).aggregate().await.aggregated, 0);
}

#[tokio::test]
async fn any_order_duplication_and_spread_over_replicas_gives_the_same_sums() {
    let (straight, shuffled) = (app(Stages::Auto).await, app(Stages::Auto).await);
    let other = shuffled.replica();
    for nth in 1..=4_u32 {
        straight.at_second(100.0);
        straight.send(order(nth.into(), f64::from(nth))).await;
    }
    straight.at_second(101.0).aggregate().await;

    for nth in [3_u32, 1, 4, 2, 4] {
        for span in order(nth.into(), f64::from(nth)).iter().rev() {
            shuffled.at_second(100.0).send([span]).await;
            tokio::join!(shuffled.aggregate(), other.aggregate());
            other.at_second(100.5).send([span]).await;
        }
    }
    // Late spans are looked for once more after five minutes.
    shuffled.at_second(401.0).aggregate().await;
    assert_eq!(shuffled.stage_sums().await, straight.stage_sums().await);
    assert_eq!(shuffled.at_second(402.0).aggregate().await.aggregated, 0);
}

#[tokio::test]
async fn spans_that_come_after_the_verdict_are_added_within_minutes() {
    let app = app(Stages::Auto).await;
    let [placed, to_cards, paid, to_parcels, packed, shipped] = order(1, 10.0).try_into().unwrap();
    let (early, late) = ([placed, shipped], [to_cards, paid, to_parcels, packed]);
    app.at_second(20.0).send(early).await;
    app.at_second(21.0).aggregate().await;
    assert_eq!(app.means().await, ["other 15.0 -"]);
    app.at_second(60.0).send(late).await;
    assert_eq!(app.at_second(61.0).aggregate().await.aggregated, 0);
    assert_eq!(app.at_second(321.0).aggregate().await.aggregated, 1);
    assert!(
        app.means()
            .await
            .contains(&"wait in cards 10.0 -".to_owned())
    );
    assert!(!app.means().await.concat().contains("other"));
}

#[tokio::test]
async fn a_verdict_that_is_corrected_moves_from_bad_to_good() {
    let app = app(Stages::Auto).await;
    let spans = order(1, 40.0);
    let (end, begin) = spans.split_last().unwrap();
    app.at_second(50.0).send(begin).await;
    app.at_second(300.0).judge().await;
    app.at_second(301.0).aggregate().await;
    let (good, bad) = app.stage_sums().await;
    assert_eq!((good.workflows, bad.workflows), (0, 1));
    assert_eq!(
        bad.by_stage.values().map(|sum| sum.micros).sum::<i64>(),
        60_000_000
    );

    app.at_second(900.0).send([end]).await;
    app.at_second(901.0).aggregate().await;
    let (good, bad) = app.stage_sums().await;
    assert_eq!((good.workflows, bad.workflows), (1, 0));
    assert!(bad.by_stage.is_empty(), "{bad:?}");
    assert_eq!(
        good.by_stage.values().map(|sum| sum.micros).sum::<i64>(),
        45_000_000
    );
}

#[tokio::test]
async fn what_turns_out_to_be_cancelled_is_taken_out_again() {
    let app = app(Stages::Auto).await;
    let begin = span("placed");
    app.at_second(2.0).send([begin]).await;
    app.at_second(300.0).judge().await;
    app.at_second(301.0).aggregate().await;
    let cancelled = span("cancelled").at(30.0);
    app.at_second(320.0).send([cancelled]).await;
    app.at_second(321.0).aggregate().await;
    let (good, bad) = app.stage_sums().await;
    assert_eq!((good.workflows, bad.workflows), (0, 0));
    assert!(bad.by_stage.is_empty(), "{bad:?}");
    // Late spans would have nothing to be added to.
    assert_eq!(app.at_second(700.0).aggregate().await.aggregated, 0);
}

#[tokio::test]
async fn a_workflow_that_is_stuck_is_waiting_in_its_queue() {
    let app = app(Stages::Auto).await;
    let spans = [span("placed"), sent("cards", 0.0, 1.0)];
    app.at_second(2.0).send(spans).await;
    app.at_second(300.0).judge().await;
    app.at_second(301.0).aggregate().await;
    assert_eq!(app.means().await, ["shop - 1.0", "wait in cards - 59.0"]);
}

#[tokio::test]
async fn stages_beyond_the_bound_are_other_and_counted() {
    let app = app(Stages::Auto).await;
    for nth in 1..=40 {
        let spans = [
            span("placed"),
            taken(&format!("reply-{nth}"), 1.0, 2.0),
            span("shipped").at(2.0),
        ];
        app.at_second(3.0)
            .send(spans.map(|span| span.trace(nth)))
            .await;
    }
    app.at_second(4.0).aggregate().await;
    let (good, _) = app.stage_sums().await;
    assert_eq!(good.workflows, 40);
    assert_eq!(good.by_stage.len(), MAX_STAGES + 1);
    assert_eq!(
        good.by_stage.values().map(|sum| sum.micros).sum::<i64>(),
        80_000_000
    );
    let counted = DiscardReason::TooManyStages.as_str();
    assert_eq!(app.evidence_counts(counted).await, 80 - 50);
}

#[tokio::test]
async fn s20_sampled_workflows_count_for_all_that_they_stand_for_and_are_corrected_so() {
    let app = app(Stages::Auto).await;
    let sampled = |span: SpanBuilder| span.trace_of(&[0xe0; 16]).trace_state("ot=th:c");
    let of_four = || order(1, 20.0).into_iter().map(sampled);
    app.at_second(100.0).send(order(1, 10.0)).await;
    app.at_second(100.0).send(of_four()).await;
    app.at_second(101.0).aggregate().await;
    assert_eq!(app.means().await[1], "wait in cards 18.0 -");
    // It turns out to have been late for a start that came first.
    let early = sampled(span("placed").at(-100.0));
    app.at_second(102.0).send([early]).await;
    app.at_second(103.0).aggregate().await;
    let (good, bad) = app.stage_sums().await;
    assert_eq!((good.workflows, good.unseen), (1, 0));
    assert_eq!((bad.workflows, bad.unseen), (1, 3_000_000));
    let means = app.means().await;
    assert!(
        means.contains(&"wait in cards 10.0 20.0".to_owned()),
        "{means:?}"
    );
}

/// The clock of the shop is half a minute ahead: every order ends before it starts, so none is an event.
#[tokio::test]
async fn s31_whose_clock_is_ahead_is_told_by_the_waits_of_messages_though_no_event_is_left() {
    let app = app(Stages::Auto).await;
    for nth in 1..=12_u32 {
        let work = 1.0 + f64::from(nth) / 10.0;
        let spans = [
            span("placed").at(30.0),
            sent("cards", 30.0, 31.0),
            taken("cards", work, 3.0),
            span("shipped").at(3.0),
        ];
        app.at_second(40.0)
            .send(spans.map(|span| span.trace(nth.into())))
            .await;
    }
    app.at_second(41.0).aggregate().await;
    assert_eq!(app.counts().await.invalid, 12);
    let (good, bad) = app.stage_sums().await;
    assert_eq!((good.workflows, bad.workflows), (0, 0));
    assert_eq!(app.at_second(42.0).aggregate().await.aggregated, 0);
    let clocks = &app.api("/slos/orders").await["clocks"];
    assert_eq!(clocks[0]["sender"], "shop", "{clocks}");
    assert_eq!(clocks[0]["receiver"], "cards");
    assert_eq!(clocks[0]["hops"], 12);
    assert_eq!(clocks[0]["least_wait_seconds"], -28.9);
    let page = app.page("/slos/orders").await.body;
    assert!(
        page.contains("the clock of shop is ahead of that of cards by at least 28.9 s"),
        "{page}"
    );
    let metric = "throughline_slo_hop_wait_min_seconds{receiver=\"cards\",sender=\"shop\",\
                  slo=\"orders\"} -28.9";
    assert!(app.page("/metrics").await.body.contains(metric));
}
