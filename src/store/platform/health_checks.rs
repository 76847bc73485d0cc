//! Health checks of the service itself: the phase of each, and the targets that were notified.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        health::{CheckPhase, CheckState},
        model::{ids::Name, time::Timestamp},
        notify::Notification,
        slo::Severity,
    },
    store::{StoreError, Tx},
};

/// A health check as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub state: CheckState,
    pub severity: Severity,
    pub title: String,
    /// The targets that were notified that it opened.
    pub notified_targets: Vec<Name>,
}

/// An open check, as pages and metrics show it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct OpenCheck {
    pub key: String,
    pub title: String,
    pub opened_at: Timestamp,
}

impl Tx<'_> {
    /// Returns the checks by key; one that was never found has no row.
    pub async fn health_checks(&mut self) -> Result<BTreeMap<String, HealthCheck>, StoreError> {
        let query = sqlx::query_as(
            "-- health_checks.read
             select key, version, phase, since, episode, opened_at, severity, title, notified_targets
             from health_checks",
        );
        let rows: Vec<CheckRow> = self.fetch_all(query).await?;
        let check = |row: CheckRow| {
            let notified: Result<Vec<Name>, StoreError> = row
                .notified_targets
                .iter()
                .map(|name| self.name(name))
                .collect();
            let state = row.state().map_err(|source| self.failed(source))?;
            let severity = if row.severity == "page" {
                Severity::Page
            } else {
                Severity::Ticket
            };
            let check = HealthCheck {
                state,
                severity,
                title: row.title,
                notified_targets: notified?,
            };
            Ok((row.key, check))
        };
        rows.into_iter().map(check).collect()
    }

    /// Replaces version `seen` of a check by `next`; version 0 has no row. Returns false if another
    /// replica was faster: then nothing has changed.
    pub async fn swap_health_check(
        &mut self,
        key: &str,
        seen: i64,
        next: &HealthCheck,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (phase, since, open) = columns(next.state.phase, now);
        let notified: Vec<&str> = next.notified_targets.iter().map(Name::as_str).collect();
        let statement = sqlx::query(
            "-- health_checks.swap
             insert into health_checks as c
                 (key, version, phase, since, episode, opened_at, severity, title, notified_targets)
             select $1, $3, $4, $5, $6, $7, $8, $9, $10
             where $2 = 0 or exists (select from health_checks where key = $1)
             on conflict (key) do update
             set version = excluded.version, phase = excluded.phase, since = excluded.since,
                 episode = excluded.episode, opened_at = excluded.opened_at,
                 severity = excluded.severity, title = excluded.title, notified_targets = excluded.notified_targets
             where c.version = $2",
        )
        .bind(key)
        .bind(seen)
        .bind(next.state.version)
        .bind(phase)
        .bind(since.to_chrono())
        .bind(open.map(|(episode, _)| episode))
        .bind(open.map(|(_, at)| at.to_chrono()))
        .bind(match next.severity {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        })
        .bind(&next.title)
        .bind(notified);
        let result = self.execute(statement).await?;
        Ok(result == 1)
    }

    /// Returns the open checks, the oldest first.
    pub async fn open_checks(&mut self) -> Result<Vec<OpenCheck>, StoreError> {
        let query = sqlx::query_as(
            "-- health_checks.open
             select key, title, opened_at from health_checks
             where phase in ('failing', 'recovering') order by opened_at, key",
        );
        let rows: Vec<(String, String, DateTime<Utc>)> = self.fetch_all(query).await?;
        let open = |(key, title, opened_at): (String, String, DateTime<Utc>)| OpenCheck {
            key,
            title,
            opened_at: opened_at.into(),
        };
        Ok(rows.into_iter().map(open).collect())
    }

    /// Returns what must be repeated to a target that keeps no state: open checks that it was
    /// notified of, and those that ended since `ended_after`, each with its last notification.
    pub async fn notifications_to_repeat(
        &mut self,
        target: &Name,
        ended_after: Timestamp,
    ) -> Result<Vec<Notification>, StoreError> {
        let rows: Vec<Json<serde_json::Value>> = sqlx::query_scalar(
            "-- platform_notifications.standing
             select distinct on (n.key) n.content
             from platform_notifications n
             join deliveries d on d.platform_notification_id = n.id and d.target = $1
             where n.kind = 'health_check'
                 and (n.at > $2 or exists (select from health_checks c where c.episode = n.episode))
             order by n.key, n.at desc, n.id desc",
        )
        .bind(target.as_str())
        .bind(ended_after.to_chrono())
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let readable = rows
            .into_iter()
            .filter_map(|content| serde_json::from_value(content.0).ok());
        Ok(readable.collect())
    }
}

type Open = Option<(Uuid, Timestamp)>;

fn columns(phase: CheckPhase, now: Timestamp) -> (&'static str, Timestamp, Open) {
    match phase {
        CheckPhase::Well => ("healthy", now, None),
        CheckPhase::Suspect { since } => ("pending", since, None),
        CheckPhase::Open { episode, opened_at } => {
            ("failing", opened_at, Some((episode, opened_at)))
        }
        CheckPhase::Recovering {
            episode,
            opened_at,
            well_since,
        } => ("recovering", well_since, Some((episode, opened_at))),
    }
}

#[derive(FromRow)]
struct CheckRow {
    key: String,
    version: i64,
    phase: String,
    since: DateTime<Utc>,
    episode: Option<Uuid>,
    opened_at: Option<DateTime<Utc>>,
    severity: String,
    title: String,
    notified_targets: Vec<String>,
}

impl CheckRow {
    fn state(&self) -> Result<CheckState, sqlx::Error> {
        let since = self.since.into();
        let open = self.episode.zip(self.opened_at.map(Timestamp::from));
        let phase = match (self.phase.as_str(), open) {
            ("healthy", None) => CheckPhase::Well,
            ("pending", None) => CheckPhase::Suspect { since },
            ("failing", Some((episode, opened_at))) => CheckPhase::Open { episode, opened_at },
            ("recovering", Some((episode, opened_at))) => CheckPhase::Recovering {
                episode,
                opened_at,
                well_since: since,
            },
            _ => {
                let what = format!("`{}` is no phase of `health_checks`", self.phase);
                return Err(sqlx::Error::Decode(what.into()));
            }
        };
        Ok(CheckState {
            version: self.version,
            phase,
        })
    }
}
