//! Decides which stage evidence to store: that of known workflows in the sample.
//!
//! Other evidence waits in memory for a while, since the first span of a workflow may arrive after
//! others, and a workflow outside of the sample may turn out to be bad.

mod sample;
#[cfg(test)]
mod tests;
mod unsorted;
mod waiting;

pub use sample::{
    STAGE_SPANS_AN_HOUR, SampleLevel, SampledHour, SampledHours, StageCoverage, StageDemand,
    StageSampling, samples,
};
pub use unsorted::{CompactStageEvidence, StageClaim, UnsortedStageEvidence};

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use self::waiting::WaitingEvidence;
use super::{
    EventKey,
    stage_evidence::{FoundStageEvidence, StageKey},
};
use crate::domain::model::{ids::SloId, time::Timestamp};

/// Known workflows by what [`StageKey::handle`] returns.
pub type KnownHandles = HashMap<u64, KeptStages, FixedState>;

/// A key by which the stage evidence of a workflow is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedKey {
    pub key: StageKey,
    pub slo: SloId,
    /// The key of the workflow, by which it is in the sample or not.
    pub event: EventKey,
}

/// What is done with the stage evidence of a known workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptStages {
    /// The SLO for which it is counted. If several have the workflow, one of those that store it.
    pub slo: SloId,
    pub keeping: Keeping,
}

/// The first has precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeping {
    Stored,
    /// Stored although it is not in the sample, since the workflow is bad.
    StoredAsBad,
    /// Kept in memory, in case that the workflow turns out to be bad.
    InMemory,
}

/// The known workflows, and the stage evidence that is not stored. Bounded: the oldest evidence is
/// dropped first, always all that waits for one workflow.
#[derive(Debug)]
pub struct StageBuffer {
    /// The workflows that were loaded, those that became known during the loading, and newer ones.
    /// `None` until the first loading.
    loaded: Option<KnownHandles>,
    earlier: KnownHandles,
    newer: KnownHandles,
    /// Evidence of workflows that are not known.
    waiting: WaitingEvidence,
    /// Evidence of known workflows outside of the sample. It is not dropped in favour of evidence that
    /// may concern nobody.
    aside: WaitingEvidence,
    most: usize,
    dropped: u64,
    sampling: BTreeMap<SloId, StageSampling>,
    demand: BTreeMap<SloId, StageDemand>,
}

/// The stage evidence to store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortedStages {
    /// Of known workflows.
    pub known: Vec<FoundStageEvidence>,
    /// Of workflows that are found only by links, if there are any.
    pub linked: Vec<FoundStageEvidence>,
}

impl StageBuffer {
    /// Makes an empty buffer for at most `most` waiting fragments, and as many of workflows outside of
    /// samples.
    pub fn new(most: usize) -> Self {
        Self {
            loaded: None,
            earlier: KnownHandles::default(),
            newer: KnownHandles::default(),
            waiting: WaitingEvidence::new(),
            aside: WaitingEvidence::new(),
            most,
            dropped: 0,
            sampling: BTreeMap::new(),
            demand: BTreeMap::new(),
        }
    }

    /// Sets when the next evidence comes.
    pub const fn set_time(&mut self, now: Timestamp) {
        self.aside.set_time(now);
    }

    /// Sets the samples, for workflows that become known from now on. SLOs without one store the
    /// evidence of all their workflows.
    pub fn set_sampling(&mut self, sampling: BTreeMap<SloId, StageSampling>) {
        self.sampling = sampling;
    }

    /// Returns what is done with the evidence of a workflow.
    pub fn keeping(&self, workflow: &StagedKey) -> KeptStages {
        let sampling = self.sampling.get(&workflow.slo);
        let is_stored = sampling.is_none_or(|sampling| sampling.all.includes(workflow.event));
        KeptStages {
            slo: workflow.slo,
            keeping: if is_stored {
                Keeping::Stored
            } else {
                Keeping::InMemory
            },
        }
    }

    /// Adds workflows, and returns the evidence of them to store.
    pub fn note(
        &mut self,
        workflows: impl IntoIterator<Item = StagedKey>,
    ) -> Vec<FoundStageEvidence> {
        let mut found = Vec::new();
        for workflow in workflows {
            let kept = self.keeping(&workflow);
            add_known(&mut self.newer, workflow.key.handle(), kept);
            self.release(workflow.key, &mut found);
        }
        self.shrink();
        found
    }

    /// Adds workflows by their handles: those that another replica has received, and those that are
    /// bad. Returns the evidence of them to store.
    pub fn note_handles(&mut self, handles: &KnownHandles) -> Vec<FoundStageEvidence> {
        for (handle, kept) in handles {
            add_known(&mut self.newer, *handle, *kept);
        }
        let keys = self.waiting.keys().chain(self.aside.keys());
        let keys: Vec<StageKey> = keys
            .filter(|key| handles.contains_key(&key.handle()))
            .collect();
        self.release_all(&keys)
    }

