//! The data of an incident that its page shows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::{
            alert::TransitionKind,
            incident::{Acknowledgement, IncidentNote, IncidentSnapshot},
        },
        model::{ids::SloId, time::Timestamp},
        slo::Severity,
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Returns every delivery attempt for these transitions, oldest first.
    pub async fn incident_deliveries(
        &mut self,
        transitions: &[Uuid],
    ) -> Result<Vec<IncidentDelivery>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.tries
            select d.transition_id, d.id, d.target, d.state, d.settled_at, a.started_at, a.duration_ms, a.class,
                a.http_status, a.excerpt
            from deliveries d left join delivery_attempts a on a.delivery_id = d.id
            where d.transition_id = any ($1)
            order by d.id, a.attempt limit 1000",
        )
        .bind(transitions);
        let rows: Vec<IncidentDeliveryRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(IncidentDelivery::from).collect())
    }

    /// Acknowledges an incident. Returns false if another person was faster: that acknowledgement
    /// stays.
    pub async fn acknowledge(
        &mut self,
        episode: Uuid,
        acknowledged: &Acknowledgement,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "-- acknowledgements.insert
            insert into acknowledgements (episode, at, by) values ($1, $2, $3)
            on conflict (episode) do nothing",
        )
        .bind(episode)
        .bind(acknowledged.at.to_chrono())
        .bind(&acknowledged.by);
        let done = self.execute(statement).await?;
        Ok(done == 1)
    }

    /// Returns the acknowledgements of `episodes`, for those that have one.
    pub async fn acknowledgements(
        &mut self,
        episodes: &[Uuid],
    ) -> Result<BTreeMap<Uuid, Acknowledgement>, StoreError> {
        let query = sqlx::query_as(
            "-- acknowledgements.read
            select episode, at, by from acknowledgements where episode = any ($1)",
        )
        .bind(episodes);
        let rows: Vec<(Uuid, DateTime<Utc>, Option<String>)> = self.fetch_all(query).await?;
        let each = rows
            .into_iter()
            .map(|(episode, at, by)| (episode, Acknowledgement { at: at.into(), by }));
        Ok(each.collect())
    }

    /// Raises the version of an alert for a notification about its episode that does not come from
    /// an evaluation: an evaluation that runs at the same time loses the race and is repeated.
    /// `None` if the episode is over.
    pub async fn raise_version(
        &mut self,
        slo: SloId,
        severity: Severity,
        episode: Uuid,
    ) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar(
            "-- alerts.raise_version
            update alerts set version = version + 1
            where slo_id = $1 and severity = $2 and episode = $3 returning version",
        )
        .bind(slo.0)
        .bind(severity.as_str())
        .bind(episode)
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    pub async fn add_note(&mut self, episode: Uuid, note: &IncidentNote) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- incident_notes.insert
            insert into incident_notes (id, episode, at, by, text) values ($1, $2, $3, $4, $5)",
        )
        .bind(note.id)
        .bind(episode)
        .bind(note.at.to_chrono())
        .bind(&note.by)
        .bind(&note.text);
        self.execute(statement).await.map(drop)
    }

    /// Returns the notes on an incident, oldest first.
    pub async fn notes(&mut self, episode: Uuid) -> Result<Vec<IncidentNote>, StoreError> {
        let query = sqlx::query_as(
            "-- incident_notes.read
            select id, at, by, text from incident_notes where episode = $1 order by at, id limit 500",
        )
        .bind(episode);
        let rows: Vec<NoteRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(IncidentNote::from).collect())
    }

    /// Stores a snapshot of the incident, one each for its beginning and its end; a second call
    /// changes nothing.
    pub async fn keep_incident_snapshot(
        &mut self,
        episode: Uuid,
        kind: TransitionKind,
        incident_snapshot: &IncidentSnapshot,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- incident_snapshots.insert
            insert into incident_snapshots (episode, kind, taken_at, snapshot) values ($1, $2, $3, $4)
            on conflict (episode, kind) do nothing",
        )
        .bind(episode)
        .bind(kind.as_str())
        .bind(at.to_chrono())
        .bind(Json(incident_snapshot));
        self.execute(statement).await.map(drop)
    }

    /// Returns a snapshot; `None` also if another version of the service has written it.
    pub async fn incident_snapshot(
        &mut self,
        episode: Uuid,
        kind: TransitionKind,
    ) -> Result<Option<IncidentSnapshot>, StoreError> {
        let kept: Option<Json<serde_json::Value>> = sqlx::query_scalar(
            "-- incident_snapshots.read
            select snapshot from incident_snapshots where episode = $1 and kind = $2",
        )
        .bind(episode)
        .bind(kind.as_str())
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(kept.and_then(|kept| serde_json::from_value(kept.0).ok()))
    }
}

/// A delivery of a transition with one attempt, if there was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentDelivery {
    pub transition: Uuid,
    pub delivery: i64,
    pub target: String,
    /// The current state of the delivery.
    pub state: String,
    pub settled_at: Option<Timestamp>,
    pub attempt: Option<IncidentAttempt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentAttempt {
    pub at: Timestamp,
    pub duration_ms: i32,
    pub class: String,
    pub http_status: Option<i32>,
    pub excerpt: Option<String>,
}

#[derive(FromRow)]
struct IncidentDeliveryRow {
    transition_id: Uuid,
    id: i64,
    target: String,
    state: String,
    settled_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    duration_ms: Option<i32>,
    class: Option<String>,
    http_status: Option<i32>,
    excerpt: Option<String>,
}

impl From<IncidentDeliveryRow> for IncidentDelivery {
    fn from(row: IncidentDeliveryRow) -> Self {
        Self {
            transition: row.transition_id,
            delivery: row.id,
            target: row.target,
            state: row.state,
            settled_at: row.settled_at.map(Timestamp::from),
            attempt: row.started_at.map(|at| IncidentAttempt {
                at: at.into(),
                duration_ms: row.duration_ms.unwrap_or_default(),
                class: row.class.unwrap_or_default(),
                http_status: row.http_status,
                excerpt: row.excerpt,
            }),
        }
    }
}

#[derive(FromRow)]
struct NoteRow {
    id: Uuid,
    at: DateTime<Utc>,
    by: Option<String>,
    text: String,
}

impl From<NoteRow> for IncidentNote {
    fn from(row: NoteRow) -> Self {
        Self {
            id: row.id,
            at: row.at.into(),
            by: row.by,
            text: row.text,
        }
    }
}
