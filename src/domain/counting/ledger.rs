//! The changes of one transaction: workflows joined with new evidence, and the differences of the
//! counts.
//!
//! Pure: the store reads the stored rows, computes their changes here, and writes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::domain::{
    counting::{JudgedWorkflow, customers::CustomerMoves, time_used::OpenBucket},
    model::{
        counts::EventCounts,
        ids::SloId,
        sampling::EndSampling,
        time::{Resolution, TimeRange, Timestamp},
    },
    workflow::{
        Correction, CorrectionReason, Deadline, Judging, Losses, Outcome, Start, Verdict, Workflow,
        WorkflowNote, is_reuse, judge, notices,
    },
};

/// Timeouts are judged every second, so a service without a backlog counts them within this time.
const COUNTED_IN_TIME: Duration = Duration::from_secs(5);

/// Changes of the counts. They are differences, so that a correction subtracts an event from its
/// old bucket and adds it to the new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountDelta {
    by_minute: BTreeMap<(SloId, Timestamp), EventCounts>,
    /// Open workflows, by SLO and group.
    open: BTreeMap<(SloId, OpenBucket), i64>,
    /// The counts that corrections have subtracted, by SLO and group. The counts plus these never
    /// fall.
    pub corrected: BTreeMap<SloId, EventCounts>,
    /// The earliest good or bad event, by SLO and group.
    pub first_events: BTreeMap<SloId, Timestamp>,
    /// SLOs with an end that was joined with a start.
    pub ended: BTreeSet<SloId>,
    /// The start of the newest workflow that has finished, by SLO.
    pub finished: BTreeMap<SloId, Timestamp>,
    /// Remarks on the evidence for users, each counted when it is first noticed.
    pub noted: BTreeMap<(SloId, WorkflowNote), i64>,
    /// The observed sampling of spans that end workflows.
    pub ends: BTreeMap<SloId, EndSampling>,
    /// The newest of the ends that arrived after their SLO's grace.
    pub delayed_ends: BTreeMap<SloId, Timestamp>,
    /// The longest time, beyond `grace`, that a timeout was counted after its deadline; only if it
    /// was delayed.
    pub delayed_timeouts: BTreeMap<SloId, Duration>,
    pub customers: CustomerMoves,
}

impl CountDelta {
    /// Replaces the counts of an event by those of `new`.
    fn replace(&mut self, slo: SloId, old: Option<&JudgedWorkflow>, new: &JudgedWorkflow) {
        if let Some(old) = old {
            self.subtract_event(slo, old);
            self.note_corrected(slo, old, Some(new));
            if is_corrected(old, new) {
                self.note(slo, WorkflowNote::Corrected);
            }
        }
        self.add_event(slo, new);
        if new.workflow.has_start_and_end() {
            self.ended.insert(slo);
        }
        if let Some(start) = new.workflow.start_of_finished() {
            let newest = self.finished.entry(slo).or_insert(start);
            *newest = start.max(*newest);
        }
        self.learn(slo, &new.workflow);
    }

    /// Records the sampling of a workflow's end, for workflows whose end does not arrive.
    fn learn(&mut self, slo: SloId, workflow: &Workflow) {
        if workflow.details.draws.is_empty() {
            return;
        }
        let start_trace = match workflow.start.map(|start| start.deadline) {
            Some(Deadline::OneSpan) => return,
            Some(Deadline::Within(_)) => Some(workflow.trace.trace_id()),
            None => None,
        };
        if let Some(seen) = workflow.details.draws.end_sampling(start_trace) {
            let known = self.ends.entry(slo).or_default();
            *known = known.join(seen);
        }
    }

