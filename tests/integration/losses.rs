//! Batches whose spans had no room for all of their links, on a real Postgres.

use std::time::Duration;

use throughline::{
    domain::{
        model::{counts::EventCounts, time::Timestamp},
        workflow::{Judging, JudgingContext},
    },
    evaluate::overdue::losses_kept,
    recording::Recording,
    store::{SpanCounts, Writer},
};

use crate::support::{
    app::{HOUR, SECOND, TestApp, minute_long, slo, time},
    span::{SpanBuilder, span},
};

fn orders() -> String {
    minute_long("start", "finish", "span.order.id", "")
}

async fn app() -> TestApp {
    TestApp::new().slo(&orders()).at("06:18").await
}

fn at(secs: u32) -> Timestamp {
    time("06:18") + SECOND * secs
}

fn start(order: &str, secs: f64) -> SpanBuilder {
    span("start").at(secs).attribute("order.id", order)
}

/// Ends these orders, and 372 more that it has no room for.
fn batch() -> SpanBuilder {
    let batch = span("finish").at(44.0).dropped_links(372);
    let link = |batch: SpanBuilder, order| batch.link_to(1, 1).link_attribute("order.id", order);
    ["o1", "o2"].into_iter().fold(batch, link)
}

fn expected(good: i64, timeout: i64, evidence_lost: i64) -> EventCounts {
    EventCounts {
        good,
        timeout,
        evidence_lost,
        ..EventCounts::ZERO
    }
}

#[tokio::test]
async fn s10_timeouts_that_lost_links_may_explain_are_taken_back_whichever_replica_hears_of_them() {
    let app = app().await;
    let other = app.replica();
    app.send(["o1", "o2", "o3"].map(|order| start(order, 0.0)))
        .await;
    app.send([start("o4", 200.0)]).await;
    app.at_second(600.0).judge().await;
    app.assert_counts(expected(0, 4, 0)).await;
    for _ in 0..2 {
        other.send([batch()]).await;
        app.at_second(601.0).judge().await;
        app.assert_counts(expected(2, 1, 1)).await;
    }
    // What comes after its deadline is judged by what is known to be lost.
    app.send([start("o5", 10.0), start("o6", 300.0)]).await;
    app.at_second(1_000.0).judge().await;
    app.assert_counts(expected(2, 2, 2)).await;
    let end = span("finish").at(50.0).attribute("order.id", "o3");
    other.send([end]).await;
    app.assert_counts(expected(3, 2, 1)).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
async fn s10_a_verdict_under_way_that_has_not_seen_the_loss_is_waited_for() {
    let app = app().await;
    app.send([start("o3", 0.0)]).await;
    let judging = |_| Judging::healthy(Duration::from_mins(2), at(600));
    let context = JudgingContext::healthy(at(600));
    let (mut under_way, state) = app.store.begin_recording("judge").await.unwrap();
    let mut recording = Recording::new(&mut under_way, state, &judging);
    let due = recording.judge_due(&context, 10).await.unwrap();
    assert_eq!(due.looked_at, 1);
    let spans = SpanCounts::default();
    recording
        .write_counts(Writer(5), at(600), &spans)
        .await
        .unwrap();
    app.replica().send([batch()]).await;
    let overdue = app.overdue();
    let doubting = tokio::spawn(async move { overdue.tick(at(600), at(600)).await });
    let waits = "select count(*) from pg_locks where not granted and locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())";
    while app.number(waits).await == 0 {
        tokio::task::yield_now().await;
    }
    under_way.commit().await.unwrap();
    assert_eq!(doubting.await.unwrap().unwrap().doubted, 1);
    let counts = app.counts().await;
    assert_eq!((counts.timeout, counts.evidence_lost), (0, 1));
}

#[tokio::test]
async fn s10_when_evidence_was_lost_is_forgotten_and_stays_counted() {
    let app = app().await;
    let other = app.replica();
    app.send([start("o3", 0.0), batch()]).await;
    app.at_second(600.0).judge().await;
    // What is left of it: whether a start that comes now is judged by it.
    for (second, floor, order, lost) in [(1_000.0, 0, "o4", 2), (2_000.0, 60, "o5", 2)] {
        let mut tx = app.store.begin("forget").await.unwrap();
        tx.forget_losses(at(floor)).await.unwrap();
        tx.commit().await.unwrap();
        other.send([start(order, 0.0)]).await;
        app.at_second(second).judge().await;
        assert_eq!(app.counts().await.evidence_lost, lost, "{order}");
    }
}

#[tokio::test]
async fn what_waited_for_its_end_when_a_backup_was_restored_is_no_timeout() {
    let app = app().await;
    let notes_restore = async |second| {
        let mut tx = app.store.begin("look").await.unwrap();
        let lost = tx.note_restore(at(second)).await.unwrap();
        tx.commit().await.unwrap();
        lost.is_some()
    };
    assert!(!notes_restore(1).await, "the first start");
    app.send([start("judged", 0.0)]).await;
    app.at_second(300.0).judge().await;
    app.assert_counts(expected(0, 1, 0)).await;
    app.at_second(590.0);
    app.send([start("waits", 580.0), start("ends", 580.0)])
        .await;
    app.beat(at(600)).await;
    assert!(!notes_restore(610).await, "another start");
    let mut connection = app.database.connect().await;
    sqlx::query("update service_state set database_identity = 'of the backup'")
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(notes_restore(650).await);
    app.at_second(700.0).send([start("later", 700.0)]).await;
    app.at_second(1_000.0).judge().await;
    app.assert_counts(expected(0, 2, 2)).await;
    let end = span("finish").at(630.0).attribute("order.id", "ends");
    app.send([end]).await;
    // What was judged before the backup stays as it was, however often it is sent.
    app.send([start("judged", 0.0)]).await;
    app.assert_counts(expected(1, 2, 1)).await;
}

#[test]
fn what_was_lost_is_remembered_longer_than_workflows_are_kept() {
    let horizon = HOUR * 168;
    assert_eq!(
        losses_kept([slo(&orders())].iter(), horizon),
        horizon * 3 + Duration::from_mins(1)
    );
}
