//! Decides which stage evidence to store: that of known workflows. Other evidence waits in memory
//! for a while, since the first span of a workflow may arrive after others.

mod unsorted;
mod waiting;

pub use unsorted::{CompactStageEvidence, StageClaim, UnsortedStageEvidence};

use foldhash::fast::FixedState;

use self::waiting::WaitingEvidence;
use super::stage_evidence::{FoundStageEvidence, StageKey};

/// Workflows by what [`StageKey::handle`] returns.
pub type HandleSet = std::collections::HashSet<u64, FixedState>;

/// The known workflows, and the stage evidence of others. Bounded: the oldest evidence is dropped
/// first, always all that waits for one workflow.
#[derive(Debug)]
pub struct StageBuffer {
    /// The workflows that were loaded, those that became known during the loading, and newer ones.
    /// `None` until the first loading.
    loaded: Option<HandleSet>,
    earlier: HandleSet,
    newer: HandleSet,
    waiting: WaitingEvidence,
    most: usize,
    dropped: u64,
}

impl StageBuffer {
    /// Makes an empty buffer for at most `most` waiting fragments.
    pub fn new(most: usize) -> Self {
        Self {
            loaded: None,
            earlier: HandleSet::default(),
            newer: HandleSet::default(),
            waiting: WaitingEvidence::new(),
            most,
            dropped: 0,
        }
    }

    /// Adds workflows, and returns the evidence that waited for them.
    pub fn note(&mut self, keys: impl IntoIterator<Item = StageKey>) -> Vec<FoundStageEvidence> {
        let mut found = Vec::new();
        for key in keys {
            self.newer.insert(key.handle());
            let mut add = |one: CompactStageEvidence| found.push(one.into_found());
            self.waiting.take(key, &mut add);
        }
        found
    }

    /// Adds workflows that another replica has received, by their handles.
    pub fn note_handles(&mut self, handles: &[u64]) -> Vec<FoundStageEvidence> {
        let handles: HandleSet = handles.iter().copied().collect();
        let waiting = self.waiting.keys();
        let keys: Vec<StageKey> = waiting
            .filter(|key| handles.contains(&key.handle()))
            .collect();
        self.newer.extend(handles);
        self.note(keys)
    }

    /// Returns the part of `found` to store, and keeps the rest. Everything is stored until the
    /// workflows are loaded.
    pub fn sort(
        &mut self,
        found: impl IntoIterator<Item = CompactStageEvidence>,
    ) -> Vec<FoundStageEvidence> {
        let is_everything_stored = self.loaded.is_none();
        let mut known = Vec::new();
        for one in found {
            if is_everything_stored || one.is_always_kept || self.is_known(one.key) {
                known.push(one.into_found());
            } else {
                self.waiting.push(one);
            }
        }
        self.drop_oldest();
        known
    }

    /// Keeps evidence until its workflow is added.
    pub fn keep(&mut self, found: Vec<FoundStageEvidence>) {
        for one in found {
            self.waiting.push(one.into());
        }
        self.drop_oldest();
    }

    /// Begins to load the known workflows. Those that are added from now on stay.
    pub fn begin_loading(&mut self) {
        self.earlier = std::mem::take(&mut self.newer);
    }

    /// Sets the workflows that were loaded since [`begin_loading`](Self::begin_loading).
    pub fn finish_loading(&mut self, handles: HandleSet) {
        self.loaded = Some(handles);
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
        let loaded = self.loaded.as_ref().map_or(0, HandleSet::len);
        self.newer.len() > loaded.max(AT_LEAST)
    }

    /// Returns how many fragments wait.
    pub const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many fragments were dropped because too many waited.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn is_known(&self, key: StageKey) -> bool {
        let handle = key.handle();
        let loaded = self.loaded.as_ref();
        self.newer.contains(&handle)
            || self.earlier.contains(&handle)
            || loaded.is_some_and(|loaded| loaded.contains(&handle))
    }

    fn drop_oldest(&mut self) {
        self.dropped += self.waiting.shrink_to(self.most);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        model::{
            ids::{SpanId, TraceId},
            span::SpanRef,
            time::Timestamp,
        },
        workflow::stage_evidence::{StageEvidence, StageEvidenceKind},
    };

    fn key(workflow: u8) -> StageKey {
        StageKey::Trace(TraceId::from_slice(&[workflow + 1; 16]).unwrap())
    }

    fn found(workflow: u8, nth: u8) -> FoundStageEvidence {
        FoundStageEvidence {
            span: SpanRef {
                trace_id: TraceId::from_slice(&[workflow + 1; 16]).unwrap(),
                span_id: SpanId::from_slice(&[nth + 1; 8]).unwrap(),
            },
            key: key(workflow),
            slo: None,
            is_always_kept: false,
            wanted_by: [].into(),
            piece: StageEvidence {
                kind: StageEvidenceKind::Producer,
                from: Timestamp::UNIX_EPOCH,
                to: Timestamp::UNIX_EPOCH,
                name: String::new(),
                service: String::new(),
                deliver_at: None,
                trace_id: TraceId::from_slice(&[workflow + 1; 16]).unwrap(),
                is_error: false,
            },
        }
    }

    fn loaded(most: usize) -> StageBuffer {
        let mut buffer = StageBuffer::new(most);
        buffer.begin_loading();
        buffer.finish_loading(HandleSet::default());
        buffer
    }

