//! The writing side of counts: differences that verdicts make, and what could not be used.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::{StoreError, Tx};
use crate::domain::{classify::Unusable, ledger::Moves, names::SloId, time::Timestamp};

/// The slot of a replica in `event_counts`, so that replicas do not wait for each other's rows. Two
/// that share a slot by chance are slower, not wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer(pub i16);

/// A word for `evidence_counts.reason` besides those of [`Unusable`].
const CORRECTED: &str = "corrected";

impl Tx<'_> {
    /// Writes what has moved, at every resolution.
    pub async fn add_counts(&mut self, writer: Writer, moves: &Moves) -> Result<(), StoreError> {
        let buckets = moves.by_bucket();
        if buckets.is_empty() {
            return Ok(());
        }
        let column = |value: fn(&crate::domain::counts::EventCounts) -> i64| -> Vec<i64> {
            buckets.values().map(value).collect()
        };
        let slos: Vec<i32> = buckets.keys().map(|(slo, ..)| slo.0).collect();
        let resolutions: Vec<i32> = buckets.keys().map(|(_, r, _)| r.as_secs()).collect();
        let starts: Vec<DateTime<Utc>> = buckets.keys().map(|(.., at)| at.to_chrono()).collect();
        sqlx::query(concat!(
            "-- event_counts.add\n",
            "insert into event_counts as c (slo_id, resolution, bucket, writer, good, late, ",
            "failed, timeout, cancelled, orphan, invalid) ",
            "select slo_id, resolution, bucket, $4, good, late, failed, timeout, cancelled, ",
            "orphan, invalid from unnest($1::integer[], $2::integer[], $3::timestamptz[], ",
            "$5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], ",
            "$10::bigint[], $11::bigint[]) as n(slo_id, resolution, bucket, good, late, failed, ",
            "timeout, cancelled, orphan, invalid) ",
            "on conflict (slo_id, resolution, bucket, writer) do update set ",
            "good = c.good + excluded.good, late = c.late + excluded.late, ",
            "failed = c.failed + excluded.failed, timeout = c.timeout + excluded.timeout, ",
            "cancelled = c.cancelled + excluded.cancelled, orphan = c.orphan + excluded.orphan, ",
            "invalid = c.invalid + excluded.invalid",
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
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        self.note_first_events(&moves.earliest()).await
    }

    async fn note_first_events(
        &mut self,
        earliest: &BTreeMap<SloId, Timestamp>,
    ) -> Result<(), StoreError> {
        let slos: Vec<i32> = earliest.keys().map(|slo| slo.0).collect();
        let times: Vec<DateTime<Utc>> = earliest.values().map(|at| at.to_chrono()).collect();
        sqlx::query(concat!(
            "-- slo.note_first_event\n",
            "update slos s set first_event_at = n.at ",
            "from unnest($1::integer[], $2::timestamptz[]) as n(id, at) ",
            "where s.id = n.id and (s.first_event_at is null or s.first_event_at > n.at)",
        ))
        .bind(slos)
        .bind(times)
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Counts what could not be used and what was corrected, on the day of `now`.
    pub async fn add_evidence_counts(
        &mut self,
        now: Timestamp,
        unusable: &BTreeMap<(SloId, Unusable), i64>,
        corrected: &BTreeMap<SloId, i64>,
    ) -> Result<(), StoreError> {
        let mut counts: BTreeMap<(i32, &str), i64> = BTreeMap::new();
        for ((slo, why), count) in unusable {
            *counts.entry((slo.0, why.as_str())).or_default() += count;
        }
        for (slo, count) in corrected {
            *counts.entry((slo.0, CORRECTED)).or_default() += count;
        }
        if counts.is_empty() {
            return Ok(());
        }
        let day: NaiveDate = now.to_chrono().date_naive();
        sqlx::query(concat!(
            "-- evidence_counts.add\n",
            "insert into evidence_counts as c (slo_id, day, reason, count) ",
            "select slo_id, $2, reason, count ",
            "from unnest($1::integer[], $3::text[], $4::bigint[]) as n(slo_id, reason, count) ",
            "on conflict (slo_id, day, reason) do update set count = c.count + excluded.count",
        ))
        .bind(counts.keys().map(|(slo, _)| *slo).collect::<Vec<i32>>())
        .bind(day)
        .bind(
            counts
                .keys()
                .map(|(_, reason)| (*reason).to_owned())
                .collect::<Vec<String>>(),
        )
        .bind(counts.values().copied().collect::<Vec<i64>>())
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }
}
