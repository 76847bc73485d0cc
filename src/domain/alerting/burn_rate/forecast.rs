//! The forecast of an error budget at its present burn rate. It is computed once, so charts, pages
//! and messages name the same time.

use std::time::Duration;

use super::{BurnContext, BurnRate, PeriodSoFar, positive};
use crate::domain::{
    counting::series::Series,
    model::{
        counts::EventCounts,
        time::{Resolution, TimeRange, Timestamp},
    },
};

/// The approximate number of steps over an SLO's window.
const STEPS: u64 = 224;
/// The number of steps of a forecast, a quarter of a rolling window: what is further away depends
/// more on the future than on the present.
const STEPS_AHEAD: u32 = 56;

/// Returns the buckets and the step, in whole buckets, in which the budget of a window of this
/// length is drawn and forecast.
pub fn steps(window: Duration) -> (Resolution, Duration) {
    let resolution = if window < Duration::from_hours(96) {
        Resolution::Minute
    } else {
        Resolution::Hour
    };
    let bucket = resolution.length().as_secs();
    let step = (window.as_secs() / STEPS / bucket).max(1) * bucket;
    (resolution, Duration::from_secs(step))
}

/// The events that leave a rolling window next, in [`steps`], oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ageing {
    step: Duration,
    by_step: Vec<EventCounts>,
}

impl Ageing {
    /// Returns the oldest part of the window, whose events leave it during the forecast.
    pub fn range(window: Duration, now: Timestamp) -> TimeRange {
        let (_, step) = steps(window);
        let from = (now - window).floor_to(step);
        TimeRange::new(from, from + step * STEPS_AHEAD)
    }

    /// Makes it from the counts of [`Ageing::range`].
    pub fn new(oldest: &Series) -> Self {
        Self {
            step: oldest.step(),
            by_step: (0..oldest.len())
                .map(|step| oldest.sum(step, step + 1).as_good())
                .collect(),
        }
    }
}

/// One point of a forecast, in events.
struct Outlook {
    ahead: Duration,
    /// Bad events that the whole budget allows at that time.
    budget: f64,
    spent: f64,
}

impl Outlook {
    fn left(&self) -> f64 {
        self.budget - self.spent
    }
}

impl BurnContext {
    /// Returns the future shares of the budget left, by time from now: traffic continues as usual,
    /// with bad events at this rate, while old events leave the window. No events leave a calendar
    /// period.
    pub fn forecast(&self, pace: BurnRate, ageing: &Ageing) -> Vec<(Duration, f64)> {
        let points = self.outlook(pace, ageing).into_iter();
        let share =
            |point: Outlook| Some((point.ahead, 1.0 - point.spent / positive(point.budget)?));
        points.filter_map(share).collect()
    }

    /// Returns how long the budget lasts by that forecast.
    ///
    /// `None` if it is exhausted already, outlasts the forecast, or if the rate is below 1, at
    /// which no more is spent than leaves the window.
    pub fn time_to_exhaustion(&self, pace: BurnRate, ageing: &Ageing) -> Option<Duration> {
        if self.period.is_none() && !pace.reaches(1.0) {
            return None;
        }
        let budget = positive(self.budget_volume())? * self.objective.budget_ratio();
        let mut before = Outlook {
            ahead: Duration::ZERO,
            budget,
            spent: self.budgeted().weighted_bad(),
        };
        positive(before.left())?;
        for point in self.outlook(pace, ageing) {
            if point.left() <= 0.0 {
                // Within a step both change linearly, so this is exact.
                let share = before.left() / (before.left() - point.left());
                return Some(
                    before.ahead + point.ahead.saturating_sub(before.ahead).mul_f64(share),
                );
            }
            before = point;
        }
        None
    }

    fn outlook(&self, pace: BurnRate, ageing: &Ageing) -> Vec<Outlook> {
        match self.period {
            None => self.with_ageing(pace, ageing),
            Some(period) => self.in_period(pace, period),
        }
    }

    fn with_ageing(&self, pace: BurnRate, ageing: &Ageing) -> Vec<Outlook> {
        let usual = self.usual_per_sec();
        let ratio = self.objective.budget_ratio();
        let mut kept = self.in_window;
        let point = |(ahead, aged): (Duration, &EventCounts)| {
            kept += -*aged;
            let total = kept.weighted_total().max(0.0) + usual * ahead.as_secs_f64();
            let coming = usual * ahead.as_secs_f64() * ratio * pace.value();
            Outlook {
                ahead,
                budget: total * ratio,
                spent: kept.weighted_bad().max(0.0) + coming,
            }
        };
        let ahead = (1..=STEPS_AHEAD).map(|step| ageing.step * step);
        ahead.zip(&ageing.by_step).map(point).collect()
    }

