//! The watermark: the time until which ingest is known to have been healthy, which deadlines are
//! compared with.
//!
//! An outage of the service itself must not cause alerts. While nothing could be received, and then
//! while senders deliver what they buffered, the watermark does not advance, and neither does any
//! deadline pass.
//!
//! Every replica has a watermark of its own, by its own clock, and the combined one is their
//! minimum. A replica without heartbeats may have left its senders with spans that they now try to
//! deliver elsewhere, so its watermark counts until they have had time for that; then it is
//! ignored.
//!
//! Messages in a log such as Kafka's stay there until they are read, so the combined watermark is
//! never later than the progress of each partition.

#[cfg(test)]
mod laws;
pub mod log;
pub mod replay;

use std::{collections::BTreeMap, time::Duration};

use crate::domain::model::time::Timestamp;

/// The time for which a replica without heartbeats is still known: its senders may return to it.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// A process that receives, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaId(pub i64);

/// The watermark of one replica, or of all combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Everything up to here has been received, as far as senders sent it in time.
    pub up_to: Timestamp,
    /// The last heartbeat.
    pub heartbeat_at: Timestamp,
    /// The time until which senders may deliver what they buffered during an outage.
    pub catching_up_until: Timestamp,
}

/// The duration without heartbeats that is an outage, and how long senders take to catch up after
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageLimits {
    pub silence: Duration,
    pub catch_up: Duration,
}

impl OutageLimits {
    /// Returns the time after which a replica without heartbeats is ignored.
    fn given_up_after(&self) -> Duration {
        self.silence + self.catch_up
    }
}

impl Watermark {
    /// Returns the watermark of a newly installed service.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            up_to: now,
            heartbeat_at: now,
            catching_up_until: now,
        }
    }

    /// Returns the watermark at `now`: never in the future, even if a clock that had jumped ahead
    /// has written it.
    pub fn as_of(&self, now: Timestamp) -> Timestamp {
        self.up_to.min(now)
    }

    /// Records that ingest works at `now`. It follows the replica's clock, even backwards.
    #[must_use]
    fn record_heartbeat(self, now: Timestamp, limits: &OutageLimits) -> Self {
        let was_away = now.saturating_since(self.heartbeat_at) > limits.silence;
        let caught_up = now + limits.catch_up;
        // Limited to what an outage now would give: a clock that had jumped ahead, and is right
        // again, must not delay every deadline until that time.
        let catching_up_until = if was_away {
            caught_up
        } else {
            self.catching_up_until.min(caught_up)
        };
        let up_to = if now >= catching_up_until {
            now
        } else {
            self.up_to.min(now)
        };
        Self {
            up_to,
            heartbeat_at: now,
            catching_up_until,
        }
    }

    fn is_catching_up(&self) -> bool {
        self.heartbeat_at < self.catching_up_until
    }
}

/// The watermarks of all replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// The combined watermark. It never goes back.
    pub together: Watermark,
    pub each: BTreeMap<ReplicaId, Watermark>,
    /// Up to here every partition of a log is read; `None` if none is.
    pub log_up_to: Option<Timestamp>,
}

impl Replicas {
    /// Returns those of a newly installed service.
    pub const fn none(now: Timestamp) -> Self {
        Self {
            together: Watermark::new(now),
            each: BTreeMap::new(),
            log_up_to: None,
        }
    }

