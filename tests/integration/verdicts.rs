//! Long lives on a real Postgres: definitions in, spans in, verdicts out, across deployments, changes
//! of definition and the dropping of records. Time is given and never waited for.

use std::{collections::BTreeMap, time::Duration};

use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            ids::Revision,
            span::Span,
            time::{TimeRange, Timestamp},
        },
        slo::{
            SloRevision, SloRevisions,
            definition::{DefinitionFile, load},
        },
        workflow::{
            Judging, JudgingContext,
            classify::{ClassifiedBatch, Classifier},
            gather,
            links::GroupsOfBatches,
        },
    },
    recording::Recording,
    store::{PagesAStep, Progress, SpanCounts, Store, StoreError, Writer},
};

use crate::support::{
    database::TestDatabase,
    span::{self as support, SpanBuilder},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const HORIZON: Duration = Duration::from_hours(168);
const EPOCH: Duration = Duration::from_hours(24);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280 + secs)
}

/// An SLO named `deployments` on one trace, with these fields of its workflow besides.
fn definition(fields: &str) -> String {
    format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: deployments }}\nspec:\n  \
         objective: 99.5%\n  window: 30d\n  indicator:\n    workflow:\n      \
         start: '{{ name = \"requested\" }}'\n      finish: '{{ name = \"completed\" }}'\n      \
         pause: '{{ name = \"approval\" }}'\n      correlate: [trace]\n      {fields}\n"
    )
}

#[expect(clippy::cast_precision_loss, reason = "days of a test")]
fn described(trace: u8, number: u8, name: &str, [start, end]: [i64; 2]) -> SpanBuilder {
    let span = support::span(name).consumer().trace(trace.into());
    span.id(number.into()).between(start as f64, end as f64)
}

fn span(trace: u8, number: u8, name: &str, times: [i64; 2]) -> Span {
    described(trace, number, name, times).build(at(0))
}

/// One process of a deployment: its own pool, slot and definitions.
struct Replica {
    store: Store,
    writer: Writer,
    classifier: Classifier,
}

impl Replica {
    async fn deploy(database: &TestDatabase, slot: i16, definition: &str) -> Self {
        Self::deploy_at(0, database, slot, definition).await
    }

    /// One whose definition comes into force at `secs`.
    async fn deploy_at(secs: i64, database: &TestDatabase, slot: i16, definition: &str) -> Self {
        let store = Store::new(database.options.clone(), 4);
        let file = DefinitionFile {
            path: "slo.yaml".to_owned(),
            text: definition.to_owned(),
        };
        let name = "deployments".parse().unwrap();
        let mut tx = store.begin("declare the SLO").await.unwrap();
        tx.put_definitions_in_force(&[file], at(secs))
            .await
            .unwrap();
        let ids = tx.declare(std::slice::from_ref(&name)).await.unwrap();
        let kept = tx.definition_sets_after(Revision(0)).await.unwrap();
        tx.commit().await.unwrap();
        let mut revisions = SloRevisions::default();
        for one in kept {
            revisions.push(SloRevision {
                number: one.number,
                in_force_from: one.in_force_from,
                slo: load(&one.files).unwrap().0.slos.remove(&name),
            });
        }
        let revisions = BTreeMap::from([(ids[&name], revisions)]);
        Self {
            classifier: Classifier::with_revisions(Revision(0), revisions),
            writer: Writer(slot),
            store,
        }
    }

    /// A request with these spans arrives at `secs`.
    async fn receive(&self, secs: i64, spans: &[Span]) {
        let mut findings = ClassifiedBatch::default();
        for span in spans {
            self.classifier
                .classify(span, at(secs) - HORIZON, &mut findings);
        }
        loop {
            match self.try_record(secs, &findings).await {
                Err(error) if error.is_conflict() => {}
                result => return result.unwrap(),
            }
        }
    }

