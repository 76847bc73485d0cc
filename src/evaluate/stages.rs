//! Aggregates the time that judged workflows spent in each stage.
//!
//! A workflow is added soon after its verdict, and again when the verdict changes or late spans
//! have arrived. The added amounts are stored with it, so that exactly these are subtracted again.
//! If only a sample of workflows has evidence, the others are added as a whole without stages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    domain::{
        counting::{
            durations::JudgedDurations,
            stages::{
                Breakdown, Folded, HopWaits, KnownStages, StageEvidence, StageMoves, break_down,
            },
        },
        model::{ids::SloId, sampling::Weight, time::Timestamp},
        slo::{Slo, WorkflowIndicator},
        workflow::{
            Outcome,
            classify::{Classifier, DiscardReason},
            stage_buffer::{
                Keeping, KeptStages, KnownHandles, SampledHours, StageCoverage, StagedKey,
                add_known,
            },
        },
    },
    store::{Fold, StageWorkflow, Store, StoreError, Tx},
};

/// The maximum number of transactions for one SLO in one turn, so that a busy SLO does not delay
/// others.
const BATCHES: usize = 20;
/// Collectors retry for five minutes.
const LATE_SPANS: Duration = Duration::from_mins(5);
/// Replicas look every second for evidence that they are asked for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_hours(24);

#[derive(Clone, Debug)]
pub struct StageFolder {
    pub store: Store,
    pub classifier: watch::Receiver<Arc<Classifier>>,
}

/// The result of one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldReport {
    /// Workflows that were examined.
    pub folded: usize,
    /// Durations of workflows with a new verdict, by SLO and whether it is bad.
    pub judged: JudgedDurations,
}

/// Returns how long stage spans are kept: a day longer than the longest workflow of `slos` may
/// take, at most until `horizon`.
pub fn stage_spans_kept<'a>(slos: impl Iterator<Item = &'a Slo>, horizon: Duration) -> Duration {
    let longest = slos
        .filter_map(|slo| slo.staged().map(|workflow| workflow.within + slo.grace))
        .max();
    (longest.unwrap_or_default() + DAY).min(horizon)
}

impl StageFolder {
    /// Aggregates all pending workflows. Any number of replicas may do so at once.
    pub async fn tick(&self, now: Timestamp) -> Result<FoldReport, StoreError> {
        let classifier = Arc::clone(&self.classifier.borrow());
        let wanted: BTreeMap<SloId, StagedSlo<'_>> = classifier
            .slos()
            .iter()
            .filter_map(|(id, slo)| Some((*id, StagedSlo::new(*id, slo, &classifier)?)))
            .collect();
        let ids: Vec<SloId> = wanted.keys().copied().collect();
        let mut tx = self
            .store
            .begin("find workflows whose stages are to be summed up")
            .await?;
        let to_fold = tx.slos_to_fold(&ids, now).await?;
        tx.commit().await?;
        let mut report = FoldReport::default();
        for id in to_fold {
            if let Some(slo) = wanted.get(&id) {
                self.fold_slo(slo, &mut report, now).await?;
            }
        }
        Ok(report)
    }

    async fn fold_slo(
        &self,
        slo: &StagedSlo<'_>,
        report: &mut FoldReport,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for _ in 0..BATCHES {
            let mut tx = self.store.begin("sum up the stages of workflows").await?;
            if !tx.claim_folding(slo.id).await? {
                break;
            }
            let Some(workflows) = tx.workflows_to_fold(slo.id, now).await? else {
                break;
            };
            let batch = fold_batch(&mut tx, slo, &workflows, now).await?;
            tx.commit().await?;
            report.folded += batch.folded;
            for (key, durations) in &batch.judged {
                let all = report.judged.entry(key.clone()).or_default();
                all.merge(durations);
            }
        }
        Ok(())
    }
}

/// An SLO whose stages are stored.
struct StagedSlo<'a> {
    id: SloId,
    slo: &'a Slo,
    indicator: &'a WorkflowIndicator,
    classifier: &'a Classifier,
}

impl<'a> StagedSlo<'a> {
    fn new(id: SloId, slo: &'a Slo, classifier: &'a Classifier) -> Option<Self> {
        Some(Self {
            id,
            slo,
            indicator: slo.staged()?,
            classifier,
        })
    }
}

/// The differences from aggregating some workflows.
#[derive(Default)]
struct FoldChanges {
    moves: StageMoves,
    hops: HopWaits,
    discarded: BTreeMap<(SloId, DiscardReason), i64>,
    judged: JudgedDurations,
    /// Bad workflows outside of the sample, whose evidence replicas may have in memory.
    asked: KnownHandles,
}

async fn fold_batch(
    tx: &mut Tx<'_>,
    slo: &StagedSlo<'_>,
    locked: &[StageWorkflow],
    now: Timestamp,
) -> Result<FoldReport, StoreError> {
    let id = slo.id;
    let workflows: Vec<_> = locked.iter().filter(|one| is_needed(one, now)).collect();
    let begun: Vec<_> = workflows
        .iter()
        .map(|one| (one.key, one.trace_id))
        .collect();
    let correlate = &slo.indicator.correlate;
    let keys = tx.evidence_keys(id, correlate, &begun).await?;
    let pieces = tx.stage_evidence_of(id, &keys).await?;
    let mut known = KnownStages(tx.known_stages(id, now).await?);
    let starts = workflows.iter().map(|one| one.started_at());
    let oldest = starts.min().unwrap_or(now).min(now);
    let hours = tx.sampled_hours_of(id, oldest - DAY).await?;
    let mut changes = FoldChanges::default();
    let mut folds = Vec::with_capacity(workflows.len());
    for (workflow, pieces) in workflows.iter().zip(&pieces) {
        let own = (*workflow, pieces.as_slice());
        let plan = StagePlan::new(own, slo, &hours);
        folds.push(changes.fold(own, (slo, plan), &mut known, now));
    }
    tx.add_stage_sums(id, &changes.moves).await?;
    tx.add_hop_waits(id, now, changes.hops).await?;
    tx.note_folded(id, &folds).await?;
    tx.ask_for_stages(&changes.asked).await?;
    tx.count_discarded(now, &changes.discarded).await?;
    Ok(FoldReport {
        folded: folds.len(),
        judged: changes.judged,
    })
}

