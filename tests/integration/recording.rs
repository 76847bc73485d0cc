//! Evidence in, counts out, on a real Postgres: exactly once through order, duplicates and replicas.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            group::GroupValues,
            ids::{SloId, TraceId},
            sampling::EndSampling,
            time::{TimeRange, Timestamp},
        },
        workflow::{
            EventKey, Evidence, EvidenceByEvent, Fact, Judging, Losses, Outcome, WorkflowNote,
            gather,
        },
    },
    store::{Store, StoreError, Writer},
};

use crate::support::database::TestDatabase;

const SLO: SloId = SloId(1);
const WITHIN: Duration = Duration::from_mins(1);
const HORIZON: Duration = Duration::from_hours(168);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280 + secs)
}

fn evidence(workflow: u32, fact: Fact) -> Evidence {
    let mut key = [7; 16];
    key[..4].copy_from_slice(&workflow.to_be_bytes());
    Evidence {
        slo: SLO,
        key: EventKey(key),
        label: format!("order-{workflow}"),
        fact,
        trace_id: TraceId::from_slice(&key).unwrap(),
        customer: Some(format!("customer-{}", workflow % 7)),
        sample: None,
        group: GroupValues::default(),
    }
}

fn started(workflow: u32, secs: i64) -> Evidence {
    evidence(
        workflow,
        Fact::Started {
            at: at(secs),
            within: WITHIN,
        },
    )
}

fn succeeded(workflow: u32, secs: i64) -> Evidence {
    evidence(workflow, Fact::Succeeded { at: at(secs) })
}

fn judging(watermark: Timestamp) -> Judging {
    Judging {
        grace: Duration::from_mins(2),
        watermark,
        skew_tolerance: Judging::DEFAULT_SKEW_TOLERANCE,
        ends: EndSampling::default(),
        losses: Losses::NoneKnown,
    }
}