    /// Records an end in `new`, which was not in `known`, that took longer than `grace` to arrive.
    pub fn note_delay(
        &mut self,
        slo: SloId,
        known: Option<&JudgedWorkflow>,
        new: &Workflow,
        judging: &Judging,
    ) {
        let is_one_span = |start: Start| start.deadline == Deadline::OneSpan;
        if new.start.is_some_and(is_one_span) {
            return;
        }
        let known_end = known.and_then(|known| known.workflow.latest_end());
        // Evidence that links have moved arrived earlier than now.
        let arrived_at = new.first_evidence_at.unwrap_or(judging.now);
        if let Some(end) = new.latest_end()
            && known_end < Some(end)
            && arrived_at.saturating_since(end) > judging.grace
        {
            let newest = self.delayed_ends.entry(slo).or_insert(end);
            *newest = end.max(*newest);
        }
    }

    /// Records a timeout in `judged`, which was none in `known`, that was counted late: at most the
    /// catch-up time, which bounds how long any sender is waited for.
    fn note_timeout(
        &mut self,
        slo: SloId,
        known: Option<&JudgedWorkflow>,
        judged: &JudgedWorkflow,
        judging: &Judging,
    ) {
        let is_timeout = |one: &JudgedWorkflow| one.verdict.outcome == Outcome::Timeout;
        if !is_timeout(judged) || known.is_some_and(is_timeout) {
            return;
        }
        let due = judged.verdict.at.map(|deadline| deadline + judging.grace);
        let behind = due.map_or(Duration::ZERO, |due| judging.now.saturating_since(due));
        let behind = behind.min(judging.catch_up);
        if behind > COUNTED_IN_TIME {
            let longest = self.delayed_timeouts.entry(slo).or_default();
            *longest = behind.max(*longest);
        }
    }

    /// Counts a note on a workflow.
    pub fn note(&mut self, slo: SloId, notice: WorkflowNote) {
        *self.noted.entry((slo, notice)).or_default() += 1;
    }

    /// Records that an event has moved from one group, if any, to another, or that its verdict has
    /// changed within its group.
    pub fn regroup(
        &mut self,
        old: Option<(SloId, &JudgedWorkflow)>,
        new: Option<(SloId, &JudgedWorkflow)>,
    ) {
        if let Some((group, judged)) = old {
            self.subtract_event(group, judged);
            let stays = new.filter(|(now, _)| *now == group);
            self.note_corrected(group, judged, stays.map(|(_, judged)| judged));
        }
        if let Some((group, judged)) = new {
            self.add_event(group, judged);
        }
    }

    /// Subtracts an event that does not exist any more.
    fn withdraw(&mut self, slo: SloId, old: &JudgedWorkflow) {
        self.subtract_event(slo, old);
        self.note_corrected(slo, old, None);
        if old.verdict.at.is_some() {
            self.note(slo, WorkflowNote::Corrected);
        }
    }

    /// Records what `old` added to the counts and `new` does not.
    fn note_corrected(&mut self, slo: SloId, old: &JudgedWorkflow, new: Option<&JudgedWorkflow>) {
        let counted = |judged: &JudgedWorkflow| {
            let at = judged.verdict.at;
            at.map_or(EventCounts::ZERO, |_| judged.counts())
        };
        let stays = new.map(counted).unwrap_or_default();
        let taken_out = counted(old).beyond(stays);
        if !taken_out.is_zero() {
            *self.corrected.entry(slo).or_default() += taken_out;
        }
    }

    fn subtract_event(&mut self, slo: SloId, judged: &JudgedWorkflow) {
        self.add(slo, &judged.verdict, -judged.counts());
        self.add_open(slo, judged, -1);
        self.customers.subtract_event(slo, judged);
    }

    fn add_event(&mut self, slo: SloId, judged: &JudgedWorkflow) {
        self.add(slo, &judged.verdict, judged.counts());
        self.add_open(slo, judged, 1);
        self.customers.add_event(slo, judged);
    }

    fn add(&mut self, slo: SloId, verdict: &Verdict, counts: EventCounts) {
        let Some(at) = verdict.at else { return };
        if counts.total() > 0 {
            let first = self.first_events.entry(slo).or_insert(at);
            *first = at.min(*first);
        }
        *self
            .by_minute
            .entry((slo, at.floor_to(Resolution::Minute.length())))
            .or_default() += counts;
    }

