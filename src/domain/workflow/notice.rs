//! Notes on the evidence behind a verdict, for people: they make an SLO auditable.

use std::collections::BTreeSet;

use super::{Deadline, Judging, Outcome, SharedEnd, StartRemark, Verdict, Workflow};
use crate::domain::{model::time::Timestamp, slo::Completion};

/// A remarkable property of a workflow. Counted by SLO, once per workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkflowNote {
    /// A verdict of good or bad was replaced by another outcome, or moved to another bucket.
    Corrected,
    /// It ended before it started, by no more than the clock skew allowed, and counts as having
    /// taken no time.
    ClockSkew,
    /// Invalid: it ended before it started, by more than the clock skew allowed.
    EndsBeforeStart,
    /// Copies of its one span contradict each other; the worst counts.
    Contradicted,
    /// Invalid: it has more pauses than are stored.
    TooManyPauses,
    /// Invalid: it has more legs than are stored.
    TooManyLegs,
    /// Invalid: legs have succeeded, and the number of legs is unknown.
    UnknownLegs,
    /// A start arrived after the end of the workflow with the same key: the key was reused.
    Reused,
    /// Several start spans are in one trace, and the trace identifies the workflow: the earliest
    /// counts.
    SeveralStarts,
    /// Its start published several messages, and nothing distinguishes them; or it is a request
    /// whose ends arrived by several messages.
    ManyMessages,
    /// It went through a batch and was judged by count: its assigned end may belong to another
    /// workflow.
    OneOfABatch,
    /// Ambiguous: more ends came out of a batch than workflows went in.
    MoreEndsThanWorkflows,
    /// Ambiguous: one end came out of a batch of several workflows.
    OneEndOfABatch,
    /// Ambiguous: batches that share workflows have too many together.
    TooLargeBatch,
    /// Evidence arrived after its record was purged: it is no longer counted.
    TooLate,
}

impl WorkflowNote {
    pub const ALL: [Self; 15] = [
        Self::Corrected,
        Self::ClockSkew,
        Self::EndsBeforeStart,
        Self::Contradicted,
        Self::TooManyPauses,
        Self::TooManyLegs,
        Self::UnknownLegs,
        Self::Reused,
        Self::SeveralStarts,
        Self::ManyMessages,
        Self::OneOfABatch,
        Self::MoreEndsThanWorkflows,
        Self::OneEndOfABatch,
        Self::TooLargeBatch,
        Self::TooLate,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::ClockSkew => "clock_skew",
            Self::EndsBeforeStart => "ends_before_start",
            Self::Contradicted => "contradicted",
            Self::TooManyPauses => "too_many_pauses",
            Self::TooManyLegs => "too_many_legs",
            Self::UnknownLegs => "unknown_legs",
            Self::Reused => "reused",
            Self::SeveralStarts => "several_starts",
            Self::ManyMessages => "many_messages_one_workflow",
            Self::OneOfABatch => "one_of_a_batch",
            Self::MoreEndsThanWorkflows => "more_ends_than_workflows",
            Self::OneEndOfABatch => "one_end_of_a_batch",
            Self::TooLargeBatch => "too_large_batch",
            Self::TooLate => "too_late",
        }
    }
}

/// Returns the notes on a workflow with this verdict.
pub fn notices(
    workflow: &Workflow,
    verdict: &Verdict,
    judging: &Judging,
) -> BTreeSet<WorkflowNote> {
    let is = |remark| workflow.details.starts.has(remark);
    let is_several = is(StartRemark::Several) && !is(StartRemark::Received) && judging.is_by_trace;
    let several = is_several.then_some(WorkflowNote::SeveralStarts);
    let is_many = is(StartRemark::Batch) || workflow.details.starts.has_several_messages();
    let many = is_many.then_some(WorkflowNote::ManyMessages);
    let of_verdict = of_verdict(workflow, verdict);
    // Independent of its outcome, so that it is noted only once.
    let is_by_number = workflow.start.is_some() && workflow.details.shared.is_some();
    let by_number = is_by_number.then_some(WorkflowNote::OneOfABatch);
    let ambiguous = why_ambiguous(workflow, verdict);
    let all = [several, many, of_verdict, by_number, ambiguous];
    all.into_iter().flatten().collect()
}

fn why_ambiguous(workflow: &Workflow, verdict: &Verdict) -> Option<WorkflowNote> {
    if verdict.outcome != Outcome::Ambiguous {
        return None;
    }
    match workflow.details.shared? {
        SharedEnd::MoreEndsThanWorkflows => Some(WorkflowNote::MoreEndsThanWorkflows),
        SharedEnd::OneEndForAll => Some(WorkflowNote::OneEndOfABatch),
        SharedEnd::TooManyWorkflows => Some(WorkflowNote::TooLargeBatch),
        SharedEnd::None
        | SharedEnd::NoneOfSeveralGroups
        | SharedEnd::Succeeded(_)
        | SharedEnd::Failed(_)
        | SharedEnd::Cancelled(_) => None,
    }
}

fn of_verdict(workflow: &Workflow, verdict: &Verdict) -> Option<WorkflowNote> {
    let start = workflow.start?;
    match (verdict.outcome, start.deadline) {
        (Outcome::Open, _) => None,
        (Outcome::Invalid, _) => Some(why_invalid(workflow, start.at)),
        (_, Deadline::OneSpan) if kinds_of_copies(workflow) > 1 => Some(WorkflowNote::Contradicted),
        _ => is_clamped(workflow, verdict).then_some(WorkflowNote::ClockSkew),
    }
}

/// Returns whether evidence of `new` starts a workflow although `known` had already ended. Retries
/// of a start do not count: they arrive while the workflow is open.
///
/// Nor do spans that only show that the workflow exists: it may have many, also after its end.
pub fn is_reuse(known: &Workflow, new: &Workflow) -> bool {
    let (Some(start), Some(_)) = (new.start_span_at(), known.start) else {
        return false;
    };
    let ends = [known.success, known.failure, known.cancelled];
    ends.into_iter().flatten().min().is_some_and(|end| {
        let was_over = known.start.is_some_and(|first| first.at <= end);
        was_over && start > end
    })
}

fn why_invalid(workflow: &Workflow, start: Timestamp) -> WorkflowNote {
    let details = &workflow.details;
    let waits_for_all = details.completion(start) == Completion::All;
    if details.pauses.union().is_none() {
        WorkflowNote::TooManyPauses
    } else if details.legs.are_too_many() {
        WorkflowNote::TooManyLegs
    } else if waits_for_all && !details.legs.is_empty() && details.legs.expected().is_none() {
        WorkflowNote::UnknownLegs
    } else {
        WorkflowNote::EndsBeforeStart
    }
}

fn kinds_of_copies(workflow: &Workflow) -> usize {
    let kinds = [workflow.success, workflow.failure, workflow.late];
    kinds.into_iter().flatten().count()
}

/// Returns whether the time of the verdict was clamped: a workflow's is no earlier than its start,
/// that of a one-span event no earlier than the span's end.
fn is_clamped(workflow: &Workflow, verdict: &Verdict) -> bool {
    let (Some(start), Some(at)) = (workflow.start, verdict.at) else {
        return false;
    };
    let legs = workflow.details.legs.first_end();
    let ends = [workflow.success, workflow.failure, workflow.cancelled, legs];
    let ends_before_start = ends.into_iter().flatten().any(|end| end < start.at);
    at < start.at || (at == start.at && ends_before_start)
}
