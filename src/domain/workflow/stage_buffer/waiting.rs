//! Stage evidence that waits in memory, by workflow. Nearly all of it is dropped again, so a fragment
//! allocates nothing, and little memory is touched for it: it is in slots, which are used again in
//! turn, and the table by which it is found has only their numbers.

use std::{collections::VecDeque, hash::BuildHasher as _};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::unsorted::CompactStageEvidence;
use crate::domain::{model::time::Timestamp, workflow::stage_evidence::StageKey};

/// The number of no slot.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct WaitingEvidence {
    slots: Vec<EvidenceSlot>,
    /// The first unused slot.
    unused: u32,
    /// The first slot of each workflow, by its key.
    first_slots: HashTable<u32>,
    /// The same, oldest first, with the numbers of the workflows and when their first evidence came.
    /// It still contains those whose evidence was taken.
    order: VecDeque<(u32, u32, Timestamp)>,
    count: usize,
    last_number: u32,
    now: Timestamp,
    dropped_until: Option<Timestamp>,
}

#[derive(Debug)]
struct EvidenceSlot {
    evidence: Option<CompactStageEvidence>,
    /// The next slot of the same workflow, or the next unused slot.
    next: u32,
    /// In the first slot of a workflow: the last one.
    last: u32,
    /// In the first slot of a workflow: distinguishes it from those that used the slot before.
    number: u32,
}

impl WaitingEvidence {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            unused: NONE,
            first_slots: HashTable::new(),
            order: VecDeque::new(),
            count: 0,
            last_number: 0,
            now: Timestamp::UNIX_EPOCH,
            dropped_until: None,
        }
    }

    /// Sets when the next evidence comes.
    pub(super) const fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Returns when the newest workflow whose evidence was dropped had its first evidence.
    pub(super) const fn dropped_until(&self) -> Option<Timestamp> {
        self.dropped_until
    }

    /// Returns how many fragments wait.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = StageKey> {
        let first = self.first_slots.iter();
        first.filter_map(|slot| key_of(&self.slots, *slot))
    }

    pub(super) fn push(&mut self, evidence: CompactStageEvidence) {
        let key = evidence.key;
        let slot = self.occupy(evidence);
        self.count += 1;
        let slots = &self.slots;
        let is_same = |first: &u32| key_of(slots, *first) == Some(key);
        let Some(first) = self.first_slots.find(hash(key), is_same).copied() else {
            self.begin(key, slot);
            return;
        };
        let first = at(&mut self.slots, first);
        let last = first.map(|first| std::mem::replace(&mut first.last, slot));
        if let Some(last) = last.and_then(|last| at(&mut self.slots, last)) {
            last.next = slot;
        }
    }

    /// Adds a workflow whose first evidence is in `slot`.
    fn begin(&mut self, key: StageKey, slot: u32) {
        // No slot but the first one of a workflow has a number.
        self.last_number = self.last_number.wrapping_add(1).max(1);
        if let Some(first) = at(&mut self.slots, slot) {
            first.last = slot;
            first.number = self.last_number;
        }
        let slots = &self.slots;
        let hash_of = |slot: &u32| key_of(slots, *slot).map_or(0, hash);
        self.first_slots.insert_unique(hash(key), slot, hash_of);
        self.order.push_back((slot, self.last_number, self.now));
    }

    /// Removes the evidence of one workflow, and calls `each` with it in the order in which it came.
    pub(super) fn take(&mut self, key: StageKey, each: &mut dyn FnMut(CompactStageEvidence)) {
        let slots = &self.slots;
        let is_same = |first: &u32| key_of(slots, *first) == Some(key);
        let Ok(known) = self.first_slots.find_entry(hash(key), is_same) else {
            return;
        };
        let (mut next, _) = known.remove();
        while let Some(slot) = at(&mut self.slots, next) {
            let own = std::mem::replace(&mut next, slot.next);
            slot.next = self.unused;
            self.unused = own;
            if let Some(evidence) = slot.evidence.take() {
                self.count -= 1;
                each(evidence);
            }
        }
    }

    /// Removes the oldest workflows until at most `most` fragments wait. Returns how many fragments
    /// were dropped.
    pub(super) fn shrink_to(&mut self, most: usize) -> u64 {
        let mut dropped = 0;
        // The order is bounded too.
        while self.count > most || self.order.len() > most {
            let Some((first, number, came_at)) = self.order.pop_front() else {
                break;
            };
            let slot = at(&mut self.slots, first).filter(|slot| slot.number == number);
            if let Some(evidence) = slot.and_then(|slot| slot.evidence.as_ref()) {
                let key = evidence.key;
                self.take(key, &mut |_| dropped += 1);
                self.dropped_until = self.dropped_until.max(Some(came_at));
            }
        }
        dropped
    }

    /// Returns the slot into which the evidence was put.
    fn occupy(&mut self, evidence: CompactStageEvidence) -> u32 {
        let slot = EvidenceSlot {
            evidence: Some(evidence),
            next: NONE,
            last: NONE,
            number: 0,
        };
        let own = self.unused;
        if let Some(unused) = at(&mut self.slots, own) {
            self.unused = std::mem::replace(unused, slot).next;
            return own;
        }
        self.slots.push(slot);
        u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
    }
}

fn at(slots: &mut [EvidenceSlot], number: u32) -> Option<&mut EvidenceSlot> {
    slots.get_mut(number as usize)
}

fn key_of(slots: &[EvidenceSlot], number: u32) -> Option<StageKey> {
    let evidence = slots.get(number as usize)?.evidence.as_ref()?;
    Some(evidence.key)
}

fn hash(key: StageKey) -> u64 {
    FixedState::default().hash_one(key)
}
