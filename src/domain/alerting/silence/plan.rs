//! Validates a requested silence.

use std::time::Duration;

use chrono_tz::Tz;

use super::{Matcher, ParseMatcherError, SilenceTerms};
use crate::domain::model::{
    format,
    recurrence::{Recurrence, RecurrenceError, RecurrenceLimit},
    time::{TimeRange, Timestamp},
};

/// People forget longer ones: a silence of 999 weeks hid alerts for months (prometheus/alertmanager
/// issue 3457).
pub const LONGEST: Duration = Duration::from_hours(30 * 24);
/// The limit even if forced. A repetition is expanded up to here.
pub const LONGEST_FORCED: Duration = Duration::from_hours(366 * 24);
/// Daily for a year.
const MOST_OCCURRENCES: u16 = 400;
/// Far more than a person writes; Alertmanager's own limit is higher.
const MOST_MATCHERS: usize = 30;
/// In characters.
const LONGEST_REASON: usize = 1_000;

/// A silence as it was requested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    pub matchers: Vec<String>,
    /// Defaults to now.
    pub starts_at: Option<Timestamp>,
    /// The end of the first range; either this or `lasts`.
    pub ends_at: Option<Timestamp>,
    pub lasts: Option<Duration>,
    pub repeat: Option<SilenceRecurrence>,
    pub reason: String,
    pub created_by: Option<String>,
    pub force: Force,
}

/// The repetition of a silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRecurrence {
    /// In iCalendar's syntax, without `RRULE:`.
    pub rule: String,
    /// The time zone of the rule.
    pub time_zone: Tz,
}

/// The permission to exceed [`LONGEST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Force {
    #[default]
    No,
    Yes,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    #[error("no matcher selects the alerts to silence")]
    NoMatcher,
    #[error("more than {MOST_MATCHERS} matchers")]
    TooManyMatchers,
    #[error(transparent)]
    Matcher(#[from] ParseMatcherError),
    #[error("these matchers match every alert")]
    MatchesEverything,
    #[error("no `reason` is given")]
    NoReason,
    #[error("the `reason` is longer than {LONGEST_REASON} characters")]
    LongReason,
    #[error("the duration of the silence is missing")]
    NoEnd,
    #[error("the silence would end before it starts")]
    EndsBeforeStart,
    #[error("the silence would be over already")]
    Over,
    /// The total over all repetitions.
    #[error("the silence mutes for {} in all, more than {}", format::lasting(*.0), format::lasting(*.1))]
    TooLong(Duration, Duration),
    #[error(transparent)]
    Recurrence(#[from] RecurrenceError),
    #[error("the rule repeats before the previous time is over")]
    Overlaps,
    /// A silence to be replaced through an interface that does not support repetitions.
    #[error("the silence repeats, which cannot be changed here")]
    Repeats,
}

impl DraftError {
    /// Returns how to correct it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NoMatcher | Self::Matcher(_) | Self::TooManyMatchers => {
                "matchers look like `slo=orders`, `team=~\"pay.*\"`, `severity!=page`; an alert has `slo` (also as \
                 `alertname`), `service`, `severity`, `group` and the labels of its SLO"
            }
            Self::MatchesEverything => {
                "one of them must require a value: `slo=~\".+\"` matches all SLOs"
            }
            Self::NoReason | Self::LongReason => {
                "state in a sentence why notifications are suppressed, for people who miss an alert"
            }
            Self::NoEnd => "give `duration`, as `2h`, or `ends_at`",
            Self::EndsBeforeStart | Self::Over => "times are RFC 3339: `2026-12-06T02:00:00Z`",
            Self::TooLong(_, limit) if limit.as_secs() == LONGEST.as_secs() => {
                "make it shorter, and renew it if necessary, or set `force`"
            }
            Self::TooLong(..) => "make it shorter, and renew it if necessary",
            Self::Recurrence(error) => error.help(),
            Self::Overlaps => "make it shorter, or repeat it less often",
            Self::Repeats => {
                "end it, and make another one on `/silences` or by `throughline silence add`"
            }
        }
    }
}

