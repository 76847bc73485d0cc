//! Property tests: for any state the page and the message show the same values, and no impossible
//! ones.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};
use regex::Regex;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        alerting::{
            alert::{
                AlertChange, AlertProgress, AlertState, AlertStatus, Episode, Recovery, Transition,
            },
            burn_rate::{Ageing, steps},
            rule_status::Freshness,
            settled::SettledCounts,
            snapshot::AlertSnapshot,
            status::{Measured, SloStatus},
        },
        counting::{
            customers::CustomerTotal,
            series::{Series, SeriesPoint},
            time_used::TimeUsed,
        },
        model::{
            counts::{EventCounts, StartSpans},
            ids::SloId,
            span::{AttributeName, AttributeScope},
        },
        slo::{
            AlertRule, Alerting, BurnKind, Indicator, Severity, Slo, SpanIndicator,
            TIME_LIMIT_STEPS,
        },
        traceql::Selector,
    },
    store::SloRecord,
    web::reader::times,
};

const MINUTE: Duration = Duration::from_mins(1);
const WINDOW: Duration = Duration::from_hours(28 * 24);
const RULES: [(&str, Severity, f64, u32, u32); 3] = [
    ("fast-burn", Severity::Page, 13.44, 60, 5),
    ("slow-burn", Severity::Page, 5.6, 360, 30),
    ("trickle", Severity::Ticket, 0.933_333, 4_320, 360),
];

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:08:04Z").unwrap()
}

fn slo(burn: BurnKind) -> Slo {
    let selector = || Selector::parse("{ true }").unwrap();
    let rules = RULES.map(|(name, severity, factor, long, short)| AlertRule {
        name: name.parse().unwrap(),
        severity,
        factor,
        long: MINUTE * long,
        short: MINUTE * short,
        pending_for: Duration::ZERO,
    });
    Slo {
        display_name: "Orders".to_owned(),
        customer: Some(AttributeName {
            scope: AttributeScope::Span,
            key: "customer.id".to_owned(),
        }),
        alerting: Alerting {
            rules: rules.to_vec(),
            burn,
            ..Alerting::default()
        },
        ..Slo::new(
            "orders".parse().unwrap(),
            "99.5%".parse().unwrap(),
            WINDOW,
            Indicator::Span(SpanIndicator::new(selector(), selector())),
        )
    }
}

/// Makes counts of a time range: the events, and the bad ones by reason.
fn stretch(most: i64) -> impl Strategy<Value = EventCounts> {
    let share = prop_oneof![Just(0.0), 0.0..0.01, 0.0..1.0];
    (0..=most, share, 0.0..1.0, 0.0..1.0).prop_map(|(total, bad, late, failed)| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "small numbers"
        )]
        let part = |of: i64, share: f64| (of as f64 * share) as i64;
        let bad = part(total, bad);
        let late = part(bad, late);
        let failed = part(bad - late, failed);
        EventCounts {
            good: total - bad,
            late,
            failed,
            timeout: bad - late - failed,
            ..EventCounts::ZERO
        }
    })
}

/// Makes the counts of nested look-backs, and those that leave the longest one next.
fn counted() -> impl Strategy<Value = (BTreeMap<Duration, EventCounts>, Ageing)> {
    let stretches = (
        vec(stretch(2_000), 6),
        vec(stretch(2_000), 56),
        stretch(300_000),
    );
    stretches.prop_map(|(recent, oldest, between)| {
        let range = Ageing::range(WINDOW, now());
        let (_, step) = steps(WINDOW);
        let starts = (0..).map(|nth| range.from + step * nth);
        let points = starts.zip(&oldest).map(|(at, counts)| SeriesPoint {
            at,
            counts: *counts,
        });
        let ageing = Ageing::new(&Series::new(range, step, &points.collect::<Vec<_>>()));
        let lengths = [5, 30, 60, 360, 4_320].map(|minutes| MINUTE * minutes);
        let mut sum = EventCounts::ZERO;
        let mut counts: BTreeMap<_, _> = BTreeMap::new();
        for (length, stretch) in lengths.into_iter().zip(&recent) {
            sum += *stretch;
            counts.insert(length, sum);
        }
        sum += between + oldest.into_iter().sum();
        counts.insert(WINDOW, sum);
        (counts, ageing)
    })
}

