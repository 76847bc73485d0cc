//! A partition that this replica reads, and the position at which reading began.

use crate::{
    domain::{
        model::time::Timestamp,
        workflow::watermark::log::{BrokerClock, PartitionProgress, ReadRange},
    },
    ingest::kafka::offset_order::OffsetOrder,
    store::LogPartition,
};

/// A position at which reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadFrom {
    pub(super) next: i64,
    /// `None` if the database does not know the position.
    pub(super) up_to: Option<Timestamp>,
    pub(super) clock: BrokerClock,
}

/// The offset that the consumer group has of a partition, where reading begins if the database knows no
/// position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest::kafka) struct GroupOffset {
    /// The start of the log if the group has none.
    pub(in crate::ingest::kafka) next: i64,
    /// True if this installation has committed it: then its database once knew a position.
    pub(in crate::ingest::kafka) is_own: bool,
}

/// A partition that this replica reads.
#[derive(Debug)]
pub(super) struct AssignedPartition {
    /// Distinguishes it from an earlier assignment of the same partition.
    pub(super) assignment: u64,
    /// What is received; `progress` is what is committed.
    pub(super) order: OffsetOrder,
    pub(super) progress: PartitionProgress,
    /// The number of uncommitted batches with messages of it.
    pub(super) under_way: usize,
    /// The offset that was last committed to Kafka.
    pub(super) committed: Option<i64>,
    /// The position that the database was last known to have.
    pub(super) stored: Option<i64>,
    /// Whether this installation has committed the group's offset; `None` while that is unknown and
    /// matters. The database does not get the partition before it is known.
    pub(super) is_known_to_group: Option<bool>,
    /// The position at which reading began; the start of the log if another replica read before.
    pub(super) began: Option<i64>,
    /// True if its offsets have restarted and the database must delete the old ones.
    pub(super) is_another: bool,
}

impl ReadFrom {
    /// Returns the position of the database, if it has one.
    pub(super) fn of(stored: &LogPartition) -> Option<Self> {
        Some(Self {
            next: stored.next_offset?,
            up_to: Some(stored.up_to),
            clock: stored.clock,
        })
    }

    fn progress(self) -> PartitionProgress {
        if let Some(up_to) = self.up_to {
            return PartitionProgress::resumed(self.next, up_to, self.clock);
        }
        let mut progress = PartitionProgress::default();
        progress.begins_at(self.next);
        progress
    }
}

impl AssignedPartition {
    /// Begins to read at a position, if it is known.
    pub(super) fn new(assignment: u64, from: Option<ReadFrom>) -> Self {
        let stored = from.filter(|from| from.up_to.is_some());
        Self {
            assignment,
            order: OffsetOrder::expecting(from.map(|from| from.next)),
            progress: from.map_or_else(PartitionProgress::default, ReadFrom::progress),
            under_way: 0,
            committed: None,
            stored: stored.map(|from| from.next),
            is_known_to_group: from.map(|_| false),
            began: from
                .filter(|from| from.up_to.is_none())
                .map(|from| from.next),
            is_another: false,
        }
    }

    /// Records that `range` is committed.
    pub(super) fn commit(&mut self, range: ReadRange, now: Timestamp) {
        if self.stored.is_none() {
            self.began = self.began.or(Some(range.first));
        }
        self.progress.commit(range, now);
    }

    /// Records where the group would begin.
    pub(super) fn begin_at(&mut self, group: GroupOffset, start: i64) {
        self.is_known_to_group = Some(group.is_own);
        if group.is_own {
            self.began = Some(start);
        }
        if self.under_way == 0 {
            self.progress.begins_at(group.next);
            self.order.begins_at(group.next);
        }
    }

    /// Returns whether this installation has read the partition before, and the database, which had to
    /// know that, lacks it.
    pub(super) fn is_forgotten(&self, stored: Option<ReadFrom>) -> bool {
        self.is_known_to_group == Some(true) && self.stored.is_none() && stored.is_none()
    }

    /// Returns whether the database once had a later position than `stored`.
    pub(super) fn was_stored_after(&self, stored: Option<ReadFrom>) -> bool {
        stored.map(|from| from.next) < self.stored
    }

    /// Returns whether it has committed more than `stored`, or may be about to.
    pub(super) fn is_ahead_of(&self, stored: Option<ReadFrom>) -> bool {
        self.under_way > 0 || self.progress.next() > stored.map(|from| from.next)
    }

    /// Returns where to read again if the database knows no position.
    pub(super) fn beginning(&self) -> Option<ReadFrom> {
        let next = self.began?;
        Some(ReadFrom {
            next,
            up_to: None,
            clock: BrokerClock::default(),
        })
    }
}
