//! The state of alerts, and the history of their transitions.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use super::rows::{AlertRow, clear, waits};
use crate::{
    domain::{
        alerting::{alert::Alert, snapshot::AlertSnapshot, suppression::Suppression},
        model::{
            ids::{Name, SloId},
            time::{TimeRange, Timestamp},
        },
        slo::Severity,
    },
    store::{StoreError, Tx},
};

/// A transition as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertTransition {
    pub id: Uuid,
    pub slo: SloId,
    pub at: Timestamp,
    /// The alert as notifications show it, which includes the SLO's name, severity, version,
    /// episode and kind.
    pub facts: AlertSnapshot,
    /// The reason why no notification was sent; `None` if one was.
    pub suppression: Option<Suppression>,
}

impl Tx<'_> {
    /// Returns the alerts of `slos` that have a row, by SLO and severity.
    pub async fn alerts(
        &mut self,
        slos: &[SloId],
    ) -> Result<BTreeMap<(SloId, Severity), Alert>, StoreError> {
        let ids: Vec<i32> = slos.iter().map(|slo| slo.0).collect();
        let query = sqlx::query_as(
            "-- alerts.read
             select slo_id, severity, state, version, episode, since, began_at, rule, pending_rules, clear_us,
                 counted_until, flap_count, stale_since, suppression, last_notified
             from alerts where slo_id = any ($1)",
        )
        .bind(ids);
        let rows: Vec<AlertRow> = self.fetch_all(query).await?;
        rows.into_iter()
            .map(|row| row.decode().map_err(|source| self.failed(source)))
            .collect()
    }

    /// Inserts an inactive alert for each that has no row. Existing rows stay unchanged.
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
        let statement = sqlx::query(
            "-- alerts.insert
             insert into alerts (slo_id, severity, state, since)
             select slo_id, severity, 'inactive', $3
             from unnest($1::integer[], $2::text[]) as missing (slo_id, severity)
             order by slo_id, severity
             on conflict (slo_id, severity) do nothing",
        )
        .bind(ids)
        .bind(severities)
        .bind(since.to_chrono());
        self.execute(statement).await?;
        Ok(())
    }

    /// Replaces version `seen` of an alert by `next`. Returns false if another writer was faster:
    /// then nothing has changed, and what was derived from `seen` is void.
    pub async fn swap_alert(
        &mut self,
        slo: SloId,
        severity: Severity,
        seen: i64,
        next: &Alert,
    ) -> Result<bool, StoreError> {
        let status = next.to_status(severity);
        let (clear, episode) = (clear(&next.phase), next.episode());
        let statement = sqlx::query(
            "-- alerts.swap
             update alerts
             set state = $4, version = $5, episode = $6, since = $7, rule = $8, pending_rules = $9,
                 clear_us = $10, counted_until = $11, flap_count = $12, stale_since = $13,
                 suppression = $14, last_notified = $15, began_at = $16
             where slo_id = $1 and severity = $2 and version = $3",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .bind(seen)
        .bind(status.state.as_str())
        .bind(next.version)
        .bind(episode.map(|episode| episode.id))
        .bind(status.since.to_chrono())
        .bind(status.rule.as_ref().map(Name::as_str))
        .bind(waits(&next.phase).map(Json))
        .bind(clear.map(|(counted, _)| counted))
        .bind(clear.map(|(_, until)| until.to_chrono()))
        .bind(i32::try_from(status.progress.flaps).unwrap_or(i32::MAX))
        .bind(status.progress.data_stale_since.map(Timestamp::to_chrono))
        .bind(status.progress.muted.map(Json))
        .bind(episode.map(|episode| Json(episode.last_notified)))
        .bind(status.began_at.map(Timestamp::to_chrono));
        let swapped = self.execute(statement).await?;
        Ok(swapped == 1)
    }

    /// Writes a transition into the history; belongs in the transaction of its swap.
    pub async fn insert_transition(
        &mut self,
        transition: &AlertTransition,
    ) -> Result<(), StoreError> {
        let facts = &transition.facts;
        let statement = sqlx::query(
            "-- alert_transitions.insert
             insert into alert_transitions
                 (id, slo_id, severity, version, episode, kind, at, snapshot, suppression)
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
        .bind(transition.suppression.map(Json));
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns the transition that began an episode.
    pub async fn episode_opening(
        &mut self,
        slo: SloId,
        severity: Severity,
        episode: Uuid,
    ) -> Result<Option<AlertTransition>, StoreError> {
        let query = sqlx::query_as(
            "-- alert_transitions.opening
             select id, slo_id, at, snapshot, suppression from alert_transitions
             where slo_id = $1 and severity = $2 and episode = $3 and kind = 'firing'
             order by version desc limit 1",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .bind(episode);
        let row: Option<TransitionRow> = self.fetch_optional(query).await?;
        Ok(row.map(AlertTransition::from))
    }

    /// Returns when the last incident of this severity ended.
    pub async fn last_resolved_at(
        &mut self,
        slo: SloId,
        severity: Severity,
    ) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<DateTime<Utc>> = sqlx::query_scalar(
            "-- alert_transitions.last_resolved
             select max(at) from alert_transitions
             where slo_id = $1 and severity = $2 and kind = 'resolved'",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(at.map(Timestamp::from))
    }

    /// Returns the number of this notification among those of the same day (UTC) that an alert
    /// began, if one is sent now; only if the previous episode ended within `soon` before.
    pub async fn nth_today(
        &mut self,
        slo: SloId,
        severity: Severity,
        now: Timestamp,
        soon: Duration,
    ) -> Result<Option<u32>, StoreError> {
        let (is_soon, today): (bool, i64) = sqlx::query_as(
            "-- alert_transitions.nth_today
             select coalesce(bool_or(kind = 'resolved' and at > $3 - $4), false),
                 count(*) filter (where kind = 'firing'
                     and at >= date_trunc('day', $3::timestamptz, 'UTC'))
             from alert_transitions
             where slo_id = $1 and severity = $2 and suppression is null
                 and at >= least(date_trunc('day', $3::timestamptz, 'UTC'), $3 - $4) and at <= $3",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .bind(now.to_chrono())
        .bind(soon)
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(is_soon.then(|| u32::try_from(today + 1).unwrap_or(u32::MAX)))
    }

    /// Returns the targets that were, or are to be, notified that an episode fires.
    pub async fn notified_targets(
        &mut self,
        slo: SloId,
        severity: Severity,
        episode: Uuid,
    ) -> Result<Vec<Name>, StoreError> {
        let targets: Vec<String> = sqlx::query_scalar(
            "-- alert_transitions.targets_told
             select distinct d.target from alert_transitions t
             join deliveries d on d.transition_id = t.id
             where t.slo_id = $1 and t.severity = $2 and t.episode = $3 and t.kind <> 'resolved'
             order by d.target",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .bind(episode)
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        targets.iter().map(|target| self.name(target)).collect()
    }

    /// Returns all transitions of an episode, oldest first.
    pub async fn transitions_of_episode(
        &mut self,
        episode: Uuid,
    ) -> Result<Vec<AlertTransition>, StoreError> {
        let query = sqlx::query_as(
            "-- alert_transitions.of_episode
             select id, slo_id, at, snapshot, suppression from alert_transitions
             where episode = $1 order by version limit 1000",
        )
        .bind(episode);
        let rows: Vec<TransitionRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(AlertTransition::from).collect())
    }

    /// Returns one transition by its id.
    pub async fn transition(&mut self, id: Uuid) -> Result<Option<AlertTransition>, StoreError> {
        let query = sqlx::query_as(
            "-- alert_transitions.by_id
             select id, slo_id, at, snapshot, suppression from alert_transitions where id = $1",
        )
        .bind(id);
        let row: Option<TransitionRow> = self.fetch_optional(query).await?;
        Ok(row.map(AlertTransition::from))
    }

    /// Returns the transitions of a range, its end included, newest first: of one SLO or group, of SLOs
    /// by their names, or of all.
    pub async fn transitions(
        &mut self,
        of: TransitionsOf<'_>,
        range: TimeRange,
        limit: u32,
    ) -> Result<Vec<AlertTransition>, StoreError> {
        let (id, names) = match of {
            TransitionsOf::All => (None, None),
            TransitionsOf::One(id) => (Some(id), None),
            TransitionsOf::Named(names) => (None, Some(names)),
        };
        let query = sqlx::query_as(
            "-- alert_transitions.between
             select id, slo_id, at, snapshot, suppression from alert_transitions
             where ($1::integer is null or slo_id = $1)
                 and ($5::text[] is null or snapshot ->> 'slo' = any ($5)) and at between $2 and $3
             order by at desc, slo_id, version desc limit $4",
        )
        .bind(id.map(|id| id.0))
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(i64::from(limit))
        .bind(names);
        let rows: Vec<TransitionRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(AlertTransition::from).collect())
    }
}

/// The transitions to read.
#[derive(Clone, Copy, Debug)]
pub enum TransitionsOf<'a> {
    All,
    One(SloId),
    Named(&'a [Name]),
}

#[derive(FromRow)]
struct TransitionRow {
    id: Uuid,
    slo_id: i32,
    at: DateTime<Utc>,
    snapshot: Json<AlertSnapshot>,
    suppression: Option<Json<Suppression>>,
}

impl From<TransitionRow> for AlertTransition {
    fn from(row: TransitionRow) -> Self {
        Self {
            id: row.id,
            slo: SloId(row.slo_id),
            at: row.at.into(),
            facts: row.snapshot.0,
            suppression: row.suppression.map(|kept| kept.0),
        }
    }
}
