//! Messages that were published together and share one context: only their consumers distinguish
//! them.
//!
//! The publication starts as many workflows as it has messages, without naming them. They are
//! numbered; a message gets the next number when its first evidence arrives. As all of them start
//! alike, it does not matter which message has which number, and those without further evidence
//! time out.

use std::collections::BTreeMap;

use super::{EventKey, EvidenceByEvent, Workflow, join, message_key};
use crate::domain::model::{ids::SloId, span::SpanRef};

/// The limit of workflows started by one publication; a batch has some hundreds of messages at
/// most.
pub const MAX_MESSAGES: u32 = 1_000;

/// Evidence of one span about messages that share a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEvidence {
    pub slo: SloId,
    /// The span that published them.
    pub context: SpanRef,
    pub what: BatchFact,
    pub evidence: Workflow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFact {
    /// This many were published, at most [`MAX_MESSAGES`].
    Published { messages: u32 },
    /// This one was received.
    Received { message: EventKey },
}

/// Everything that is known about one publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The number of its messages, and the evidence for each of them.
    pub published: Option<(u32, Workflow)>,
    /// The number of each message with evidence, counted from 1.
    pub slots: BTreeMap<EventKey, u32>,
}

impl Publication {
    /// Adds a fact and returns the evidence for workflows that follows from it.
    pub fn take(&mut self, piece: &BatchEvidence) -> EvidenceByEvent {
        let mut gathered = EvidenceByEvent::new();
        let (slots, evidence) = match piece.what {
            BatchFact::Published { messages } => {
                let published = self.publish(messages, &piece.evidence);
                let heard_of = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                (1..=published.max(heard_of), None)
            }
            BatchFact::Received { message } => {
                let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                let slot = *self.slots.entry(message).or_insert(next.saturating_add(1));
                (slot..=slot, Some(&piece.evidence))
            }
        };
        for slot in slots {
            let id = (piece.slo, message_key(piece.context, slot));
            let start = self.start(piece.context, slot);
            let pieces = start.into_iter().chain(evidence.cloned());
            join(&mut gathered, pieces.map(|evidence| (id, evidence)));
        }
        gathered
    }

    /// Returns the workflow of a message that was received; `None` for a publication, which has
    /// many.
    pub fn key_of(&self, piece: &BatchEvidence) -> Option<EventKey> {
        match piece.what {
            BatchFact::Published { .. } => None,
            BatchFact::Received { message } => {
                let slot = self.slots.get(&message)?;
                Some(message_key(piece.context, *slot))
            }
        }
    }

    /// Adds the evidence of a publication and returns how many messages it has.
    pub fn publish(&mut self, messages: u32, evidence: &Workflow) -> u32 {
        let (known, workflow) = self
            .published
            .get_or_insert_with(|| (messages, evidence.clone()));
        *known = messages.max(*known);
        workflow.join(evidence);
        *known
    }

    /// Returns the publication's evidence for one message. The label is replaced once the id of the
    /// message is known.
    fn start(&self, context: SpanRef, slot: u32) -> Option<Workflow> {
        let (messages, evidence) = self.published.as_ref()?;
        Some(Workflow {
            label: format!("~ {slot} of {messages} published by {}", context.span_id),
            ..evidence.clone()
        })
    }
}
