//! The window of an objective: either rolling, or a calendar period, after which the counts restart
//! at zero.

use std::{fmt, time::Duration};

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, TimeZone as _};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::{Resolution, TimeRange, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SloWindow {
    /// Events of the last `Duration` count; older ones do not.
    Rolling(Duration),
    /// All events of the current period count, and none of earlier ones.
    Calendar(Calendar),
}

/// The days, weeks, months, quarters or years of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    pub unit: CalendarUnit,
    pub zone: Tz,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    Day,
    /// From Monday, as in ISO 8601.
    Week,
    Month,
    Quarter,
    Year,
}

impl SloWindow {
    /// Returns the length for thresholds and checks; for a calendar the longest that a period can
    /// be, give or take an hour at a change of the clocks.
    ///
    /// The longest, because a threshold derived from it is the highest: in no period does a rule
    /// fire on less than its share of the budget.
    pub const fn length(self) -> Duration {
        match self {
            Self::Rolling(length) => length,
            Self::Calendar(calendar) => calendar.unit.longest(),
        }
    }

    /// Returns the unit of the calendar; `None` if the window is rolling.
    pub const fn unit(self) -> Option<CalendarUnit> {
        match self {
            Self::Rolling(_) => None,
            Self::Calendar(calendar) => Some(calendar.unit),
        }
    }

    /// Returns the whole calendar period that contains `at`; `None` if the window is rolling.
    pub fn period(self, at: Timestamp) -> Option<TimeRange> {
        match self {
            Self::Rolling(_) => None,
            Self::Calendar(calendar) => Some(calendar.period(at)),
        }
    }

    /// Returns the range that counts at `at`: the last `Duration`, or the period so far.
    pub fn counted(self, at: Timestamp) -> TimeRange {
        match self.period(at) {
            Some(period) => TimeRange::new(period.from, at),
            None => self.trailing(at),
        }
    }

    /// Returns the last range of its length, whether it is rolling or not. For a calendar it is in
    /// whole hours: minutes are not needed, and need not be kept for a year.
    pub fn trailing(self, at: Timestamp) -> TimeRange {
        let stretch = TimeRange::ending_at(at, self.length());
        match self {
            Self::Rolling(_) => stretch,
            Self::Calendar(_) => {
                TimeRange::new(stretch.from.floor_to(Resolution::Hour.length()), at)
            }
        }
    }

    /// Returns how far back counts are needed by the minute; for ranges older than a month hours
    /// suffice. A period usually begins on an hour, except in time zones with half-hour offsets.
    pub fn needs_minutes(self, at: Timestamp) -> Duration {
        let is_in_hours = |from: Timestamp| from == from.floor_to(Resolution::Hour.length());
        match self.period(at) {
            Some(period) if is_in_hours(period.from) => {
                self.length().min(CalendarUnit::Month.longest())
            }
            Some(_) | None => self.length(),
        }
    }
}

impl From<Duration> for SloWindow {
    fn from(length: Duration) -> Self {
        Self::Rolling(length)
    }
}

impl Calendar {
    fn period(self, at: Timestamp) -> TimeRange {
        let today = at.to_chrono().with_timezone(&self.zone).date_naive();
        let first = self.unit.first_day(today);
        let period =
            |first| TimeRange::new(self.start_of(first), self.start_of(self.unit.next(first)));
        let this = period(first);
        // Clocks that are set back across midnight repeat a part of the day before.
        if at < this.to {
            this
        } else {
            period(self.unit.next(first))
        }
    }

    /// Returns the first instant of a day. In some time zones midnight occurs twice on some day of
    /// the year, or not at all.
    fn start_of(self, day: NaiveDate) -> Timestamp {
        let midnight = day.and_time(NaiveTime::MIN);
        let minutes = (0..=48 * 60).map(|minute| midnight + Duration::from_mins(minute));
        let mut existing =
            minutes.filter_map(|local| self.zone.from_local_datetime(&local).earliest());
        let first = existing.next().map(|local: DateTime<Tz>| local.to_utc());
        first.unwrap_or_else(|| midnight.and_utc()).into()
    }
}

impl CalendarUnit {
    pub const ALL: [Self; 5] = [
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];

