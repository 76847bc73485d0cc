//! The schedule of monthly reports.

use std::time::Duration;

use chrono::{Datelike as _, Months, NaiveDate, NaiveTime, TimeZone as _, Weekday};
use chrono_tz::Tz;

use crate::domain::model::time::{TimeRange, Timestamp};

/// One report, which is sent every month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSchedule {
    /// The label `team` of its SLOs; `None` for all SLOs.
    pub team: Option<String>,
    /// The day of the month; `None` for the first weekday.
    pub day: Option<u32>,
    pub time: NaiveTime,
    pub zone: Tz,
}

impl ReportSchedule {
    /// Returns the newest month, in UTC, whose report is due at `now`.
    pub fn due_month(&self, now: Timestamp) -> Option<TimeRange> {
        let today = now.to_chrono().with_timezone(&self.zone).date_naive();
        // Near the turn of a month the zone may be in another month than UTC.
        let next = today.with_day(1)?.checked_add_months(Months::new(1))?;
        (0..3)
            .filter_map(|back| next.checked_sub_months(Months::new(back)))
            .filter(|first| self.sent_at(*first).is_some_and(|at| at <= now))
            .find_map(|first| {
                let before = first.checked_sub_months(Months::new(1))?;
                Some(TimeRange::new(midnight(before), midnight(first)))
            })
    }

    /// Returns when the report of the month before `first` is due: not before that month is over.
    fn sent_at(&self, first: NaiveDate) -> Option<Timestamp> {
        let day = match self.day {
            Some(day) => first.with_day(day)?,
            None => first.iter_days().find(|day| is_working(*day))?,
        };
        // A time that the clocks skip comes after the gap.
        let minutes =
            (0..=24 * 60).map(|minute| day.and_time(self.time) + Duration::from_mins(minute));
        let mut existing =
            minutes.filter_map(|local| self.zone.from_local_datetime(&local).earliest());
        let at = Timestamp::from(existing.next()?.to_utc());
        Some(at.max(midnight(first)))
    }
}

fn is_working(day: NaiveDate) -> bool {
    !matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
}

fn midnight(day: NaiveDate) -> Timestamp {
    day.and_time(NaiveTime::MIN).and_utc().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// The month that is due, as `2026-11`.
    fn due(schedule: &ReportSchedule, now: &str) -> String {
        let month = schedule.due_month(at(now)).unwrap();
        assert_eq!(month.to.to_chrono().day(), 1);
        month.from.to_rfc3339()[..7].to_owned()
    }

    fn schedule(zone: Tz) -> ReportSchedule {
        ReportSchedule {
            team: None,
            day: None,
            time: NaiveTime::from_hms_opt(9, 0, 0).unwrap(),
            zone,
        }
    }

    #[test]
    fn a_report_is_due_in_the_morning_of_the_first_working_day() {
        let utc = schedule(Tz::UTC);
        assert_eq!(due(&utc, "2026-12-01T08:59:59Z"), "2026-10");
        assert_eq!(due(&utc, "2026-12-01T09:00:00Z"), "2026-11");
        assert_eq!(due(&utc, "2026-12-31T23:59:59Z"), "2026-11");
        // The first of August 2026 is a Saturday.
        assert_eq!(due(&utc, "2026-08-03T08:59:59Z"), "2026-06");
        assert_eq!(due(&utc, "2026-08-03T09:00:00Z"), "2026-07");
    }

    #[test]
    fn the_time_is_that_of_the_place_and_the_month_is_over() {
        let london = schedule(Tz::Europe__London);
        assert_eq!(due(&london, "2026-07-01T07:59:59Z"), "2026-05");
        assert_eq!(due(&london, "2026-07-01T08:00:00Z"), "2026-06");
        // Nine in the morning there is before the month is over in UTC.
        let auckland = schedule(Tz::Pacific__Auckland);
        assert_eq!(due(&auckland, "2026-11-30T23:59:59Z"), "2026-10");
        assert_eq!(due(&auckland, "2026-12-01T00:00:00Z"), "2026-11");
    }

    #[test]
    fn a_day_can_be_chosen_and_a_time_that_is_skipped_comes_after_the_gap() {
        let tenth = ReportSchedule {
            day: Some(10),
            ..schedule(Tz::UTC)
        };
        assert_eq!(due(&tenth, "2026-12-10T08:59:59Z"), "2026-10");
        assert_eq!(due(&tenth, "2026-12-10T09:00:00Z"), "2026-11");
        let skipped = ReportSchedule {
            day: Some(8),
            time: NaiveTime::from_hms_opt(2, 30, 0).unwrap(),
            ..schedule(Tz::America__New_York)
        };
        assert_eq!(due(&skipped, "2026-03-08T06:59:59Z"), "2026-01");
        assert_eq!(due(&skipped, "2026-03-08T07:00:00Z"), "2026-02");
    }
}
