//! The rule that gave a verdict, in one sentence.

use std::time::Duration;

use super::deadline;
use crate::domain::{
    model::{format, time::Timestamp},
    workflow::{Deadline, Outcome, Verdict, Workflow},
};

/// Describes why the workflow has this verdict.
pub fn verdict_rule(workflow: &Workflow, verdict: &Verdict) -> String {
    let is_one_span = workflow
        .start
        .is_some_and(|start| start.deadline == Deadline::OneSpan);
    if is_one_span {
        return of_one_span(verdict.outcome).to_owned();
    }
    let text = match verdict.outcome {
        Outcome::Open => {
            "It is not judged yet: without an end it becomes a timeout after its deadline and the grace."
        }
        Outcome::Good => return good(workflow, verdict),
        Outcome::Late => return late(workflow),
        Outcome::Failed => failed(workflow),
        Outcome::Timeout => "No end was received by the deadline and the grace after it.",
        other @ (Outcome::Cancelled
        | Outcome::Orphan
        | Outcome::Invalid
        | Outcome::Unobservable
        | Outcome::EvidenceLost
        | Outcome::Unwatched
        | Outcome::Ambiguous) => no_event(other),
    };
    text.to_owned()
}

const fn of_one_span(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Good => "Its span satisfies `good`.",
        Outcome::Late => "Its span did not fail, but does not satisfy `good`.",
        Outcome::Failed => "Its span failed.",
        other @ (Outcome::Open
        | Outcome::Timeout
        | Outcome::Cancelled
        | Outcome::Orphan
        | Outcome::Invalid
        | Outcome::Unobservable
        | Outcome::EvidenceLost
        | Outcome::Unwatched
        | Outcome::Ambiguous) => no_event(other),
    }
}

const fn no_event(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Open | Outcome::Good | Outcome::Late | Outcome::Failed | Outcome::Timeout => {
            "It is not judged yet."
        }
        Outcome::Cancelled => "It was cancelled by its deadline, so it is no event.",
        Outcome::Orphan => "An end was received, but no start, so it is no event.",
        Outcome::Invalid => {
            "Its evidence contradicts itself or exceeds what is kept, so it is no event."
        }
        Outcome::Unobservable => {
            "No end was received, but sampling would have dropped it, so it is no event."
        }
        Outcome::EvidenceLost => {
            "No end was received, but links were lost in the meantime, or a backup was restored, so it is no \
             event."
        }
        Outcome::Unwatched => "Its SLO was removed before it ended, so it is no event.",
        Outcome::Ambiguous => "Which of several workflows ended is unknown, so it is no event.",
    }
}

fn good(workflow: &Workflow, verdict: &Verdict) -> String {
    if workflow.cancelled.is_some() && verdict.at == workflow.cancelled {
        return "It was cancelled by its deadline, which the definition counts as good.".to_owned();
    }
    match (workflow.start, verdict.at) {
        (Some(start), Some(at)) => format!(
            "It finished after {}, and {} are allowed{}.",
            format::duration(at.saturating_since(start.at)),
            allowed(workflow),
            pauses(workflow)
        ),
        _ => "It finished by its deadline.".to_owned(),
    }
}

fn late(workflow: &Workflow) -> String {
    let end = workflow
        .success
        .or_else(|| workflow.details.legs.last_end());
    let after = |end: Timestamp| end.saturating_since(deadline(workflow).unwrap_or(end));
    match (end, workflow.cancelled) {
        (None, Some(end)) => {
            format!(
                "It was cancelled {} after its deadline.",
                format::duration(after(end))
            )
        }
        (Some(end), _) => format!(
            "It finished {} after its deadline: {} are allowed{}.",
            format::duration(after(end)),
            allowed(workflow),
            pauses(workflow)
        ),
        (None, None) => "It ended after its deadline.".to_owned(),
    }
}

const fn failed(workflow: &Workflow) -> &'static str {
    match (workflow.failure, workflow.cancelled) {
        (Some(_), _) => "It failed, and no span shows that it finished.",
        (None, Some(_)) => "It was cancelled, which the definition counts as bad.",
        (None, None) => "So many legs failed that it cannot be completed.",
    }
}

fn allowed(workflow: &Workflow) -> String {
    let within = workflow.start.map(|start| match start.deadline {
        Deadline::Within(within) => within,
        Deadline::OneSpan => Duration::ZERO,
    });
    format::duration(within.unwrap_or_default())
}

/// Returns what is added to the allowed time: ` and 3 min of pauses`.
fn pauses(workflow: &Workflow) -> String {
    let pauses = workflow.details.pauses.union().unwrap_or_default();
    let length: Duration = pauses.iter().map(|pause| pause.length()).sum();
    if length.is_zero() {
        return String::new();
    }
    format!(" without {} of pauses", format::duration(length))
}
