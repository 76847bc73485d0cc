//! The health of a target, as all replicas see it: a circuit breaker for failures, and a mark for a
//! misconfigured target.
//!
//! A failing target gets nothing for a while, and then a single delivery as a probe, whose result
//! decides for the others. A misconfigured target is probed rarely, but automatically. No target is
//! ever switched off, since no one would notice that its pages are not delivered.

use std::time::Duration;

use serde::Serialize;

use super::AttemptClass;
use crate::domain::{model::time::Timestamp, slo::Severity};

/// The number of consecutive failures that open the breaker.
const FAILURES_TO_OPEN: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Short, since minutes count for a page.
const LONGEST_PAUSE_OF_PAGE: Duration = Duration::from_secs(30);
const BROKEN_PAUSE: Duration = Duration::from_hours(1);
const BROKEN_PAUSE_OF_PAGE: Duration = Duration::from_mins(5);

/// The state of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetCircuit {
    pub condition: TargetCondition,
    /// A probe is in progress, or its replica crashed: no other delivery is sent until then.
    pub probing_until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TargetCondition {
    Closed {
        /// Consecutive failures; fewer than open the breaker.
        failures: u32,
    },
    /// The breaker is open.
    Open {
        since: Timestamp,
        failed_at: Timestamp,
        /// The number of consecutive openings: each doubles the pause.
        openings: u32,
    },
    /// Gone, forbidden or moved: a person must correct the configuration, here or at the target.
    Misconfigured {
        since: Timestamp,
        failed_at: Timestamp,
    },
}

/// The number of deliveries that the circuit breaker allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitAllowance {
    All,
    /// A single probe.
    One,
    None,
}

impl TargetCircuit {
    /// Returns the allowance; `urgency` is that of the most urgent waiting delivery.
    pub fn admits(&self, now: Timestamp, urgency: Severity) -> CircuitAllowance {
        let Some(due) = self.next_probe(urgency) else {
            return CircuitAllowance::All;
        };
        let is_probed = self.probing_until.is_some_and(|until| now < until);
        if now < due || is_probed {
            CircuitAllowance::None
        } else {
            CircuitAllowance::One
        }
    }

    /// Returns when a probe is allowed; `None` if all deliveries are.
    pub fn next_probe(&self, urgency: Severity) -> Option<Timestamp> {
        let (failed_at, pause) = match self.condition {
            TargetCondition::Closed { .. } => return None,
            TargetCondition::Open {
                failed_at,
                openings,
                ..
            } => (failed_at, pause(openings, urgency)),
            TargetCondition::Misconfigured { failed_at, .. } => (failed_at, broken_pause(urgency)),
        };
        Some(failed_at + pause)
    }

    /// Returns when [`admits`](Self::admits) allows a delivery, unless a result changes that;
    /// `None` if all are allowed already.
    pub fn next_allowed(&self, urgency: Severity) -> Option<Timestamp> {
        let due = self.next_probe(urgency)?;
        Some(self.probing_until.map_or(due, |until| until.max(due)))
    }

    /// Returns the state while a probe ([`CircuitAllowance::One`]) is in progress, until `until` at
    /// the latest.
    #[must_use]
    pub fn probed(self, until: Timestamp) -> Self {
        match self.condition {
            TargetCondition::Closed { .. } => self,
            TargetCondition::Open { .. } | TargetCondition::Misconfigured { .. } => Self {
                probing_until: Some(until),
                ..self
            },
        }
    }

    /// Returns the state after a manual retry: the next delivery is a probe.
    #[must_use]
    pub fn asked_to_probe(self) -> Self {
        let long_ago = Timestamp::from_micros(0);
        let condition = match self.condition {
            TargetCondition::Closed { .. } => self.condition,
            TargetCondition::Open {
                since, openings, ..
            } => TargetCondition::Open {
                since,
                failed_at: long_ago,
                openings,
            },
            TargetCondition::Misconfigured { since, .. } => TargetCondition::Misconfigured {
                since,
                failed_at: long_ago,
            },
        };
        Self {
            condition,
            probing_until: None,
        }
    }

