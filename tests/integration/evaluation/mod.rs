//! From counts to alert states, told as stories on a real Postgres.

mod states;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use throughline::{
    domain::{
        alerting::{
            alert::{AlertState, EpisodeEnd, TransitionKind},
            rule_status::BurnCondition,
            snapshot::AlertSnapshot,
            status::{SloState, SloStatus},
        },
        model::{
            counts::EventCounts,
            ids::{Name, SloId},
            span::{AttributeName, AttributeScope},
            time::{TimeRange, Timestamp},
        },
        slo::{AlertRule, Alerting, Catalog, Indicator, Notify, Severity, Slo, WorkflowIndicator},
        traceql::Selector,
        workflow::Outcome,
    },
    evaluate::{EvaluationReport, Evaluator, EvaluatorSettings},
};
use tokio::sync::watch;

use crate::support::ledger::{BadWorkflow, Ledger};

const MINUTE: Duration = Duration::from_mins(1);

/// When trouble begins, after two days of ten good workflows a minute.
fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap()
}

fn after(minutes: u32) -> Timestamp {
    start() + MINUTE * minutes
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

fn rule(name: &str, factor: f64, minutes: [u64; 2]) -> AlertRule {
    AlertRule {
        name: name.parse().unwrap(),
        severity: Severity::Page,
        factor,
        long: Duration::from_mins(minutes[0]),
        short: Duration::from_mins(minutes[1]),
        pending_for: Duration::ZERO,
    }
}

fn slo() -> Slo {
    let selector = Selector::parse("{ name = \"order\" }").unwrap();
    let indicator = WorkflowIndicator::new(selector.clone(), selector, MINUTE * 5, Vec::new());
    let window = Duration::from_hours(28 * 24);
    Slo {
        display_name: "Orders complete".to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "shop".to_owned())]),
        service: Some("orders".to_owned()),
        customer: Some(AttributeName {
            scope: AttributeScope::Span,
            key: "customer.id".to_owned(),
        }),
        grace: MINUTE,
        alerting: Alerting {
            rules: vec![
                rule("fast-burn", 13.44, [60, 5]),
                rule("slow-burn", 5.6, [360, 30]),
            ],
            ..Alerting::default()
        },
        notify: Notify {
            page: vec!["oncall".parse().unwrap(), "deploy-slack".parse().unwrap()],
            ticket: Vec::new(),
        },
        ..Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            window,
            Indicator::Workflow(indicator),
        )
    }
}

/// One SLO with its history, and whoever evaluates it.
struct Story {
    ledger: Ledger,
    slo: SloId,
    catalog: watch::Sender<Arc<Catalog>>,
    evaluator: Evaluator,
}

impl Story {
    async fn begin() -> Self {
        let mut ledger = Ledger::create().await;
        let id = ledger.declare("orders").await;
        let history = TimeRange::ending_at(start(), Duration::from_hours(48));
        ledger.fill(id, history, good(10)).await;
        let (catalog, _) = watch::channel(Arc::new(Catalog::default()));
        let evaluator = evaluator(&ledger, &catalog, MINUTE);
        let story = Self {
            ledger,
            slo: id,
            catalog,
            evaluator,
        };
        story.define(Some(slo()));
        story
    }

    fn define(&self, slo: Option<Slo>) {
        let slos = slo.map(|slo| (slo.name.clone(), Arc::new(slo)));
        self.catalog.send_replace(Arc::new(Catalog {
            slos: slos.into_iter().collect(),
            targets: BTreeMap::new(),
        }));
    }

    /// Events of every minute between two minutes of the story.
    async fn fill(&mut self, minutes: [u32; 2], counts: EventCounts) {
        let range = TimeRange::new(after(minutes[0]), after(minutes[1]));
        self.ledger.fill(self.slo, range, counts).await;
    }

    /// Nothing finishes for ten minutes; after that all is well for two hours.
    async fn stall_for_ten_minutes(&mut self) {
        self.fill([0, 10], timeouts(10)).await;
        self.fill([10, 130], good(10)).await;
    }

