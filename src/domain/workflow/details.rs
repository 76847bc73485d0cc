//! What only some workflows have.

use serde::{Deserialize, Serialize};

use super::Intervals;

/// Empty for most workflows, so that their rows carry none of it. Every part is a join of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// When it was paused.
    #[serde(skip_serializing_if = "Intervals::is_empty")]
    pub pauses: Intervals,
}

impl Details {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` knows.
    pub fn join(&mut self, other: &Self) {
        self.pauses.join(&other.pauses);
    }
}
