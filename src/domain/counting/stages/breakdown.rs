//! Divides the time of one workflow among its stages, to the microsecond.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Stage, StageKind};
use crate::domain::{
    model::time::{TimeRange, Timestamp},
    slo::{DeclaredStage, Edge, Extent, Stages},
    workflow::{
        Intervals,
        stage_evidence::{StageEvidence, StageEvidenceKind},
    },
};

/// The time of a workflow from its start to its end; for one without an end, to now or to when it
/// was judged.
#[derive(Clone, Copy, Debug)]
pub struct Timeline<'a> {
    pub range: TimeRange,
    pub pauses: &'a Intervals,
    pub ending: TimelineEnd,
}

/// The state of the workflow after its last known fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineEnd {
    /// The workflow has ended, so the rest belongs to an unknown stage.
    Ended,
    /// The workflow is open, so the rest is a wait if a known message has not been received.
    Open,
}

/// Every microsecond of a workflow in exactly one stage; in the order of stages.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Breakdown(pub Vec<StageTime>);

/// The time of one stage in one workflow, all its ranges together.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct StageTime {
    #[serde(flatten)]
    pub stage: Stage,
    pub micros: i64,
    /// The time from the start of the workflow to the first range.
    pub first_micros: i64,
}

/// A range of time without interruption in one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSection {
    pub stage: Stage,
    pub range: TimeRange,
}

impl Breakdown {
    /// Returns the time of a workflow whose stages are unknown since it is not in the sample.
    pub fn unsampled(range: TimeRange) -> Self {
        Self(vec![StageTime {
            stage: Stage::UNSAMPLED,
            micros: range.to.micros_since(range.from),
            first_micros: 0,
        }])
    }

    pub fn is_unsampled(&self) -> bool {
        self.0.iter().any(|part| part.stage == Stage::UNSAMPLED)
    }

    pub fn total_micros(&self) -> i64 {
        self.0.iter().map(|part| part.micros).sum()
    }

    /// Adds up the sections of each stage. They are in the order of time.
    pub fn of(sections: Vec<StageSection>) -> Self {
        let start = sections.first().map(|first| first.range.from);
        let mut parts: BTreeMap<Stage, StageTime> = BTreeMap::new();
        for StageSection { stage, range } in sections {
            let part = parts.entry(stage).or_insert_with_key(|stage| StageTime {
                stage: stage.clone(),
                micros: 0,
                first_micros: start.map_or(0, |start| range.from.micros_since(start)),
            });
            part.micros += range.to.micros_since(range.from);
        }
        Self(parts.into_values().collect())
    }
}

/// Divides the time. The parts add up to the whole, and neither the order of `pieces` nor
/// duplicates of them matter.
pub fn break_down(timeline: Timeline<'_>, pieces: &[StageEvidence], stages: &Stages) -> Breakdown {
    Breakdown::of(sections(timeline, pieces, stages))
}

/// Returns which stage the workflow was in, from its start to its end without a gap.
///
/// Where several fragments overlap, the one that began last gets the time: the others wait for it.
pub fn sections(
    timeline: Timeline<'_>,
    pieces: &[StageEvidence],
    stages: &Stages,
) -> Vec<StageSection> {
    let pieces: BTreeSet<&StageEvidence> = pieces.iter().collect();
    let plan = StageCandidates::new(timeline, &pieces, stages);
    let mut sections: Vec<StageSection> = Vec::new();
    for (from, to) in plan.ranges() {
        let stage = plan.stage(from, to);
        match sections.last_mut() {
            Some(last) if last.stage == stage => last.range.to = to,
            _ => sections.push(StageSection {
                stage,
                range: TimeRange::new(from, to),
            }),
        }
    }
    sections
}

/// Everything that a range of time may be assigned to.
struct StageCandidates<'a> {
    timeline: Timeline<'a>,
    covers: Vec<Cover>,
    producers: Vec<&'a StageEvidence>,
    /// Sorted by their beginning.
    consumers: Vec<&'a StageEvidence>,
}

/// A range in which a stage is active.
struct Cover {
    from: Timestamp,
    to: Timestamp,
    stage: Stage,
}

impl<'a> StageCandidates<'a> {
    fn new(timeline: Timeline<'a>, pieces: &BTreeSet<&'a StageEvidence>, stages: &Stages) -> Self {
        let of = |kind: StageEvidenceKind| pieces.iter().filter(move |piece| piece.kind == kind);
        let mut plan = Self {
            timeline,
            covers: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
        };
        match stages {
            Stages::None => {}
            Stages::Auto => {
                plan.producers = of(StageEvidenceKind::Producer).copied().collect();
                plan.consumers = of(StageEvidenceKind::Consumer).copied().collect();
                plan.consumers.sort_by_key(|piece| (piece.from, *piece));
                let at_work = plan.producers.iter().chain(&plan.consumers);
                plan.covers = at_work.map(|piece| processing(piece)).collect();
            }
            Stages::Declared(declared) => {
                let covers = declared
                    .iter()
                    .flat_map(|stage| declared_covers(stage, timeline, pieces));
                plan.covers = covers.collect();
            }
        }
        plan
    }

