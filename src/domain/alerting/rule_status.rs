//! The status of rules at one moment, and the reliability of the counts behind them.

use std::{collections::BTreeMap, time::Duration};

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    burn_rate::{BurnContext, BurnRate, BurnRates},
    end_shortfall::EndShortfall,
};
use crate::domain::{
    model::{counts::EventCounts, format, ids::Name, time::Timestamp},
    slo::{Severity, whole_seconds},
};

/// Events by look-back, for every length that an SLO's rules use.
pub type CountsByLength = BTreeMap<Duration, EventCounts>;

/// The reliability of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    /// Ingest is not known to have been healthy until now, so events may be missing.
    Stale,
    /// They are inconsistent: negative, or with more bad events than events.
    Inconsistent,
}

/// A short window is clear below this share of the factor, so that a rate around the factor does
/// not fire and resolve in turns.
pub(super) const CLEAR_SHARE: f64 = 0.9;

#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RuleStatus {
    pub name: Name,
    pub severity: Severity,
    pub factor: f64,
    /// The time for which it must burn before a notification.
    #[serde(default, rename = "for_seconds", with = "whole_seconds")]
    #[schemars(with = "u64")]
    pub pending_for: Duration,
    pub long: WindowStatus,
    pub short: WindowStatus,
    /// The burn rates with all unusable events counted as bad; `None` if there are none. Those of
    /// the windows count them as good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_worst: Option<BurnRates>,
    pub condition: BurnCondition,
}

/// A look-back window of a rule, with its counts and its burn rate.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WindowStatus {
    #[serde(rename = "seconds")]
    pub secs: u64,
    /// Seconds since the first event of the SLO, if that is less than the length of the window.
    #[serde(
        default,
        rename = "seconds_since_first_event",
        skip_serializing_if = "Option::is_none"
    )]
    pub since_first_event_secs: Option<u64>,
    /// The end of the window, if that is not the moment of the evaluation: the time until which all
    /// timeouts are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_until: Option<Timestamp>,
    pub counts: EventCounts,
    /// Set if ends are missing from a window with expected ends; the missing ones are counted among
    /// the timeouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_missing: Option<EndShortfall>,
    /// `None` without events.
    pub burn_rate: Option<f64>,
}

impl WindowStatus {
    /// Makes a window that lies after the first event of the SLO.
    pub const fn new(secs: u64, counts: EventCounts, burn_rate: Option<f64>) -> Self {
        Self {
            secs,
            since_first_event_secs: None,
            settled_until: None,
            counts,
            ends_missing: None,
            burn_rate,
        }
    }

    /// Makes the window of this length at the moment of `burn`.
    pub(super) fn of(
        length: Duration,
        counts: EventCounts,
        rate: Option<BurnRate>,
        burn: &BurnContext,
    ) -> Self {
        Self {
            since_first_event_secs: burn
                .is_younger_than(length)
                .then_some(burn.observed.as_secs()),
            ..Self::new(length.as_secs(), counts, rate.map(BurnRate::value))
        }
    }

    pub const fn length(&self) -> Duration {
        Duration::from_secs(self.secs)
    }

    /// Returns the burn rate for comparisons; `None` without events.
    pub(super) fn rate(&self) -> Option<BurnRate> {
        BurnRate::of_value(self.burn_rate?)
    }

    /// Formats the time range of the counts, to follow "in" or "over": `1 h`, `the 20 s since the
    /// first event` or `the 1 h until 16:30 UTC`. Never longer than the time in which events are
    /// possible.
    pub fn text(&self) -> String {
        let length = match self.since_first_event_secs {
            None => format::window(self.secs),
            Some(secs) => format::since_first_event(secs),
        };
        let Some(end) = self.settled_until else {
            return length;
        };
        let article = if self.since_first_event_secs.is_some() {
            ""
        } else {
            "the "
        };
        format!(
            "{article}{length} until {}",
            format::time_of_day(end, Tz::UTC)
        )
    }

    /// Formats `200 of 2,000 bad in the last 1 h`.
    pub fn bad_sentence(&self) -> String {
        format!(
            "{} of {} bad in {}",
            format::count(self.counts.bad()),
            format::count(self.counts.total()),
            self.lately()
        )
    }

    /// Formats the time range with its end: `the last 1 h`.
    pub fn lately(&self) -> String {
        match (self.since_first_event_secs, self.settled_until) {
            (None, None) => format!("the last {}", format::window(self.secs)),
            _ => self.text(),
        }
    }
}

/// Returns the rule that fired, or else the first of the most severe ones: a burn rate is shown
/// beside its factor.
pub fn leading_rule<'a>(rules: &'a [RuleStatus], fired: Option<&Name>) -> Option<&'a RuleStatus> {
    let of_fired = fired.and_then(|name| rules.iter().find(|rule| rule.name == *name));
    let mut paging = rules.iter().filter(|rule| rule.severity == Severity::Page);
    of_fired.or_else(|| paging.next()).or_else(|| rules.first())
}

impl RuleStatus {
    /// Returns the same status, of windows that end at `at`.
    #[must_use]
    pub(super) fn settled_at(mut self, at: Timestamp) -> Self {
        for window in [&mut self.long, &mut self.short] {
            window.settled_until = Some(at);
        }
        self
    }

    /// Formats `27× over 1 h and 24× over 5 min, limit 14.4×`.
    pub fn sentence(&self) -> String {
        burn_sentence(&self.long, &self.short, self.factor)
    }
}

/// Formats both windows of a rule, and the factor that they are compared with.
pub fn burn_sentence(long: &WindowStatus, short: &WindowStatus, factor: f64) -> String {
    let one = |window: &WindowStatus| {
        let length = window.text();
        match window.burn_rate {
            Some(rate) => format!("{} over {length}", format::burn_rate(rate, factor)),
            None => format!("nothing over {length}"),
        }
    };
    let factor = format::factor(factor);
    format!("{} and {}, limit {factor}", one(long), one(short))
}

/// The result of one rule's two windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BurnCondition {
    /// Both windows at or above the factor, and enough bad events.
    Burning,
    /// Only the short window.
    Rising,
    /// Only the long window.
    Recovering,
    /// Both windows at or above the factor, but too few bad events to mean anything.
    TooFew,
    Quiet,
    /// The first event of the SLO is more recent than the length of the short window: both windows
    /// contain the same few moments, so nothing can be concluded.
    TooYoung,
    /// It burns with unusable events counted as bad, and does not with them counted as good.
    InDoubt,
    /// Neither window has an event.
    NoData,
}

/// The missing input of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Events of this SLO.
    Events,
    /// Ingest as a whole: the spans that this service should have received.
    Ingest,
    /// Consistent counts.
    ConsistentCounts,
}
