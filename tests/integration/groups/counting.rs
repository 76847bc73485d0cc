//! Every event counts once for its SLO and once for one of its groups, whatever replicas do at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        slo::Slo,
    },
    store::{AffectedCount, BadSelection},
};

use crate::support::{
    app::{Replica, SECOND, TestApp, good, minute_long, slo, time, timeouts},
    span::{SpanBuilder, span},
};

fn at(secs: u32) -> Timestamp {
    time("06:18") + SECOND * secs
}

fn orders(fields: &str) -> Slo {
    let fields = format!("customer: span.customer.id\n  {fields}");
    slo(&minute_long("placed", "shipped", "span.order.id", &fields))
}

fn grouped_by(attributes: &str, max_groups: u32) -> Slo {
    let by = format!("groupBy: [{attributes}]\n  maxGroups: {max_groups}");
    orders(&by)
}

/// With one SLO that is grouped by `kind`.
async fn app(max_groups: u32) -> TestApp {
    let orders = grouped_by("span.kind", max_groups);
    TestApp::new().define(orders).at("06:18").await
}

fn of_order(nth: u32, kind: Option<&str>, name: &str, secs: f64) -> SpanBuilder {
    let span = span(name).trace(nth.into()).at(secs);
    let span = span
        .attribute("order.id", format!("order-{nth}"))
        .attribute("customer.id", format!("customer-{}", nth % 7));
    match kind {
        Some(kind) => span.attribute("kind", kind),
        None => span,
    }
}

fn started(nth: u32, kind: Option<&str>) -> SpanBuilder {
    of_order(nth, kind, "placed", 0.0)
}

fn succeeded(nth: u32, kind: Option<&str>, secs: f64) -> SpanBuilder {
    of_order(nth, kind, "shipped", secs)
}

fn both(nth: u32, kind: &str) -> [SpanBuilder; 2] {
    [started(nth, Some(kind)), succeeded(nth, None, 30.0)]
}

impl TestApp {
    /// The declared groups as text, with what was counted for each.
    async fn groups(&self) -> BTreeMap<String, EventCounts> {
        let mut tx = self.store.begin("read groups").await.unwrap();
        let records = tx.groups(self.only()).await.unwrap();
        drop(tx);
        let mut groups = BTreeMap::new();
        for one in records {
            groups.insert(one.group.text(), self.sum_of(one.record.id).await);
        }
        groups
    }

    async fn sum_of(&self, id: SloId) -> EventCounts {
        let hour = SECOND * 3_600;
        let range = TimeRange::new(self.began - hour, self.began + hour);
        self.sum(id, range).await
    }

    async fn group_called(&self, text: &str) -> SloId {
        let mut tx = self.store.begin("read groups").await.unwrap();
        let records = tx.groups(self.only()).await.unwrap();
        let found = records.iter().find(|one| one.group.text() == text);
        found.unwrap().record.id
    }

    /// As if it were so many days later.
    async fn free_places(&self, days: u32) -> u64 {
        let mut tx = self.store.begin("free places").await.unwrap();
        let name = "orders".parse().unwrap();
        let window = Duration::from_hours(30 * 24);
        let now = at(days * 86_400);
        let freed = tx.free_group_slots(&name, window, now).await.unwrap();
        tx.commit().await.unwrap();
        freed
    }
}

fn named(counts: &[(&str, EventCounts)]) -> BTreeMap<String, EventCounts> {
    let owned = |(name, counts): &(&str, EventCounts)| ((*name).to_owned(), *counts);
    counts.iter().map(owned).collect()
}

#[tokio::test]
async fn an_event_is_counted_for_its_slo_and_its_group_and_moves_with_what_is_known() {
    let app = app(100).await;
    let first = [
        started(1, Some("deploy")),
        succeeded(1, None, 30.0),
        started(2, None),
        succeeded(2, None, 30.0),
    ];
    app.send(&first).await;
    app.send(&first).await;
    let expected = named(&[("kind = deploy", good(1)), ("kind = (none)", good(1))]);
    assert_eq!(app.groups().await, expected);

    // The one without a value gets one, the other turns out to be of a smaller value as well.
    app.send([
        succeeded(2, Some("deploy"), 30.0),
        succeeded(1, Some("check"), 30.0),
    ])
    .await;
    let expected = named(&[
        ("kind = check", good(1)),
        ("kind = deploy", good(1)),
        ("kind = (none)", EventCounts::ZERO),
    ]);
    assert_eq!(app.groups().await, expected);
    assert_eq!(app.sum_of(app.only()).await, good(2));
}

