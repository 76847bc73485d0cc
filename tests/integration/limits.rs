//! Rules on anything but burn rates, from counts to what is told, on a real Postgres.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use throughline::{
    domain::{
        alerting::{
            alert::TransitionKind,
            limit::{LimitState, LimitStatus},
            snapshot::AlertSnapshot,
            status::{SloState, SloStatus},
        },
        model::{
            counts::EventCounts,
            ids::{Name, SloId},
            span::{AttributeName, AttributeScope},
            time::{TimeRange, Timestamp},
        },
        notify::wording,
        slo::{
            Alerting, Catalog, Indicator, Limit, LimitRule, Notify, Severity, Slo,
            WorkflowIndicator,
            exclusion::{Exclusion, ExclusionScope},
        },
        traceql::Selector,
        workflow::Outcome,
    },
    evaluate::{Evaluator, EvaluatorSettings},
};
use tokio::sync::watch;

use crate::support::ledger::{BadWorkflow, Ledger};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap()
}

fn good(count: i64) -> EventCounts {
    EventCounts {
        good: count,
        ..EventCounts::ZERO
    }
}

fn failed(count: i64) -> EventCounts {
    EventCounts {
        failed: count,
        ..EventCounts::ZERO
    }
}

/// Of the first 20 minutes.
fn planned_work() -> Exclusion {
    Exclusion {
        name: "new-disks".parse().unwrap(),
        scope: ExclusionScope::All,
        reason: "new disks".to_owned(),
        stretches: vec![TimeRange::new(start(), start() + MINUTE * 20)],
    }
}

fn slo(limit: Limit) -> Slo {
    let selector = Selector::parse("{ name = \"order\" }").unwrap();
    let indicator = WorkflowIndicator::new(selector.clone(), selector, MINUTE * 5, Vec::new());
    let name: Name = "orders".parse().unwrap();
    Slo {
        customer: Some(AttributeName {
            scope: AttributeScope::Span,
            key: "customer.id".to_owned(),
        }),
        alerting: Alerting {
            limits: vec![LimitRule {
                name: "the-limit".parse().unwrap(),
                severity: Severity::Page,
                limit,
                pending_for: Duration::ZERO,
            }],
            ..Alerting::default()
        },
        notify: Notify {
            page: vec!["oncall".parse().unwrap()],
            ticket: Vec::new(),
        },
        ..Slo::new(
            name,
            "99%".parse().unwrap(),
            DAY * 28,
            Indicator::Workflow(indicator),
        )
    }
}

/// An SLO with one rule, at ten good events a minute since `history` before the start.
struct Story {
    ledger: Ledger,
    slo: SloId,
    evaluator: Evaluator,
}

impl Story {
    async fn begin(limit: Limit, history: Duration) -> Self {
        Self::of(slo(limit), history).await
    }

    async fn of(slo: Slo, history: Duration) -> Self {
        let mut ledger = Ledger::create().await;
        let id = ledger.declare("orders").await;
        let history = TimeRange::ending_at(start(), history);
        ledger.fill(id, history, good(10)).await;
        let catalog = Catalog {
            slos: [(slo.name.clone(), Arc::new(slo))].into(),
            targets: BTreeMap::new(),
        };
        let (_, catalog) = watch::channel(Arc::new(catalog));
        let settings = EvaluatorSettings {
            interval: MINUTE,
            page_base_url: None,
        };
        let evaluator = Evaluator::new(ledger.store.clone(), catalog, settings);
        Self {
            ledger,
            slo: id,
            evaluator,
        }
    }

    async fn fill(&mut self, minutes: [u32; 2], counts: EventCounts) {
        let [from, to] = minutes.map(|minute| start() + MINUTE * minute);
        let range = TimeRange::new(from, to);
        self.ledger.fill(self.slo, range, counts).await;
    }

    /// Ticks at each of these minutes; the minutes in which something was told.
    async fn told_at(&self, minutes: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut told = Vec::new();
        for minute in minutes {
            let now = start() + MINUTE * minute;
            self.ledger.was_evaluated_until(now - MINUTE).await;
            let report = self.evaluator.tick(now).await.unwrap();
            if report.fired + report.resolved > 0 {
                told.push(minute);
            }
        }
        told
    }

    async fn status(&self) -> SloStatus {
        let mut tx = self.ledger.store.begin("read a status").await.unwrap();
        let name: Name = "orders".parse().unwrap();
        tx.slo(&name).await.unwrap().unwrap().status.unwrap()
    }

    async fn limit(&self) -> LimitStatus {
        self.status().await.limits.remove(0)
    }

    /// All transitions, oldest first.
    async fn told(&self) -> Vec<AlertSnapshot> {
        let mut tx = self.ledger.store.begin("read history").await.unwrap();
        let ever = Timestamp::UNIX_EPOCH;
        let newest_first = tx.transitions(Some(self.slo), ever, 100).await.unwrap();
        newest_first
            .into_iter()
            .rev()
            .map(|told| told.facts)
            .collect()
    }
}

