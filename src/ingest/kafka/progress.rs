//! The progress of this replica in its partitions, shared by all tasks that read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    assigned_partition::{AssignedPartition, ReadFrom},
    messages::{LogMessage, MessageBatch},
    offset_order::MessageOrder,
};
use crate::{
    domain::{
        model::time::Timestamp,
        workflow::watermark::log::{LogBounds, LogLoss, ReadRange},
    },
    store::{LogPartition, PartitionReport},
};

/// The time that a rebalance waits for commits in progress.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct SharedProgress {
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
    assignments: u64,
}

/// The ranges that a batch has read, and their assignments.
#[derive(Debug)]
pub(super) struct BatchRanges(BTreeMap<i32, (u64, Vec<ReadRange>)>);

/// A partition to examine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) partition: i32,
    assignment: u64,
    pub(super) next: Option<i64>,
}

impl SharedProgress {
    pub(super) fn new(known: Vec<LogPartition>, database: String) -> Self {
        let progress = Self::default();
        progress.know(known);
        progress.state().database = database;
        progress
    }

    fn state(&self) -> MutexGuard<'_, ReadingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the database's positions of all partitions.
    pub(super) fn know(&self, known: Vec<LogPartition>) {
        let known = known.into_iter().map(|one| (one.partition, one));
        self.state().stored = known.collect();
    }

    /// Returns whether the database knows the partition.
    pub(super) fn knows(&self, partition: i32) -> bool {
        self.state().stored.contains_key(&partition)
    }

    /// Begins to read a partition. Returns the position, if the database has one.
    pub(super) fn assign(&self, partition: i32) -> Option<i64> {
        let mut state = self.state();
        let stored = state.stored.get(&partition).and_then(ReadFrom::of);
        state.assign(partition, stored)
    }