/// What is done with the stages of a workflow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StagePlan {
    Divide,
    /// Its evidence is in memory, so it is looked at again when replicas have stored it.
    Ask,
    LeaveOut,
}

impl StagePlan {
    fn new(
        (workflow, pieces): (&StageWorkflow, &[StageEvidence]),
        slo: &StagedSlo<'_>,
        hours: &SampledHours,
    ) -> Self {
        let folded = workflow.folded.as_ref();
        // What was whole stays whole, although the sample may be smaller now.
        if folded.is_some_and(Folded::is_event) && !was_left_out(workflow) {
            return Self::Divide;
        }
        let is_bad = workflow
            .verdict()
            .is_some_and(|(outcome, _)| outcome.is_bad());
        let (key, started_at) = (workflow.key, workflow.started_at());
        match hours.coverage(key, started_at, slo.slo.clock_skew, is_bad) {
            StageCoverage::InMemory if workflow.is_unfolded() => Self::Ask,
            // A replica that has ended had it.
            StageCoverage::InMemory if pieces.is_empty() => Self::LeaveOut,
            StageCoverage::Stored | StageCoverage::InMemory => Self::Divide,
            StageCoverage::Absent => Self::LeaveOut,
        }
    }
}

impl FoldChanges {
    /// Adds the changes from aggregating one workflow.
    fn fold<'w>(
        &mut self,
        (workflow, pieces): (&'w StageWorkflow, &[StageEvidence]),
        (slo, plan): (&StagedSlo<'_>, StagePlan),
        known: &mut KnownStages,
        now: Timestamp,
    ) -> Fold<'w> {
        self.hops.add(pieces, i64::from(workflow.folded.is_none()));
        let folded = workflow.verdict().map(|(outcome, at)| {
            let timeline = workflow.timeline(at);
            let mut breakdown = match (outcome, plan) {
                // It ends before it starts.
                (Outcome::Invalid, _) => Breakdown::default(),
                (_, StagePlan::Divide) => break_down(timeline, pieces, &slo.indicator.stages),
                (_, StagePlan::Ask | StagePlan::LeaveOut) => Breakdown::unsampled(timeline.range),
            };
            let refused = known.admit(&mut breakdown);
            self.discard(slo.id, DiscardReason::TooManyStages, refused);
            Folded {
                outcome,
                judged_at: at,
                breakdown,
                weight: workflow.weight,
            }
        });
        if let Some(old) = &workflow.folded {
            self.moves.add(old, -1);
        }
        if let Some(new) = &folded {
            self.moves.add(new, 1);
        }
        let is_news = workflow.is_unfolded();
        if let Some(new) = folded.as_ref().filter(|new| is_news && new.is_event()) {
            let key = (slo.slo.name.clone(), new.outcome.is_bad());
            let weight = new.weight.unwrap_or(Weight::ONE);
            let all = self.judged.entry(key).or_default();
            all.add(new.breakdown.total_micros(), weight);
        }
        let is_event = folded.as_ref().is_some_and(Folded::is_event);
        let again_after = match plan {
            _ if folded.is_none() => None,
            StagePlan::Ask if is_event => {
                self.ask(workflow, slo);
                Some(ANSWERED_WITHIN)
            }
            StagePlan::LeaveOut if is_event => {
                self.discard(slo.id, DiscardReason::StagesNotSampled, 1);
                None
            }
            // Later spans cannot be added to their workflow any more.
            _ if is_news || was_left_out(workflow) => Some(LATE_SPANS),
            StagePlan::Divide | StagePlan::Ask | StagePlan::LeaveOut => None,
        };
        Fold {
            workflow,
            folded,
            again_at: again_after.map(|after| now + after),
        }
    }

    fn ask(&mut self, workflow: &StageWorkflow, slo: &StagedSlo<'_>) {
        let own = ((slo.id, workflow.key), workflow.trace_id);
        let kept = KeptStages {
            slo: slo.id,
            keeping: Keeping::StoredAsBad,
        };
        for StagedKey { key, .. } in slo.classifier.stage_keys([own]) {
            add_known(&mut self.asked, key.handle(), kept);
        }
    }

    fn discard(&mut self, slo: SloId, reason: DiscardReason, count: i64) {
        if count > 0 {
            *self.discarded.entry((slo, reason)).or_default() += count;
        }
    }
}

fn was_left_out(workflow: &StageWorkflow) -> bool {
    let folded = workflow.folded.as_ref();
    folded.is_some_and(|folded| folded.breakdown.is_unsampled())
}

/// Returns whether there is something to add or subtract. Spans of a verdict that is older than a
/// day and was never aggregated are deleted.
fn is_needed(workflow: &StageWorkflow, now: Timestamp) -> bool {
    let is_recent = |(_, at): (Outcome, Timestamp)| at >= now - DAY;
    workflow.folded.is_some() || workflow.verdict().is_some_and(is_recent)
}
