//! Snapshots for tests: a realistic one, and arbitrary ones.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use uuid::Uuid;

use super::{Actions, MessageNote, RenderContext};
use crate::domain::{
    alerting::{
        alert::{AlertUpdate, EpisodeEnd, TransitionKind},
        incident::Acknowledgement,
        rule_status::{Missing, WindowStatus},
        snapshot::{
            AlertSnapshot, Before, ChangeKind, Compared, Context, EpisodeSummary, RecentChange,
            SlowestStage, TopCustomer, Trend, WorstWorkflow,
        },
        suppression::Suppression,
        trace_link::TraceLink,
    },
    counting::{customers::CustomerTotal, differences::Difference},
    model::{
        counts::EventCounts,
        group::Group,
        ids::{Name, TraceId},
        time::Timestamp,
    },
    notify::delivery::Redelivery,
    slo::Severity,
    workflow::Outcome,
};

const fn counts(late: i64, failed: i64, timeout: i64, good: i64) -> EventCounts {
    EventCounts {
        good,
        late,
        failed,
        timeout,
        ..EventCounts::ZERO
    }
}

pub(crate) fn firing() -> AlertSnapshot {
    AlertSnapshot {
        is_test: false,
        kind: TransitionKind::Firing,
        slo: "checkout-speed".parse().unwrap(),
        display_name: "Checkout speed".to_owned(),
        group: None,
        service: Some("checkout".to_owned()),
        labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
        severity: Severity::Page,
        rule: "fast".parse().unwrap(),
        factor: 14.4,
        limit: None,
        episode: Uuid::from_u128(7),
        version: 3,
        objective: 0.995,
        window_secs: 30 * 86_400,
        calendar: None,
        within_secs: Some(4.0),
        long: WindowStatus::new(3_600, counts(900, 300, 40, 8_070), Some(26.6)),
        short: WindowStatus::new(300, counts(80, 10, 3, 707), Some(14.41)),
        customers_affected: Some(412),
        customers_total: Some(CustomerTotal {
            customers: 9_120,
            is_lower_bound: false,
            affected_is_upper_bound: false,
        }),
        budget_remaining: Some(0.18),
        bad_events_allowed: 403,
        budget_empty_in_secs: Some(17_520),
        began_at: Some(Timestamp::from_secs(1_795_328_309)),
        evaluated_at: Timestamp::from_secs(1_795_328_700),
        fired_at: Some(Timestamp::from_secs(1_795_328_700)),
        nth_today: None,
        finish_unmatched_since: None,
        development: None,
        acknowledged: None,
        worst: vec![lost_order()],
        differences: vec![Difference {
            attribute: "resource.service.version".to_owned(),
            value: "2.41.0".to_owned(),
            bad_ratio: 0.99,
            good_ratio: 0.34,
        }],
        slowest_stage: Some(SlowestStage {
            title: "wait in cards & co".to_owned(),
            share_of_excess: 0.973,
            bad_secs: 9.4,
            good_secs: 0.31,
        }),
        context: context(),
        runbook: Some("https://wiki.example.com/checkout-slow".to_owned()),
        page_url: Some("https://slo.example.com/slos/checkout-speed".to_owned()),
        episode_summary: None,
    }
}

fn context() -> Context {
    let points = |n: u16| Some(n.saturating_sub(58) * 95);
    Context {
        changes: vec![
            RecentChange {
                kind: ChangeKind::Deploy,
                at: Timestamp::from_secs(1_795_328_240),
                title: "checkout 2.41.0 <canary>".to_owned(),
                url: Some("https://ci.example.com/builds/42".to_owned()),
            },
            RecentChange {
                kind: ChangeKind::FirstSeen,
                at: Timestamp::from_secs(1_795_328_290),
                title: "resource.service.version = 2.41.0".to_owned(),
                url: None,
            },
        ],
        trend: Some(Trend {
            since_first_event_secs: None,
            from: Timestamp::from_secs(1_795_307_160),
            step_secs: 300,
            bad_basis_points: (0..72).map(points).collect(),
        }),
        top_customers: vec![
            TopCustomer {
                customer: "acme & sons".to_owned(),
                bad: 74,
            },
            TopCustomer {
                customer: "nordwind".to_owned(),
                bad: 39,
            },
        ],
        compared: Some(Compared {
            bad: 208,
            good: 200,
        }),
        data_until: Some(Timestamp::from_secs(1_795_328_680)),
    }
}

