//! Detects an outage of the database that lasts so long that nothing is evaluated. Its notification
//! is sent without the database.
//!
//! Every replica detects it for itself and notifies with the same key, so that one of them is
//! sufficient and more do no harm.

use std::time::Duration;

use chrono_tz::Tz;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::{
    model::{format, time::Timestamp},
    notify::{PlatformNotification, PlatformNotificationKind},
    slo::Severity,
};

/// The interval of repetitions, for targets that deduplicate by key.
const AGAIN_AFTER: Duration = Duration::from_mins(5);

/// The state of an outage, as one replica knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseOutage {
    seen: LastAnswer,
    notified_at: Option<Timestamp>,
}

/// The result of the last successful query of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAnswer {
    pub at: Timestamp,
    /// The number of alerts that were firing then.
    pub firing: i64,
    /// The number of outages that were notified before. All replicas read the same number, so they
    /// agree on the id of the message.
    pub outages: i64,
}

/// The notification to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageNotice {
    Began(LastAnswer),
    /// The outage is over; the database last answered before it at `LastAnswer::at`.
    Ended(LastAnswer),
}

impl DatabaseOutage {
    pub const fn new(seen: LastAnswer) -> Self {
        Self {
            seen,
            notified_at: None,
        }
    }

    pub const fn is_notified(&self) -> bool {
        self.notified_at.is_some()
    }

    /// Updates the state with one check of the database; `answer` is `None` if it did not answer.
    /// The notification is returned at each check until [`Self::notified`] confirms that it was
    /// sent.
    pub fn look(
        &mut self,
        answer: Option<LastAnswer>,
        now: Timestamp,
        after: Duration,
    ) -> Option<OutageNotice> {
        match (answer, self.notified_at) {
            (Some(answer), None) => {
                self.seen = answer;
                None
            }
            (Some(_), Some(_)) => Some(OutageNotice::Ended(self.seen)),
            (None, notified_at) => {
                let is_outage = now.saturating_since(self.seen.at) >= after;
                let is_due = notified_at.is_none_or(|at| now.saturating_since(at) >= AGAIN_AFTER);
                (is_outage && is_due).then_some(OutageNotice::Began(self.seen))
            }
        }
    }

    pub const fn notified(&mut self, alarm: OutageNotice, now: Timestamp) {
        self.notified_at = match alarm {
            OutageNotice::Began(_) => Some(now),
            OutageNotice::Ended(_) => None,
        };
    }
}

impl OutageNotice {
    /// Returns the id of the message: the same from all replicas, and for every repetition.
    pub fn message(self, service: &str) -> Uuid {
        let word = match self {
            Self::Began(_) => "blind",
            Self::Ended(_) => "sees",
        };
        id(&format!("{}/{}/{word}", key(service), self.seen().outages))
    }

    /// Makes the notification. `service` distinguishes this installation from others that notify
    /// the same target.
    pub fn notice(self, service: &str, now: Timestamp) -> PlatformNotification {
        let seen = self.seen();
        let (from, to) = (
            format::time_of_day(seen.at, Tz::UTC),
            format::time_of_day(now, Tz::UTC),
        );
        let (kind, title, lines) = match self {
            Self::Began(_) => (
                PlatformNotificationKind::SelfCheckOpened,
                format!(
                    "alerts have not been evaluated since {from}; {}",
                    fired(seen.firing)
                ),
                vec![
                    "The database does not answer. Until it does, no alert begins or ends, and \
                     no firing alert should be regarded as over."
                        .to_owned(),
                ],
            ),
            Self::Ended(_) => (
                PlatformNotificationKind::SelfCheckResolved,
                format!("alerts were not evaluated from {from} to {to}"),
                vec!["The database answers again; senders deliver what they buffered.".to_owned()],
            ),
        };
        let key = key(service);
        PlatformNotification {
            kind,
            episode: id(&format!("{key}/{}", seen.outages)),
            key,
            severity: Severity::Page,
            title,
            lines,
            links: Vec::new(),
            since: seen.at,
            at: now,
        }
    }

    const fn seen(self) -> LastAnswer {
        match self {
            Self::Began(seen) | Self::Ended(seen) => seen,
        }
    }
}

fn key(service: &str) -> String {
    format!("throughline/{service}/blind")
}

fn fired(count: i64) -> String {
    match count {
        0 => "no alert was firing".to_owned(),
        1 => "1 alert was firing".to_owned(),
        n => format!("{} alerts were firing", format::count(n)),
    }
}

fn id(text: &str) -> Uuid {
    let digest = Sha256::digest(text);
    let bytes = std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default());
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    const fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_795_328_309 + secs)
    }

    const fn seen(secs: i64) -> LastAnswer {
        LastAnswer {
            at: at(secs),
            firing: 3,
            outages: 4,
        }
    }

    #[test]
    fn t11_a_minute_without_an_answer_is_told_at_most_every_five_and_its_end_once() {
        let mut state = DatabaseOutage::new(seen(0));
        assert_eq!(state.look(Some(seen(5)), at(5), MINUTE), None);
        assert_eq!(state.look(None, at(64), MINUTE), None);
        let began = OutageNotice::Began(seen(5));
        assert_eq!(state.look(None, at(65), MINUTE), Some(began));
        // The notification did not reach the target, so it is still to be sent.
        assert_eq!(state.look(None, at(70), MINUTE), Some(began));
        state.notified(began, at(70));
        assert_eq!(state.look(None, at(369), MINUTE), None);
        assert_eq!(state.look(None, at(370), MINUTE), Some(began));
        state.notified(began, at(370));
        let over = OutageNotice::Ended(seen(5));
        assert_eq!(state.look(Some(seen(400)), at(400), MINUTE), Some(over));
        state.notified(over, at(400));
        assert_eq!(state.look(Some(seen(405)), at(405), MINUTE), None);
    }

    #[test]
    fn an_outage_that_was_short_is_not_told() {
        let mut state = DatabaseOutage::new(seen(0));
        assert_eq!(state.look(None, at(59), MINUTE), None);
        assert_eq!(state.look(Some(seen(61)), at(61), MINUTE), None);
        assert_eq!(state.look(None, at(120), MINUTE), None);
    }

    #[test]
    fn all_replicas_say_the_same_under_one_id_that_the_next_outage_does_not_share() {
        let here = OutageNotice::Began(seen(0));
        let there = OutageNotice::Began(seen(4));
        assert_eq!(
            here.message("slo.example.com"),
            there.message("slo.example.com")
        );
        let next = OutageNotice::Began(LastAnswer {
            outages: 5,
            ..seen(0)
        });
        assert_ne!(here.message("a"), next.message("a"));
        assert_ne!(here.message("a"), here.message("b"));
        assert_ne!(here.message("a"), OutageNotice::Ended(seen(0)).message("a"));
        let notice = here.notice("slo.example.com", at(65));
        assert_eq!(notice.key, "throughline/slo.example.com/blind");
        assert_eq!(
            notice.headline(),
            "Throughline itself: alerts have not been evaluated since 06:18 UTC; 3 alerts were firing"
        );
    }
}
