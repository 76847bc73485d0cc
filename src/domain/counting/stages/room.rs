//! The limit of stored stage evidence of which only links say to which workflow it belongs, if to any,
//! so that a flood of messages cannot fill the disk.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use crate::domain::model::time::Timestamp;

const HOUR: Duration = Duration::from_hours(1);

/// Per replica: some 550 messages a second, around the clock.
pub const LINKED_SPANS_AN_HOUR: i64 = 2_000_000;

/// The rest of one replica's quota for the current hour, shared by all requests. If two requests
/// see a new hour at once, both may reset it, which admits slightly more.
#[derive(Debug)]
pub struct LinkedSpanQuota {
    per_hour: i64,
    hour: AtomicI64,
    taken: AtomicI64,
}

impl LinkedSpanQuota {
    pub const fn new(per_hour: i64) -> Self {
        Self {
            per_hour,
            hour: AtomicI64::new(i64::MIN),
            taken: AtomicI64::new(0),
        }
    }

    /// Takes up to `wanted` from the quota and returns how many were taken.
    pub fn take(&self, now: Timestamp, wanted: usize) -> usize {
        let hour = now.floor_to(HOUR).as_secs();
        if self.hour.swap(hour, Ordering::Relaxed) != hour {
            self.taken.store(0, Ordering::Relaxed);
        }
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let before = self.taken.fetch_add(wanted, Ordering::Relaxed);
        let left = self.per_hour.saturating_sub(before).clamp(0, wanted);
        usize::try_from(left).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_in_the_next_hour_and_never_for_more() {
        let room = LinkedSpanQuota::new(10);
        let at = |secs: i64| Timestamp::from_secs(1_795_328_280 + secs);
        assert_eq!(room.take(at(0), 7), 7);
        assert_eq!(room.take(at(1), 7), 3);
        assert_eq!(room.take(at(2), 7), 0);
        assert_eq!(room.take(at(3_600), 20), 10);
    }
}
