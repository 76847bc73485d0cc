//! Durations per SLO, bucket, good or bad, and stage.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::{
    domain::{
        counting::{
            durations::DurationHistogram,
            stages::{Stage, StageKind, StageMoves, StageSum, StageSums},
        },
        model::{
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp, cover},
        },
    },
    store::{Progress, SeriesQuery, StoreError, Tx, counts::events::interval},
};

const DAY: Duration = Duration::from_hours(24);
/// The kind of the row for whole workflows.
const WORKFLOWS: i16 = 0;
/// A stage without evidence for this long frees its slot for another.
const KNOWN_FOR: Duration = Duration::from_hours(7 * 24);
/// The retention of rows of each resolution. Ranges that are read are aligned so that they never
/// need older rows.
const KEPT: [(Resolution, Duration); 3] = [
    (Resolution::Minute, Duration::from_hours(3 * 24)),
    (Resolution::Hour, Duration::from_hours(60 * 24)),
    (Resolution::Day, Duration::from_hours(400 * 24)),
];

/// Durations of good or of bad workflows in one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationsOfStep {
    /// The start of the step that the bucket is in.
    pub at: Timestamp,
    pub is_bad: bool,
    /// `None` for the workflows themselves, from start to end.
    pub stage: Option<Stage>,
    pub durations: DurationHistogram,
}

/// The step, bad or not, kind, name and durations.
type DurationsRow = (DateTime<Utc>, bool, i16, String, Json<DurationHistogram>);

/// The primary key of a sum: the bucket, good or bad, kind and name.
type RowId = (Resolution, Timestamp, bool, i16, String);