    /// Compares the database with what this replica has stored in it. If it is another one, or lacks
    /// that, a standby was promoted or a backup restored: what it lacks is to be read again. Returns
    /// the partitions of which that is new.
    pub(super) fn compare(&self, database: &str, known: &[LogPartition]) -> Vec<i32> {
        let mut state = self.state();
        let is_another = state.database != database;
        database.clone_into(&mut state.database);
        let mut rewinds = Vec::new();
        for (partition, assigned) in &state.assigned {
            let stored = known.iter().find(|one| one.partition == *partition);
            let stored = stored.and_then(ReadFrom::of);
            let is_lacking =
                assigned.was_stored_after(stored) || (is_another && assigned.is_ahead_of(stored));
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
    pub(super) fn take_rewinds(&self) -> Vec<(i32, i64)> {
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
    pub(super) fn revoke(&self, partitions: &[i32]) {
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
            if state.rewinds.remove(partition).is_some() {
                continue;
            }
            // If it is assigned again at once, reading continues here.
            if let (Some(next), Some(up_to)) = (assigned.progress.next(), assigned.progress.up_to())
            {
                let known = LogPartition {
                    partition: *partition,
                    next_offset: Some(next),
                    up_to,
                };
                state.stored.insert(*partition, known);
            }
        }
    }

    /// Takes the partitions that were revoked. Their messages that are not begun belong to the next
    /// assignment, which reads them.
    pub(super) fn take_revoked(&self) -> BTreeSet<i32> {
        std::mem::take(&mut self.state().revoked)
    }

    /// Records that a message is received, and returns what to do with it.
    pub(super) fn arrive(&self, message: &LogMessage) -> MessageOrder {
        let mut state = self.state();
        let assigned = state.assigned.get_mut(&message.partition);
        assigned.map_or(MessageOrder::Next, |one| one.order.arrive(message.offset))
    }

    /// Records that a partition is not read again after a jump.
    pub(super) fn keep_expecting(&self, partition: i32) {
        if let Some(assigned) = self.state().assigned.get_mut(&partition) {
            assigned.order.keep_expecting();
        }
    }

    /// Waits a limited time until no commit is in progress.
    pub(super) fn wait_until_settled(&self) {
        drop(self.wait_for(|state| state.assigned.values().any(is_busy)));
    }

    fn wait_for(&self, is_busy: impl Fn(&ReadingState) -> bool) -> MutexGuard<'_, ReadingState> {
        let waiting = self
            .settled
            .wait_timeout_while(self.state(), SETTLES_WITHIN, |state| is_busy(state));
        waiting.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Records that a batch is about to be committed.
    pub(super) fn begin(&self, batch: &MessageBatch) -> BatchRanges {
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
    pub(super) fn settle(&self, batch: BatchRanges, now: Timestamp) {
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
    pub(super) fn take_uncommitted(&self) -> Vec<(i32, i64)> {
        let mut state = self.state();
        let mut uncommitted = Vec::new();
        for (partition, assigned) in &mut state.assigned {
            let next = assigned.progress.next();
            if let Some(offset) = next.filter(|_| next != assigned.committed) {
                assigned.committed = next;
                uncommitted.push((*partition, offset));
            }
        }
        uncommitted
    }

    /// Marks all offsets as uncommitted: Kafka may have rejected them during a rebalance, and
    /// deletes those that are not committed for long.
    pub(super) fn commit_again(&self) {
        for assigned in self.state().assigned.values_mut() {
            assigned.committed = None;
        }
    }

    /// Returns the partitions to examine.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let state = self.state();
        let asked = state.assigned.iter().map(|(partition, assigned)| Asked {
            partition: *partition,
            assignment: assigned.assignment,
            next: assigned.progress.next(),
        });
        asked.collect()
    }

    /// Records the bounds of a partition, and the beginning of reading if it was unknown. Returns
    /// the lost messages.
    pub(super) fn look(
        &self,
        asked: Asked,
        begins: Option<i64>,
        at: Timestamp,
        bounds: LogBounds,
    ) -> Option<LogLoss> {
        self.with(asked, |assigned| {
            if let Some(begins) = begins.filter(|_| assigned.under_way == 0) {
                assigned.progress.begins_at(begins);
                assigned.order.begins_at(begins);
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
    pub(super) fn go_on(&self, asked: Asked, loss: &LogLoss, bounds: LogBounds) {
        self.with(asked, |assigned| {
            assigned.progress.go_on(bounds);
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
    pub(super) fn reports(&self) -> Vec<PartitionReport> {
        let state = self.state();
        let settled = state.assigned.iter();
        let settled = settled.filter(|(partition, _)| !state.rewinds.contains_key(partition));
        let report = |(partition, assigned): (&i32, &AssignedPartition)| PartitionReport {
            partition: *partition,
            next_offset: assigned.progress.next(),
            end_offset: assigned.progress.end().unwrap_or_default(),
            up_to: assigned.progress.up_to(),
            is_another: assigned.is_another,
        };
        settled.map(report).collect()
    }

    /// Records that the database has stored the reports.
    pub(super) fn reported(&self, reports: &[PartitionReport]) {
        let mut state = self.state();
        for report in reports {
            if let Some(assigned) = state.assigned.get_mut(&report.partition) {
                assigned.is_another &= !report.is_another;
                assigned.stored = report.next_offset;
            }
        }
    }

    /// Returns the partitions of brokers whose clocks are ahead.
    pub(super) fn ahead(&self) -> Vec<i32> {
        let state = self.state();
        let ahead = state.assigned.iter();
        ahead
            .filter(|(_, assigned)| assigned.progress.is_clock_ahead())
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
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ingest::kafka::messages::LogMessage;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn stored(next: i64) -> LogPartition {
        LogPartition {
            partition: 0,
            next_offset: Some(next),
            up_to: at(0),
        }
    }

    /// Reads partition 0 from offset 100 on.
    fn reading() -> SharedProgress {
        let progress = SharedProgress::new(vec![stored(100)], "server/1".to_owned());
        assert_eq!(progress.assign(0), Some(100));
        progress
    }

    fn batch(offsets: std::ops::Range<i64>) -> MessageBatch {
        let mut batch = MessageBatch::default();
        for offset in offsets {
            batch.push(LogMessage {
                partition: 0,
                offset,
                key: None,
                bytes: Bytes::new(),
                time: None,
            });
        }
        batch
    }

    fn commit(progress: &SharedProgress, offsets: std::ops::Range<i64>) {
        let begun = progress.begin(&batch(offsets));
        progress.settle(begun, at(1));
    }

    fn next(progress: &SharedProgress) -> Option<i64> {
        progress.asked()[0].next
    }

    #[test]
    fn a_promoted_standby_is_read_on_where_it_says() {
        let progress = reading();
        commit(&progress, 100..150);
        assert_eq!(progress.compare("server/1", &[stored(100)]), [0; 0]);
        assert_eq!(progress.compare("server/2", &[stored(100)]), [0]);
        assert!(
            progress.reports().is_empty(),
            "the position in the database stays"
        );
        assert_eq!(progress.take_rewinds(), [(0, 100)]);
        assert_eq!(next(&progress), Some(100));
        assert!(progress.take_rewinds().is_empty());
        assert_eq!(progress.compare("server/2", &[stored(100)]), [0; 0]);
        assert_eq!(progress.reports()[0].next_offset, Some(100));
    }

    #[test]
    fn batches_that_were_begun_before_do_not_count() {
        let progress = reading();
        let begun = progress.begin(&batch(100..150));
        assert_eq!(progress.compare("server/2", &[stored(100)]), [0]);
        assert_eq!(progress.take_rewinds(), [(0, 100)]);
        progress.settle(begun, at(1));
        assert_eq!(next(&progress), Some(100));
        commit(&progress, 100..120);
        assert_eq!(next(&progress), Some(120));
    }

    #[test]
    fn a_database_that_cannot_be_told_apart_is_noticed_by_what_it_lacks() {
        let progress = reading();
        commit(&progress, 100..150);
        progress.reported(&progress.reports());
        assert_eq!(progress.compare("server/1", &[stored(150)]), [0; 0]);
        assert_eq!(progress.compare("server/1", &[stored(149)]), [0]);
        assert_eq!(progress.take_rewinds(), [(0, 149)]);
    }

    fn look(progress: &SharedProgress, begins: Option<i64>) {
        let bounds = LogBounds { start: 7, end: 500 };
        let asked = progress.asked()[0];
        assert_eq!(progress.look(asked, begins, at(1), bounds), None);
    }

    #[test]
    fn a_partition_that_a_promoted_standby_does_not_know_is_read_again_from_where_it_began() {
        let progress = SharedProgress::new(Vec::new(), "server/1".to_owned());
        assert_eq!(progress.assign(0), None);
        look(&progress, Some(30));
        commit(&progress, 30..150);
        progress.reported(&progress.reports());
        assert_eq!(progress.compare("server/2", &[]), [0]);
        assert_eq!(progress.take_rewinds(), [(0, 30)]);
        assert_eq!(next(&progress), Some(30));
        assert_eq!(progress.compare("server/2", &[]), [0; 0], "once is enough");
        commit(&progress, 30..40);
        progress.reported(&progress.reports());
        assert_eq!(progress.compare("server/2", &[stored(40)]), [0; 0]);
    }

    #[test]
    fn what_other_replicas_read_of_it_is_read_again_too() {
        let progress = reading();
        look(&progress, None);
        commit(&progress, 100..150);
        let unread = LogPartition {
            next_offset: None,
            ..stored(0)
        };
        assert_eq!(progress.compare("server/2", &[unread]), [0]);
        assert_eq!(progress.take_rewinds(), [(0, 7)]);
    }

    #[test]
    fn a_standby_that_lacks_nothing_is_read_on() {
        let progress = reading();
        commit(&progress, 100..150);
        assert_eq!(progress.compare("server/2", &[stored(150)]), [0; 0]);
    }

    #[test]
    fn a_partition_that_is_taken_away_is_not_read_again_here() {
        let progress = reading();
        commit(&progress, 100..150);
        progress.compare("server/2", &[stored(100)]);
        progress.revoke(&[0]);
        assert!(progress.take_rewinds().is_empty());
        assert_eq!(progress.assign(0), Some(100), "as the database has it");
    }
}
