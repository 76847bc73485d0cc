//! The inputs of the self-checks and of the heartbeat.

use std::time::Duration;

use uuid::Uuid;

use super::CleanUpSign;
use crate::domain::{
    model::{ids::Name, time::Timestamp},
    workflow::watermark::Watermark,
};

/// A replica writes a heartbeat every second; without one for this long it has an outage.
const RECEIVES_WITHIN: Duration = Duration::from_secs(10);

/// All inputs, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthInputs {
    pub now: Timestamp,
    /// The interval at which each SLO is evaluated.
    pub interval: Duration,
    /// The time that senders get after an outage to catch up, during which the watermark may stand
    /// still.
    pub catch_up: Duration,
    pub slos: Vec<SloSign>,
    pub replicas: Vec<ReplicaSign>,
    pub targets: Vec<TargetSign>,
    /// The combined watermark of all replicas; `None` before the first heartbeat.
    pub watermark: Option<Watermark>,
    /// The time at which any replica last received a span; `None` before the first.
    pub last_span_at: Option<Timestamp>,
    /// The usual number of events in a range as long as the current one without spans; `None` if
    /// unknown.
    pub usual_events: Option<i64>,
    /// The time since when the oldest page has been waiting.
    pub oldest_page_at: Option<Timestamp>,
    pub dead_letters: DeadLetters,
    /// The time at which missing deliveries of alerts were last found and added; `None` if never.
    pub last_repair_at: Option<Timestamp>,
    pub silences: Vec<SilenceSign>,
    pub clean_ups: Vec<CleanUpSign>,
    /// Partitions of Kafka topics.
    pub logs: Vec<LogSign>,
}

/// The progress of reading a partition of a Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSign {
    pub topic: String,
    pub partition: i32,
    /// The number of messages that are not committed.
    pub lag: i64,
    /// The time up to which all appended messages are committed.
    pub up_to: Timestamp,
    /// The time of the last report from the replica that reads it.
    pub seen_at: Timestamp,
}

/// A silence that suppresses notifications now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceSign {
    pub id: Uuid,
    pub reason: String,
    pub created_by: Option<String>,
    /// The time from its beginning to its end.
    pub lasts: Duration,
    pub ends_at: Timestamp,
}

/// A declared SLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloSign {
    pub name: Name,
    /// `None` before the first time.
    pub evaluated_at: Option<Timestamp>,
    /// The counts that it was evaluated on are inconsistent.
    pub is_inconsistent: bool,
}

/// A replica: a process that receives and evaluates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaSign {
    pub id: i64,
    /// The milliseconds by which its clock is ahead of the database's; negative if it is behind.
    pub ahead_ms: i64,
    /// The reasons why it does not apply the definition files that it has read; empty if it does.
    pub definition_problems: Vec<String>,
    /// The senders whose whole requests it rejects, with the reason, one sentence each.
    pub rejected_senders: Vec<String>,
    /// The reasons why logins at the OpenID Connect provider fail, one sentence each.
    pub login_problems: Vec<String>,
    /// Problems with reading its Kafka topic, one sentence each.
    pub kafka_problems: Vec<String>,
    /// The certificates of its ports that clients refuse, one sentence each.
    pub certificates_expired: Vec<String>,
    /// Those that expire soon.
    pub certificates_expiring: Vec<String>,
}

/// A declared target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSign {
    pub name: Name,
    /// The time since when deliveries to it have failed temporarily.
    pub failing_since: Option<Timestamp>,
    /// The time since when its configuration must be corrected.
    pub broken_since: Option<Timestamp>,
    /// The time since when a page has been waiting for it.
    pub page_waits_since: Option<Timestamp>,
    pub waiting: i64,
}

/// Deliveries that failed permanently within the last day, without tests and heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetters {
    pub count: i64,
    /// Those of which no one was notified.
    pub unseen: i64,
    /// Their targets.
    pub targets: Vec<String>,
}

impl HealthInputs {
    /// Makes the inputs of a healthy service that has nothing to do.
    pub const fn of_a_healthy_service(now: Timestamp, interval: Duration) -> Self {
        Self {
            now,
            interval,
            catch_up: Duration::from_mins(5),
            slos: Vec::new(),
            replicas: Vec::new(),
            targets: Vec::new(),
            watermark: Some(Watermark::new(now)),
            last_span_at: None,
            usual_events: None,
            oldest_page_at: None,
            dead_letters: DeadLetters {
                count: 0,
                unseen: 0,
                targets: Vec::new(),
            },
            last_repair_at: None,
            silences: Vec::new(),
            clean_ups: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// Returns the SLOs that were not evaluated for three intervals; the limit is at least the half
    /// minute after which a tick is aborted.
    pub(super) fn not_evaluated(&self) -> Vec<&SloSign> {
        let hold_times = (self.interval * 3).max(Duration::from_secs(30));
        let late = |slo: &&SloSign| {
            slo.evaluated_at
                .is_none_or(|at| self.now.saturating_since(at) >= hold_times)
        };
        self.slos.iter().filter(late).collect()
    }

    /// Returns whether a replica is receiving, and senders have had time to deliver what they
    /// buffered during an outage: before that, missing spans mean nothing.
    pub(super) fn has_caught_up(&self) -> bool {
        self.watermark.is_some_and(|watermark| {
            watermark.catching_up_until <= self.now
                && self.now.saturating_since(watermark.heartbeat_at) < RECEIVES_WITHIN
        })
    }

    /// Returns the time since any replica last received a span; `None` if none ever did.
    pub(super) fn silence(&self) -> Option<Duration> {
        Some(self.now.saturating_since(self.last_span_at?))
    }
}