impl Draft {
    /// Returns the terms of the silence if it is created now.
    pub fn terms(&self, now: Timestamp) -> Result<SilenceTerms, DraftError> {
        let matchers = self.matchers()?;
        let reason = self.reason.trim();
        if reason.is_empty() {
            return Err(DraftError::NoReason);
        }
        if reason.chars().count() > LONGEST_REASON {
            return Err(DraftError::LongReason);
        }
        let terms = SilenceTerms {
            matchers,
            ranges: self.ranges(now)?,
            repeat: self.repeat.clone(),
            reason: reason.to_owned(),
            created_by: self.created_by.clone(),
        };
        let limit = match self.force {
            Force::No => LONGEST,
            Force::Yes => LONGEST_FORCED,
        };
        let muted = terms.muted_time();
        if muted > limit {
            return Err(DraftError::TooLong(muted, limit));
        }
        Ok(terms)
    }

    /// Returns the matchers only, so that they can be previewed before the rest is filled in.
    pub fn matchers(&self) -> Result<Vec<Matcher>, DraftError> {
        let written = self.matchers.iter().map(|text| text.trim());
        let written: Vec<&str> = written.filter(|text| !text.is_empty()).collect();
        match written.len() {
            0 => return Err(DraftError::NoMatcher),
            1..=MOST_MATCHERS => {}
            _ => return Err(DraftError::TooManyMatchers),
        }
        let matchers: Result<Vec<Matcher>, _> = written.iter().map(|text| text.parse()).collect();
        let matchers = matchers?;
        if matchers.iter().all(Matcher::takes_nothing) {
            return Err(DraftError::MatchesEverything);
        }
        Ok(matchers)
    }

    fn ranges(&self, now: Timestamp) -> Result<Vec<TimeRange>, DraftError> {
        let from = self.starts_at.unwrap_or(now);
        let to = match (self.ends_at, self.lasts) {
            (Some(to), _) => to,
            // Counted from now if it should have started earlier.
            (None, Some(lasts)) => from.max(now) + lasts,
            (None, None) => return Err(DraftError::NoEnd),
        };
        if to <= from {
            return Err(DraftError::EndsBeforeStart);
        }
        let ranges = match &self.repeat {
            None => vec![TimeRange::new(from.max(now), to)],
            Some(repeat) => repeated(repeat, TimeRange::new(from, to), now)?,
        };
        if ranges.first().is_none_or(TimeRange::is_empty) {
            return Err(DraftError::Over);
        }
        Ok(ranges)
    }
}