fn measured() -> impl Strategy<Value = Measured> {
    let age = prop_oneof![
        Just(WINDOW * 2),
        (60_u64..2_000_000).prop_map(Duration::from_secs)
    ];
    (
        (counted(), proptest::option::of(counted())),
        age,
        (0_i64..500, 0_i64..500),
        (0_i64..900, 0_i64..99),
    )
        .prop_map(
            |(((counts, ageing), settled), age, (affected, others), (running, overdue))| Measured {
                at: now(),
                first_event_at: Some(now() - age),
                has_ended: true,
                nearest_finish: None,
                finish_unmatched_since: None,
                ends_missing: BTreeMap::new(),
                expected_ends: None,
                settled: settled.map(|(counts, _)| SettledCounts {
                    counts,
                    ..SettledCounts::new(now() - MINUTE * 3)
                }),
                starts: StartSpans::default(),
                in_period: EventCounts::ZERO,
                in_incident: counts.get(&(MINUTE * 360)).copied(),
                ageing,
                counts,
                time_used: TimeUsed::new([(0, running), (TIME_LIMIT_STEPS, overdue)]),
                overdue,
                customers_affected: affected,
                customers_total: (affected > 0).then_some(CustomerTotal {
                    customers: affected + others,
                    is_lower_bound: false,
                    affected_is_upper_bound: false,
                }),
                customers: BTreeMap::new(),
                freshness: Freshness::Fresh,
            },
        )
}

/// Makes a firing rule or none: how many minutes ago it began, and whether it recovers.
fn fired() -> impl Strategy<Value = Option<(&'static str, Severity, u64, bool)>> {
    let rule = select(&RULES[..]);
    let fired = (rule, 1_u64..4_000, any::<bool>());
    proptest::option::weighted(
        0.9,
        fired.prop_map(|((name, severity, ..), ago, recovers)| (name, severity, ago, recovers)),
    )
}

/// The texts of a page and of its alert's message for one state.
struct Shown {
    summary: Summary,
    page: Vec<String>,
    facts: Option<AlertSnapshot>,
}

fn show(slo: &Slo, measured: &Measured, fired: Option<(&str, Severity, u64, bool)>) -> Shown {
    let rules = measured.rule_statuses(slo);
    let alert = fired.map(|(rule, severity, ago, recovers)| AlertStatus {
        severity,
        state: if recovers {
            AlertState::Recovering
        } else {
            AlertState::Firing
        },
        since: now() - MINUTE,
        began_at: Some(now() - Duration::from_mins(ago)),
        rule: Some(rule.parse().unwrap()),
        progress: AlertProgress {
            recovery: recovers.then_some(Recovery {
                since: now() - MINUTE,
                resolves_at: now() + MINUTE,
            }),
            ..AlertProgress::default()
        },
    });
    let facts = alert.as_ref().and_then(|alert| {
        let mut episode = Episode::begin(Uuid::nil(), alert.rule.clone()?, alert.since);
        episode.began_at = alert.began_at?;
        let transition = Transition {
            episode,
            version: 1,
            at: measured.at,
            change: AlertChange::Fired,
            suppression: None,
        };
        AlertSnapshot::measured(slo, measured, &rules, alert.severity, &transition)
    });
    let status = SloStatus::new(slo, measured, rules, alert.into_iter().collect());
    let record = SloRecord {
        id: SloId(1),
        name: slo.name.clone(),
        first_event_at: measured.first_event_at,
        status: Some(status),
    };
    let summary = Summary::new(slo, Some(&record));
    let sentences = [Some(verdict(&summary, now())), urgent(&summary, now())];
    let sentences = sentences.into_iter().flatten();
    let mut page: Vec<String> = sentences.flat_map(|one| [one.lead, one.rest]).collect();
    page.extend([
        summary.budget_text(),
        summary.burn_text(),
        summary.empty_in_text(),
        summary.achieved_text(),
        summary.never_finished.text(),
    ]);
    Shown {
        summary,
        page,
        facts,
    }
}

