//! Recurrence rules of iCalendar (RFC 5545), in a time zone.

use chrono::TimeZone as _;
use rrule::{RRule, RRuleError, RRuleSet, Unvalidated};

use super::time::Timestamp;

/// A rule, and the first time from which it applies.
#[derive(Clone, Copy, Debug)]
pub struct Recurrence<'a> {
    /// The text of the rule in iCalendar's syntax, without `RRULE:`.
    pub rule: &'a str,
    pub from: Timestamp,
    /// The time zone in which the rule keeps its time of day across changes of the clocks.
    pub zone: chrono_tz::Tz,
}

/// The limits of expanding a rule.
#[derive(Clone, Copy, Debug)]
pub struct RecurrenceLimit {
    /// A rule without an end of its own ends here.
    pub until: Timestamp,
    /// The maximum number of occurrences.
    pub most: u16,
}

/// The reason why a rule cannot be used.
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
    /// Returns how to correct it.
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
    /// Returns every occurrence, oldest first; at least one.
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

/// Returns the library's text without its prefix, to match the other errors.
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
