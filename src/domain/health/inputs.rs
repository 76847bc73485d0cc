//! The signs of life that the service is judged by.

use std::time::Duration;

use uuid::Uuid;

use super::CleanUpSign;
use crate::domain::{
    model::{ids::Name, time::Timestamp},
    workflow::watermark::Watermark,
};

/// A replica gives a sign of life every second; without one for so long there was an outage.
const RECEIVES_WITHIN: Duration = Duration::from_secs(10);

/// All that was read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthInputs {
    pub now: Timestamp,
    /// How often each SLO is evaluated.
    pub interval: Duration,
    /// How long senders are given after an outage: so long the watermark may stand still.
    pub catch_up: Duration,
    pub slos: Vec<SloSign>,
    pub replicas: Vec<ReplicaSign>,
    pub targets: Vec<TargetSign>,
    /// What all replicas vouch for of ingest; `None` before the first sign of life.
    pub watermark: Option<Watermark>,
    /// When the last span came, to any replica; `None` before the first.
    pub last_span_at: Option<Timestamp>,
    /// Events that were usual in a stretch as long as the one without spans; `None` where that is not
    /// known.
    pub usual_events: Option<i64>,
    /// Since when the page waits that waits longest.
    pub oldest_page_at: Option<Timestamp>,
    pub dead_letters: DeadLetters,
    /// When deliveries of alerts were last found missing and written after all; `None` if never.
    pub last_repair_at: Option<Timestamp>,
    pub silences: Vec<SilenceSign>,
    pub clean_ups: Vec<CleanUpSign>,
}

/// A silence that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceSign {
    pub id: Uuid,
    pub reason: String,
    pub created_by: Option<String>,
    /// From its beginning to its end.
    pub lasts: Duration,
    pub ends_at: Timestamp,
}

/// A declared SLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloSign {
    pub name: Name,
    /// `None` before the first time.
    pub evaluated_at: Option<Timestamp>,
    /// The counts that it was evaluated on cannot be true.
    pub is_absurd: bool,
}

/// A process that receives and evaluates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSign {
    pub id: i64,
    /// By how much its clock is ahead of the database's; negative if it is behind.
    pub ahead_ms: i64,
    /// Why it does not apply the definition files that it has read; empty if it does.
    pub definition_problems: Vec<String>,
    /// Senders whose requests it refuses whole, with the reason, a sentence each.
    pub refused_senders: Vec<String>,
}

/// A declared target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSign {
    pub name: Name,
    /// Since when it takes nothing though it might.
    pub failing_since: Option<Timestamp>,
    /// Since when somebody must mend its configuration.
    pub broken_since: Option<Timestamp>,
    /// Since when a page waits for it.
    pub page_waits_since: Option<Timestamp>,
    pub waiting: i64,
}

/// Deliveries that were given up within the last day, tests and heartbeats aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetters {
    pub count: i64,
    /// Those that nobody was told of.
    pub unseen: i64,
    /// Whom they were for.
    pub targets: Vec<String>,
}

impl HealthInputs {
    /// Signs of a service that is well and has nothing to do.
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
        }
    }

    /// SLOs that were not evaluated for three intervals: a tick may take half a minute before it is
    /// given up.
    pub(super) fn not_evaluated(&self) -> Vec<&SloSign> {
        let patience = (self.interval * 3).max(Duration::from_secs(30));
        let late = |slo: &&SloSign| {
            slo.evaluated_at
                .is_none_or(|at| self.now.saturating_since(at) >= patience)
        };
        self.slos.iter().filter(late).collect()
    }

    /// Whether a replica receives, and senders have had their time to deliver what they kept while none
    /// did: before that, nothing follows from a span that is missing.
    pub(super) fn has_caught_up(&self) -> bool {
        self.watermark.is_some_and(|watermark| {
            watermark.catching_up_until <= self.now
                && self.now.saturating_since(watermark.beat_at) < RECEIVES_WITHIN
        })
    }

    /// How long no replica has heard anything; `None` if nothing was ever heard.
    pub(super) fn silence(&self) -> Option<Duration> {
        Some(self.now.saturating_since(self.last_span_at?))
    }
}
