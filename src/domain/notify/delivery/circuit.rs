//! Whether a target takes what it is sent, as all replicas know it: a circuit breaker for one that
//! fails, and a mark on one that somebody must mend.
//!
//! A failing target is left alone for a while and then tried with a single delivery; what comes of
//! that decides for the rest. A broken one is tried seldom, but without being asked. Neither is ever
//! switched off: that its pages go nowhere would be known to nobody.

use std::time::Duration;

use serde::Serialize;

use super::AttemptClass;
use crate::domain::{model::time::Timestamp, slo::Severity};

/// Failures in a row after which a target is left alone.
const FAILURES_TO_OPEN: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Minutes count for a page.
const LONGEST_PAUSE_OF_PAGE: Duration = Duration::from_secs(30);
const BROKEN_PAUSE: Duration = Duration::from_hours(1);
const BROKEN_PAUSE_OF_PAGE: Duration = Duration::from_mins(5);

/// What is known of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetCircuit {
    pub condition: TargetCondition,
    /// A single delivery is under way, or was when its replica died: nobody sends another until then.
    pub probing_until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TargetCondition {
    Closed {
        /// In a row; fewer than open the breaker.
        failures: u32,
    },
    /// The breaker is open.
    Open {
        since: Timestamp,
        failed_at: Timestamp,
        /// How often in a row it was found failing: each doubles the pause.
        openings: u32,
    },
    /// Gone, forbidden or elsewhere: its configuration must be mended, here or there.
    Misconfigured {
        since: Timestamp,
        failed_at: Timestamp,
    },
}

/// How many deliveries a target's health lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitAllowance {
    All,
    /// The one that shows whether it is well again.
    One,
    None,
}

impl TargetCircuit {
    /// `urgency` is that of the most urgent delivery that waits.
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

    /// When one delivery is let through; `None` if all are.
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

    /// When [`admits`](Self::admits) lets something through, unless a result changes that; `None` if all
    /// are let through already.
    pub fn next_allowed(&self, urgency: Severity) -> Option<Timestamp> {
        let due = self.next_probe(urgency)?;
        Some(self.probing_until.map_or(due, |until| until.max(due)))
    }

    /// A delivery of those that [`CircuitAllowance::One`] let through is under way, at the longest until
    /// `until`.
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

    /// Somebody asked for it to be tried now: the next delivery shows whether it is well again.
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

    /// After a try that ended at `now`.
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
            // It was not asked, so nothing is known; the next probe is due when it was.
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
                // What was under way when the breaker opened says nothing new.
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

/// What a try says of the target, and not of its message.
enum Effect {
    Answers,
    Fails,
    IsBroken,
    Unknown,
}

impl Effect {
    const fn of(class: AttemptClass) -> Self {
        match class {
            // One that refuses a message does answer.
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
    // 15 s doubled five times is above the longest.
    let doubled = FIRST_PAUSE * 2_u32.pow(openings.saturating_sub(1).min(5));
    match urgency {
        Severity::Page => doubled.min(LONGEST_PAUSE_OF_PAGE),
        Severity::Ticket => doubled.min(LONGEST_PAUSE),
    }
}

/// How often a target is tried that must be mended by somebody: seldom, but without being asked.
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

    /// Seconds between one probe and the next, each of which fails.
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
