//! Aggregates the time that judged workflows spent in each stage.
//!
//! A workflow is added soon after its verdict, and again when the verdict changes or late spans
//! have arrived. The added amounts are stored with it, so that exactly these are subtracted again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    domain::{
        counting::{
            durations::JudgedDurations,
            stages::{Breakdown, Folded, HopWaits, KnownStages, StageMoves, break_down},
        },
        model::{
            ids::{Name, SloId},
            sampling::Weight,
            time::Timestamp,
        },
        slo::{Slo, WorkflowIndicator},
        workflow::{
            Outcome,
            classify::{Classifier, DiscardReason},
        },
    },
    store::{Fold, StageWorkflow, Store, StoreError, Tx},
};

/// The maximum number of transactions for one SLO in one turn, so that a busy SLO does not delay
/// others.
const BATCHES: usize = 20;
/// Collectors retry for five minutes.
const LATE_SPANS: Duration = Duration::from_mins(5);
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
            .filter_map(|(id, slo)| Some((*id, StagedSlo::new(*id, slo)?)))
            .collect();
        let ids: Vec<SloId> = wanted.keys().copied().collect();
        let mut tx = self.store.begin("look for workflows to fold").await?;
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
            let mut tx = self.store.begin("fold the stages of workflows").await?;
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
    name: &'a Name,
    indicator: &'a WorkflowIndicator,
}

impl<'a> StagedSlo<'a> {
    fn new(id: SloId, slo: &'a Slo) -> Option<Self> {
        let (name, indicator) = (&slo.name, slo.staged()?);
        Some(Self {
            id,
            name,
            indicator,
        })
    }
}

async fn fold_batch(
    tx: &mut Tx<'_>,
    &StagedSlo {
        id: slo,
        name,
        indicator,
    }: &StagedSlo<'_>,
    locked: &[StageWorkflow],
    now: Timestamp,
) -> Result<FoldReport, StoreError> {
    let mut judged = JudgedDurations::new();
    let workflows: Vec<_> = locked.iter().filter(|one| is_needed(one, now)).collect();
    let begun: Vec<_> = workflows
        .iter()
        .map(|one| (one.key, one.trace_id))
        .collect();
    let keys = tx.evidence_keys(slo, &indicator.correlate, &begun).await?;
    let pieces = tx.stage_evidence_of(slo, &keys).await?;
    let mut known = KnownStages(tx.known_stages(slo, now).await?);
    let (mut moves, mut hops, mut refused) = (StageMoves::default(), HopWaits::default(), 0);
    let mut folds = Vec::with_capacity(workflows.len());
    for (workflow, pieces) in workflows.iter().zip(&pieces) {
        hops.add(pieces, i64::from(workflow.folded.is_none()));
        let folded = workflow.verdict().map(|(outcome, at)| {
            let mut breakdown = match outcome {
                // It ends before it starts.
                Outcome::Invalid => Breakdown::default(),
                _ => break_down(workflow.timeline(at), pieces, &indicator.stages),
            };
            refused += known.admit(&mut breakdown);
            Folded {
                outcome,
                judged_at: at,
                breakdown,
                weight: workflow.weight,
            }
        });
        if let Some(old) = &workflow.folded {
            moves.add(old, -1);
        }
        if let Some(new) = &folded {
            moves.add(new, 1);
        }
        let is_news = workflow.is_unfolded();
        if let Some(new) = folded.as_ref().filter(|new| is_news && new.is_event()) {
            let key = (name.clone(), new.outcome.is_bad());
            let weight = new.weight.unwrap_or(Weight::ONE);
            let all = judged.entry(key).or_default();
            all.add(new.breakdown.total_micros(), weight);
        }
        // Later spans cannot be added to their workflow any more.
        let again_at = (is_news && folded.is_some()).then(|| now + LATE_SPANS);
        folds.push(Fold {
            workflow,
            folded,
            again_at,
        });
    }
    tx.add_stage_sums(slo, &moves).await?;
    tx.add_hop_waits(slo, now, hops).await?;
    tx.note_folded(slo, &folds).await?;
    if refused > 0 {
        let reason = (slo, DiscardReason::TooManyStages);
        tx.count_discarded(now, &BTreeMap::from([(reason, refused)]))
            .await?;
    }
    Ok(FoldReport {
        folded: folds.len(),
        judged,
    })
}

/// Returns whether there is something to add or subtract. Spans of a verdict that is older than a
/// day and was never aggregated are deleted.
fn is_needed(workflow: &StageWorkflow, now: Timestamp) -> bool {
    let is_recent = |(_, at): (Outcome, Timestamp)| at >= now - DAY;
    workflow.folded.is_some() || workflow.verdict().is_some_and(is_recent)
}
