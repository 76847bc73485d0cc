//! The progress of reading a partition of a log such as Kafka's: the time up to which all its
//! messages are committed.
//!
//! There are two sources of that time. The service asks for the end of the log every second: once
//! everything before that end is committed, all that had been appended at that time is. And a
//! broker that sets the append time itself orders messages by it. Times set by producers cannot be
//! used, nor those of a broker whose clock is ahead.

use std::{collections::VecDeque, time::Duration};

use crate::domain::model::time::Timestamp;

/// The tolerance for a broker's clock that is ahead.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);
/// The limit of stored ends: above it every second one is dropped, and new ones are stored half as
/// often.
const MOST_ENDS: usize = 1_024;
const LEAST_APART: Duration = Duration::from_secs(1);

/// Whether the times of a partition's broker can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrokerClock {
    #[default]
    Trusted,
    /// It has written times in the future.
    Ahead,
}

/// Messages of one partition, without a gap, that are now committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRange {
    pub first: i64,
    /// The offset after the last one.
    pub next: i64,
    /// The append time of the last one, if the broker sets it.
    pub appended_at: Option<Timestamp>,
}

/// The offsets that a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    pub start: i64,
    /// The offset of the message that comes next.
    pub end: i64,
}

/// Messages that were removed from the log before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLoss {
    /// `None` if another topic has replaced the one that was read.
    pub messages: Option<i64>,
    /// The time up to which everything was read; `None` if unknown.
    pub from: Option<Timestamp>,
    pub until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogEnd {
    at: Timestamp,
    offset: i64,
}

/// Skipped offsets. Until the reason is known, nothing after them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogGap {
    from: i64,
    /// The first offset after the gap, and its append time.
    to: i64,
    resumed_at: Option<Timestamp>,
}

/// The progress of reading one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Everything before this offset is committed; `None` before the beginning of reading is known.
    next: Option<i64>,
    up_to: Option<Timestamp>,
    ends: VecDeque<LogEnd>,
    /// The minimum distance between stored ends; the last one is always the newest.
    apart: Duration,
    gap: Option<LogGap>,
    /// The append time of the last message.
    appended_at: Option<Timestamp>,
    clock: BrokerClock,
}

impl PartitionProgress {
    /// Continues from the position of another replica, or of an earlier process.
    pub fn resumed(next: i64, up_to: Timestamp, clock: BrokerClock) -> Self {
        Self {
            next: Some(next),
            up_to: Some(up_to),
            clock,
            ..Self::default()
        }
    }

    /// Sets the beginning of reading, unless it is known.
    pub const fn begins_at(&mut self, offset: i64) {
        if self.next.is_none() {
            self.next = Some(offset);
        }
    }

    pub const fn next(&self) -> Option<i64> {
        self.next
    }

    /// Returns the time up to which all appended messages are committed.
    pub const fn up_to(&self) -> Option<Timestamp> {
        self.up_to
    }

    /// Returns the known number of messages that are not committed.
    pub fn lag(&self) -> i64 {
        let end = self.ends.back().map_or(0, |end| end.offset);
        self.next.map_or(0, |next| (end - next).max(0))
    }

    /// Returns the last known end of the log.
    pub fn end(&self) -> Option<i64> {
        self.ends.back().map(|end| end.offset)
    }

    pub const fn clock(&self) -> BrokerClock {
        self.clock
    }

    /// Records that `range` is committed.
    pub fn commit(&mut self, range: ReadRange, now: Timestamp) {
        let next = self.next.unwrap_or(range.first);
        if range.first != next && self.gap.is_none() {
            self.gap = Some(LogGap {
                from: next,
                to: range.first,
                resumed_at: range.appended_at,
            });
        }
        self.next = Some(range.next);
        self.clock = self.judge_clock(range, now);
        self.appended_at = range.appended_at;
        self.follow();
    }

