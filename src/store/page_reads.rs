//! What the pages and the API read. Nothing here writes, and no page reads one SLO at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, postgres::types::PgInterval, types::Json};
use uuid::Uuid;

use super::{StoreError, Tx};
use crate::domain::{
    counts::EventCounts,
    definition::Severity,
    names::{Name, SloId},
    notification::{Facts, TransitionKind},
    status::SloStatus,
    time::{Resolution, TimeRange, Timestamp, cover},
};

/// An SLO that files declare, with its last evaluation.
#[derive(Clone, Debug)]
pub struct SloRecord {
    pub id: SloId,
    pub name: Name,
    pub first_event_at: Option<Timestamp>,
    pub status: Option<SloStatus>,
}

/// Which buckets to sum into points of equal length.
#[derive(Clone, Copy, Debug)]
pub struct SeriesQuery {
    pub resolution: Resolution,
    pub range: TimeRange,
    /// A multiple of the resolution; points begin at its multiples since the epoch.
    pub step: Duration,
}

/// Counts of one point of a series, by the start of the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPoint {
    pub at: Timestamp,
    pub counts: EventCounts,
}

/// A point of the daily counts of one of many SLOs.
#[derive(Clone, Copy, Debug)]
pub struct DailyPoint {
    pub slo: SloId,
    pub at: Timestamp,
    pub counts: EventCounts,
}

/// A change of an alert, and whom it was told to.
#[derive(Clone, Debug)]
pub struct TransitionRecord {
    pub id: Uuid,
    pub slo: Name,
    pub severity: Severity,
    pub kind: TransitionKind,
    pub at: Timestamp,
    pub facts: Facts,
    pub deliveries: Vec<DeliveryRecord>,
}

#[derive(Clone, Debug)]
pub struct DeliveryRecord {
    pub target: String,
    /// `pending`, `leased`, `delivered` or `dead`.
    pub state: String,
    pub attempts: i32,
    pub http_status: Option<i32>,
}

impl Tx<'_> {
    /// Whether the database answers at all.
    pub async fn ping(&mut self) -> Result<(), StoreError> {
        sqlx::query("-- pages.ping\nselect 1")
            .execute(&mut *self.inner)
            .await
            .map(|_| ())
            .map_err(|error| self.failed(error))
    }

    /// Every declared SLO and its last evaluation, by name.
    pub async fn slo_records(&mut self) -> Result<Vec<SloRecord>, StoreError> {
        let rows: Vec<SloRow> = sqlx::query_as(
            "-- pages.slos
             select slo.id, slo.name, slo.first_event_at, status.status
             from slos slo left join slo_statuses status on status.slo_id = slo.id
             where slo.declared order by slo.name",
        )
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows.into_iter().filter_map(SloRow::into_record).collect())
    }

    pub async fn slo_record(&mut self, name: &Name) -> Result<Option<SloRecord>, StoreError> {
        let row: Option<SloRow> = sqlx::query_as(
            "-- pages.slo
             select slo.id, slo.name, slo.first_event_at, status.status
             from slos slo left join slo_statuses status on status.slo_id = slo.id
             where slo.name = $1",
        )
        .bind(name.as_str())
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(row.and_then(SloRow::into_record))
    }

    /// The sum of all buckets of `range`, widened to whole minutes.
    pub async fn page_sums(
        &mut self,
        slo: SloId,
        range: TimeRange,
    ) -> Result<EventCounts, StoreError> {
        let parts = cover(range);
        let row: CountsRow = sqlx::query_as(
            "-- pages.sums
             select null::timestamptz as at, null::integer as slo_id,
                    coalesce(sum(good), 0)::bigint as good, coalesce(sum(late), 0)::bigint as late,
                    coalesce(sum(failed), 0)::bigint as failed,
                    coalesce(sum(timeout), 0)::bigint as timeout,
                    coalesce(sum(cancelled), 0)::bigint as cancelled,
                    coalesce(sum(orphan), 0)::bigint as orphan,
                    coalesce(sum(invalid), 0)::bigint as invalid
             from unnest($2::integer[], $3::timestamptz[], $4::timestamptz[])
                      as part(resolution, first, last)
             join event_counts c on c.slo_id = $1 and c.resolution = part.resolution
                 and c.bucket >= part.first and c.bucket < part.last",
        )
        .bind(slo.0)
        .bind(
            parts
                .iter()
                .map(|part| part.0.as_secs())
                .collect::<Vec<_>>(),
        )
        .bind(
            parts
                .iter()
                .map(|part| part.1.from.to_chrono())
                .collect::<Vec<_>>(),
        )
        .bind(
            parts
                .iter()
                .map(|part| part.1.to.to_chrono())
                .collect::<Vec<_>>(),
        )
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(row.counts())
    }

    /// Counts per step; steps without events are left out.
    pub async fn page_series(
        &mut self,
        slo: SloId,
        query: SeriesQuery,
    ) -> Result<Vec<SeriesPoint>, StoreError> {
        let rows: Vec<CountsRow> = sqlx::query_as(
            "-- pages.series
             select date_bin($5, bucket, timestamptz 'epoch') as at, null::integer as slo_id,
                    sum(good)::bigint as good, sum(late)::bigint as late,
                    sum(failed)::bigint as failed, sum(timeout)::bigint as timeout,
                    sum(cancelled)::bigint as cancelled, sum(orphan)::bigint as orphan,
                    sum(invalid)::bigint as invalid
             from event_counts
             where slo_id = $1 and resolution = $2 and bucket >= $3 and bucket < $4
             group by 1 order by 1",
        )
        .bind(slo.0)
        .bind(query.resolution.as_secs())
        .bind(query.range.from.to_chrono())
        .bind(query.range.to.to_chrono())
        .bind(interval(query.step))
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                Some(SeriesPoint {
                    at: row.at?.into(),
                    counts: row.counts(),
                })
            })
            .collect())
    }

    /// Counts per day of many SLOs since `from`, each in order of time.
    pub async fn page_days(
        &mut self,
        slos: &[SloId],
        from: Timestamp,
    ) -> Result<Vec<DailyPoint>, StoreError> {
        let rows: Vec<CountsRow> = sqlx::query_as(
            "-- pages.days
             select bucket as at, slo_id,
                    sum(good)::bigint as good, sum(late)::bigint as late,
                    sum(failed)::bigint as failed, sum(timeout)::bigint as timeout,
                    sum(cancelled)::bigint as cancelled, sum(orphan)::bigint as orphan,
                    sum(invalid)::bigint as invalid
             from event_counts
             where resolution = 86400 and bucket >= $1 and slo_id = any($2)
             group by slo_id, bucket order by slo_id, bucket",
        )
        .bind(from.to_chrono())
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                Some(DailyPoint {
                    slo: SloId(row.slo_id?),
                    at: row.at?.into(),
                    counts: row.counts(),
                })
            })
            .collect())
    }

    /// The newest changes of alerts, of one SLO or (`None`) of all.
    pub async fn page_transitions(
        &mut self,
        slo: Option<SloId>,
        from: Timestamp,
        limit: i64,
    ) -> Result<Vec<TransitionRecord>, StoreError> {
        let rows: Vec<TransitionRow> = sqlx::query_as(
            "-- pages.transitions
             select t.id, t.at, t.facts, s.name as slo
             from alert_transitions t join slos s on s.id = t.slo_id
             where ($1::integer is null or t.slo_id = $1) and t.at >= $2
             order by t.at desc, t.id desc limit $3",
        )
        .bind(slo.map(|slo| slo.0))
        .bind(from.to_chrono())
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let deliveries = self.deliveries_by_transition(&ids).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| row.into_record(&deliveries))
            .collect())
    }

    async fn deliveries_by_transition(
        &mut self,
        ids: &[Uuid],
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        sqlx::query_as(
            "-- pages.deliveries
             select d.transition_id, d.target, d.state, d.attempts, last.http_status
             from deliveries d
             left join lateral (
                 select http_status from delivery_attempts a
                 where a.delivery_id = d.id order by attempt desc limit 1
             ) last on true
             where d.transition_id = any($1) order by d.target",
        )
        .bind(ids)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Evidence that could not be used since the day of `from`, by reason.
    pub async fn page_evidence(
        &mut self,
        slo: SloId,
        from: Timestamp,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        sqlx::query_as(
            "-- pages.evidence
             select reason, sum(count)::bigint from evidence_counts
             where slo_id = $1 and day >= $2::date group by reason order by reason",
        )
        .bind(slo.0)
        .bind(from.to_chrono().date_naive())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))
    }
}

