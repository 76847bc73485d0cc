//! Spans in, counts out, on a real Postgres: exactly once through order, duplicates and replicas.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, Executor as _};
use throughline::domain::{
    model::{
        counts::EventCounts,
        ids::Revision,
        time::{TimeRange, Timestamp},
    },
    slo::{SloRevision, definition::DefinitionFile},
    workflow::{Judging, JudgingContext, Outcome, WorkflowNote, classify::Classifier},
};
use throughline::recording::Recording;
use throughline::store::{PagesAStep, Progress, SpanCounts, Writer};

use crate::support::{
    app::{HORIZON, MINUTE, Replica, TestApp, good, minute_long, slo, time, timeouts},
    database::TestDatabase,
    span::{SpanBuilder, span},
};

const WITHIN: Duration = Duration::from_mins(1);
const KEPT_EPOCHS: &str = "select count(*) from epochs where purged_at is null";

async fn app() -> TestApp {
    let orders = minute_long("placed", "shipped", "span.order.id", "");
    TestApp::new().slo(&orders).at("06:18").await
}

fn of_order(nth: u32, name: &str, secs: f64) -> SpanBuilder {
    let span = span(name).trace(nth.into()).at(secs);
    span.attribute("order.id", format!("order-{nth}"))
}

fn started(nth: u32) -> SpanBuilder {
    of_order(nth, "placed", 0.0)
}

fn succeeded(nth: u32, secs: f64) -> SpanBuilder {
    of_order(nth, "shipped", secs)
}

/// The sums at each resolution must be the same.
async fn assert_counts(app: &TestApp, expected: EventCounts) {
    app.assert_counts(expected).await;
    let sums = "select count(distinct (good, late, timeout)) from (
            select sum(good) as good, sum(late) as late, sum(timeout) as timeout
            from event_counts group by resolution) as sums";
    assert!(app.number(sums).await <= 1, "resolutions differ");
}

/// As nightly maintenance does; whether an epoch was dropped.
async fn retain(app: &TestApp, now: Timestamp) -> bool {
    let mut tx = app.store.begin("retain").await.unwrap();
    tx.ensure_epoch(now, HORIZON).await.unwrap();
    tx.commit().await.unwrap();
    let before = app.number(KEPT_EPOCHS).await;
    while step(app, now).await == Progress::More {}
    app.number(KEPT_EPOCHS).await < before
}

async fn step(app: &TestApp, now: Timestamp) -> Progress {
    step_of(app, now, PagesAStep::DEFAULT).await
}

async fn step_of(app: &TestApp, now: Timestamp, pages: PagesAStep) -> Progress {
    let mut tx = app.store.begin("drop an epoch").await.unwrap();
    let progress = tx.drop_oldest_epoch(now, HORIZON, pages).await.unwrap();
    tx.commit().await.unwrap();
    progress
}

/// Inserts timeouts of the first minute into the first epoch.
async fn insert_timeouts(app: &TestApp, number: u32) {
    let slo = app.only().0;
    let sql = format!(
        "insert into workflows (slo_id, key, epoch, label, started_at, within_us, trace_id,
             trace_rank, outcome, judged_at)
         select {slo}, gen_random_uuid(), 0, 'order', at, 60000000, gen_random_uuid(), 0, {}, at
         from generate_series(1, {number}), (select timestamptz '{}' as at) as began",
        Outcome::Timeout.as_code(),
        app.began.to_rfc3339(),
    );
    let mut past = app.database.connect().await;
    past.execute(AssertSqlSafe(sql)).await.unwrap();
    app.fill_lists().await;
}

#[tokio::test]
async fn a_workflow_is_counted_once_however_often_its_spans_arrive() {
    let app = app().await;
    let spans = [started(1), succeeded(1, 44.0)];
    for _ in 0..3 {
        app.send(&spans).await;
    }
    app.send(&spans[1..]).await;
    assert_counts(&app, good(1)).await;
}

/// In microseconds.
#[tokio::test]
async fn r4_a_large_request_is_committed_in_parts_and_counted_once() {
    let app = app().await;
    let spans = || (0..10_000).flat_map(|nth| [started(nth), succeeded(nth, 1.0)]);
    app.send(spans()).await;
    let transactions = "select count(distinct xmin::text) from workflows";
    assert_eq!(app.number(transactions).await, 2);
    app.send(spans()).await;
    assert_counts(&app, good(10_000)).await;
}

async fn first_evidence_at(app: &TestApp) -> i64 {
    app.number("select (extract(epoch from first_evidence_at) * 1000000)::bigint from workflows")
        .await
}