    /// Splits the timeline wherever something begins or ends.
    fn ranges(&self) -> Vec<(Timestamp, Timestamp)> {
        let range = self.timeline.range;
        let pauses = self.timeline.pauses.iter();
        let covers = self.covers.iter().flat_map(|cover| [cover.from, cover.to]);
        let messages = self.producers.iter().chain(&self.consumers);
        let cuts: BTreeSet<Timestamp> = pauses
            .flat_map(|pause| [pause.from, pause.to])
            .chain(covers)
            .chain(
                messages
                    .flat_map(|piece| [Some(piece.from), piece.deliver_at])
                    .flatten(),
            )
            .filter(|at| range.contains(*at))
            .chain(if range.is_empty() {
                None
            } else {
                Some(range.from)
            })
            .collect();
        let ends = cuts.iter().copied().skip(1).chain([range.to]);
        cuts.iter().copied().zip(ends).collect()
    }

    /// Returns the stage of a range within which nothing begins or ends.
    fn stage(&self, from: Timestamp, to: Timestamp) -> Stage {
        let is_paused = |pause: TimeRange| pause.from <= from && to <= pause.to;
        if self.timeline.pauses.iter().any(is_paused) {
            return Stage::new(StageKind::Pause, "");
        }
        let at_work = self.covers.iter();
        at_work
            .filter(|cover| cover.from <= from && to <= cover.to)
            .max_by_key(|cover| (cover.from, &cover.stage))
            .map_or_else(|| self.gap(from, to), |cover| cover.stage.clone())
    }

    /// Returns the stage of a range in which no stage is active: the workflow waits for the next
    /// message to be received.
    fn gap(&self, from: Timestamp, to: Timestamp) -> Stage {
        let in_time = |piece: &&&StageEvidence| piece.from <= self.timeline.range.to;
        let next = self
            .consumers
            .iter()
            .filter(in_time)
            .find(|piece| piece.from >= to);
        match next {
            Some(next) => {
                let of_queue = |piece: &&&StageEvidence| {
                    piece.may_share_queue(next) && piece.from <= next.from
                };
                let mut sent = self.producers.iter().filter(of_queue).peekable();
                // The queue is empty before the first message was sent, if any message is known at
                // all.
                let is_known = sent.peek().is_some();
                let message = sent
                    .filter(|piece| piece.from <= from)
                    .max_by_key(|piece| (piece.from, *piece));
                match message {
                    None if is_known => Stage::OTHER,
                    message => waiting(&next.name, message.copied(), to),
                }
            }
            None if self.timeline.ending == TimelineEnd::Open => self.wait_that_goes_on(from, to),
            None => Stage::OTHER,
        }
    }

    /// Returns the wait in the queue of the last message that was not received.
    fn wait_that_goes_on(&self, from: Timestamp, to: Timestamp) -> Stage {
        let is_taken = |sent: &StageEvidence| {
            let mut consumers = self.consumers.iter();
            consumers.any(|piece| piece.may_share_queue(sent) && piece.from >= sent.from)
        };
        let waiting_ones = self.producers.iter();
        waiting_ones
            .filter(|piece| piece.from <= from && !is_taken(piece))
            .max_by_key(|piece| (piece.from, *piece))
            .map_or(Stage::OTHER, |piece| waiting(&piece.name, Some(*piece), to))
    }
}

/// Returns the wait until `to`; it is a delay if the message was not due for delivery by then.
fn waiting(queue: &str, message: Option<&StageEvidence>, to: Timestamp) -> Stage {
    let deliver_at = message.and_then(|message| message.deliver_at);
    if deliver_at.is_some_and(|at| to <= at) {
        Stage::new(StageKind::Delay, queue)
    } else {
        Stage::new(StageKind::Wait, queue)
    }
}

fn processing(piece: &StageEvidence) -> Cover {
    Cover {
        from: piece.from,
        to: piece.to,
        stage: Stage::new(StageKind::Processing, &*piece.service),
    }
}

/// Returns the ranges of a declared stage. A stage defined by spans has the range of each of them;
/// one between two marks lasts from the earliest end of a `from` span to the earliest start of a
/// `to` span, or to the end of the timeline while there is none.
fn declared_covers(
    declared: &DeclaredStage,
    timeline: Timeline<'_>,
    pieces: &BTreeSet<&StageEvidence>,
) -> Vec<Cover> {
    let of = |kind| {
        let named = pieces.iter().filter(|piece| piece.name == declared.name);
        named.filter(move |piece| piece.kind == kind)
    };
    let cover = |from, to| Cover {
        from,
        to,
        stage: Stage::new(StageKind::Declared, &*declared.name),
    };
    match &declared.extent {
        Extent::Span(_) => of(StageEvidenceKind::Whole)
            .map(|piece| cover(piece.from, piece.to))
            .collect(),
        Extent::Between { from, to } => {
            let from = match from {
                Edge::OfWorkflow => Some(timeline.range.from),
                Edge::Span(_) => of(StageEvidenceKind::From).map(|piece| piece.to).min(),
            };
            let to = match to {
                Edge::OfWorkflow => None,
                Edge::Span(_) => of(StageEvidenceKind::To).map(|piece| piece.from).min(),
            };
            let to = to.unwrap_or(timeline.range.to);
            from.map(|from| cover(from, to)).into_iter().collect()
        }
    }
}
