//! Alerts of groups, told as stories.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use throughline::{
    domain::{
        alerting::{
            alert::{EpisodeEnd, TransitionKind},
            snapshot::AlertSnapshot,
            status::{SloState, SloStatus},
            suppression::Suppression,
        },
        model::{
            counts::EventCounts,
            group::Group,
            ids::SloId,
            span::{AttributeName, AttributeScope},
            time::{TimeRange, Timestamp},
        },
        notify::wording,
        slo::{
            AlertRule, Alerting, Catalog, GroupBy, Indicator, Notify, Severity, Slo, SpanIndicator,
        },
        traceql::Selector,
    },
    evaluate::{EvaluationReport, Evaluator, EvaluatorSettings},
    store::AlertTransition,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::ledger::Ledger;

const MINUTE: Duration = Duration::from_mins(1);

fn after(minutes: u32) -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap() + MINUTE * minutes
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

fn slo() -> Slo {
    let selector = Selector::parse("{ name = \"deploy\" }").unwrap();
    let indicator = Indicator::Span(SpanIndicator::new(selector.clone(), selector));
    let window = Duration::from_hours(28 * 24);
    Slo {
        display_name: "Deployments finish".to_owned(),
        group_by: Some(GroupBy {
            attributes: vec![AttributeName {
                scope: AttributeScope::Span,
                key: "kind".to_owned(),
            }],
            max_groups: 100,
        }),
        alerting: Alerting {
            rules: vec![AlertRule {
                name: "fast-burn".parse().unwrap(),
                severity: Severity::Page,
                factor: 13.44,
                long: MINUTE * 60,
                short: MINUTE * 5,
                pending_for: Duration::ZERO,
            }],
            ..Alerting::default()
        },
        notify: Notify {
            page: vec!["oncall".parse().unwrap()],
            ticket: Vec::new(),
        },
        ..Slo::new(
            "deployments".parse().unwrap(),
            "99%".parse().unwrap(),
            window,
            indicator,
        )
    }
}

/// An SLO of two groups, `deploy` with a hundred times the events of `rollback`.
struct Story {
    ledger: Ledger,
    slo: SloId,
    deploy: SloId,
    rollback: SloId,
    catalog: watch::Sender<Arc<Catalog>>,
    evaluator: Evaluator,
}

impl Story {
    async fn begin() -> Self {
        let mut ledger = Ledger::create().await;
        let parent = ledger.declare("deployments").await;
        let deploy = make_group(&mut ledger, parent, "deploy").await;
        let rollback = make_group(&mut ledger, parent, "rollback").await;
        let (catalog, receiver) = watch::channel(Arc::default());
        let settings = EvaluatorSettings {
            interval: MINUTE,
            page_base_url: Some("https://slo.example.com/".to_owned()),
        };
        let mut story = Self {
            evaluator: Evaluator::new(ledger.store.clone(), receiver, settings),
            ledger,
            slo: parent,
            deploy,
            rollback,
            catalog,
        };
        story.define(Some(slo())).await;
        let history = TimeRange::ending_at(after(0), Duration::from_hours(48));
        story.fill(story.deploy, history, good(1_000)).await;
        story.fill(story.rollback, history, good(10)).await;
        story
    }

    async fn define(&self, slo: Option<Slo>) {
        let mut tx = self.ledger.store.begin("declare SLOs").await.unwrap();
        let names: Vec<_> = slo.iter().map(|slo| slo.name.clone()).collect();
        let ids = tx.declare(&names).await.unwrap();
        let slos = slo.map(|slo| (slo.name.clone(), Arc::new(slo)));
        let catalog = Catalog {
            slos: slos.into_iter().collect(),
            targets: BTreeMap::new(),
        };
        tx.declare_groups(&catalog.groupings(&ids)).await.unwrap();
        tx.commit().await.unwrap();
        self.catalog.send_replace(Arc::new(catalog));
    }

    /// Events of a group are events of the SLO.
    async fn fill(&mut self, group: SloId, range: TimeRange, counts: EventCounts) {
        self.ledger.fill(group, range, counts).await;
        self.ledger.fill(self.slo, range, counts).await;
    }

