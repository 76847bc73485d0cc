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
            stages::{AggregatedStages, Breakdown, HopWaits, KnownStages, StageMoves, break_down},
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
            stage_evidence::StageEvidence,
        },
    },
    store::{StageAggregate, StageWorkflow, Store, StoreError, Tx},
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
pub struct StageAggregator {
    pub store: Store,
    pub classifier: watch::Receiver<Arc<Classifier>>,
}

/// The result of one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageReport {
    /// Workflows that were examined.
    pub aggregated: usize,
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

impl StageAggregator {
    /// Aggregates all pending workflows. Any number of replicas may do so at once.
    pub async fn tick(&self, now: Timestamp) -> Result<StageReport, StoreError> {
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
        let to_aggregate = tx.slos_to_aggregate(&ids, now).await?;
        tx.commit().await?;
        let mut report = StageReport::default();
        for id in to_aggregate {
            if let Some(slo) = wanted.get(&id) {
                self.aggregate_slo(slo, &mut report, now).await?;
            }
        }
        Ok(report)
    }

    async fn aggregate_slo(
        &self,
        slo: &StagedSlo<'_>,
        report: &mut StageReport,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for _ in 0..BATCHES {
            let mut tx = self.store.begin("sum up the stages of workflows").await?;
            if !tx.claim_aggregation(slo.id).await? {
                break;
            }
            let Some(workflows) = tx.workflows_to_aggregate(slo.id, now).await? else {
                break;
            };
            let batch = aggregate_batch(&mut tx, slo, &workflows, now).await?;
            tx.commit().await?;
            report.aggregated += batch.aggregated;
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

/// Aggregates some workflows of one SLO, whose rows are locked.
async fn aggregate_batch(
    tx: &mut Tx<'_>,
    slo: &StagedSlo<'_>,
    locked: &[StageWorkflow],
    now: Timestamp,
) -> Result<StageReport, StoreError> {
    let workflows: Vec<_> = locked.iter().filter(|one| is_needed(one, now)).collect();
    let begun: Vec<_> = workflows
        .iter()
        .map(|one| (one.key, one.trace_id))
        .collect();
    let correlators = &slo.indicator.correlate;
    let keys = tx.evidence_keys(slo.id, correlators, &begun).await?;
    let pieces = tx.stage_evidence_of(slo.id, &keys).await?;
    let known = KnownStages(tx.known_stages(slo.id, now).await?);
    let starts = workflows.iter().map(|one| one.started_at());
    let oldest = starts.min().unwrap_or(now).min(now);
    let hours = tx.sampled_hours_of(slo.id, oldest - DAY).await?;
    let mut batch = StageBatch::new(known);
    for (workflow, pieces) in workflows.into_iter().zip(&pieces) {
        let plan = StagePlan::new(slo, workflow, pieces, &hours);
        batch.add(slo, plan, workflow, pieces, now);
    }
    batch.write(tx, slo.id, now).await
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
        slo: &StagedSlo<'_>,
        workflow: &StageWorkflow,
        pieces: &[StageEvidence],
        hours: &SampledHours,
    ) -> Self {
        let before = workflow.aggregated.as_ref();
        // What was whole stays whole, although the sample may be smaller now.
        if before.is_some_and(AggregatedStages::is_event) && !was_left_out(workflow) {
            return Self::Divide;
        }
        let outcome = workflow.verdict().map(|(outcome, _)| outcome);
        let (key, started_at) = (workflow.key, workflow.started_at());
        match hours.coverage(key, started_at, slo.slo.clock_skew, outcome) {
            StageCoverage::InMemory if workflow.has_new_verdict() => Self::Ask,
            // A replica that has ended had it.
            StageCoverage::InMemory if pieces.is_empty() => Self::LeaveOut,
            StageCoverage::Stored | StageCoverage::InMemory => Self::Divide,
            StageCoverage::Absent => Self::LeaveOut,
        }
    }
}

/// The changes that follow from some workflows of one SLO.
struct StageBatch<'a> {
    known: KnownStages,
    moves: StageMoves,
    hops: HopWaits,
    discarded: BTreeMap<(SloId, DiscardReason), i64>,
    judged: JudgedDurations,
    aggregates: Vec<StageAggregate<'a>>,
    /// Bad workflows outside of the sample, whose evidence replicas may have in memory.
    asked: KnownHandles,
}

impl<'a> StageBatch<'a> {
    fn new(known: KnownStages) -> Self {
        Self {
            known,
            moves: StageMoves::default(),
            hops: HopWaits::default(),
            discarded: BTreeMap::new(),
            judged: JudgedDurations::new(),
            aggregates: Vec::new(),
            asked: KnownHandles::default(),
        }
    }