impl Tx<'_> {
    /// Writes the differences at every resolution. The caller has claimed the aggregation of the
    /// SLO.
    pub async fn add_stage_sums(
        &mut self,
        slo: SloId,
        moves: &StageMoves,
    ) -> Result<(), StoreError> {
        let rows = rows(moves);
        if rows.is_empty() {
            return Ok(());
        }
        let ids = || rows.keys();
        let column = |of: fn(&StageSum) -> i64| rows.values().map(of).collect::<Vec<i64>>();
        sqlx::query(concat!(
            "-- stage_sums.add\n",
            "insert into stage_sums as s (slo_id, resolution, bucket, is_bad, kind, name, events, ",
            "extrapolated, duration_us, start_offset_us, durations) select $1, * from ",
            "unnest($2::integer[], $3::timestamptz[], $4::boolean[], $5::smallint[], $6::text[], ",
            "$7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::jsonb[]) ",
            "on conflict (slo_id, resolution, bucket, is_bad, kind, name) do update set ",
            "events = s.events + excluded.events, ",
            // Estimates from absurd sampling weights are capped at the limit of the column, so that
            // a batch never fails.
            "extrapolated = least(s.extrapolated::numeric + excluded.extrapolated, 9e18)::bigint, ",
            "duration_us = least(s.duration_us::numeric + excluded.duration_us, 9e18)::bigint, ",
            "start_offset_us = least(s.start_offset_us::numeric + excluded.start_offset_us, ",
            "9e18)::bigint, ",
            "durations = coalesce((select jsonb_object_agg(sums.key, sums.events) from (",
            "select d.key, least(sum(d.value::bigint), 9e18)::bigint as events from (",
            "select * from jsonb_each_text(s.durations) ",
            "union all select * from jsonb_each_text(excluded.durations)) as d ",
            "group by d.key having sum(d.value::bigint) <> 0) as sums), '{}')",
        ))
        .bind(slo.0)
        .bind(ids().map(|id| id.0.as_secs()).collect::<Vec<_>>())
        .bind(ids().map(|id| id.1.to_chrono()).collect::<Vec<_>>())
        .bind(ids().map(|id| id.2).collect::<Vec<_>>())
        .bind(ids().map(|id| id.3).collect::<Vec<_>>())
        .bind(ids().map(|id| id.4.clone()).collect::<Vec<_>>())
        .bind(column(|sum| sum.events))
        .bind(column(|sum| sum.unseen))
        .bind(column(|sum| sum.micros))
        .bind(column(|sum| sum.first_micros))
        .bind(
            rows.values()
                .map(|sum| Json(&sum.durations))
                .collect::<Vec<_>>(),
        )
        .execute(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Returns the stages that the SLO has had recently.
    pub async fn known_stages(
        &mut self,
        slo: SloId,
        now: Timestamp,
    ) -> Result<BTreeSet<Stage>, StoreError> {
        let query = sqlx::query_as(concat!(
            "-- stage_sums.known\n",
            "select distinct kind, name from stage_sums ",
            "where slo_id = $1 and resolution = $2 and bucket >= $3",
        ))
        .bind(slo.0)
        .bind(Resolution::Day.as_secs())
        .bind((now - KNOWN_FOR).floor_to(DAY).to_chrono());
        let rows: Vec<(i16, String)> = self.fetch_all(query).await?;
        let stages = rows
            .into_iter()
            .filter_map(|(kind, name)| StageKind::from_code(kind).map(|kind| Stage { kind, name }))
            .filter(|stage| *stage != Stage::UNSAMPLED);
        Ok(stages.collect())
    }

    /// Returns the durations of workflows and of their stages, by steps of the verdict.
    pub async fn durations(
        &mut self,
        slo: SloId,
        query: SeriesQuery,
    ) -> Result<Vec<DurationsOfStep>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "-- stage_sums.durations\n",
            "select date_bin($5, bucket, timestamptz 'epoch'), is_bad, kind, name, durations ",
            "from stage_sums where slo_id = $1 and resolution = $2 and bucket >= $3 ",
            "and bucket < $4 and durations <> '{}' and kind <> $6",
        ))
        .bind(slo.0)
        .bind(query.resolution.as_secs())
        .bind(query.range.from.to_chrono())
        .bind(query.range.to.to_chrono())
        .bind(interval(query.step))
        .bind(StageKind::Unsampled.as_code());
        let rows: Vec<DurationsRow> = self.fetch_all(statement).await?;
        let rows = rows
            .into_iter()
            .map(|(at, is_bad, kind, name, Json(durations))| {
                let kind = StageKind::from_code(kind);
                DurationsOfStep {
                    at: at.into(),
                    is_bad,
                    stage: kind.map(|kind| Stage { kind, name }),
                    durations,
                }
            });
        Ok(rows.collect())
    }

    /// Returns the sums of good and of bad workflows judged in `range`. A long range is widened to
    /// begin with a whole hour or day.
    pub async fn stage_sums(
        &mut self,
        slo: SloId,
        range: TimeRange,
    ) -> Result<(StageSums, StageSums), StoreError> {
        let parts = cover(aligned(range));
        let query = sqlx::query_as(concat!(
            "-- stage_sums.read\n",
            "select s.is_bad, s.kind, s.name, sum(s.events)::bigint, ",
            "least(sum(s.extrapolated), 9e18)::bigint, least(sum(s.duration_us), 9e18)::bigint, ",
            "least(sum(s.start_offset_us), 9e18)::bigint from unnest($2::integer[], $3::timestamptz[], ",
            "$4::timestamptz[]) as part(resolution, lower, upper) cross join lateral (",
            "select * from stage_sums where slo_id = $1 and resolution = part.resolution ",
            "and bucket >= part.lower and bucket < part.upper) as s group by 1, 2, 3",
        ))
        .bind(slo.0)
        .bind(
            parts
                .iter()
                .map(|(resolution, _)| resolution.as_secs())
                .collect::<Vec<_>>(),
        )
        .bind(
            parts
                .iter()
                .map(|(_, part)| part.from.to_chrono())
                .collect::<Vec<DateTime<Utc>>>(),
        )
        .bind(
            parts
                .iter()
                .map(|(_, part)| part.to.to_chrono())
                .collect::<Vec<DateTime<Utc>>>(),
        );
        let rows: Vec<(bool, i16, String, i64, i64, i64, i64)> = self.fetch_all(query).await?;
        let (mut good, mut bad) = (StageSums::default(), StageSums::default());
        for (is_bad, kind, name, events, unseen, micros, first_micros) in rows {
            let sums = if is_bad { &mut bad } else { &mut good };
            let Some(kind) = StageKind::from_code(kind) else {
                sums.workflows += events;
                sums.unseen += unseen;
                continue;
            };
            let sum = StageSum {
                events,
                unseen,
                micros,
                first_micros,
                durations: DurationHistogram::default(),
            };
            sums.by_stage.insert(Stage { kind, name }, sum);
        }
        Ok((good, bad))
    }

    /// Deletes some rows that are no longer read.
    pub async fn forget_stage_sums(&mut self, now: Timestamp) -> Result<Progress, StoreError> {
        let mut deleted = 0;
        for (resolution, kept) in KEPT {
            let statement = sqlx::query(
                "-- stage_sums.forget
                 delete from stage_sums where ctid = any (array(
                     select ctid from stage_sums where resolution = $1 and bucket < $2 limit $3))",
            )
            .bind(resolution.as_secs())
            .bind((now - kept).to_chrono())
            .bind(Progress::SLICE);
            deleted = deleted.max(self.execute(statement).await?);
        }
        Ok(Progress::of_slice(deleted))
    }
}

/// Aligns the beginning of a range: minutes are not kept for as long as hours, nor hours for as
/// long as days, so the older the beginning, the coarser its alignment.
fn aligned(range: TimeRange) -> TimeRange {
    let length = range.length();
    let step = if length > DAY * 30 {
        Resolution::Day.length()
    } else if length > DAY {
        Resolution::Hour.length()
    } else {
        Resolution::Minute.length()
    };
    TimeRange::new(range.from.floor_to(step), range.to)
}

fn rows(moves: &StageMoves) -> BTreeMap<RowId, StageSum> {
    let mut rows: BTreeMap<RowId, StageSum> = BTreeMap::new();
    for ((minute, is_bad), sums) in moves.by_minute() {
        let workflows = StageSum {
            events: sums.workflows,
            unseen: sums.unseen,
            durations: sums.durations.clone(),
            ..StageSum::default()
        };
        let whole = std::iter::once((WORKFLOWS, "", &workflows));
        let stages = sums.by_stage.iter();
        let stages = stages.map(|(stage, sum)| (stage.kind.as_code(), &*stage.name, sum));
        for (kind, name, sum) in whole.chain(stages) {
            for resolution in Resolution::ALL {
                let bucket = minute.floor_to(resolution.length());
                let id = (resolution, bucket, *is_bad, kind, name.to_owned());
                rows.entry(id).or_default().add(sum);
            }
        }
    }
    rows.retain(|_, sum| !sum.is_zero());
    rows
}
