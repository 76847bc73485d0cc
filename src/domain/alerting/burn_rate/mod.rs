//! How fast an error budget is spent, how much of it is left, and until when it lasts (the Site
//! Reliability Workbook, chapter 5).
//!
//! Counts come in as integers; the floats stay in here. Nothing returns NaN or an infinity: where a
//! ratio has no events below the line the answer is `None`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    model::{
        counts::{EventCounts, whole},
        objective::Objective,
    },
    slo::BurnKind,
};

/// The share of bad events over the error budget: at 1 the budget lasts exactly the SLO's window.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct BurnRate(f64);

impl BurnRate {
    /// The plain ratio: bad share over error budget. `None` without events.
    pub fn of_ratio(counts: EventCounts, objective: Objective) -> Option<Self> {
        let bad_ratio = counts.bad_ratio()?;
        Some(Self(bad_ratio / objective.budget_ratio()))
    }

    /// This rate, weighed by how much traffic it stands for.
    #[must_use]
    pub fn weighed_by(self, coefficient: f64) -> Self {
        Self(self.0 * coefficient)
    }

    pub const fn value(self) -> f64 {
        self.0
    }

    /// Whether it is at or over `factor`.
    ///
    /// A rate that is exactly the factor in decimals may be a few units in the last place below it
    /// in binary (0.1344 / 0.01), hence the tolerance: far above rounding, far below one event.
    pub fn reaches(self, factor: f64) -> bool {
        self.0 >= factor * (1.0 - TOLERANCE)
    }
}

const TOLERANCE: f64 = 1e-9;

/// What the burn rates of one SLO are computed with at one moment.
#[derive(Clone, Copy, Debug)]
pub struct BurnContext {
    pub objective: Objective,
    pub kind: BurnKind,
    /// The length of the SLO's own window.
    pub window: Duration,
    /// Events in the last stretch of that length.
    pub in_window: EventCounts,
    /// How much of that stretch can have events: all of it, or what has passed since the first event.
    pub observed: Duration,
    /// Of a window of the calendar: whose budget it is instead of the last stretch's. Burn rates are
    /// compared with the last stretch all the same: they do not jump when a period begins.
    pub period: Option<PeriodSoFar>,
}

/// The same computed twice: once as if all that cannot be used were good, once as if it were bad.
#[derive(Clone, Copy, Debug)]
pub struct BurnBounds {
    /// By [`EventCounts::as_good`]: what budgets and messages show, and what may fire.
    pub as_good: BurnContext,
    /// By [`EventCounts::as_bad`].
    pub as_bad: BurnContext,
}

impl BurnBounds {
    /// From the counts as they are.
    pub fn new(burn: BurnContext) -> Self {
        Self {
            as_good: burn.counting(EventCounts::as_good),
            as_bad: burn.counting(EventCounts::as_bad),
        }
    }
}

/// A period of the calendar, in which nothing ages out and which begins anew.
#[derive(Clone, Copy, Debug)]
pub struct PeriodSoFar {
    /// Events in it until now.
    pub counts: EventCounts,
    /// How long it still goes on.
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

    /// How much busier a look-back was than the SLO's window is on average: 1 at constant traffic.
    ///
    /// A burn rate times this coefficient is the budget really spent, scaled to a rate:
    /// `(b_W / ((1-T) n_P)) * (P / W)`. Ten failures of twenty events in a quiet night are not worth
    /// waking anybody for; five per cent of three times the usual traffic are.
    ///
    /// A young SLO has no traffic before its first event, so averaging over all of `P` would make any
    /// hour look many times busier than usual, and the first error of a new SLO would page. `P` is
    /// therefore replaced by the time observed, but by no less than `W`: while all history lies
    /// within `W` both averages are over the same events and the coefficient is exactly 1, the plain
    /// ratio.
    ///
    /// `None` if the SLO's window has no events to average.
    pub fn volume_coefficient(&self, look_back: EventCounts, length: Duration) -> Option<f64> {
        let base = self.observed.min(self.window).max(length);
        let in_window = positive(self.in_window.weighted_total())?;
        let length = length.as_secs_f64();
        let seen = look_back.weighted_total().max(0.0);
        (length > 0.0).then(|| (seen / in_window) * (base.as_secs_f64() / length))
    }

    /// Whether the first event came less than `length` ago. Gaps later do not count.
    pub fn is_younger_than(&self, length: Duration) -> bool {
        self.observed < length.min(self.window)
    }

    /// The burn rates of a long and a short window. Both are weighed by the coefficient of the long
    /// one: the few minutes of the short window say whether it goes on, not how much traffic is usual.
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

    /// The burn rate of one look-back on its own.
    pub fn burn_rate(&self, look_back: Window) -> Option<BurnRate> {
        self.burn_rates(look_back, look_back.counts).long
    }