    /// Records that a replica is receiving at `now`, by its clock. A new one begins at the combined
    /// watermark.
    #[must_use]
    pub fn record_heartbeat(
        mut self,
        replica: ReplicaId,
        now: Timestamp,
        limits: &OutageLimits,
    ) -> Self {
        let known = self.each.get(&replica).unwrap_or(&self.together);
        let own = known.record_heartbeat(now, limits);
        self.each.insert(replica, own);
        self.each
            .retain(|_, other| distance(other.heartbeat_at, now) <= FORGOTTEN_AFTER);
        let counted = self
            .each
            .values()
            .filter(|other| now.saturating_since(other.heartbeat_at) < limits.given_up_after());
        let (up_to, catching_up_until) = counted.fold(
            (own.up_to, own.catching_up_until),
            |(up_to, until), other| {
                (
                    up_to.min(other.up_to),
                    until.max(other.catching_up_until.min(now + limits.catch_up)),
                )
            },
        );
        let up_to = self.log_up_to.map_or(up_to, |log| log.min(up_to));
        self.together = Watermark {
            up_to: up_to.max(self.together.up_to),
            heartbeat_at: now,
            catching_up_until,
        };
        self
    }

    /// Records that a replica has ended in order at `now`: everything that it accepted is
    /// committed, and no sender of it has spans left to deliver, unless its senders were still
    /// catching up, or it had been without heartbeats for so long that its senders never came back
    /// to it.
    #[must_use]
    pub fn leave(mut self, replica: ReplicaId, now: Timestamp, limits: &OutageLimits) -> Self {
        if self.each.get(&replica).is_some_and(|own| {
            !own.is_catching_up() && now.saturating_since(own.heartbeat_at) <= limits.silence
        }) {
            self.each.remove(&replica);
        }
        self
    }
}

