//! Messages that were sent and received: which delivery is of which message, and how long it waited.

use std::collections::{BTreeMap, BTreeSet};

use super::{StoryEvent, StoryStep};
use crate::domain::{
    model::time::Timestamp,
    workflow::stage_evidence::{StageEvidence, StageEvidenceKind},
};

pub(super) fn sent_and_received(pieces: &[StageEvidence]) -> Vec<StoryEvent> {
    let pieces: BTreeSet<&StageEvidence> = pieces.iter().collect();
    let of = |kind| {
        pieces
            .iter()
            .copied()
            .filter(move |piece| piece.kind == kind)
    };
    let messages: Vec<&StageEvidence> = of(StageEvidenceKind::Producer).collect();
    let sent = messages.iter().map(|message| {
        let step = StoryStep::Sent {
            queue: message.name.clone(),
            service: message.service.clone(),
            deliver_at: message.deliver_at,
        };
        event(message, step)
    });
    let mut events: Vec<StoryEvent> = sent.collect();
    let mut deliveries: Vec<&StageEvidence> = of(StageEvidenceKind::Consumer).collect();
    deliveries.sort_by_key(|delivery| (delivery.from, *delivery));
    // The number of deliveries of each message so far, and when the last was over.
    let mut earlier: BTreeMap<(&str, Option<&StageEvidence>), (u32, Timestamp)> = BTreeMap::new();
    for delivery in deliveries {
        let message = message_of(delivery, &messages);
        let before = earlier.get(&(delivery.name.as_str(), message)).copied();
        let number = before.map_or(1, |(number, _)| number + 1);
        let since = before.map(|(_, over)| over.min(delivery.from));
        let since = since.or_else(|| message.map(|message| message.from));
        earlier.insert((&delivery.name, message), (number, delivery.to));
        events.push(event(
            delivery,
            StoryStep::Received {
                queue: delivery.name.clone(),
                service: delivery.service.clone(),
                delivery: number,
                wait_us: since.map(|since| delivery.from.micros_since(since)),
            },
        ));
    }
    events
}

/// Returns the message that was delivered: the last one that was sent before to a queue of this name,
/// or to one that a span does not name. If none was, clocks differ, and it is the first one that was
/// sent after.
fn message_of<'a>(
    delivery: &StageEvidence,
    messages: &[&'a StageEvidence],
) -> Option<&'a StageEvidence> {
    let of = |is_meant: fn(&StageEvidence, &StageEvidence) -> bool| -> Vec<&'a StageEvidence> {
        let meant = messages
            .iter()
            .filter(|message| is_meant(message, delivery));
        meant.copied().collect()
    };
    let mut messages = of(|message, delivery| message.name == delivery.name);
    if messages.is_empty() {
        messages = of(StageEvidence::may_share_queue);
    }
    let sent_before = messages
        .iter()
        .filter(|message| message.from <= delivery.from);
    let last = sent_before.max_by_key(|message| (message.from, **message));
    let first = || {
        messages
            .iter()
            .min_by_key(|message| (message.from, **message))
    };
    last.or_else(first).copied()
}

fn event(piece: &StageEvidence, step: StoryStep) -> StoryEvent {
    StoryEvent {
        at: piece.from,
        ended_at: (piece.to > piece.from).then_some(piece.to),
        step,
        trace_id: Some(piece.trace_id),
        is_error: piece.is_error,
    }
}