impl Shown {
    fn message(&self) -> Vec<String> {
        let facts = self.facts.iter();
        facts
            .flat_map(|facts| {
                [
                    wording::headline(facts),
                    wording::description(facts),
                    wording::burn(facts),
                    wording::budget_left(facts),
                    wording::pace(facts),
                ]
            })
            .collect()
    }

    fn page_says(&self, text: &str) -> bool {
        self.page.iter().any(|line| line.contains(text))
    }
}

/// Checks that nothing is over 100 %, and no zero is below zero.
fn is_possible(text: &str) -> bool {
    static SHARE: LazyLock<Regex> = LazyLock::new(|| Regex::new("(−?)([0-9.,]+) %").unwrap());
    static NEGATIVE_ZERO: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("[−-]0(\\.0+)?($|[ ×%])").unwrap());
    let mut shares = SHARE
        .captures_iter(text)
        .filter(|found| found[1].is_empty());
    let is_share = shares.all(|found| {
        let share: f64 = found[2].replace(',', "").parse().unwrap();
        share <= 100.0
    });
    is_share && !NEGATIVE_ZERO.is_match(text)
}

proptest! {
    #![proptest_config(Config::with_cases(10_000))]

    #[test]
    fn of_any_state_page_and_message_say_the_same_and_nothing_that_cannot_be(
        measured in measured(), fired in fired(),
        kind in prop_oneof![Just(BurnKind::Budget), Just(BurnKind::Ratio)],
    ) {
        let shown = show(&slo(kind), &measured, fired);
        let (slo, message) = (&shown.summary, shown.message());
        for line in shown.page.iter().chain(&message) {
            prop_assert!(is_possible(line), "{}", line);
        }
        let pace = slo.pace.burn_rate.unwrap_or(0.0);
        if pace < 0.999_999 || slo.is_spent() {
            prop_assert_eq!(slo.budget_empty_at, None);
            prop_assert!(!shown.page_says("is gone"), "{:?}", shown.page);
            prop_assert!(!message.iter().any(|line| line.contains("gone in")), "{:?}", message);
        }
        if let Some(facts) = &shown.facts {
            prop_assert_eq!(facts.began_at, slo.began_at);
            prop_assert_eq!(&facts.long, &slo.pace);
            prop_assert_eq!(facts.budget_remaining, slo.budget_remaining_ratio);
            prop_assert_eq!(facts.bad_events_allowed, slo.budget_remaining_events.max(0));
            prop_assert_eq!(facts.budget_empty_in_secs, slo.budget_empty_in_seconds);
            prop_assert_eq!(facts.customers_affected, slo.customers_affected_last_hour);
            prop_assert_eq!(facts.customers_total, slo.customers_total_last_hour);
            prop_assert!(wording::burn(facts).contains(&slo.burn_text()), "{}", slo.burn_text());
            let people = CustomerTotal::people(facts.customers_affected, facts.customers_total.as_ref());
            prop_assert!(people.is_none_or(|people| shown.page_says(&people)), "{:?}", shown.page);
            let bad = facts.long.counts.bad();
            if bad > 0 && slo.state != Some(SloState::Ok) {
                let share = format!(
                    "{} of {}", format::count(bad), format::count(facts.long.counts.total())
                );
                prop_assert!(shown.page_says(&share), "{}: {:?}", share, shown.page);
            }
            if matches!(slo.state, Some(SloState::Paging | SloState::Ticket | SloState::Recovering)) {
                let since = format!("since {}", times::moment(facts.began_at.unwrap(), now()));
                prop_assert!(shown.page_says(&since), "{}: {:?}", since, shown.page);
            }
        }
    }
}
