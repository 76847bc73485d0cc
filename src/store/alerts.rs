//! The state of alerts, and the history of what people were told of.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use super::{StoreError, Tx};
use crate::domain::{
    alert::{Alert, Episode, Phase},
    definition::Severity,
    names::{Name, SloId},
    notification::Facts,
    status::AlertState,
    suppression::Suppression,
    time::Timestamp,
};

/// A transition as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertTransition {
    pub id: Uuid,
    pub slo: SloId,
    pub at: Timestamp,
    /// Which SLO by name, severity, version, episode and kind: all of it is in the facts.
    pub facts: Facts,
    /// Why nobody was told of it.
    pub suppression: Option<Suppression>,
}

impl Tx<'_> {
    /// The alerts of `slos` that have a row, by SLO and severity.
    pub async fn alerts(
        &mut self,
        slos: &[SloId],
    ) -> Result<BTreeMap<(SloId, Severity), Alert>, StoreError> {
        let ids: Vec<i32> = slos.iter().map(|slo| slo.0).collect();
        let rows: Vec<AlertRow> = sqlx::query_as(
            "-- alerts.read
             select slo_id, severity, state, version, episode, since, clear_since, rule
             from alerts where slo_id = any ($1)",
        )
        .bind(ids)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        rows.into_iter()
            .map(|row| row.decode().map_err(|source| self.failed(source)))
            .collect()
    }

    /// Gives alerts that have no row an inactive one. One that has a row keeps it.
    pub async fn insert_alerts(
        &mut self,
        alerts: &[(SloId, Severity)],
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let ids: Vec<i32> = alerts.iter().map(|(slo, _)| slo.0).collect();
        let severities: Vec<&str> = alerts
            .iter()
            .map(|(_, severity)| severity.as_str())
            .collect();
        sqlx::query(
            "-- alerts.insert
             insert into alerts (slo_id, severity, state, since)
             select slo_id, severity, 'inactive', $3
             from unnest($1::integer[], $2::text[]) as missing (slo_id, severity)
             order by slo_id, severity
             on conflict (slo_id, severity) do nothing",
        )
        .bind(ids)
        .bind(severities)
        .bind(since.to_chrono())
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Puts `next` in the place of version `seen`. False if somebody else was faster: then nothing
    /// has changed, and what was concluded from `seen` is void.
    pub async fn swap_alert(
        &mut self,
        slo: SloId,
        severity: Severity,
        seen: i64,
        next: &Alert,
    ) -> Result<bool, StoreError> {
        let status = next.to_status(severity);
        let clear_since = match next.phase {
            Phase::Recovering { clear_since, .. } => Some(clear_since),
            Phase::Inactive { .. } | Phase::Firing(_) => None,
        };
        let swapped = sqlx::query(
            "-- alerts.swap
             update alerts
             set state = $4, version = $5, episode = $6, since = $7, clear_since = $8, rule = $9
             where slo_id = $1 and severity = $2 and version = $3",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .bind(seen)
        .bind(state_text(status.state))
        .bind(next.version)
        .bind(next.episode().map(|episode| episode.id))
        .bind(status.since.to_chrono())
        .bind(clear_since.map(Timestamp::to_chrono))
        .bind(status.rule.as_ref().map(Name::as_str))
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(swapped.rows_affected() == 1)
    }

    /// Writes a transition into the history; belongs into the transaction of its swap.
    pub async fn insert_transition(
        &mut self,
        transition: &AlertTransition,
    ) -> Result<(), StoreError> {
        let facts = &transition.facts;
        sqlx::query(
            "-- alert_transitions.insert
             insert into alert_transitions
                 (id, slo_id, severity, version, episode, kind, at, facts, suppression)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(transition.id)
        .bind(transition.slo.0)
        .bind(facts.severity.as_str())
        .bind(facts.version)
        .bind(facts.episode)
        .bind(facts.kind.as_str())
        .bind(transition.at.to_chrono())
        .bind(Json(facts))
        .bind(transition.suppression.map(Json))
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// The transition that an episode began with.
    pub async fn episode_opening(
        &mut self,
        slo: SloId,
        severity: Severity,
        episode: Uuid,
    ) -> Result<Option<AlertTransition>, StoreError> {
        let row: Option<TransitionRow> = sqlx::query_as(
            "-- alert_transitions.opening
             select id, slo_id, at, facts, suppression from alert_transitions
             where slo_id = $1 and severity = $2 and episode = $3 and kind = 'firing'
             order by version desc limit 1",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .bind(episode)
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(row.map(AlertTransition::from))
    }

    /// Transitions since `from`, newest first: of one SLO, or (`None`) of all.
    pub async fn transitions(
        &mut self,
        slo: Option<SloId>,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<AlertTransition>, StoreError> {
        let rows: Vec<TransitionRow> = sqlx::query_as(
            "-- alert_transitions.since
             select id, slo_id, at, facts, suppression from alert_transitions
             where ($1::integer is null or slo_id = $1) and at >= $2
             order by at desc, slo_id, version desc limit $3",
        )
        .bind(slo.map(|slo| slo.0))
        .bind(from.to_chrono())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(rows.into_iter().map(AlertTransition::from).collect())
    }
}

const fn state_text(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Firing => "firing",
        AlertState::Recovering => "recovering",
    }
}

#[derive(FromRow)]
struct TransitionRow {
    id: Uuid,
    slo_id: i32,
    at: DateTime<Utc>,
    facts: Json<Facts>,
    suppression: Option<Json<Suppression>>,
}

impl From<TransitionRow> for AlertTransition {
    fn from(row: TransitionRow) -> Self {
        Self {
            id: row.id,
            slo: SloId(row.slo_id),
            at: row.at.into(),
            facts: row.facts.0,
            suppression: row.suppression.map(|kept| kept.0),
        }
    }
}

#[derive(FromRow)]
struct AlertRow {
    slo_id: i32,
    severity: String,
    state: String,
    version: i64,
    episode: Option<Uuid>,
    since: DateTime<Utc>,
    clear_since: Option<DateTime<Utc>>,
    rule: Option<String>,
}

impl AlertRow {
    fn decode(self) -> Result<((SloId, Severity), Alert), sqlx::Error> {
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

    fn phase(&self) -> Result<Phase, sqlx::Error> {
        match (self.state.as_str(), self.clear_since) {
            ("inactive", _) => Ok(Phase::Inactive {
                since: self.since.into(),
            }),
            ("firing", _) => Ok(Phase::Firing(self.episode()?)),
            ("recovering", Some(clear_since)) => Ok(Phase::Recovering {
                episode: self.episode()?,
                clear_since: clear_since.into(),
            }),
            _ => Err(self.inconsistent("state")),
        }
    }

    fn episode(&self) -> Result<Episode, sqlx::Error> {
        let rule = self.rule.as_deref().and_then(|rule| rule.parse().ok());
        let (Some(id), Some(rule)) = (self.episode, rule) else {
            return Err(self.inconsistent("episode"));
        };
        Ok(Episode {
            id,
            rule,
            fired_at: self.since.into(),
        })
    }

    fn inconsistent(&self, column: &str) -> sqlx::Error {
        let message = format!(
            "`{column}` of the alert of SLO {} makes no sense",
            self.slo_id
        );
        sqlx::Error::Decode(message.into())
    }
}