    fn in_period(&self, pace: BurnRate, period: PeriodSoFar) -> Vec<Outlook> {
        let ratio = self.objective.budget_ratio();
        let per_sec = self.usual_per_sec() * ratio * pace.value();
        let budget = self.budget_volume() * ratio;
        (1..=STEPS_AHEAD)
            .map(|step| period.rest * step / STEPS_AHEAD)
            .map(|ahead| Outlook {
                ahead,
                budget,
                spent: period.counts.weighted_bad() + per_sec * ahead.as_secs_f64(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{super::tests::counts, *};
    use crate::domain::{model::objective::Objective, slo::BurnKind};

    const DAY: Duration = Duration::from_hours(24);

    /// Makes 28 days with an event per second at 99 %, and so a budget of 24,192 events.
    fn slo(bad: i64) -> BurnContext {
        BurnContext {
            objective: Objective::from_ratio(0.99).unwrap(),
            kind: BurnKind::Budget,
            window: DAY * 28,
            in_window: counts(2_419_200, bad),
            observed: DAY * 28,
            period: None,
        }
    }

    /// Makes seven days in steps of three hours, with this many bad events in each.
    fn ageing(bad: impl Fn(usize) -> i64) -> Ageing {
        Ageing {
            step: Duration::from_hours(3),
            by_step: (0..56).map(|step| counts(10_800, bad(step))).collect(),
        }
    }

    #[track_caller]
    fn assert_lasts(slo: &BurnContext, pace: f64, ageing: &Ageing, expected: Option<Duration>) {
        let lasts = slo.time_to_exhaustion(BurnRate(pace), ageing);
        let secs = |length: Option<Duration>| length.map(|length| length.as_secs_f64().round());
        assert_eq!(secs(lasts), secs(expected));
    }

    #[test]
    fn a_budget_lasts_its_window_over_the_pace_where_nothing_bad_ages_out() {
        let calm = ageing(|_| 0);
        assert_lasts(&slo(0), 28.0, &calm, Some(DAY));
        assert_lasts(&slo(12_096), 28.0, &calm, Some(DAY / 2));
        assert_lasts(&slo(12_096), 2.0, &calm, Some(DAY * 7));
        assert_lasts(&slo(12_096), 1.9, &calm, None);
    }

    #[test]
    fn what_ages_out_gives_back_what_the_pace_takes() {
        // Half of the budget was spent on the first day of the window, and is restored when that
        // day leaves it.
        let bad_day = ageing(|step| if step < 8 { 1_512 } else { 0 });
        assert_lasts(&slo(22_982), 1.5, &bad_day, None);
        let lasts = DAY.mul_f64(1_210.0 / (17_280.0 - 12_096.0));
        assert_lasts(&slo(22_982), 20.0, &bad_day, Some(lasts));
    }

    #[test]
    fn a_budget_that_is_gone_or_burns_slower_than_it_ages_out_has_no_end_to_name() {
        let calm = ageing(|_| 0);
        assert_lasts(&slo(24_192), 9.0, &calm, None);
        assert_lasts(&slo(24_000), 0.99, &calm, None);
        assert_lasts(&slo(0), 9.0, &Ageing::default(), None);
    }

    proptest! {
        #[test]
        fn the_line_of_a_chart_crosses_zero_when_the_page_says(
            bad in vec(0_i64..400, 56), more in 0_i64..20_000, pace in 0.0_f64..60.0,
        ) {
            let ageing = ageing(|step| bad[step]);
            let slo = slo(bad.iter().sum::<i64>() + more);
            let line = slo.forecast(BurnRate(pace), &ageing);
            let lasts = slo.time_to_exhaustion(BurnRate(pace), &ageing);
            let gone = line.iter().find(|(_, left)| *left <= 0.0).map(|(ahead, _)| *ahead);
            let has_some = slo.budget_remaining().unwrap() > 0.0;
            if has_some && pace >= 1.0 {
                prop_assert_eq!(lasts.is_some(), gone.is_some());
                let is_near = |(lasts, gone): (Duration, Duration)| {
                    lasts <= gone && gone <= lasts + Duration::from_hours(3)
                };
                prop_assert!(lasts.zip(gone).is_none_or(is_near), "{:?}, {:?}", lasts, gone);
            } else {
                prop_assert_eq!(lasts, None);
            }
        }

        #[test]
        fn a_faster_pace_never_leaves_more(
            bad in vec(0_i64..400, 56), pace in 0.0_f64..60.0, more in 0.0_f64..9.0,
        ) {
            let ageing = ageing(|step| bad[step]);
            let slo = slo(bad.iter().sum());
            let [slow, fast] = [pace, pace + more].map(|pace| slo.forecast(BurnRate(pace), &ageing));
            prop_assert!(slow.iter().zip(&fast).all(|(slow, fast)| slow.1 >= fast.1));
        }
    }
}