    /// One tick; if it is the first after a while, that is a gap.
    async fn tick(&self, now: Timestamp) -> EvaluationReport {
        self.evaluator.tick(now).await.unwrap()
    }

    /// A tick at each of these minutes, as if somebody had looked in all minutes between; returns
    /// what was done in all of them.
    async fn ticks(&self, minutes: impl IntoIterator<Item = u32>) -> EvaluationReport {
        let mut all = EvaluationReport::default();
        for minute in minutes {
            self.ledger
                .was_evaluated_until(after(minute) - MINUTE)
                .await;
            let report = self.tick(after(minute)).await;
            all.inconsistent_counts += report.inconsistent_counts;
            all.evaluated += report.evaluated;
            all.fired += report.fired;
            all.resolved += report.resolved;
            all.lost_races += report.lost_races;
        }
        all
    }

    async fn status(&self) -> SloStatus {
        let mut tx = self.ledger.store.begin("read a status").await.unwrap();
        let name: Name = "orders".parse().unwrap();
        tx.slo(&name).await.unwrap().unwrap().status.unwrap()
    }

    /// All transitions, oldest first.
    async fn told(&self) -> Vec<AlertSnapshot> {
        let mut tx = self.ledger.store.begin("read history").await.unwrap();
        let ever = Timestamp::UNIX_EPOCH;
        let newest_first = tx.transitions(Some(self.slo), ever, 100).await.unwrap();
        let mut told: Vec<_> = newest_first.into_iter().map(|told| told.facts).collect();
        told.reverse();
        told
    }

    async fn kinds_told(&self) -> Vec<TransitionKind> {
        self.told().await.iter().map(|facts| facts.kind).collect()
    }
}

fn evaluator(
    ledger: &Ledger,
    catalog: &watch::Sender<Arc<Catalog>>,
    interval: Duration,
) -> Evaluator {
    let settings = EvaluatorSettings {
        interval,
        page_base_url: Some("https://slo.example.com/".to_owned()),
    };
    Evaluator::new(ledger.store.clone(), catalog.subscribe(), settings)
}

#[tokio::test]
async fn a_stall_pages_in_the_first_tick_in_which_both_windows_burn() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    assert_eq!(story.ticks([0, 5]).await.fired, 0);
    let status = story.status().await;
    assert_eq!(status.state, SloState::Rising);
    assert_eq!(status.rules[0].condition, BurnCondition::Rising);

    assert_eq!(story.ticks([10]).await.fired, 1);
    let status = story.status().await;
    assert_eq!(status.state, SloState::Paging);
    assert_eq!(status.alerts[0].state, AlertState::Firing);
    assert_eq!(status.alerts[0].since, after(10));
    assert_eq!(status.last_hour.bad(), 100);
    assert_eq!(
        story.ledger.deliveries().await,
        [
            "deploy-slack firing slo/orders/page 0",
            "oncall firing slo/orders/page 0"
        ]
    );
    assert_eq!(story.ticks([11, 12]).await.fired, 0);
}

#[tokio::test]
async fn what_is_told_names_the_hurt_and_the_three_worst() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    for (minute, customer) in [(1, "acme"), (2, "acme"), (3, "globex"), (4, "initech")] {
        let workflow = BadWorkflow {
            label: &format!("order {minute}"),
            customer: Some(customer),
            started_at: after(minute) - MINUTE * 5,
            judged_at: after(minute),
            ended_at: (minute == 1).then(|| after(minute) + MINUTE),
            outcome: if minute == 1 {
                Outcome::Late
            } else {
                Outcome::Timeout
            },
        };
        story.ledger.add_bad(story.slo, workflow).await;
    }
    story.ticks([10]).await;
    let facts = story.told().await.remove(0);
    assert_eq!(facts.rule.as_str(), "fast-burn");
    assert_eq!((facts.long.secs, facts.short.secs), (3_600, 300));
    assert_eq!(facts.long.counts.timeout, 100);
    assert!(facts.long.burn_rate.unwrap() >= 13.44);
    assert_eq!(facts.customers_affected, Some(3));
    assert_eq!(facts.first_bad_at, Some(after(1)));
    assert_eq!(facts.within_secs, Some(300.0));
    assert_eq!(
        facts.page_url,
        Some(format!(
            "https://slo.example.com/incidents/{}",
            facts.episode
        ))
    );
    let worst: Vec<_> = facts
        .worst
        .iter()
        .map(|worst| worst.label.as_str())
        .collect();
    assert_eq!(worst, ["order 2", "order 3", "order 4"]);
    assert_eq!(facts.worst[0].took_secs, Some(13.0 * 60.0));
    assert!(!facts.worst[0].ended);
}