    /// What happens every minute to each of the groups.
    async fn minutes(&mut self, minutes: [u32; 2], deploy: EventCounts, rollback: EventCounts) {
        let range = TimeRange::new(after(minutes[0]), after(minutes[1]));
        self.fill(self.deploy, range, deploy).await;
        self.fill(self.rollback, range, rollback).await;
    }

    async fn ticks(&self, minutes: impl IntoIterator<Item = u32>) -> EvaluationReport {
        let mut all = EvaluationReport::default();
        for minute in minutes {
            self.ledger
                .was_evaluated_until(after(minute) - MINUTE)
                .await;
            let report = self.evaluator.tick(after(minute)).await.unwrap();
            all.evaluated += report.evaluated;
            all.fired += report.fired;
            all.resolved += report.resolved;
        }
        all
    }

    async fn status(&self, id: SloId) -> SloStatus {
        let mut tx = self.ledger.store.begin("read a status").await.unwrap();
        if let Some(group) = tx.group(id).await.unwrap() {
            return group.record.status.unwrap();
        }
        let name = "deployments".parse().unwrap();
        tx.slo(&name).await.unwrap().unwrap().status.unwrap()
    }

    /// What was recorded of an SLO or a group, oldest first.
    async fn told(&self, id: SloId) -> Vec<AlertSnapshot> {
        let recorded = self.recorded(id).await.into_iter();
        recorded.map(|told| told.facts).collect()
    }

    async fn recorded(&self, id: SloId) -> Vec<AlertTransition> {
        let mut tx = self.ledger.store.begin("read history").await.unwrap();
        let ever = Timestamp::UNIX_EPOCH;
        let mut recorded = tx.transitions(Some(id), ever, 100).await.unwrap();
        recorded.reverse();
        recorded
    }
}

async fn make_group(ledger: &mut Ledger, parent: SloId, kind: &str) -> SloId {
    let group = Group {
        by: vec!["span.kind".to_owned()],
        values: Some(vec![Some(kind.to_owned())]),
    };
    let id = sqlx::query_scalar(
        "insert into slos (parent_id, group_by, group_key, group_values)
         values ($1, $2, $3, $4) returning id",
    )
    .bind(parent.0)
    .bind(sqlx::types::Json(&group.by))
    .bind(Uuid::from_bytes(group.key().0))
    .bind(sqlx::types::Json(&group.values))
    .fetch_one(&mut ledger.connection)
    .await
    .unwrap();
    SloId(id)
}

#[tokio::test]
async fn one_group_burns_and_tells_while_the_whole_slo_is_fine() {
    let mut story = Story::begin().await;
    story.minutes([0, 10], good(1_000), timeouts(10)).await;
    story.minutes([10, 130], good(1_000), good(10)).await;
    assert_eq!(story.ticks([0]).await.evaluated, 3);
    assert_eq!(story.ticks([10]).await.fired, 1);
    assert_eq!(story.status(story.slo).await.state, SloState::Ok);
    assert_eq!(story.status(story.deploy).await.state, SloState::Ok);
    let rollback = story.status(story.rollback).await;
    assert_eq!(rollback.state, SloState::Paging);
    assert_eq!(rollback.last_hour.bad(), 100);

    let told = &story.told(story.rollback).await[0];
    assert_eq!(told.group.as_ref().unwrap().text(), "kind = rollback");
    assert!(
        wording::headline(told).ends_with("Deployments finish, kind = rollback"),
        "{}",
        wording::headline(told)
    );
    let page = format!("https://slo.example.com/incidents/{}", told.episode);
    assert_eq!(told.page_url.as_deref(), Some(page.as_str()));
    assert_eq!(told.long.counts.bad(), 100);

    assert_eq!(story.ticks(11..130).await.resolved, 1);
    let key = told.group.as_ref().unwrap().key().0;
    let key = format!("slo/deployments/page/{:032x}", u128::from_be_bytes(key));
    assert_eq!(
        story.ledger.deliveries().await,
        [
            format!("oncall firing {key} 0"),
            format!("oncall resolved {key} 0")
        ]
    );
}