    /// Returns its name in definitions and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    const fn longest(self) -> Duration {
        Duration::from_hours(
            24 * match self {
                Self::Day => 1,
                Self::Week => 7,
                Self::Month => 31,
                Self::Quarter => 92,
                Self::Year => 366,
            },
        )
    }

    fn first_day(self, day: NaiveDate) -> NaiveDate {
        let first = match self {
            Self::Day => Some(day),
            Self::Week => {
                day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into()))
            }
            Self::Month => day.with_day(1),
            Self::Quarter => day
                .with_day(1)
                .and_then(|first| first.with_month0(first.month0() / 3 * 3)),
            Self::Year => day.with_ordinal(1),
        };
        first.unwrap_or(day)
    }

    fn next(self, first: NaiveDate) -> NaiveDate {
        let next = match self {
            Self::Day => first.checked_add_days(Days::new(1)),
            Self::Week => first.checked_add_days(Days::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
            Self::Quarter => first.checked_add_months(Months::new(3)),
            Self::Year => first.checked_add_months(Months::new(12)),
        };
        next.unwrap_or(NaiveDate::MAX)
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calendar {}, {}", self.unit.as_str(), self.zone.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn window(unit: CalendarUnit, zone: Tz) -> SloWindow {
        SloWindow::Calendar(Calendar { unit, zone })
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// Asserts the beginning and the end of the period around an instant.
    #[track_caller]
    fn assert_period(window: SloWindow, around: &str, expected: [&str; 2]) {
        let period = window.period(at(around)).unwrap();
        assert_eq!(period, TimeRange::new(at(expected[0]), at(expected[1])));
        assert_eq!(window.period(period.from), Some(period));
        let last = Timestamp::from_micros(period.to.as_micros() - 1);
        assert_eq!(window.period(last), Some(period));
        assert_eq!(window.period(period.to).unwrap().from, period.to);
    }

    #[test]
    fn periods_begin_where_a_calendar_on_the_wall_says() {
        let around = "2026-11-22T10:08:04Z";
        for (unit, from, to) in [
            (CalendarUnit::Day, "2026-11-22", "2026-11-23"),
            // The 22nd is a Sunday: the last day of its week.
            (CalendarUnit::Week, "2026-11-16", "2026-11-23"),
            (CalendarUnit::Month, "2026-11-01", "2026-12-01"),
            (CalendarUnit::Quarter, "2026-10-01", "2027-01-01"),
            (CalendarUnit::Year, "2026-01-01", "2027-01-01"),
        ] {
            let [from, to] = [from, to].map(|day| format!("{day}T00:00:00Z"));
            assert_period(window(unit, Tz::UTC), around, [&from, &to]);
        }
    }

    #[test]
    fn months_are_as_long_as_they_are() {
        let month = |around| {
            let period = window(CalendarUnit::Month, Tz::UTC).period(at(around));
            period.unwrap().length().as_secs() / 86_400
        };
        assert_eq!(month("2027-02-28T23:59:59Z"), 28);
        assert_eq!(month("2028-02-29T12:00:00Z"), 29);
        assert_eq!(month("2026-11-30T23:59:59Z"), 30);
        assert_eq!(month("2026-12-31T23:59:59Z"), 31);
    }

    #[test]
    fn the_clocks_of_the_place_are_followed_when_they_change() {
        let day = window(CalendarUnit::Day, Tz::Europe__London);
        let short = ["2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"];
        assert_period(day, "2026-03-29T12:00:00Z", short);
        let long = ["2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"];
        assert_period(day, "2026-10-25T12:00:00Z", long);
        let month = window(CalendarUnit::Month, Tz::Europe__London);
        let october = ["2026-09-30T23:00:00Z", "2026-11-01T00:00:00Z"];
        assert_period(month, "2026-10-15T00:00:00Z", october);
    }

    #[test]
    fn a_day_without_midnight_begins_when_the_clocks_have_sprung() {
        let day = window(CalendarUnit::Day, Tz::Africa__Cairo);
        let sprung = ["2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"];
        assert_period(day, "2026-04-24T10:00:00Z", sprung);
    }

    #[test]
    fn a_midnight_that_comes_twice_begins_one_day() {
        let day = window(CalendarUnit::Day, Tz::America__Havana);
        let twice = ["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"];
        assert_period(day, "2026-11-01T05:30:00Z", twice);
        // In the past, the clocks were set back one minute after midnight, which repeated an hour
        // of the day before.
        let day = window(CalendarUnit::Day, Tz::America__St_Johns);
        let began = at("2009-11-01T02:30:00Z");
        assert_eq!(day.period(began + HOUR / 2).unwrap().from, began);
    }

    #[test]
    fn what_is_counted_is_the_period_so_far_or_the_last_stretch() {
        let now = at("2026-11-22T10:08:04Z");
        let month = window(CalendarUnit::Month, Tz::UTC);
        let so_far = TimeRange::new(at("2026-11-01T00:00:00Z"), now);
        assert_eq!(month.counted(now), so_far);
        let usual = TimeRange::new(at("2026-10-22T10:00:00Z"), now);
        assert_eq!(month.trailing(now), usual);
        let rolling = SloWindow::Rolling(HOUR);
        assert_eq!(rolling.counted(now), TimeRange::ending_at(now, HOUR));
        assert_eq!(rolling.period(now), None);
    }

    #[test]
    fn minutes_are_kept_for_a_year_only_where_a_year_begins_between_hours() {
        let now = at("2026-11-22T10:08:04Z");
        let of = |zone| window(CalendarUnit::Year, zone).needs_minutes(now);
        assert_eq!(of(Tz::Europe__London), HOUR * 24 * 31);
        assert_eq!(of(Tz::Asia__Kolkata), HOUR * 24 * 366);
        assert_eq!(SloWindow::Rolling(HOUR).needs_minutes(now), HOUR);
    }

    fn any_zone() -> impl Strategy<Value = Tz> {
        proptest::sample::select(&chrono_tz::TZ_VARIANTS[..])
    }

    proptest! {
        /// Periods have no gaps or overlaps, and none is longer than its nominal length except by
        /// changes of the clocks.
        #[test]
        fn every_instant_lies_in_exactly_one_period(
            zone in any_zone(),
            unit in proptest::sample::select(&CalendarUnit::ALL[..]),
            secs in 1_500_000_000_i64..2_000_000_000,
        ) {
            let (window, at) = (window(unit, zone), Timestamp::from_secs(secs));
            let period = window.period(at).unwrap();
            prop_assert!(period.contains(at));
            let next = window.period(period.to).unwrap();
            prop_assert_eq!(next.from, period.to);
            prop_assert_eq!(window.period(period.from), Some(period));
            prop_assert!(period.length() <= window.length() + 3 * HOUR);
        }
    }
}