    /// Returns the state after an attempt that ended at `now`.
    #[must_use]
    pub fn after(self, class: AttemptClass, now: Timestamp) -> Self {
        let condition = match Effect::of(class) {
            Effect::Answers => TargetCondition::Closed { failures: 0 },
            Effect::IsBroken => TargetCondition::Misconfigured {
                since: match self.condition {
                    TargetCondition::Misconfigured { since, .. } => since,
                    TargetCondition::Closed { .. } | TargetCondition::Open { .. } => now,
                },
                failed_at: now,
            },
            Effect::Fails => self.failing(now),
            // No request was made, so nothing is known; the next probe stays due at the same time.
            Effect::Unknown => self.condition,
        };
        Self {
            condition,
            probing_until: None,
        }
    }

    fn failing(self, now: Timestamp) -> TargetCondition {
        match self.condition {
            TargetCondition::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => {
                TargetCondition::Closed {
                    failures: failures + 1,
                }
            }
            TargetCondition::Closed { .. } => TargetCondition::Open {
                since: now,
                failed_at: now,
                openings: 1,
            },
            TargetCondition::Open {
                since, openings, ..
            } => TargetCondition::Open {
                since,
                failed_at: now,
                // Attempts that were in progress when the breaker opened show nothing new.
                openings: openings.saturating_add(u32::from(self.probing_until.is_some())),
            },
            TargetCondition::Misconfigured { since, .. } => TargetCondition::Misconfigured {
                since,
                failed_at: now,
            },
        }
    }
}

impl TargetCondition {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }
}

