//! What one transaction changes: workflows joined with what is known, and the counts that move.
//!
//! Pure: the store reads the known rows, asks here what becomes of them, and writes it down.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use crate::domain::{
    counting::{JudgedWorkflow, customers::CustomerMoves},
    model::{
        counts::EventCounts,
        ids::SloId,
        sampling::EndSampling,
        time::{Resolution, TimeRange, Timestamp},
    },
    workflow::{
        Deadline, Judging, Losses, Outcome, Verdict, Workflow, WorkflowNote, is_reuse, judge,
        notice,
    },
};

/// What moves in the counts. Differences, so that a correction takes an event out of the bucket that
/// it was in and puts it into its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountDelta {
    by_minute: BTreeMap<(SloId, Timestamp), EventCounts>,
    /// What people should know of the evidence, each counted when it is noticed first.
    pub noted: BTreeMap<(SloId, WorkflowNote), i64>,
    /// What was learned of how the spans are sampled that end workflows.
    pub ends: BTreeMap<SloId, EndSampling>,
    pub customers: CustomerMoves,
}

impl CountDelta {
    /// Notes that an event is judged as `new`.
    fn replace(&mut self, slo: SloId, old: Option<&JudgedWorkflow>, new: &JudgedWorkflow) {
        if let Some(old) = old {
            self.take_out(slo, old);
            let place = |judged: &JudgedWorkflow| (judged.verdict.outcome, judged.verdict.at);
            if old.verdict.at.is_some() && place(old) != place(new) {
                self.note(slo, WorkflowNote::Corrected);
            }
        }
        self.put_in(slo, new);
        self.learn(slo, &new.workflow);
    }

    /// Notes how the end of a workflow is sampled, for those whose end does not come.
    fn learn(&mut self, slo: SloId, workflow: &Workflow) {
        if workflow.details.draws.is_empty() {
            return;
        }
        let start_trace = match workflow.start.map(|start| start.promise) {
            Some(Deadline::OneSpan) => return,
            Some(Deadline::Within(_)) => Some(workflow.trace.trace_id()),
            None => None,
        };
        if let Some(seen) = workflow.details.draws.end_sampling(start_trace) {
            let known = self.ends.entry(slo).or_default();
            *known = known.join(seen);
        }
    }

    /// Notes what people should know.
    pub fn note(&mut self, slo: SloId, notice: WorkflowNote) {
        *self.noted.entry((slo, notice)).or_default() += 1;
    }

    /// Notes that an event which was in one group, if in any, is in another now, or that its verdict
    /// has changed where it is.
    pub fn regroup(
        &mut self,
        old: Option<(SloId, &JudgedWorkflow)>,
        new: Option<(SloId, &JudgedWorkflow)>,
    ) {
        if let Some((group, judged)) = old {
            self.take_out(group, judged);
        }
        if let Some((group, judged)) = new {
            self.put_in(group, judged);
        }
    }

    /// Notes that an event is none any more.
    fn withdraw(&mut self, slo: SloId, old: &JudgedWorkflow) {
        self.take_out(slo, old);
        if old.verdict.at.is_some() {
            self.note(slo, WorkflowNote::Corrected);
        }
    }

    fn take_out(&mut self, slo: SloId, judged: &JudgedWorkflow) {
        self.add(slo, &judged.verdict, -judged.counts());
        self.customers.take_out(slo, judged);
    }

    fn put_in(&mut self, slo: SloId, judged: &JudgedWorkflow) {
        self.add(slo, &judged.verdict, judged.counts());
        self.customers.put_in(slo, judged);
    }

    fn add(&mut self, slo: SloId, verdict: &Verdict, counts: EventCounts) {
        let Some(at) = verdict.at else { return };
        *self
            .by_minute
            .entry((slo, at.floor_to(Resolution::Minute.length())))
            .or_default() += counts;
    }

    /// The differences at every resolution, sorted; none is zero.
    pub fn by_bucket(&self) -> BTreeMap<(SloId, Resolution, Timestamp), EventCounts> {
        let mut buckets: BTreeMap<_, EventCounts> = BTreeMap::new();
        for ((slo, minute), counts) in &self.by_minute {
            for resolution in Resolution::ALL {
                let bucket = minute.floor_to(resolution.length());
                *buckets.entry((*slo, resolution, bucket)).or_default() += *counts;
            }
        }
        buckets.retain(|_, counts| !counts.is_zero());
        buckets
    }

    /// The earliest minute with a new event, by SLO.
    pub fn earliest(&self) -> BTreeMap<SloId, Timestamp> {
        let mut earliest: BTreeMap<SloId, Timestamp> = BTreeMap::new();
        for ((slo, minute), counts) in &self.by_minute {
            if counts.total() > 0 {
                earliest
                    .entry(*slo)
                    .and_modify(|at| *at = (*at).min(*minute))
                    .or_insert(*minute);
            }
        }
        earliest
    }
}

/// Joins `new` with `known` and judges the result. `None` if nothing has changed.
pub fn apply(
    slo: SloId,
    known: Option<&JudgedWorkflow>,
    new: &Workflow,
    judging: &Judging,
    moves: &mut CountDelta,
) -> Option<JudgedWorkflow> {
    let workflow = known.map_or_else(|| new.clone(), |known| joined(&known.workflow, new));
    let verdict = judge(&workflow, &in_hindsight(known, judging));
    if known.is_some_and(|known| is_reuse(&known.workflow, new)) {
        moves.note(slo, WorkflowNote::Reused);
    }
    let judged = weigh(workflow, verdict, known, judging);
    if known == Some(&judged) {
        return None;
    }
    moves.replace(slo, known, &judged);
    if let Some(noticed) = notice(&judged.workflow, &judged.verdict)
        && known.is_none_or(|known| notice(&known.workflow, &known.verdict) != Some(noticed))
    {
        moves.note(slo, noticed);
    }
    Some(judged)
}