#[tokio::test]
async fn a_timeout_is_counted_for_its_group_and_corrected_there() {
    let app = app(100).await;
    let started = [started(1, Some("deploy")), started(2, None)];
    app.send(&started).await;
    assert_eq!(
        app.groups().await,
        named(&[("kind = deploy", EventCounts::ZERO)]),
        "an open workflow without a value has no group yet"
    );
    app.at_second(180.0).judge().await;
    let expected = named(&[
        ("kind = deploy", timeouts(1)),
        ("kind = (none)", timeouts(1)),
    ]);
    assert_eq!(app.groups().await, expected);
    app.send([succeeded(1, None, 30.0)]).await;
    let expected = named(&[("kind = deploy", good(1)), ("kind = (none)", timeouts(1))]);
    assert_eq!(app.groups().await, expected);
}

/// 60 workflows of 20 kinds, in an order that `stride` decides.
fn of_many_kinds(stride: usize) -> Vec<SpanBuilder> {
    let of_workflow = |nth| both(nth, &format!("kind-{:02}", nth % 20));
    let all: Vec<_> = (0..60).flat_map(of_workflow).collect();
    (0..all.len())
        .map(|at| all[(at * stride) % all.len()].clone())
        .collect()
}

async fn send_all(replica: &Replica, stride: usize, at_once: usize) {
    for request in of_many_kinds(stride).chunks(at_once) {
        replica.send(request).await;
    }
}

#[tokio::test]
async fn replicas_that_race_for_the_last_places_never_make_one_too_many() {
    for round in 0..3 {
        let app = app(7).await;
        let [one, two] = [app.replica(), app.replica()];
        tokio::join!(
            send_all(&app, 7, 3 + round),
            send_all(&one, 11, 3 + round),
            send_all(&two, 13, 3 + round),
        );
        let groups = app.groups().await;
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
        assert_eq!(app.sum_of(app.only()).await, good(60));
    }
}

#[tokio::test]
async fn more_places_are_for_new_events_and_fewer_take_none_away() {
    let app = app(1).await;
    app.send(both(1, "a")).await;
    app.send(both(2, "b")).await;
    app.define([grouped_by("span.kind", 2)]).await;
    app.send(both(2, "b")).await;
    app.send(both(3, "b")).await;
    app.define([grouped_by("span.kind", 1)]).await;
    app.send(both(4, "b")).await;
    app.send(both(5, "c")).await;
    let expected = named(&[
        ("kind = a", good(1)),
        ("kind = b", good(2)),
        ("kind = (other)", good(2)),
    ]);
    assert_eq!(app.groups().await, expected);
}

#[tokio::test]
async fn another_grouping_has_groups_of_its_own_and_the_old_one_comes_back_with_its_history() {
    let app = app(100).await;
    app.send(both(1, "deploy")).await;
    app.define([grouped_by("span.kind, span.region", 100)])
        .await;
    assert!(app.groups().await.is_empty());
    app.send(both(2, "deploy")).await;
    let expected = named(&[("kind = deploy, region = (none)", good(1))]);
    assert_eq!(app.groups().await, expected);
    app.define([orders("")]).await;
    assert!(app.groups().await.is_empty());
    app.send(both(3, "deploy")).await;
    app.define([grouped_by("span.kind", 100)]).await;
    assert_eq!(app.groups().await, named(&[("kind = deploy", good(1))]));
    assert_eq!(app.sum_of(app.only()).await, good(3));
}