#[tokio::test]
async fn a_workflow_keeps_the_time_at_which_its_first_evidence_was_recorded() {
    let app = app().await;
    app.at_second(50.0).send([succeeded(1, 44.0)]).await;
    let first = first_evidence_at(&app).await;
    assert_eq!(first, app.clock.now().as_micros());
    app.send([started(1)]).await;
    app.at_second(10_000.0).judge().await;
    assert_eq!(first_evidence_at(&app).await, first);
}

#[tokio::test]
async fn a_timeout_that_an_end_in_time_refutes_is_taken_back_and_counted_as_corrected() {
    let app = app().await;
    app.send([started(1), started(2)]).await;
    assert_eq!(app.at_second(179.0).judge().await.judged, 0);
    assert_eq!(app.at_second(180.0).judge().await.judged, 2);
    assert_counts(&app, timeouts(2)).await;
    app.at_second(900.0).judge().await;
    app.send([succeeded(1, 50.0), succeeded(2, 70.0)]).await;
    assert_counts(&app, EventCounts { late: 1, ..good(1) }).await;
    let corrected = app.evidence_counts(WorkflowNote::Corrected.as_str()).await;
    assert_eq!(corrected, 2);
}

#[tokio::test]
async fn a_replica_whose_watermark_lags_does_not_reopen_a_timeout() {
    let app = app().await;
    app.send([started(1)]).await;
    app.at_second(180.0).judge().await;
    app.well_until(app.began + Duration::from_secs(20));
    app.send([started(1)]).await;
    assert_counts(&app, timeouts(1)).await;
}

/// All spans of 300 workflows, a tenth of them late, in an order that `stride` decides.
fn everything_in_steps_of(stride: usize) -> Vec<SpanBuilder> {
    let end = |nth| if nth % 10 == 0 { 70.0 } else { 30.0 };
    let of_workflow = |nth| [started(nth), succeeded(nth, end(nth))];
    let spans: Vec<_> = (0..300).flat_map(of_workflow).collect();
    (0..spans.len())
        .map(|i| spans[(i * stride) % spans.len()].clone())
        .collect()
}

async fn send_everything(replica: &Replica, stride: usize) {
    for request in everything_in_steps_of(stride).chunks(37) {
        replica.send(request).await;
    }
}

#[tokio::test]
async fn replicas_that_write_the_same_workflows_at_once_lose_and_double_nothing() {
    let app = app().await;
    let [one, two] = [app.replica(), app.replica()];
    tokio::join!(
        send_everything(&app, 7),
        send_everything(&one, 11),
        send_everything(&two, 13),
    );
    app.at_second(10_000.0).judge().await;
    assert_counts(
        &app,
        EventCounts {
            late: 30,
            ..good(270)
        },
    )
    .await;
}

/// A timeout is under way, and its end arrives in time: the transaction that records the end has read an open
/// workflow, which is one no more when the other has committed.
#[tokio::test]
async fn a_workflow_that_has_changed_since_it_was_read_is_read_again() {
    let app = app().await;
    app.send([started(1)]).await;
    app.at_second(200.0);
    let now = app.clock.now();
    let judging = |_| Judging::healthy(Duration::from_mins(2), now);
    let (mut under_way, state) = app.store.begin_recording("judge").await.unwrap();
    let mut recording = Recording::new(&mut under_way, state, &judging);
    let context = JudgingContext::healthy(now);
    let due = recording.judge_due(&context, 10).await.unwrap();
    assert_eq!(due.looked_at, 1);
    let spans = SpanCounts::default();
    let counted = recording.write_counts(Writer(5), now, &spans);
    counted.await.unwrap();
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    tokio::join!(app.send([succeeded(1, 44.0)]), async {
        while app.number(waits).await == 0 {
            tokio::task::yield_now().await;
        }
        under_way.commit().await.unwrap();
    });
    assert_counts(&app, good(1)).await;
    let corrected = app.evidence_counts(WorkflowNote::Corrected.as_str()).await;
    assert_eq!(corrected, 1);
}

#[tokio::test]
async fn sweepers_share_the_overdue_work_and_count_each_workflow_once() {
    let app = app().await;
    let other = app.replica();
    app.send((0..500).map(started)).await;
    app.at_second(500.0);
    let (first, second) = tokio::join!(app.judge(), other.judge());
    app.judge().await;
    assert!(first.judged + second.judged >= 500);
    assert_counts(&app, timeouts(500)).await;
}

