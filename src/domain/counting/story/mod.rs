//! The story of one workflow: its steps in the order of time, from all stored evidence.

mod messages;
mod missing;
mod rule;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

pub use self::{missing::MissingStep, rule::verdict_rule};
use crate::domain::{
    model::{
        ids::TraceId,
        time::{TimeRange, Timestamp},
    },
    workflow::{
        Deadline, LegId, SharedEnd, Workflow,
        stage_evidence::{StageEvidence, StageEvidenceKind},
    },
};

/// All stored evidence of one workflow.
#[derive(Clone, Copy, Debug)]
pub struct StoryEvidence<'a> {
    pub workflow: &'a Workflow,
    pub pieces: &'a [StageEvidence],
    pub linked: &'a [LinkedEvidence],
}

/// The evidence of one span that links assigned to the workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedEvidence {
    pub trace_id: TraceId,
    /// The evidence, as a workflow without any other evidence.
    pub evidence: Workflow,
}

/// One thing that happened, or the deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
pub struct StoryEvent {
    pub at: Timestamp,
    /// The end of it; `None` for an instant.
    pub ended_at: Option<Timestamp>,
    #[serde(flatten)]
    pub step: StoryStep,
    /// The trace of the span, if it is stored.
    pub trace_id: Option<TraceId>,
    /// True if the status of its span is an error.
    pub is_error: bool,
}

/// One step of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum StoryStep {
    Started,
    /// A message was sent.
    Sent {
        queue: String,
        service: String,
        /// The requested delivery time, if not at once.
        deliver_at: Option<Timestamp>,
    },
    /// A message was received and processed.
    Received {
        queue: String,
        service: String,
        /// The number of the delivery; above 1 for a message that was delivered again.
        delivery: u32,
        /// The time since it was sent, or since the delivery before. Negative if the clocks differ;
        /// `None` if the time of sending is unknown.
        #[serde(rename = "wait_seconds", serialize_with = "as_seconds")]
        #[schemars(with = "Option<f64>")]
        wait_us: Option<i64>,
    },
    /// A stage of the definition, by the span that defines it.
    Stage {
        stage: String,
    },
    StageBegan {
        stage: String,
    },
    StageEnded {
        stage: String,
    },
    Paused,
    LegSucceeded {
        leg: usize,
    },
    LegFailed {
        leg: usize,
    },
    Succeeded,
    Failed,
    /// The one span of the event is not good, although it did not fail.
    NotGood,
    Cancelled,
    /// The deadline passed, or will pass.
    Deadline,
}

impl StoryStep {
    /// Returns how long a message that was received had waited.
    pub const fn wait_us(&self) -> Option<i64> {
        if let Self::Received { wait_us, .. } = self {
            *wait_us
        } else {
            None
        }
    }
}

/// The steps in the order of time, and the missing ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowStory {
    pub events: Vec<StoryEvent>,
    pub missing: Vec<MissingStep>,
}

impl WorkflowStory {
    /// Makes the story. Neither the order of the pieces nor duplicates of them matter.
    pub fn new(known: StoryEvidence<'_>) -> Self {
        let mut events = of_workflow(&known);
        events.extend(messages::sent_and_received(known.pieces));
        events.extend(known.pieces.iter().filter_map(declared));
        events.sort();
        events.dedup();
        Self {
            events,
            missing: missing::missing(&known),
        }
    }

    /// Returns the minimum difference between clocks: the largest time by which a message was
    /// received before it was sent.
    pub fn clock_skew_us(&self) -> Option<i64> {
        let waits = self.events.iter().filter_map(|event| event.step.wait_us());
        waits.min().filter(|wait| *wait < 0).map(|wait| -wait)
    }

    /// Returns the traces that spans of the workflow are in, in the order of their first step.
    pub fn traces(&self, known: &StoryEvidence<'_>) -> Vec<TraceId> {
        let of_events = self.events.iter().filter_map(|event| event.trace_id);
        let of_links = known.linked.iter().map(|linked| linked.trace_id);
        let mut traces = vec![known.workflow.trace.trace_id()];
        for trace in of_events.chain(of_links) {
            if !traces.contains(&trace) {
                traces.push(trace);
            }
        }
        traces
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::ref_option,
    reason = "microseconds of a few years; serde passes references"
)]
fn as_seconds<S: Serializer>(micros: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    micros
        .map(|micros| micros as f64 / 1e6)
        .serialize(serializer)
}

