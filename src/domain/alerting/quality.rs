//! Rules on data quality, which every SLO with rules has: whether its counts are reliable.
//!
//! They open tickets, never pages, and share the SLO's ticket alert with the rules that the policy
//! declares for it, so that one alert per SLO reports everything that is not urgent. If the alert
//! fires because of them, it stays open until they have been clear for [`QUIET_FOR`].

use std::{collections::BTreeSet, time::Duration};

use super::{
    rule_status::{BurnCondition, WindowStatus},
    rule_statuses::RuleStatuses,
    threshold::{ThresholdState, ThresholdStatus},
};
use crate::domain::{
    model::{
        counts::{EventCounts, StartSpans},
        ids::Name,
    },
    slo::{Guard, Limit, Notify, Severity},
};

/// The time for which a ticket on data quality stays open after the last problem.
pub const QUIET_FOR: Duration = Duration::from_hours(1);
/// The share of unusable events above which a ticket is opened.
const MOST_UNUSABLE: f64 = 0.01;

const NEVER_ENDED: &str = "never-ended";
const DATA_QUALITY: &str = "data-quality";
const UNCORRELATED: &str = "uncorrelated-starts";

/// Returns whether a rule of this name is one of these.
pub fn is_quality_rule(rule: &Name) -> bool {
    matches!(rule.as_str(), NEVER_ENDED | DATA_QUALITY | UNCORRELATED)
}

/// Returns the targets of an alert that fires by `rule`.
///
/// A ticket on data quality must reach someone even if the SLO has no ticket targets, since it may
/// be the only sign of an outage: then the targets of its pages get it, as a ticket, and the
/// platform target.
pub fn recipients(
    notify: &Notify,
    severity: Severity,
    rule: &Name,
    platform_target: Option<&Name>,
) -> Vec<Name> {
    match severity {
        Severity::Page => notify.page.clone(),
        Severity::Ticket if !notify.ticket.is_empty() => notify.ticket.clone(),
        Severity::Ticket if is_quality_rule(rule) => {
            let all: BTreeSet<&Name> = notify.page.iter().chain(platform_target).collect();
            all.into_iter().cloned().collect()
        }
        Severity::Ticket => Vec::new(),
    }
}

/// Returns the ticket that replaces every alert of an SLO whose ends were never joined with a
/// start. `None` if no rule burns. Its value is the number of ends without a start in the window of
/// that rule.
pub(super) fn never_ended(
    statuses: &RuleStatuses,
    nearest: Option<&str>,
) -> Option<ThresholdStatus> {
    let burning = statuses
        .rules
        .iter()
        .filter(|rule| rule.condition == BurnCondition::Burning)
        .map(|rule| (&rule.long, rule.pending_for));
    let over = statuses
        .limits
        .iter()
        .filter(|limit| limit.state == ThresholdState::Over)
        .filter(|limit| !matches!(limit.limit, Limit::Absence { .. }))
        .map(|limit| (&limit.window, limit.pending_for));
    let (window, pending_for) = burning.chain(over).next()?;
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let ends = window.counts.orphan as f64;
    Some(ThresholdStatus {
        pending_for,
        lacking: nearest.map(str::to_owned),
        ..status(
            NEVER_ENDED,
            Limit::NeverEnded,
            Some(ends),
            ThresholdState::Over,
            window.clone(),
        )?
    })
}

/// Returns the rule on the share of unusable events in `window`, the last hour.
pub(super) fn unusable(
    window: WindowStatus,
    guard: Guard,
    statuses: &RuleStatuses,
) -> Option<ThresholdStatus> {
    let page_in_doubt = statuses.is_page_in_doubt();
    let share = unusable_share(window.counts);
    let limit = Limit::Unusable {
        over: MOST_UNUSABLE,
        page_in_doubt,
    };
    let enough = u64::try_from(window.counts.unusable()).unwrap_or(0) >= guard.bad_events;
    let state = match share {
        _ if page_in_doubt => ThresholdState::Over,
        Some(share) if share > MOST_UNUSABLE && enough => ThresholdState::Over,
        Some(share) if share > MOST_UNUSABLE => ThresholdState::TooFew,
        Some(_) => ThresholdState::Under,
        None => ThresholdState::Unknown,
    };
    status(DATA_QUALITY, limit, share, state, window)
}

/// Returns the rule on the share of start spans that do not name their workflow, in the last hour;
/// `None` if all do. They are in no count, so no other rule covers them.
pub(super) fn uncorrelated(
    starts: StartSpans,
    lacking: String,
    window: WindowStatus,
    guard: Guard,
) -> Option<ThresholdStatus> {
    if starts.uncorrelated <= 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let share = starts.uncorrelated as f64 / (starts.correlated + starts.uncorrelated) as f64;
    let enough = u64::try_from(starts.uncorrelated).unwrap_or(0) >= guard.bad_events;
    let state = match share > MOST_UNUSABLE {
        true if enough => ThresholdState::Over,
        true => ThresholdState::TooFew,
        false => ThresholdState::Under,
    };
    let limit = Limit::Uncorrelated {
        over: MOST_UNUSABLE,
    };
    Some(ThresholdStatus {
        lacking: Some(lacking),
        ..status(UNCORRELATED, limit, Some(share), state, window)?
    })
}

/// Returns the share of all events that cannot be used; `None` without events.
pub fn unusable_share(counts: EventCounts) -> Option<f64> {
    let all = counts.total() + counts.unusable();
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let share = |of: i64| of as f64 / all as f64;
    (all > 0).then(|| share(counts.unusable()))
}

fn status(
    name: &str,
    limit: Limit,
    value: Option<f64>,
    state: ThresholdState,
    window: WindowStatus,
) -> Option<ThresholdStatus> {
    Some(ThresholdStatus {
        name: name.parse().ok()?,
        severity: Severity::Ticket,
        limit,
        pending_for: Duration::ZERO,
        value,
        value_is_upper_bound: false,
        state,
        as_good: None,
        lacking: None,
        window,
    })
}
