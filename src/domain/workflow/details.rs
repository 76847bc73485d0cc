//! What only some workflows have.

use serde::{Deserialize, Serialize};

use super::Intervals;
use crate::domain::attributes::Attributes;

/// Empty for most workflows, so that their rows carry none of it. Every part is a join of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// When it was paused.
    #[serde(skip_serializing_if = "Intervals::is_empty")]
    pub pauses: Intervals,
    /// Only of those that may belong to the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
}

impl Details {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` knows.
    pub fn join(&mut self, other: &Self) {
        self.pauses.join(&other.pauses);
        if let Some(theirs) = &other.attributes {
            self.attributes
                .get_or_insert_with(Attributes::default)
                .join(theirs);
        }
    }
}
