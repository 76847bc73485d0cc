//! The verdict: a pure function of the evidence of a workflow.

use std::time::Duration;

use super::{
    Deadline, Outcome, SharedEnd, Workflow,
    evidence::{LegsProgress, earliest},
};
use crate::domain::{
    model::{ids::Revision, sampling::EndSampling, time::Timestamp},
    slo::{CancelPolicy, Slo},
};

/// An outcome and the event time it is counted at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// The time of the event, which determines its bucket; `None` while open.
    pub at: Option<Timestamp>,
    /// The watermark (not the time) at which to judge again without new evidence. `None` if only
    /// new evidence can change the verdict.
    pub due: Option<Timestamp>,
}

/// The inputs of the verdict in addition to the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judging {
    /// The wait after a deadline for evidence that is still in transit.
    pub grace: Duration,
    /// The time until which ingest is known to have been healthy, and the ends of the SLO to have
    /// arrived.
    pub watermark: Timestamp,
    /// The time at which new evidence is committed.
    pub now: Timestamp,
    /// The time that senders may take to deliver what they buffered while they could not send.
    pub catch_up: Duration,
    /// [`Slo::clock_skew`](crate::domain::slo::Slo::clock_skew).
    pub skew_tolerance: Duration,
    /// The sampling of the spans that end workflows of this SLO.
    pub ends: EndSampling,
    pub losses: Losses,
    /// The oldest stored revision of the definition.
    pub oldest_revision: Revision,
    /// True if the SLO is declared.
    pub is_watched: bool,
    /// True if workflows of this SLO are identified by the trace alone.
    pub is_by_trace: bool,
    pub staging: Staging,
}

/// The possibility that lost evidence would have ended the workflow in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Losses {
    #[default]
    NoneKnown,
    Possible,
}

/// The use of stages by an SLO, which are aggregated after each verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staging {
    None,
    Staged,
}

impl Judging {
    /// The skew tolerance of an SLO that declares none.
    pub const DEFAULT_SKEW_TOLERANCE: Duration = Slo::LEAST_CLOCK_SKEW;
    /// A span takes up to 5 s in the batch of its process and 10 s in that of a collector (their
    /// defaults), so one that arrives later than that was delayed.
    const LEAST_CATCH_UP: Duration = Duration::from_secs(15);

    /// Makes the rules of an SLO that declares only `grace`, whose ends are not sampled, at a
    /// moment until which ingest was healthy.
    pub fn healthy(grace: Duration, now: Timestamp) -> Self {
        Self {
            grace,
            watermark: now,
            now,
            catch_up: Duration::ZERO,
            skew_tolerance: Self::DEFAULT_SKEW_TOLERANCE,
            ends: EndSampling::default(),
            losses: Losses::NoneKnown,
            oldest_revision: Revision::default(),
            is_watched: true,
            is_by_trace: false,
            staging: Staging::None,
        }
    }

    /// Returns the watermark from which the absence of evidence expected at `expected` is a
    /// verdict, for a workflow whose first evidence was committed at `first_evidence_at`.
    ///
    /// If that was too late for the deadline, its sender had a backlog, and the sender of its end
    /// may have one too: it gets as much time as the sender was behind, at most the catch-up time,
    /// and at least `grace`.
    pub fn silence_due(
        &self,
        expected: Timestamp,
        first_evidence_at: Option<Timestamp>,
    ) -> Timestamp {
        let due = expected + self.grace;
        let Some(first) = first_evidence_at else {
            return due;
        };
        let behind = first.saturating_since(due);
        let wait = behind.min(self.catch_up.max(Self::LEAST_CATCH_UP));
        due.max(first + wait.max(self.grace))
    }
}

/// Judges a workflow by all its evidence.
///
/// A success takes precedence over a failure, since a retry may follow one. A failure takes
/// precedence over a cancellation only if it was first: what a cancelled workflow then reports as a
/// failure is its cancellation. A late workflow is counted at its deadline, so that a timeout that
/// turns out to be late stays in its bucket. The deadline moves with every pause; since a span
/// arrives only after its pause is over, a workflow with a long one is first a timeout, which is
/// corrected afterwards.
pub fn judge(workflow: &Workflow, judging: &Judging) -> Verdict {
    let Some(start) = workflow.start else {
        return without_start(workflow, judging);
    };
    let within = match start.deadline {
        Deadline::Within(within) => within,
        Deadline::OneSpan => return decided(start.at, workflow, judging),
    };
    let Some(pauses) = workflow.details.pauses.union() else {
        return settled(Outcome::Invalid, start.at + within);
    };
    let deadline = pauses.deadline(start.at, within);
    let ends = match Ends::of(start.at, workflow) {
        Ok(ends) => ends,
        Err(TooManyLegs) => return settled(Outcome::Invalid, start.at + within),
    };
    match ends.success {
        Some(end) => completed(start.at, end, deadline, judging),
        None => match stopped(start.at, &ends, deadline, judging) {
            Some(verdict) => verdict,
            None => silent(ends.unfinished, deadline, workflow, judging),
        },
    }
}

/// The ends of a workflow that has started, its legs combined.
struct Ends {
    success: Option<Timestamp>,
    failure: Option<Timestamp>,
    cancelled: Option<Timestamp>,
    policy: CancelPolicy,
    /// The outcome without an end once the deadline has passed.
    unfinished: Outcome,
}

struct TooManyLegs;