fn lost_order() -> WorstWorkflow {
    WorstWorkflow {
        label: "order-42".to_owned(),
        trace_id: TraceId::from_slice(&[0x0a; 16]).unwrap(),
        customer: Some("acme & sons".to_owned()),
        outcome: Outcome::Timeout,
        started_at: Some(Timestamp::from_secs(1_795_328_309)),
        took_secs: Some(11.2),
        ended: false,
        page_url: Some(
            "https://slo.example/workflows/orders/0a0b0c0d0e0f0a0b0c0d0e0f0a0b0c0d".to_owned(),
        ),
        links: vec![TraceLink {
            name: "Jaeger".to_owned(),
            url: "https://jaeger.example/trace/0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a".to_owned(),
        }],
    }
}

/// Makes a context with every field at its maximum length.
pub(super) fn every_note() -> RenderContext {
    let at = Timestamp::from_secs(1_795_328_700);
    // 63 characters, the maximum of a name.
    let longest: Name = "on-call-of-the-payments-and-checkout-teams-in-europe-and-africa"
        .parse()
        .unwrap();
    RenderContext {
        repeat: Redelivery::Possible,
        notes: vec![
            MessageNote::SentAsFallback {
                target: longest.clone(),
            },
            MessageNote::Delayed {
                by_secs: 840,
                meanwhile: Some(longest),
            },
            MessageNote::Missed { from: at, to: at },
        ],
        actions: Actions {
            acknowledge: Some("https://slo.example.com/a/acknowledge?sig=1".to_owned()),
            silence: Some("https://slo.example.com/a/silence?sig=2".to_owned()),
        },
        chart: Some("https://slo.example.com/charts/7.png?token=3".to_owned()),
    }
}

pub(super) fn of_group() -> AlertSnapshot {
    AlertSnapshot {
        group: Some(Group {
            by: vec!["span.deployment.kind".to_owned(), ".region".to_owned()],
            values: Some(vec![Some("rollback".to_owned()), None]),
        }),
        ..firing()
    }
}

pub(super) fn resolved() -> AlertSnapshot {
    let at = Timestamp::from_secs(1_795_330_589);
    AlertSnapshot {
        kind: TransitionKind::Resolved,
        version: 4,
        evaluated_at: at,
        budget_remaining: Some(0.09),
        budget_empty_in_secs: None,
        long: WindowStatus::new(3_600, counts(15, 3, 0, 8_982), Some(0.4)),
        short: WindowStatus::new(300, counts(0, 0, 0, 750), Some(0.0)),
        episode_summary: Some(EpisodeSummary {
            unusable: None,
            ended_by: EpisodeEnd::Recovered,
            flaps: 2,
            fired_at: Timestamp::from_secs(1_795_328_700),
            resolved_at: at,
            counts: counts(1_500, 400, 110, 20_000),
            customers_affected: Some(655),
            customers_affected_is_upper_bound: false,
            budget_spent: Some(0.21),
            before: Some(Before {
                bad_ratio: Some(0.133),
                difference: firing().differences.first().cloned(),
                good_ratio_now: Some(0.0),
            }),
        }),
        ..firing()
    }
}

/// Returns snapshots of a firing alert, one per kind of update.
pub(super) fn developments() -> Vec<AlertSnapshot> {
    let at = Timestamp::from_secs(1_795_330_100);
    let stopped_at = at - Duration::from_mins(12);
    [
        AlertUpdate::MoreCustomers {
            before: 412,
            now: 905,
        },
        AlertUpdate::BudgetSpent,
        AlertUpdate::DataStopped {
            heard_until: Some(stopped_at),
            missing: Missing::Events,
        },
        AlertUpdate::DataStopped {
            heard_until: None,
            missing: Missing::Ingest,
        },
        AlertUpdate::DataResumed { stopped_at },
        AlertUpdate::Unmuted {
            was: Suppression::Silenced {
                silence: Uuid::from_u128(8),
                until: at,
            },
        },
        AlertUpdate::Unmuted {
            was: Suppression::Inhibited { by: Severity::Page },
        },
        AlertUpdate::Reminded,
        AlertUpdate::Acknowledged,
    ]
    .map(|development| AlertSnapshot {
        kind: development.kind(),
        version: 4,
        evaluated_at: at,
        development: Some(development),
        acknowledged: (development == AlertUpdate::Acknowledged).then(|| Acknowledgement {
            at,
            by: Some("dana *& <!channel>".to_owned()),
        }),
        ..firing()
    })
    .to_vec()
}