    /// Returns the part of `found` to store, and keeps the rest. Until the workflows are loaded, most
    /// of it waits.
    pub fn sort(&mut self, found: impl IntoIterator<Item = CompactStageEvidence>) -> SortedStages {
        let mut sorted = SortedStages::default();
        for one in found {
            match self.kept(one.key) {
                Some(kept) if kept.keeping != Keeping::InMemory => {
                    *self.demand.entry(kept.slo).or_default() += kept.keeping.demand();
                    sorted.known.push(one.into_found());
                }
                _ if one.is_always_kept => sorted.linked.push(one.into_found()),
                Some(kept) => {
                    *self.demand.entry(kept.slo).or_default() += kept.keeping.demand();
                    self.aside.push(one);
                }
                None => self.waiting.push(one),
            }
        }
        self.shrink();
        sorted
    }

    /// Keeps evidence until its workflow is added.
    pub fn keep(&mut self, found: Vec<FoundStageEvidence>) {
        for one in found {
            self.waiting.push(one.into());
        }
        self.shrink();
    }

    /// Begins to load the known workflows. Those that are added from now on stay.
    pub fn begin_loading(&mut self) {
        self.earlier = std::mem::take(&mut self.newer);
    }

    /// Sets the workflows that were loaded since [`begin_loading`](Self::begin_loading), and returns
    /// the evidence of them to store.
    pub fn finish_loading(&mut self, handles: KnownHandles) -> Vec<FoundStageEvidence> {
        self.loaded = Some(handles);
        let keys = self.waiting.keys();
        let keys: Vec<StageKey> = keys.filter(|key| self.kept(*key).is_some()).collect();
        self.release_all(&keys)
    }

    /// Removes all known workflows, until they are loaded again.
    pub fn forget_known(&mut self) {
        self.loaded = None;
    }

    pub const fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }

    /// Returns whether many were added since the loading: loading again leaves out those that have
    /// ended.
    pub fn has_grown(&self) -> bool {
        const AT_LEAST: usize = 262_144;
        let loaded = self.loaded.as_ref().map_or(0, KnownHandles::len);
        self.newer.len() > loaded.max(AT_LEAST)
    }

    /// Returns how many fragments wait.
    pub const fn waiting(&self) -> usize {
        self.waiting.len() + self.aside.len()
    }

    /// Returns how many fragments were dropped because too many waited.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns when the newest workflow outside of a sample whose evidence was dropped had its first.
    pub const fn dropped_until(&self) -> Option<Timestamp> {
        self.aside.dropped_until()
    }

    /// Takes how much evidence of known workflows has come since the last time.
    pub fn take_demand(&mut self) -> BTreeMap<SloId, StageDemand> {
        std::mem::take(&mut self.demand)
    }

    /// Adds what was taken and could not be recorded.
    pub fn give_back_demand(&mut self, demand: BTreeMap<SloId, StageDemand>) {
        for (slo, own) in demand {
            *self.demand.entry(slo).or_default() += own;
        }
    }

    fn kept(&self, key: StageKey) -> Option<KeptStages> {
        let handle = key.handle();
        let sets = [Some(&self.newer), Some(&self.earlier), self.loaded.as_ref()];
        let mut in_memory = None;
        for kept in sets
            .into_iter()
            .flatten()
            .filter_map(|set| set.get(&handle))
        {
            if kept.keeping != Keeping::InMemory {
                return Some(*kept);
            }
            in_memory = Some(*kept);
        }
        in_memory
    }

    fn release_all(&mut self, keys: &[StageKey]) -> Vec<FoundStageEvidence> {
        let mut found = Vec::new();
        for key in keys {
            self.release(*key, &mut found);
        }
        self.shrink();
        found
    }

    /// Adds to `found` what waits under a key that is known, if it is to be stored.
    fn release(&mut self, key: StageKey, found: &mut Vec<FoundStageEvidence>) {
        let Some(KeptStages { slo, keeping }) = self.kept(key) else {
            return;
        };
        let mut demand = StageDemand::default();
        let aside = &mut self.aside;
        self.waiting.take(key, &mut |one| {
            demand += keeping.demand();
            if keeping == Keeping::InMemory {
                aside.push(one);
            } else {
                found.push(one.into_found());
            }
        });
        if keeping != Keeping::InMemory {
            self.aside.take(key, &mut |one| {
                demand.bad += keeping.demand().bad;
                found.push(one.into_found());
            });
        }
        if demand != StageDemand::default() {
            *self.demand.entry(slo).or_default() += demand;
        }
    }

    fn shrink(&mut self) {
        self.dropped += self.waiting.shrink_to(self.most);
        self.aside.shrink_to(self.most);
    }
}

impl Keeping {
    const ALL: [Self; 3] = [Self::Stored, Self::StoredAsBad, Self::InMemory];

    /// Returns the number that represents it in the database.
    pub const fn as_code(self) -> u8 {
        match self {
            Self::Stored => 1,
            Self::StoredAsBad => 2,
            Self::InMemory => 3,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_code() == code)
    }

    /// Returns what one fragment adds to the demand.
    fn demand(self) -> StageDemand {
        StageDemand {
            all: 1,
            bad: i64::from(self == Self::StoredAsBad),
        }
    }
}

/// Adds a workflow, unless it is there with precedence.
pub fn add_known(known: &mut KnownHandles, handle: u64, kept: KeptStages) {
    let own = known.entry(handle).or_insert(kept);
    if kept.keeping < own.keeping {
        *own = kept;
    }
}
