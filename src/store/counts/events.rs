//! Counts of events per SLO and bucket: differences caused by verdicts, sums over look-backs, and
//! series for charts.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;
use sqlx_macros::FromRow;

use crate::{
    domain::{
        counting::{ledger::CountDelta, series::SeriesPoint},
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp, cover},
        },
    },
    store::{StoreError, Tx, batch::Batch},
};

/// The slot of a replica in `event_counts`, so that replicas do not wait for each other's rows. Two
/// replicas that share a slot by chance are slower, but correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer(pub i16);

/// The buckets to sum into points of equal length.
#[derive(Clone, Copy, Debug)]
pub struct SeriesQuery {
    pub resolution: Resolution,
    pub range: TimeRange,
    /// A multiple of the resolution; points begin at multiples of it since the epoch.
    pub step: Duration,
}

impl Batch {
    /// Adds the differences at every resolution.
    pub(crate) fn add_event_counts(&mut self, writer: Writer, moves: &CountDelta) {
        let buckets = moves.by_bucket();
        if buckets.is_empty() {
            return;
        }
        let column =
            |value: fn(&EventCounts) -> i64| -> Vec<i64> { buckets.values().map(value).collect() };
        let slos: Vec<i32> = buckets.keys().map(|(slo, ..)| slo.0).collect();
        let resolutions: Vec<i32> = buckets.keys().map(|(_, r, _)| r.as_secs()).collect();
        let starts: Vec<DateTime<Utc>> = buckets.keys().map(|(.., at)| at.to_chrono()).collect();
        self.add(concat!(
            "-- event_counts.add\n",
            "insert into event_counts as c (slo_id, resolution, bucket, writer, good, late, ",
            "failed, timeout, cancelled, orphan, invalid, unobservable, evidence_lost, ambiguous, sampled, ",
            "extrapolated_good, extrapolated_bad) select slo_id, resolution, bucket, $4, good, late, ",
            "failed, timeout, cancelled, orphan, invalid, unobservable, evidence_lost, ambiguous, sampled, ",
            "extrapolated_good, extrapolated_bad ",
            "from unnest($1::integer[], $2::integer[], $3::timestamptz[], ",
            "$5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], ",
            "$10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], ",
            "$15::bigint[], $16::bigint[], $17::bigint[]) as n(slo_id, resolution, bucket, good, late, failed, ",
            "timeout, cancelled, orphan, invalid, unobservable, evidence_lost, ambiguous, sampled, ",
            "extrapolated_good, extrapolated_bad) ",
            "on conflict (slo_id, resolution, bucket, writer) do update set ",
            "good = c.good + excluded.good, late = c.late + excluded.late, ",
            "failed = c.failed + excluded.failed, timeout = c.timeout + excluded.timeout, ",
            "cancelled = c.cancelled + excluded.cancelled, orphan = c.orphan + excluded.orphan, ",
            "invalid = c.invalid + excluded.invalid, ",
            "unobservable = c.unobservable + excluded.unobservable, ",
            "evidence_lost = c.evidence_lost + excluded.evidence_lost, ",
            "ambiguous = c.ambiguous + excluded.ambiguous, ",
            "sampled = c.sampled + excluded.sampled, ",
            // Estimates from absurd sampling weights are capped at the limit of the column, so that
            // a batch never fails.
            "extrapolated_good = least(c.extrapolated_good::numeric + excluded.extrapolated_good, ",
            "9e18)::bigint, ",
            "extrapolated_bad = least(c.extrapolated_bad::numeric + excluded.extrapolated_bad, ",
            "9e18)::bigint",
        ))
        .bind(slos)
        .bind(resolutions)
        .bind(starts)
        .bind(writer.0)
        .bind(column(|c| c.good))
        .bind(column(|c| c.late))
        .bind(column(|c| c.failed))
        .bind(column(|c| c.timeout))
        .bind(column(|c| c.cancelled))
        .bind(column(|c| c.orphan))
        .bind(column(|c| c.invalid))
        .bind(column(|c| c.unobservable))
        .bind(column(|c| c.evidence_lost))
        .bind(column(|c| c.ambiguous))
        .bind(column(|c| c.sampled))
        .bind(column(|c| c.unseen_good))
        .bind(column(|c| c.unseen_bad));
    }
}

