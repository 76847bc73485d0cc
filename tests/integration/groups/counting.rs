//! Every event counts once for its SLO and once for one of its groups, whatever replicas do at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            group::GroupValues,
            ids::{SloId, TraceId},
            sampling::EndSampling,
            span::{AttributeName, AttributeScope},
            time::{TimeRange, Timestamp},
        },
        slo::GroupBy,
        workflow::{EventKey, Evidence, Fact, Judging, Losses, gather},
    },
    store::{Store, StoreError, Writer},
};

use crate::support::database::TestDatabase;

const WITHIN: Duration = Duration::from_mins(1);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280 + secs)
}

fn group_by(keys: &[&str], max_groups: u32) -> GroupBy {
    let attribute = |key: &&str| AttributeName {
        scope: AttributeScope::Span,
        key: (*key).to_owned(),
    };
    GroupBy {
        attributes: keys.iter().map(attribute).collect(),
        max_groups,
    }
}

/// A database that is ready to record, with one SLO that is grouped by `kind`.
struct World {
    database: TestDatabase,
    slo: SloId,
}

impl World {
    async fn grouped(max_groups: u32) -> Self {
        let database = TestDatabase::create().await;
        let mut tx = database.store.begin("prepare").await.unwrap();
        tx.ensure_epoch(at(0), Duration::from_hours(168))
            .await
            .unwrap();
        tx.ensure_count_partitions(TimeRange::new(at(-86_400), at(86_400)))
            .await
            .unwrap();
        let ids = tx.declare(&["orders".parse().unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
        let slo = *ids.values().next().unwrap();
        let world = Self { database, slo };
        world.group(Some(&group_by(&["kind"], max_groups))).await;
        world
    }

    async fn group(&self, by: Option<&GroupBy>) {
        let mut tx = self.database.store.begin("declare groups").await.unwrap();
        let grouping = by.map(|by| (self.slo, by)).into_iter().collect();
        tx.declare_groups(&grouping).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn evidence(&self, workflow: u32, kind: Option<&str>, fact: Fact) -> Evidence {
        let mut key = [7; 16];
        key[..4].copy_from_slice(&workflow.to_be_bytes());
        Evidence {
            slo: self.slo,
            key: EventKey(key),
            label: format!("order-{workflow}"),
            fact,
            trace_id: TraceId::from_slice(&key).unwrap(),
            customer: Some(format!("customer-{}", workflow % 7)),
            sample: None,
            group: GroupValues::from_iter([("span.kind".to_owned(), kind.map(str::to_owned))]),
        }
    }

    fn started(&self, workflow: u32, kind: Option<&str>) -> Evidence {
        let fact = Fact::Started {
            at: at(0),
            within: WITHIN,
        };
        self.evidence(workflow, kind, fact)
    }

    fn succeeded(&self, workflow: u32, kind: Option<&str>, secs: i64) -> Evidence {
        self.evidence(workflow, kind, Fact::Succeeded { at: at(secs) })
    }

    async fn record(&self, evidence: &[Evidence]) {
        record_as(&self.database.store, Writer(0), evidence).await;
    }

    async fn sweep(&self, watermark: Timestamp) {
        let mut tx = self.database.store.begin("sweep").await.unwrap();
        let judging = |_| judging(watermark);
        let (_, moves) = tx.judge_due(watermark, 10_000, &judging).await.unwrap();
        tx.add_counts(Writer(0), &moves).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn sum(&self, slo: SloId) -> EventCounts {
        let mut tx = self.database.store.begin("read counts").await.unwrap();
        let range = TimeRange::new(at(-3_600), at(3_600));
        tx.sums(&[(slo, range)]).await.unwrap()[0]
    }

    /// The declared groups as text, with what was counted for each.
    async fn groups(&self) -> BTreeMap<String, EventCounts> {
        let mut tx = self.database.store.begin("read groups").await.unwrap();
        let records = tx.groups(self.slo).await.unwrap();
        drop(tx);
        let mut groups = BTreeMap::new();
        for one in records {
            groups.insert(one.group.text(), self.sum(one.record.id).await);
        }
        groups
    }

    async fn id_of(&self, text: &str) -> SloId {
        let mut tx = self.database.store.begin("read groups").await.unwrap();
        let records = tx.groups(self.slo).await.unwrap();
        let found = records.iter().find(|one| one.group.text() == text);
        found.unwrap().record.id
    }
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

async fn try_record(
    store: &Store,
    writer: Writer,
    evidence: &[Evidence],
) -> Result<(), StoreError> {
    let mut tx = store.begin("record").await?;
    let moves = tx
        .record_workflows(&gather(evidence), &|_| judging(at(0)))
        .await?;
    tx.add_counts(writer, &moves).await?;
    tx.commit().await
}

async fn record_as(store: &Store, writer: Writer, evidence: &[Evidence]) {
    loop {
        match try_record(store, writer, evidence).await {
            Err(error) if error.is_conflict() => {}
            result => return result.unwrap(),
        }
    }
}

fn good(count: i64) -> EventCounts {
    EventCounts {
        good: count,
        ..EventCounts::ZERO
    }
}

fn timeouts(count: i64) -> EventCounts {
    EventCounts {
        timeout: count,
        ..EventCounts::ZERO
    }
}

fn named(counts: &[(&str, EventCounts)]) -> BTreeMap<String, EventCounts> {
    let owned = |(name, counts): &(&str, EventCounts)| ((*name).to_owned(), *counts);
    counts.iter().map(owned).collect()
}

#[tokio::test]
async fn an_event_is_counted_for_its_slo_and_its_group_and_moves_with_what_is_known() {
    let world = World::grouped(100).await;
    let first = [
        world.started(1, Some("deploy")),
        world.succeeded(1, None, 30),
        world.started(2, None),
        world.succeeded(2, None, 30),
    ];
    world.record(&first).await;
    world.record(&first).await;
    let expected = named(&[("kind = deploy", good(1)), ("kind = (none)", good(1))]);
    assert_eq!(world.groups().await, expected);

    // The one without a value gets one, the other turns out to be of a smaller value as well.
    world
        .record(&[
            world.succeeded(2, Some("deploy"), 30),
            world.succeeded(1, Some("check"), 30),
        ])
        .await;
    let expected = named(&[
        ("kind = check", good(1)),
        ("kind = deploy", good(1)),
        ("kind = (none)", EventCounts::ZERO),
    ]);
    assert_eq!(world.groups().await, expected);
    assert_eq!(world.sum(world.slo).await, good(2));
}

#[tokio::test]
async fn a_timeout_is_counted_for_its_group_and_corrected_there() {
    let world = World::grouped(100).await;
    let started = [world.started(1, Some("deploy")), world.started(2, None)];
    world.record(&started).await;
    assert_eq!(
        world.groups().await,
        named(&[("kind = deploy", EventCounts::ZERO)]),
        "an open workflow without a value has no group yet"
    );
    world.sweep(at(180)).await;
    let expected = named(&[
        ("kind = deploy", timeouts(1)),
        ("kind = (none)", timeouts(1)),
    ]);
    assert_eq!(world.groups().await, expected);
    world.record(&[world.succeeded(1, None, 30)]).await;
    let expected = named(&[("kind = deploy", good(1)), ("kind = (none)", timeouts(1))]);
    assert_eq!(world.groups().await, expected);
}

/// 60 workflows of 20 kinds, in an order that `stride` decides.
fn of_many_kinds(world: &World, stride: usize) -> Vec<Evidence> {
    let of_workflow = |workflow| {
        let kind = format!("kind-{:02}", workflow % 20);
        [
            world.started(workflow, Some(&kind)),
            world.succeeded(workflow, None, 30),
        ]
    };
    let all: Vec<_> = (0..60).flat_map(of_workflow).collect();
    (0..all.len())
        .map(|at| all[(at * stride) % all.len()].clone())
        .collect()
}

async fn record_all(store: Store, writer: Writer, requests: Vec<Vec<Evidence>>) {
    for request in requests {
        record_as(&store, writer, &request).await;
    }
}

#[tokio::test]
async fn replicas_that_race_for_the_last_places_never_make_one_too_many() {
    for round in 0..3 {
        let world = World::grouped(7).await;
        let mut replicas = tokio::task::JoinSet::new();
        for (replica, stride) in [(0, 7), (1, 11), (2, 13)] {
            let store = world.database.store.clone();
            let evidence = of_many_kinds(&world, stride);
            let requests: Vec<_> = evidence.chunks(3 + round).map(<[_]>::to_vec).collect();
            replicas.spawn(record_all(store, Writer(replica), requests));
        }
        replicas.join_all().await;
        let groups = world.groups().await;
        assert_eq!(groups.len(), 8, "seven and one for all others: {groups:?}");
        let own: BTreeSet<_> = groups
            .keys()
            .filter(|name| *name != "kind = (other)")
            .collect();
        assert_eq!(own.len(), 7);
        assert!(
            own.iter().all(|name| groups[*name] == good(3)),
            "{groups:?}"
        );
        assert_eq!(groups["kind = (other)"], good(39));
        assert_eq!(world.sum(world.slo).await, good(60));
    }
}

#[tokio::test]
async fn more_places_are_for_new_events_and_fewer_take_none_away() {
    let world = World::grouped(1).await;
    let judged = |workflow, kind| {
        [
            world.started(workflow, Some(kind)),
            world.succeeded(workflow, None, 30),
        ]
    };
    world.record(&judged(1, "a")).await;
    world.record(&judged(2, "b")).await;
    world.group(Some(&group_by(&["kind"], 2))).await;
    world.record(&judged(2, "b")).await;
    world.record(&judged(3, "b")).await;
    world.group(Some(&group_by(&["kind"], 1))).await;
    world.record(&judged(4, "b")).await;
    world.record(&judged(5, "c")).await;
    let expected = named(&[
        ("kind = a", good(1)),
        ("kind = b", good(2)),
        ("kind = (other)", good(2)),
    ]);
    assert_eq!(world.groups().await, expected);
}

#[tokio::test]
async fn another_grouping_has_groups_of_its_own_and_the_old_one_comes_back_with_its_history() {
    let world = World::grouped(100).await;
    let judged = |workflow| {
        [
            world.started(workflow, Some("deploy")),
            world.succeeded(workflow, None, 30),
        ]
    };
    world.record(&judged(1)).await;
    world.group(Some(&group_by(&["kind", "region"], 100))).await;
    assert!(world.groups().await.is_empty());
    world.record(&judged(2)).await;
    let expected = named(&[("kind = deploy, region = (none)", good(1))]);
    assert_eq!(world.groups().await, expected);
    world.group(None).await;
    assert!(world.groups().await.is_empty());
    world.record(&judged(3)).await;
    world.group(Some(&group_by(&["kind"], 100))).await;
    assert_eq!(world.groups().await, named(&[("kind = deploy", good(1))]));
    assert_eq!(world.sum(world.slo).await, good(3));
}

#[tokio::test]
async fn what_is_open_or_bad_can_be_asked_of_a_group() {
    let world = World::grouped(100).await;
    let mut evidence = Vec::new();
    for workflow in 0..4 {
        evidence.push(world.started(workflow, Some("deploy")));
        evidence.push(world.succeeded(workflow, None, 90 + i64::from(workflow)));
    }
    for workflow in 10..13 {
        evidence.push(world.started(workflow, Some("rollback")));
    }
    world.record(&evidence).await;
    let [deploy, rollback] = [
        world.id_of("kind = deploy").await,
        world.id_of("kind = rollback").await,
    ];
    let mut tx = world.database.store.begin("read workflows").await.unwrap();
    let range = TimeRange::new(at(0), at(3_600));
    let worst = tx.worst_workflows(deploy, (&[range], at(3_600)), 2).await;
    let labels: Vec<_> = worst.unwrap().into_iter().map(|one| one.label).collect();
    assert_eq!(labels, ["order-3", "order-2"]);
    let ids = [world.slo, deploy, rollback];
    let open = tx
        .open_workflows(&ids, at(61), Duration::from_mins(2))
        .await;
    let open: BTreeMap<_, _> = open.unwrap();
    let of = |slo| open.get(&slo).map(|open| (open.in_flight, open.overdue));
    assert_eq!(
        [of(world.slo), of(deploy), of(rollback)],
        [Some((3, 3)), None, Some((3, 3))]
    );
    let sets = ids.map(|slo| (slo, vec![range]));
    let affected = tx.customers_affected(&sets).await.unwrap();
    assert_eq!(affected, BTreeMap::from([(world.slo, 4), (deploy, 4)]));
    let oldest = tx.oldest_open_workflows(rollback, 10).await.unwrap();
    assert_eq!(oldest.len(), 3);
    let customers = tx.worst_customers(deploy, &[range], 10).await.unwrap();
    assert_eq!((customers.customers, customers.bad), (4, 4));
    assert_eq!(tx.first_bad_at(deploy, range).await.unwrap(), Some(at(60)));
    assert_eq!(tx.first_bad_at(rollback, range).await.unwrap(), None);
}

impl World {
    /// As if it were so many days later.
    async fn free_places(&self, days: i64) -> u64 {
        let mut tx = self.database.store.begin("free places").await.unwrap();
        let name = "orders".parse().unwrap();
        let window = Duration::from_hours(30 * 24);
        let now = at(days * 86_400);
        let freed = tx.free_group_places(&name, window, now).await.unwrap();
        tx.commit().await.unwrap();
        freed
    }

    async fn succeed(&self, workflow: u32, kind: &str) {
        self.record(&[
            self.started(workflow, Some(kind)),
            self.succeeded(workflow, None, 30),
        ])
        .await;
    }
}

#[tokio::test]
async fn a_value_that_is_not_seen_for_a_window_gives_its_place_to_another() {
    let world = World::grouped(1).await;
    world.succeed(1, "deploy").await;
    world.record(&[world.started(2, Some("deploy"))]).await;
    assert_eq!(world.free_places(29).await, 0, "seen within the window");
    assert_eq!(world.free_places(40).await, 0, "one is still in flight");
    world.record(&[world.succeeded(2, None, 30)]).await;
    let deploy = world.id_of("kind = deploy").await;
    assert_eq!(world.free_places(40).await, 1);
    assert_eq!(world.free_places(40).await, 0);
    world.group(Some(&group_by(&["kind"], 1))).await;
    assert!(world.groups().await.is_empty());

    world.succeed(3, "rollback").await;
    world.succeed(4, "deploy").await;
    let expected = named(&[("kind = rollback", good(1)), ("kind = (other)", good(1))]);
    assert_eq!(world.groups().await, expected);
    assert_eq!(world.sum(deploy).await, good(2), "what was counted stays");
    // What changes is corrected where it was counted.
    let early = Fact::Started {
        at: at(-100),
        within: WITHIN,
    };
    world.record(&[world.evidence(1, None, early)]).await;
    let late = EventCounts { late: 1, ..good(1) };
    assert_eq!(world.sum(deploy).await, late);
}

#[tokio::test]
async fn a_value_that_comes_again_is_the_same_group_as_before() {
    let world = World::grouped(2).await;
    world.succeed(1, "deploy").await;
    let deploy = world.id_of("kind = deploy").await;
    assert_eq!(world.free_places(40).await, 1);
    world.succeed(2, "deploy").await;
    assert_eq!(world.groups().await, named(&[("kind = deploy", good(2))]));
    assert_eq!(world.id_of("kind = deploy").await, deploy);
    // Counted while its place was being freed: it has one again.
    assert_eq!(world.free_places(40).await, 1);
    assert_eq!(world.free_places(29).await, 1);
    assert_eq!(world.groups().await, named(&[("kind = deploy", good(2))]));
}
