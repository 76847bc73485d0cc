//! Evidence joined by the event that it belongs to.

use std::collections::BTreeMap;

use super::{Deadline, EventKey, Evidence, Workflow};
use crate::domain::model::{ids::SloId, time::Timestamp};

/// The identity of an event.
pub type EventId = (SloId, EventKey);

/// Evidence joined by event, in the order in which rows are locked.
pub type EvidenceByEvent = BTreeMap<EventId, Workflow>;

/// Joins the evidence of each event.
pub fn gather<'a>(evidence: impl IntoIterator<Item = &'a Evidence>) -> EvidenceByEvent {
    let mut gathered = EvidenceByEvent::new();
    let workflows = evidence
        .into_iter()
        .map(|piece| ((piece.slo, piece.key), Workflow::from(piece)));
    join(&mut gathered, workflows);
    gathered
}

/// Adds the evidence of more events, or more evidence of the same events.
pub fn join(gathered: &mut EvidenceByEvent, more: impl IntoIterator<Item = (EventId, Workflow)>) {
    for (id, workflow) in more {
        gathered
            .entry(id)
            .and_modify(|known| known.join(&workflow))
            .or_insert(workflow);
    }
}

/// Returns whether any of these verdicts may depend on the absence of an end: only then does the
/// sampling of ends matter. A workflow that is stored already may have a start that is not among
/// these.
pub fn may_time_out(gathered: &EvidenceByEvent, watermark: Timestamp) -> bool {
    gathered.values().any(|workflow| {
        let has_end = workflow.success.is_some() || workflow.failure.is_some();
        !has_end
            && match workflow.start {
                Some(start) => match start.deadline {
                    Deadline::Within(within) => start.at + within <= watermark,
                    Deadline::OneSpan => false,
                },
                None => true,
            }
    })
}
