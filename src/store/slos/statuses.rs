//! The last evaluation of each SLO; `records.rs` reads it beside its SLO.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::{
    domain::{
        alerting::{alert::TickHistory, status::SloStatus},
        model::ids::SloId,
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Stores the newest status of each SLO.
    pub async fn upsert_statuses(
        &mut self,
        statuses: &[(SloId, SloStatus)],
    ) -> Result<(), StoreError> {
        let ids: Vec<i32> = statuses.iter().map(|(id, _)| id.0).collect();
        let times: Vec<DateTime<Utc>> = statuses
            .iter()
            .map(|(_, status)| status.evaluated_at.to_chrono())
            .collect();
        let json: Vec<Json<&SloStatus>> = statuses.iter().map(|(_, status)| Json(status)).collect();
        // Written in one order, so that two replicas with the same SLOs do not deadlock.
        let statement = sqlx::query(
            "-- slo_statuses.upsert
             insert into slo_statuses (slo_id, evaluated_at, status)
             select * from unnest($1::integer[], $2::timestamptz[], $3::jsonb[])
                 as evaluated (slo_id, evaluated_at, status)
             order by evaluated.slo_id
             on conflict (slo_id) do update
             set evaluated_at = excluded.evaluated_at, status = excluded.status",
        )
        .bind(ids)
        .bind(times)
        .bind(json);
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns the recent evaluation times of each of `slos`, except those that were never
    /// evaluated.
    pub async fn rhythms(
        &mut self,
        slos: &[SloId],
    ) -> Result<BTreeMap<SloId, TickHistory>, StoreError> {
        let ids: Vec<i32> = slos.iter().map(|slo| slo.0).collect();
        // A status without `steady_ticks` was written by a version that evaluated without gaps.
        let query = sqlx::query_as(
            "-- slo_statuses.rhythms
             select slo_id, evaluated_at, coalesce((status ->> 'steady_ticks')::integer, 2)
             from slo_statuses where slo_id = any ($1)",
        )
        .bind(ids);
        let rows: Vec<(i32, DateTime<Utc>, i32)> = self.fetch_all(query).await?;
        Ok(rows
            .into_iter()
            .map(|(id, at, steady)| {
                let rhythm = TickHistory {
                    last_at: at.into(),
                    steady_ticks: u8::try_from(steady).unwrap_or(0),
                };
                (SloId(id), rhythm)
            })
            .collect())
    }
}
