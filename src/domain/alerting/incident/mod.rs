//! An incident: one episode of an alert with all that came of it, as it is told long after.
//!
//! Its facts are frozen with its transitions. What is added here are the counts around it
//! ([`IncidentSnapshot`]), who has taken it on, and how long it took to find.

mod beginning;
mod picture;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use beginning::{RuleWindows, beginning, range_of_search};
pub use picture::{IncidentSnapshot, SnapshotPlan};

use crate::domain::model::time::Timestamp;

/// Somebody has taken an incident on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub at: Timestamp,
    /// As far as somebody vouches for it.
    pub by: Option<String>,
}

/// What somebody wrote on the page of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentNote {
    pub id: Uuid,
    pub at: Timestamp,
    pub by: Option<String>,
    pub text: String,
}
