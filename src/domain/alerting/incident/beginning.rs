//! The beginning of an incident: when the problem began, not the first stray bad event.

use std::time::Duration;

use crate::domain::{
    alerting::{
        burn_rate::{BurnContext, Window},
        end_shortfall::ExpectedEnds,
    },
    counting::series::Series,
    model::{
        counts::EventCounts,
        time::{TimeRange, Timestamp},
    },
};

const MINUTE: Duration = Duration::from_mins(1);
/// The minimum distance that is searched back for a beginning.
const LEAST_REACH: Duration = Duration::from_hours(6);

/// The two windows of the rule that fired.
#[derive(Clone, Copy, Debug)]
pub struct RuleWindows {
    pub long: Duration,
    pub short: Duration,
}

/// The expected ends, and the counts from which the weight of an event is derived.
#[derive(Clone, Copy, Debug)]
pub struct MissingEnds {
    pub expected: ExpectedEnds,
    pub usual: EventCounts,
}

impl RuleWindows {
    /// Returns how far back counts are needed for its windows at one moment.
    fn reach(self, missing: Option<MissingEnds>) -> Duration {
        self.long + missing.map_or(Duration::ZERO, MissingEnds::lead)
    }
}

impl MissingEnds {
    /// Returns how long before a window the ends of its workflows may be, in whole minutes.
    fn lead(self) -> Duration {
        let minutes = self.expected.within().as_secs().div_ceil(60);
        MINUTE.saturating_mul(u32::try_from(minutes).unwrap_or(u32::MAX))
    }

    /// Returns the timeouts that missing ends represent, in the window before the end of the first
    /// `end` minutes.
    fn timeouts(self, minutes: &Series, end: usize, length: Duration) -> EventCounts {
        let due = minutes.trailing(end, length);
        let ended = minutes.trailing(end, length + self.lead());
        let missing = self.expected.shortfall(due, ended);
        let timeouts = missing.map(|missing| self.expected.timeouts(missing, self.usual));
        timeouts.unwrap_or_default()
    }
}

/// Returns the minutes whose counts [`beginning`] needs: twice the long window back, at least six
/// hours, and before that what one look at both windows needs.
pub fn range_of_search(
    windows: RuleWindows,
    missing: Option<MissingEnds>,
    fired_at: Timestamp,
) -> TimeRange {
    let to = fired_at.ceil_to(MINUTE);
    let searched = (windows.long * 2).max(LEAST_REACH);
    let from = to - searched - windows.reach(missing);
    TimeRange::new(from.floor_to(MINUTE), to)
}