    /// Judges the broker by the append time of a message. A time in the future is wrong. A clock is right
    /// again if it is known when the message came: soon after an end that lacks it.
    fn judge_clock(&self, range: ReadRange, now: Timestamp) -> BrokerClock {
        let Some(appended_at) = range.appended_at else {
            return self.clock;
        };
        let seen = self.ends.iter().find(|end| end.offset >= range.next);
        let seen_at = seen.map_or(now, |end| end.at);
        if appended_at > seen_at + CLOCK_TOLERANCE {
            return BrokerClock::Ahead;
        }
        let before = self.ends.iter().rev().find(|end| end.offset < range.next);
        let is_recent =
            before.is_some_and(|before| seen_at.saturating_since(before.at) <= CLOCK_TOLERANCE);
        if is_recent {
            BrokerClock::Trusted
        } else {
            self.clock
        }
    }

    /// Records the bounds of the log at `at`; `asked_at` was the position of reading, and
    /// `under_way` commits had not ended. Returns a detected loss. It must be recorded
    /// before [`go_on`](Self::go_on); until then nothing after it counts.
    pub fn look(
        &mut self,
        at: Timestamp,
        bounds: LogBounds,
        asked_at: Option<i64>,
        under_way: usize,
    ) -> Option<LogLoss> {
        self.remember(LogEnd {
            at,
            offset: bounds.end,
        });
        let next = self.next?;
        let is_empty = under_way == 0 && bounds.start == bounds.end;
        let gap = self.gap.unwrap_or(LogGap {
            from: next,
            to: next,
            resumed_at: None,
        });
        let is_another = gap.to < gap.from || (asked_at == Some(next) && next > bounds.end);
        let is_removed = gap.from < bounds.start;
        if !is_another && !is_removed {
            self.gap = None;
            self.follow();
            return None;
        }
        // The first remaining message shows best until when they are lost.
        let is_over = self.gap.is_some() || is_empty;
        is_over.then(|| LogLoss {
            messages: (!is_another).then_some(bounds.start - gap.from),
            from: self.up_to,
            until: gap.resumed_at.map_or(at, |resumed| resumed.min(at)),
        })
    }

    /// Continues after a loss was recorded.
    pub fn go_on(&mut self, bounds: LogBounds) {
        if self.gap.take().is_none() {
            self.next = Some(bounds.end);
        }
        self.follow();
    }

    /// Advances the time as far as offsets allow.
    fn follow(&mut self) {
        let Some(next) = self.next.filter(|_| self.gap.is_none()) else {
            return;
        };
        let covered = self.ends.iter().take_while(|end| end.offset <= next);
        let covered = covered.count();
        let last = covered.checked_sub(1).and_then(|last| self.ends.get(last));
        let by_end = last.map(|end| end.at);
        self.ends.drain(..covered.saturating_sub(1));
        let by_append = self
            .appended_at
            .filter(|_| self.clock == BrokerClock::Trusted);
        let newest = self.ends.back().map(|end| end.at);
        // Never ahead of the last check: later times of a clock are not known to be true.
        let by_append = by_append.map(|at| newest.map_or(at, |newest| at.min(newest)));
        self.up_to = self.up_to.max(by_end).max(by_append);
        if self.ends.len() < 2 {
            self.apart = Duration::ZERO;
        }
    }

