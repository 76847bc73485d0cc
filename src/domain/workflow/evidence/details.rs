//! What only some workflows have.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{JudgingTerms, Legs, Pauses, SharedEnd, StartRemarks, Workflow};
use crate::domain::{
    model::{group::GroupValues, ids::Revision, sampling::Draws, time::Timestamp},
    slo::Completion,
    workflow::attributes::EventAttributes,
};

/// When spans other than the start say that a workflow exists: its start is the earliest of all, and these
/// are no starts of other runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The earliest that such spans say.
    pub at: Timestamp,
    /// The earliest that start spans say; `None` while there are none.
    pub start: Option<Timestamp>,
}

/// Empty for most workflows, so that their rows carry none of it. Every part is a join of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// When it was paused.
    #[serde(skip_serializing_if = "Pauses::is_empty")]
    pub pauses: Pauses,
    /// What it fans out into.
    #[serde(skip_serializing_if = "Legs::is_empty")]
    pub legs: Legs,
    /// Those of the earliest start that has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<JudgingTerms>,
    /// What the batch that it went through gives it: no evidence of a span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedEnd>,
    #[serde(skip_serializing_if = "StartRemarks::is_empty")]
    pub starts: StartRemarks,
    /// `None` unless spans other than its start say that it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opening>,
    /// How likely its spans were kept.
    #[serde(skip_serializing_if = "Draws::is_empty")]
    pub draws: Draws,
    /// What it says of the attributes that its SLO groups by.
    #[serde(skip_serializing_if = "GroupValues::is_empty")]
    pub group: GroupValues,
    /// Which of several workflows it is evidence for is unknown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_ambiguous: bool,
    /// Only of those that may belong to the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<EventAttributes>,
    /// The workflow as the other revisions of its definition see it, by which it is not judged.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_revisions: BTreeMap<Revision, Workflow>,
}

impl Details {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` knows by the same revision.
    pub fn join(&mut self, other: &Self) {
        self.pauses.join(&other.pauses);
        self.legs.join(&other.legs);
        self.group.join(&other.group);
        self.draws.join(&other.draws);
        self.starts.join(&other.starts);
        self.shared = self.shared.max(other.shared);
        self.is_ambiguous |= other.is_ambiguous;
        if let Some(theirs) = &other.attributes {
            self.attributes
                .get_or_insert_with(EventAttributes::default)
                .join(theirs);
        }
        self.terms = match (self.terms, other.terms) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// The terms of the start at `start`, if they are not the usual ones.
    pub fn terms_of(&self, start: Timestamp) -> Option<JudgingTerms> {
        self.terms.filter(|terms| terms.of == start)
    }

    /// Until when the workflow that started at `start` may end, its pauses not counted; as if it had
    /// none where they are too many.
    pub fn deadline(&self, start: Timestamp, within: Duration) -> Timestamp {
        self.pauses
            .union()
            .unwrap_or_default()
            .deadline(start, within)
    }

    /// How many of its legs the workflow that started at `start` waits for. Legs that were told of
    /// under a later definition, though it started without, complete it one and all.
    pub(in crate::domain::workflow) fn completion(&self, start: Timestamp) -> Completion {
        self.terms_of(start)
            .and_then(|terms| terms.complete)
            .unwrap_or(Completion::Any)
    }
}