    /// Share of the error budget not yet spent: 1 is all of it, below 0 is overspent. `None` without
    /// events.
    pub fn budget_remaining(&self) -> Option<f64> {
        let budget = positive(self.budget_volume())? * self.objective.budget_ratio();
        Some(1.0 - self.budgeted().weighted_bad() / budget)
    }

    /// The events whose bad ones spend the budget.
    pub fn budgeted(&self) -> EventCounts {
        self.period.map_or(self.in_window, |period| period.counts)
    }

    /// The number of events that the budget is a share of. Of a period, those that there will be: what
    /// has come, and the usual traffic for the rest of it, so that it begins with a whole budget.
    pub fn budget_volume(&self) -> f64 {
        self.period
            .map_or(self.in_window.weighted_total(), |period| {
                period.counts.weighted_total() + self.usual_per_sec() * period.rest.as_secs_f64()
            })
    }

    /// Share of the error budget of the last stretch of the window's length that the bad ones of these
    /// events are. `None` without events.
    pub fn budget_spent_by(&self, events: EventCounts) -> Option<f64> {
        let budget = positive(self.in_window.weighted_total())? * self.objective.budget_ratio();
        Some(events.weighted_bad() / budget)
    }

    /// Bad events that the budget still allows, never below 0.
    pub fn bad_events_allowed(&self) -> i64 {
        let budget = budget_in_events(self.budget_volume(), self.objective);
        (budget - whole(self.budgeted().weighted_bad())).max(0)
    }

    /// How long the budget lasts at `pace`: `remaining * P / burn`.
    ///
    /// `None` if nothing burns, if it is gone already, or if it would take longer than the window:
    /// by then all that has been spent today has aged out, and such a pace never empties it. That of a
    /// period is whole again at its end.
    pub fn time_to_exhaustion(&self, pace: BurnRate) -> Option<Duration> {
        let remaining = self.budget_remaining()?;
        let (whole, most) = match self.period {
            None => (self.window.as_secs_f64(), self.window),
            // As long as its events take at the usual traffic, which is what a pace is compared with.
            Some(period) => (
                self.budget_volume() / positive(self.usual_per_sec())?,
                period.rest,
            ),
        };
        if remaining <= 0.0 || remaining * whole > pace.0 * most.as_secs_f64() {
            return None;
        }
        Duration::try_from_secs_f64(remaining * whole / pace.0).ok()
    }

    /// How many events an SLO's window has once it is full, at the traffic observed so far.
    ///
    /// The traffic of the first minutes is taken as that of an hour: a guess from one event would
    /// otherwise promise thousands.
    pub fn expected_events(&self) -> f64 {
        self.usual_per_sec() * self.window.as_secs_f64()
    }

    fn usual_per_sec(&self) -> f64 {
        let observed = self.observed.max(LEAST_OBSERVED).min(self.window);
        self.in_window.weighted_total() / observed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Whether so few events are expected that a single bad one spends more than the whole budget.
    pub fn has_too_few_events(&self) -> bool {
        self.expected_events() * self.objective.budget_ratio() < 1.0 - TOLERANCE
    }
}

/// Share of the error budget that these events of a whole window leave: 1 is all of it, below 0 is
/// overspent. `None` without events.
pub fn budget_remaining(in_window: EventCounts, objective: Objective) -> Option<f64> {
    BurnRate::of_ratio(in_window, objective).map(|spent| 1.0 - spent.0)
}

/// Bad events that the whole budget allows of `volume` events.
pub fn budget_in_events(volume: f64, objective: Objective) -> i64 {
    let budget = volume * objective.budget_ratio();
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^53")]
    let whole = (budget * (1.0 + TOLERANCE)).floor() as i64;
    whole
}

const LEAST_OBSERVED: Duration = Duration::from_hours(1);

/// A look-back and what was counted in it.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub length: Duration,
    pub counts: EventCounts,
}

/// `None` where a window has no events.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnRates {
    pub long: Option<BurnRate>,
    pub short: Option<BurnRate>,
}

fn positive(events: f64) -> Option<f64> {
    (events > 0.0).then_some(events)
}

#[cfg(test)]
mod of_periods;

