//! Sums over many workflows, good and bad separately, and the means computed from them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Breakdown, Stage, StageTime};
use crate::domain::{
    counting::durations::DurationHistogram,
    model::{
        sampling::Weight,
        time::{Resolution, Timestamp},
    },
    workflow::Outcome,
};

/// The limit of distinct stages per SLO; further ones become `other`.
pub const MAX_STAGES: usize = 50;

/// The contribution of one workflow to the sums, and where it was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregatedStages {
    pub outcome: Outcome,
    pub judged_at: Timestamp,
    pub breakdown: Breakdown,
    /// Its sampling weight; `None` if it counted as one.
    pub weight: Option<Weight>,
}

impl AggregatedStages {
    /// Returns whether it counts as a good or a bad event; otherwise it has no duration.
    pub fn is_event(&self) -> bool {
        self.outcome.counts().total() != 0
    }
}

/// A sum over some workflows. Differences may be negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageSum {
    /// Observed workflows that had the stage.
    pub events: i64,
    /// Unobserved workflows that these represent in addition, in millionths.
    pub unseen: i64,
    /// Over all represented workflows, as is the next field.
    pub micros: i64,
    pub first_micros: i64,
    /// The times of single workflows in the stage.
    pub durations: DurationHistogram,
}

impl StageSum {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        // Absurd sampling weights reach the limit: the sums are estimates by then.
        self.unseen = self.unseen.saturating_add(other.unseen);
        self.micros = self.micros.saturating_add(other.micros);
        self.first_micros = self.first_micros.saturating_add(other.first_micros);
        self.durations.merge(&other.durations);
    }

    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the represented workflows, observed and unobserved, in millionths.
    fn stands_for(&self) -> i128 {
        i128::from(self.events) * 1_000_000 + i128::from(self.unseen)
    }
}

/// The sums of good or of bad workflows: of their whole time, and of each stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageSums {
    /// Observed workflows.
    pub workflows: i64,
    /// Unobserved workflows that these represent in addition, in millionths.
    pub unseen: i64,
    /// From start to end.
    pub durations: DurationHistogram,
    pub by_stage: BTreeMap<Stage, StageSum>,
}

impl StageSums {
    /// Adds a breakdown with its weight, or with a `sign` of −1 subtracts what was added.
    pub fn add(&mut self, breakdown: &Breakdown, weight: Option<Weight>, sign: i64) {
        let weight = weight.unwrap_or(Weight::ONE);
        let unseen = sign * weight.unseen();
        self.workflows += sign;
        self.unseen = self.unseen.saturating_add(unseen);
        self.durations.add(breakdown.total_micros(), weight, sign);
        for part in &breakdown.0 {
            let sum = self.by_stage.entry(part.stage.clone()).or_default();
            let mut durations = DurationHistogram::default();
            durations.add(part.micros, weight, sign);
            sum.add(&StageSum {
                events: sign,
                unseen,
                micros: sign * weight.times(part.micros),
                first_micros: sign * weight.times(part.first_micros),
                durations,
            });
        }
    }

    /// Returns the sum of the workflows that are not in the sample.
    fn unsampled(&self) -> Option<&StageSum> {
        self.by_stage.get(&Stage::UNSAMPLED)
    }

    /// Returns how many of the workflows have stages.
    fn sampled(&self) -> i64 {
        self.workflows - self.unsampled().map_or(0, |sum| sum.events)
    }

    /// Returns the share of the workflows that have stages; `None` without any.
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    fn sampled_ratio(&self) -> Option<f64> {
        (self.workflows > 0).then(|| self.sampled() as f64 / self.workflows as f64)
    }

    fn stages(&self) -> impl Iterator<Item = (&Stage, &StageSum)> {
        let all = self.by_stage.iter();
        all.filter(|(stage, _)| **stage != Stage::UNSAMPLED)
    }

    fn mean_secs(&self, stage: &Stage) -> Option<f64> {
        self.mean(i128::from(
            self.by_stage.get(stage).map_or(0, |sum| sum.micros),
        ))
    }

    fn mean_total_secs(&self) -> Option<f64> {
        self.mean(self.stages().map(|(_, sum)| i128::from(sum.micros)).sum())
    }

    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    fn mean(&self, micros: i128) -> Option<f64> {
        let unseen = self.unseen - self.unsampled().map_or(0, |sum| sum.unseen);
        let millionths = i128::from(self.sampled()) * 1_000_000 + i128::from(unseen);
        // Millionths of a second, by millionths of a workflow.
        (self.sampled() > 0).then(|| micros as f64 / millionths as f64)
    }
}

/// The differences from aggregating some workflows: per minute of the verdict, good or bad
/// separately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageMoves(BTreeMap<(Timestamp, bool), StageSums>);

impl StageMoves {
    /// Adds a workflow, or with a `sign` of −1 subtracts it.
    pub fn add(&mut self, folded: &AggregatedStages, sign: i64) {
        if !folded.is_event() {
            return;
        }
        let minute = folded.judged_at.floor_to(Resolution::Minute.length());
        let sums = self.0.entry((minute, folded.outcome.is_bad())).or_default();
        sums.add(&folded.breakdown, folded.weight, sign);
    }