#[tokio::test]
async fn an_alert_resolves_after_quiet_and_tells_what_the_episode_cost() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    let first = BadWorkflow {
        label: "order 1",
        customer: Some("acme"),
        started_at: start() - MINUTE * 5,
        judged_at: start(),
        ended_at: None,
        outcome: Outcome::Timeout,
    };
    story.ledger.add_bad(story.slo, first).await;
    story.ticks(10..=38).await;
    assert_eq!(story.status().await.state, SloState::Paging);
    story.ticks(39..=43).await;
    assert_eq!(story.status().await.state, SloState::Recovering);
    assert_eq!(story.ticks(44..=60).await.resolved, 1);
    assert_eq!(story.status().await.state, SloState::Ok);

    let told = story.told().await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].kind, TransitionKind::Resolved);
    assert_eq!(told[1].episode, told[0].episode);
    assert!(told[1].version > told[0].version);
    let summary = told[1].episode_summary.clone().unwrap();
    assert_eq!(
        (summary.fired_at, summary.resolved_at),
        (after(10), after(44))
    );
    assert_eq!(summary.ended_by, EpisodeEnd::Recovered);
    assert_eq!((summary.counts.timeout, summary.counts.good), (100, 340));
    assert_eq!(summary.customers_affected, Some(1));
    assert!(summary.budget_spent.unwrap() > 0.3);
    assert_eq!(story.ledger.deliveries().await.len(), 4);
}

#[tokio::test]
async fn t03_a_restart_keeps_an_alert_firing_and_tells_nobody_again() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    story.ticks([10]).await;
    story.evaluator = evaluator(&story.ledger, &story.catalog, MINUTE);
    let report = story.ticks([11, 12]).await;
    assert_eq!((report.evaluated, report.fired), (2, 0));
    assert_eq!(story.status().await.alerts[0].since, after(10));
}

#[tokio::test]
async fn t03_time_that_nobody_evaluated_does_not_count_as_quiet() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    story.ticks([10, 40]).await;
    assert_eq!(story.status().await.state, SloState::Recovering);
    for minute in 80..=85 {
        assert_eq!(story.tick(after(minute)).await.resolved, 0, "{minute}");
    }
    assert_eq!(story.tick(after(86)).await.resolved, 1);
}

#[tokio::test]
async fn t01_counts_that_may_be_incomplete_resolve_nothing() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    story
        .ledger
        .execute(
            "insert into ingest_watermark (complete_until, heartbeat_at, catch_up_until)
             select t, t, t from (select timestamptz '2026-11-22T10:10:00Z' as t) as stalled",
        )
        .await;
    assert_eq!(story.ticks(10..=60).await.resolved, 0);
    story
        .ledger
        .execute("update ingest_watermark set complete_until = '2026-11-22T12:00:00Z'")
        .await;
    assert_eq!(story.ticks(61..=66).await.resolved, 1);
}

#[tokio::test]
async fn a_tick_that_cannot_read_its_counts_changes_nothing() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    story.ticks([10]).await;
    story
        .ledger
        .execute("alter table event_counts rename to gone")
        .await;
    for minute in 11..=60 {
        assert!(story.evaluator.tick(after(minute)).await.is_err());
    }
    assert_eq!(story.status().await.evaluated_at, after(10));
    story
        .ledger
        .execute("alter table gone rename to event_counts")
        .await;
    assert_eq!(story.ticks([61]).await.resolved, 0);
    assert_eq!(story.status().await.state, SloState::Recovering);
}