    fn add_open(&mut self, slo: SloId, judged: &JudgedWorkflow, difference: i64) {
        if let Some(bucket) = OpenBucket::of(judged) {
            *self.open.entry((slo, bucket)).or_default() += difference;
        }
    }

    /// Returns the differences of the numbers of open workflows, sorted; none is zero.
    pub fn open(&self) -> impl Iterator<Item = (SloId, OpenBucket, i64)> {
        let changed = self.open.iter().filter(|(_, difference)| **difference != 0);
        changed.map(|((slo, bucket), difference)| (*slo, *bucket, *difference))
    }

    /// Returns the differences at every resolution, sorted. None is zero, except those of hours and days
    /// in which events only changed: evaluations find changes by their rows.
    pub fn by_bucket(&self) -> BTreeMap<(SloId, Resolution, Timestamp), EventCounts> {
        let mut buckets: BTreeMap<_, EventCounts> = BTreeMap::new();
        for ((slo, minute), counts) in &self.by_minute {
            for resolution in Resolution::ALL {
                let bucket = minute.floor_to(resolution.length());
                *buckets.entry((*slo, resolution, bucket)).or_default() += *counts;
            }
        }
        buckets.retain(|(_, resolution, _), counts| {
            *resolution != Resolution::Minute || !counts.is_zero()
        });
        buckets
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
    if known.is_some_and(|known| is_reuse(&known.workflow, new)) {
        moves.note(slo, WorkflowNote::Reused);
    }
    let judged = apply_whole(slo, known, joined(known, new), judging, moves)?;
    moves.note_delay(slo, known, new, judging);
    Some(judged)
}

/// Judges `workflow`, which contains all evidence so far. `None` if nothing has changed.
pub fn apply_whole(
    slo: SloId,
    known: Option<&JudgedWorkflow>,
    workflow: Workflow,
    judging: &Judging,
    moves: &mut CountDelta,
) -> Option<JudgedWorkflow> {
    let mut workflow = workflow.since(judging.oldest_revision);
    workflow.first_evidence_at.get_or_insert(judging.now);
    let verdict = judge(&workflow, &in_hindsight(known, judging));
    let judged = weigh(workflow, verdict, known, judging);
    if known == Some(&judged) {
        return None;
    }
    let judged = corrected(known, judged, judging.now);
    moves.replace(slo, known, &judged);
    moves.note_timeout(slo, known, &judged, judging);
    let noticed = |one: &JudgedWorkflow| notices(&one.workflow, &one.verdict, judging);
    let before = known.map(noticed).unwrap_or_default();
    for note in noticed(&judged).difference(&before) {
        moves.note(slo, *note);
    }
    Some(judged)
}

/// Returns whether a verdict was replaced by another one, or moved to another bucket.
fn is_corrected(old: &JudgedWorkflow, new: &JudgedWorkflow) -> bool {
    let place = |judged: &JudgedWorkflow| (judged.verdict.outcome, judged.verdict.at);
    old.verdict.at.is_some() && place(old) != place(new)
}

/// Returns `new` with a note of its correction, if `known` had another verdict.
fn corrected(
    known: Option<&JudgedWorkflow>,
    mut new: JudgedWorkflow,
    now: Timestamp,
) -> JudgedWorkflow {
    if let Some(old) = known.filter(|old| is_corrected(old, &new)) {
        let correction = Correction {
            at: now,
            from: old.verdict.outcome,
            to: new.verdict.outcome,
            reason: CorrectionReason::of(&old.workflow, &new.workflow),
        };
        new.workflow.details.corrections.join(&correction.into());
    }
    new
}

/// The wait for the end of a workflow that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitedEnd {
    /// The range in which it would have been in time. Its start is rounded down to the minute, as losses
    /// are stored.
    pub in_time: TimeRange,
    /// The watermark up to which it was waited for.
    pub until: Timestamp,
}

/// Returns the wait for the end, if the verdict is a timeout: the caller must then find out whether
/// evidence was lost during that wait.
///
/// Judges `known` joined with `new`, as [`apply`] does.
pub fn silence(
    known: Option<&JudgedWorkflow>,
    new: &Workflow,
    judging: &Judging,
) -> Option<AwaitedEnd> {
    if new.success.is_some() || new.failure.is_some() {
        return None;
    }
    let workflow = joined(known, new).since(judging.oldest_revision);
    silence_of(known, &workflow, judging)
}

