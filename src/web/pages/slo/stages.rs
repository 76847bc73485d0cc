//! The stages of workflows: the mean of good and bad ones, and single workflows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        counting::stages::{Breakdown, Stage, StageKind, StageMean, WhereTimeGoes, sections},
        model::{
            format,
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        slo::Slo,
        workflow::EventKey,
    },
    store::{StoreError, Tx, WorkflowRecord},
    web::chart::{Bar, Markup, strip, waterfall},
};

/// The stages over the range. The means of a column add up to the whole, the shares to 1.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct StagesView {
    pub(super) good_workflows: i64,
    pub(super) bad_workflows: i64,
    /// The share of good workflows whose stages are known: those of a sample, if there are too many.
    pub(super) good_sampled_ratio: Option<f64>,
    pub(super) bad_sampled_ratio: Option<f64>,
    pub(super) good_mean_seconds: Option<f64>,
    pub(super) bad_mean_seconds: Option<f64>,
    /// In the order in which workflows reach them.
    pub(super) stages: Vec<StageRow>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct StageRow {
    kind: StageKind,
    name: String,
    pub(super) title: String,
    good_mean_seconds: Option<f64>,
    bad_mean_seconds: Option<f64>,
    share_of_excess_ratio: Option<f64>,
    #[serde(skip)]
    pub(super) bars: Markup,
    /// True if most of the extra time of bad workflows is spent here.
    #[serde(skip)]
    pub(super) is_slowest: bool,
}

/// The stages of one workflow, in the order in which it reached them.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
pub(in crate::web::pages) struct OwnStages {
    stages: Vec<OwnStage>,
    /// The present stage of a workflow that has not ended.
    pub(super) current_stage: Option<String>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
struct OwnStage {
    kind: StageKind,
    name: String,
    seconds: f64,
}

/// Reads the stages; `None` if the definition does not request stages.
pub(super) async fn over(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    range: TimeRange,
) -> Result<Option<StagesView>, StoreError> {
    let Some(workflow) = slo.staged() else {
        return Ok(None);
    };
    let (good, bad) = tx.stage_sums(id, range).await?;
    let found = WhereTimeGoes::new(&good, &bad);
    Ok(Some(StagesView::new(&found, workflow.within.as_secs_f64())))
}

/// Returns the stages of each of `workflows` that has any, by key.
pub(in crate::web::pages) async fn of_workflows(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    workflows: impl Iterator<Item = &WorkflowRecord>,
    now: Timestamp,
) -> Result<BTreeMap<EventKey, OwnStages>, StoreError> {
    let Some(indicator) = slo.staged() else {
        return Ok(BTreeMap::new());
    };
    let keys: Vec<EventKey> = workflows.map(|record| record.key).collect();
    let workflows = tx.workflows_for_stages(id, &keys).await?;
    let begun: Vec<_> = workflows
        .iter()
        .map(|one| (one.key, one.trace_id))
        .collect();
    let keys = tx.evidence_keys(id, &indicator.correlate, &begun).await?;
    let pieces = tx.stage_evidence_of(id, &keys).await?;
    let own = workflows.iter().zip(&pieces).map(|(workflow, pieces)| {
        let sections = sections(workflow.timeline(now), pieces, &indicator.stages);
        let current_stage = sections.last().map(|last| last.stage.title());
        let stages = OwnStages {
            stages: OwnStage::all(Breakdown::of(sections)),
            current_stage,
        };
        (workflow.key, stages)
    });
    Ok(own.collect())
}

impl StagesView {
    fn new(found: &WhereTimeGoes, within: f64) -> Self {
        let slowest = found.slowest().map(|mean| &mean.stage);
        let longest = [found.good_secs, found.bad_secs].into_iter().flatten();
        let axis = longest.fold(within, f64::max) * 1.05;
        let (mut good, mut bad) = (0.0, 0.0);
        let rows = found.stages.iter().map(|mean| {
            let bar = |begin: &mut f64, secs: Option<f64>| {
                let secs = secs?;
                let bar = Bar {
                    kind: mean.stage.kind,
                    begin: *begin / axis,
                    length: secs / axis,
                };
                *begin += secs;
                Some(bar)
            };
            let bars = waterfall(
                bar(&mut bad, mean.bad_secs),
                bar(&mut good, mean.good_secs),
                within / axis,
            );
            StageRow::new(mean, bars, slowest)
        });
        Self {
            stages: rows.collect(),
            good_workflows: found.good_workflows,
            bad_workflows: found.bad_workflows,
            good_sampled_ratio: found.good_sampled_ratio,
            bad_sampled_ratio: found.bad_sampled_ratio,
            good_mean_seconds: found.good_secs,
            bad_mean_seconds: found.bad_secs,
        }
    }

