//! Rules on anything but burn rates, from counts to what is told, on a real Postgres.

use std::time::Duration;

use throughline::domain::{
    alerting::{
        alert::TransitionKind,
        status::SloState,
        threshold::{ThresholdState, ThresholdStatus},
    },
    model::time::TimeRange,
    notify::wording,
    slo::{
        Alerting, Limit, Severity, Slo, ThresholdRule,
        exclusion::{Exclusion, ExclusionScope},
    },
    workflow::Outcome,
};

use crate::support::app::{
    BadWorkflow, HOUR, MINUTE, ORDERS, TestApp, after, failed, good, slo as slo_of,
};

const DAY: Duration = Duration::from_hours(24);

/// Of the first 20 minutes.
fn planned_work() -> Exclusion {
    Exclusion {
        name: "new-disks".parse().unwrap(),
        scope: ExclusionScope::All,
        reason: "new disks".to_owned(),
        ranges: vec![TimeRange::new(after(0), after(20))],
    }
}

fn slo(limit: Limit) -> Slo {
    Slo {
        alerting: Alerting {
            limits: vec![ThresholdRule {
                name: "the-limit".parse().unwrap(),
                severity: Severity::Page,
                limit,
                pending_for: Duration::ZERO,
            }],
            ..Alerting::default()
        },
        display_name: "orders".to_owned(),
        ..slo_of(ORDERS)
    }
}

/// An SLO with one rule, at ten good events a minute since `history` before the start.
async fn story(limit: Limit, history: Duration) -> TestApp {
    story_of(slo(limit), history).await
}

async fn story_of(slo: Slo, history: Duration) -> TestApp {
    let app = TestApp::new().define(slo);
    app.history(history, good(10)).at("10:00").await
}

impl TestApp {
    /// Ticks at each of these minutes; the minutes in which something was told.
    async fn told_at(&self, minutes: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut told = Vec::new();
        for minute in minutes {
            let report = self.ticks([minute]).await;
            if report.fired + report.resolved > 0 {
                told.push(minute);
            }
        }
        told
    }

    async fn limit(&self) -> ThresholdStatus {
        self.status().await.limits.remove(0)
    }
}

/// Two days of ten a minute are 28,800 events; a budget of 288 and some is nine tenths spent by 27
/// minutes of failures.
#[tokio::test]
async fn a_spent_budget_pages_and_says_how_much_of_it_is_spent() {
    let story = story(Limit::BudgetSpent { over: 0.9 }, DAY * 2).await;
    story.fill([0, 40], failed(10)).await;
    assert_eq!(story.told_at(20..=40).await, [27]);
    assert_eq!(story.status().await.state, SloState::Paging);
    let facts = story.facts().await.remove(0);
    assert_eq!(facts.rule.as_str(), "the-limit");
    assert_eq!(facts.long.secs, 3_600);
    let headline = wording::headline(&facts);
    assert!(
        headline.starts_with("PAGE orders: 93 % of the budget spent, limit 90 %, 270 of "),
        "{headline}"
    );
}

/// A total failure spends a fifth of the budget, 58 events and some, in the first six minutes.
#[tokio::test]
async fn a_budget_that_will_soon_be_gone_pages_long_before_it_is_and_resolves_after() {
    let story = story(Limit::Exhaustion { within: HOUR * 4 }, DAY * 2).await;
    story.fill([0, 7], failed(10)).await;
    story.fill([7, 120], good(10)).await;
    let told = story.told_at(0..=120).await;
    assert_eq!(told[0], 6);
    let kinds: Vec<_> = story.facts().await.iter().map(|facts| facts.kind).collect();
    assert_eq!(kinds, [TransitionKind::Firing, TransitionKind::Resolved]);
    assert_eq!(story.limit().await.state, ThresholdState::Under);
}

#[tokio::test]
async fn three_hurt_customers_page_where_one_customer_with_many_bad_events_does_not() {
    let limit = Limit::Customers {
        affected: 3,
        length: HOUR,
    };
    let story = story(limit, DAY).await;
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
            started_at: after(0),
            judged_at: after(0) + MINUTE * minute,
            ended_at: None,
            outcome: Outcome::Timeout,
        };
        story.add_bad(workflow).await;
    }
    assert_eq!(story.told_at([5, 8, 12]).await, [12]);
    assert_eq!(story.limit().await.value, Some(3.0));
    assert_eq!(story.facts().await[0].customers_affected, Some(3));
}

fn absence() -> Limit {
    Limit::Absence {
        length: MINUTE * 15,
    }
}

#[tokio::test]
pub(crate) async fn t02_an_slo_that_falls_silent_pages_after_its_time_and_resolves_with_the_next_events()
 {
    let story = story(absence(), DAY * 8).await;
    story.fill([30, 60], good(10)).await;
    let told = story.told_at(0..=60).await;
    assert_eq!((told[0], told.len()), (15, 2));
    let facts = story.facts().await;
    assert_eq!(
        wording::headline(&facts[0]),
        "PAGE orders: no event in 15 min, 600 in 1 h a week ago"
    );
    assert_eq!(facts[1].kind, TransitionKind::Resolved);
}

#[tokio::test]
pub(crate) async fn t02_an_slo_that_is_silent_at_this_hour_every_week_is_not_absent() {
    let story = story(absence(), DAY * 3).await;
    assert_eq!(story.told_at(0..=40).await, [0_u32; 0]);
    let limit = story.limit().await;
    assert_eq!(
        (limit.state, limit.value),
        (ThresholdState::Unknown, Some(0.0))
    );
    story.fill([40, 50], good(10)).await;
    assert_eq!(story.told_at([50]).await, [0_u32; 0]);
    assert_eq!(story.limit().await.state, ThresholdState::Under);
}

#[tokio::test]
pub(crate) async fn t02_an_outage_of_ingest_is_no_absence_of_events() {
    let story = story(absence(), DAY * 8).await;
    story.ingest_ends(after(0)).await;
    assert_eq!(story.told_at(2..=40).await, [0_u32; 0]);
    assert_eq!(story.limit().await.state, ThresholdState::Unknown);
}

#[tokio::test]
async fn planned_work_is_no_absence_of_events() {
    let slo = Slo {
        exclusions: vec![planned_work().into()],
        ..slo(absence())
    };
    let story = story_of(slo, DAY * 8).await;
    story.fill([0, 20], good(10)).await;
    // The first quarter of an hour that holds no minute of the work ends at 35.
    assert_eq!(story.told_at(0..=40).await, [35]);
}

/// Nothing is bad yet; the time limit is five minutes.
#[tokio::test]
async fn workflows_that_have_used_most_of_their_time_limit_page_before_any_event_is_bad() {
    let limit = Limit::AtRisk {
        used: 0.8,
        workflows: 3,
    };
    let story = story(limit, DAY).await;
    story.fill([0, 30], good(10)).await;
    for minute in [0, 1, 1, 3] {
        story.add_open(after(minute)).await;
    }
    // Four minutes of five are four fifths.
    assert_eq!(story.told_at(3..=5).await, [5]);
    let facts = story.facts().await.remove(0);
    assert_eq!(facts.long.counts.bad(), 0);
    let headline = wording::headline(&facts);
    assert!(
        headline.contains("80 % of the time limit used, 3 in flight, limit 3"),
        "{headline}"
    );
    let status = story.status().await;
    assert_eq!(status.time_used.tenths()[4..], [1, 0, 0, 0, 2, 0, 1]);
}
