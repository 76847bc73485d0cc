//! Burn rates: how fast an error budget is spent, how much of it is left, and how long it lasts
//! (the Site Reliability Workbook, chapter 5).
//!
//! Counts are integers; floating-point numbers stay in this module. Nothing returns NaN or an
//! infinity: a ratio without events is `None`.

mod forecast;

use std::time::Duration;

pub use forecast::{Ageing, steps};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    model::{
        counts::{EventCounts, whole},
        objective::Objective,
    },
    slo::BurnKind,
};

/// The share of bad events divided by the error budget: at 1 the budget lasts exactly the SLO's
/// window.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, JsonSchema, Serialize, Deserialize)]
pub struct BurnRate(f64);

impl BurnRate {
    /// The burn rate without bad events.
    pub const NONE: Self = Self(0.0);

    /// Computes the plain ratio: bad share over error budget. `None` without events.
    pub fn of_ratio(counts: EventCounts, objective: Objective) -> Option<Self> {
        let bad_ratio = counts.bad_ratio()?;
        Some(Self(bad_ratio / objective.budget_ratio()))
    }

    /// Returns this rate, weighted by the traffic that it represents.
    #[must_use]
    pub fn weighed_by(self, coefficient: f64) -> Self {
        Self(self.0 * coefficient)
    }

    /// Restores a rate that was computed before; `None` if it is not a number.
    pub fn of_value(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    pub const fn value(self) -> f64 {
        self.0
    }

    /// Returns whether it is at or above `factor`.
    ///
    /// A rate that is exactly the factor in decimals may be a few units in the last place below it
    /// in binary (0.1344 / 0.01), hence the tolerance: far above rounding, far below one event.
    pub fn reaches(self, factor: f64) -> bool {
        self.0 >= factor * (1.0 - TOLERANCE)
    }
}

const TOLERANCE: f64 = 1e-9;

/// The inputs of the burn rates of one SLO at one moment.
#[derive(Clone, Copy, Debug)]
pub struct BurnContext {
    pub objective: Objective,
    pub kind: BurnKind,
    /// The length of the SLO's own window.
    pub window: Duration,
    /// Events in the last range of that length.
    pub in_window: EventCounts,
    /// The part of that range that can have events: all of it, or the time since the first event.
    pub observed: Duration,
    /// For a calendar window, the current period, whose budget is used instead of that of the last
    /// range. Burn rates still use the last range, so they do not jump when a period begins.
    pub period: Option<PeriodSoFar>,
}

/// The same inputs twice: with all unusable events counted as good, and counted as bad.
#[derive(Clone, Copy, Debug)]
pub struct BurnBounds {
    /// By [`EventCounts::as_good`]: what budgets and messages show, and what may fire.
    pub as_good: BurnContext,
    /// By [`EventCounts::as_bad`].
    pub as_bad: BurnContext,
}

impl BurnBounds {
    /// Computes both from the counts as they are.
    pub fn new(burn: &BurnContext) -> Self {
        Self {
            as_good: burn.counting(EventCounts::as_good),
            as_bad: burn.counting(EventCounts::as_bad),
        }
    }
}

/// The current period of a calendar, in which nothing ages out and after which the counts restart
/// at zero.
#[derive(Clone, Copy, Debug)]
pub struct PeriodSoFar {
    /// Events in it until now.
    pub counts: EventCounts,
    /// The rest of its duration.
    pub rest: Duration,
}

impl BurnContext {
    fn counting(self, each: impl Fn(EventCounts) -> EventCounts) -> Self {
        Self {
            in_window: each(self.in_window),
            period: self.period.map(|period| PeriodSoFar {
                counts: each(period.counts),
                ..period
            }),
            ..self
        }
    }

    /// Returns how much busier a look-back was than the SLO's window is on average: 1 at constant
    /// traffic.
    ///
    /// A burn rate times this coefficient is the budget really spent, scaled to a rate: `(b_W /
    /// ((1-T) n_P)) * (P / W)`. Ten failures of twenty events in a quiet night do not justify
    /// waking a person; five per cent of three times the usual traffic do.
    ///
    /// A young SLO has no traffic before its first event, so averaging over all of `P` would make
    /// any hour look many times busier than usual, and the first error of a new SLO would page. `P`
    /// is therefore replaced by the time observed, but by no less than `W`: while all history lies
    /// within `W` both averages are over the same events and the coefficient is exactly 1, the
    /// plain ratio.
    ///
    /// `None` if the SLO's window has no events to average.
    pub fn volume_coefficient(&self, look_back: EventCounts, length: Duration) -> Option<f64> {
        let base = self.observed.min(self.window).max(length);
        let in_window = positive(self.in_window.weighted_total())?;
        let length = length.as_secs_f64();
        let seen = look_back.weighted_total().max(0.0);
        (length > 0.0).then(|| (seen / in_window) * (base.as_secs_f64() / length))
    }

