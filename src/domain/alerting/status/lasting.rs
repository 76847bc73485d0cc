//! How long the result of an evaluation lasts if nothing is counted.
//!
//! Events are counted by the minute, so windows that end in the same minute contain the same events.
//! What else depends on the time is found by evaluating the same counts at the end of the minute.

use super::{Measured, SloState, SloStatus, lookback_windows};
use crate::domain::{
    alerting::{
        alert::{AlertState, Continuity, TickHistory},
        rule_status::Freshness,
    },
    model::time::{Resolution, TimeRange, Timestamp},
    slo::Slo,
};

impl SloStatus {
    /// Returns the time before which every evaluation of `slo` has the same result if nothing is
    /// counted. `None` if each may have another: while an alert is not inactive, workflows are open, or
    /// a budget falls.
    pub fn lasts_until(&self, slo: &Slo, measured: &Measured) -> Option<Timestamp> {
        let minute = Resolution::Minute.length();
        let end = measured.at.floor_to(minute) + minute;
        // Timeouts are counted up to a later minute at the earliest when the grace has passed again.
        let settled = measured.settled.as_ref();
        let next_settled = settled.map_or(end, |settled| settled.up_to + minute + slo.grace);
        let until = end.min(next_settled);
        let last = Timestamp::from_micros(end.as_micros() - 1);
        let lasts = measured.at < until
            && self.is_at_rest()
            && measured.is_at_rest(slo)
            && minutes_read(slo, measured.at) == minutes_read(slo, last)
            && *self == self.evaluated_again(slo, measured, last);
        lasts.then_some(until)
    }

    fn is_at_rest(&self) -> bool {
        let ticks = TickHistory {
            last_at: self.evaluated_at,
            steady_ticks: self.steady_ticks,
        };
        let is_inactive = |state| state == AlertState::Inactive;
        ticks.continuity() == Continuity::Continuous
            && matches!(
                self.state,
                SloState::Ok | SloState::TooFew | SloState::NoData
            )
            && self.alerts.iter().all(|alert| is_inactive(alert.state))
    }

    /// Evaluates the same counts at another time, without a step of the alerts.
    fn evaluated_again(&self, slo: &Slo, measured: &Measured, at: Timestamp) -> Self {
        let measured = Measured {
            at,
            ..measured.clone()
        };
        let again = Self::new(
            slo,
            &measured,
            measured.rule_statuses(slo),
            self.alerts.clone(),
        );
        Self {
            evaluated_at: self.evaluated_at,
            steady_ticks: self.steady_ticks,
            ..again
        }
    }
}

impl Measured {
    /// Returns whether nothing that was measured changes with time alone, except the minutes of the
    /// windows.
    fn is_at_rest(&self, slo: &Slo) -> bool {
        self.freshness == Freshness::Fresh
            && self.time_used.in_flight() == 0
            && self.overdue == 0
            && self.expected_ends.is_none()
            && !self.burns(slo)
    }
}

