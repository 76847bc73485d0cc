//! The incidents of SLOs at a moment.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::snapshot::AlertSnapshot,
        model::{ids::SloId, time::Timestamp},
    },
    store::{StoreError, Tx},
};

/// An incident by its beginning and its end.
#[derive(Clone, Debug)]
pub struct EpisodeRecord {
    pub id: Uuid,
    /// The alert as it was when it fired.
    pub facts: AlertSnapshot,
    /// `None` until it ends.
    pub ended_at: Option<Timestamp>,
}

impl Tx<'_> {
    /// Returns the incidents of these SLOs or groups that an event at `at` was part of: those that
    /// had begun by then and had not ended, the newest first.
    pub async fn episodes_at(
        &mut self,
        slos: &[SloId],
        at: Timestamp,
    ) -> Result<Vec<EpisodeRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- alert_transitions.episodes_at
             select f.episode, f.snapshot, r.at as ended_at
             from alert_transitions f left join alert_transitions r
                 on r.episode = f.episode and r.slo_id = f.slo_id and r.kind = 'resolved'
             where f.slo_id = any ($1) and f.kind = 'firing'
                 and coalesce((f.snapshot ->> 'began_at')::timestamptz, f.at) <= $2
                 and (r.at is null or r.at >= $2)
             order by f.at desc limit 20",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>())
        .bind(at.to_chrono());
        let rows: Vec<EpisodeRow> = self.fetch_all(query).await?;
        let episodes = rows.into_iter().map(|row| EpisodeRecord {
            id: row.episode,
            facts: row.snapshot.0,
            ended_at: row.ended_at.map(Timestamp::from),
        });
        Ok(episodes.collect())
    }
}

#[derive(FromRow)]
struct EpisodeRow {
    episode: Uuid,
    snapshot: Json<AlertSnapshot>,
    ended_at: Option<DateTime<Utc>>,
}
