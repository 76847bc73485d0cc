//! The durations as the page and the API show them.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::Range;
use crate::{
    domain::{
        counting::{
            durations::{DurationBucket, DurationHistogram},
            stages::{Stage, StageKind},
        },
        model::{format, ids::Name, time::Timestamp},
        slo::Slo,
    },
    store::{DurationsOfStep, SeriesQuery},
    web::chart::{Figure, HeatColumn, HeatMap, Markup, MultiplePoint, events_text, multiple},
};

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct DurationsView {
    pub(super) as_of: Timestamp,
    pub(super) slo: Name,
    pub(super) display_name: String,
    pub(super) range: Range,
    step_seconds: u64,
    /// The time limit of a workflow; `None` if durations of the SLO are not stored.
    within_seconds: Option<f64>,
    pub(super) good: DurationQuantiles,
    pub(super) bad: DurationQuantiles,
    /// By the time of the verdict, oldest first. A workflow without an end lasts until its
    /// deadline.
    steps: Vec<StepDurations>,
    /// Slowest first.
    pub(super) stages: Vec<StageDurations>,
    #[serde(skip)]
    columns: Vec<HeatColumn>,
}

/// Quantiles of the durations; `None` without workflows.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(super) struct DurationQuantiles {
    /// An estimate if spans are sampled.
    events: f64,
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
    p99_seconds: Option<f64>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct StepDurations {
    from: Timestamp,
    good: Vec<DurationBucket>,
    bad: Vec<DurationBucket>,
}

/// The time that workflows spent in one stage.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StageDurations {
    kind: StageKind,
    name: String,
    pub(super) title: String,
    pub(super) good: DurationQuantiles,
    pub(super) bad: DurationQuantiles,
    /// Good and bad workflows together, oldest first.
    steps: Vec<StageStep>,
    #[serde(skip)]
    pub(super) line: Markup,
}

#[derive(Debug, JsonSchema, Serialize)]
struct StageStep {
    from: Timestamp,
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
}

/// The columns of whole workflows (`None`) and of each stage.
type Columns = BTreeMap<Option<Stage>, Vec<HeatColumn>>;

impl DurationsView {
    pub(super) fn new(
        slo: &Slo,
        range: Range,
        query: SeriesQuery,
        rows: Vec<DurationsOfStep>,
        now: Timestamp,
    ) -> Self {
        let mut columns = by_stage(query, rows);
        let whole = columns.remove(&None).unwrap_or_default();
        let (good, bad) = quantiles(&whole);
        Self {
            as_of: now,
            slo: slo.name.clone(),
            display_name: slo.display_name.clone(),
            range,
            step_seconds: query.step.as_secs(),
            within_seconds: slo.staged().map(|workflow| workflow.within.as_secs_f64()),
            good,
            bad,
            steps: whole.iter().map(StepDurations::new).collect(),
            stages: stages(&columns),
            columns: whole,
        }
    }

    /// Draws the chart; `None` without a workflow.
    pub(super) fn chart(&self) -> Option<Figure> {
        let has_events = self.columns.iter().any(|column| !column.all().is_empty());
        let deadline = self.within_seconds.filter(|_| has_events)?;
        let map = HeatMap {
            columns: &self.columns,
            step: Duration::from_secs(self.step_seconds),
            deadline,
            sentence: format!(
                "Durations over the last {}: {}",
                self.range.text(),
                self.reading()
            ),
        };
        Some(map.draw())
    }

    /// Returns whether durations of the SLO are stored.
    pub(super) fn is_stored(&self) -> bool {
        self.within_seconds.is_some()
    }

    /// Formats `95 % of 1,204 good workflows took at most 2.4 s, of 38 bad ones 3 min.`
    pub(super) fn reading(&self) -> String {
        let of = |quantiles: &DurationQuantiles| (quantiles.events_text(), quantiles.p95_text());
        match (of(&self.good), of(&self.bad)) {
            ((good, within), (bad, longer)) if self.bad.events > 0.0 => format!(
                "95 % of {good} good workflows took at most {within}, of {bad} bad ones {longer}."
            ),
            ((good, within), _) => format!("95 % of {good} good workflows took at most {within}."),
        }
    }
}

