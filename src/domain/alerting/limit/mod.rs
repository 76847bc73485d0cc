//! Rules on one number: how much of the budget is spent, how long it lasts, how many customers are
//! affected, and whether anything happens at all.
//!
//! Where a burn rate asks two windows, each of these asks one number whether it has reached its limit.
//! What compares events with a budget is unknown until the first event is older than its window, as a
//! burn rate is until its short window is covered: a share of the first few events means nothing.
//! The formulae are monotone: one more bad event never makes a rule quieter.

#[cfg(test)]
mod tests;
mod words;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{
    alerting::{
        burn_rate::{BurnContext, Window},
        rule_status::{CLEAR_SHARE, CountsByLength, Freshness, WindowStatus},
    },
    model::{counts::EventCounts, ids::Name},
    slo::{Guard, Limit, LimitRule, Severity, whole_seconds},
};

/// Distinct customers with a bad event, by look-back.
pub type CustomersByLength = BTreeMap<Duration, i64>;

const WEEK: Duration = Duration::from_hours(7 * 24);
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A share that is exactly the limit in decimals may be a few units in the last place off in binary.
const TOLERANCE: f64 = 1e-9;

/// How a rule on one number stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitStatus {
    pub name: Name,
    pub severity: Severity,
    #[serde(rename = "threshold")]
    pub limit: Limit,
    /// For how long the limit must be reached before people are told.
    #[serde(default, rename = "for_seconds", with = "whole_seconds")]
    pub pending_for: Duration,
    /// What is held against the limit: the share of the budget that is spent, the seconds that it
    /// lasts, the customers affected, or for an absence the events a week ago. `None` where there is
    /// no such number: without events, or where a budget does not burn down.
    pub value: Option<f64>,
    #[serde(rename = "condition")]
    pub standing: LimitState,
    /// What spans lack that do not name their workflow: `span.order.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacking: Option<String>,
    /// The same if what cannot be used is good; only where the rule is in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_good: Option<LimitState>,
    /// The look-back that the number is of; of a spent budget, which is that of the SLO's window, the
    /// last hour: it tells what goes on.
    pub window: WindowStatus,
}

/// Where a number is, seen from its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitState {
    /// At the limit or beyond.
    Over,
    /// Short of it, yet too close to call it over.
    Near,
    /// At the limit, by so few bad events that they mean nothing.
    TooFew,
    Under,
    /// At the limit if the events that cannot be used are bad, and not if they are good.
    InDoubt,
    /// Nothing can be said.
    Unknown,
}

/// What rules on numbers look at, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    pub burn: &'a BurnContext,
    pub guard: Guard,
    pub counts: &'a CountsByLength,
    pub customers: &'a CustomersByLength,
    pub freshness: Freshness,
}

/// The lengths that `limit` needs counts of, beside that of the SLO's window.
pub fn look_backs(limit: Limit) -> Vec<Duration> {
    match limit {
        Limit::BudgetSpent { .. }
        | Limit::NeverEnded
        | Limit::Unusable { .. }
        | Limit::Uncorrelated { .. } => vec![HOUR],
        Limit::Exhaustion { within } => vec![pace_length(within)],
        Limit::Customers { length, .. } => vec![length],
        Limit::Absence { length } => vec![length, WEEK, WEEK + usual_length(length)],
    }
}

/// A quarter of the time ahead, in whole minutes as events are counted.
fn pace_length(within: Duration) -> Duration {
    let minutes = within.as_secs().div_ceil(4 * MINUTE.as_secs());
    MINUTE * u32::try_from(minutes.max(1)).unwrap_or(u32::MAX)
}

fn usual_length(length: Duration) -> Duration {
    length.max(HOUR)
}

pub fn limit_status(rule: &LimitRule, numbers: Numbers<'_>) -> LimitStatus {
    let (value, standing, length) = match rule.limit {
        Limit::BudgetSpent { over } => {
            let (value, standing) = numbers.budget_spent(over);
            (value, standing, HOUR)
        }
        Limit::Exhaustion { within } => {
            let (value, standing) = numbers.exhaustion(within);
            (value, standing, pace_length(within))
        }
        Limit::Customers { affected, length } => {
            let (value, standing) = numbers.customers(affected, length);
            (value, standing, length)
        }
        Limit::Absence { length } => {
            let (value, standing) = numbers.absence(length);
            (value, standing, length)
        }
        // Data quality is judged by what the other rules say: see [`super::quality`].
        Limit::NeverEnded | Limit::Unusable { .. } | Limit::Uncorrelated { .. } => {
            (None, LimitState::Unknown, HOUR)
        }
    };
    LimitStatus {
        name: rule.name.clone(),
        severity: rule.severity,
        limit: rule.limit,
        pending_for: rule.pending_for,
        value,
        standing,
        as_good: None,
        lacking: None,
        window: numbers.window(length),
    }
}

