//! Rules on one number: how much of the budget is spent, how long it lasts, how many customers are
//! affected, and whether there are any events at all.
//!
//! A burn rate has two windows; each of these rules has one number that reaches its limit or does
//! not. A rule that compares events with a budget is unknown until the first event is older than
//! its window, as a burn rate is until its short window is covered: a share of the first few events
//! means nothing. The formulae are monotonic: one more bad event never clears a rule.

#[cfg(test)]
mod tests;
mod words;

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    alerting::{
        burn_rate::{BurnContext, Window},
        rule_status::{CLEAR_SHARE, CountsByLength, Freshness, WindowStatus},
    },
    counting::time_used::TimeUsed,
    model::{counts::EventCounts, ids::Name},
    slo::{Guard, Limit, Severity, TIME_LIMIT_STEPS, ThresholdRule, whole_seconds},
};

/// Distinct customers with a bad event, by look-back.
pub type CustomersByLength = BTreeMap<Duration, BoundedCount>;

/// The number of customers with a bad event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoundedCount {
    pub count: i64,
    /// True if it is unknown which customers of a batch they were, so that it is the largest
    /// possible number.
    pub is_upper_bound: bool,
}

const WEEK: Duration = Duration::from_hours(7 * 24);
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A share that is exactly the limit in decimals may be a few units in the last place off in
/// binary.
const TOLERANCE: f64 = 1e-9;

/// The status of a rule on one number.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ThresholdStatus {
    pub name: Name,
    pub severity: Severity,
    #[serde(rename = "threshold")]
    pub limit: Limit,
    /// The time for which the limit must be reached before a notification.
    #[serde(default, rename = "for_seconds", with = "whole_seconds")]
    #[schemars(with = "u64")]
    pub pending_for: Duration,
    /// The number that is compared with the limit: the share of the budget that is spent, the
    /// seconds that it lasts, the customers affected, or for an absence the events a week ago.
    /// `None` if there is no such number: without events, or if a budget does not burn down.
    pub value: Option<f64>,
    /// True if the value is the largest possible number of customers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub value_is_upper_bound: bool,
    #[serde(rename = "condition")]
    pub state: ThresholdState,
    /// The missing attribute on spans that do not name their workflow (`span.order.id`), or the
    /// nearest match to a selector that no span has matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacking: Option<String>,
    /// The same with unusable events counted as good; only if the rule is in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_good: Option<ThresholdState>,
    /// The look-back of the number; for a spent budget, which is that of the SLO's window, the last
    /// hour: it shows the current events.
    pub window: WindowStatus,
}

/// The state of a number relative to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdState {
    /// At the limit or beyond.
    Over,
    /// Short of it, but too close to regard as clear.
    Near,
    /// At the limit, by so few bad events that they mean nothing.
    TooFew,
    Under,
    /// At the limit with unusable events counted as bad, but not with them counted as good.
    InDoubt,
    /// No verdict is possible.
    Unknown,
}

/// The inputs of rules on numbers, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    pub burn: &'a BurnContext,
    pub guard: Guard,
    pub counts: &'a CountsByLength,
    pub customers: &'a CustomersByLength,
    pub time_used: &'a TimeUsed,
    pub freshness: Freshness,
}

/// Returns the lengths for which `limit` needs counts, in addition to that of the SLO's window.
pub fn lookback_windows(limit: Limit) -> Vec<Duration> {
    match limit {
        Limit::BudgetSpent { .. }
        | Limit::AtRisk { .. }
        | Limit::NeverEnded
        | Limit::Unusable { .. }
        | Limit::Uncorrelated { .. } => vec![HOUR],
        Limit::Exhaustion { within } => vec![pace_length(within)],
        Limit::Customers { length, .. } => vec![length],
        Limit::Absence { length } => vec![length, WEEK, WEEK + usual_length(length)],
    }
}

/// Returns a quarter of the time ahead, in whole minutes as events are counted.
fn pace_length(within: Duration) -> Duration {
    let minutes = within.as_secs().div_ceil(4 * MINUTE.as_secs());
    MINUTE * u32::try_from(minutes.max(1)).unwrap_or(u32::MAX)
}

