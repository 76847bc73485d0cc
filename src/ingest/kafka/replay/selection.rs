//! Which messages of a partition are of the range.

use super::{RemovedMessages, range::PartitionRange};
use crate::domain::{model::time::Timestamp, workflow::watermark::replay::MessageTime};

/// The times of the messages to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReplayTimes {
    pub(super) from: Timestamp,
    /// `None` if the range ends where the topic does.
    pub(super) to: Option<Timestamp>,
}

/// The progress of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SelectionPhase {
    Unseen,
    /// Up to now all messages are older than the range.
    Before,
    Within,
    Over,
}

/// The messages to read of a partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionSelection {
    pub(super) range: PartitionRange,
    times: ReplayTimes,
    phase: SelectionPhase,
    removed: Option<RemovedMessages>,
}

impl PartitionSelection {
    pub(super) const fn new(range: PartitionRange, times: ReplayTimes) -> Self {
        Self {
            range,
            times,
            phase: SelectionPhase::Unseen,
            removed: None,
        }
    }

    /// Returns whether the next message is to be read. The order of times is only that of the log if the
    /// broker has set them: a producer whose clock is ahead ends nothing.
    pub(super) fn takes(&mut self, offset: i64, time: Option<MessageTime>) -> bool {
        let at = time.map(MessageTime::at);
        if self.phase == SelectionPhase::Unseen {
            self.removed = at.and_then(|at| self.range.removed(at, self.times.from));
            self.phase = SelectionPhase::Before;
        }
        let is_after = |at| self.times.to.is_some_and(|to| at >= to);
        match time {
            _ if offset >= self.range.end => self.end(),
            Some(MessageTime::Appended(at)) if is_after(at) => self.end(),
            Some(MessageTime::Created(at)) if is_after(at) => return false,
            _ => {}
        }
        if self.phase == SelectionPhase::Before && at.is_none_or(|at| at >= self.times.from) {
            self.phase = SelectionPhase::Within;
        }
        self.phase == SelectionPhase::Within
    }

    /// Records that no message of the range comes any more.
    pub(super) const fn end(&mut self) {
        self.phase = SelectionPhase::Over;
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == SelectionPhase::Over
    }

    /// Returns what was removed and may have been of the range.
    pub(super) const fn removed(&self) -> Option<RemovedMessages> {
        self.removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// Returns which of the messages are read, from offset 0 on, up to 6.
    fn taken(to: Option<i64>, message: fn(Timestamp) -> MessageTime, times: &[i64]) -> Vec<i64> {
        let range = PartitionRange {
            partition: 0,
            start: 0,
            next: 0,
            end: 6,
        };
        let times_of_range = ReplayTimes {
            from: at(100),
            to: to.map(at),
        };
        let mut selection = PartitionSelection::new(range, times_of_range);
        let messages = (0..).zip(times);
        messages
            .filter(|(offset, secs)| {
                !selection.is_over() && selection.takes(*offset, Some(message(at(**secs))))
            })
            .map(|(offset, _)| offset)
            .collect()
    }

    const TIMES: [i64; 7] = [90, 110, 300, 120, 150, 130, 140];

    #[test]
    fn a_producer_whose_clock_is_ahead_ends_nothing() {
        let created = MessageTime::Created;
        assert_eq!(taken(Some(200), created, &TIMES), [1, 3, 4, 5]);
        assert_eq!(taken(Some(140), created, &TIMES), [1, 3, 5]);
    }

    #[test]
    fn without_an_end_in_time_the_end_of_the_topic_decides() {
        for time in [MessageTime::Created, MessageTime::Appended] {
            assert_eq!(taken(None, time, &TIMES), [1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn times_of_appending_end_a_partition() {
        let times = [90, 100, 110, 200, 201, 202];
        assert_eq!(taken(Some(200), MessageTime::Appended, &times), [1, 2]);
    }

    #[test]
    fn a_clock_that_is_ahead_begins_nothing() {
        let times = [300, 90, 110];
        assert_eq!(taken(Some(200), MessageTime::Created, &times), [2]);
    }
}
