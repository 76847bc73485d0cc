//! The distribution of a workflow's time: waits per queue and processing per service.
//!
//! [`StageEvidence`]s are read from spans, [`break_down`] divides the time from the start of a
//! workflow to its end among [`Stage`]s so that they add up to the whole, and [`StageSums`] adds up
//! many workflows. Stage evidence never affects the verdict: missing evidence only makes a stage
//! less precise.

mod breakdown;
mod hops;
mod room;
mod sums;
#[cfg(test)]
mod tests;

pub use crate::domain::workflow::stage_evidence::{
    FoundStageEvidence, StageEvidence, StageEvidenceId, StageEvidenceKind, deliver_at,
};
pub use breakdown::{
    Breakdown, StageSection, StageTime, Timeline, TimelineEnd, break_down, sections,
};
pub use hops::{HopWait, HopWaits, MAX_SERVICE_PAIRS, ServicePair};
pub use room::{LINKED_SPANS_AN_HOUR, LinkedSpanQuota};
pub use sums::{
    AggregatedStages, KnownStages, MAX_STAGES, StageMean, StageMoves, StageSum, StageSums,
    WhereTimeGoes,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One stage of a workflow. Its kind comes first, so that equal names of different kinds are
/// distinct.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
pub struct Stage {
    pub kind: StageKind,
    /// The queue, the service, or the name in the definition; empty if unknown.
    pub name: String,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// In a queue, until the message is received.
    Wait,
    /// In a queue because the sender requested it: a delivery time in the future.
    Delay,
    /// In processing by a service.
    Processing,
    /// In a pause, which does not count towards the time limit.
    Pause,
    /// In a stage of the definition.
    Declared,
    /// Unknown.
    Other,
    /// All of the time of a workflow whose stages are unknown since it is not in the sample.
    Unsampled,
}

impl StageKind {
    pub const ALL: [Self; 7] = [
        Self::Wait,
        Self::Delay,
        Self::Processing,
        Self::Pause,
        Self::Declared,
        Self::Other,
        Self::Unsampled,
    ];

    /// Returns the number that represents it in the database.
    pub const fn as_code(self) -> i16 {
        match self {
            Self::Wait => 1,
            Self::Delay => 2,
            Self::Processing => 3,
            Self::Pause => 4,
            Self::Declared => 5,
            Self::Other => 6,
            Self::Unsampled => 7,
        }
    }

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_code() == code)
    }
}

impl Stage {
    pub const OTHER: Self = Self {
        kind: StageKind::Other,
        name: String::new(),
    };
    pub const UNSAMPLED: Self = Self {
        kind: StageKind::Unsampled,
        name: String::new(),
    };

    pub fn new(kind: StageKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// Returns its name for people: `wait in orders`, `payment`.
    pub fn title(&self) -> String {
        let or = |unnamed: &str| match self.name.as_str() {
            "" => unnamed.to_owned(),
            name => name.to_owned(),
        };
        match self.kind {
            StageKind::Wait => format!("wait in {}", or("a queue")),
            StageKind::Delay => format!("intended delay in {}", or("a queue")),
            StageKind::Processing => or("a service without a name"),
            StageKind::Pause => "paused".to_owned(),
            StageKind::Declared => self.name.clone(),
            StageKind::Other => "other".to_owned(),
            StageKind::Unsampled => "not in the sample".to_owned(),
        }
    }
}