#[tokio::test]
async fn a_workflow_of_an_older_epoch_is_found_and_not_inserted_again() {
    let app = app().await;
    app.send([started(1)]).await;
    app.open_epoch(app.began + HORIZON).await;
    app.send([started(1), succeeded(1, 30.0), started(2)]).await;
    let of_epoch = ["= 0", "= 1", "> 1"];
    let rows = "select count(*) from workflows where epoch ";
    let mut epochs = Vec::new();
    for epoch in of_epoch {
        epochs.push(app.number(format!("{rows}{epoch}")).await);
    }
    assert_eq!(epochs, [1, 1, 0]);
}

#[tokio::test]
async fn an_epoch_is_dropped_only_when_nobody_can_speak_of_its_workflows_any_more() {
    let app = app().await;
    app.send([started(1), succeeded(1, 30.0), started(2)]).await;
    let weeks = |n: u32| app.began + HORIZON * n;
    assert!(
        !retain(&app, weeks(1)).await,
        "the horizon still reaches into it"
    );
    assert!(
        !retain(&app, weeks(2) + WITHIN).await,
        "a workflow in it is still open"
    );
    app.clock.set(weeks(2));
    app.judge().await;
    assert!(retain(&app, weeks(3)).await);
    assert_eq!(app.number("select count(*) from workflows").await, 0);
    assert_eq!(
        app.counts().await.total(),
        2,
        "counts outlive the workflows"
    );
}

const PURGED_KEYS: &str = "select count(*) from purged_workflows";

#[tokio::test]
async fn an_epoch_of_more_pages_than_a_step_reads_is_dropped_in_committed_steps() {
    let app = app().await;
    insert_timeouts(&app, 5_000).await;
    retain(&app, app.began + HORIZON).await;
    let now = app.began + HORIZON * 2 + MINUTE;
    let pages = "select pg_relation_size('workflows_0') / 8192";
    let third = PagesAStep((app.number(pages).await + 2) / 3);
    let mut before = 0;
    for _ in 0..3 {
        assert_eq!(step_of(&app, now, third).await, Progress::More);
        let keys = app.number(PURGED_KEYS).await;
        assert!(keys > before, "{keys} keys after {before}");
        before = keys;
    }
    assert_eq!(before, 5_000);
    assert_eq!(app.number(KEPT_EPOCHS).await, 2);
    assert_eq!(step(&app, now).await, Progress::More);
    assert_eq!(app.number(KEPT_EPOCHS).await, 1);
    assert_eq!(app.number("select count(*) from workflows").await, 0);
    assert_eq!(step(&app, now).await, Progress::Done);
    // The keys are dropped at once, and not row by row.
    for (weeks, progress) in [
        (3, Progress::Done),
        (5, Progress::More),
        (5, Progress::Done),
    ] {
        let before = app.began + HORIZON * (weeks - 2);
        let mut tx = app.store.begin("forget keys").await.unwrap();
        assert_eq!(tx.forget_purged(before).await.unwrap(), progress);
        tx.commit().await.unwrap();
    }
    let keys = "select count(*) from pg_class where relname = 'purged_workflows_0'";
    assert_eq!(app.number(keys).await, 0);
}

/// As by a pause that is known of afterwards.
#[tokio::test]
async fn an_epoch_is_kept_if_a_deadline_moves_after_its_page_was_looked_at() {
    let app = app().await;
    insert_timeouts(&app, 3).await;
    retain(&app, app.began + HORIZON).await;
    let now = app.began + HORIZON * 2 + MINUTE;
    assert_eq!(step(&app, now).await, Progress::More);
    assert_eq!(app.number(PURGED_KEYS).await, 3);
    let moved = [
        "update workflows set judged_at = judged_at + interval '8 days' where key = (select min(key::text)::uuid from workflows)",
        "update bad_workflows b set judged_at = w.judged_at from workflows w where w.key = b.key",
    ];
    for sql in moved {
        app.database.connect().await.execute(sql).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(step(&app, now).await, Progress::Done);
        assert_eq!(app.number(KEPT_EPOCHS).await, 2);
        assert_eq!(app.number("select count(*) from workflows").await, 3);
    }
    assert!(retain(&app, now + HORIZON * 2).await);
    assert_eq!(app.number(PURGED_KEYS).await, 3, "each once");
}