/// Vectors that the workbook and other systems publish, and the laws behind them.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    fn counts(total: i64, bad: i64) -> EventCounts {
        EventCounts {
            good: total - bad,
            failed: bad,
            ..EventCounts::ZERO
        }
    }

    fn context(objective: f64, days: u32, in_window: EventCounts) -> BurnContext {
        BurnContext {
            objective: Objective::from_ratio(objective).unwrap(),
            kind: BurnKind::Budget,
            window: DAY * days,
            in_window,
            observed: DAY * days,
            period: None,
        }
    }

    fn ratio(objective: f64, total: i64, bad: i64) -> f64 {
        let objective = Objective::from_ratio(objective).unwrap();
        BurnRate::of_ratio(counts(total, bad), objective)
            .unwrap()
            .value()
    }

    fn hour(total: i64, bad: i64) -> Window {
        Window {
            length: HOUR,
            counts: counts(total, bad),
        }
    }

    #[track_caller]
    fn assert_close(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            "{actual} is not {expected}"
        );
    }

    #[test]
    fn a_burn_rate_is_the_bad_share_over_the_budget() {
        assert_close(ratio(0.999, 10, 1), 100.0);
        assert_close(ratio(0.999, 1_000, 1), 1.0);
        assert_close(ratio(0.9995, 10, 10), 2_000.0);
        assert_close(ratio(0.35, 10_000, 6_415), 0.986_923_076_923);
        assert_close(ratio(0.9, 7, 7), 10.0);
    }

    #[test]
    fn the_coefficient_of_a_quiet_hour_keeps_it_from_paging_and_that_of_a_busy_one_does_not() {
        let slo = context(0.99, 28, counts(672_000, 100));
        let quiet = slo.burn_rate(hour(20, 10)).unwrap();
        assert_close(quiet.value(), 1.0);
        assert!(!quiet.reaches(13.44));
        let busy = slo.burn_rate(hour(3_000, 150)).unwrap();
        assert_close(busy.value(), 15.0);
        assert!(busy.reaches(13.44));
    }

    #[test]
    fn the_short_window_is_weighed_by_the_coefficient_of_the_long_one() {
        let slo = context(0.99, 28, counts(672_000, 100));
        let rates = slo.burn_rates(hour(3_000, 150), counts(10, 1));
        assert_close(rates.short.unwrap().value(), 30.0);
        let plain = BurnContext {
            kind: BurnKind::Ratio,
            ..slo
        };
        let rates = plain.burn_rates(hour(3_000, 150), counts(10, 1));
        assert_close(rates.long.unwrap().value(), 5.0);
        assert_close(rates.short.unwrap().value(), 10.0);
    }

    #[test]
    fn an_slo_with_less_history_than_the_look_back_burns_by_the_plain_ratio() {
        let all = counts(600, 60);
        let slo = BurnContext {
            observed: Duration::from_mins(10),
            ..context(0.99, 28, all)
        };
        let window = Window {
            length: HOUR,
            counts: all,
        };
        assert_close(slo.volume_coefficient(all, HOUR).unwrap(), 1.0);
        assert_close(slo.burn_rate(window).unwrap().value(), 10.0);
    }

    #[test]
    fn on_its_first_day_an_slo_is_compared_with_the_hours_it_has_had() {
        let slo = BurnContext {
            observed: HOUR * 10,
            ..context(0.99, 28, counts(10_000, 150))
        };
        assert_close(slo.burn_rate(hour(3_000, 150)).unwrap().value(), 15.0);
    }

    #[test]
    fn a_rate_at_the_factor_reaches_it_and_one_event_less_does_not() {
        let slo = context(0.99, 28, counts(6_720_000, 0));
        let at = |bad| slo.burn_rate(hour(10_000, bad)).unwrap();
        assert!(at(1_344).reaches(13.44));
        assert!(!at(1_343).reaches(13.44));
        assert!(
            BurnRate::of_ratio(counts(10_000, 144), Objective::from_ratio(0.999).unwrap())
                .unwrap()
                .reaches(14.4)
        );
    }

    #[test]
    fn what_is_left_of_the_budget_is_signed_and_never_cut() {
        let left = |total, bad| context(0.999, 30, counts(total, bad)).budget_remaining();
        assert_close(left(1_000_000, 400).unwrap(), 0.6);
        assert_close(left(1_000, 3).unwrap(), -2.0);
        assert_close(left(7_200, 1).unwrap(), 1.0 - 0.138_888_888_889);
        assert_eq!(left(0, 0), None);
    }

    #[test]
    fn the_budget_is_also_told_in_events() {
        let allowed = |total, bad| context(0.995, 28, counts(total, bad)).bad_events_allowed();
        assert_eq!(allowed(1_208_000, 3_636), 2_404);
        assert_eq!(allowed(200, 0), 1);
        assert_eq!(allowed(199, 0), 0);
        assert_eq!(allowed(200, 7), 0);
        assert_eq!(allowed(0, 0), 0);
    }

    #[test]
    fn a_full_budget_at_a_burn_rate_lasts_the_window_over_it() {
        let slo = context(0.999, 30, counts(1_000_000, 0));
        let lasts = |burn| slo.time_to_exhaustion(BurnRate(burn));
        assert_eq!(lasts(14.4), Some(HOUR * 50));
        assert_eq!(lasts(6.0), Some(DAY * 5));
        assert_eq!(lasts(1.0), Some(DAY * 30));
        let half = context(0.999, 30, counts(1_000_000, 500));
        assert_eq!(half.time_to_exhaustion(BurnRate(6.0)), Some(HOUR * 60));
    }

    #[test]
    fn a_pace_that_the_window_outlives_never_empties_the_budget() {
        let slo = context(0.999, 30, counts(1_000_000, 0));
        assert_eq!(slo.time_to_exhaustion(BurnRate(0.2)), None);
        assert_eq!(slo.time_to_exhaustion(BurnRate(0.0)), None);
        let spent = context(0.999, 30, counts(1_000, 2));
        assert_eq!(spent.time_to_exhaustion(BurnRate(5.0)), None);
        let empty = context(0.999, 30, EventCounts::ZERO);
        assert_eq!(empty.time_to_exhaustion(BurnRate(5.0)), None);
    }

    #[test]
    fn an_slo_whose_first_bad_event_overspends_has_too_few_events() {
        assert!(context(0.999, 28, counts(90, 0)).has_too_few_events());
        assert!(!context(0.99, 28, counts(100, 0)).has_too_few_events());
        assert!(context(0.99, 28, counts(99, 0)).has_too_few_events());
        let young = BurnContext {
            observed: DAY,
            ..context(0.99, 28, counts(10, 0))
        };
        assert!(!young.has_too_few_events());
        let first_minute = BurnContext {
            observed: Duration::ZERO,
            ..context(0.999, 28, counts(1, 0))
        };
        assert!(first_minute.has_too_few_events());
    }

    fn any_context() -> impl Strategy<Value = BurnContext> {
        let in_window = (0_i64..1_000_000, 0_i64..1_000_000).prop_map(|(good, bad)| EventCounts {
            good,
            timeout: bad,
            ..EventCounts::ZERO
        });
        let kind = prop_oneof![Just(BurnKind::Budget), Just(BurnKind::Ratio)];
        (in_window, kind, 1_u32..999_999, 1_u32..90, 0_u64..9_000_000).prop_map(
            |(in_window, kind, millionths, days, observed)| BurnContext {
                kind,
                observed: Duration::from_secs(observed),
                ..context(f64::from(millionths) / 1e6, days, in_window)
            },
        )
    }

    proptest! {
        #[test]
        fn no_answer_is_ever_nan_or_infinite(
            slo in any_context(), total in 0_i64..1_000_000, bad in 0_i64..1_000_000,
            secs in 0_u64..9_000_000,
        ) {
            let window = Window { length: Duration::from_secs(secs), counts: counts(total.max(bad), bad) };
            let answers = [
                slo.burn_rate(window).map(BurnRate::value),
                slo.volume_coefficient(window.counts, window.length),
                slo.budget_remaining(),
                slo.budget_spent_by(window.counts),
                Some(slo.expected_events()),
            ];
            prop_assert!(answers.into_iter().flatten().all(f64::is_finite), "{answers:?}");
            prop_assert!(slo.bad_events_allowed() >= 0);
            let lasts = slo.burn_rate(window).and_then(|pace| slo.time_to_exhaustion(pace));
            prop_assert!(lasts.is_none_or(|lasts| lasts <= slo.window + Duration::from_millis(1)));
        }

        #[test]
        fn a_window_without_events_has_no_burn_rate(slo in any_context()) {
            prop_assert_eq!(slo.burn_rate(hour(0, 0)), None);
        }

        #[test]
        fn more_bad_events_never_burn_slower(
            slo in any_context(), total in 1_i64..100_000, bad in 0_i64..100_000,
        ) {
            let bad = bad.min(total - 1);
            prop_assert!(slo.burn_rate(hour(total, bad)) <= slo.burn_rate(hour(total, bad + 1)));
        }

        #[test]
        fn ten_times_the_traffic_of_the_same_quality_burns_the_same(
            slo in any_context(), total in 1_i64..100_000, bad in 0_i64..100_000,
        ) {
            let bad = bad.min(total);
            let tenfold = BurnContext {
                in_window: (0..10).map(|_| slo.in_window).sum(),
                ..slo
            };
            let small = slo.burn_rate(hour(total, bad)).map(BurnRate::value);
            let large = tenfold.burn_rate(hour(10 * total, 10 * bad)).map(BurnRate::value);
            prop_assert_eq!(small.is_some(), large.is_some());
            let (small, large) = (small.unwrap_or(0.0), large.unwrap_or(0.0));
            prop_assert!((small - large).abs() <= 1e-9 * small.max(1.0));
        }
    }
}