impl Tx<'_> {
    /// Returns the sum of each range, in the order of `ranges`, in one query. A range is widened to
    /// whole minutes and read at the coarsest resolutions that cover it, so the cost does not grow
    /// with history or traffic.
    pub async fn sums(
        &mut self,
        ranges: &[(SloId, TimeRange)],
    ) -> Result<Vec<EventCounts>, StoreError> {
        let parts = RangeColumns::covering(ranges);
        // Lateral, so that each part is a short descent of the primary key of the right partition
        // and never a scan of a whole resolution. Sums are `numeric` in Postgres, so the few parts of a
        // range are added here.
        let query = sqlx::query_as(
            "-- event_counts.sums
             select part.ordinal, counts.*
             from unnest($1::bigint[], $2::integer[], $3::integer[], $4::timestamptz[],
                 $5::timestamptz[]) as part (ordinal, slo_id, resolution, lower, upper)
             cross join lateral (
                 select sum(good)::bigint as good, sum(late)::bigint as late,
                     sum(failed)::bigint as failed, sum(timeout)::bigint as timeout,
                     sum(cancelled)::bigint as cancelled, sum(orphan)::bigint as orphan,
                     sum(invalid)::bigint as invalid,
                     sum(unobservable)::bigint as unobservable,
                     sum(evidence_lost)::bigint as evidence_lost,
                     sum(ambiguous)::bigint as ambiguous,
                     sum(sampled)::bigint as sampled,
                     least(sum(extrapolated_good), 9e18)::bigint as extrapolated_good,
                     least(sum(extrapolated_bad), 9e18)::bigint as extrapolated_bad
                 from event_counts
                 where event_counts.slo_id = part.slo_id
                     and event_counts.resolution = part.resolution
                     and event_counts.bucket >= part.lower and event_counts.bucket < part.upper
                 having count(*) > 0
             ) as counts",
        )
        .bind(parts.ordinals)
        .bind(parts.slos)
        .bind(parts.resolutions)
        .bind(parts.lowers)
        .bind(parts.uppers);
        let rows: Vec<SumRow> = self.fetch_all(query).await?;
        let mut sums = vec![EventCounts::ZERO; ranges.len()];
        for row in rows {
            let index = usize::try_from(row.ordinal)
                .ok()
                .and_then(|at| sums.get_mut(at));
            if let Some(sum) = index {
                *sum += row.counts.into();
            }
        }
        Ok(sums)
    }

    /// Returns the start of the newest minute in `range` that has an event.
    pub async fn newest_minute_with_events(
        &mut self,
        slo: SloId,
        range: TimeRange,
    ) -> Result<Option<Timestamp>, StoreError> {
        let newest: Option<DateTime<Utc>> = sqlx::query_scalar(
            "-- event_counts.newest_minute
             select bucket from event_counts
             where slo_id = $1 and resolution = 60 and bucket >= $2 and bucket < $3
             group by bucket
             having sum(good) + sum(late) + sum(failed) + sum(timeout) > 0
             order by bucket desc limit 1",
        )
        .bind(slo.0)
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(newest.map(Timestamp::from))
    }

    /// Returns the sum of all ranges of each set, in the order of the sets, in one query.
    pub async fn sums_of_sets(
        &mut self,
        sets: &[(SloId, Vec<TimeRange>)],
    ) -> Result<Vec<EventCounts>, StoreError> {
        let ranges: Vec<(SloId, TimeRange)> = sets
            .iter()
            .flat_map(|(slo, pieces)| pieces.iter().map(|piece| (*slo, *piece)))
            .collect();
        let mut sums = self.sums(&ranges).await?.into_iter();
        let sum_of = |(_, pieces): &(SloId, Vec<TimeRange>)| sums.by_ref().take(pieces.len()).sum();
        Ok(sets.iter().map(sum_of).collect())
    }

    /// Returns the counts per step of each of `slos`, oldest first; steps without events are left
    /// out.
    pub async fn series(
        &mut self,
        slos: &[SloId],
        query: SeriesQuery,
    ) -> Result<BTreeMap<SloId, Vec<SeriesPoint>>, StoreError> {
        let query = sqlx::query_as(
            "-- event_counts.series
             select slo_id, date_bin($5, bucket, timestamptz 'epoch') as at,
                 sum(good)::bigint as good, sum(late)::bigint as late,
                 sum(failed)::bigint as failed, sum(timeout)::bigint as timeout,
                 sum(cancelled)::bigint as cancelled, sum(orphan)::bigint as orphan,
                 sum(invalid)::bigint as invalid, sum(unobservable)::bigint as unobservable,
                 sum(evidence_lost)::bigint as evidence_lost,
                 sum(ambiguous)::bigint as ambiguous,
                 sum(sampled)::bigint as sampled,
                 least(sum(extrapolated_good), 9e18)::bigint as extrapolated_good,
                 least(sum(extrapolated_bad), 9e18)::bigint as extrapolated_bad
             from event_counts
             where slo_id = any ($1) and resolution = $2 and bucket >= $3 and bucket < $4
             group by slo_id, at
             order by slo_id, at",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>())
        .bind(query.resolution.as_secs())
        .bind(query.range.from.to_chrono())
        .bind(query.range.to.to_chrono())
        .bind(interval(query.step));
        let rows: Vec<PointRow> = self.fetch_all(query).await?;
        let mut series: BTreeMap<SloId, Vec<SeriesPoint>> = BTreeMap::new();
        for row in rows {
            series
                .entry(SloId(row.slo_id))
                .or_default()
                .push(SeriesPoint {
                    at: row.at.into(),
                    counts: row.counts.into(),
                });
        }
        Ok(series)
    }
}