impl LimitStatus {
    /// The status by what cannot be used counted as good, held against that `at_worst`: over only if
    /// both are.
    #[must_use]
    pub(super) fn unless_in_doubt(self, at_worst: &Self) -> Self {
        let is_in_doubt = match (self.standing, at_worst.standing) {
            (LimitState::Over, LimitState::Over) => false,
            (LimitState::Over, _)
            | (_, LimitState::Over)
            | (LimitState::Under, LimitState::Near) => true,
            _ => false,
        };
        if !is_in_doubt {
            return self;
        }
        Self {
            standing: LimitState::InDoubt,
            as_good: Some(self.standing),
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

    fn window(&self, length: Duration) -> WindowStatus {
        let counts = self.counted(length);
        let rate = self.burn.burn_rate(Window { length, counts });
        WindowStatus::of(length, counts, rate, self.burn)
    }

    /// Over the limit, unless too few bad events stand behind it to mean anything.
    fn guarded(&self, bad_events: EventCounts) -> LimitState {
        let bad = u64::try_from(bad_events.bad()).unwrap_or(0);
        if bad >= self.guard.bad_events {
            LimitState::Over
        } else {
            LimitState::TooFew
        }
    }

    /// The share of the budget that is spent, of the events there were: what the pages show.
    fn budget_spent(&self, over: f64) -> (Option<f64>, LimitState) {
        let Some(spent) = self.burn.budget_spent_by(self.burn.budgeted()) else {
            return (None, LimitState::Unknown);
        };
        let standing = if self.burn.is_younger_than(HOUR) {
            LimitState::Unknown
        } else if spent >= over * (1.0 - TOLERANCE) {
            self.guarded(self.burn.budgeted())
        } else if spent >= CLEAR_SHARE * over {
            LimitState::Near
        } else {
            LimitState::Under
        };
        (Some(spent), standing)
    }

    /// `projected(N) = remaining - q_L * N / L` with `L = N / 4`: what is left after `within` if the
    /// budget is spent as in the last quarter of it. It is over at 0 and under where nine tenths of
    /// what remains would do. A budget that is gone stays over until events age out of the window.
    ///
    /// A look-back without events has no pace: as everywhere, silence is not recovery.
    fn exhaustion(&self, within: Duration) -> (Option<f64>, LimitState) {
        let length = pace_length(within);
        let recent = self.counted(length);
        let (Some(remaining), Some(spent)) = (
            self.burn.budget_remaining(),
            self.burn.budget_spent_by(recent),
        ) else {
            return (None, LimitState::Unknown);
        };
        if self.burn.is_younger_than(length) {
            return (None, LimitState::Unknown);
        }
        if remaining <= TOLERANCE {
            return (Some(0.0), self.guarded(self.burn.budgeted()));
        }
        if recent.total() <= 0 {
            return (None, LimitState::Unknown);
        }
        // A period of the calendar ends with what is left of its budget.
        let period = self.burn.period;
        let ahead = period.map_or(within, |period| within.min(period.rest));
        let takes = spent * ahead.as_secs_f64() / length.as_secs_f64();
        let lasts = (spent > 0.0).then(|| remaining * length.as_secs_f64() / spent);
        let standing = if remaining - takes <= TOLERANCE {
            self.guarded(recent)
        } else if takes >= CLEAR_SHARE * remaining {
            LimitState::Near
        } else {
            LimitState::Under
        };
        (lasts, standing)
    }

    fn customers(&self, affected: u32, length: Duration) -> (Option<f64>, LimitState) {
        if self.counted(length).total() <= 0 {
            return (None, LimitState::Unknown);
        }
        #[expect(clippy::cast_precision_loss, reason = "customers stay far below 2^53")]
        let hurt = self.customers.get(&length).copied().unwrap_or(0) as f64;
        let most = f64::from(affected);
        let standing = if hurt >= most {
            LimitState::Over
        } else if hurt >= CLEAR_SHARE * most {
            LimitState::Near
        } else {
            LimitState::Under
        };
        (Some(hurt), standing)
    }

    /// Nothing for `length`, though the hour before this moment had events a week ago (or all of
    /// `length`, where that is more than an hour).
    ///
    /// What is usual is known in no other way: a queue that is idle at night and on Sundays is so
    /// every week. This is wrong on a holiday, when it tells of an idle service, and a week after an
    /// outage, when it is blind for as long as that one was. Any event, good or bad, ends it. Where
    /// ingest may have missed events their absence says nothing.
    fn absence(&self, length: Duration) -> (Option<f64>, LimitState) {
        let until_then = self.counted(WEEK).total();
        let usual = self.counted(WEEK + usual_length(length)).total() - until_then;
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let value = Some(usual.max(0) as f64);
        let standing = match self.freshness {
            _ if self.counted(length).total() > 0 => LimitState::Under,
            Freshness::Fresh if usual > 0 => LimitState::Over,
            Freshness::Fresh | Freshness::Stale | Freshness::Absurd => LimitState::Unknown,
        };
        (value, standing)
    }
}