/// Returns the steps from the row of the workflow.
fn of_workflow(known: &StoryEvidence<'_>) -> Vec<StoryEvent> {
    let workflow = known.workflow;
    let start = workflow.start.map(|start| start.at);
    let instants = [
        (start, StoryStep::Started),
        (workflow.success, StoryStep::Succeeded),
        (workflow.failure, StoryStep::Failed),
        (workflow.late, StoryStep::NotGood),
        (workflow.cancelled, StoryStep::Cancelled),
        (deadline(workflow), StoryStep::Deadline),
    ];
    let instants = instants
        .into_iter()
        .chain(workflow.details.shared.map(shared));
    let mut events: Vec<StoryEvent> = instants
        .filter_map(|(at, step)| Some(known.instant(at?, step)))
        .collect();
    let pauses = workflow.details.pauses.union().unwrap_or_default();
    events.extend(pauses.iter().map(|pause| StoryEvent {
        ended_at: Some(pause.to),
        ..known.instant(pause.from, StoryStep::Paused)
    }));
    for (nth, (_, success, failure)) in (1..).zip(legs(workflow)) {
        let ends = [
            (success, StoryStep::LegSucceeded { leg: nth }),
            (failure, StoryStep::LegFailed { leg: nth }),
        ];
        let ends = ends.into_iter();
        events.extend(ends.filter_map(|(at, step)| Some(known.instant(at?, step))));
    }
    events
}

/// Returns the end that its batch assigned.
const fn shared(end: SharedEnd) -> (Option<Timestamp>, StoryStep) {
    let step = match end {
        SharedEnd::Failed(_) => StoryStep::Failed,
        SharedEnd::Cancelled(_) => StoryStep::Cancelled,
        SharedEnd::Succeeded(_)
        | SharedEnd::None
        | SharedEnd::NoneOfSeveralGroups
        | SharedEnd::MoreEndsThanWorkflows
        | SharedEnd::OneEndForAll
        | SharedEnd::TooManyWorkflows => StoryStep::Succeeded,
    };
    (end.at(), step)
}

/// Returns the deadline; `None` while no start is known, and for an event of one span.
pub fn deadline(workflow: &Workflow) -> Option<Timestamp> {
    let start = workflow.start?;
    match start.deadline {
        Deadline::Within(within) => Some(workflow.details.deadline(start.at, within)),
        Deadline::OneSpan => None,
    }
}

type LegTimes = (LegId, Option<Timestamp>, Option<Timestamp>);

/// Returns the legs in the order in which they ended first.
fn legs(workflow: &Workflow) -> Vec<LegTimes> {
    let mut legs: Vec<LegTimes> = workflow.details.legs.ends().collect();
    legs.sort_by_key(|(leg, success, failure)| {
        let ends = [*success, *failure];
        (ends.into_iter().flatten().min(), *leg)
    });
    legs
}

fn declared(piece: &StageEvidence) -> Option<StoryEvent> {
    let stage = piece.name.clone();
    let (range, step) = match piece.kind {
        StageEvidenceKind::Producer | StageEvidenceKind::Consumer => return None,
        StageEvidenceKind::Whole => (
            TimeRange::new(piece.from, piece.to),
            StoryStep::Stage { stage },
        ),
        StageEvidenceKind::From => (
            TimeRange::new(piece.to, piece.to),
            StoryStep::StageBegan { stage },
        ),
        StageEvidenceKind::To => (
            TimeRange::new(piece.from, piece.from),
            StoryStep::StageEnded { stage },
        ),
    };
    Some(StoryEvent {
        at: range.from,
        ended_at: (!range.is_empty()).then_some(range.to),
        step,
        trace_id: Some(piece.trace_id),
        is_error: piece.is_error,
    })
}

impl StoryEvidence<'_> {
    fn instant(&self, at: Timestamp, step: StoryStep) -> StoryEvent {
        StoryEvent {
            at,
            ended_at: None,
            trace_id: self.trace_of(at, &step),
            is_error: step == StoryStep::Failed,
            step,
        }
    }

    /// Returns the trace of the span that shows this, as far as its times identify it.
    fn trace_of(&self, at: Timestamp, step: &StoryStep) -> Option<TraceId> {
        if *step == StoryStep::Deadline {
            return None;
        }
        if *step == StoryStep::Started {
            return Some(self.workflow.trace.trace_id());
        }
        let has = |one: &&LinkedEvidence| {
            let evidence = &one.evidence;
            let ends = [evidence.success, evidence.failure, evidence.cancelled];
            let leg = evidence.details.legs.first_end();
            ends.contains(&Some(at)) || leg == Some(at)
        };
        let linked = self.linked.iter().find(has).map(|one| one.trace_id);
        let spans = || self.pieces.iter().find(|piece| piece.to == at);
        linked.or_else(|| Some(spans()?.trace_id))
    }
}