impl DurationQuantiles {
    fn new(histogram: &DurationHistogram) -> Self {
        Self {
            events: histogram.events(),
            p50_seconds: histogram.quantile(0.5),
            p95_seconds: histogram.quantile(0.95),
            p99_seconds: histogram.quantile(0.99),
        }
    }

    pub(super) fn events_text(&self) -> String {
        events_text(self.events)
    }

    pub(super) fn p50_text(&self) -> String {
        format::seconds(self.p50_seconds)
    }

    pub(super) fn p95_text(&self) -> String {
        format::seconds(self.p95_seconds)
    }

    pub(super) fn p99_text(&self) -> String {
        format::seconds(self.p99_seconds)
    }
}

impl StepDurations {
    fn new(column: &HeatColumn) -> Self {
        Self {
            from: column.at,
            good: column.good.buckets().collect(),
            bad: column.bad.buckets().collect(),
        }
    }
}

impl StageStep {
    fn new(column: &HeatColumn) -> Self {
        let all = column.all();
        Self {
            from: column.at,
            p50_seconds: all.quantile(0.5),
            p95_seconds: all.quantile(0.95),
        }
    }
}

/// Returns every step of the query, with the workflows judged in it.
fn by_stage(query: SeriesQuery, rows: Vec<DurationsOfStep>) -> Columns {
    let steps = std::iter::successors(Some(query.range.from), |at| Some(*at + query.step));
    let steps = steps.take_while(|at| *at < query.range.to);
    let empty: Vec<HeatColumn> = steps.map(HeatColumn::empty).collect();
    let mut columns = Columns::from([(None, empty.clone())]);
    for row in rows {
        let of_stage = columns.entry(row.stage).or_insert_with(|| empty.clone());
        let nth = of_stage.partition_point(|column| column.at < row.at);
        if let Some(column) = of_stage.get_mut(nth) {
            let side = if row.is_bad {
                &mut column.bad
            } else {
                &mut column.good
            };
            side.merge(&row.durations);
        }
    }
    columns
}

fn quantiles(columns: &[HeatColumn]) -> (DurationQuantiles, DurationQuantiles) {
    let (mut good, mut bad) = (DurationHistogram::default(), DurationHistogram::default());
    for column in columns {
        good.merge(&column.good);
        bad.merge(&column.bad);
    }
    (DurationQuantiles::new(&good), DurationQuantiles::new(&bad))
}

fn stages(columns: &Columns) -> Vec<StageDurations> {
    let mut stages: Vec<StageDurations> = columns
        .iter()
        .filter_map(|(stage, columns)| Some((stage.as_ref()?, columns)))
        .map(|(stage, columns)| {
            let (good, bad) = quantiles(columns);
            StageDurations {
                kind: stage.kind,
                name: stage.name.clone(),
                title: stage.title(),
                good,
                bad,
                steps: columns.iter().map(StageStep::new).collect(),
                line: Markup::default(),
            }
        })
        .collect();
    stages.retain(|stage| stage.good.events + stage.bad.events > 0.0);
    stages.sort_by(|a, b| b.longest().total_cmp(&a.longest()));
    let longest = stages.first().map_or(0.0, StageDurations::longest);
    for stage in &mut stages {
        stage.line = stage.drawn(longest);
    }
    stages
}

impl StageDurations {
    /// Returns the largest 95th percentile of all steps.
    fn longest(&self) -> f64 {
        let steps = self.steps.iter().filter_map(|step| step.p95_seconds);
        steps.fold(0.0, f64::max)
    }

    fn drawn(&self, longest: f64) -> Markup {
        let points: Vec<MultiplePoint> = self
            .steps
            .iter()
            .map(|step| MultiplePoint {
                half: step.p50_seconds,
                most: step.p95_seconds,
            })
            .collect();
        let sentence = format!(
            "{}: 95 % of good workflows took at most {}, at most {} in the slowest step",
            self.title,
            self.good.p95_text(),
            format::seconds(self.longest())
        );
        multiple(&points, longest, &sentence)
    }
}