fn any_numbers() -> impl Strategy<Value = (i64, i64, Option<f64>, u64, i64)> {
    (
        any_count(),
        any_count(),
        proptest::option::of(any::<f64>()),
        any::<u64>(),
        any::<i64>(),
    )
}

/// Makes snapshots with any string and number that a careless or hostile sender could cause.
pub(crate) fn arbitrary() -> impl Strategy<Value = AlertSnapshot> {
    let strings = (hostile(), hostile(), hostile(), hostile(), any_address());
    let labels = proptest::collection::btree_map(hostile(), hostile(), 0..40);
    let kind = prop_oneof![
        Just(firing()),
        Just(resolved()),
        proptest::sample::select(developments())
    ];
    let group = proptest::option::of(any_group());
    let all = (strings, any_numbers(), labels, kind, group);
    all.prop_map(|(strings, numbers, labels, base, group)| {
        let (name, service, label, customer, url) = strings;
        let (late, good, ratio, secs, customers) = numbers;
        let worst = WorstWorkflow {
            label,
            customer: Some(customer),
            took_secs: ratio,
            links: vec![TraceLink {
                name: name.clone(),
                url: url.clone(),
            }],
            ..base.worst[0].clone()
        };
        AlertSnapshot {
            context: full_of(&base.context, &service, &worst.label, &url),
            display_name: name.clone(),
            group,
            service: Some(service),
            labels,
            customers_affected: Some(customers),
            customers_total: Some(CustomerTotal {
                customers,
                is_lower_bound: true,
                affected_is_upper_bound: false,
            }),
            budget_remaining: ratio,
            budget_empty_in_secs: Some(secs),
            bad_events_allowed: customers,
            window_secs: secs,
            within_secs: ratio,
            long: WindowStatus::new(secs, counts(late, late, 1, good), ratio),
            differences: vec![difference_of_no_number(&worst.label, &name); 5],
            worst: vec![worst; 5],
            slowest_stage: Some(SlowestStage {
                title: url.clone(),
                share_of_excess: ratio.unwrap_or(1.0),
                bad_secs: ratio.unwrap_or(1.0),
                good_secs: 1e9,
            }),
            runbook: Some(url.clone()),
            page_url: Some(url),
            ..base
        }
    })
}

fn full_of(context: &Context, title: &str, customer: &str, url: &str) -> Context {
    let change = RecentChange {
        kind: ChangeKind::Flag,
        at: Timestamp::from_secs(1_795_328_240),
        title: title.to_owned(),
        url: Some(url.to_owned()),
    };
    let top = TopCustomer {
        customer: customer.to_owned(),
        bad: i64::MAX,
    };
    Context {
        changes: vec![change; 5],
        top_customers: vec![top; 5],
        trend: context.trend.clone().map(|trend| Trend {
            bad_basis_points: vec![Some(u16::MAX); 100],
            ..trend
        }),
        ..context.clone()
    }
}

fn difference_of_no_number(attribute: &str, value: &str) -> Difference {
    Difference {
        attribute: attribute.to_owned(),
        value: value.to_owned(),
        bad_ratio: f64::NAN,
        good_ratio: 1.0,
    }
}

/// Makes values up to the maximum length of evidence.
fn any_address() -> impl Strategy<Value = String> {
    prop_oneof![hostile(), "https://[a-z0-9/?=]{1,1600}"]
}

fn any_group() -> impl Strategy<Value = Group> {
    let value = proptest::option::of(hostile().prop_map(|mut value| {
        value.truncate(value.floor_char_boundary(256));
        value
    }));
    let pairs = proptest::collection::vec((hostile(), value), 1..=4);
    (pairs, any::<bool>()).prop_map(|(pairs, has_values)| {
        let (by, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Group {
            by: by.into_iter().map(|name| format!("span.{name}")).collect(),
            values: has_values.then_some(values),
        }
    })
}

fn any_count() -> impl Strategy<Value = i64> {
    prop_oneof![0_i64..100, 0_i64..1_000_000_000_000_000_000]
}

/// Makes any text, and text of characters that some format interprets.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,300}",
        "[<>&!@#`*\"\\\\]{0,700}",
        "(<!channel>|<@U012>|<#C01>|&lt;){0,90}",
        proptest::collection::vec(any::<char>(), 0..900).prop_map(String::from_iter),
    ]
}
