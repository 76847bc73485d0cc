//! Messages that were published together and share one context: only their consumers tell them apart.
//!
//! The publication starts as many workflows as it says it has messages, and names none of them. They
//! are numbered; a message takes the next number when it is first heard of. As all of them start
//! alike, it does not matter which message has which, and those that nobody hears of time out.

use std::collections::BTreeMap;

use super::{EventKey, EvidenceByEvent, Workflow, join, message_key};
use crate::domain::model::{ids::SloId, span::SpanRef};

/// Messages of one publication that are started; a batch has some hundreds at most.
pub const MAX_MESSAGES: u32 = 1_000;

/// What one span says of messages that share a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPiece {
    pub slo: SloId,
    /// The span that published them.
    pub context: SpanRef,
    pub what: BatchFact,
    pub said: Workflow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFact {
    /// So many were published, at most [`MAX_MESSAGES`].
    Published { messages: u32 },
    /// This one was received.
    Received { message: EventKey },
}

/// What is known of one publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// How many messages there are, and what is said of each of them.
    pub published: Option<(u32, Workflow)>,
    /// The number of each message that was heard of, counted from 1.
    pub slots: BTreeMap<EventKey, u32>,
}

impl Publication {
    /// Adds a piece and returns what it says of which workflows.
    pub fn take(&mut self, piece: &BatchPiece) -> EvidenceByEvent {
        let mut gathered = EvidenceByEvent::new();
        let (slots, said) = match piece.what {
            BatchFact::Published { messages } => {
                let published = self.publish(messages, &piece.said);
                let heard_of = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                (1..=published.max(heard_of), None)
            }
            BatchFact::Received { message } => {
                let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                let slot = *self.slots.entry(message).or_insert(next.saturating_add(1));
                (slot..=slot, Some(&piece.said))
            }
        };
        for slot in slots {
            let id = (piece.slo, message_key(piece.context, slot));
            let start = self.start(piece.context, slot);
            let pieces = start.into_iter().chain(said.cloned());
            join(&mut gathered, pieces.map(|said| (id, said)));
        }
        gathered
    }

    /// The workflow of a message that was taken; `None` of a publication, which has many.
    pub fn key_of(&self, piece: &BatchPiece) -> Option<EventKey> {
        match piece.what {
            BatchFact::Published { .. } => None,
            BatchFact::Received { message } => {
                let slot = self.slots.get(&message)?;
                Some(message_key(piece.context, *slot))
            }
        }
    }

    /// Adds what a publication says and returns how many messages it has.
    pub fn publish(&mut self, messages: u32, said: &Workflow) -> u32 {
        let (known, workflow) = self
            .published
            .get_or_insert_with(|| (messages, said.clone()));
        *known = messages.max(*known);
        workflow.join(said);
        *known
    }

    /// What the publication says of one message. Its label gives way to the id of a message.
    fn start(&self, context: SpanRef, slot: u32) -> Option<Workflow> {
        let (messages, said) = self.published.as_ref()?;
        Some(Workflow {
            label: format!("~ {slot} of {messages} published by {}", context.span_id),
            ..said.clone()
        })
    }
}
