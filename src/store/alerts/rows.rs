//! The state of an alert as columns of its row.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::domain::{
    alerting::{
        alert::{Alert, AlertPhase, Episode, EvaluatedTime, LastNotified, Waits},
        suppression::Suppression,
    },
    model::{
        ids::{Name, SloId},
        time::Timestamp,
    },
    slo::Severity,
};

#[derive(FromRow)]
pub(crate) struct AlertRow {
    slo_id: i32,
    severity: String,
    state: String,
    version: i64,
    episode: Option<Uuid>,
    since: DateTime<Utc>,
    began_at: Option<DateTime<Utc>>,
    rule: Option<String>,
    pending_rules: Option<Json<Vec<PendingRule>>>,
    clear_us: Option<i64>,
    counted_until: Option<DateTime<Utc>>,
    flap_count: i32,
    stale_since: Option<DateTime<Utc>>,
    suppression: Option<Json<Suppression>>,
    last_notified: Option<Json<LastNotified>>,
}

/// The duration for which one rule of a pending alert has been burning.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingRule {
    rule: Name,
    burned_us: u64,
    counted_until: Timestamp,
}

/// Returns the rules that a pending alert waits for.
pub(crate) fn waits(phase: &AlertPhase) -> Option<Vec<PendingRule>> {
    let AlertPhase::Pending(waits) = phase else {
        return None;
    };
    let rows = waits.rules.iter().map(|(rule, wait)| PendingRule {
        rule: rule.clone(),
        burned_us: micros(wait.so_far),
        counted_until: wait.until,
    });
    Some(rows.collect())
}

/// Returns for how long a recovering alert has been clear, in microseconds, and until when that was
/// measured.
pub(crate) fn clear(phase: &AlertPhase) -> Option<(i64, Timestamp)> {
    match phase {
        AlertPhase::Recovering { clear, .. } => {
            Some((i64::try_from(micros(clear.so_far)).ok()?, clear.until))
        }
        AlertPhase::Inactive { .. } | AlertPhase::Pending(_) | AlertPhase::Firing(_) => None,
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

impl AlertRow {
    pub(crate) fn decode(self) -> Result<((SloId, Severity), Alert), sqlx::Error> {
        let severity = match self.severity.as_str() {
            "page" => Severity::Page,
            "ticket" => Severity::Ticket,
            _ => return Err(self.inconsistent("severity")),
        };
        let alert = Alert {
            version: self.version,
            phase: self.phase()?,
        };
        Ok(((SloId(self.slo_id), severity), alert))
    }

    fn phase(&self) -> Result<AlertPhase, sqlx::Error> {
        match (self.state.as_str(), self.clear_us, self.counted_until) {
            ("inactive", ..) => Ok(AlertPhase::Inactive {
                since: self.since.into(),
            }),
            ("pending", ..) => Ok(AlertPhase::Pending(self.waits())),
            ("firing", ..) => Ok(AlertPhase::Firing(self.episode()?)),
            ("recovering", Some(clear_us), Some(until)) => Ok(AlertPhase::Recovering {
                episode: self.episode()?,
                clear: EvaluatedTime {
                    so_far: Duration::from_micros(clear_us.unsigned_abs()),
                    until: until.into(),
                },
            }),
            _ => Err(self.inconsistent("state")),
        }
    }

    fn waits(&self) -> Waits {
        let rows = self.pending_rules.iter().flat_map(|kept| &kept.0);
        let rules: BTreeMap<Name, EvaluatedTime> = rows
            .map(|wait| {
                let stretch = EvaluatedTime {
                    so_far: Duration::from_micros(wait.burned_us),
                    until: wait.counted_until,
                };
                (wait.rule.clone(), stretch)
            })
            .collect();
        Waits {
            since: self.since.into(),
            rules,
        }
    }

    fn episode(&self) -> Result<Episode, sqlx::Error> {
        let rule = self.rule.as_deref().and_then(|rule| rule.parse().ok());
        let (Some(id), Some(rule)) = (self.episode, rule) else {
            return Err(self.inconsistent("episode"));
        };
        let begun = Episode::begin(id, rule, self.since.into());
        Ok(Episode {
            began_at: self.began_at.map_or(begun.began_at, Timestamp::from),
            flaps: self.flap_count.unsigned_abs(),
            stale_since: self.stale_since.map(Timestamp::from),
            muted: self.suppression.map(|kept| kept.0),
            last_notified: self
                .last_notified
                .map_or(begun.last_notified, |kept| kept.0),
            ..begun
        })
    }

    fn inconsistent(&self, column: &str) -> sqlx::Error {
        let message = format!("`{column}` of the alert of SLO {} is invalid", self.slo_id);
        sqlx::Error::Decode(message.into())
    }
}