#[tokio::test]
async fn a_clean_up_does_not_make_recording_wait_behind_a_backup() {
    let app = app().await;
    app.send([started(1), succeeded(1, 30.0)]).await;
    retain(&app, app.began + HORIZON).await;
    let now = app.began + HORIZON * 2 + MINUTE;
    let mut backup = app.database.connect().await;
    backup
        .execute("begin; lock table workflows in access share mode")
        .await
        .unwrap();
    assert_eq!(step(&app, now).await, Progress::More);
    let mut tx = app.store.begin("drop an epoch").await.unwrap();
    tx.drop_oldest_epoch(now, HORIZON, PagesAStep::DEFAULT)
        .await
        .unwrap_err();
    // PostgreSQL rolls a failed transaction back at its commit. A drop would do so in the background.
    tx.commit().await.unwrap();
    backup.execute("rollback").await.unwrap();
    while step(&app, now).await == Progress::More {}
    assert_eq!(app.number(KEPT_EPOCHS).await, 1);
}

#[tokio::test]
async fn an_end_of_a_workflow_that_is_gone_is_too_late_and_no_orphan() {
    let app = app().await;
    app.send([started(1), started(2), succeeded(2, 30.0)]).await;
    let weeks = |n: u32| app.began + HORIZON * n;
    app.clock.set(weeks(1));
    app.judge().await;
    for week in 1..=3 {
        retain(&app, weeks(week)).await;
    }
    app.clock.set(weeks(3));
    let late = HORIZON.as_secs_f64() * 3.0 - 60.0;
    app.send([succeeded(1, late), succeeded(3, late)]).await;
    assert_eq!(app.evidence_counts(WorkflowNote::TooLate.as_str()).await, 1);
    app.clock.set(weeks(4));
    app.judge().await;
    let rows = "select count(*) from workflows";
    assert_eq!(app.number(rows).await, 1);
    let orphan = Outcome::Orphan.as_code();
    let orphans = format!("{rows} where label = 'order-3' and outcome = {orphan}");
    assert_eq!(app.number(orphans).await, 1);
}

#[tokio::test]
async fn partitions_of_counts_are_made_ahead_and_dropped_when_old() {
    let store = TestDatabase::create().await.store;
    let began = time("06:18");
    let day = Duration::from_hours(24);
    let mut tx = store.begin("prepare").await.unwrap();
    let around = TimeRange::new(began - day, began + day);
    tx.ensure_count_partitions(around).await.unwrap();
    tx.commit().await.unwrap();
    let retention = throughline::store::Retention {
        minutes: Duration::from_hours(768),
        hours: Duration::from_hours(9600),
    };
    let drop_at = async |days: u32| {
        let mut tx = store.begin("retain").await.unwrap();
        let dropped = tx
            .drop_old_counts(began + day * days, &retention)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        dropped
    };
    assert_eq!(drop_at(30).await, Vec::<String>::new());
    assert!(
        drop_at(47)
            .await
            .iter()
            .all(|name| name.starts_with("event_counts_minute_"))
    );
    assert!(
        drop_at(600)
            .await
            .iter()
            .any(|name| name.starts_with("event_counts_hour_"))
    );
}

/// The start span has another name from the beginning of the story on.
#[tokio::test]
async fn s38_spans_that_were_read_by_an_older_set_of_definitions_are_read_again_by_the_newer() {
    let app = app().await;
    let renamed = minute_long("ordered", "shipped", "span.order.id", "");
    let file = DefinitionFile {
        path: "orders.yaml".to_owned(),
        text: renamed.clone(),
    };
    let mut tx = app.store.begin("put in force").await.unwrap();
    let written_at = app.began - MINUTE;
    tx.put_definitions_in_force(&[file], written_at)
        .await
        .unwrap();
    let [set] = <[_; 1]>::try_from(tx.definition_sets_after(Revision(0)).await.unwrap()).unwrap();
    tx.commit().await.unwrap();
    let mut revisions = app.definitions.classifier.borrow().revisions().clone();
    revisions.get_mut(&app.only()).unwrap().push(SloRevision {
        number: Revision(2),
        in_force_from: set.in_force_from,
        slo: Some(Arc::new(slo(&renamed))),
    });
    let newer = Arc::new(Classifier::with_revisions(set.number, revisions));
    // Both are begun in this order, so the spans are read by the older set first.
    tokio::join!(app.send([started(1), of_order(2, "ordered", 0.0)]), async {
        drop(app.definitions.classifier.send_replace(newer));
    },);
    let started = "select count(*) from workflows where started_at is not null and label = ";
    assert_eq!(app.number(&format!("{started}'order-1'")).await, 0);
    assert_eq!(app.number(&format!("{started}'order-2'")).await, 1);
}