    pub const fn by_minute(&self) -> &BTreeMap<(Timestamp, bool), StageSums> {
        &self.0
    }
}

/// The stages that an SLO distinguishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownStages(pub BTreeSet<Stage>);

impl KnownStages {
    /// Replaces stages beyond the limit by `other`, and adds the other new ones to the known
    /// stages. Returns how many exceeded the limit.
    pub fn admit(&mut self, breakdown: &mut Breakdown) -> i64 {
        let mut refused = 0;
        let mut other: Option<StageTime> = None;
        breakdown.0.retain(|part| {
            if part.stage == Stage::UNSAMPLED
                || part.stage != Stage::OTHER && self.has_room_for(&part.stage)
            {
                return true;
            }
            refused += i64::from(part.stage != Stage::OTHER);
            let all = other.get_or_insert(StageTime {
                stage: Stage::OTHER,
                micros: 0,
                first_micros: part.first_micros,
            });
            all.micros += part.micros;
            all.first_micros = all.first_micros.min(part.first_micros);
            false
        });
        breakdown.0.extend(other);
        refused
    }

    fn has_room_for(&mut self, stage: &Stage) -> bool {
        if self.0.contains(stage) {
            return true;
        }
        let has_room = self.0.len() < MAX_STAGES;
        if has_room {
            self.0.insert(stage.clone());
        }
        has_room
    }
}

/// One stage of the mean workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct StageMean {
    pub stage: Stage,
    /// The mean over good workflows; `None` without any.
    pub good_secs: Option<f64>,
    pub bad_secs: Option<f64>,
    /// The share of this stage in the extra time of those stages that take longer in bad workflows,
    /// in [0, 1]; 0 if bad ones are no slower here. `None` unless there are both good and bad
    /// workflows and the bad ones are slower in total.
    pub share_of_excess: Option<f64>,
}

/// The stages in the order in which workflows reach them, good workflows compared with bad ones.
///
/// The means of a column add up to its total, the shares to 1: a stage that is faster in bad
/// workflows is not subtracted, or another stage would have more than all of the excess. Workflows
/// outside of the sample are in no mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WhereTimeGoes {
    pub good_workflows: i64,
    pub bad_workflows: i64,
    /// The share of good workflows in the sample; `None` without any.
    pub good_sampled_ratio: Option<f64>,
    pub bad_sampled_ratio: Option<f64>,
    pub good_secs: Option<f64>,
    pub bad_secs: Option<f64>,
    pub stages: Vec<StageMean>,
}

impl WhereTimeGoes {
    pub fn new(good: &StageSums, bad: &StageSums) -> Self {
        let (good_secs, bad_secs) = (good.mean_total_secs(), bad.mean_total_secs());
        let excess = good_secs
            .zip(bad_secs)
            .map(|(good, bad)| bad - good)
            .filter(|excess| *excess > 0.0);
        let more = |good: Option<f64>, bad: Option<f64>| {
            let more = good.zip(bad).map(|(good, bad)| (bad - good).max(0.0));
            excess.and(more)
        };
        let order = in_order(good, bad);
        let means: Vec<_> = order
            .iter()
            .map(|stage| (good.mean_secs(stage), bad.mean_secs(stage)))
            .collect();
        let all: f64 = means
            .iter()
            .filter_map(|(good, bad)| more(*good, *bad))
            .sum();
        let mean =
            |(stage, (good_secs, bad_secs)): (Stage, (Option<f64>, Option<f64>))| StageMean {
                stage,
                good_secs,
                bad_secs,
                share_of_excess: more(good_secs, bad_secs)
                    .map(|more| more / all.max(f64::MIN_POSITIVE)),
            };
        Self {
            good_workflows: good.workflows,
            bad_workflows: bad.workflows,
            good_sampled_ratio: good.sampled_ratio(),
            bad_sampled_ratio: bad.sampled_ratio(),
            good_secs,
            bad_secs,
            stages: order.into_iter().zip(means).map(mean).collect(),
        }
    }

    /// Returns the stage with the largest share of the excess, if there is one.
    pub fn slowest(&self) -> Option<&StageMean> {
        let share = |mean: &StageMean| mean.share_of_excess.unwrap_or(0.0);
        let lost = self.stages.iter().filter(|mean| share(mean) > 0.0);
        lost.max_by(|a, b| share(a).total_cmp(&share(b)))
    }
}

/// Sorts stages by the mean time at which a workflow reaches them.
fn in_order(good: &StageSums, bad: &StageSums) -> Vec<Stage> {
    let mut firsts: BTreeMap<&Stage, StageSum> = BTreeMap::new();
    for (stage, sum) in good.stages().chain(bad.stages()) {
        firsts.entry(stage).or_default().add(sum);
    }
    let mut stages: Vec<(i128, &Stage)> = firsts
        .into_iter()
        .filter(|(_, sum)| sum.stands_for() > 0)
        .map(|(stage, sum)| {
            let first = i128::from(sum.first_micros) * 1_000_000 / sum.stands_for();
            (first, stage)
        })
        .collect();
    stages.sort();
    stages.into_iter().map(|(_, stage)| stage.clone()).collect()
}
