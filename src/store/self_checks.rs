//! What is wrong with the service itself: where each check stands, and who was told of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use super::{StoreError, Tx};
use crate::domain::{
    health::{Phase, Standing},
    model::{ids::Name, time::Timestamp},
    notify::Content,
    slo::Severity,
};

/// A check as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfCheck {
    pub standing: Standing,
    pub severity: Severity,
    pub title: String,
    /// Who was told that it opened.
    pub told: Vec<Name>,
}

/// One that is open, for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenCheck {
    pub key: String,
    pub title: String,
    pub opened_at: Timestamp,
}

impl Tx<'_> {
    /// By key; one that was never found has no row.
    pub async fn self_checks(&mut self) -> Result<BTreeMap<String, SelfCheck>, StoreError> {
        let rows: Vec<CheckRow> = sqlx::query_as(
            "-- self_checks.read
             select key, version, phase, since, episode, opened_at, severity, title, told
             from self_checks",
        )
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let check = |row: CheckRow| {
            let told: Result<Vec<Name>, StoreError> =
                row.told.iter().map(|name| self.name(name)).collect();
            let standing = row.standing().map_err(|source| self.failed(source))?;
            let severity = if row.severity == "page" {
                Severity::Page
            } else {
                Severity::Ticket
            };
            let check = SelfCheck {
                standing,
                severity,
                title: row.title,
                told: told?,
            };
            Ok((row.key, check))
        };
        rows.into_iter().map(check).collect()
    }

    /// Puts `next` in the place of version `seen`; version 0 has no row. False if another replica was
    /// faster: then nothing has changed.
    pub async fn swap_self_check(
        &mut self,
        key: &str,
        seen: i64,
        next: &SelfCheck,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (phase, since, open) = columns(next.standing.phase, now);
        let told: Vec<&str> = next.told.iter().map(Name::as_str).collect();
        let result = sqlx::query(
            "-- self_checks.swap
             insert into self_checks as c
                 (key, version, phase, since, episode, opened_at, severity, title, told)
             select $1, $3, $4, $5, $6, $7, $8, $9, $10
             where $2 = 0 or exists (select from self_checks where key = $1)
             on conflict (key) do update
             set version = excluded.version, phase = excluded.phase, since = excluded.since,
                 episode = excluded.episode, opened_at = excluded.opened_at,
                 severity = excluded.severity, title = excluded.title, told = excluded.told
             where c.version = $2",
        )
        .bind(key)
        .bind(seen)
        .bind(next.standing.version)
        .bind(phase)
        .bind(since.to_chrono())
        .bind(open.map(|(episode, _)| episode))
        .bind(open.map(|(_, at)| at.to_chrono()))
        .bind(match next.severity {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        })
        .bind(&next.title)
        .bind(told)
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(result.rows_affected() == 1)
    }

    /// What is open now, the oldest first.
    pub async fn open_checks(&mut self) -> Result<Vec<OpenCheck>, StoreError> {
        let rows: Vec<(String, String, DateTime<Utc>)> = sqlx::query_as(
            "-- self_checks.open
             select key, title, opened_at from self_checks
             where phase in ('open', 'recovering') order by opened_at, key",
        )
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let open = |(key, title, opened_at): (String, String, DateTime<Utc>)| OpenCheck {
            key,
            title,
            opened_at: opened_at.into(),
        };
        Ok(rows.into_iter().map(open).collect())
    }

    /// What a target that forgets must hear again: checks that it was told of and that are open, and
    /// those that ended since `ended_after`, each as it was told last.
    pub async fn standing_notices(
        &mut self,
        target: &Name,
        ended_after: Timestamp,
    ) -> Result<Vec<Content>, StoreError> {
        let rows: Vec<Json<serde_json::Value>> = sqlx::query_scalar(
            "-- notices.standing
             select distinct on (n.key) n.content
             from notices n join deliveries d on d.notice_id = n.id and d.target = $1
             where n.kind = 'self_check'
                 and (n.at > $2 or exists (select from self_checks c where c.episode = n.episode))
             order by n.key, n.at desc, n.id desc",
        )
        .bind(target.as_str())
        .bind(ended_after.to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let readable = rows
            .into_iter()
            .filter_map(|content| serde_json::from_value(content.0).ok());
        Ok(readable.collect())
    }
}

type Open = Option<(Uuid, Timestamp)>;

fn columns(phase: Phase, now: Timestamp) -> (&'static str, Timestamp, Open) {
    match phase {
        Phase::Well => ("well", now, None),
        Phase::Suspect { since } => ("suspect", since, None),
        Phase::Open { episode, opened_at } => ("open", opened_at, Some((episode, opened_at))),
        Phase::Recovering {
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
    told: Vec<String>,
}

impl CheckRow {
    fn standing(&self) -> Result<Standing, sqlx::Error> {
        let since = self.since.into();
        let open = self.episode.zip(self.opened_at.map(Timestamp::from));
        let phase = match (self.phase.as_str(), open) {
            ("well", None) => Phase::Well,
            ("suspect", None) => Phase::Suspect { since },
            ("open", Some((episode, opened_at))) => Phase::Open { episode, opened_at },
            ("recovering", Some((episode, opened_at))) => Phase::Recovering {
                episode,
                opened_at,
                well_since: since,
            },
            _ => {
                let what = format!("`{}` is no phase of `self_checks`", self.phase);
                return Err(sqlx::Error::Decode(what.into()));
            }
        };
        Ok(Standing {
            version: self.version,
            phase,
        })
    }
}