fn interval(step: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(step.as_micros()).unwrap_or(i64::MAX),
    }
}

#[derive(FromRow)]
struct SloRow {
    id: i32,
    name: String,
    first_event_at: Option<DateTime<Utc>>,
    status: Option<Json<SloStatus>>,
}

impl SloRow {
    fn into_record(self) -> Option<SloRecord> {
        Some(SloRecord {
            id: SloId(self.id),
            name: self.name.parse().ok()?,
            first_event_at: self.first_event_at.map(Into::into),
            status: self.status.map(|status| status.0),
        })
    }
}

#[derive(FromRow)]
struct CountsRow {
    at: Option<DateTime<Utc>>,
    slo_id: Option<i32>,
    good: i64,
    late: i64,
    failed: i64,
    timeout: i64,
    cancelled: i64,
    orphan: i64,
    invalid: i64,
}

impl CountsRow {
    fn counts(&self) -> EventCounts {
        EventCounts {
            good: self.good,
            late: self.late,
            failed: self.failed,
            timeout: self.timeout,
            cancelled: self.cancelled,
            orphan: self.orphan,
            invalid: self.invalid,
        }
    }
}

#[derive(FromRow)]
struct TransitionRow {
    id: Uuid,
    at: DateTime<Utc>,
    facts: Json<Facts>,
    slo: String,
}

impl TransitionRow {
    fn into_record(self, deliveries: &[DeliveryRow]) -> Option<TransitionRecord> {
        let facts = self.facts.0;
        Some(TransitionRecord {
            id: self.id,
            slo: self.slo.parse().ok()?,
            severity: facts.severity,
            kind: facts.kind,
            at: self.at.into(),
            facts,
            deliveries: deliveries
                .iter()
                .filter(|delivery| delivery.transition_id == self.id)
                .map(|delivery| DeliveryRecord {
                    target: delivery.target.clone(),
                    state: delivery.state.clone(),
                    attempts: delivery.attempts,
                    http_status: delivery.http_status,
                })
                .collect(),
        })
    }
}

#[derive(FromRow)]
struct DeliveryRow {
    transition_id: Uuid,
    target: String,
    state: String,
    attempts: i32,
    http_status: Option<i32>,
}
