//! The last evaluation of each SLO; `records.rs` reads it beside its SLO.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::{
    domain::{
        alerting::{alert::TickHistory, status::SloStatus},
        model::{ids::SloId, time::Timestamp},
    },
    store::{Progress, StoreError, Tx},
};

impl Tx<'_> {
    /// Stores the newest status of each SLO, and keeps it if the state is another than before or if none
    /// was kept for [`crate::domain::alerting::status::SloState::kept_every`].
    pub async fn upsert_statuses(
        &mut self,
        statuses: &[(SloId, SloStatus)],
    ) -> Result<(), StoreError> {
        let ids: Vec<i32> = statuses.iter().map(|(id, _)| id.0).collect();
        let times: Vec<DateTime<Utc>> = statuses
            .iter()
            .map(|(_, status)| status.evaluated_at.to_chrono())
            .collect();
        let state = |(_, status): &(SloId, SloStatus)| status.state;
        let states: Vec<&str> = statuses.iter().map(|one| state(one).as_str()).collect();
        let spacings = statuses
            .iter()
            .map(|one| state(one).kept_every().as_secs_f64());
        let spacings: Vec<f64> = spacings.collect();
        let json = statuses
            .iter()
            .map(|(_, status)| serde_json::to_string(status));
        let json: Vec<String> = json
            .collect::<Result<_, _>>()
            .map_err(|error| self.failed(sqlx::Error::Encode(error.into())))?;
        let steady_ticks = statuses.iter().map(|one| i16::from(one.1.steady_ticks));
        let steady_ticks: Vec<i16> = steady_ticks.collect();
        // Written in one order, so that two replicas with the same SLOs do not deadlock.
        let statement = sqlx::query(
            "-- slo_statuses.upsert
             with evaluated as materialized (
                 select slo_id, evaluated_at, status::json, state, spacing, steady_ticks from unnest(
                     $1::integer[], $2::timestamptz[], $3::text[], $4::text[], $5::double precision[],
                     $6::smallint[])
                     as evaluated (slo_id, evaluated_at, status, state, spacing, steady_ticks)),
             kept as (
                 insert into past_statuses (slo_id, evaluated_at, status)
                 select new.slo_id, new.evaluated_at, new.status
                 from evaluated new left join slo_statuses last on last.slo_id = new.slo_id
                 where last.kept_at is null or last.state <> new.state
                     or last.kept_at <= new.evaluated_at - make_interval(secs => new.spacing)
                 on conflict (slo_id, evaluated_at) do nothing
                 returning slo_id, evaluated_at)
             insert into slo_statuses (slo_id, evaluated_at, status, state, steady_ticks, kept_at)
             select evaluated.slo_id, evaluated.evaluated_at, evaluated.status, evaluated.state,
                 evaluated.steady_ticks, kept.evaluated_at
             from evaluated left join kept on kept.slo_id = evaluated.slo_id
             order by evaluated.slo_id
             on conflict (slo_id) do update
             set evaluated_at = excluded.evaluated_at, status = excluded.status,
                 state = excluded.state, steady_ticks = excluded.steady_ticks,
                 kept_at = coalesce(excluded.kept_at, slo_statuses.kept_at)",
        )
        .bind(ids)
        .bind(times)
        .bind(json)
        .bind(states)
        .bind(spacings)
        .bind(steady_ticks);
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns the last status that is known of each of `slos` by `at`: the newest one, or one that was kept.
    pub async fn statuses_at(
        &mut self,
        slos: &[SloId],
        at: Timestamp,
    ) -> Result<BTreeMap<SloId, SloStatus>, StoreError> {
        let ids: Vec<i32> = slos.iter().map(|slo| slo.0).collect();
        let query = sqlx::query_as(
            "-- past_statuses.at
             select distinct on (slo_id) slo_id, status from (
                 select slo_id, evaluated_at, status from slo_statuses
                 where slo_id = any ($1) and evaluated_at <= $2
                 union all
                 select asked.slo_id, past.evaluated_at, past.status
                 from unnest($1) as asked (slo_id) cross join lateral (
                     select evaluated_at, status from past_statuses
                     where past_statuses.slo_id = asked.slo_id and evaluated_at <= $2
                     order by evaluated_at desc limit 1) as past) as known
             order by slo_id, evaluated_at desc",
        )
        .bind(ids)
        .bind(at.to_chrono());
        let rows: Vec<(i32, Json<SloStatus>)> = self.fetch_all(query).await?;
        let rows = rows.into_iter();
        Ok(rows.map(|(id, status)| (SloId(id), status.0)).collect())
    }

    /// Deletes kept statuses from before `until`, some at a time.
    pub async fn forget_past_statuses(&mut self, until: Timestamp) -> Result<Progress, StoreError> {
        let statement = sqlx::query(
            "-- past_statuses.forget
             delete from past_statuses where (slo_id, evaluated_at) in (
                 select slo_id, evaluated_at from past_statuses where evaluated_at < $1
                 order by evaluated_at limit $2)",
        )
        .bind(until.to_chrono())
        .bind(Progress::SLICE);
        Ok(Progress::of_slice(self.execute(statement).await?))
    }

    /// Returns the recent evaluation times of each of `slos`, except those that were never
    /// evaluated.
    pub async fn tick_histories(
        &mut self,
        slos: &[SloId],
    ) -> Result<BTreeMap<SloId, TickHistory>, StoreError> {
        let ids: Vec<i32> = slos.iter().map(|slo| slo.0).collect();
        let query = sqlx::query_as(
            "-- slo_statuses.tick_histories
             select slo_id, evaluated_at, steady_ticks
             from slo_statuses where slo_id = any ($1)",
        )
        .bind(ids);
        let rows: Vec<(i32, DateTime<Utc>, i16)> = self.fetch_all(query).await?;
        Ok(rows
            .into_iter()
            .map(|(id, at, steady)| {
                let ticks = TickHistory {
                    last_at: at.into(),
                    steady_ticks: u8::try_from(steady).unwrap_or(0),
                };
                (SloId(id), ticks)
            })
            .collect())
    }
}
