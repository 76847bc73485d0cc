//! The progress of this replica in its partitions, shared by all tasks that read.

mod assigned_partition;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub(super) use self::assigned_partition::GroupOffset;
use self::assigned_partition::{AssignedPartition, ReadFrom};
use super::{
    messages::{LogMessage, MessageBatch},
    offset_order::{MessageOrder, OffsetOrder},
};
use crate::{
    domain::{
        model::time::Timestamp,
        workflow::watermark::log::{BrokerClock, LogBounds, LogLoss, ReadRange},
    },
    store::{LogPartition, PartitionReport},
};

/// The time that a rebalance waits for commits in progress.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
/// The interval at which the database is to know that the topic is read.
const WANTED_EVERY: Duration = Duration::from_mins(1);
/// The time after which a partition that the topic lacks is gone. A broker may not know a new one yet.
const GONE_AFTER: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(in crate::ingest::kafka) struct SharedProgress {
    state: Mutex<ReadingState>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct ReadingState {
    /// The positions of all partitions in the database.
    stored: BTreeMap<i32, LogPartition>,
    /// The database that has them.
    database: String,
    /// Partitions to read again from the position that the database has: it lacks what was committed
    /// after it.
    rewinds: BTreeMap<i32, ReadFrom>,
    assigned: BTreeMap<i32, AssignedPartition>,
    /// Partitions of which some messages may be received and not begun.
    revoked: BTreeSet<i32>,
    /// Partitions of the database that the topic lacks, and since when.
    missing: BTreeMap<i32, Timestamp>,
    assignments: u64,
    /// When the database was last known to have that the topic is to be read.
    wanted_at: Option<Timestamp>,
}

/// The ranges that a batch has read, and their assignments.
#[derive(Debug)]
pub(in crate::ingest::kafka) struct BatchRanges(BTreeMap<i32, (u64, Vec<ReadRange>)>);

/// A partition to examine.
#[derive(Clone, Copy, Debug)]
pub(in crate::ingest::kafka) struct Asked {
    pub(in crate::ingest::kafka) partition: i32,
    assignment: u64,
    pub(in crate::ingest::kafka) next: Option<i64>,
    /// True if it matters which offset the group has.
    pub(in crate::ingest::kafka) needs_group: bool,
}

impl SharedProgress {
    pub(in crate::ingest::kafka) fn new(known: Vec<LogPartition>, database: String) -> Self {
        let progress = Self::default();
        progress.know(known);
        progress.state().database = database;
        progress
    }

    fn state(&self) -> MutexGuard<'_, ReadingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the database's positions of all partitions.
    pub(in crate::ingest::kafka) fn know(&self, known: Vec<LogPartition>) {
        let known = known.into_iter().map(|one| (one.partition, one));
        self.state().stored = known.collect();
    }

    /// Returns whether the database knows the partition.
    pub(in crate::ingest::kafka) fn knows(&self, partition: i32) -> bool {
        self.state().stored.contains_key(&partition)
    }

    /// Begins to read a partition. Returns the position, if the database has one.
    pub(in crate::ingest::kafka) fn assign(&self, partition: i32) -> Option<i64> {
        let mut state = self.state();
        let stored = state.stored.get(&partition).and_then(ReadFrom::of);
        state.assign(partition, stored)
    }

    /// Compares the database with what this replica, or an earlier one, has stored in it. If it is
    /// another one, or lacks that, a standby was promoted or a backup restored: what it lacks is to be
    /// read again. Returns
    /// the partitions of which that is new.
    pub(in crate::ingest::kafka) fn compare(
        &self,
        database: &str,
        known: &[LogPartition],
    ) -> Vec<i32> {
        let mut state = self.state();
        let is_another = state.database != database;
        database.clone_into(&mut state.database);
        let mut rewinds = Vec::new();
        for (partition, assigned) in &state.assigned {
            if state.missing.contains_key(partition) {
                continue;
            }
            let stored = known.iter().find(|one| one.partition == *partition);
            let stored = stored.and_then(ReadFrom::of);
            let is_lacking = assigned.was_stored_after(stored)
                || assigned.is_forgotten(stored)
                || (is_another && assigned.is_ahead_of(stored));
            if is_lacking {
                let from = stored.or_else(|| assigned.beginning());
                rewinds.extend(from.map(|from| (*partition, from)));
            }
        }
        rewinds.retain(|(partition, from)| state.rewinds.insert(*partition, *from).is_none());
        rewinds
            .into_iter()
            .map(|(partition, _)| partition)
            .collect()
    }

    /// Takes the partitions that are to be read again, with their positions. Batches that were begun
    /// before no longer count for them.
    pub(in crate::ingest::kafka) fn take_rewinds(&self) -> Vec<(i32, i64)> {
        let mut state = self.state();
        let rewinds = std::mem::take(&mut state.rewinds);
        let positions = rewinds.into_iter().filter_map(|(partition, from)| {
            let next = state.assign(partition, Some(from))?;
            Some((partition, next))
        });
        positions.collect()
    }

    /// Stops reading partitions, after their commits in progress have ended or a short time has
    /// passed.
    pub(in crate::ingest::kafka) fn revoke(&self, partitions: &[i32]) {
        let mut state = self.wait_for(|state| {
            partitions
                .iter()
                .any(|partition| state.assigned.get(partition).is_some_and(is_busy))
        });
        state.revoked.extend(partitions);
        for partition in partitions {
            let Some(assigned) = state.assigned.remove(partition) else {
                continue;
            };
            let is_missing = state.missing.contains_key(partition);
            if state.rewinds.remove(partition).is_some() || is_missing {
                continue;
            }
            // If it is assigned again at once, reading continues here.
            if let (Some(next), Some(up_to)) = (assigned.progress.next(), assigned.progress.up_to())
            {
                let known = LogPartition {
                    partition: *partition,
                    next_offset: Some(next),
                    up_to,
                    clock: assigned.progress.clock(),
                };
                state.stored.insert(*partition, known);
            }
        }
    }

    /// Takes the partitions that were revoked. Their messages that are not begun belong to the next
    /// assignment, which reads them.
    pub(in crate::ingest::kafka) fn take_revoked(&self) -> BTreeSet<i32> {
        std::mem::take(&mut self.state().revoked)
    }

    /// Records that a message is received, and returns what to do with it.
    pub(in crate::ingest::kafka) fn arrive(&self, message: &LogMessage) -> MessageOrder {
        let mut state = self.state();
        let assigned = state.assigned.get_mut(&message.partition);
        assigned.map_or(MessageOrder::Next, |one| one.order.arrive(message.offset))
    }

    /// Records that a partition is not read again after a jump.
    pub(in crate::ingest::kafka) fn keep_expecting(&self, partition: i32) {
        if let Some(assigned) = self.state().assigned.get_mut(&partition) {
            assigned.order.keep_expecting();
        }
    }

    /// Waits a limited time until no commit is in progress.
    pub(in crate::ingest::kafka) fn wait_until_settled(&self) {
        drop(self.wait_for(|state| state.assigned.values().any(is_busy)));
    }

    fn wait_for(&self, is_busy: impl Fn(&ReadingState) -> bool) -> MutexGuard<'_, ReadingState> {
        let waiting = self
            .settled
            .wait_timeout_while(self.state(), SETTLES_WITHIN, |state| is_busy(state));
        waiting.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Records that a batch is about to be committed.
    pub(in crate::ingest::kafka) fn begin(&self, batch: &MessageBatch) -> BatchRanges {
        let mut state = self.state();
        let mut ranges = BTreeMap::new();
        for (partition, of_partition) in batch.ranges() {
            if let Some(assigned) = state.assigned.get_mut(&partition) {
                assigned.under_way += 1;
                ranges.insert(partition, (assigned.assignment, of_partition));
            }
        }
        BatchRanges(ranges)
    }

    /// Records that a batch and all before it are committed.
    pub(in crate::ingest::kafka) fn settle(&self, batch: BatchRanges, now: Timestamp) {
        let mut state = self.state();
        for (partition, (assignment, ranges)) in batch.0 {
            let assigned = state.assigned.get_mut(&partition);
            let Some(assigned) = assigned.filter(|one| one.assignment == assignment) else {
                continue;
            };
            assigned.under_way -= 1;
            for range in ranges {
                assigned.commit(range, now);
            }
        }
        drop(state);
        self.settled.notify_all();
    }

    /// Takes the offsets that were not committed to Kafka yet.
    pub(in crate::ingest::kafka) fn take_uncommitted(&self) -> Vec<(i32, i64)> {
        let mut state = self.state();
        let mut uncommitted = Vec::new();
        for (partition, assigned) in &mut state.assigned {
            let next = assigned.progress.next();
            // The group has no offset of a partition that the database does not know.
            let is_new = assigned.stored.is_some() && next != assigned.committed;
            if let Some(offset) = next.filter(|_| is_new) {
                assigned.committed = next;
                uncommitted.push((*partition, offset));
            }
        }
        uncommitted
    }

    /// Marks all offsets as uncommitted: Kafka may have rejected them during a rebalance, and
    /// deletes those that are not committed for long.
    pub(in crate::ingest::kafka) fn commit_again(&self) {
        for assigned in self.state().assigned.values_mut() {
            assigned.committed = None;
        }
    }

    /// Returns the partitions to examine.
    pub(in crate::ingest::kafka) fn asked(&self) -> Vec<Asked> {
        let state = self.state();
        let asked = state.assigned.iter().map(|(partition, assigned)| Asked {
            partition: *partition,
            assignment: assigned.assignment,
            next: assigned.progress.next(),
            needs_group: assigned.is_known_to_group.is_none(),
        });
        asked.collect()
    }

    /// Records the bounds of a partition, and the group's offset if it was asked for. Returns
    /// the lost messages.
    pub(in crate::ingest::kafka) fn look(
        &self,
        asked: Asked,
        group: Option<GroupOffset>,
        at: Timestamp,
        bounds: LogBounds,
    ) -> Option<LogLoss> {
        self.with(asked, |assigned| {
            if let Some(group) = group {
                assigned.begin_at(group, bounds.start);
            }
            // Another replica may have read what comes before the position of the database.
            let start = assigned.stored.map(|_| bounds.start);
            assigned.began = assigned.began.or(start).or(assigned.progress.next());
            let under_way = assigned.under_way;
            assigned.progress.look(at, bounds, asked.next, under_way)
        })
        .flatten()
    }

    /// Continues after a loss was recorded.
    pub(in crate::ingest::kafka) fn go_on(&self, asked: Asked, loss: &LogLoss, bounds: LogBounds) {
        self.with(asked, |assigned| {
            let before = assigned.progress.next();
            assigned.progress.go_on(bounds);
            let next = assigned.progress.next();
            if next != before {
                // It must not be taken for a message that a broker sent too early.
                assigned.order = OffsetOrder::expecting(next);
            }
            assigned.is_another |= loss.messages.is_none();
        });
    }

    fn with<T>(&self, asked: Asked, act: impl FnOnce(&mut AssignedPartition) -> T) -> Option<T> {
        let mut state = self.state();
        let assigned = state.assigned.get_mut(&asked.partition);
        let assigned = assigned.filter(|one| one.assignment == asked.assignment);
        assigned.map(act)
    }

    /// Returns the reports to store in the database.
    pub(in crate::ingest::kafka) fn reports(&self) -> Vec<PartitionReport> {
        let state = self.state();
        let settled = state.assigned.iter();
        let settled = settled.filter(|(partition, assigned)| {
            assigned.is_known_to_group.is_some()
                && !state.rewinds.contains_key(partition)
                && !state.missing.contains_key(partition)
        });
        let report = |(partition, assigned): (&i32, &AssignedPartition)| PartitionReport {
            partition: *partition,
            next_offset: assigned.progress.next(),
            end_offset: assigned.progress.end().unwrap_or_default(),
            up_to: assigned.progress.up_to(),
            is_another: assigned.is_another,
            clock: assigned.progress.clock(),
        };
        settled.map(report).collect()
    }

    /// Records that the database has stored the reports.
    pub(in crate::ingest::kafka) fn reported(&self, reports: &[PartitionReport]) {
        let mut state = self.state();
        for report in reports {
            if let Some(assigned) = state.assigned.get_mut(&report.partition) {
                assigned.is_another &= !report.is_another;
                assigned.stored = report.next_offset;
            }
        }
    }

    /// Compares the partitions that the topic has with those of the database. Returns those that are gone:
    /// the topic was replaced by one with fewer.
    pub(in crate::ingest::kafka) fn gone(&self, existing: &[i32], now: Timestamp) -> Vec<i32> {
        let mut state = self.state();
        let ReadingState {
            stored, missing, ..
        } = &mut *state;
        missing.retain(|partition, _| !existing.contains(partition));
        let lacking = stored.keys();
        let lacking = lacking.filter(|partition| !existing.contains(partition));
        let gone = lacking.filter(|partition| {
            let since = *missing.entry(**partition).or_insert(now);
            now.saturating_since(since) >= GONE_AFTER
        });
        gone.copied().collect()
    }

    /// Returns whether to record again that the topic is to be read.
    pub(in crate::ingest::kafka) fn is_want_due(&self, now: Timestamp) -> bool {
        let wanted_at = self.state().wanted_at;
        wanted_at.is_none_or(|wanted_at| now.saturating_since(wanted_at) >= WANTED_EVERY)
    }

    /// Records that the database has stored that the topic is to be read.
    pub(in crate::ingest::kafka) fn wanted(&self, now: Timestamp) {
        self.state().wanted_at = Some(now);
    }

    /// Returns the partitions of brokers whose clocks are ahead.
    pub(in crate::ingest::kafka) fn ahead(&self) -> Vec<i32> {
        let state = self.state();
        let ahead = state.assigned.iter();
        ahead
            .filter(|(_, assigned)| assigned.progress.clock() == BrokerClock::Ahead)
            .map(|(partition, _)| *partition)
            .collect()
    }
}

impl ReadingState {
    /// Begins to read a partition, and returns the position if it is known.
    fn assign(&mut self, partition: i32, from: Option<ReadFrom>) -> Option<i64> {
        self.assignments += 1;
        let assigned = AssignedPartition::new(self.assignments, from);
        self.assigned.insert(partition, assigned);
        from.map(|from| from.next)
    }
}

fn is_busy(assigned: &AssignedPartition) -> bool {
    assigned.under_way > 0
}

#[cfg(test)]
mod tests;