fn distance(a: Timestamp, b: Timestamp) -> Duration {
    a.saturating_since(b).max(b.saturating_since(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutageLimits = OutageLimits {
        silence: Duration::from_secs(10),
        catch_up: Duration::from_mins(5),
    };
    const A: ReplicaId = ReplicaId(1);
    const B: ReplicaId = ReplicaId(2);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// Simulates replicas that write a heartbeat every second from `from` to `to`, both included.
    fn living(mut all: Replicas, alive: &[ReplicaId], from: i64, to: i64) -> Replicas {
        for second in from..=to {
            for replica in alive {
                all = all.record_heartbeat(*replica, at(second), &LIMITS);
            }
        }
        all
    }

    #[test]
    fn it_follows_the_clock_while_ingest_is_healthy() {
        let all = living(Replicas::none(at(0)), &[A, B], 1, 50);
        assert_eq!(all.together.up_to, at(50));
    }

    #[test]
    fn it_stands_still_after_an_outage_until_senders_have_caught_up() {
        let before = living(Replicas::none(at(0)), &[A, B], 1, 100);
        for back in [[A, B], [ReplicaId(3), ReplicaId(4)]] {
            let catching_up = living(before.clone(), &back, 1_300, 1_599);
            assert_eq!(catching_up.together.up_to, at(100), "{back:?}");
            let caught_up = living(catching_up, &back, 1_600, 1_600);
            assert_eq!(caught_up.together.up_to, at(1_600), "{back:?}");
        }
    }

    #[test]
    fn a_replica_that_falls_silent_holds_it_until_its_senders_went_elsewhere() {
        let both = living(Replicas::none(at(0)), &[A, B], 1, 100);
        let held = living(both, &[B], 101, 409);
        assert_eq!(held.together.up_to, at(100));
        assert_eq!(living(held, &[B], 410, 410).together.up_to, at(410));
    }

    #[test]
    fn a_replica_that_leaves_in_order_holds_up_nothing() {
        let both = living(Replicas::none(at(0)), &[A, B], 1, 100).leave(A, at(100), &LIMITS);
        assert_eq!(living(both, &[B], 101, 101).together.up_to, at(101));
    }

    #[test]
    fn a_replica_that_leaves_after_a_long_silence_is_held_to_be_silent() {
        let both = living(Replicas::none(at(0)), &[A, B], 1, 100);
        let alone = living(both, &[B], 101, 120).leave(A, at(120), &LIMITS);
        let held = living(alone, &[B], 121, 130);
        assert_eq!(held.together.up_to, at(100));
    }

    #[test]
    fn a_replica_that_leaves_while_its_senders_catch_up_is_held_to_be_silent() {
        let all = living(Replicas::none(at(0)), &[A, B], 1, 100);
        let all = living(all, &[B], 101, 1_000);
        let returned = all
            .record_heartbeat(A, at(1_001), &LIMITS)
            .leave(A, at(1_001), &LIMITS);
        let held = living(returned, &[B], 1_002, 1_310);
        assert_eq!(held.together.up_to, at(1_000));
        assert_eq!(living(held, &[B], 1_311, 1_311).together.up_to, at(1_311));
    }

    #[test]
    fn a_replica_that_was_given_up_and_returns_catches_up() {
        let all = living(Replicas::none(at(0)), &[A, B], 1, 100);
        let without = living(all, &[B], 101, 1_000);
        assert_eq!(without.together.up_to, at(1_000));
        let catching_up = living(without, &[A, B], 1_001, 1_300);
        assert_eq!(catching_up.together.up_to, at(1_000));
        let caught_up = living(catching_up, &[A, B], 1_301, 1_301);
        assert_eq!(caught_up.together.up_to, at(1_301));
    }

    #[test]
    fn a_new_replica_moves_it_neither_back_nor_forth() {
        let alone = living(Replicas::none(at(0)), &[A], 1, 100);
        let joined = alone.clone().record_heartbeat(B, at(100), &LIMITS);
        assert_eq!(joined.together, alone.together);
        let behind = alone.clone().record_heartbeat(B, at(95), &LIMITS);
        assert_eq!(behind.together.up_to, at(100));
    }

    #[test]
    fn a_new_replica_waits_for_the_senders_of_the_one_that_it_replaces() {
        let before = living(Replicas::none(at(0)), &[A], 1, 100);
        let catching_up = living(before, &[A], 1_300, 1_400).leave(A, at(1_400), &LIMITS);
        let held = living(catching_up, &[B], 1_402, 1_599);
        assert_eq!(held.together.up_to, at(100));
        assert_eq!(living(held, &[B], 1_600, 1_710).together.up_to, at(1_710));
    }

    #[test]
    fn what_waits_in_a_log_is_waited_for_however_long_it_takes() {
        let all = living(Replicas::none(at(0)), &[A], 1, 100);
        let behind = Replicas {
            log_up_to: Some(at(90)),
            ..all
        };
        let held = living(behind, &[A], 101, 90_000);
        assert_eq!(held.together.up_to, at(100));
        let read = Replicas {
            log_up_to: Some(at(80_000)),
            ..held
        };
        assert_eq!(
            living(read, &[A], 90_001, 90_001).together.up_to,
            at(80_000)
        );
    }

    #[test]
    fn a_clock_set_back_moves_nothing_back() {
        let all = living(Replicas::none(at(0)), &[A], 1, 105);
        let set_back = all.record_heartbeat(A, at(50), &LIMITS);
        assert_eq!(set_back.together.up_to, at(105));
        assert_eq!(set_back.together.as_of(at(50)), at(50));
    }

    #[test]
    fn a_clock_that_jumped_ahead_and_is_right_again_holds_up_nothing_for_long() {
        let all = living(Replicas::none(at(0)), &[A, B], 1, 100);
        let jumped = living(all, &[A], 3_700, 3_700);
        let corrected = living(jumped, &[A, B], 101, 400);
        assert_eq!(corrected.together.up_to, at(100));
        assert_eq!(living(corrected, &[A, B], 401, 401).together.up_to, at(401));
    }

    #[test]
    fn a_clock_that_is_far_behind_does_not_hold_up_the_others() {
        let mut all = living(Replicas::none(at(9_000)), &[A, B], 9_001, 9_100);
        for second in 9_101..9_500 {
            all = all
                .record_heartbeat(A, at(second), &LIMITS)
                .record_heartbeat(B, at(second - 3_600), &LIMITS);
        }
        assert!(all.together.up_to >= at(9_498), "{:?}", all.together);
    }
}