    /// Returns whether the first event was less than `length` ago. Later gaps do not count.
    pub fn is_younger_than(&self, length: Duration) -> bool {
        self.observed < length.min(self.window)
    }

    /// Returns the burn rates of a long and a short window. Both are weighted by the coefficient of
    /// the long one: the few minutes of the short window show whether the problem continues, not
    /// how much traffic is usual.
    pub fn burn_rates(&self, long: Window, short: EventCounts) -> BurnRates {
        let ratio = |counts| BurnRate::of_ratio(counts, self.objective);
        match self.kind {
            BurnKind::Ratio => BurnRates {
                long: ratio(long.counts),
                short: ratio(short),
            },
            BurnKind::Budget => {
                let coefficient = self.volume_coefficient(long.counts, long.length);
                let weighed = |counts| Some(ratio(counts)?.weighed_by(coefficient?));
                BurnRates {
                    long: weighed(long.counts),
                    short: weighed(short),
                }
            }
        }
    }

    /// Returns the burn rate of one look-back on its own.
    pub fn burn_rate(&self, look_back: Window) -> Option<BurnRate> {
        self.burn_rates(look_back, look_back.counts).long
    }

    /// Returns the share of the error budget not yet spent: 1 is all of it, below 0 is overspent.
    /// `None` without events.
    pub fn budget_remaining(&self) -> Option<f64> {
        let budget = positive(self.budget_volume())? * self.objective.budget_ratio();
        Some(1.0 - self.budgeted().weighted_bad() / budget)
    }

    /// Returns the events whose bad ones spend the budget.
    pub fn budgeted(&self) -> EventCounts {
        self.period.map_or(self.in_window, |period| period.counts)
    }

    /// Returns the number of events that the budget is a share of. For a period, those expected in
    /// all of it: the events so far, and the usual traffic for the rest, so that it begins with a
    /// whole budget.
    pub fn budget_volume(&self) -> f64 {
        self.period
            .map_or(self.in_window.weighted_total(), |period| {
                period.counts.weighted_total() + self.usual_per_sec() * period.rest.as_secs_f64()
            })
    }

    /// Returns the share of the error budget of the window's length that the bad ones of these
    /// events are. `None` without events.
    pub fn budget_spent_by(&self, events: EventCounts) -> Option<f64> {
        let budget = positive(self.in_window.weighted_total())? * self.objective.budget_ratio();
        Some(events.weighted_bad() / budget)
    }

    /// Returns the bad events that the budget still allows, never below 0.
    pub fn bad_events_allowed(&self) -> i64 {
        let budget = budget_in_events(self.budget_volume(), self.objective);
        (budget - whole(self.budgeted().weighted_bad())).max(0)
    }

    /// Returns how many events an SLO's window has once it is full, at the traffic observed so far.
    ///
    /// The traffic of the first minutes counts as that of an hour: an extrapolation from one event
    /// would otherwise give thousands.
    pub fn expected_events(&self) -> f64 {
        self.usual_per_sec() * self.window.as_secs_f64()
    }

    fn usual_per_sec(&self) -> f64 {
        let observed = self.observed.max(LEAST_OBSERVED).min(self.window);
        self.in_window.weighted_total() / observed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Returns whether so few events are expected that a single bad one spends more than the whole
    /// budget.
    pub fn has_too_few_events(&self) -> bool {
        self.expected_events() * self.objective.budget_ratio() < 1.0 - TOLERANCE
    }
}

/// Returns the share of the error budget that these events of a whole window leave: 1 is all of it,
/// below 0 is overspent. `None` without events.
pub fn budget_remaining(in_window: EventCounts, objective: Objective) -> Option<f64> {
    BurnRate::of_ratio(in_window, objective).map(|spent| 1.0 - spent.0)
}

/// Returns the bad events that the whole budget allows for `volume` events.
pub fn budget_in_events(volume: f64, objective: Objective) -> i64 {
    let budget = volume * objective.budget_ratio();
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^53")]
    let whole = (budget * (1.0 + TOLERANCE)).floor() as i64;
    whole
}

const LEAST_OBSERVED: Duration = Duration::from_hours(1);

/// A look-back and the events counted in it.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub length: Duration,
    pub counts: EventCounts,
}

/// The burn rates of two windows; `None` for a window without events.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct BurnRates {
    pub long: Option<BurnRate>,
    pub short: Option<BurnRate>,
}

fn positive(events: f64) -> Option<f64> {
    (events > 0.0).then_some(events)
}

#[cfg(test)]
mod of_periods;
#[cfg(test)]
mod tests;