    pub(super) fn good_text(&self) -> String {
        format::seconds(self.good_mean_seconds)
    }

    pub(super) fn bad_text(&self) -> String {
        format::seconds(self.bad_mean_seconds)
    }

    /// Formats `1,204 good, 38 bad`.
    pub(super) fn counts_text(&self) -> String {
        format!(
            "{} good, {} bad",
            format::count(self.good_workflows),
            format::count(self.bad_workflows)
        )
    }

    /// Formats `Stages are those of a sample: of 6 % of the good workflows and 100 % of the bad ones.`;
    /// `None` if they are those of all.
    pub(super) fn sample_text(&self) -> Option<String> {
        let (good, bad) = (self.good_sampled_ratio, self.bad_sampled_ratio);
        let is_sample = |ratio: Option<f64>| ratio.is_some_and(|ratio| ratio < 1.0);
        let percent = format::whole_percent;
        let of = match (good, bad) {
            _ if !is_sample(good) && !is_sample(bad) => return None,
            (Some(_), Some(_)) => format!(
                "{} of the good workflows and {} of the bad ones",
                percent(good),
                percent(bad)
            ),
            (Some(_), None) => format!("{} of the good workflows", percent(good)),
            (None, _) => format!("{} of the bad workflows", percent(bad)),
        };
        Some(format!("Stages are those of a sample: of {of}."))
    }

    pub(super) fn has_excess(&self) -> bool {
        self.stages
            .iter()
            .any(|stage| stage.share_of_excess_ratio.is_some())
    }

    /// Describes in one sentence where the extra time is spent.
    pub(super) fn reading(&self) -> Option<String> {
        let slowest = self.stages.iter().find(|stage| stage.is_slowest)?;
        Some(format!(
            "{} of the extra time: {}",
            slowest.share_text(),
            slowest.title
        ))
    }
}

impl StageRow {
    fn new(mean: &StageMean, bars: Markup, slowest: Option<&Stage>) -> Self {
        let Stage { kind, name } = mean.stage.clone();
        Self {
            kind,
            name,
            title: mean.stage.title(),
            good_mean_seconds: mean.good_secs,
            bad_mean_seconds: mean.bad_secs,
            share_of_excess_ratio: mean.share_of_excess,
            bars,
            is_slowest: slowest == Some(&mean.stage),
        }
    }

    pub(super) fn good_text(&self) -> String {
        format::seconds(self.good_mean_seconds)
    }

    pub(super) fn bad_text(&self) -> String {
        format::seconds(self.bad_mean_seconds)
    }

    pub(super) fn share_text(&self) -> String {
        format::whole_percent(self.share_of_excess_ratio)
    }
}

impl OwnStage {
    fn all(breakdown: Breakdown) -> Vec<Self> {
        let mut parts = breakdown.0;
        parts.sort_by_key(|part| part.first_micros);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a few years")]
        let secs = |micros: i64| micros as f64 / 1e6;
        let parts = parts.into_iter();
        parts
            .map(|part| Self {
                seconds: secs(part.micros),
                kind: part.stage.kind,
                name: part.stage.name,
            })
            .collect()
    }
}

impl OwnStages {
    /// Returns whether it is in this stage, given by its name or title.
    pub(in crate::web::pages) fn is_in(&self, asked: Option<&str>) -> bool {
        let title = self.current_stage.as_deref();
        let name = title.map(|title| title.strip_prefix("wait in ").unwrap_or(title));
        asked.is_some() && (asked == title || asked == name)
    }

    /// Draws the stages to the scale of the longest workflow in the list.
    pub(super) fn strip(&self, longest_secs: f64, within_secs: Option<f64>) -> Markup {
        let axis = longest_secs.max(f64::EPSILON);
        let mut begin = 0.0;
        let bars: Vec<Bar> = self
            .stages
            .iter()
            .map(|stage| {
                let bar = Bar {
                    kind: stage.kind,
                    begin: begin / axis,
                    length: stage.seconds / axis,
                };
                begin += stage.seconds;
                bar
            })
            .collect();
        let deadline = within_secs.map_or(f64::INFINITY, |within| within / axis);
        strip(&bars, deadline, &self.sentence())
    }

    /// Formats `wait in orders 3 s, payment 2 s`.
    fn sentence(&self) -> String {
        let stages: Vec<String> = self
            .stages
            .iter()
            .map(|stage| {
                let title = Stage::new(stage.kind, &*stage.name).title();
                format!("{title} {}", format::seconds(stage.seconds))
            })
            .collect();
        stages.join(", ")
    }
}