fn usual_length(length: Duration) -> Duration {
    length.max(HOUR)
}

pub fn threshold_status(rule: &ThresholdRule, numbers: Numbers<'_>) -> ThresholdStatus {
    let (value, state, length) = match rule.limit {
        Limit::BudgetSpent { over } => {
            let (value, state) = numbers.budget_spent(over);
            (value, state, HOUR)
        }
        Limit::Exhaustion { within } => {
            let (value, state) = numbers.exhaustion(within);
            (value, state, pace_length(within))
        }
        Limit::Customers { affected, length } => {
            let (value, state) = numbers.customers(affected, length);
            (value, state, length)
        }
        Limit::Absence { length } => {
            let (value, state) = numbers.absence(length);
            (value, state, length)
        }
        Limit::AtRisk { used, workflows } => {
            let (value, state) = numbers.at_risk(used, workflows);
            (value, state, HOUR)
        }
        // Rules on data quality use the results of other rules: see [`super::quality`].
        Limit::NeverEnded | Limit::Unusable { .. } | Limit::Uncorrelated { .. } => {
            (None, ThresholdState::Unknown, HOUR)
        }
    };
    ThresholdStatus {
        name: rule.name.clone(),
        severity: rule.severity,
        limit: rule.limit,
        pending_for: rule.pending_for,
        value,
        value_is_upper_bound: numbers.is_upper_bound(rule.limit),
        state,
        as_good: None,
        lacking: None,
        window: numbers.window(length),
    }
}

impl ThresholdStatus {
    /// Combines the status with unusable events counted as good and `at_worst`, the one with them
    /// counted as bad: over only if both are.
    #[must_use]
    pub(super) fn unless_in_doubt(self, at_worst: &Self) -> Self {
        let is_in_doubt = match (self.state, at_worst.state) {
            (ThresholdState::Over, ThresholdState::Over) => false,
            (ThresholdState::Over, _)
            | (_, ThresholdState::Over)
            | (ThresholdState::Under, ThresholdState::Near) => true,
            _ => false,
        };
        if !is_in_doubt {
            return self;
        }
        Self {
            state: ThresholdState::InDoubt,
            as_good: Some(self.state),
            ..self
        }
    }
}

