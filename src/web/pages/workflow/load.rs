//! The reads for the page of one workflow, all in one transaction.

use std::time::Duration;

use super::{
    steps::StepView,
    view::{
        CorrectionView, CurrentStage, DefinitionInForce, IncidentOfWorkflow, RemarkView,
        SectionView, StoryView, TraceView,
    },
};
use crate::{
    domain::{
        counting::{
            stages::{Breakdown, Stage, StageEvidence, StageSection, WhereTimeGoes, sections},
            story::{StoryEvidence, WorkflowStory, deadline, verdict_rule},
        },
        model::{
            ids::{Revision, SloId},
            time::{TimeRange, Timestamp},
        },
        slo::{Correlator, Indicator, Slo},
        workflow::{EventKey, Judging, Outcome, SharedEnd, Workflow, notices},
    },
    store::{StageWorkflow, StoreError, StoredWorkflow, Tx},
    web::{
        error::WebError,
        pages::{addresses, slo::explanation},
        reader::times,
        state::WebState,
    },
};

/// The time range of the mean of good workflows.
const USUAL: Duration = Duration::from_hours(24);

/// Reads the view; `None` if there is no such workflow.
pub(super) async fn view(
    state: &WebState,
    slo: &Slo,
    key: EventKey,
) -> Result<Option<StoryView>, WebError> {
    let now = state.clock.now();
    let mut tx = state.reads().begin("read a workflow").await?;
    let Some(record) = tx.slo(&slo.name).await? else {
        return Ok(None);
    };
    let id = record.id;
    let Some(stored) = tx.workflow(id, key).await? else {
        return Ok(None);
    };
    let stored = state.shown(&slo.name, stored);
    let linked = tx.linked_evidence(id, key).await?;
    let staged = Staged::read(&mut tx, id, slo, key, now).await?;
    let workflow = &stored.judged.workflow;
    let known = StoryEvidence {
        workflow,
        pieces: &staged.pieces,
        linked: &linked,
    };
    let story = WorkflowStory::new(known);
    let ended_at = staged.ended_at.or_else(|| end(workflow));
    let traces = TraceView::all(&story.traces(&known), workflow, &state.trace_viewers, now);
    let verdict = stored.judged.verdict;
    let corrections = workflow.details.corrections.iter();
    let missing = story.missing.iter().map(|step| step.text(times::zone()));
    let view = StoryView {
        as_of: now,
        slo: slo.name.clone(),
        display_name: slo.display_name.clone(),
        key: key.to_string(),
        path: addresses::workflow(&slo.name, key),
        label: workflow.label.clone(),
        customer: workflow.customer.clone(),
        group: group(state, &mut tx, slo, &stored).await?,
        outcome: verdict.outcome,
        counted_at: verdict.at,
        judged_again_at: verdict.due,
        verdict_rule: verdict_rule(workflow, &verdict),
        started_at: workflow.start.map(|start| start.at),
        ended_at,
        deadline: deadline(workflow),
        corrections: corrections.map(CorrectionView::new).collect(),
        first_evidence_at: workflow.first_evidence_at,
        weight: stored
            .judged
            .weight
            .map(|weight| seconds(weight.millionths())),
        current: current(&mut tx, id, &staged, ended_at, now).await?,
        missing: missing.collect(),
        clock_skew_seconds: story.clock_skew_us().map(seconds),
        remarks: remarks(slo, &stored, now),
        sections: SectionView::all(&staged.sections),
        stages: staged.stages(),
        steps: StepView::all(story.events, &traces),
        traces,
        definition: definition(&mut tx, workflow.revision, state).await?,
        incidents: incidents(state, slo, &mut tx, id, &stored).await?,
    };
    Ok(Some(view))
}

/// Returns when it ended, by its row alone.
fn end(workflow: &Workflow) -> Option<Timestamp> {
    let ends = [
        workflow.success,
        workflow.failure,
        workflow.late,
        workflow.cancelled,
    ];
    let shared = workflow.details.shared.and_then(SharedEnd::at);
    ends.into_iter().flatten().next().or(shared)
}

/// The stages of one workflow.
#[derive(Default)]
struct Staged {
    pieces: Vec<StageEvidence>,
    sections: Vec<StageSection>,
    ended_at: Option<Timestamp>,
    /// The stored sums, for a workflow whose spans are deleted.
    counted: Option<Breakdown>,
}

