//! How rules stand at one moment, and what is known of the counts behind them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    burn_rate::{BurnContext, BurnRate, BurnRates},
    end_shortfall::EndShortfall,
};
use crate::domain::{
    model::{counts::EventCounts, format, ids::Name},
    slo::{Severity, whole_seconds},
};

/// Events by look-back: every length that an SLO's rules ask for.
pub type CountsByLength = BTreeMap<Duration, EventCounts>;

/// Whether the counts can be relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    /// Ingest is not known to have been healthy until just now, so events may lack.
    Stale,
    /// They cannot be true: fewer than none, or more bad ones than there are.
    Absurd,
}

/// A short window is clear below this share of the factor, so that a rate around the factor does not
/// fire and resolve in turns.
pub(super) const CLEAR_SHARE: f64 = 0.9;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStatus {
    pub name: Name,
    pub severity: Severity,
    pub factor: f64,
    /// For how long it must burn before people are told.
    #[serde(default, rename = "for_seconds", with = "whole_seconds")]
    pub pending_for: Duration,
    pub long: WindowStatus,
    pub short: WindowStatus,
    /// The burn rates if all that cannot be used is bad; `None` where there is no such event. Those of
    /// the windows count it as good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_worst: Option<BurnRates>,
    pub condition: BurnCondition,
}

/// A look-back window of a rule, what was counted in it, and how fast that burns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowStatus {
    #[serde(rename = "seconds")]
    pub secs: u64,
    /// Seconds since the first event of the SLO, where that is less than the window is long.
    #[serde(
        default,
        rename = "seconds_since_first_event",
        skip_serializing_if = "Option::is_none"
    )]
    pub since_first_event_secs: Option<u64>,
    pub counts: EventCounts,
    /// Where ends are held against expectation, and lack; those that do are among the timeouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_missing: Option<EndShortfall>,
    /// `None` without events.
    pub burn_rate: Option<f64>,
}

impl WindowStatus {
    /// A window that lies after the first event of the SLO.
    pub const fn new(secs: u64, counts: EventCounts, burn_rate: Option<f64>) -> Self {
        Self {
            secs,
            since_first_event_secs: None,
            counts,
            ends_missing: None,
            burn_rate,
        }
    }

    /// The window of this length at the moment of `burn`.
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

    /// The time that the counts are of, as it follows "in" or "over": `1 h`, or
    /// `the 20 s since the first event`. Never longer than events can have come.
    pub fn text(&self) -> String {
        match self.since_first_event_secs {
            None => format::window(self.secs),
            Some(secs) => format::since_first_event(secs),
        }
    }

    /// The same with its end: `the last 1 h`.
    pub fn lately(&self) -> String {
        match self.since_first_event_secs {
            None => format!("the last {}", format::window(self.secs)),
            Some(_) => self.text(),
        }
    }
}

impl RuleStatus {
    /// `27× over 1 h and 24× over 5 min, limit 14.4×`.
    pub fn sentence(&self) -> String {
        burn_sentence(&self.long, &self.short, self.factor)
    }
}

/// Both windows of a rule, and the factor that they are compared with.
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

/// What one rule says of its two windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BurnCondition {
    /// Both windows at or over the factor, and enough bad events.
    Burning,
    /// Only the short window.
    Rising,
    /// Only the long window.
    Recovering,
    /// Both windows at or over the factor, but too few bad events to tell anything.
    TooFew,
    Quiet,
    /// The first event of the SLO is more recent than the short window is long: both windows see the
    /// same few moments, so nothing can be concluded.
    TooYoung,
    /// It burns if the events that cannot be used are bad, and does not if they are good.
    InDoubt,
    /// Neither window has an event.
    NoData,
}

/// What is not there of the data that a verdict needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Events of this SLO.
    Events,
    /// Ingest as a whole: what this service should have received.
    Ingest,
    /// Counts that make sense.
    #[serde(rename = "consistent_counts")]
    Sense,
}
