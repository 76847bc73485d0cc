//! What one transaction changes: workflows joined with what is known, and the counts that move.
//!
//! Pure: the store reads the known rows, asks here what becomes of them, and writes it down.

use std::collections::BTreeMap;

use super::{
    counts::EventCounts,
    customers::CustomerMoves,
    names::SloId,
    time::{Resolution, Timestamp},
    workflow::{EventKey, Evidence, Judging, Outcome, Verdict, Workflow, judge},
};

/// What identifies an event.
pub type EventId = (SloId, EventKey);

/// Evidence joined by event, in the order in which rows are locked.
pub type Gathered = BTreeMap<EventId, Workflow>;

/// Joins pieces of evidence of the same event.
pub fn gather<'a>(evidence: impl IntoIterator<Item = &'a Evidence>) -> Gathered {
    let mut gathered = Gathered::new();
    for piece in evidence {
        let workflow = Workflow::from(piece);
        gathered
            .entry((piece.slo, piece.key))
            .and_modify(|known| known.join(&workflow))
            .or_insert(workflow);
    }
    gathered
}

/// A workflow and how it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub workflow: Workflow,
    pub verdict: Verdict,
}

/// What moves in the counts. Differences, so that a correction takes an event out of the bucket that
/// it was in and puts it into its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    by_minute: BTreeMap<(SloId, Timestamp), EventCounts>,
    /// Verdicts of good or bad that were replaced by another outcome or moved to another bucket.
    pub corrected: BTreeMap<SloId, i64>,
    pub customers: CustomerMoves,
}

impl Moves {
    /// Notes that the verdict of an event has become `new`.
    fn replace(&mut self, slo: SloId, old: Option<&Verdict>, new: &Verdict) {
        if let Some(old) = old {
            self.add(slo, old, -old.outcome.counts());
            if old.at.is_some() && (old.outcome, old.at) != (new.outcome, new.at) {
                *self.corrected.entry(slo).or_default() += 1;
            }
        }
        self.add(slo, new, new.outcome.counts());
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
    known: Option<&Judged>,
    new: &Workflow,
    judging: &Judging,
    moves: &mut Moves,
) -> Option<Judged> {
    let mut workflow = known.map_or_else(|| new.clone(), |known| known.workflow.clone());
    workflow.join(new);
    let verdict = judge(&workflow, &in_hindsight(known, judging));
    if known.is_some_and(|known| known.workflow == workflow && known.verdict == verdict) {
        return None;
    }
    moves.replace(slo, known.map(|known| &known.verdict), &verdict);
    let judged = Judged { workflow, verdict };
    moves.customers.replace(slo, known, &judged);
    Some(judged)
}

/// A replica whose watermark lags behind must not reopen what another has found overdue: that
/// verdict tells how far the watermark had come.
fn in_hindsight(known: Option<&Judged>, judging: &Judging) -> Judging {
    let seen = known.and_then(|known| match known.verdict.outcome {
        Outcome::Timeout | Outcome::Orphan => known.verdict.at.map(|at| at + judging.grace),
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