    async fn try_record(&self, secs: i64, findings: &ClassifiedBatch) -> Result<(), StoreError> {
        let (mut tx, state) = self.store.begin_recording("record").await?;
        let gathered = gather(&findings.evidence);
        let judging = |_| judging(secs);
        let spans = SpanCounts {
            discarded: findings.unusable.clone(),
            ..SpanCounts::default()
        };
        let mut recording = Recording::new(&mut tx, state, &judging);
        recording
            .apply(&gathered, &GroupsOfBatches::default())
            .await?;
        recording
            .write_counts(self.writer, at(secs), &spans)
            .await?;
        tx.commit().await
    }

    /// What runs now and then: partitions are made and dropped, and what is overdue is judged.
    async fn maintain(&self, secs: i64) {
        let mut tx = self.store.begin("maintain").await.unwrap();
        tx.ensure_epoch(at(secs), EPOCH).await.unwrap();
        tx.ensure_count_partitions(TimeRange::new(at(secs) - HORIZON, at(secs + DAY)))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        while self.drop_oldest_epoch(secs).await == Progress::More {}
        let (mut tx, state) = self.store.begin_recording("sweep").await.unwrap();
        let judging = |_| judging(secs);
        let mut recording = Recording::new(&mut tx, state, &judging);
        let context = JudgingContext::healthy(at(secs));
        recording.judge_due(&context, 10_000).await.unwrap();
        let spans = SpanCounts::default();
        recording
            .write_counts(self.writer, at(secs), &spans)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn drop_oldest_epoch(&self, secs: i64) -> Progress {
        let mut tx = self.store.begin("drop an epoch").await.unwrap();
        let progress = tx
            .drop_oldest_epoch(at(secs), HORIZON, PagesAStep::DEFAULT)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        progress
    }

    async fn maintain_daily(&self, days: std::ops::RangeInclusive<i64>) {
        for day in days {
            self.maintain(day * DAY).await;
        }
    }
}

fn judging(secs: i64) -> Judging {
    Judging::healthy(Duration::from_mins(2), at(secs))
}

async fn counts(database: &TestDatabase) -> EventCounts {
    let mut tx = database.store.begin("read").await.unwrap();
    let ever = TimeRange::new(at(-30 * DAY), at(60 * DAY));
    let slo = "deployments".parse().unwrap();
    let id = tx.slo(&slo).await.unwrap().unwrap().id;
    tx.sums(&[(id, ever)]).await.unwrap()[0]
}

async fn evidence(database: &TestDatabase) -> BTreeMap<String, i64> {
    let mut tx = database.store.begin("read").await.unwrap();
    let totals = tx.evidence_totals().await.unwrap();
    totals.into_values().next().unwrap_or_default()
}

async fn epochs(database: &TestDatabase) -> Vec<i32> {
    sqlx::query_scalar("select epoch from epochs where purged_at is null order by epoch")
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap()
}

const ONE_GOOD: EventCounts = EventCounts {
    good: 1,
    ..EventCounts::ZERO
};

#[tokio::test]
async fn s28_a_workflow_of_7_days_over_two_deployments_and_one_redefinition_has_one_verdict() {
    let database = TestDatabase::create().await;
    let first = Replica::deploy(&database, 1, &definition("within: 8d")).await;
    first.maintain(0).await;
    let start = span(1, 1, "requested", [0, 1]);
    first.receive(2, std::slice::from_ref(&start)).await;
    first.maintain_daily(1..=2).await;
    drop(first);

    let second = Replica::deploy(&database, 2, &definition("within: 8d")).await;
    // A collector that was restarted empties its queue.
    second
        .receive(2 * DAY + 1, std::slice::from_ref(&start))
        .await;
    second.maintain_daily(3..=4).await;
    drop(second);

    let third = Replica::deploy_at(4 * DAY, &database, 3, &definition("within: 6d")).await;
    third
        .receive(4 * DAY + 1, std::slice::from_ref(&start))
        .await;
    third.maintain_daily(5..=6).await;
    assert_eq!(counts(&database).await, EventCounts::ZERO);
    let finish = span(1, 2, "completed", [7 * DAY - 60, 7 * DAY]);
    let all = [start, finish];
    third.receive(7 * DAY + 1, &all[1..]).await;
    third.receive(7 * DAY + 2, &all).await;
    third.maintain_daily(7..=12).await;
    third.receive(12 * DAY + 1, &all).await;
    assert_eq!(counts(&database).await, ONE_GOOD);

    // Of everything since, this row alone has held the oldest epoch.
    third.maintain_daily(13..=16).await;
    assert!(!epochs(&database).await.contains(&0));
    assert_eq!(counts(&database).await, ONE_GOOD);
}

#[tokio::test]
async fn a_duplicate_after_its_record_is_gone_is_too_late_and_no_new_event() {
    let database = TestDatabase::create().await;
    let replica = Replica::deploy(&database, 1, &definition("within: 1m")).await;
    replica.maintain(0).await;
    let spans = [
        span(1, 1, "requested", [0, 1]),
        span(1, 2, "completed", [40, 44]),
        span(2, 1, "requested", [0, 1]),
    ];
    replica.receive(50, &spans).await;
    replica.maintain_daily(1..=9).await;
    let expected = EventCounts {
        timeout: 1,
        ..ONE_GOOD
    };
    assert_eq!(counts(&database).await, expected);
    assert!(!epochs(&database).await.contains(&0), "the record is gone");

    replica.receive(9 * DAY + 1, &spans).await;
    replica.maintain(10 * DAY).await;
    assert_eq!(counts(&database).await, expected);
    let too_late = BTreeMap::from([("too_late".to_owned(), 3)]);
    assert_eq!(evidence(&database).await, too_late);
}

#[tokio::test]
async fn s21_one_hour_of_human_approval_burns_nothing() {
    let database = TestDatabase::create().await;
    let replica = Replica::deploy(&database, 1, &definition("within: 5m")).await;
    replica.maintain(0).await;
    replica.receive(2, &[span(1, 1, "requested", [0, 1])]).await;
    // The approval can only be told of when it is given.
    replica.maintain(HOUR).await;
    let approval = span(1, 2, "approval", [60, 60 + HOUR]);
    replica.receive(HOUR + 61, &[approval]).await;
    assert_eq!(counts(&database).await, EventCounts::ZERO);
    replica
        .receive(
            HOUR + 200,
            &[span(1, 3, "completed", [HOUR + 100, HOUR + 199])],
        )
        .await;
    assert_eq!(counts(&database).await, ONE_GOOD);
    let corrected = BTreeMap::from([("corrected".to_owned(), 1)]);
    assert_eq!(evidence(&database).await, corrected);
}

#[tokio::test]
async fn s8_legs_that_arrive_through_three_replicas_at_once_complete_each_workflow_once() {
    let database = TestDatabase::create().await;
    let legs = "within: 5m\n      legs: { expect: span.legs, by: span.item, complete: all }";
    let definition = definition(legs);
    let spans: Vec<_> = (1..=30).flat_map(four_legs).collect();
    let mut replicas = tokio::task::JoinSet::new();
    for (slot, stride) in [(0, 7), (1, 11), (2, 13)] {
        let replica = Replica::deploy(&database, slot, &definition).await;
        replica.maintain(0).await;
        let shuffled: Vec<_> = (0..spans.len())
            .map(|i| spans[(i * stride) % spans.len()].clone())
            .collect();
        replicas.spawn(receive_in_pieces(replica, shuffled));
    }
    replicas.join_all().await;
    let expected = EventCounts {
        good: 27,
        late: 3,
        ..EventCounts::ZERO
    };
    assert_eq!(counts(&database).await, expected);
}

/// A workflow in four legs. The last leg of every tenth is late.
fn four_legs(trace: u8) -> Vec<Span> {
    let leg = |item: u8| {
        let is_late = trace.is_multiple_of(10) && item == 3;
        let end = if is_late { 301 } else { 100 };
        let leg = described(trace, 10 + item, "completed", [90, end]);
        leg.attribute("item", i64::from(item)).build(at(0))
    };
    let start = described(trace, 1, "requested", [0, 1]).attribute("legs", 4);
    std::iter::once(start.build(at(0)))
        .chain((0..4).map(leg))
        .collect()
}

async fn receive_in_pieces(replica: Replica, spans: Vec<Span>) {
    for request in spans.chunks(11) {
        replica.receive(310, request).await;
    }
}
