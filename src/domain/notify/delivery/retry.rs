//! The schedule of retries, and the time at which a delivery fails permanently.

use std::time::Duration;

use super::{AttemptClass, Settlement, circuit::broken_pause};
use crate::domain::{model::time::Timestamp, slo::Severity};

/// The delays between attempts, by urgency. A page waits no longer than five minutes, since minutes
/// count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Seconds before the second attempt, the third and so on.
    delays: &'static [u64],
    /// Seconds before every later attempt.
    then: u64,
    give_up_after: Duration,
}

/// The attempts at one delivery so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// At least 1 after the first attempt.
    pub made: u32,
    pub since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    At(Timestamp),
    GiveUp,
}

/// An attempt that has ended, and its delivery.
#[derive(Clone, Copy, Debug)]
pub struct EndedAttempt {
    pub class: AttemptClass,
    /// The target's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Including this one.
    pub attempts: Attempts,
    pub priority: Severity,
    /// True if the notification is useless after a minute.
    pub is_brief: bool,
}

impl EndedAttempt {
    /// Returns the state of the delivery. `jitter` is a random number in [-1, 1].
    pub fn settlement(self, now: Timestamp, jitter: f64) -> Settlement {
        let floor = match self.class {
            AttemptClass::Delivered => return Settlement::Delivered(now),
            AttemptClass::Rejected | AttemptClass::Undeclared => return Settlement::Failed(now),
            AttemptClass::Misconfigured | AttemptClass::Forbidden => {
                Some(broken_pause(self.priority))
            }
            AttemptClass::RateLimited
            | AttemptClass::Unavailable
            | AttemptClass::Timeout
            | AttemptClass::Dns
            | AttemptClass::Tls
            | AttemptClass::Connect
            | AttemptClass::Network
            | AttemptClass::SecretMissing
            | AttemptClass::Unreadable => self.retry_after,
        };
        let (policy, floor) = if self.is_brief {
            (RetryPolicy::BRIEF, None)
        } else {
            (RetryPolicy::of(self.priority), floor)
        };
        match policy.next(self.attempts, now, floor, jitter) {
            Retry::At(at) => Settlement::Again(at),
            Retry::GiveUp => Settlement::Failed(now),
        }
    }
}

/// The maximum `Retry-After` that is respected.
const LONGEST_FLOOR: Duration = Duration::from_mins(15);

/// The share of a delay by which jitter changes it, so that retries are not simultaneous.
const JITTER: f64 = 0.2;

/// Returns how long a target's `Retry-After` is respected.
pub fn obeyed(asked: Duration) -> Duration {
    asked.min(LONGEST_FLOOR)
}

impl RetryPolicy {
    pub const PAGE: Self = Self {
        delays: &[5, 15, 30, 60, 120],
        then: 300,
        give_up_after: Duration::from_hours(24),
    };

    pub const TICKET: Self = Self {
        delays: &[5, 30, 120, 600, 1_800],
        then: 3_600,
        give_up_after: Duration::from_hours(72),
    };

    /// For notifications that are useless after a minute: a heartbeat, since the next one follows,
    /// and a test, since a person waits for its result.
    pub const BRIEF: Self = Self {
        delays: &[5, 10],
        then: 15,
        give_up_after: Duration::from_secs(45),
    };

    pub const fn of(severity: Severity) -> Self {
        match severity {
            Severity::Page => Self::PAGE,
            Severity::Ticket => Self::TICKET,
        }
    }

    /// Returns when to retry. `floor` is the target's `Retry-After`, `jitter` a random number in
    /// [-1, 1]. The last attempt is at the end of the policy's time or at the floor, whichever is
    /// later.
    pub fn next(
        self,
        attempts: Attempts,
        now: Timestamp,
        floor: Option<Duration>,
        jitter: f64,
    ) -> Retry {
        let end = attempts.since + self.give_up_after;
        if now >= end {
            return Retry::GiveUp;
        }
        let spread = 1.0 + JITTER * jitter.clamp(-1.0, 1.0);
        let by_schedule = now + self.delay_after(attempts.made).mul_f64(spread);
        let by_request = now + obeyed(floor.unwrap_or(Duration::ZERO));
        Retry::At(by_schedule.min(end).max(by_request))
    }

    fn delay_after(self, made: u32) -> Duration {
        let index = usize::try_from(made.saturating_sub(1)).unwrap_or(usize::MAX);
        Duration::from_secs(self.delays.get(index).copied().unwrap_or(self.then))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_795_000_000);

    /// Returns the seconds from the first attempt to each of the following, without jitter.
    fn offsets(policy: RetryPolicy, count: u32) -> Vec<i64> {
        let mut now = START;
        let mut offsets = Vec::new();
        for made in 1..=count {
            let attempts = Attempts { made, since: START };
            let Retry::At(at) = policy.next(attempts, now, None, 0.0) else {
                break;
            };
            offsets.push(at.micros_since(now) / 1_000_000);
            now = at;
        }
        offsets
    }

    #[test]
    fn a_page_is_tried_often_and_a_ticket_patiently() {
        assert_eq!(
            offsets(RetryPolicy::PAGE, 7),
            [5, 15, 30, 60, 120, 300, 300]
        );
        assert_eq!(
            offsets(RetryPolicy::TICKET, 7),
            [5, 30, 120, 600, 1_800, 3_600, 3_600]
        );
    }

    #[test]
    fn a_page_is_given_up_after_a_day_and_a_ticket_after_three() {
        for (policy, hours) in [(RetryPolicy::PAGE, 24), (RetryPolicy::TICKET, 72)] {
            let tries = offsets(policy, 10_000);
            assert_eq!(tries.iter().sum::<i64>(), hours * 3_600);
        }
    }

    proptest! {
        #[test]
        fn t19_a_retry_keeps_to_its_floor_and_to_a_fifth_of_its_delay(
            made in 1_u32..500, age in 0_i64..86_399, floor in proptest::option::of(0_u64..10_000),
            jitter in -1.0_f64..=1.0,
        ) {
            let now = Timestamp::from_secs(START.as_secs() + age);
            let attempts = Attempts { made, since: START };
            let floor = floor.map(Duration::from_secs);
            let Retry::At(at) = RetryPolicy::PAGE.next(attempts, now, floor, jitter) else {
                return Err(TestCaseError::fail("given up before the end"));
            };
            let asked = floor.unwrap_or(Duration::ZERO).min(LONGEST_FLOOR);
            prop_assert!(at >= now + asked);
            let delay = RetryPolicy::PAGE.delay_after(made);
            prop_assert!(at <= now + delay.mul_f64(1.2).max(asked));
            let end = START + RetryPolicy::PAGE.give_up_after;
            prop_assert!(at >= (now + delay.mul_f64(0.8)).min(end));
        }
    }
}
