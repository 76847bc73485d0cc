//! How rules stand at one moment, and what is known of the counts behind them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{
    model::{counts::EventCounts, ids::Name},
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
    pub condition: BurnCondition,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowStatus {
    #[serde(rename = "seconds")]
    pub secs: u64,
    pub counts: EventCounts,
    /// `None` without events.
    pub burn_rate: Option<f64>,
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
