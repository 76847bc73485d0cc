//! The outcomes of a workflow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::model::counts::EventCounts;

/// The outcome of a workflow for an SLO.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not judged yet.
    Open,
    Good,
    /// Bad: finished after the deadline.
    Late,
    /// Bad: ended in failure.
    Failed,
    /// Bad: the deadline passed without evidence of an end. Provisional: an end in time may still
    /// be delivered.
    Timeout,
    /// Not an event: cancelled before the deadline.
    Cancelled,
    /// Not an event: an end whose start never arrived.
    Orphan,
    /// Not an event: the evidence contradicts itself, or exceeds what is stored. [`super::notices`]
    /// say why.
    Invalid,
    /// Not an event: the deadline passed, but spans that end it are sampled, and its end would have
    /// been dropped.
    Unobservable,
    /// Not an event: the deadline passed, but evidence was lost that may have included its end.
    /// Provisional, like a timeout.
    EvidenceLost,
    /// Not an event: its SLO was removed before it ended.
    Unwatched,
    /// Not an event: which of several workflows ended is unknown.
    Ambiguous,
}

impl Outcome {
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Good,
        Self::Late,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
        Self::Orphan,
        Self::Invalid,
        Self::Unobservable,
        Self::EvidenceLost,
        Self::Unwatched,
        Self::Ambiguous,
    ];

    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Late | Self::Failed | Self::Timeout)
    }

    /// Returns the number that represents it in the database.
    pub const fn as_code(self) -> i16 {
        match self {
            Self::Open => 0,
            Self::Good => 1,
            Self::Late => 2,
            Self::Failed => 3,
            Self::Timeout => 4,
            Self::Cancelled => 5,
            Self::Orphan => 6,
            Self::Invalid => 7,
            Self::Unobservable => 8,
            Self::EvidenceLost => 9,
            Self::Unwatched => 10,
            Self::Ambiguous => 11,
        }
    }

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_code() == code)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Good => "good",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Orphan => "orphan",
            Self::Invalid => "invalid",
            Self::Unobservable => "unobservable",
            Self::EvidenceLost => "evidence_lost",
            Self::Unwatched => "unwatched",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// Returns its name for people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Open => "In flight",
            Self::Good => "Good",
            Self::Late => "Late",
            Self::Failed => "Failed",
            Self::Timeout => "Never finished",
            Self::Cancelled => "Cancelled",
            Self::Orphan => "Orphan",
            Self::Invalid => "Invalid",
            Self::Unobservable => "Unobservable",
            Self::EvidenceLost => "Evidence lost",
            Self::Unwatched => "Unwatched",
            Self::Ambiguous => "Ambiguous",
        }
    }

    /// Returns one event of this outcome; zero while open.
    pub const fn counts(self) -> EventCounts {
        let mut counts = EventCounts::ZERO;
        match self {
            Self::Open | Self::Unwatched => {}
            Self::Good => counts.good = 1,
            Self::Late => counts.late = 1,
            Self::Failed => counts.failed = 1,
            Self::Timeout => counts.timeout = 1,
            Self::Cancelled => counts.cancelled = 1,
            Self::Orphan => counts.orphan = 1,
            Self::Invalid => counts.invalid = 1,
            Self::Unobservable => counts.unobservable = 1,
            Self::EvidenceLost => counts.evidence_lost = 1,
            Self::Ambiguous => counts.ambiguous = 1,
        }
        counts
    }
}