/// Does the same for a workflow with all evidence so far, as [`rejudge`] takes it.
pub fn silence_of(
    known: Option<&JudgedWorkflow>,
    workflow: &Workflow,
    judging: &Judging,
) -> Option<AwaitedEnd> {
    if workflow.success.is_some() || workflow.failure.is_some() {
        return None;
    }
    let verdict = judge(workflow, &in_hindsight(known, judging));
    let start = workflow.start?.at.floor_to(Resolution::Minute.length());
    let deadline = verdict.at.filter(|_| verdict.outcome == Outcome::Timeout)?;
    Some(AwaitedEnd {
        in_time: TimeRange::new(start, deadline + Duration::from_micros(1)),
        until: judging.silence_due(deadline, workflow.first_evidence_at),
    })
}

/// Adds the weight to the verdict. A workflow without an end is a timeout only if its end would
/// have been kept, by the sampling of ends observed so far. Later observations can make it
/// unobservable, permanently unless its end arrives, but do not change its weight. Nor is a
/// workflow a timeout if its end may have been lost.
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
    let start_trace = workflow.trace.trace_id();
    let observable = draws.weight_without_end(start_trace, judging.ends).ok();
    let decided = match known.map(|known| (known.verdict.outcome, known.weight)) {
        Some((Outcome::Timeout | Outcome::EvidenceLost, weight)) => observable.map(|_| weight),
        Some((Outcome::Unobservable, _)) => None,
        _ => observable,
    };
    let outcome = match decided {
        _ if !judging.is_watched => Outcome::Unwatched,
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

/// Returns whether the end may have been lost. This stays true after the record of the loss is
/// deleted.
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

/// Returns a workflow with the evidence of `new` added.
pub fn joined(known: Option<&JudgedWorkflow>, new: &Workflow) -> Workflow {
    let Some(known) = known else {
        return new.clone();
    };
    if known.workflow.has_evidence_of_its_own() {
        let mut workflow = known.workflow.clone();
        workflow.join(new);
        return workflow;
    }
    // It was known only by an end of its batch, which names it after another trace.
    let mut workflow = new.clone();
    workflow.details.shared = known.workflow.details.shared;
    workflow.first_evidence_at = known.workflow.first_evidence_at;
    workflow
}

/// Judges `known` by its remaining evidence, after some turned out to belong to another workflow.
/// `None` if none remains: then it is not an event, and its row must be deleted.
///
/// The label stays, and so does what follows from its key or its batch, since no span carries it.
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
    let mut workflow = Workflow {
        label: known.workflow.label.clone(),
        ..left.clone().since(judging.oldest_revision)
    };
    workflow.details.is_ambiguous = known.workflow.details.is_ambiguous;
    workflow.details.shared = known.workflow.details.shared;
    let corrections = &known.workflow.details.corrections;
    workflow.details.corrections.join(corrections);
    let verdict = judge(&workflow, &in_hindsight(Some(known), judging));
    let judged = weigh(workflow, verdict, Some(known), judging);
    let judged = corrected(Some(known), judged, judging.now);
    moves.replace(slo, Some(known), &judged);
    Some(judged)
}

/// Adjusts the watermark, since a replica whose watermark lags behind must not reopen a workflow
/// that another has found overdue: that verdict implies how far the watermark had come.
fn in_hindsight(known: Option<&JudgedWorkflow>, judging: &Judging) -> Judging {
    let seen = known.and_then(|known| match known.verdict.outcome {
        Outcome::Timeout
        | Outcome::Orphan
        | Outcome::Ambiguous
        | Outcome::Unobservable
        | Outcome::EvidenceLost
        | Outcome::Unwatched => {
            let expected = known.verdict.at;
            expected.map(|at| judging.silence_due(at, known.workflow.first_evidence_at))
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