    fn remember(&mut self, end: LogEnd) {
        let before_last = self.ends.iter().rev().nth(1);
        if before_last.is_some_and(|before| end.at.saturating_since(before.at) < self.apart) {
            self.ends.pop_back();
        }
        self.ends.push_back(end);
        if self.ends.len() <= MOST_ENDS {
            return;
        }
        let mut is_kept = false;
        self.ends.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
        self.ends
            .extend((self.ends.back() != Some(&end)).then_some(end));
        self.apart = (self.apart * 2).max(LEAST_APART * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn read(first: i64, next: i64, appended_at: Option<i64>) -> ReadRange {
        ReadRange {
            first,
            next,
            appended_at: appended_at.map(at),
        }
    }

    fn resumed(next: i64, up_to: i64) -> PartitionProgress {
        PartitionProgress::resumed(next, at(up_to), BrokerClock::Trusted)
    }

    fn look(
        progress: &mut PartitionProgress,
        second: i64,
        [start, end]: [i64; 2],
    ) -> Option<LogLoss> {
        let next = progress.next();
        progress.look(at(second), LogBounds { start, end }, next, 0)
    }

    #[test]
    fn a_partition_that_is_read_to_its_end_is_complete_up_to_when_the_end_was_asked_for() {
        let mut progress = resumed(10, 0);
        for second in 1..100 {
            assert_eq!(look(&mut progress, second, [0, 10]), None);
            assert_eq!(progress.up_to(), Some(at(second)));
        }
        assert_eq!((progress.lag(), progress.end()), (0, Some(10)));
    }

    #[test]
    fn times_of_producers_tell_nothing_until_an_end_that_was_asked_for_is_reached() {
        let mut progress = resumed(0, 0);
        look(&mut progress, 100, [0, 50]);
        look(&mut progress, 101, [0, 80]);
        progress.commit(read(0, 49, None), at(101));
        assert_eq!((progress.up_to(), progress.lag()), (Some(at(0)), 31));
        progress.commit(read(49, 79, None), at(101));
        assert_eq!(progress.up_to(), Some(at(100)));
        progress.commit(read(79, 80, None), at(102));
        assert_eq!((progress.up_to(), progress.lag()), (Some(at(101)), 0));
    }

    #[test]
    fn the_brokers_time_moves_it_in_a_catch_up_of_hours() {
        let mut progress = resumed(0, 0);
        look(&mut progress, 7_200, [0, 7_200]);
        progress.commit(read(0, 3_600, Some(3_600)), at(7_201));
        assert_eq!(progress.up_to(), Some(at(3_600)));
        progress.commit(read(3_600, 7_200, Some(7_199)), at(7_202));
        assert_eq!(progress.up_to(), Some(at(7_200)));
    }

    #[test]
    fn a_broker_whose_clock_is_ahead_moves_nothing() {
        for ahead in [60, 3_600] {
            let mut progress = resumed(0, 0);
            look(&mut progress, 7_200, [0, 7_200]);
            // Appended just before the check, as the only message.
            progress.commit(read(0, 7_199, Some(7_199 + ahead)), at(9_999));
            assert_eq!(progress.clock(), BrokerClock::Ahead, "{ahead}");
            assert_eq!(progress.up_to(), Some(at(0)), "{ahead}");
            progress.commit(read(7_199, 7_200, Some(7_200)), at(9_999));
            assert_eq!(progress.up_to(), Some(at(7_200)), "{ahead}");
        }
    }

    #[test]
    fn a_clock_that_was_ahead_moves_nothing_in_the_next_catch_up_either() {
        let mut progress = PartitionProgress::resumed(0, at(0), BrokerClock::Ahead);
        look(&mut progress, 7_200, [0, 100]);
        progress.commit(read(0, 50, Some(3_600)), at(7_201));
        assert_eq!(progress.up_to(), Some(at(0)));
        assert_eq!(progress.clock(), BrokerClock::Ahead);
    }

    #[test]
    fn a_clock_is_right_again_once_it_is_known_when_a_message_came() {
        let mut progress = PartitionProgress::resumed(0, at(0), BrokerClock::Ahead);
        look(&mut progress, 100, [0, 10]);
        // It may have come long before.
        progress.commit(read(0, 10, Some(90)), at(100));
        assert_eq!(progress.clock(), BrokerClock::Ahead);
        look(&mut progress, 101, [0, 11]);
        progress.commit(read(10, 11, Some(101)), at(101));
        assert_eq!(progress.clock(), BrokerClock::Trusted);
        look(&mut progress, 102, [0, 12]);
        progress.commit(read(11, 12, Some(133)), at(102));
        assert_eq!(progress.clock(), BrokerClock::Ahead);
    }

    #[test]
    fn what_was_removed_before_it_was_read_is_lost_up_to_the_first_message_that_is_left() {
        let mut progress = resumed(100, 1_000);
        // The end of the loss is not known yet.
        assert_eq!(look(&mut progress, 9_000, [300, 400]), None);
        progress.commit(read(300, 310, Some(5_000)), at(9_001));
        assert_eq!(progress.up_to(), Some(at(1_000)));
        let bounds = LogBounds {
            start: 300,
            end: 400,
        };
        let loss = look(&mut progress, 9_002, [300, 400]);
        let expected = LogLoss {
            messages: Some(200),
            from: Some(at(1_000)),
            until: at(5_000),
        };
        assert_eq!(loss, Some(expected));
        assert_eq!(progress.up_to(), Some(at(1_000)), "until it is recorded");
        progress.go_on(bounds);
        assert_eq!(progress.up_to(), Some(at(5_000)));
        assert_eq!(look(&mut progress, 9_003, [300, 400]), None);
    }

    #[test]
    fn what_was_removed_to_the_last_message_is_lost_until_now() {
        let mut progress = resumed(100, 1_000);
        let loss = look(&mut progress, 9_000, [400, 400]);
        assert_eq!(loss.map(|loss| loss.until), Some(at(9_000)));
        progress.go_on(LogBounds {
            start: 400,
            end: 400,
        });
        assert_eq!(
            (progress.next(), progress.up_to()),
            (Some(400), Some(at(9_000)))
        );
    }

    #[test]
    fn a_topic_that_was_made_anew_has_lost_what_was_not_read_of_the_old_one() {
        let mut progress = resumed(100, 1_000);
        assert_eq!(look(&mut progress, 2_000, [0, 5]), None);
        progress.commit(read(0, 5, None), at(2_001));
        let loss = look(&mut progress, 2_002, [0, 5]).unwrap();
        assert_eq!(
            (loss.messages, loss.from, loss.until),
            (None, Some(at(1_000)), at(2_002))
        );
        progress.go_on(LogBounds { start: 0, end: 5 });
        assert_eq!(progress.up_to(), Some(at(2_002)));
    }

    #[test]
    fn offsets_that_never_held_a_message_are_no_loss() {
        let mut progress = resumed(0, 0);
        progress.commit(read(0, 10, Some(5)), at(9));
        // A producer's transaction ended at 10.
        progress.commit(read(11, 20, Some(7)), at(9));
        assert_eq!(progress.up_to(), Some(at(5)));
        assert_eq!(look(&mut progress, 10, [0, 20]), None);
        assert_eq!(progress.up_to(), Some(at(10)));
    }

    #[test]
    fn an_end_that_was_passed_while_it_was_asked_for_is_no_sign_of_another_topic() {
        let mut progress = resumed(0, 0);
        let asked_at = progress.next();
        progress.commit(read(0, 10, None), at(1));
        let bounds = LogBounds { start: 0, end: 8 };
        assert_eq!(progress.look(at(1), bounds, asked_at, 0), None);
        assert_eq!(progress.up_to(), Some(at(1)));
    }

    #[test]
    fn the_catch_up_after_an_outage_of_a_day_is_followed_in_little_memory() {
        let mut progress = resumed(0, 0);
        for second in 1..=86_400 {
            look(&mut progress, second, [0, second]);
        }
        assert!(progress.ends.len() <= MOST_ENDS);
        for next in (100..=86_400).step_by(100) {
            progress.commit(read(next - 100, next, None), at(90_000));
            let up_to = progress.up_to().unwrap();
            assert!(
                up_to > at(next - 300) && up_to <= at(next),
                "{next}: {up_to:?}"
            );
        }
        assert_eq!(progress.up_to(), Some(at(86_400)));
    }
}
