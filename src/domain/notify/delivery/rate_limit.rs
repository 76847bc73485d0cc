//! The rate limit of a target, shared by all replicas: a burst, then one message at a time.
//!
//! Its state is one time, at which all messages sent so far are accounted for (the "theoretical
//! arrival time" of the generic cell rate algorithm), so no timer or counter can drift.

use std::time::Duration;

use crate::domain::model::time::Timestamp;

/// The rate that a target accepts without asking to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub every: Duration,
    /// The number of messages that may be sent at once after a pause.
    pub burst: u32,
}

impl RateLimit {
    /// Returns how many may be sent now.
    pub fn allows(self, next_free_at: Timestamp, now: Timestamp) -> u32 {
        let owed = next_free_at.saturating_since(now).as_micros();
        let every = self.every.as_micros().max(1);
        let used = u32::try_from(owed.div_ceil(every)).unwrap_or(u32::MAX);
        self.burst.saturating_sub(used)
    }

    /// Returns when at least one may be sent.
    pub fn next_slot(self, next_free_at: Timestamp) -> Timestamp {
        next_free_at - self.every * self.burst.saturating_sub(1)
    }

    /// Returns the new state after sending `count` messages now.
    pub fn spend(self, next_free_at: Timestamp, now: Timestamp, count: u32) -> Timestamp {
        next_free_at.max(now) + self.every * count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notify::channels::{pagerduty, slack};

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    /// Returns when each of `count` messages is sent, in milliseconds from the first, if all wait
    /// from the beginning and the limit is checked every `tick`.
    fn sent(limit: RateLimit, count: u32, tick: Duration) -> Vec<u128> {
        let (mut now, mut paid) = (NOW, Timestamp::from_micros(0));
        let mut sent = Vec::new();
        while sent.len() < count as usize {
            let some = limit.allows(paid, now).min(count);
            paid = limit.spend(paid, now, some);
            sent.extend((0..some).map(|_| now.saturating_since(NOW).as_millis()));
            now = now + tick;
        }
        sent
    }

    #[test]
    fn t31_slack_takes_three_at_once_and_then_one_a_second() {
        let sent = sent(slack::RATE_LIMIT, 7, Duration::from_millis(100));
        assert_eq!(sent, [0, 0, 0, 1_000, 2_000, 3_000, 4_000]);
    }

    #[test]
    fn t31_pagerduty_is_sent_at_most_120_in_any_minute() {
        for tick in [1, 250, 1_000].map(Duration::from_millis) {
            let sent = sent(pagerduty::RATE_LIMIT, 600, tick);
            for from in &sent {
                let in_minute = sent.iter().filter(|at| (*from..from + 60_000).contains(at));
                assert!(in_minute.count() <= 120, "from {from} ms");
            }
        }
    }

    #[test]
    fn the_next_slot_is_the_first_moment_that_allows_one() {
        for limit in [slack::RATE_LIMIT, pagerduty::RATE_LIMIT] {
            for count in 1..100 {
                let paid = limit.spend(NOW, NOW, count);
                let slot = limit.next_slot(paid);
                assert!(limit.allows(paid, slot) >= 1);
                assert_eq!(limit.allows(paid, slot - Duration::from_micros(1)), 0);
            }
        }
    }

    #[test]
    fn a_rest_is_not_saved_up_beyond_the_burst() {
        let paid = slack::RATE_LIMIT.spend(NOW, NOW, 3);
        assert_eq!(slack::RATE_LIMIT.allows(paid, NOW), 0);
        assert_eq!(
            slack::RATE_LIMIT.allows(paid, NOW + Duration::from_hours(1)),
            3
        );
    }
}