/// Returns the ranges, in whole minutes, that an evaluation at `at` counts events of.
fn minutes_read(slo: &Slo, at: Timestamp) -> Vec<TimeRange> {
    let minute = Resolution::Minute.length();
    let window = slo.window.length();
    let lookback_windows = lookback_windows(slo).into_iter();
    let ranges = lookback_windows.map(|length| {
        if length == window {
            slo.window.trailing(at)
        } else {
            TimeRange::ending_at(at, length)
        }
    });
    let period = slo.window.period(at);
    let period = period.map(|period| TimeRange::new(period.from, at));
    let counted = ranges.chain(period).flat_map(|range| slo.counted(range));
    counted
        .map(|range| TimeRange::new(range.from.floor_to(minute), range.to.ceil_to(minute)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::domain::{
        alerting::{
            alert::{Alert, AlertStatus},
            settled::SettledCounts,
            status::tests::{counts, measured, slo},
        },
        counting::time_used::TimeUsed,
        model::window::{Calendar, CalendarUnit, SloWindow},
        slo::{
            Severity,
            exclusion::{Exclusion, ExclusionScope},
        },
    };

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn minute() -> Timestamp {
        Timestamp::from_secs(1_790_000_040)
    }

    /// Returns what is measured so many seconds after a minute of an SLO with few bad events, of which
    /// none was lately and no workflow is open.
    fn at_rest(secs: u64) -> Measured {
        let lately = counts(1_000, 0);
        Measured {
            at: minute() + SECOND * u32::try_from(secs).unwrap(),
            time_used: TimeUsed::default(),
            overdue: 0,
            ..measured(counts(672_000, 100), lately, lately)
        }
    }

    fn status_of(slo: &Slo, measured: &Measured, alerts: Vec<AlertStatus>) -> SloStatus {
        SloStatus::new(slo, measured, measured.rule_statuses(slo), alerts)
    }

    fn lasts(slo: &Slo, measured: &Measured) -> Option<Timestamp> {
        status_of(slo, measured, Vec::new()).lasts_until(slo, measured)
    }

    #[test]
    fn the_result_of_an_slo_at_rest_lasts_until_the_end_of_the_minute() {
        let next = Some(minute() + MINUTE);
        assert_eq!(minute(), minute().floor_to(MINUTE));
        assert_eq!(lasts(&slo(), &at_rest(1)), next);
        assert_eq!(lasts(&slo(), &at_rest(59)), next);
        // A window that ends with a minute contains one minute less than one that ends later.
        assert_eq!(lasts(&slo(), &at_rest(0)), None);
    }

    #[test]
    fn nothing_lasts_while_work_is_under_way_or_a_budget_falls() {
        let open = Measured {
            time_used: TimeUsed::new([(1, 1)]),
            ..at_rest(1)
        };
        assert_eq!(lasts(&slo(), &open), None);
        let burning = Measured {
            counts: measured(counts(9_000, 20), counts(900, 20), counts(90, 0)).counts,
            ..at_rest(1)
        };
        assert_eq!(lasts(&slo(), &burning), None);
        let stale = Measured {
            freshness: Freshness::Stale,
            ..at_rest(1)
        };
        assert_eq!(lasts(&slo(), &stale), None);
    }

    #[test]
    fn nothing_lasts_after_a_gap_or_while_an_alert_is_not_inactive() {
        let (slo, measured) = (slo(), at_rest(1));
        let status = status_of(&slo, &measured, Vec::new());
        let gap = TickHistory {
            last_at: measured.at,
            steady_ticks: 0,
        };
        let after_gap = status.after_ticks(gap);
        assert_eq!(after_gap.lasts_until(&slo, &measured), None);
        let alert = Alert::new(measured.at);
        let inactive = alert.to_status(Severity::Page);
        let pending = AlertStatus {
            state: AlertState::Pending,
            ..inactive.clone()
        };
        let lasts = |alert| status_of(&slo, &measured, vec![alert]).lasts_until(&slo, &measured);
        assert!(lasts(inactive).is_some());
        assert_eq!(lasts(pending), None);
    }

    #[test]
    fn a_young_slo_is_evaluated_as_long_as_its_numbers_depend_on_its_age() {
        let of_age = |age: Duration, bad| {
            let hour = counts(1_000, bad);
            Measured {
                first_event_at: Some(at_rest(1).at - age),
                counts: measured(counts(672_000, bad), hour, counts(80, 0)).counts,
                ..at_rest(1)
            }
        };
        let day = Duration::from_hours(24);
        assert!(lasts(&slo(), &of_age(day * 40, 1)).is_some());
        assert!(lasts(&slo(), &of_age(day, 0)).is_some());
        assert_eq!(lasts(&slo(), &of_age(day, 1)), None);
    }

    #[test]
    fn a_calendar_period_with_events_is_evaluated_as_its_rest_grows_shorter() {
        let month = Slo {
            window: SloWindow::Calendar(Calendar {
                unit: CalendarUnit::Month,
                zone: chrono_tz::Tz::UTC,
            }),
            ..slo()
        };
        let month_of = |events| Measured {
            counts: lookback_windows(&month)
                .into_iter()
                .map(|length| (length, counts(events, 0)))
                .collect(),
            in_period: counts(events, 0),
            ..at_rest(1)
        };
        assert_eq!(lasts(&month, &month_of(10_000)), None);
        assert!(lasts(&month, &month_of(0)).is_some());
    }

    #[test]
    fn timeouts_are_looked_at_again_when_their_grace_has_passed() {
        let slo = Slo {
            grace: SECOND * 30,
            ..slo()
        };
        let settled_at = |secs: u64| {
            let measured = at_rest(secs);
            let settled = SettledCounts {
                counts: measured.counts.clone(),
                ..SettledCounts::new(minute() - MINUTE)
            };
            let settled = Some(settled);
            lasts(
                &slo,
                &Measured {
                    settled,
                    ..measured
                },
            )
        };
        assert_eq!(settled_at(1), Some(minute() + SECOND * 30));
        assert_eq!(settled_at(30), None);
    }

    #[test]
    fn planned_work_begins_and_ends_with_a_minute() {
        let range = TimeRange::new(minute() + MINUTE, minute() + MINUTE * 5);
        let slo = Slo {
            exclusions: vec![Arc::new(Exclusion {
                name: "upgrade".parse().unwrap(),
                scope: ExclusionScope::All,
                reason: "upgrade".to_owned(),
                ranges: vec![range],
            })],
            ..slo()
        };
        assert_eq!(lasts(&slo, &at_rest(1)), Some(range.from));
    }
}
