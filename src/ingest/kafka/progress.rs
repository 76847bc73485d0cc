//! The progress of this replica in its partitions, shared by all tasks that read.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::messages::MessageBatch;
use crate::{
    domain::{
        model::time::Timestamp,
        workflow::watermark::log::{LogBounds, LogLoss, PartitionProgress, ReadRange},
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
    assigned: BTreeMap<i32, AssignedPartition>,
    assignments: u64,
}

/// A partition that this replica reads.
#[derive(Debug)]
struct AssignedPartition {
    /// Distinguishes it from an earlier assignment of the same partition.
    assignment: u64,
    progress: PartitionProgress,
    /// The number of uncommitted batches with messages of it.
    under_way: usize,
    /// The offset that was last committed to Kafka.
    committed: Option<i64>,
    /// True if its offsets have restarted and the database must delete the old ones.
    is_another: bool,
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
    pub(super) fn new(known: Vec<LogPartition>) -> Self {
        let progress = Self::default();
        progress.know(known);
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
        state.assignments += 1;
        let stored = state.stored.get(&partition);
        let known = stored.and_then(|one| Some((one.next_offset?, one.up_to)));
        let assigned = AssignedPartition {
            assignment: state.assignments,
            progress: known.map_or_else(PartitionProgress::default, |(next, up_to)| {
                PartitionProgress::resumed(next, up_to)
            }),
            under_way: 0,
            committed: None,
            is_another: false,
        };
        state.assigned.insert(partition, assigned);
        known.map(|(next, _)| next)
    }

    /// Stops reading partitions, after their commits in progress have ended or a short time has
    /// passed.
    pub(super) fn revoke(&self, partitions: &[i32]) {
        let mut state = self.wait_for(|state| {
            partitions
                .iter()
                .any(|partition| state.assigned.get(partition).is_some_and(is_busy))
        });
        for partition in partitions {
            let Some(assigned) = state.assigned.remove(partition) else {
                continue;
            };
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
                assigned.progress.commit(range, now);
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
            }
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
        let report = |(partition, assigned): (&i32, &AssignedPartition)| PartitionReport {
            partition: *partition,
            next_offset: assigned.progress.next(),
            end_offset: assigned.progress.end().unwrap_or_default(),
            up_to: assigned.progress.up_to(),
            is_another: assigned.is_another,
        };
        state.assigned.iter().map(report).collect()
    }

    /// Records that the database has stored the reports.
    pub(super) fn reported(&self, reports: &[PartitionReport]) {
        let mut state = self.state();
        for report in reports.iter().filter(|report| report.is_another) {
            if let Some(assigned) = state.assigned.get_mut(&report.partition) {
                assigned.is_another = false;
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

fn is_busy(assigned: &AssignedPartition) -> bool {
    assigned.under_way > 0
}