/// Returns the first minute from which the burn rate of the short window stayed at 1 or above until
/// the rule fired, at the end of `minutes`.
///
/// It is no earlier than the first whole minute after `not_before`, when the last incident ended,
/// so that no bad event belongs to two. Below 1 the budget does not fall, so nothing before that
/// minute belongs to the problem. If even the last window burns more slowly, the incident began in
/// the minute in which the rule fired.
pub fn beginning(
    minutes: &Series,
    windows: RuleWindows,
    burn: &BurnContext,
    missing: Option<MissingEnds>,
    not_before: Option<Timestamp>,
) -> Timestamp {
    let counts = |end: usize, length: Duration| {
        let timeouts = missing.map(|missing| missing.timeouts(minutes, end, length));
        (minutes.trailing(end, length) + timeouts.unwrap_or_default()).as_good()
    };
    let burns = |end: &usize| {
        let long = Window {
            length: windows.long,
            counts: counts(*end, windows.long),
        };
        let short = counts(*end, windows.short);
        let rate = burn.burn_rates(long, short).short;
        rate.is_some_and(|rate| rate.reaches(1.0))
    };
    let whole = |length: Duration| usize::try_from(length.as_secs() / 60).unwrap_or(usize::MAX);
    let first = whole(windows.reach(missing)).saturating_add(1);
    let ends = (first..=minutes.len()).rev();
    let end = ends.take_while(burns).last().unwrap_or(minutes.len());
    let began = minutes.time(end.saturating_sub(1));
    not_before.map_or(began, |ended| began.max(ended.ceil_to(MINUTE)))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::domain::{
        counting::series::SeriesPoint,
        model::{counts::EventCounts, objective::Objective},
        slo::BurnKind,
    };

    const WINDOWS: RuleWindows = RuleWindows {
        long: Duration::from_hours(1),
        short: Duration::from_mins(5),
    };

    fn fired_at() -> Timestamp {
        Timestamp::from_secs(1_795_320_000)
    }

    /// Makes a thousand events a minute, of which `bad` are bad; its last element is the minute
    /// before the rule fires.
    fn series(bad: &[i64]) -> Series {
        let range = range_of_search(WINDOWS, None, fired_at());
        let minutes = i64::try_from(range.length().as_secs() / 60).unwrap();
        let known = i64::try_from(bad.len()).unwrap();
        let points: Vec<SeriesPoint> = (0..minutes)
            .map(|minute| {
                let at = minute - (minutes - known);
                let bad = usize::try_from(at).ok().and_then(|at| bad.get(at)).copied();
                let bad = bad.unwrap_or(0);
                SeriesPoint {
                    at: range.from + MINUTE * u32::try_from(minute).unwrap(),
                    counts: EventCounts {
                        good: 1_000 - bad,
                        timeout: bad,
                        ..EventCounts::ZERO
                    },
                }
            })
            .collect();
        Series::new(range, MINUTE, &points)
    }

    /// Makes an error budget of 1 %, by the plain ratio.
    fn burn() -> BurnContext {
        BurnContext {
            objective: Objective::from_ratio(0.99).unwrap(),
            kind: BurnKind::Ratio,
            window: Duration::from_hours(672),
            in_window: EventCounts::ZERO,
            observed: Duration::from_hours(672),
            period: None,
        }
    }

    /// Returns how many minutes before the rule fired the incident began.
    fn minutes_before(bad: &[i64], not_before: Option<Timestamp>) -> u64 {
        let began = beginning(&series(bad), WINDOWS, &burn(), None, not_before);
        fired_at().saturating_since(began).as_secs() / 60
    }

    #[test]
    fn s46_a_stray_bad_event_of_the_long_window_does_not_begin_an_incident() {
        let mut bad = vec![0; 60];
        bad[8] = 3;
        bad[56..].fill(1_000);
        assert_eq!(minutes_before(&bad, None), 4);
    }

    #[test]
    fn s46_a_lull_that_the_short_window_bridges_is_part_of_the_trouble() {
        let mut bad = vec![0; 60];
        bad[30..34].fill(500);
        bad[37..].fill(500);
        assert_eq!(minutes_before(&bad, None), 30);
        bad[34..50].fill(0);
        assert_eq!(minutes_before(&bad, None), 10);
    }

    #[test]
    fn s46_an_incident_does_not_begin_before_the_last_one_ended() {
        let bad = [500; 30];
        let ended = fired_at() - MINUTE * 10 - Duration::from_secs(20);
        assert_eq!(minutes_before(&bad, Some(ended)), 10);
        assert_eq!(minutes_before(&bad, None), 30);
    }

    /// Of 100 workflows a minute a tenth of the ends is kept: 10 ends arrive a minute, and later
    /// none.
    #[test]
    fn s46_an_incident_of_missing_ends_begins_where_they_began_to_be_missing() {
        let missing = MissingEnds {
            expected: ExpectedEnds::with_chance(0.1),
            usual: EventCounts::ZERO,
        };
        let range = range_of_search(WINDOWS, Some(missing), fired_at());
        let minutes = range.length().as_secs() / 60;
        let stalled = |minute: u64| minute + 25 >= minutes;
        let points: Vec<SeriesPoint> = (0..minutes)
            .map(|minute| SeriesPoint {
                at: range.from + MINUTE * u32::try_from(minute).unwrap(),
                counts: EventCounts {
                    good: if stalled(minute) { 0 } else { 10 },
                    unobservable: if stalled(minute) { 100 } else { 90 },
                    ..EventCounts::ZERO
                },
            })
            .collect();
        let minutes = Series::new(range, MINUTE, &points);
        let began = |missing| {
            let began = beginning(&minutes, WINDOWS, &burn(), missing, None);
            fired_at().saturating_since(began).as_secs() / 60
        };
        // The short window needs a few minutes of the stall until the shortfall exceeds chance.
        let found = began(Some(missing));
        assert!((20..=25).contains(&found), "{found}");
        // Without expectation nothing was bad.
        assert_eq!(began(None), 1);
    }

    #[test]
    fn a_rule_whose_short_window_does_not_burn_begins_when_it_fires() {
        assert_eq!(minutes_before(&[0; 10], None), 1);
    }

    proptest! {
        #[test]
        fn s46_from_the_beginning_on_the_budget_falls_and_just_before_it_does_not(
            bad in vec(prop_oneof![Just(0_i64), 0_i64..1_000], 1..300),
        ) {
            let minutes = series(&bad);
            let began = beginning(&minutes, WINDOWS, &burn(), None, None);
            let falls = |end: usize| {
                let short = minutes.trailing(end, WINDOWS.short);
                short.bad_ratio().is_some_and(|ratio| ratio >= 0.01 - 1e-12)
            };
            let at = |time: Timestamp| {
                let from = minutes.time(0);
                usize::try_from(time.saturating_since(from).as_secs() / 60).unwrap()
            };
            let (first, last) = (at(began) + 1, minutes.len());
            if falls(last) {
                prop_assert!((first..=last).all(falls));
                prop_assert!(first <= 61 || !falls(first - 1));
            } else {
                prop_assert_eq!(first, last);
            }
        }
    }
}