    /// Subtracts what was added of a workflow, and adds what is known of it now.
    fn add(
        &mut self,
        slo: &StagedSlo<'_>,
        plan: StagePlan,
        workflow: &'a StageWorkflow,
        pieces: &[StageEvidence],
        now: Timestamp,
    ) {
        let before = workflow.aggregated.as_ref();
        self.hops.add(pieces, i64::from(before.is_none()));
        let after = self.stages_of(slo, plan, workflow, pieces);
        if let Some(before) = before {
            self.moves.add(before, -1);
        }
        if let Some(after) = &after {
            self.moves.add(after, 1);
        }
        let is_new = workflow.has_new_verdict();
        if let Some(after) = after.as_ref().filter(|after| is_new && after.is_event()) {
            let key = (slo.slo.name.clone(), after.outcome.is_bad());
            let weight = after.weight.unwrap_or(Weight::ONE);
            let all = self.judged.entry(key).or_default();
            all.add(after.breakdown.total_micros(), weight);
        }
        let again_after = self.again_after(slo, plan, workflow, after.as_ref());
        self.aggregates.push(StageAggregate {
            workflow,
            aggregated: after,
            again_at: again_after.map(|again_after| now + again_after),
        });
    }

    /// Divides the time of a workflow among its stages; `None` without a verdict.
    fn stages_of(
        &mut self,
        slo: &StagedSlo<'_>,
        plan: StagePlan,
        workflow: &StageWorkflow,
        pieces: &[StageEvidence],
    ) -> Option<AggregatedStages> {
        let (outcome, judged_at) = workflow.verdict()?;
        let timeline = workflow.timeline(judged_at);
        let mut breakdown = match (outcome, plan) {
            // It ends before it starts.
            (Outcome::Invalid, _) => Breakdown::default(),
            (_, StagePlan::Divide) => break_down(timeline, pieces, &slo.indicator.stages),
            (_, StagePlan::Ask | StagePlan::LeaveOut) => Breakdown::unsampled(timeline.range),
        };
        let refused = self.known.admit(&mut breakdown);
        self.discard(slo.id, DiscardReason::TooManyStages, refused);
        Some(AggregatedStages {
            outcome,
            judged_at,
            breakdown,
            weight: workflow.weight,
        })
    }

    /// Does what the plan says about the evidence of a workflow, and returns how long after it is looked
    /// at again.
    fn again_after(
        &mut self,
        slo: &StagedSlo<'_>,
        plan: StagePlan,
        workflow: &StageWorkflow,
        after: Option<&AggregatedStages>,
    ) -> Option<Duration> {
        let is_event = after?.is_event();
        match plan {
            StagePlan::Ask if is_event => {
                self.ask(workflow, slo);
                Some(ANSWERED_WITHIN)
            }
            StagePlan::LeaveOut if is_event => {
                self.discard(slo.id, DiscardReason::StagesNotSampled, 1);
                None
            }
            // Later spans cannot be added to their workflow any more.
            _ if workflow.has_new_verdict() || was_left_out(workflow) => Some(LATE_SPANS),
            StagePlan::Divide | StagePlan::Ask | StagePlan::LeaveOut => None,
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

    async fn write(
        self,
        tx: &mut Tx<'_>,
        slo: SloId,
        now: Timestamp,
    ) -> Result<StageReport, StoreError> {
        tx.add_stage_sums(slo, &self.moves).await?;
        tx.add_hop_waits(slo, now, self.hops).await?;
        tx.note_aggregated(slo, &self.aggregates).await?;
        tx.ask_for_stages(&self.asked).await?;
        tx.count_discarded(now, &self.discarded).await?;
        Ok(StageReport {
            aggregated: self.aggregates.len(),
            judged: self.judged,
        })
    }
}

fn was_left_out(workflow: &StageWorkflow) -> bool {
    let before = workflow.aggregated.as_ref();
    before.is_some_and(|before| before.breakdown.is_unsampled())
}

/// Returns whether there is something to add or subtract. Spans of a verdict that is older than a
/// day and was never aggregated are deleted.
fn is_needed(workflow: &StageWorkflow, now: Timestamp) -> bool {
    let is_recent = |(_, at): (Outcome, Timestamp)| at >= now - DAY;
    workflow.aggregated.is_some() || workflow.verdict().is_some_and(is_recent)
}