impl Default for TargetCondition {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// The effect of an attempt on the state of its target.
enum Effect {
    Answers,
    Fails,
    IsBroken,
    Unknown,
}

impl Effect {
    const fn of(class: AttemptClass) -> Self {
        match class {
            // A target that rejects a message does respond.
            AttemptClass::Delivered | AttemptClass::Rejected => Self::Answers,
            AttemptClass::RateLimited
            | AttemptClass::Unavailable
            | AttemptClass::Timeout
            | AttemptClass::Dns
            | AttemptClass::Tls
            | AttemptClass::Connect
            | AttemptClass::Network => Self::Fails,
            AttemptClass::Misconfigured | AttemptClass::Forbidden => Self::IsBroken,
            AttemptClass::SecretMissing | AttemptClass::Undeclared | AttemptClass::Unreadable => {
                Self::Unknown
            }
        }
    }
}

fn pause(openings: u32, urgency: Severity) -> Duration {
    // 15 s doubled five times is above the maximum.
    let doubled = FIRST_PAUSE * 2_u32.pow(openings.saturating_sub(1).min(5));
    match urgency {
        Severity::Page => doubled.min(LONGEST_PAUSE_OF_PAGE),
        Severity::Ticket => doubled.min(LONGEST_PAUSE),
    }
}

/// Returns the interval between probes of a misconfigured target.
pub const fn broken_pause(urgency: Severity) -> Duration {
    match urgency {
        Severity::Page => BROKEN_PAUSE_OF_PAGE,
        Severity::Ticket => BROKEN_PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
    const RETRYABLE: [AttemptClass; 7] = [
        AttemptClass::RateLimited,
        AttemptClass::Unavailable,
        AttemptClass::Timeout,
        AttemptClass::Dns,
        AttemptClass::Tls,
        AttemptClass::Connect,
        AttemptClass::Network,
    ];

    fn at(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn opened() -> TargetCircuit {
        let one = |health: TargetCircuit, _| health.after(AttemptClass::Unavailable, NOW);
        (0..5).fold(TargetCircuit::default(), one)
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_four_do_not() {
        for class in RETRYABLE {
            let mut health = TargetCircuit::default();
            for _ in 0..4 {
                health = health.after(class, NOW);
                assert_eq!(
                    health.admits(NOW, Severity::Page),
                    CircuitAllowance::All,
                    "{class}"
                );
            }
            let interrupted = health.after(AttemptClass::Delivered, NOW).after(class, NOW);
            assert_eq!(
                interrupted.admits(NOW, Severity::Page),
                CircuitAllowance::All
            );
            health = health.after(class, NOW);
            assert_eq!(health.admits(NOW, Severity::Page), CircuitAllowance::None);
        }
    }

    #[test]
    fn what_a_target_refuses_or_was_never_sent_is_no_failure_of_its() {
        let silent = [
            AttemptClass::Rejected,
            AttemptClass::SecretMissing,
            AttemptClass::Undeclared,
            AttemptClass::Unreadable,
        ];
        for class in silent {
            let one = |health: TargetCircuit, _| health.after(class, NOW);
            let health = (0..50).fold(TargetCircuit::default(), one);
            assert_eq!(
                health.admits(NOW, Severity::Page),
                CircuitAllowance::All,
                "{class}"
            );
        }
    }

    /// Returns the seconds between failing probes.
    fn pauses(urgency: Severity) -> Vec<i64> {
        let mut health = opened();
        let mut failed_at = NOW;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let due = health.next_probe(urgency).unwrap();
            pauses.push(due.micros_since(failed_at) / 1_000_000);
            failed_at = due;
            let probed = health.probed(due + Duration::from_mins(1));
            health = probed.after(AttemptClass::Timeout, due);
        }
        pauses
    }

    #[test]
    fn pauses_double_to_five_minutes_and_to_half_a_minute_while_a_page_waits() {
        assert_eq!(pauses(Severity::Ticket), [15, 30, 60, 120, 240, 300, 300]);
        assert_eq!(pauses(Severity::Page), [15, 30, 30, 30, 30, 30, 30]);
    }

    #[test]
    fn t19_exactly_one_is_let_through_and_its_success_lets_all_through() {
        let health = opened();
        assert_eq!(
            health.admits(at(14), Severity::Page),
            CircuitAllowance::None
        );
        assert_eq!(health.admits(at(15), Severity::Page), CircuitAllowance::One);
        let probed = health.probed(at(75));
        assert_eq!(
            probed.admits(at(16), Severity::Page),
            CircuitAllowance::None
        );
        assert_eq!(
            probed.admits(at(75), Severity::Page),
            CircuitAllowance::One,
            "the replica that probed died"
        );
        let well = probed.after(AttemptClass::Delivered, at(17));
        assert_eq!(well, TargetCircuit::default());
        assert_eq!(well.admits(at(17), Severity::Ticket), CircuitAllowance::All);
    }

    #[test]
    fn what_was_under_way_when_it_opened_lengthens_no_pause() {
        let health = opened().after(AttemptClass::Timeout, at(1));
        assert_eq!(health.next_probe(Severity::Ticket), Some(at(16)));
    }

    #[test]
    fn t21_a_broken_target_is_tried_hourly_and_for_a_page_every_five_minutes() {
        for class in [AttemptClass::Misconfigured, AttemptClass::Forbidden] {
            let broken = TargetCircuit::default().after(class, NOW);
            assert_eq!(broken.condition.as_str(), "misconfigured");
            assert_eq!(broken.next_probe(Severity::Ticket), Some(at(3_600)));
            assert_eq!(broken.next_probe(Severity::Page), Some(at(300)));
            let still = broken.probed(at(400)).after(AttemptClass::Timeout, at(301));
            let TargetCondition::Misconfigured { since, failed_at } = still.condition else {
                panic!("one that does not answer is not mended: {still:?}");
            };
            assert_eq!((since, failed_at), (NOW, at(301)));
            let asked = still.asked_to_probe();
            assert_eq!(
                asked.admits(at(302), Severity::Ticket),
                CircuitAllowance::One
            );
            let mended = still.after(AttemptClass::Delivered, at(601));
            assert_eq!(mended, TargetCircuit::default());
        }
    }

    proptest! {
        #[test]
        fn however_it_fails_a_page_is_tried_again_within_five_minutes(
            classes in proptest::collection::vec(0..RETRYABLE.len() + 2, 1..40),
        ) {
            let mut health = TargetCircuit::default();
            let mut now = NOW;
            for index in classes {
                let broken = [AttemptClass::Misconfigured, AttemptClass::Forbidden];
                let class = RETRYABLE.get(index).copied().unwrap_or_else(|| broken[index - 7]);
                health = health.after(class, now);
                prop_assert_eq!(health.admits(now + BROKEN_PAUSE_OF_PAGE, Severity::Page) == CircuitAllowance::None, false);
                prop_assert_eq!(health.admits(now + BROKEN_PAUSE, Severity::Ticket) == CircuitAllowance::None, false);
                now = health.next_probe(Severity::Page).unwrap_or(now);
                health = health.probed(now + Duration::from_mins(1));
            }
        }
    }
}
