//! Alerts of groups, told as stories.

use std::ops::Deref;

use throughline::domain::{
    alerting::{
        alert::{EpisodeEnd, TransitionKind},
        status::SloState,
        suppression::Suppression,
    },
    model::{counts::EventCounts, group::Group, ids::SloId, time::TimeRange},
    notify::wording,
    slo::{Severity, Slo},
};

use crate::support::app::{HOUR, TestApp, after, good, slo, timeouts};

const DEPLOYMENTS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: deployments, displayName: Deployments finish }
spec:
  objective: 99%
  window: 28d
  indicator:
    span: { match: '{ name = "deploy" }', good: '{ status != error }' }
  groupBy: [span.kind]
  alertPolicies:
    - metadata: { name: burn }
      spec:
        rules:
          - { name: fast-burn, severity: page, burnRate: { factor: 13.44, long: 1h, short: 5m } }
  notify: { page: [oncall] }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: oncall }
spec: { webhook: { url: { env: UNUSED } } }
"#;

/// An SLO of two groups, `deploy` with a hundred times the events of `rollback`.
struct Story {
    app: TestApp,
    deploy: SloId,
    rollback: SloId,
}

impl Deref for Story {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

impl Story {
    async fn begin() -> Self {
        let app = TestApp::new().slo(DEPLOYMENTS).at("10:00");
        let app = app
            .with(|settings| {
                settings.evaluator.page_base_url = Some("https://slo.example.com/".to_owned());
            })
            .await;
        let story = Self {
            deploy: app.make_group(&kind("deploy")).await,
            rollback: app.make_group(&kind("rollback")).await,
            app,
        };
        let history = TimeRange::ending_at(after(0), HOUR * 48);
        story.fill_group(story.deploy, history, good(1_000)).await;
        story.fill_group(story.rollback, history, good(10)).await;
        story
    }

    /// Events of a group are events of the SLO.
    async fn fill_group(&self, group: SloId, range: TimeRange, counts: EventCounts) {
        self.fill_range(group, range, counts).await;
        self.fill_range(self.only(), range, counts).await;
    }

    /// What happens every minute to each of the groups.
    async fn minutes(&self, minutes: [u32; 2], deploy: EventCounts, rollback: EventCounts) {
        let range = TimeRange::new(after(minutes[0]), after(minutes[1]));
        self.fill_group(self.deploy, range, deploy).await;
        self.fill_group(self.rollback, range, rollback).await;
    }
}

fn kind(value: &str) -> Group {
    Group {
        by: vec!["span.kind".to_owned()],
        values: Some(vec![Some(value.to_owned())]),
    }
}

#[tokio::test]
async fn one_group_burns_and_tells_while_the_whole_slo_is_fine() {
    let story = Story::begin().await;
    story.minutes([0, 10], good(1_000), timeouts(10)).await;
    story.minutes([10, 130], good(1_000), good(10)).await;
    assert_eq!(story.ticks([0]).await.evaluated, 3);
    assert_eq!(story.ticks([10]).await.fired, 1);
    assert_eq!(story.status_of(story.only()).await.state, SloState::Ok);
    assert_eq!(story.status_of(story.deploy).await.state, SloState::Ok);
    let rollback = story.status_of(story.rollback).await;
    assert_eq!(rollback.state, SloState::Paging);
    assert_eq!(rollback.last_hour.bad(), 100);

    let told = &story.facts_of(story.rollback).await[0];
    assert_eq!(told.group.as_ref().unwrap().text(), "kind = rollback");
    assert!(
        wording::headline(told).starts_with("PAGE Deployments finish, kind = rollback: "),
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
        story.deliveries().await,
        [
            format!("oncall firing {key} 0"),
            format!("oncall resolved {key} 0")
        ]
    );
}

#[tokio::test]
async fn when_everything_burns_the_slo_tells_and_its_groups_are_shown_as_held_back() {
    let story = Story::begin().await;
    story.minutes([0, 10], timeouts(1_000), timeouts(10)).await;
    assert_eq!(story.ticks([10]).await.fired, 3);
    assert_eq!(story.facts_of(story.only()).await.len(), 1);
    let by_page = Some(Suppression::Inhibited { by: Severity::Page });
    for group in [story.deploy, story.rollback] {
        let recorded = story.transitions_of(group).await;
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].suppression, by_page);
        let status = story.status_of(group).await;
        assert_eq!(status.state, SloState::Paging);
        assert_eq!(status.alerts[0].progress.muted, by_page);
    }
    assert_eq!(
        story.deliveries().await,
        ["oncall firing slo/deployments/page 0"]
    );
}

#[tokio::test]
async fn what_burns_on_after_the_slo_has_recovered_is_told_then() {
    let story = Story::begin().await;
    story.minutes([0, 10], timeouts(1_000), timeouts(10)).await;
    story.minutes([10, 100], good(1_000), timeouts(10)).await;
    story.ticks(10..90).await;
    let ended = story.facts_of(story.only()).await;
    assert_eq!(ended.last().unwrap().kind, TransitionKind::Resolved);
    let told = story.facts_of(story.rollback).await;
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
    let progress = story.status_of(story.rollback).await.alerts[0].progress;
    assert_eq!(progress.muted, None);
    let recorded = story.transitions_of(story.deploy).await;
    assert!(
        recorded.iter().all(|one| one.suppression.is_some()),
        "{recorded:?}"
    );
    let group = told[0].group.as_ref().unwrap().key().0;
    let key = format!("slo/deployments/page/{:032x}", u128::from_be_bytes(group));
    assert_eq!(
        story.deliveries().await,
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
    let story = Story::begin().await;
    story.minutes([0, 10], good(1_000), timeouts(10)).await;
    story.minutes([10, 30], timeouts(1_000), timeouts(10)).await;
    story.minutes([30, 200], good(1_000), good(10)).await;
    story.ticks(0..200).await;
    for of in [story.only(), story.rollback] {
        let kinds: Vec<_> = story
            .facts_of(of)
            .await
            .iter()
            .map(|told| told.kind)
            .collect();
        assert_eq!(kinds, [TransitionKind::Firing, TransitionKind::Resolved]);
    }
    let recorded = story.transitions_of(story.deploy).await;
    assert!(
        recorded.iter().all(|one| one.suppression.is_some()),
        "{recorded:?}"
    );
}

#[tokio::test]
async fn the_alert_of_a_group_ends_with_its_grouping_or_its_slo() {
    let ungrouped = Slo {
        group_by: None,
        ..slo(DEPLOYMENTS)
    };
    for edited in [Some(ungrouped), None] {
        let story = Story::begin().await;
        story.minutes([0, 20], good(1_000), timeouts(10)).await;
        assert_eq!(story.ticks([10]).await.fired, 1);
        story.define(edited).await;
        assert_eq!(story.ticks([11]).await.resolved, 1);
        let told = story.facts_of(story.rollback).await;
        let end = told[1].episode_summary.as_ref().unwrap();
        assert_eq!(end.ended_by, EpisodeEnd::Undeclared);
        assert_eq!(told[1].group, told[0].group);
        assert_eq!(story.deliveries().await.len(), 2);
        let again = story.ticks([12]).await;
        assert_eq!((again.fired, again.resolved), (0, 0));
    }
}
