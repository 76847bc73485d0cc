//! The spans of messages are stored with the workflows that they concern; the others wait in memory
//! for a while, and cost no row.

use throughline::domain::slo::Stages;

use super::world::{another_replica, app, order, sent};
use crate::support::{
    app::{Replica, TestApp},
    span::SpanBuilder,
};

/// An app that knows which workflows there are, and another replica of it.
async fn two_replicas() -> (TestApp, Replica) {
    let app = app(Stages::Auto).await;
    let other = another_replica(&app).await;
    (app, other)
}

fn messages_of(order: &[SpanBuilder]) -> &[SpanBuilder] {
    &order[1..5]
}

#[tokio::test]
async fn messages_that_concern_no_workflow_cost_no_row() {
    let (app, _) = two_replicas().await;
    app.send((1..=50).map(|nth| sent("mails", 0.0, 1.0).trace(nth)))
        .await;
    let waiting = app.learn_workflows().await;
    assert_eq!((waiting.waiting, waiting.dropped), (50, 0));
    assert_eq!(app.kept().await, 0);
}

#[tokio::test]
async fn whatever_comes_first_and_wherever_the_sums_are_the_same() {
    let straight = app(Stages::Auto).await;
    straight.at_second(100.0).send(order(1, 2.0)).await;
    straight.at_second(101.0).aggregate().await;

    let spans = order(1, 2.0);
    let (app, other) = two_replicas().await;
    // Before anybody knows of the workflow, and at the replica that never hears of its start.
    app.at_second(17.0).send(&messages_of(&spans)[..2]).await;
    other.send(&messages_of(&spans)[2..3]).await;
    assert_eq!(app.kept().await, 0);
    app.at_second(18.0).send([&spans[0]]).await;
    assert_eq!(app.kept().await, 2);
    other.learn_workflows().await;
    assert_eq!(app.kept().await, 3);
    // Once it is known, at once.
    other.send(&messages_of(&spans)[3..]).await;
    assert_eq!(app.kept().await, 4);
    app.at_second(19.0).send([&spans[5]]).await;
    app.at_second(20.0).aggregate().await;
    assert_eq!(app.stage_sums().await, straight.stage_sums().await);
}

#[tokio::test]
async fn a_replica_that_starts_knows_the_workflows_that_are_open() {
    let (app, _) = two_replicas().await;
    let spans = order(1, 2.0);
    app.at_second(17.0).send([&spans[0]]).await;
    let late = app.replica();
    // Until it knows them nothing is stored, and then what has waited.
    late.send(&messages_of(&spans)[..1]).await;
    late.send([sent("mails", 0.0, 1.0).trace(99)]).await;
    assert_eq!(app.kept().await, 0);
    assert_eq!(late.learn_workflows().await.waiting, 1);
    assert_eq!(app.kept().await, 1);
    late.send(&messages_of(&spans)[1..2]).await;
    assert_eq!(app.kept().await, 2);
}

#[tokio::test]
async fn what_others_do_not_say_to_a_replica_that_starts_is_loaded() {
    let app = app(Stages::Auto).await;
    app.learn_workflows().await;
    let late = app.replica();
    late.learn_workflows().await;
    // Nobody knows yet that there is another replica.
    let spans = order(1, 2.0);
    app.at_second(1.0).send([&spans[0]]).await;
    late.send(&messages_of(&spans)[..1]).await;
    assert_eq!(late.at_second(14.0).learn_workflows().await.waiting, 1);
    assert_eq!(late.at_second(15.0).learn_workflows().await.waiting, 0);
    assert_eq!(app.kept().await, 1);
}
