//! Details that only some workflows have.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Corrections, JudgingTerms, Legs, Pauses, SharedEnd, StartRemarks, Workflow};
use crate::domain::{
    model::{group::GroupValues, ids::Revision, sampling::Draws, time::Timestamp},
    slo::Completion,
    workflow::attributes::EventAttributes,
};

/// The opening of a workflow by spans other than its start: the workflow starts at the earliest of
/// all of them, and these spans do not count as starts of other runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The earliest time given by such spans.
    pub at: Timestamp,
    /// The earliest time given by start spans; `None` while there are none.
    pub start: Option<Timestamp>,
}

/// Details of a workflow. Empty for most, so that their rows contain none of it. Every field is a
/// join of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// Its pauses.
    #[serde(skip_serializing_if = "Pauses::is_empty")]
    pub pauses: Pauses,
    /// The legs of its fan-out.
    #[serde(skip_serializing_if = "Legs::is_empty")]
    pub legs: Legs,
    /// The terms of its earliest start that has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<JudgingTerms>,
    /// The end assigned by its batch: not the evidence of a span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedEnd>,
    #[serde(skip_serializing_if = "StartRemarks::is_empty")]
    pub starts: StartRemarks,
    /// `None` unless spans other than its start show that it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opening>,
    /// The sampling of its spans.
    #[serde(skip_serializing_if = "Draws::is_empty")]
    pub draws: Draws,
    /// The values of the attributes that its SLO groups by.
    #[serde(skip_serializing_if = "GroupValues::is_empty")]
    pub group: GroupValues,
    /// True if it is unknown which of several workflows it is evidence for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_ambiguous: bool,
    /// Set only for workflows that may belong to the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<EventAttributes>,
    /// Verdicts that were replaced: not the evidence of a span.
    #[serde(skip_serializing_if = "Corrections::is_empty")]
    pub corrections: Corrections,
    /// The workflow as seen by the other revisions of its definition, by which it is not judged.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_revisions: BTreeMap<Revision, Workflow>,
}

impl Details {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the details of `other` by the same revision.
    pub fn join(&mut self, other: &Self) {
        self.pauses.join(&other.pauses);
        self.legs.join(&other.legs);
        self.group.join(&other.group);
        self.draws.join(&other.draws);
        self.starts.join(&other.starts);
        self.corrections.join(&other.corrections);
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

    /// Returns the terms of the start at `start`, if they are not the usual ones.
    pub fn terms_of(&self, start: Timestamp) -> Option<JudgingTerms> {
        self.terms.filter(|terms| terms.of == start)
    }

    /// Returns the deadline of the workflow that started at `start`, extended by its pauses; too
    /// many pauses count as none.
    pub fn deadline(&self, start: Timestamp, within: Duration) -> Timestamp {
        self.pauses
            .union()
            .unwrap_or_default()
            .deadline(start, within)
    }

    /// Returns how many of its legs must succeed for the workflow that started at `start`. If it
    /// started without legs and a later definition introduced them, all of them must.
    pub(in crate::domain::workflow) fn completion(&self, start: Timestamp) -> Completion {
        self.terms_of(start)
            .and_then(|terms| terms.complete)
            .unwrap_or(Completion::Any)
    }
}
