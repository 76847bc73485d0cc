//! What the evaluator would have written for the fixture: statuses from the same counts, alerts with
//! their history and deliveries.

use std::time::Duration;

use sqlx::PgConnection;
use throughline::domain::{
    alerting::{
        alert::{AlertProgress, AlertState, AlertStatus, EpisodeEnd, TransitionKind},
        rule_status::{BurnCondition, RuleStatus, WindowStatus},
        snapshot::{
            AlertSnapshot, ChangeKind, Context, EpisodeSummary, RecentChange, SlowestStage,
            WorstWorkflow,
        },
        status::{SloState, SloStatus},
        trace_link::TraceLink,
    },
    counting::{customers::CustomerTotal, time_used::TimeUsed},
    model::{
        counts::EventCounts,
        ids::{Name, SloId, TraceId},
        time::{TimeRange, Timestamp},
    },
    slo::{AlertRule, Catalog, Severity, Slo},
    workflow::Outcome,
};
use uuid::Uuid;

use super::fixture::{SHAPES, now};
use crate::support::database::TestDatabase;

const HOUR: u64 = 3_600;

pub(super) async fn evaluate(
    database: &TestDatabase,
    connection: &mut PgConnection,
    catalog: &Catalog,
) {
    let standings = [
        SloState::Paging,
        SloState::Ticket,
        SloState::Rising,
        SloState::NoData,
        SloState::Ok,
        SloState::Ok,
        SloState::TooFew,
    ];
    for ((shape, id), state) in SHAPES.iter().zip(1..).zip(standings) {
        let slo = &catalog.slos[&shape.name.parse::<Name>().unwrap()];
        let status = evaluated(database, slo, SloId(id), state).await;
        sqlx::query("insert into slo_statuses (slo_id, evaluated_at, status, state)\n             values ($1, $2, $3, $3 ->> 'state')")
            .bind(id)
            .bind(status.evaluated_at.to_chrono())
            .bind(serde_json::to_value(&status).unwrap())
            .execute(&mut *connection)
            .await
            .unwrap();
        if id <= 2 {
            history(connection, slo, id, &status).await;
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
async fn evaluated(database: &TestDatabase, slo: &Slo, id: SloId, state: SloState) -> SloStatus {
    let mut tx = database.store.begin("sum the fixture").await.unwrap();
    let at = now() - Duration::from_secs(2);
    let mut sums = async |secs: u64| -> EventCounts {
        let range = TimeRange::ending_at(at, Duration::from_secs(secs));
        tx.sums(&[(id, range)]).await.unwrap()[0]
    };
    let window = sums(slo.window.length().as_secs()).await;
    let budget = slo.objective.budget_ratio();
    let rate = |counts: EventCounts, secs: u64| {
        (counts.total() > 0).then(|| {
            counts.bad() as f64 / (budget * window.total() as f64)
                * slo.window.length().as_secs_f64()
                / secs as f64
        })
    };
    let last_hour = sums(HOUR).await;
    let burn_rate = rate(last_hour, HOUR);
    let budget_remaining = window.bad_ratio().map(|bad| 1.0 - bad / budget);
    let mut rules = Vec::new();
    for rule in &slo.alerting.rules {
        let (long, short) = (rule.long.as_secs(), rule.short.as_secs());
        let (long_counts, short_counts) = (sums(long).await, sums(short).await);
        let window = |secs, counts| WindowStatus::new(secs, counts, rate(counts, secs));
        rules.push(compared(
            rule,
            window(long, long_counts),
            window(short, short_counts),
        ));
    }
    let empty_in = budget_remaining
        .zip(burn_rate)
        .filter(|(left, rate)| *left > 0.0 && *rate > 0.0);
    let time_used = in_flight(state);
    SloStatus {
        evaluated_at: at,
        state,
        window,
        period: None,
        budget_remaining,
        budget_remaining_at_worst: None,
        budget_empty_in_secs: empty_in
            .map(|(left, rate)| (left * slo.window.length().as_secs_f64() / rate) as u64),
        last_hour,
        burn_rate,
        rules,
        limits: Vec::new(),
        quality: Vec::new(),
        alerts: alerts(state),
        in_incident: (state == SloState::Paging).then_some(last_hour),
        time_used,
        overdue: if state == SloState::Paging { 8 } else { 0 },
        customers_affected: (state == SloState::Paging).then_some(7),
        steady_ticks: 2,
        customers_total: (state == SloState::Paging).then_some(CUSTOMERS),
    }
}

const CUSTOMERS: CustomerTotal = CustomerTotal {
    customers: 391,
    is_lower_bound: false,
    affected_is_upper_bound: false,
};

/// 63 workflows, eight of them overdue.
fn in_flight(state: SloState) -> TimeUsed {
    match state {
        SloState::Paging => TimeUsed::new([(2, 30), (11, 20), (17, 5), (20, 8)]),
        _ => TimeUsed::default(),
    }
}

fn compared(rule: &AlertRule, long: WindowStatus, short: WindowStatus) -> RuleStatus {
    let over = |window: &WindowStatus| window.burn_rate.is_some_and(|rate| rate >= rule.factor);
    RuleStatus {
        name: rule.name.clone(),
        severity: rule.severity,
        factor: rule.factor,
        pending_for: rule.pending_for,
        at_worst: None,
        condition: match (over(&long), over(&short)) {
            (true, true) => BurnCondition::Burning,
            (false, true) => BurnCondition::Rising,
            (true, false) => BurnCondition::Recovering,
            _ if long.burn_rate.is_none() => BurnCondition::NoData,
            _ => BurnCondition::Quiet,
        },
        long,
        short,
    }
}

fn alerts(state: SloState) -> Vec<AlertStatus> {
    let alert = |severity, minutes: u64, rule: &str| AlertStatus {
        began_at: Some(now() - Duration::from_secs((minutes + 14) * 60 + 4)),
        severity,
        state: AlertState::Firing,
        since: now() - Duration::from_secs(minutes * 60 + 4),
        rule: Some(rule.parse().unwrap()),
        progress: AlertProgress::default(),
    };
    match state {
        SloState::Paging => vec![alert(Severity::Page, 29, "fast-burn")],
        SloState::Ticket => vec![alert(Severity::Ticket, 372, "trickle")],
        _ => Vec::new(),
    }
}

/// Two old episodes and the one that goes on.
async fn history(connection: &mut PgConnection, slo: &Slo, id: i32, status: &SloStatus) {
    let alert = &status.alerts[0];
    let severity = serde_json::to_value(alert.severity).unwrap();
    sqlx::query("insert into alerts (slo_id, severity, state, version, episode, since, rule) values ($1, $2, 'firing', 5, $3, $4, $5)")
        .bind(id)
        .bind(severity.as_str())
        .bind(episode(id, 3))
        .bind(alert.since.to_chrono())
        .bind(alert.rule.as_ref().map(Name::as_str))
        .execute(&mut *connection)
        .await
        .unwrap();
    let ago = |minutes: u64| now() - Duration::from_mins(minutes);
    let changes = [
        (ago(25_900), TransitionKind::Firing, 1),
        (ago(25_870), TransitionKind::Resolved, 1),
        (ago(12_960), TransitionKind::Firing, 2),
        (ago(12_700), TransitionKind::Resolved, 2),
        (alert.since, TransitionKind::Firing, 3),
    ];
    for ((at, kind, nth), version) in changes.into_iter().zip(1..) {
        let facts = AlertSnapshot {
            episode: episode(id, nth),
            version,
            ..facts(slo, status, at, kind)
        };
        let transition = Uuid::now_v7();
        sqlx::query("insert into alert_transitions (id, slo_id, severity, version, episode, kind, at, snapshot) values ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(transition)
            .bind(id)
            .bind(severity.as_str())
            .bind(version)
            .bind(facts.episode)
            .bind(kind.as_str())
            .bind(at.to_chrono())
            .bind(serde_json::to_value(&facts).unwrap())
            .execute(&mut *connection)
            .await
            .unwrap();
        delivered(connection, transition, at).await;
    }
}

/// The nth of an SLO.
fn episode(slo: i32, nth: u128) -> Uuid {
    Uuid::from_u128(u128::from(slo.unsigned_abs()) << 64 | nth)
}

async fn delivered(connection: &mut PgConnection, transition: Uuid, at: Timestamp) {
    for (target, status) in [("oncall", 202), ("team-chat", 200)] {
        let delivery: i64 = sqlx::query_scalar("insert into deliveries (transition_id, target, ordering_key, priority, state, attempts, next_attempt_at, retries_since, settled_at) values ($1, $2, 'k', 0, 'delivered', 1, $3, $3, $3) returning id")
            .bind(transition)
            .bind(target)
            .bind(at.to_chrono())
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        sqlx::query(
            "insert into delivery_attempts values ($1, 1, $2, 204, 'delivered', $3, null, null)",
        )
        .bind(delivery)
        .bind(at.to_chrono())
        .bind(status)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
}

fn facts(slo: &Slo, status: &SloStatus, at: Timestamp, kind: TransitionKind) -> AlertSnapshot {
    let rule = &status.rules[0];
    let window = |window: &WindowStatus| {
        WindowStatus::new(
            window.secs,
            window.counts,
            window.burn_rate.map(|rate| rate.max(rule.factor) * 1.01),
        )
    };
    AlertSnapshot {
        is_test: false,
        kind,
        slo: slo.name.clone(),
        display_name: slo.display_name.clone(),
        group: None,
        service: slo.service.clone(),
        labels: slo.labels.clone(),
        severity: status.alerts[0].severity,
        rule: rule.name.clone(),
        factor: rule.factor,
        limit: None,
        episode: Uuid::nil(),
        version: 1,
        objective: slo.objective.ratio(),
        window_secs: slo.window.length().as_secs(),
        calendar: slo.window.unit(),
        within_secs: Some(300.0),
        long: window(&rule.long),
        short: window(&rule.short),
        customers_affected: Some(5),
        customers_total: None,
        budget_remaining: Some(0.61),
        bad_events_allowed: 3_404,
        budget_empty_in_secs: None,
        began_at: Some(at - Duration::from_mins(14)),
        evaluated_at: at,
        fired_at: None,
        nth_today: None,
        finish_unmatched_since: None,
        development: None,
        acknowledged: None,
        worst: vec![worst(at)],
        differences: Vec::new(),
        slowest_stage: Some(slowest()),
        context: after_a_deploy(at),
        runbook: slo.runbook.clone(),
        page_url: None,
        episode_summary: (kind == TransitionKind::Resolved).then(|| EpisodeSummary {
            unusable: None,
            ended_by: EpisodeEnd::Recovered,
            flaps: 0,
            fired_at: at - Duration::from_mins(30),
            resolved_at: at,
            counts: late_of(372, 1_800),
            customers_affected: Some(21),
            customers_affected_is_upper_bound: false,
            budget_spent: Some(0.061),
            before: None,
        }),
    }
}

fn slowest() -> SlowestStage {
    SlowestStage {
        title: "wait in fulfilment".to_owned(),
        share_of_excess: 0.973,
        bad_secs: 401.0,
        good_secs: 6.2,
    }
}

fn after_a_deploy(at: Timestamp) -> Context {
    let deploy = RecentChange {
        kind: ChangeKind::Deploy,
        at: at - Duration::from_mins(15),
        title: "warehouse-consumer 2.41.0".to_owned(),
        url: Some("https://ci.example.com/builds/42".to_owned()),
    };
    Context {
        changes: vec![deploy],
        ..Context::default()
    }
}

fn worst(at: Timestamp) -> WorstWorkflow {
    WorstWorkflow {
        label: "ord-7f31c2".to_owned(),
        trace_id: TraceId::from_slice(&[0x7f; 16]).unwrap(),
        customer: None,
        outcome: Outcome::Timeout,
        started_at: Some(at - Duration::from_mins(12)),
        took_secs: Some(720.0),
        ended: false,
        page_url: None,
        links: vec![TraceLink {
            name: "Jaeger".to_owned(),
            url: "https://jaeger.example/trace/7f7f".to_owned(),
        }],
    }
}

const fn late_of(late: i64, good: i64) -> EventCounts {
    EventCounts {
        late,
        good,
        ..EventCounts::ZERO
    }
}