impl Ends {
    fn of(start: Timestamp, workflow: &Workflow) -> Result<Self, TooManyLegs> {
        let details = &workflow.details;
        let mut ends = Self {
            success: workflow.success,
            failure: workflow.failure,
            cancelled: workflow.cancelled,
            policy: details
                .terms_of(start)
                .map_or_else(CancelPolicy::default, |terms| terms.cancelled),
            unfinished: Outcome::Timeout,
        };
        match details.legs.progress(details.completion(start), start) {
            LegsProgress::Completed(at) => ends.success = earliest(ends.success, Some(at)),
            LegsProgress::Failed(at) => ends.failure = earliest(ends.failure, Some(at)),
            // It may have been successful: neither good nor bad is certain.
            LegsProgress::UnknownNumber => ends.unfinished = Outcome::Invalid,
            LegsProgress::TooMany if ends.success.is_none() => return Err(TooManyLegs),
            LegsProgress::Unfinished | LegsProgress::TooMany => {}
        }
        ends.add_shared(details.shared);
        Ok(ends)
    }

    /// Adds the end that its batch assigned.
    fn add_shared(&mut self, shared: Option<SharedEnd>) {
        match shared {
            None | Some(SharedEnd::None | SharedEnd::NoneOfSeveralGroups) => {}
            Some(SharedEnd::Succeeded(at)) => self.success = earliest(self.success, Some(at)),
            Some(SharedEnd::Failed(at)) => self.failure = earliest(self.failure, Some(at)),
            Some(SharedEnd::Cancelled(at)) => self.cancelled = earliest(self.cancelled, Some(at)),
            Some(
                SharedEnd::MoreEndsThanWorkflows
                | SharedEnd::OneEndForAll
                | SharedEnd::TooManyWorkflows,
            ) => self.unfinished = Outcome::Ambiguous,
        }
    }
}

/// Judges a one-span event. Copies of a span may contradict each other, since some clients send it
/// again with another status: the worst one counts.
fn decided(start: Timestamp, workflow: &Workflow, judging: &Judging) -> Verdict {
    let (outcome, at) = match (workflow.failure, workflow.late, workflow.success) {
        (Some(at), _, _) => (Outcome::Failed, at),
        (None, Some(at), _) => (Outcome::Late, at),
        (None, None, Some(at)) => (Outcome::Good, at),
        (None, None, None) => {
            return Verdict {
                outcome: Outcome::Open,
                at: None,
                due: None,
            };
        }
    };
    if at < start - judging.skew_tolerance {
        settled(Outcome::Invalid, at)
    } else {
        settled(outcome, at)
    }
}

/// Returns the verdict of a workflow without a success: a failure or a cancellation, or `None` if
/// neither is known.
fn stopped(
    start: Timestamp,
    ends: &Ends,
    deadline: Timestamp,
    judging: &Judging,
) -> Option<Verdict> {
    let failure = ends.failure.map(|at| (at.min(deadline), Outcome::Failed));
    let cancellation = ends.cancelled.map(|at| {
        if at <= deadline {
            (at, cancelled_in_time(ends.policy))
        } else {
            (deadline, Outcome::Late)
        }
    });
    let first = match (failure, cancellation) {
        (Some(failure), Some(cancellation)) if cancellation.0 < failure.0 => Some(cancellation),
        (Some(failure), _) => Some(failure),
        (None, cancellation) => cancellation,
    };
    first.map(|(at, outcome)| {
        if at < start - judging.skew_tolerance {
            settled(Outcome::Invalid, at)
        } else {
            settled(outcome, at.max(start))
        }
    })
}

const fn cancelled_in_time(policy: CancelPolicy) -> Outcome {
    match policy {
        CancelPolicy::Exclude => Outcome::Cancelled,
        CancelPolicy::Good => Outcome::Good,
        CancelPolicy::Bad => Outcome::Failed,
    }
}

fn completed(start: Timestamp, end: Timestamp, deadline: Timestamp, judging: &Judging) -> Verdict {
    if end < start - judging.skew_tolerance {
        settled(Outcome::Invalid, end)
    } else if end <= deadline {
        settled(Outcome::Good, end.max(start))
    } else {
        settled(Outcome::Late, deadline)
    }
}

/// Returns `outcome` once it is certain that no end was received by `expected`; open until then.
fn silent(
    outcome: Outcome,
    expected: Timestamp,
    workflow: &Workflow,
    judging: &Judging,
) -> Verdict {
    let due = judging.silence_due(expected, workflow.first_evidence_at);
    if judging.watermark >= due {
        settled(outcome, expected)
    } else {
        Verdict {
            outcome: Outcome::Open,
            at: None,
            due: Some(due),
        }
    }
}

fn without_start(workflow: &Workflow, judging: &Judging) -> Verdict {
    let shared = workflow.details.shared.and_then(SharedEnd::at);
    let ends = [
        workflow.success,
        workflow.failure,
        workflow.cancelled,
        shared,
        workflow.details.legs.first_end(),
        workflow.details.pauses.first_end(),
    ];
    let Some(end) = ends.into_iter().flatten().min() else {
        return Verdict {
            outcome: Outcome::Open,
            at: None,
            due: None,
        };
    };
    let outcome = if workflow.details.is_ambiguous {
        Outcome::Ambiguous
    } else {
        Outcome::Orphan
    };
    silent(outcome, end, workflow, judging)
}

const fn settled(outcome: Outcome, at: Timestamp) -> Verdict {
    Verdict {
        outcome,
        at: Some(at),
        due: None,
    }
}
