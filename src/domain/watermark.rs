//! Up to when ingest is known to have been healthy: the time that deadlines are held against.
//!
//! Our own outage must not page anyone. While nothing could be received, and then while senders
//! deliver what they kept, the watermark stands still, and so does every deadline.

use std::time::Duration;

use super::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Everything up to here has been received, as far as senders sent it in time.
    pub up_to: Timestamp,
    /// The last sign of life of any replica.
    pub beat_at: Timestamp,
    /// Until then senders are given time to deliver what they kept during an outage.
    pub catching_up_until: Timestamp,
}

/// When a silence of ours is an outage, and how long senders take to catch up after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageLimits {
    pub silence: Duration,
    pub catch_up: Duration,
}

impl Watermark {
    /// The watermark of a service that has just been set up.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            up_to: now,
            beat_at: now,
            catching_up_until: now,
        }
    }

    /// Notes that ingest works at `now`. A clock that was set back moves nothing.
    #[must_use]
    pub fn beat(self, now: Timestamp, limits: &OutageLimits) -> Self {
        let was_away = now.saturating_since(self.beat_at) > limits.silence;
        let caught_up = now + limits.catch_up;
        // Never further off than an outage now would make it: a clock that had jumped ahead, and is
        // right again, must not hold up every deadline until it gets there.
        let catching_up_until = if was_away {
            caught_up
        } else {
            self.catching_up_until.min(caught_up)
        };
        let up_to = if now >= catching_up_until {
            self.up_to.max(now)
        } else {
            self.up_to
        };
        Self {
            up_to,
            beat_at: self.beat_at.max(now),
            catching_up_until,
        }
    }

    /// Whether senders are being waited for.
    pub fn is_catching_up(&self, now: Timestamp) -> bool {
        now < self.catching_up_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutageLimits = OutageLimits {
        silence: Duration::from_secs(10),
        catch_up: Duration::from_mins(5),
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn it_follows_the_clock_while_ingest_is_healthy() {
        let healthy = (1..=5).fold(Watermark::new(at(0)), |w, i| w.beat(at(i * 10), &LIMITS));
        assert_eq!(healthy.up_to, at(50));
    }

    #[test]
    fn it_stands_still_after_an_outage_until_senders_have_caught_up() {
        let back = Watermark::new(at(100)).beat(at(1_300), &LIMITS);
        assert_eq!(back.up_to, at(100));
        assert!(back.is_catching_up(at(1_301)));
        let mut watermark = back;
        for second in 1_301..1_600 {
            watermark = watermark.beat(at(second), &LIMITS);
            assert_eq!(watermark.up_to, at(100), "at {second}");
        }
        assert_eq!(watermark.beat(at(1_600), &LIMITS).up_to, at(1_600));
    }

    #[test]
    fn a_clock_set_back_moves_nothing() {
        let watermark = Watermark::new(at(100)).beat(at(105), &LIMITS);
        assert_eq!(watermark.beat(at(50), &LIMITS), watermark);
    }

    #[test]
    fn a_clock_that_jumped_ahead_and_is_right_again_holds_up_nothing_for_long() {
        let jumped = Watermark::new(at(100)).beat(at(3_700), &LIMITS);
        let corrected = jumped.beat(at(101), &LIMITS);
        assert_eq!(corrected.up_to, at(100));
        assert_eq!(corrected.beat(at(401), &LIMITS).up_to, at(401));
    }
}
