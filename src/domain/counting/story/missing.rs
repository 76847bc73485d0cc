//! The expected steps of a workflow that did not happen, as far as known.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use serde::Serialize;

use super::StoryEvidence;
use crate::domain::{
    model::{format, time::Timestamp},
    workflow::{SharedEnd, stage_evidence::StageEvidenceKind},
};

/// Something that a workflow without a success lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "missing", rename_all = "snake_case")]
pub enum MissingStep {
    /// Ends are known, but no start.
    Start,
    /// A message was sent, and no span shows that it was received.
    Delivery { queue: String, since: Timestamp },
    /// Fewer legs have succeeded than are expected.
    Legs { succeeded: usize, expected: u32 },
    /// No span ended it.
    End,
}

pub(super) fn missing(known: &StoryEvidence<'_>) -> Vec<MissingStep> {
    let workflow = known.workflow;
    let mut missing = Vec::new();
    if workflow.start.is_none() {
        missing.push(MissingStep::Start);
    }
    if workflow.success.is_some() {
        return missing;
    }
    missing.extend(deliveries(known));
    let legs = &workflow.details.legs;
    let succeeded = legs.ends().filter(|(_, success, _)| success.is_some());
    let succeeded = succeeded.count();
    if let Some(expected) = legs.expected()
        && u32::try_from(succeeded).is_ok_and(|succeeded| succeeded < expected)
    {
        missing.push(MissingStep::Legs {
            succeeded,
            expected,
        });
    }
    let ends = [workflow.failure, workflow.late, workflow.cancelled];
    let shared = workflow.details.shared.and_then(SharedEnd::at);
    if ends.iter().all(Option::is_none) && shared.is_none() && legs.is_empty() {
        missing.push(MissingStep::End);
    }
    missing
}

fn deliveries(known: &StoryEvidence<'_>) -> impl Iterator<Item = MissingStep> {
    let of = |kind| known.pieces.iter().filter(move |piece| piece.kind == kind);
    let sent: BTreeSet<_> = of(StageEvidenceKind::Producer)
        .filter(|sent| {
            let mut received = of(StageEvidenceKind::Consumer);
            !received.any(|one| one.may_share_queue(sent) && one.to >= sent.from)
        })
        .map(|sent| (sent.from, &sent.name))
        .collect();
    let missing = sent
        .into_iter()
        .map(|(since, queue)| MissingStep::Delivery {
            queue: queue.clone(),
            since,
        });
    missing.collect::<Vec<_>>().into_iter()
}

impl MissingStep {
    /// Describes it in one sentence, with times in `zone`.
    pub fn text(&self, zone: Tz) -> String {
        match self {
            Self::Start => "No start span was received.".to_owned(),
            Self::Delivery { queue, since } => {
                let queue = match queue.as_str() {
                    "" => "a queue".to_owned(),
                    name => format!("`{name}`"),
                };
                let since = format::clock(*since, zone);
                format!("The message sent to {queue} at {since} was not received.")
            }
            Self::Legs {
                succeeded,
                expected,
            } => format!("{succeeded} of {expected} legs have succeeded."),
            Self::End => "No span has ended it.".to_owned(),
        }
    }
}