#[tokio::test]
async fn when_everything_burns_the_slo_tells_and_its_groups_are_shown_as_held_back() {
    let mut story = Story::begin().await;
    story.minutes([0, 10], timeouts(1_000), timeouts(10)).await;
    assert_eq!(story.ticks([10]).await.fired, 3);
    assert_eq!(story.told(story.slo).await.len(), 1);
    let by_page = Some(Suppression::Inhibited { by: Severity::Page });
    for group in [story.deploy, story.rollback] {
        let recorded = story.recorded(group).await;
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].suppression, by_page);
        let status = story.status(group).await;
        assert_eq!(status.state, SloState::Paging);
        assert_eq!(status.alerts[0].progress.muted, by_page);
    }
    assert_eq!(
        story.ledger.deliveries().await,
        ["oncall firing slo/deployments/page 0"]
    );
}

#[tokio::test]
async fn what_burns_on_after_the_slo_has_recovered_is_told_then() {
    let mut story = Story::begin().await;
    story.minutes([0, 10], timeouts(1_000), timeouts(10)).await;
    story.minutes([10, 100], good(1_000), timeouts(10)).await;
    story.ticks(10..90).await;
    let ended = story.told(story.slo).await;
    assert_eq!(ended.last().unwrap().kind, TransitionKind::Resolved);
    let told = story.told(story.rollback).await;
    let kinds: Vec<_> = told.iter().map(|told| told.kind).collect();
    assert_eq!(
        kinds,
        [
            TransitionKind::Firing,
            TransitionKind::Unmuted,
            TransitionKind::Updated
        ],
        "and soon its budget is spent"
    );
    assert!(told[1].evaluated_at >= ended.last().unwrap().evaluated_at);
    let progress = story.status(story.rollback).await.alerts[0].progress;
    assert_eq!(progress.muted, None);
    let recorded = story.recorded(story.deploy).await;
    assert!(
        recorded.iter().all(|one| one.suppression.is_some()),
        "{recorded:?}"
    );
    let group = told[0].group.as_ref().unwrap().key().0;
    let key = format!("slo/deployments/page/{:032x}", u128::from_be_bytes(group));
    assert_eq!(
        story.ledger.deliveries().await,
        [
            "oncall firing slo/deployments/page 0".to_owned(),
            "oncall resolved slo/deployments/page 0".to_owned(),
            format!("oncall unmuted {key} 0"),
            format!("oncall updated {key} 0"),
        ]
    );
}

#[tokio::test]
async fn what_had_begun_before_the_slo_fires_ends_for_those_who_were_told() {
    let mut story = Story::begin().await;
    story.minutes([0, 10], good(1_000), timeouts(10)).await;
    story.minutes([10, 30], timeouts(1_000), timeouts(10)).await;
    story.minutes([30, 200], good(1_000), good(10)).await;
    story.ticks(0..200).await;
    for of in [story.slo, story.rollback] {
        let kinds: Vec<_> = story.told(of).await.iter().map(|told| told.kind).collect();
        assert_eq!(kinds, [TransitionKind::Firing, TransitionKind::Resolved]);
    }
    let recorded = story.recorded(story.deploy).await;
    assert!(
        recorded.iter().all(|one| one.suppression.is_some()),
        "{recorded:?}"
    );
}

#[tokio::test]
async fn the_alert_of_a_group_ends_with_its_grouping_or_its_slo() {
    let ungrouped = Slo {
        group_by: None,
        ..slo()
    };
    for edited in [Some(ungrouped), None] {
        let mut story = Story::begin().await;
        story.minutes([0, 20], good(1_000), timeouts(10)).await;
        assert_eq!(story.ticks([10]).await.fired, 1);
        story.define(edited).await;
        assert_eq!(story.ticks([11]).await.resolved, 1);
        let told = story.told(story.rollback).await;
        let end = told[1].episode_summary.as_ref().unwrap();
        assert_eq!(end.ended_by, EpisodeEnd::Undeclared);
        assert_eq!(told[1].group, told[0].group);
        assert_eq!(story.ledger.deliveries().await.len(), 2);
        let again = story.ticks([12]).await;
        assert_eq!((again.fired, again.resolved), (0, 0));
    }
}
