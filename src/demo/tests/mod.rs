//! Tests that the demo's sequence works: the alert fires and resolves soon by the product's own
//! maths, and the past is counted as its spans would have been.

mod discover;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    definitions::tests::catalog,
    history::{History, Slos},
    past::{DAY, DAYS},
};
use crate::domain::{
    alerting::{
        burn_rate::{BurnBounds, BurnContext},
        condition::{Signal, rule_status, verdict},
        rule_status::Freshness,
        rule_statuses::RuleStatuses,
    },
    counting::ledger::{CountDelta, apply},
    model::{
        counts::EventCounts,
        ids::{Name, SloId},
        time::{Resolution, Timestamp},
    },
    slo::{Catalog, Severity, Slo},
    workflow::EvidenceByEvent,
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn ids(catalog: &Catalog) -> BTreeMap<Name, SloId> {
    catalog.slos.keys().cloned().zip((1..).map(SloId)).collect()
}

fn history(catalog: &Catalog) -> History {
    History {
        slos: Arc::new(Slos::new(catalog, &ids(catalog)).unwrap()),
        now: NOW,
        seed: 1,
    }
}

fn count(history: &History, gathered: &EvidenceByEvent) -> CountDelta {
    let mut moves = CountDelta::default();
    for ((slo, _), workflow) in gathered {
        apply(*slo, None, workflow, &history.judging(*slo), &mut moves);
    }
    moves
}

/// Days without and with each kind of problem.
#[test]
fn facts_alone_count_the_same_as_all_the_spans() {
    let catalog = catalog();
    let history = history(&catalog);
    for day in [1, 7, 20] {
        let by_facts = history.day(day, Duration::ZERO);
        let by_spans = history.day(day, DAY * (day + 1));
        assert!(by_facts.recent.is_empty());
        let of_spans = count(&history, &by_spans.recent);
        assert_eq!(by_facts.moves.by_bucket(), of_spans.by_bucket(), "{day}");
        // Delayed ends would postpone the timeouts of the demo.
        assert_eq!(by_facts.moves.delayed_ends, BTreeMap::new(), "{day}");
        assert_eq!(of_spans.delayed_ends, BTreeMap::new(), "{day}");
    }
}

/// Returns good and bad events of the whole past, by SLO; computed once, since it takes seconds.
fn past(history: &History) -> &'static BTreeMap<SloId, EventCounts> {
    static PAST: OnceLock<BTreeMap<SloId, EventCounts>> = OnceLock::new();
    PAST.get_or_init(|| {
        let mut past: BTreeMap<SloId, EventCounts> = BTreeMap::new();
        for day in 1..=DAYS {
            let mut buckets = history.day(day, Duration::ZERO).moves.by_bucket();
            buckets.retain(|(_, resolution, _), _| *resolution == Resolution::Day);
            for ((slo, ..), counts) in buckets {
                *past.entry(slo).or_default() += counts;
            }
        }
        past
    })
}

/// Makes the counts of a minute of live traffic, by the time of the verdict.
fn counts(good: i64, timeout: i64) -> EventCounts {
    EventCounts {
        good,
        timeout,
        ..EventCounts::ZERO
    }
}

/// Returns the verdict at the end of the last of `minutes`. Windows are widened to whole minutes,
/// so in the worst case, which is assumed, each contains one minute more than its length.
fn judged(slo: &Slo, in_window: EventCounts, minutes: &[EventCounts]) -> Signal {
    let burn = BurnContext {
        objective: slo.objective,
        kind: slo.alerting.burn,
        window: slo.window.length(),
        in_window: minutes.iter().copied().chain([in_window]).sum(),
        observed: DAY * DAYS,
        period: None,
    };
    let last = |length: Duration| {
        let whole = usize::try_from(length.as_secs() / 60).unwrap() + 1;
        let from = minutes.len().saturating_sub(whole);
        minutes[from..].iter().copied().sum::<EventCounts>()
    };
    let rules: Vec<_> = slo
        .alerting
        .rules
        .iter()
        .map(|rule| {
            let counts =
                BTreeMap::from([(rule.long, last(rule.long)), (rule.short, last(rule.short))]);
            rule_status(rule, slo.alerting.guard, &BurnBounds::new(&burn), &counts)
        })
        .collect();
    let of = RuleStatuses {
        rules,
        ..RuleStatuses::default()
    };
    verdict(&of, Severity::Page, Freshness::Fresh)
}

/// Half an hour of usual traffic, then a stall: for 25 s nothing is judged bad, then every order
/// is, two seconds apart.
#[test]
fn ten_seconds_of_timeouts_fire_and_two_good_minutes_clear() {
    let catalog = catalog();
    let history = history(&catalog);
    let id = ids(&catalog)["orders-on-time".parse::<Name>().as_ref().unwrap()];
    let slo = &catalog.slos["orders-on-time".parse::<Name>().as_ref().unwrap()];
    let in_window = past(&history)[&id];
    let usual = counts(30, 0);
    let with = |last: &[EventCounts]| [&[usual; 30], last].concat();
    let judged = |last: &[EventCounts]| judged(slo, in_window, &with(last));
    let is_breach = |last: &[EventCounts]| matches!(judged(last), Signal::Breach(_));

    assert_eq!(judged(&[usual]), Signal::Clear);
    assert_eq!(judged(&[counts(5, 4)]), Signal::TooFew, "the guard holds");
    assert!(is_breach(&[counts(5, 5)]));
    let stall = [counts(5, 5), counts(0, 30)];
    assert!(is_breach(&[&stall[..], &[usual]].concat()));
    assert_eq!(
        judged(&[&stall[..], &[usual, usual]].concat()),
        Signal::Clear
    );
}

#[test]
fn the_past_leaves_half_of_the_budget() {
    let catalog = catalog();
    let history = history(&catalog);
    for (name, id) in ids(&catalog) {
        let counts = past(&history)[&id];
        let slo = &catalog.slos[&name];
        let spent = counts.bad_ratio().unwrap() / slo.objective.budget_ratio();
        let expected = match name.as_str() {
            "orders-on-time" => 0.3..0.7,
            _ => 0.0..0.7,
        };
        assert!(expected.contains(&spent), "{name}: {spent} of {counts:?}");
    }
}