/// A database that is ready to record.
async fn ready() -> TestDatabase {
    let database = TestDatabase::create().await;
    let mut tx = database.store.begin("prepare").await.unwrap();
    tx.ensure_epoch(at(0), HORIZON).await.unwrap();
    tx.ensure_count_partitions(TimeRange::new(at(-86_400), at(86_400)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    database
}

async fn try_record(
    store: &Store,
    writer: Writer,
    gathered: &EvidenceByEvent,
    watermark: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = store.begin("record").await?;
    let moves = tx
        .record_workflows(gathered, &|_| judging(watermark))
        .await?;
    tx.add_counts(writer, &moves).await?;
    tx.add_evidence_counts(watermark, &BTreeMap::new(), &moves.noted)
        .await?;
    tx.commit().await
}

async fn record(store: &Store, evidence: &[Evidence], watermark: Timestamp) {
    record_as(store, Writer(0), evidence, watermark).await;
}

async fn record_as(store: &Store, writer: Writer, evidence: &[Evidence], watermark: Timestamp) {
    let gathered = gather(evidence);
    loop {
        match try_record(store, writer, &gathered, watermark).await {
            Err(error) if error.is_conflict() => {}
            result => return result.unwrap(),
        }
    }
}

async fn sweep(store: &Store, watermark: Timestamp) -> usize {
    let mut tx = store.begin("sweep").await.unwrap();
    let (looked_at, moves) = tx
        .judge_due(watermark, 10_000, &|_| judging(watermark))
        .await
        .unwrap();
    tx.add_counts(Writer(0), &moves).await.unwrap();
    tx.commit().await.unwrap();
    looked_at
}

/// The sums at each resolution, which must be the same.
async fn counts(database: &TestDatabase) -> EventCounts {
    let sums: Vec<serde_json::Value> = sqlx::query_scalar(
        "select json_build_object('good', sum(good), 'late', sum(late), 'failed', sum(failed), \
         'timeout', sum(timeout), 'cancelled', sum(cancelled), 'orphan', sum(orphan), \
         'invalid', sum(invalid)) from event_counts group by resolution",
    )
    .fetch_all(&mut database.connect().await)
    .await
    .unwrap();
    assert!(
        sums.windows(2).all(|pair| pair[0] == pair[1]),
        "resolutions differ: {sums:?}"
    );
    let sum = sums.into_iter().next();
    sum.map_or(EventCounts::ZERO, |sum| {
        serde_json::from_value(sum).unwrap()
    })
}

#[tokio::test]
async fn a_workflow_is_counted_once_however_often_its_spans_arrive() {
    let database = ready().await;
    let spans = [started(1, 0), succeeded(1, 44)];
    for _ in 0..3 {
        record(&database.store, &spans, at(50)).await;
    }
    record(&database.store, &spans[1..], at(50)).await;
    assert_eq!(
        counts(&database).await,
        EventCounts {
            good: 1,
            ..EventCounts::ZERO
        }
    );
}

async fn first_evidence_at(database: &TestDatabase) -> Timestamp {
    let at: DateTime<Utc> = sqlx::query_scalar("select first_evidence_at from workflows")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
    at.into()
}

#[tokio::test]
async fn a_workflow_keeps_the_time_at_which_its_first_evidence_was_recorded() {
    let database = ready().await;
    let before = database.store.now().await.unwrap();
    record(&database.store, &[succeeded(1, 44)], at(50)).await;
    let after = database.store.now().await.unwrap();
    let first = first_evidence_at(&database).await;
    assert!(
        (before..=after).contains(&first),
        "{before:?} {first:?} {after:?}"
    );
    record(&database.store, &[started(1, 0)], at(50)).await;
    sweep(&database.store, at(10_000)).await;
    assert_eq!(first_evidence_at(&database).await, first);
}

#[tokio::test]
async fn a_timeout_that_an_end_in_time_refutes_is_taken_back_and_counted_as_corrected() {
    let database = ready().await;
    record(&database.store, &[started(1, 0), started(2, 0)], at(0)).await;
    assert_eq!(sweep(&database.store, at(179)).await, 0);
    assert_eq!(sweep(&database.store, at(180)).await, 2);
    assert_eq!(
        counts(&database).await,
        EventCounts {
            timeout: 2,
            ..EventCounts::ZERO
        }
    );
    record(
        &database.store,
        &[succeeded(1, 50), succeeded(2, 70)],
        at(900),
    )
    .await;
    assert_eq!(
        counts(&database).await,
        EventCounts {
            good: 1,
            late: 1,
            ..EventCounts::ZERO
        }
    );
    let corrected: i64 =
        sqlx::query_scalar("select count from evidence_counts where reason = 'corrected'")
            .fetch_one(&mut database.connect().await)
            .await
            .unwrap();
    assert_eq!(corrected, 2);
}

#[tokio::test]
async fn a_replica_whose_watermark_lags_does_not_reopen_a_timeout() {
    let database = ready().await;
    record(&database.store, &[started(1, 0)], at(0)).await;
    sweep(&database.store, at(180)).await;
    record(&database.store, &[started(1, 0)], at(20)).await;
    assert_eq!(
        counts(&database).await,
        EventCounts {
            timeout: 1,
            ..EventCounts::ZERO
        }
    );
}

/// All evidence of 300 workflows, a tenth of them late, in an order that `stride` decides.
fn everything_in_steps_of(stride: usize) -> Vec<Evidence> {
    let end = |workflow| if workflow % 10 == 0 { 70 } else { 30 };
    let of_workflow = |w| [started(w, 0), succeeded(w, end(w))];
    let pieces: Vec<_> = (0..300).flat_map(of_workflow).collect();
    (0..pieces.len())
        .map(|i| pieces[(i * stride) % pieces.len()].clone())
        .collect()
}

async fn record_everything(store: Store, writer: Writer, stride: usize) {
    for request in everything_in_steps_of(stride).chunks(37) {
        record_as(&store, writer, request, at(0)).await;
    }
}

#[tokio::test]
async fn replicas_that_write_the_same_workflows_at_once_lose_and_double_nothing() {
    let database = ready().await;
    let mut replicas = tokio::task::JoinSet::new();
    for (replica, stride) in [(0, 7), (1, 11), (2, 13)] {
        let store = database.store.clone();
        replicas.spawn(record_everything(store, Writer(replica), stride));
    }
    replicas.join_all().await;
    sweep(&database.store, at(10_000)).await;
    assert_eq!(
        counts(&database).await,
        EventCounts {
            good: 270,
            late: 30,
            ..EventCounts::ZERO
        }
    );
}

#[tokio::test]
async fn sweepers_share_the_overdue_work_and_count_each_workflow_once() {
    let database = ready().await;
    let all: Vec<_> = (0..500).map(|workflow| started(workflow, 0)).collect();
    record(&database.store, &all, at(0)).await;
    let (first, second) = tokio::join!(
        sweep(&database.store, at(500)),
        sweep(&database.store, at(500))
    );
    sweep(&database.store, at(500)).await;
    assert!(first + second >= 500);
    assert_eq!(
        counts(&database).await,
        EventCounts {
            timeout: 500,
            ..EventCounts::ZERO
        }
    );
}

#[tokio::test]
async fn a_workflow_of_an_older_epoch_is_found_and_not_inserted_again() {
    let database = ready().await;
    record(&database.store, &[started(1, 0)], at(0)).await;
    let mut tx = database.store.begin("open an epoch").await.unwrap();
    tx.ensure_epoch(at(0) + HORIZON, HORIZON).await.unwrap();
    tx.commit().await.unwrap();
    record(
        &database.store,
        &[started(1, 0), succeeded(1, 30), started(2, 0)],
        at(0),
    )
    .await;
    let epochs: Vec<(i32, i64)> =
        sqlx::query_as("select epoch, count(*) from workflows group by epoch order by epoch")
            .fetch_all(&mut database.connect().await)
            .await
            .unwrap();
    assert_eq!(epochs, [(0, 1), (1, 1)]);
}

#[tokio::test]
async fn an_epoch_is_dropped_only_when_nobody_can_speak_of_its_workflows_any_more() {
    let database = ready().await;
    record(
        &database.store,
        &[started(1, 0), succeeded(1, 30), started(2, 0)],
        at(0),
    )
    .await;
    let drop_at = async |now: Timestamp| {
        let mut tx = database.store.begin("retain").await.unwrap();
        tx.ensure_epoch(now, HORIZON).await.unwrap();
        let dropped = tx.drop_oldest_epoch(now, HORIZON).await.unwrap();
        tx.commit().await.unwrap();
        dropped
    };
    let weeks = |n: u32| at(0) + HORIZON * n;
    assert!(
        !drop_at(weeks(1)).await,
        "the horizon still reaches into it"
    );
    assert!(
        !drop_at(weeks(2) + WITHIN).await,
        "a workflow in it is still open"
    );
    sweep(&database.store, weeks(2)).await;
    assert!(drop_at(weeks(3)).await);
    let left: i64 = sqlx::query_scalar("select count(*) from workflows")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(
        counts(&database).await.total(),
        2,
        "counts outlive the workflows"
    );
}

#[tokio::test]
async fn an_end_of_a_workflow_that_is_gone_is_too_late_and_no_orphan() {
    let database = ready().await;
    let store = &database.store;
    let three = [started(1, 0), started(2, 0), succeeded(2, 30)];
    record(store, &three, at(0)).await;
    sweep(store, at(0) + HORIZON).await;
    let weeks = |n: u32| at(0) + HORIZON * n;
    for week in 1..=3 {
        let mut tx = store.begin("retain").await.unwrap();
        tx.ensure_epoch(weeks(week), HORIZON).await.unwrap();
        tx.drop_oldest_epoch(weeks(week), HORIZON).await.unwrap();
        let around = TimeRange::ending_at(weeks(week), HORIZON);
        tx.ensure_count_partitions(around).await.unwrap();
        tx.commit().await.unwrap();
    }
    let late = i64::try_from(HORIZON.as_secs()).unwrap() * 3;
    let mut tx = store.begin("record").await.unwrap();
    let ends = [succeeded(1, late - 60), succeeded(3, late - 60)];
    let moves = tx
        .record_workflows(&gather(&ends), &|_| judging(weeks(3)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        moves.noted,
        BTreeMap::from([((SLO, WorkflowNote::TooLate), 1)])
    );
    sweep(store, weeks(4)).await;
    let rows: Vec<(String, i16)> = sqlx::query_as("select label, outcome from workflows")
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap();
    let orphan = Outcome::Orphan.as_code();
    assert_eq!(rows, [("order-3".to_owned(), orphan)]);
}

#[tokio::test]
async fn partitions_of_counts_are_made_ahead_and_dropped_when_old() {
    let database = ready().await;
    record(&database.store, &[started(1, 0), succeeded(1, 30)], at(0)).await;
    let retention = throughline::store::Retention {
        minutes: Duration::from_hours(768),
        hours: Duration::from_hours(9600),
    };
    let drop_at = async |days: i64| {
        let mut tx = database.store.begin("retain").await.unwrap();
        let dropped = tx
            .drop_old_counts(at(days * 86_400), &retention)
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