impl Numbers<'_> {
    fn counted(&self, length: Duration) -> EventCounts {
        if length == self.burn.window {
            return self.burn.in_window;
        }
        self.counts.get(&length).copied().unwrap_or_default()
    }

    fn customers_in(&self, length: Duration) -> BoundedCount {
        self.customers.get(&length).copied().unwrap_or_default()
    }

    fn is_upper_bound(&self, limit: Limit) -> bool {
        match limit {
            Limit::Customers { length, .. } => self.customers_in(length).is_upper_bound,
            Limit::BudgetSpent { .. }
            | Limit::Exhaustion { .. }
            | Limit::Absence { .. }
            | Limit::AtRisk { .. }
            | Limit::NeverEnded
            | Limit::Unusable { .. }
            | Limit::Uncorrelated { .. } => false,
        }
    }

    fn window(&self, length: Duration) -> WindowStatus {
        let counts = self.counted(length);
        let rate = self.burn.burn_rate(Window { length, counts });
        WindowStatus::of(length, counts, rate, self.burn)
    }

    /// Returns over, unless there are too few bad events to mean anything.
    fn guarded(&self, bad_events: EventCounts) -> ThresholdState {
        let bad = u64::try_from(bad_events.bad()).unwrap_or(0);
        if bad >= self.guard.bad_events {
            ThresholdState::Over
        } else {
            ThresholdState::TooFew
        }
    }

    /// Returns the share of the budget that is spent, of the events so far: what the pages show.
    fn budget_spent(&self, over: f64) -> (Option<f64>, ThresholdState) {
        let Some(spent) = self.burn.budget_spent_by(self.burn.budgeted()) else {
            return (None, ThresholdState::Unknown);
        };
        let state = if self.burn.is_younger_than(HOUR) {
            ThresholdState::Unknown
        } else if spent >= over * (1.0 - TOLERANCE) {
            self.guarded(self.burn.budgeted())
        } else if spent >= CLEAR_SHARE * over {
            ThresholdState::Near
        } else {
            ThresholdState::Under
        };
        (Some(spent), state)
    }

    /// Computes `projected(N) = remaining - q_L * N / L` with `L = N / 4`: what is left after
    /// `within` if the budget is spent as in the last quarter of it. It is over at 0 or below, and
    /// near if nine tenths of what remains would suffice for that. An exhausted budget stays over
    /// until events age out of the window.
    ///
    /// A look-back without events has no pace: as everywhere, absence of data is not recovery.
    fn exhaustion(&self, within: Duration) -> (Option<f64>, ThresholdState) {
        let length = pace_length(within);
        let recent = self.counted(length);
        let (Some(remaining), Some(spent)) = (
            self.burn.budget_remaining(),
            self.burn.budget_spent_by(recent),
        ) else {
            return (None, ThresholdState::Unknown);
        };
        if self.burn.is_younger_than(length) {
            return (None, ThresholdState::Unknown);
        }
        if remaining <= TOLERANCE {
            return (Some(0.0), self.guarded(self.burn.budgeted()));
        }
        if recent.total() <= 0 {
            return (None, ThresholdState::Unknown);
        }
        // A calendar period ends with whatever is left of its budget.
        let period = self.burn.period;
        let ahead = period.map_or(within, |period| within.min(period.rest));
        let takes = spent * ahead.as_secs_f64() / length.as_secs_f64();
        let lasts = (spent > 0.0).then(|| remaining * length.as_secs_f64() / spent);
        let state = if remaining - takes <= TOLERANCE {
            self.guarded(recent)
        } else if takes >= CLEAR_SHARE * remaining {
            ThresholdState::Near
        } else {
            ThresholdState::Under
        };
        (lasts, state)
    }

    fn customers(&self, affected: u32, length: Duration) -> (Option<f64>, ThresholdState) {
        if self.counted(length).total() <= 0 {
            return (None, ThresholdState::Unknown);
        }
        #[expect(clippy::cast_precision_loss, reason = "customers stay far below 2^53")]
        let count = self.customers_in(length).count as f64;
        (Some(count), against(count, affected))
    }

    /// Returns the number of workflows in flight that have used a share of their time limit. `None`
    /// if ingest may have missed their ends.
    fn at_risk(&self, used: f64, workflows: u32) -> (Option<f64>, ThresholdState) {
        if self.freshness != Freshness::Fresh {
            return (None, ThresholdState::Unknown);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is at most 1"
        )]
        let step = (used * f64::from(TIME_LIMIT_STEPS)).round() as u8;
        #[expect(clippy::cast_precision_loss, reason = "workflows stay far below 2^53")]
        let at_risk = self.time_used.since_step(step) as f64;
        (Some(at_risk), against(at_risk, workflows))
    }

    /// Returns over if there was no event for `length`, though the hour before this moment had
    /// events a week ago (or all of `length`, if that is longer than an hour).
    ///
    /// Last week is the only indication of what is usual: a queue that is idle at night and on
    /// Sundays is so every week. This is wrong on a holiday, when it reports an idle service, and a
    /// week after an outage, when it detects nothing for as long as that one lasted. Any event,
    /// good or bad, ends it. If ingest may have missed events, their absence shows nothing.
    fn absence(&self, length: Duration) -> (Option<f64>, ThresholdState) {
        let until_then = self.counted(WEEK).total();
        let usual = self.counted(WEEK + usual_length(length)).total() - until_then;
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let value = Some(usual.max(0) as f64);
        let state = match self.freshness {
            _ if self.counted(length).total() > 0 => ThresholdState::Under,
            Freshness::Fresh if usual > 0 => ThresholdState::Over,
            Freshness::Fresh | Freshness::Stale | Freshness::Inconsistent => {
                ThresholdState::Unknown
            }
        };
        (value, state)
    }
}

/// Compares a number of customers or workflows with its limit.
fn against(number: f64, too_many: u32) -> ThresholdState {
    let most = f64::from(too_many);
    if number >= most {
        ThresholdState::Over
    } else if number >= CLEAR_SHARE * most {
        ThresholdState::Near
    } else {
        ThresholdState::Under
    }
}