    fn sort(buffer: &mut StageBuffer, found: Vec<FoundStageEvidence>) -> Vec<FoundStageEvidence> {
        buffer.sort(found.into_iter().map(CompactStageEvidence::from))
    }

    #[test]
    fn everything_is_stored_until_the_workflows_are_loaded() {
        let mut buffer = StageBuffer::new(10);
        assert_eq!(sort(&mut buffer, vec![found(1, 1)]).len(), 1);
        buffer.begin_loading();
        buffer.note([key(2)]);
        buffer.finish_loading([key(3).handle()].into_iter().collect());
        let all = vec![found(1, 1), found(2, 1), found(3, 1)];
        assert_eq!(sort(&mut buffer, all), [found(2, 1), found(3, 1)]);
        assert_eq!(buffer.note([key(1)]), [found(1, 1)]);
    }

    #[test]
    fn the_oldest_workflow_is_dropped_whole() {
        let mut buffer = loaded(3);
        sort(&mut buffer, vec![found(1, 1), found(1, 2), found(2, 1)]);
        sort(&mut buffer, vec![found(3, 1)]);
        assert_eq!((buffer.waiting(), buffer.dropped()), (2, 2));
        assert_eq!(buffer.note([key(1), key(2)]), [found(2, 1)]);
    }

    #[test]
    fn what_belongs_to_workflows_of_links_is_always_stored() {
        let mut buffer = loaded(3);
        let linked = FoundStageEvidence {
            is_always_kept: true,
            ..found(1, 1)
        };
        assert_eq!(sort(&mut buffer, vec![linked.clone()]), [linked]);
    }

    #[test]
    fn a_workflow_that_another_replica_knows_is_known_by_its_handle() {
        let mut buffer = loaded(3);
        sort(&mut buffer, vec![found(1, 1), found(2, 1)]);
        assert_eq!(buffer.note_handles(&[key(1).handle()]), [found(1, 1)]);
        assert_eq!(sort(&mut buffer, vec![found(1, 2)]), [found(1, 2)]);
    }

    proptest! {
        /// In any order, the evidence of workflows that become known is stored once, unless too
        /// much waits.
        #[test]
        fn no_evidence_of_a_known_workflow_stays(
            steps in prop::collection::vec((0_u8..4, prop::option::of(0_u8..8)), 0..64),
        ) {
            let mut buffer = loaded(1_000);
            let (mut stored, mut sent, mut noted) = (Vec::new(), Vec::new(), Vec::new());
            for (workflow, span) in steps {
                if let Some(nth) = span {
                    sent.push(found(workflow, nth));
                    stored.extend(sort(&mut buffer, vec![found(workflow, nth)]));
                } else {
                    noted.push(key(workflow));
                    stored.extend(buffer.note([key(workflow)]));
                }
            }
            sent.retain(|one| noted.contains(&one.key));
            let sorted = |mut all: Vec<FoundStageEvidence>| {
                all.sort_by_key(|one| (one.key, one.span.span_id.as_bytes().to_vec()));
                all
            };
            prop_assert_eq!(sorted(stored), sorted(sent));
        }

        /// What waits, what is returned and what is dropped is the same as with plain lists.
        #[test]
        fn slots_hold_the_same_as_lists(
            most in 0_usize..8,
            steps in prop::collection::vec((0_u8..6, prop::collection::vec(0_u8..8, 0..4)), 0..64),
        ) {
            let (mut slots, mut lists) = (WaitingEvidence::new(), WaitingLists::default());
            for (workflow, spans) in steps {
                if spans.is_empty() {
                    let mut taken = Vec::new();
                    slots.take(key(workflow), &mut |one| taken.push(one.into_found()));
                    prop_assert_eq!(taken, lists.take(key(workflow)));
                }
                for nth in spans {
                    slots.push(found(workflow, nth).into());
                    lists.push(found(workflow, nth));
                }
                prop_assert_eq!(slots.shrink_to(most), lists.shrink_to(most));
                prop_assert_eq!(slots.len(), lists.len());
            }
            for workflow in 0..6 {
                let mut taken = Vec::new();
                slots.take(key(workflow), &mut |one| taken.push(one.into_found()));
                prop_assert_eq!(taken, lists.take(key(workflow)));
            }
        }
    }

    /// The workflows, oldest first; what was taken leaves an empty place.
    #[derive(Default)]
    struct WaitingLists(Vec<Option<(StageKey, Vec<FoundStageEvidence>)>>);

    impl WaitingLists {
        fn push(&mut self, one: FoundStageEvidence) {
            let mut known = self.0.iter_mut().flatten();
            match known.find(|(key, _)| *key == one.key) {
                Some((_, all)) => all.push(one),
                None => self.0.push(Some((one.key, vec![one]))),
            }
        }

        fn take(&mut self, key: StageKey) -> Vec<FoundStageEvidence> {
            let is_wanted = |place: &&mut Option<(StageKey, Vec<FoundStageEvidence>)>| {
                place.as_ref().is_some_and(|(known, _)| *known == key)
            };
            let wanted = self.0.iter_mut().find(is_wanted);
            wanted
                .and_then(Option::take)
                .map_or_else(Vec::new, |(_, all)| all)
        }

        fn shrink_to(&mut self, most: usize) -> u64 {
            let before = self.len();
            while self.len() > most || self.0.len() > most {
                self.0.remove(0);
            }
            (before - self.len()) as u64
        }

        fn len(&self) -> usize {
            self.0.iter().flatten().map(|(_, all)| all.len()).sum()
        }
    }
}
