//! The verdict: a pure function of what is known of a workflow.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Deadline, SharedEnd, Workflow,
    evidence::{LegsProgress, earliest},
};
use crate::domain::{
    model::{counts::EventCounts, ids::Revision, sampling::EndSampling, time::Timestamp},
    slo::{CancelPolicy, Slo},
};

/// How a workflow ended, as far as an SLO is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not judged yet.
    Open,
    Good,
    /// Bad: finished after the deadline.
    Late,
    /// Bad: ended in failure.
    Failed,
    /// Bad: the deadline passed and no end has been heard of. Provisional: an end in time may still
    /// be delivered.
    Timeout,
    /// No event: cancelled before the promise was broken.
    Cancelled,
    /// No event: an end whose start never came.
    Orphan,
    /// No event: the evidence contradicts itself, or is more than is kept. [`super::notice`] tells.
    Invalid,
    /// No event: the deadline passed, but spans that end it are sampled, and its end would have been
    /// dropped.
    Unobservable,
    /// No event: the deadline passed, but evidence was lost meanwhile that an end may have been among.
    /// Provisional as a timeout is.
    EvidenceLost,
    /// No event: its SLO was removed before it ended.
    Unwatched,
    /// No event: which of several workflows ended is unknown.
    Ambiguous,
}

impl Outcome {
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Good,
        Self::Late,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
        Self::Orphan,
        Self::Invalid,
        Self::Unobservable,
        Self::EvidenceLost,
        Self::Unwatched,
        Self::Ambiguous,
    ];

    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Late | Self::Failed | Self::Timeout)
    }

    /// The number that stands for it in the database.
    pub const fn as_code(self) -> i16 {
        match self {
            Self::Open => 0,
            Self::Good => 1,
            Self::Late => 2,
            Self::Failed => 3,
            Self::Timeout => 4,
            Self::Cancelled => 5,
            Self::Orphan => 6,
            Self::Invalid => 7,
            Self::Unobservable => 8,
            Self::EvidenceLost => 9,
            Self::Unwatched => 10,
            Self::Ambiguous => 11,
        }
    }

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_code() == code)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Good => "good",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Orphan => "orphan",
            Self::Invalid => "invalid",
            Self::Unobservable => "unobservable",
            Self::EvidenceLost => "evidence_lost",
            Self::Unwatched => "unwatched",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// One event of this outcome; zero while open.
    pub const fn counts(self) -> EventCounts {
        let mut counts = EventCounts::ZERO;
        match self {
            Self::Open | Self::Unwatched => {}
            Self::Good => counts.good = 1,
            Self::Late => counts.late = 1,
            Self::Failed => counts.failed = 1,
            Self::Timeout => counts.timeout = 1,
            Self::Cancelled => counts.cancelled = 1,
            Self::Orphan => counts.orphan = 1,
            Self::Invalid => counts.invalid = 1,
            Self::Unobservable => counts.unobservable = 1,
            Self::EvidenceLost => counts.evidence_lost = 1,
            Self::Ambiguous => counts.ambiguous = 1,
        }
        counts
    }
}

/// An outcome and the event time it is counted at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// The bucket of the event; `None` while open.
    pub at: Option<Timestamp>,
    /// When to judge again although no evidence came: by the watermark, not by the clock. `None` if
    /// only new evidence can change the verdict.
    pub due: Option<Timestamp>,
}

/// What the verdict depends on besides the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judging {
    /// How long after a deadline evidence that is under way is waited for.
    pub grace: Duration,
    /// Up to when ingest is known to have been healthy, and the ends of the SLO to have arrived.
    pub watermark: Timestamp,
    /// When evidence that is new is committed.
    pub now: Timestamp,
    /// How long senders may take to deliver what they kept while they could not send.
    pub catch_up: Duration,
    /// [`Slo::clock_skew`](crate::domain::slo::Slo::clock_skew).
    pub skew_tolerance: Duration,
    /// How the spans that end workflows of this SLO are sampled.
    pub ends: EndSampling,
    pub losses: Losses,
    /// The oldest revision of the definition that is kept.
    pub oldest_revision: Revision,
    /// Whether the SLO is declared.
    pub is_watched: bool,
    /// Whether the trace alone tells workflows of this SLO apart.
    pub is_by_trace: bool,
}

/// Whether evidence was lost that would have ended the workflow in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Losses {
    #[default]
    NoneKnown,
    Possible,
}

impl Judging {
    /// Of spans whose SLO declares nothing else.
    pub const DEFAULT_SKEW_TOLERANCE: Duration = Slo::LEAST_CLOCK_SKEW;
    /// A span is on its way for up to 5 s in the batch of its process and 10 s in that of a
    /// collector (their defaults), so what arrives later than that has waited.
    const LEAST_CATCH_UP: Duration = Duration::from_secs(15);

    /// Of an SLO that declares nothing but `grace`, whose ends are not sampled, at a moment up to which
    /// ingest was healthy.
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
        }
    }

    /// From which watermark on silence about what was expected at `expected` is a verdict, of a
    /// workflow that was first heard of at `first_evidence_at`.
    ///
    /// Where that was too late for the deadline, its sender had a backlog, and the sender of its end
    /// may have one too: it gets as much time as the sender was behind, at most the catch-up time, and
    /// at least `grace`.
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

/// Judges a workflow by all that is known of it.
///
/// A success outweighs a failure, since a retry may follow one. A failure outweighs a cancellation
/// only if it came first: what a cancelled workflow then reports as failing is its cancellation.
/// Lateness is counted at the deadline, the moment the promise broke, so that a timeout that turns
/// out to be late stays in its bucket. The deadline moves with every pause that is told of; a span
/// tells of its pause when that is over, so a long one is a timeout first, corrected afterwards.
pub fn judge(workflow: &Workflow, judging: &Judging) -> Verdict {
    let Some(start) = workflow.start else {
        return without_start(workflow, judging);
    };
    let within = match start.promise {
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

/// How a workflow that has started went on, its legs taken together.
struct Ends {
    success: Option<Timestamp>,
    failure: Option<Timestamp>,
    cancelled: Option<Timestamp>,
    policy: CancelPolicy,
    /// What its silence comes to once the deadline has passed.
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
            // It may have finished well: neither good nor bad can be told.
            LegsProgress::UnknownNumber => ends.unfinished = Outcome::Invalid,
            LegsProgress::TooMany if ends.success.is_none() => return Err(TooManyLegs),
            LegsProgress::Unfinished | LegsProgress::TooMany => {}
        }
        ends.add_shared(details.shared);
        Ok(ends)
    }

    /// Adds what the batch gives it that it went through.
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

/// A one-span event. Copies of a span may contradict each other, since some clients send it again
/// with another status: the worst one counts.
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

/// Without a success: a failure or a cancellation, or `None` while neither is known.
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

/// What has not come by `expected`, once its absence is known.
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