/// Returns the ranges that are not over yet.
fn repeated(
    repeat: &SilenceRecurrence,
    first: TimeRange,
    now: Timestamp,
) -> Result<Vec<TimeRange>, DraftError> {
    let recurrence = Recurrence {
        rule: &repeat.rule,
        from: first.from,
        zone: repeat.time_zone,
    };
    let starts = recurrence.occurrences(RecurrenceLimit {
        until: first.from.max(now) + LONGEST_FORCED,
        most: MOST_OCCURRENCES,
    })?;
    let length = first.length();
    let all: Vec<TimeRange> = starts
        .into_iter()
        .map(|from| TimeRange::new(from, from + length))
        .collect();
    let overlaps = |pair: &[TimeRange]| matches!(pair, [one, next] if next.from < one.to);
    if all.windows(2).any(overlaps) {
        return Err(DraftError::Overlaps);
    }
    Ok(all.into_iter().filter(|range| range.to > now).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-28T06:00:00Z").unwrap()
    }

    fn draft() -> Draft {
        Draft {
            matchers: vec!["slo=orders".to_owned(), " ".to_owned()],
            lasts: Some(HOUR),
            reason: " upgrade of the queue ".to_owned(),
            ..Draft::default()
        }
    }

    fn refused(draft: &Draft) -> DraftError {
        let error = draft.terms(now()).unwrap_err();
        assert!(!error.help().is_empty());
        error
    }

    #[test]
    fn without_a_start_it_begins_now() {
        let terms = draft().terms(now()).unwrap();
        assert_eq!(terms.ranges, [TimeRange::new(now(), now() + HOUR)]);
        assert_eq!(terms.reason, "upgrade of the queue");
        assert_eq!(terms.matchers.len(), 1);
        let begun = Draft {
            starts_at: Some(now() - HOUR),
            ends_at: Some(now() + HOUR),
            ..draft()
        };
        assert_eq!(
            begun.terms(now()).unwrap().ranges,
            [TimeRange::new(now(), now() + HOUR)],
            "nothing is muted in the past"
        );
    }

    #[test]
    fn t34_nobody_makes_a_silence_that_outlives_memory_without_insisting() {
        let weeks = |weeks: u64, force| Draft {
            lasts: Some(HOUR * 24 * 7 * u32::try_from(weeks).unwrap()),
            force,
            ..draft()
        };
        let error = refused(&weeks(999, Force::No));
        assert_eq!(
            error.to_string(),
            "the silence mutes for 6993 d in all, more than 30 d"
        );
        assert!(matches!(
            refused(&weeks(999, Force::Yes)),
            DraftError::TooLong(..)
        ));
        assert!(weeks(8, Force::Yes).terms(now()).unwrap().is_long());
        assert!(!weeks(1, Force::No).terms(now()).unwrap().is_long());
    }

    #[test]
    fn b10_what_comes_again_counts_as_a_whole() {
        let daily = |hours: u32, rule: &str, force| Draft {
            starts_at: Some(now()),
            lasts: Some(HOUR * hours),
            repeat: Some(SilenceRecurrence {
                rule: rule.to_owned(),
                time_zone: Tz::UTC,
            }),
            force,
            ..draft()
        };
        let error = refused(&daily(24, "FREQ=DAILY", Force::No));
        assert!(matches!(error, DraftError::TooLong(_, LONGEST)), "{error}");
        refused(&daily(2, "FREQ=DAILY", Force::No));
        let forced = daily(2, "FREQ=DAILY", Force::Yes).terms(now()).unwrap();
        assert!(forced.is_long());
        let weekly = daily(1, "FREQ=WEEKLY;COUNT=50", Force::No);
        assert!(!weekly.terms(now()).unwrap().is_long());
        let month = daily(24, "FREQ=DAILY;COUNT=30", Force::No).terms(now());
        assert!(month.unwrap().is_long());
    }

    #[test]
    fn a_silence_says_what_and_why_and_until_when() {
        let with = |change: fn(&mut Draft)| {
            let mut draft = draft();
            change(&mut draft);
            refused(&draft)
        };
        assert_eq!(with(|draft| draft.matchers.clear()), DraftError::NoMatcher);
        assert_eq!(
            with(|draft| draft.matchers = vec!["slo=~.*".to_owned(), "team!=a".to_owned()]),
            DraftError::MatchesEverything
        );
        assert_eq!(
            with(|draft| draft.reason = "\n".to_owned()),
            DraftError::NoReason
        );
        assert_eq!(with(|draft| draft.lasts = None), DraftError::NoEnd);
        assert_eq!(
            with(|draft| draft.ends_at = Some(now() - HOUR)),
            DraftError::EndsBeforeStart
        );
        let over = with(|draft| {
            draft.starts_at = Some(now() - HOUR * 2);
            draft.ends_at = Some(now() - HOUR);
        });
        assert_eq!(over, DraftError::Over);
    }

    #[test]
    fn maintenance_comes_again_by_the_clocks_of_a_place() {
        let mut weekly = Draft {
            starts_at: Timestamp::parse_rfc3339("2026-10-18T02:00:00+02:00"),
            ends_at: Timestamp::parse_rfc3339("2026-10-18T04:00:00+02:00"),
            lasts: None,
            repeat: Some(SilenceRecurrence {
                rule: "FREQ=WEEKLY;COUNT=10".to_owned(),
                time_zone: Tz::Europe__Berlin,
            }),
            ..draft()
        };
        let terms = weekly.terms(now()).unwrap();
        let starts: Vec<String> = terms
            .ranges
            .iter()
            .map(|range| range.from.to_rfc3339())
            .collect();
        assert_eq!(starts.len(), 4, "those that are over are not kept");
        assert_eq!(starts[0], "2026-11-29T01:00:00.000Z", "winter has begun");
        weekly.ends_at = weekly.starts_at.map(|from| from + HOUR * 24 * 8);
        assert_eq!(refused(&weekly), DraftError::Overlaps);
        weekly.repeat = Some(SilenceRecurrence {
            rule: "every sunday".to_owned(),
            time_zone: Tz::UTC,
        });
        assert!(matches!(refused(&weekly), DraftError::Recurrence(_)));
    }
}
