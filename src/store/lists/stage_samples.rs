//! The samples of workflows whose stage evidence is stored, by SLO and hour.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;

use crate::{
    domain::{
        model::{
            ids::SloId,
            time::{Resolution, Timestamp},
        },
        workflow::stage_buffer::{
            SampleLevel, SampledHour, SampledHours, StageDemand, StageSampling,
        },
    },
    store::{StoreError, Tx},
};

/// For workflows that take longer, what was sampled before is unknown.
const KEPT: Duration = Duration::from_hours(9 * 24);

#[derive(FromRow)]
struct SampledHourRow {
    slo_id: i32,
    hour: DateTime<Utc>,
    spans: i64,
    bad_spans: i64,
    level: i16,
    bad_level: i16,
    dropped_until: Option<DateTime<Utc>>,
}

impl Tx<'_> {
    /// Returns the hour of `now` and the one before, of all SLOs.
    pub async fn sampled_hours(
        &mut self,
        now: Timestamp,
    ) -> Result<BTreeMap<SloId, SampledHours>, StoreError> {
        let hour = Resolution::Hour.length();
        let query = sqlx::query_as(
            "-- stage_samples.recent
             select * from stage_samples where hour >= $1",
        )
        .bind((now.floor_to(hour) - hour).to_chrono());
        let rows: Vec<SampledHourRow> = self.fetch_all(query).await?;
        Ok(by_slo(rows))
    }

    /// Returns the hours of one SLO since that of `from`.
    pub async fn sampled_hours_of(
        &mut self,
        slo: SloId,
        from: Timestamp,
    ) -> Result<SampledHours, StoreError> {
        let query = sqlx::query_as(
            "-- stage_samples.of_slo
             select * from stage_samples where slo_id = $1 and hour >= $2",
        )
        .bind(slo.0)
        .bind(from.floor_to(Resolution::Hour.length()).to_chrono());
        let rows: Vec<SampledHourRow> = self.fetch_all(query).await?;
        Ok(by_slo(rows).remove(&slo).unwrap_or_default())
    }

    /// Adds to an hour what has come, and makes its samples as small as these.
    pub async fn add_sampled_hours(
        &mut self,
        hour: Timestamp,
        changes: &BTreeMap<SloId, SampledHour>,
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let rows = || changes.values();
        let dropped = |row: &SampledHour| row.dropped_until.map(Timestamp::to_chrono);
        let statement = sqlx::query(concat!(
            "-- stage_samples.add\n",
            "insert into stage_samples as s (slo_id, hour, spans, bad_spans, level, bad_level, ",
            "dropped_until) select slo_id, $1, spans, bad_spans, level, bad_level, dropped_until from ",
            "unnest($2::integer[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], ",
            "$7::timestamptz[]) as n(slo_id, spans, bad_spans, level, bad_level, dropped_until) ",
            "order by slo_id on conflict (slo_id, hour) do update set ",
            "spans = s.spans + excluded.spans, bad_spans = s.bad_spans + excluded.bad_spans, ",
            "level = greatest(s.level, excluded.level), ",
            "bad_level = greatest(s.bad_level, excluded.bad_level), ",
            "dropped_until = greatest(s.dropped_until, excluded.dropped_until)",
        ))
        .bind(hour.to_chrono())
        .bind(changes.keys().map(|slo| slo.0).collect::<Vec<_>>())
        .bind(rows().map(|row| row.demand.all).collect::<Vec<_>>())
        .bind(rows().map(|row| row.demand.bad).collect::<Vec<_>>())
        .bind(rows().map(|row| row.sampling.all.0).collect::<Vec<_>>())
        .bind(rows().map(|row| row.sampling.bad.0).collect::<Vec<_>>())
        .bind(rows().map(dropped).collect::<Vec<_>>());
        self.execute(statement).await.map(drop)
    }

    /// Deletes hours that are no longer read.
    pub async fn forget_sampled_hours(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- stage_samples.forget
             delete from stage_samples where hour < $1",
        )
        .bind((now - KEPT).to_chrono());
        self.execute(statement).await.map(drop)
    }
}

fn by_slo(rows: Vec<SampledHourRow>) -> BTreeMap<SloId, SampledHours> {
    let mut slos: BTreeMap<SloId, SampledHours> = BTreeMap::new();
    for row in rows {
        let hour = SampledHour {
            demand: StageDemand {
                all: row.spans,
                bad: row.bad_spans,
            },
            sampling: StageSampling {
                all: SampleLevel(row.level),
                bad: SampleLevel(row.bad_level),
            },
            dropped_until: row.dropped_until.map(Timestamp::from),
        };
        let hours = slos.entry(SloId(row.slo_id)).or_default();
        hours.0.insert(row.hour.into(), hour);
    }
    slos
}
