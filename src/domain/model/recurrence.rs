//! When something comes again: recurrence rules of iCalendar (RFC 5545), by the clocks of a place.

use chrono::TimeZone as _;
use rrule::{RRule, RRuleError, RRuleSet, Unvalidated};

use super::time::Timestamp;

/// A rule, and the first time from which it is followed.
#[derive(Clone, Copy, Debug)]
pub struct Recurrence<'a> {
    /// As iCalendar writes it, without `RRULE:`.
    pub rule: &'a str,
    pub from: Timestamp,
    /// The rule keeps the time of day here, whatever the clocks there do.
    pub zone: chrono_tz::Tz,
}

/// How far a rule is followed.
#[derive(Clone, Copy, Debug)]
pub struct RecurrenceLimit {
    /// A rule without an end of its own is cut here.
    pub until: Timestamp,
    /// Occurrences at most.
    pub most: u16,
}

/// Why a rule cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecurrenceError {
    #[error("`{rule}` is no recurrence rule: {reason}")]
    Unreadable { rule: String, reason: String },
    #[error("`{0}` never comes")]
    Never(String),
    #[error("`{rule}` comes more than {most} times")]
    TooOften { rule: String, most: u16 },
}

impl RecurrenceError {
    /// What to write instead.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "write it as iCalendar does: `FREQ=WEEKLY;COUNT=10`, \
                 `FREQ=MONTHLY;BYDAY=1SU;UNTIL=20271231T000000Z`"
            }
            Self::Never(_) | Self::TooOften { .. } => {
                "end it earlier with COUNT or UNTIL, or let it come less often"
            }
        }
    }
}

impl Recurrence<'_> {
    /// Every time that it comes, oldest first; at least one.
    pub fn occurrences(self, reach: RecurrenceLimit) -> Result<Vec<Timestamp>, RecurrenceError> {
        let zone = rrule::Tz::Tz(self.zone);
        let local = |at: Timestamp| zone.from_utc_datetime(&at.to_chrono().naive_utc());
        let rule = self
            .rule
            .parse::<RRule<Unvalidated>>()
            .and_then(|rule| rule.validate(local(self.from)))
            .map_err(|error| RecurrenceError::Unreadable {
                rule: self.rule.to_owned(),
                reason: reason(&error),
            })?;
        let has_end = rule.get_count().is_some() || rule.get_until().is_some();
        let all = RRuleSet::new(local(self.from))
            .rrule(rule)
            .before(local(reach.until))
            .all(reach.most);
        if all.dates.is_empty() {
            return Err(RecurrenceError::Never(self.rule.to_owned()));
        }
        if all.limited && (has_end || all.dates.len() >= usize::from(reach.most)) {
            return Err(RecurrenceError::TooOften {
                rule: self.rule.to_owned(),
                most: reach.most,
            });
        }
        Ok(all.dates.iter().map(|at| at.to_utc().into()).collect())
    }
}

/// The library's words without its prefix, as ours are.
fn reason(error: &RRuleError) -> String {
    let text = match error {
        RRuleError::ParserError(error) => error.to_string(),
        RRuleError::ValidationError(error) => error.to_string(),
        RRuleError::IterError(text) => text.clone(),
    };
    let mut text = text.trim_end().trim_end_matches('.').to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}