#[tokio::test]
async fn t07_a_removed_slo_resolves_and_says_so_to_those_who_were_told() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    story.ticks([10]).await;
    story.define(None);
    assert_eq!(
        story.ticks([11]).await.evaluated,
        0,
        "still declared: another replica's turn"
    );
    story.ledger.declare_none().await;
    assert_eq!(story.ticks([12]).await.resolved, 1);
    let resolved = story.told().await.remove(1);
    assert_eq!(resolved.display_name, "Orders complete");
    assert_eq!(
        resolved.episode_summary.unwrap().ended_by,
        EpisodeEnd::Undeclared
    );
    assert_eq!(
        story.ledger.deliveries().await[2..],
        [
            "deploy-slack resolved slo/orders/page 0",
            "oncall resolved slo/orders/page 0"
        ]
    );
    assert_eq!(story.ticks([13, 14]).await, EvaluationReport::default());
}

#[tokio::test]
async fn t07_an_alert_whose_rules_are_edited_away_resolves() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    story.ticks([10]).await;
    let mut edited = slo();
    edited.alerting.rules.clear();
    edited.notify = Notify::default();
    story.define(Some(edited));
    assert_eq!(story.ticks([11]).await.resolved, 1);
    assert_eq!(story.ledger.deliveries().await.len(), 4);
    assert_eq!(story.status().await.alerts, []);
}

#[tokio::test]
async fn t10_two_evaluators_at_once_tell_what_one_would() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    // No interval, no claim that lasts: both see every SLO in every tick.
    let [one, two] = [(); 2].map(|()| evaluator(&story.ledger, &story.catalog, Duration::ZERO));
    let (mut evaluated, mut told) = (0, 0);
    for half_minute in 20..=120 {
        let now = start() + Duration::from_secs(30) * half_minute;
        let (first, second) = tokio::join!(one.tick(now), two.tick(now));
        for report in [first.unwrap(), second.unwrap()] {
            evaluated += report.evaluated;
            told += report.fired + report.resolved;
        }
    }
    assert!(evaluated > 101, "both had work to do: {evaluated}");
    assert_eq!(told, 2);
    assert_eq!(
        story.kinds_told().await,
        [TransitionKind::Firing, TransitionKind::Resolved]
    );
    assert_eq!(story.ledger.deliveries().await.len(), 4);
}

#[tokio::test]
async fn open_workflows_are_counted_and_the_overdue_among_them() {
    let mut story = Story::begin().await;
    for minutes_before in [0, 1, 4, 5, 6] {
        story
            .ledger
            .add_open(story.slo, after(10) - MINUTE * minutes_before)
            .await;
    }
    story.ticks([10]).await;
    let status = story.status().await;
    assert_eq!((status.in_flight, status.overdue), (5, 1));
}

#[tokio::test]
async fn the_counts_around_an_incident_are_kept_when_it_begins_and_when_it_ends() {
    let mut story = Story::begin().await;
    story.stall_for_ten_minutes().await;
    story.ticks(10..=60).await;
    let episode = story.told().await[0].episode;
    let mut tx = story.ledger.store.begin("read pictures").await.unwrap();
    for (kind, reaches) in [
        (TransitionKind::Firing, after(10)),
        (TransitionKind::Resolved, after(44)),
    ] {
        let picture = tx.picture(episode, kind).await.unwrap().unwrap();
        assert_eq!(picture.timeout.iter().sum::<i64>(), 100);
        assert!(picture.range().contains(start()) && picture.range().to >= reaches);
        let peak = picture.burn().filter_map(|(_, long, _)| long);
        assert!(peak.into_iter().any(|rate| rate >= 13.44), "{picture:?}");
    }
}