/// Two days of ten a minute are 28,800 events; a budget of 288 and some is nine tenths spent by 27
/// minutes of failures.
#[tokio::test]
async fn a_spent_budget_pages_and_says_how_much_of_it_is_spent() {
    let mut story = Story::begin(Limit::BudgetSpent { over: 0.9 }, DAY * 2).await;
    story.fill([0, 40], failed(10)).await;
    assert_eq!(story.told_at(20..=40).await, [27]);
    assert_eq!(story.status().await.state, SloState::Paging);
    let facts = story.told().await.remove(0);
    assert_eq!(facts.rule.as_str(), "the-limit");
    assert_eq!(facts.long.secs, 3_600);
    let headline = wording::headline(&facts);
    assert!(
        headline.starts_with("PAGE 93 % of the budget spent, limit 90 %; 270 of "),
        "{headline}"
    );
}

/// A total failure spends a fifth of the budget, 58 events and some, in the first six minutes.
#[tokio::test]
async fn a_budget_that_will_soon_be_gone_pages_long_before_it_is_and_resolves_after() {
    let mut story = Story::begin(Limit::Exhaustion { within: HOUR * 4 }, DAY * 2).await;
    story.fill([0, 7], failed(10)).await;
    story.fill([7, 120], good(10)).await;
    let told = story.told_at(0..=120).await;
    assert_eq!(told[0], 6);
    let kinds: Vec<_> = story.told().await.iter().map(|facts| facts.kind).collect();
    assert_eq!(kinds, [TransitionKind::Firing, TransitionKind::Resolved]);
    assert_eq!(story.limit().await.standing, LimitState::Under);
}

#[tokio::test]
async fn three_hurt_customers_page_where_one_customer_with_many_bad_events_does_not() {
    let limit = Limit::Customers {
        affected: 3,
        length: HOUR,
    };
    let mut story = Story::begin(limit, DAY).await;
    story.fill([0, 30], good(10)).await;
    for (minute, customer) in [
        (1, "acme"),
        (2, "acme"),
        (3, "acme"),
        (4, "globex"),
        (9, "initech"),
    ] {
        let workflow = BadWorkflow {
            label: "order",
            customer: Some(customer),
            started_at: start(),
            judged_at: start() + MINUTE * minute,
            ended_at: None,
            outcome: Outcome::Timeout,
        };
        story.ledger.add_bad(story.slo, workflow).await;
    }
    assert_eq!(story.told_at([5, 8, 12]).await, [12]);
    assert_eq!(story.limit().await.value, Some(3.0));
    assert_eq!(story.told().await[0].customers_affected, Some(3));
}

fn absence() -> Limit {
    Limit::Absence {
        length: MINUTE * 15,
    }
}

#[tokio::test]
async fn t02_an_slo_that_falls_silent_pages_after_its_time_and_resolves_with_the_next_events() {
    let mut story = Story::begin(absence(), DAY * 8).await;
    story.fill([30, 60], good(10)).await;
    let told = story.told_at(0..=60).await;
    assert_eq!((told[0], told.len()), (15, 2));
    let facts = story.told().await;
    assert_eq!(
        wording::headline(&facts[0]),
        "PAGE no event in 15 min, 600 in 1 h a week ago: orders"
    );
    assert_eq!(facts[1].kind, TransitionKind::Resolved);
}

#[tokio::test]
async fn t02_an_slo_that_is_silent_at_this_hour_every_week_is_not_absent() {
    let mut story = Story::begin(absence(), DAY * 3).await;
    assert_eq!(story.told_at(0..=40).await, [0_u32; 0]);
    let limit = story.limit().await;
    assert_eq!(
        (limit.standing, limit.value),
        (LimitState::Unknown, Some(0.0))
    );
    story.fill([40, 50], good(10)).await;
    assert_eq!(story.told_at([50]).await, [0_u32; 0]);
    assert_eq!(story.limit().await.standing, LimitState::Under);
}

#[tokio::test]
async fn t02_an_outage_of_ingest_is_no_absence_of_events() {
    let mut story = Story::begin(absence(), DAY * 8).await;
    story
        .ledger
        .execute(
            "insert into ingest_watermark (complete_until, heartbeat_at, catch_up_until)
             select t, t, t from (select timestamptz '2026-11-22T10:00:00Z' as t) as stalled",
        )
        .await;
    assert_eq!(story.told_at(2..=40).await, [0_u32; 0]);
    assert_eq!(story.limit().await.standing, LimitState::Unknown);
}

#[tokio::test]
async fn planned_work_is_no_absence_of_events() {
    let slo = Slo {
        exclusions: vec![planned_work().into()],
        ..slo(absence())
    };
    let mut story = Story::of(slo, DAY * 8).await;
    story.fill([0, 20], good(10)).await;
    // The first quarter of an hour that holds no minute of the work ends at 35.
    assert_eq!(story.told_at(0..=40).await, [35]);
}