/// The stretch in which an end would have kept the promise, where the verdict is that none has come:
/// whether evidence was lost in it is then to be found out. To the minute, as losses are kept.
///
/// `known` joined with `new`, as [`apply`] does it.
pub fn silence(
    known: Option<&JudgedWorkflow>,
    new: &Workflow,
    judging: &Judging,
) -> Option<TimeRange> {
    if new.success.is_some() || new.failure.is_some() {
        return None;
    }
    let workflow = match known {
        Some(known) => Cow::Owned(joined(&known.workflow, new)),
        None => Cow::Borrowed(new),
    };
    silence_of(known, &workflow, judging)
}

/// The same of all that is known by now, as [`rejudge`] takes it.
pub fn silence_of(
    known: Option<&JudgedWorkflow>,
    workflow: &Workflow,
    judging: &Judging,
) -> Option<TimeRange> {
    let verdict = judge(workflow, &in_hindsight(known, judging));
    let start = workflow.start?.at.floor_to(Resolution::Minute.length());
    let deadline = verdict.at.filter(|_| verdict.outcome == Outcome::Timeout)?;
    Some(TimeRange::new(start, deadline + Duration::from_micros(1)))
}

/// What the verdict stands for. A workflow without an end is judged only if its end would have been
/// kept; once that is decided it stays so until an end comes, since what is known of other workflows
/// changes. Nor is it held against a workflow that its end may be lost.
fn weigh(
    workflow: Workflow,
    verdict: Verdict,
    known: Option<&JudgedWorkflow>,
    judging: &Judging,
) -> JudgedWorkflow {
    let draws = &workflow.details.draws;
    if verdict.outcome != Outcome::Timeout {
        let weight = draws.weight();
        return JudgedWorkflow {
            workflow,
            verdict,
            weight,
        };
    }
    let decided = match known.map(|known| (known.verdict.outcome, known.weight)) {
        Some((Outcome::Timeout | Outcome::EvidenceLost, weight)) => Some(weight),
        Some((Outcome::Unobservable, _)) => None,
        _ => {
            let start_trace = workflow.trace.trace_id();
            draws.weight_without_end(start_trace, judging.ends).ok()
        }
    };
    let outcome = match decided {
        None => Outcome::Unobservable,
        Some(_) if is_lost(&workflow, &verdict, known, judging.losses) => Outcome::EvidenceLost,
        Some(_) => Outcome::Timeout,
    };
    JudgedWorkflow {
        workflow,
        verdict: Verdict { outcome, ..verdict },
        weight: decided.flatten(),
    }
}

/// What was lost in a stretch stays lost, also when it is not remembered any more.
fn is_lost(
    workflow: &Workflow,
    verdict: &Verdict,
    known: Option<&JudgedWorkflow>,
    losses: Losses,
) -> bool {
    losses == Losses::Possible
        || known.is_some_and(|known| {
            known.verdict.outcome == Outcome::EvidenceLost
                && known.workflow.start == workflow.start
                && known.verdict.at == verdict.at
        })
}

/// A copy of a start that is known already may come under a later definition: the promise and terms
/// that were in force when it came first hold.
fn joined(known: &Workflow, new: &Workflow) -> Workflow {
    let mut workflow = known.clone();
    workflow.join(new);
    if let (Some(first), Some(copy)) = (known.start, new.start)
        && first.at == copy.at
    {
        workflow.start = known.start;
        workflow.details.terms = known.details.terms;
    }
    workflow
}

/// Judges `known` by what is left of it once evidence has turned out to be another workflow's. `None`
/// if nothing is left: then it is no event, and no row.
///
/// The label stays, since `left` may consist of evidence from other traces than the one that the
/// workflow began in.
pub fn rejudge(
    slo: SloId,
    known: &JudgedWorkflow,
    left: Option<&Workflow>,
    judging: &Judging,
    moves: &mut CountDelta,
) -> Option<JudgedWorkflow> {
    let Some(left) = left else {
        moves.withdraw(slo, known);
        return None;
    };
    let workflow = Workflow {
        label: known.workflow.label.clone(),
        ..left.clone()
    };
    let verdict = judge(&workflow, &in_hindsight(Some(known), judging));
    let judged = weigh(workflow, verdict, Some(known), judging);
    moves.replace(slo, Some(known), &judged);
    Some(judged)
}

/// A replica whose watermark lags behind must not reopen what another has found overdue: that
/// verdict tells how far the watermark had come.
fn in_hindsight(known: Option<&JudgedWorkflow>, judging: &Judging) -> Judging {
    let seen = known.and_then(|known| match known.verdict.outcome {
        Outcome::Timeout | Outcome::Orphan | Outcome::Unobservable | Outcome::EvidenceLost => {
            known.verdict.at.map(|at| at + judging.grace)
        }
        Outcome::Open
        | Outcome::Good
        | Outcome::Late
        | Outcome::Failed
        | Outcome::Cancelled
        | Outcome::Invalid => None,
    });
    Judging {
        watermark: seen.map_or(judging.watermark, |at| at.max(judging.watermark)),
        ..*judging
    }
}