impl Staged {
    /// Has no sections if the definition does not request stages, or the start is unknown.
    async fn read(
        tx: &mut Tx<'_>,
        id: SloId,
        slo: &Slo,
        key: EventKey,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let Some(indicator) = slo.staged() else {
            return Ok(Self::default());
        };
        let found = tx.workflows_for_stages(id, &[key]).await?;
        let Some(workflow) = found.first() else {
            return Ok(Self::default());
        };
        let of_one = [(key, workflow.trace_id)];
        let keys = tx.evidence_keys(id, &indicator.correlate, &of_one).await?;
        let mut pieces = tx.stage_evidence_of(id, &keys).await?;
        let pieces = pieces.pop().unwrap_or_default();
        let timeline = workflow.timeline(now);
        Ok(Self {
            sections: sections(timeline, &pieces, &indicator.stages),
            ended_at: workflow.ended_at(),
            counted: counted(workflow),
            pieces,
        })
    }

    /// Returns all stages with their time; they add up to the whole.
    fn stages(&self) -> Breakdown {
        match &self.counted {
            Some(counted) if self.pieces.is_empty() => counted.clone(),
            _ => Breakdown::of(self.sections.clone()),
        }
    }
}

fn counted(workflow: &StageWorkflow) -> Option<Breakdown> {
    let aggregated = workflow.aggregated.as_ref()?;
    Some(aggregated.breakdown.clone())
}

/// Returns the present stage of a workflow that has not ended, and the usual time in it.
async fn current(
    tx: &mut Tx<'_>,
    id: SloId,
    staged: &Staged,
    ended_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<CurrentStage>, StoreError> {
    let Some(last) = staged.sections.last().filter(|_| ended_at.is_none()) else {
        return Ok(None);
    };
    let (good, bad) = tx.stage_sums(id, TimeRange::ending_at(now, USUAL)).await?;
    let means = WhereTimeGoes::new(&good, &bad).stages;
    let is_same = |stage: &Stage| *stage == last.stage;
    let usual = means.iter().find(|mean| is_same(&mean.stage));
    Ok(Some(CurrentStage {
        stage: last.stage.title(),
        kind: last.stage.kind,
        name: last.stage.name.clone(),
        since: last.range.from,
        seconds: last.range.length().as_secs_f64(),
        // A stage that no good workflow was in has a mean of 0.
        usual_seconds: usual
            .and_then(|mean| mean.good_secs)
            .filter(|secs| *secs > 0.0),
    }))
}

async fn group(
    state: &WebState,
    tx: &mut Tx<'_>,
    slo: &Slo,
    stored: &StoredWorkflow,
) -> Result<Option<String>, StoreError> {
    let Some(id) = stored.group else {
        return Ok(None);
    };
    let found = state.shown(&slo.name, tx.group(id).await?);
    Ok(found.map(|found| found.group.text()))
}

fn remarks(slo: &Slo, stored: &StoredWorkflow, now: Timestamp) -> Vec<RemarkView> {
    let by_trace = match &slo.indicator {
        Indicator::Workflow(workflow) => workflow.correlate == [Correlator::Trace],
        Indicator::Span(_) => false,
    };
    let judging = Judging {
        is_by_trace: by_trace,
        skew_tolerance: slo.clock_skew,
        ..Judging::healthy(slo.grace, now)
    };
    let notes = notices(&stored.judged.workflow, &stored.judged.verdict, &judging);
    let remark = |reason: &'static str| {
        let (meaning, next_step) = explanation(reason);
        RemarkView {
            reason,
            meaning,
            next_step,
        }
    };
    notes
        .into_iter()
        .map(|note| remark(note.as_str()))
        .collect()
}

async fn definition(
    tx: &mut Tx<'_>,
    revision: Revision,
    state: &WebState,
) -> Result<DefinitionInForce, StoreError> {
    let newest = tx.definitions_in_force().await?;
    let from = tx.in_force_from(revision).await?;
    Ok(DefinitionInForce {
        revision,
        in_force_from: from,
        is_newest: revision == newest,
        text: from.map(|at| times::moment(at, state.clock.now())),
    })
}

/// Returns the incidents that a bad workflow was counted in.
async fn incidents(
    state: &WebState,
    slo: &Slo,
    tx: &mut Tx<'_>,
    id: SloId,
    stored: &StoredWorkflow,
) -> Result<Vec<IncidentOfWorkflow>, StoreError> {
    let verdict = stored.judged.verdict;
    let Some(at) = verdict.at.filter(|_| verdict.outcome.is_bad()) else {
        return Ok(Vec::new());
    };
    let slos: Vec<SloId> = [Some(id), stored.group].into_iter().flatten().collect();
    let episodes = tx.episodes_at(&slos, at).await?;
    let episodes = state.shown(&slo.name, episodes).into_iter();
    Ok(episodes.map(IncidentOfWorkflow::new).collect())
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a few years")]
/// Converts from microseconds.
pub(super) fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Returns whether an open workflow is past its deadline.
pub(super) fn is_overdue(outcome: Outcome, deadline: Option<Timestamp>, now: Timestamp) -> bool {
    outcome == Outcome::Open && deadline.is_some_and(|deadline| deadline < now)
}
