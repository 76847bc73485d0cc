//! An incident: one episode of an alert with everything that belongs to it, for a later review.
//!
//! The snapshots of its transitions are immutable. This module adds the counts around it
//! ([`IncidentSnapshot`]), its acknowledgement, and its notes.

mod beginning;
mod snapshot;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use beginning::{MissingEnds, RuleWindows, beginning, range_of_search};
pub use snapshot::{IncidentSnapshot, SnapshotPlan};

use crate::domain::model::time::Timestamp;

/// The acknowledgement of an incident by a person.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub at: Timestamp,
    /// The person, if their identity is known.
    pub by: Option<String>,
}

/// A note that a person wrote on the page of an incident.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct IncidentNote {
    pub id: Uuid,
    pub at: Timestamp,
    pub by: Option<String>,
    pub text: String,
}