pub(super) fn interval(step: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(step.as_micros()).unwrap_or(i64::MAX),
    }
}

/// The parts that ranges are composed of, by column.
#[derive(Default)]
struct RangeColumns {
    /// The index of the range in the argument.
    ordinals: Vec<i64>,
    slos: Vec<i32>,
    resolutions: Vec<i32>,
    lowers: Vec<DateTime<Utc>>,
    uppers: Vec<DateTime<Utc>>,
}

impl Tx<'_> {
    /// Returns the end of the last minute with an event; `None` if no stored minute has one.
    pub async fn last_event_minute(&mut self, slo: SloId) -> Result<Option<Timestamp>, StoreError> {
        let bucket: Option<DateTime<Utc>> = sqlx::query_scalar(
            "-- event_counts.last_minute
             select bucket from event_counts
             where slo_id = $1 and resolution = 60 and good + late + failed + timeout > 0
             order by bucket desc limit 1",
        )
        .bind(slo.0)
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(bucket.map(|bucket| Timestamp::from(bucket) + Resolution::Minute.length()))
    }
}

impl RangeColumns {
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
struct PointRow {
    slo_id: i32,
    at: DateTime<Utc>,
    #[sqlx(flatten)]
    counts: CountsRow,
}

#[derive(FromRow)]
pub(super) struct CountsRow {
    good: i64,
    late: i64,
    failed: i64,
    timeout: i64,
    cancelled: i64,
    orphan: i64,
    invalid: i64,
    unobservable: i64,
    evidence_lost: i64,
    ambiguous: i64,
    sampled: i64,
    extrapolated_good: i64,
    extrapolated_bad: i64,
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
            unobservable: row.unobservable,
            evidence_lost: row.evidence_lost,
            ambiguous: row.ambiguous,
            sampled: row.sampled,
            unseen_good: row.extrapolated_good,
            unseen_bad: row.extrapolated_bad,
        }
    }
}
