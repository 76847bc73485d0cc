//! Counts of events per SLO and bucket: sums over look-backs, and series for charts.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreError, Tx};
use crate::domain::{
    counts::EventCounts,
    names::SloId,
    time::{Resolution, TimeRange, Timestamp, cover},
};

impl Tx<'_> {
    /// The sum of each range, in the order asked for, in one query. A range is widened to whole
    /// minutes and read at the coarsest resolutions that cover it, so its cost does not grow with
    /// history or traffic.
    pub async fn sums(
        &mut self,
        ranges: &[(SloId, TimeRange)],
    ) -> Result<Vec<EventCounts>, StoreError> {
        let parts = Parts::covering(ranges);
        // Lateral, so that each part is a few steps down the primary key of the right partition and
        // never a scan of a whole resolution.
        let rows: Vec<SumRow> = sqlx::query_as(
            "-- event_counts.sums
             select part.ordinal, sum(counts.good)::bigint as good,
                 sum(counts.late)::bigint as late, sum(counts.failed)::bigint as failed,
                 sum(counts.timeout)::bigint as timeout, sum(counts.cancelled)::bigint as cancelled,
                 sum(counts.orphan)::bigint as orphan, sum(counts.invalid)::bigint as invalid
             from unnest($1::bigint[], $2::integer[], $3::integer[], $4::timestamptz[],
                 $5::timestamptz[]) as part (ordinal, slo_id, resolution, lower, upper)
             cross join lateral (
                 select coalesce(sum(good), 0) as good, coalesce(sum(late), 0) as late,
                     coalesce(sum(failed), 0) as failed, coalesce(sum(timeout), 0) as timeout,
                     coalesce(sum(cancelled), 0) as cancelled, coalesce(sum(orphan), 0) as orphan,
                     coalesce(sum(invalid), 0) as invalid
                 from event_counts
                 where event_counts.slo_id = part.slo_id
                     and event_counts.resolution = part.resolution
                     and event_counts.bucket >= part.lower and event_counts.bucket < part.upper
             ) as counts
             group by part.ordinal",
        )
        .bind(parts.ordinals)
        .bind(parts.slos)
        .bind(parts.resolutions)
        .bind(parts.lowers)
        .bind(parts.uppers)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut sums = vec![EventCounts::ZERO; ranges.len()];
        for row in rows {
            let place = usize::try_from(row.ordinal)
                .ok()
                .and_then(|at| sums.get_mut(at));
            if let Some(sum) = place {
                *sum = row.counts.into();
            }
        }
        Ok(sums)
    }

    /// The buckets of `range` that have events, oldest first. `range` is widened to whole buckets.
    pub async fn series(
        &mut self,
        slo: SloId,
        range: TimeRange,
        step: Resolution,
    ) -> Result<Vec<(Timestamp, EventCounts)>, StoreError> {
        let rows: Vec<BucketRow> = sqlx::query_as(
            "-- event_counts.series
             select bucket, sum(good)::bigint as good, sum(late)::bigint as late,
                 sum(failed)::bigint as failed, sum(timeout)::bigint as timeout,
                 sum(cancelled)::bigint as cancelled, sum(orphan)::bigint as orphan,
                 sum(invalid)::bigint as invalid
             from event_counts
             where slo_id = $1 and resolution = $2 and bucket >= $3 and bucket < $4
             group by bucket
             order by bucket",
        )
        .bind(slo.0)
        .bind(step.as_secs())
        .bind(range.from.floor_to(step.length()).to_chrono())
        .bind(range.to.ceil_to(step.length()).to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(rows
            .into_iter()
            .map(|row| (row.bucket.into(), row.counts.into()))
            .collect())
    }
}

/// The pieces that ranges are made of, by column.
#[derive(Default)]
struct Parts {
    /// Place of the range in the question.
    ordinals: Vec<i64>,
    slos: Vec<i32>,
    resolutions: Vec<i32>,
    lowers: Vec<DateTime<Utc>>,
    uppers: Vec<DateTime<Utc>>,
}

impl Parts {
    fn covering(ranges: &[(SloId, TimeRange)]) -> Self {
        let mut parts = Self::default();
        for (ordinal, (slo, range)) in (0_i64..).zip(ranges) {
            for (resolution, part) in cover(*range) {
                parts.ordinals.push(ordinal);
                parts.slos.push(slo.0);
                parts.resolutions.push(resolution.as_secs());
                parts.lowers.push(part.from.to_chrono());
                parts.uppers.push(part.to.to_chrono());
            }
        }
        parts
    }
}

#[derive(FromRow)]
struct SumRow {
    ordinal: i64,
    #[sqlx(flatten)]
    counts: CountsRow,
}

#[derive(FromRow)]
struct BucketRow {
    bucket: DateTime<Utc>,
    #[sqlx(flatten)]
    counts: CountsRow,
}

#[derive(FromRow)]
struct CountsRow {
    good: i64,
    late: i64,
    failed: i64,
    timeout: i64,
    cancelled: i64,
    orphan: i64,
    invalid: i64,
}

impl From<CountsRow> for EventCounts {
    fn from(row: CountsRow) -> Self {
        Self {
            good: row.good,
            late: row.late,
            failed: row.failed,
            timeout: row.timeout,
            cancelled: row.cancelled,
            orphan: row.orphan,
            invalid: row.invalid,
        }
    }
}
