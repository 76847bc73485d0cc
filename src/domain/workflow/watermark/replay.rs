//! The time of a log that is read again, in the order of its times, into a database of its own.
//!
//! Judging by it gives the result of a service that had read the log at that time. The watermark
//! follows the times at which a broker appended. With times of producers, which prove nothing, it
//! moves only at the end.

use crate::domain::model::time::{TimeRange, Timestamp};

/// The time of a message, and whose clock it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageTime {
    /// By the broker's, when it appended the message.
    Appended(Timestamp),
    /// By the producer's.
    Created(Timestamp),
}

impl MessageTime {
    pub const fn at(self) -> Timestamp {
        match self {
            Self::Appended(at) | Self::Created(at) => at,
        }
    }
}

/// The progress of a log that is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayTime {
    now: Timestamp,
    up_to: Timestamp,
    end: Timestamp,
    is_by_producers: bool,
}

impl ReplayTime {
    /// Begins at the start of `range`.
    pub const fn new(range: TimeRange) -> Self {
        Self {
            now: range.from,
            up_to: range.from,
            end: range.to,
            is_by_producers: false,
        }
    }

    /// Returns what the clock shows.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the time up to which everything that was appended is read: the watermark.
    pub const fn up_to(&self) -> Timestamp {
        self.up_to
    }

    /// Records that messages from `first` to `last` come next, and that all before them are committed.
    pub fn follow(&mut self, (first, last): (MessageTime, MessageTime)) {
        let is_appended = |time| matches!(time, MessageTime::Appended(_));
        self.is_by_producers |= !(is_appended(first) && is_appended(last));
        self.now = last.at().min(self.end).max(self.now);
        if !self.is_by_producers {
            self.up_to = first.at().min(self.end).max(self.up_to);
        }
    }

    /// Records that all is committed.
    pub const fn finish(&mut self) {
        (self.now, self.up_to) = (self.end, self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn begun() -> ReplayTime {
        ReplayTime::new(TimeRange::new(at(100), at(1_000)))
    }

    fn appended(first: i64, last: i64) -> (MessageTime, MessageTime) {
        (
            MessageTime::Appended(at(first)),
            MessageTime::Appended(at(last)),
        )
    }

    fn created(first: i64, last: i64) -> (MessageTime, MessageTime) {
        (
            MessageTime::Created(at(first)),
            MessageTime::Created(at(last)),
        )
    }

    #[test]
    fn times_of_appending_move_the_watermark_to_what_is_committed() {
        let mut time = begun();
        time.follow(appended(200, 201));
        assert_eq!((time.now(), time.up_to()), (at(201), at(200)));
        time.follow(appended(300, 300));
        assert_eq!((time.now(), time.up_to()), (at(300), at(300)));
        time.finish();
        assert_eq!((time.now(), time.up_to()), (at(1_000), at(1_000)));
    }

    #[test]
    fn times_of_producers_move_the_watermark_only_at_the_end() {
        let mut time = begun();
        time.follow(appended(150, 150));
        time.follow(created(200, 201));
        time.follow(appended(300, 300));
        assert_eq!((time.now(), time.up_to()), (at(300), at(150)));
        time.finish();
        assert_eq!(time.up_to(), at(1_000));
    }

    #[test]
    fn a_clock_that_is_wrong_moves_nothing_back_and_nothing_past_the_end() {
        let mut time = begun();
        time.follow(appended(9_000, 9_000));
        assert_eq!((time.now(), time.up_to()), (at(1_000), at(1_000)));
        time.follow(appended(50, 60));
        assert_eq!((time.now(), time.up_to()), (at(1_000), at(1_000)));
    }
}