#[tokio::test]
async fn what_is_open_or_bad_can_be_asked_of_a_group() {
    let app = app(100).await;
    let mut spans = Vec::new();
    for workflow in 0..4 {
        spans.push(started(workflow, Some("deploy")));
        spans.push(succeeded(workflow, None, 90.0 + f64::from(workflow)));
    }
    for workflow in 10..13 {
        spans.push(started(workflow, Some("rollback")));
    }
    app.send(&spans).await;
    let [deploy, rollback] = [
        app.group_called("kind = deploy").await,
        app.group_called("kind = rollback").await,
    ];
    let mut tx = app.store.begin("read workflows").await.unwrap();
    let range = TimeRange::new(at(0), at(3_600));
    let ranges = [range];
    let bad = BadSelection::of(deploy, &ranges);
    let worst = tx.worst_workflows(bad, at(3_600), 2).await;
    let labels: Vec<_> = worst.unwrap().into_iter().map(|one| one.label).collect();
    assert_eq!(labels, ["order-3", "order-2"]);
    let ids = [app.only(), deploy, rollback];
    let open = tx.open_workflows(&ids, at(61)).await.unwrap();
    let of = |slo| {
        let open = open.get(&slo)?;
        Some((open.time_used.in_flight(), open.overdue))
    };
    assert_eq!(
        [of(app.only()), of(deploy), of(rollback)],
        [Some((3, 3)), None, Some((3, 3))]
    );
    let sets = ids.map(|slo| (slo, vec![range]));
    let affected = tx.customers_affected(&sets).await.unwrap();
    let known = |known| AffectedCount { known, unknown: 0 };
    assert_eq!(
        affected,
        BTreeMap::from([(app.only(), known(4)), (deploy, known(4))])
    );
    let oldest = tx.oldest_open_workflows(rollback, 10).await.unwrap();
    assert_eq!(oldest.len(), 3);
    let customers = tx.worst_customers(bad, 10).await.unwrap();
    assert_eq!((customers.customers, customers.bad), (4, 4));
}

#[tokio::test]
async fn a_value_that_is_not_seen_for_a_window_gives_its_place_to_another() {
    let app = app(1).await;
    app.send(both(1, "deploy")).await;
    app.send([started(2, Some("deploy"))]).await;
    assert_eq!(app.free_places(29).await, 0, "seen within the window");
    assert_eq!(app.free_places(40).await, 0, "one is still in flight");
    app.send([succeeded(2, None, 30.0)]).await;
    let deploy = app.group_called("kind = deploy").await;
    assert_eq!(app.free_places(40).await, 1);
    assert_eq!(app.free_places(40).await, 0);
    app.define([grouped_by("span.kind", 1)]).await;
    assert!(app.groups().await.is_empty());

    app.send(both(3, "rollback")).await;
    app.send(both(4, "deploy")).await;
    let expected = named(&[("kind = rollback", good(1)), ("kind = (other)", good(1))]);
    assert_eq!(app.groups().await, expected);
    assert_eq!(app.sum_of(deploy).await, good(2), "what was counted stays");
    // What changes is corrected where it was counted.
    app.send([of_order(1, None, "placed", -100.0)]).await;
    let late = EventCounts { late: 1, ..good(1) };
    assert_eq!(app.sum_of(deploy).await, late);
}

#[tokio::test]
async fn a_value_that_comes_again_is_the_same_group_as_before() {
    let app = app(2).await;
    app.send(both(1, "deploy")).await;
    let deploy = app.group_called("kind = deploy").await;
    assert_eq!(app.free_places(40).await, 1);
    app.send(both(2, "deploy")).await;
    assert_eq!(app.groups().await, named(&[("kind = deploy", good(2))]));
    assert_eq!(app.group_called("kind = deploy").await, deploy);
    // Counted while its place was being freed: it has one again.
    assert_eq!(app.free_places(40).await, 1);
    assert_eq!(app.free_places(29).await, 1);
    assert_eq!(app.groups().await, named(&[("kind = deploy", good(2))]));
}

/// Four orders of two kinds are taken by one span, and two of them end: nobody knows which.
#[tokio::test]
async fn s33_what_a_batch_lost_is_counted_in_the_unknown_group_where_its_workflows_are_of_several()
{
    let by = "groupBy: [span.kind]\n  maxGroups: 9";
    let orders = slo(&minute_long("placed", "shipped", "trace, links", by));
    let app = TestApp::new().define(orders).at("06:18").await;
    let mut process = span("process").trace(100).id(1).at(1.0);
    for (nth, kind) in [(1, "deploy"), (2, "check"), (3, "deploy"), (4, "check")] {
        let placed = span("placed").trace(nth).attribute("kind", kind);
        process = process.after(&placed);
        app.send([placed]).await;
    }
    app.send([process]).await;
    for message in [11, 12] {
        let sent = span("send").trace(100).id(message).at(1.5).child_of(1);
        let shipped = span("shipped").trace(100 + message).at(30.0).after(&sent);
        app.send([sent, shipped]).await;
    }
    app.at_second(600.0).judge().await;
    let groups = app.groups().await;
    assert_eq!(groups["kind = (unknown)"], timeouts(2), "{groups:?}");
    let all: EventCounts = groups.into_values().sum();
    assert_eq!(all, good(2) + timeouts(2));
    assert_eq!(app.sum_of(app.only()).await, all);
}
