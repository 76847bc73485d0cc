//! What evaluation asks of the ledger of workflows: how many are open, who is affected, and which
//! ones to look at first.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreError, Tx};
use crate::domain::{
    names::{SloId, TraceId},
    notification::WorstWorkflow,
    time::{TimeRange, Timestamp},
    workflow::Outcome,
};

/// Workflows of one SLO that have started and are not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenWorkflows {
    pub in_flight: i64,
    /// Those of them past their deadline.
    pub overdue: i64,
}

/// Bad workflows that a notification names.
const WORST: i64 = 3;

impl Tx<'_> {
    /// What is open of each of `slos`; left out where nothing is. No SLO's grace is longer than
    /// `longest_grace`.
    pub async fn open_workflows(
        &mut self,
        slos: &[SloId],
        now: Timestamp,
        longest_grace: Duration,
    ) -> Result<BTreeMap<SloId, OpenWorkflows>, StoreError> {
        // Two counts: the first never leaves its index, the second reads only the rows whose time is
        // about to come. Together they would read every open row of the table.
        let rows: Vec<(i32, i64, i64)> = sqlx::query_as(
            "-- workflows.open
             select slo_id, sum(in_flight)::bigint, sum(overdue)::bigint
             from (
                 select slo_id, count(*) as in_flight, 0 as overdue
                 from workflows
                 where slo_id = any ($1) and outcome = 0 and started_at is not null
                 group by slo_id
                 union all
                 select slo_id, 0, count(*)
                 from workflows
                 where slo_id = any ($1) and outcome = 0 and due_at <= $3
                     and started_at + within_us * interval '1 microsecond' < $2
                 group by slo_id
             ) as counted
             group by slo_id",
        )
        .bind(ids(slos))
        .bind(now.to_chrono())
        .bind((now + longest_grace).to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let counts = rows.into_iter().map(|(id, in_flight, overdue)| {
            let open = OpenWorkflows { in_flight, overdue };
            (SloId(id), open)
        });
        Ok(counts.collect())
    }

    /// Distinct customers with a bad event in `range`, by SLO; left out where there is none.
    pub async fn customers_affected(
        &mut self,
        slos: &[SloId],
        range: TimeRange,
    ) -> Result<BTreeMap<SloId, i64>, StoreError> {
        let rows: Vec<(i32, i64)> = sqlx::query_as(
            "-- workflows.customers_affected
             select slo_id, count(distinct customer)
             from workflows
             where slo_id = any ($1) and outcome in (2, 3, 4)
                 and judged_at >= $2 and judged_at < $3
             group by slo_id",
        )
        .bind(ids(slos))
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(rows
            .into_iter()
            .map(|(id, customers)| (SloId(id), customers))
            .collect())
    }

    /// The moment of the first bad event in `range`.
    pub async fn first_bad_at(
        &mut self,
        slo: SloId,
        range: TimeRange,
    ) -> Result<Option<Timestamp>, StoreError> {
        let first: Option<DateTime<Utc>> = sqlx::query_scalar(
            "-- workflows.first_bad
             select min(judged_at)
             from workflows
             where slo_id = $1 and outcome in (2, 3, 4) and judged_at >= $2 and judged_at < $3",
        )
        .bind(slo.0)
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(first.map(Timestamp::from))
    }

    /// The three bad workflows of `range` that took longest, those that never ended counted until
    /// `now`.
    pub async fn worst_workflows(
        &mut self,
        slo: SloId,
        range: TimeRange,
        now: Timestamp,
    ) -> Result<Vec<WorstWorkflow>, StoreError> {
        let rows: Vec<WorstRow> = sqlx::query_as(
            "-- workflows.worst
             select label, trace_id, customer, outcome, started_at,
                 ended_at is not null as ended,
                 extract(epoch from coalesce(ended_at, $4) - started_at)::float8 as took_secs
             from (
                 select *, coalesce(succeeded_at, failed_at, cancelled_at) as ended_at
                 from workflows
                 where slo_id = $1 and outcome in (2, 3, 4) and judged_at >= $2 and judged_at < $3
             ) as bad
             order by took_secs desc nulls last, judged_at, label
             limit $5",
        )
        .bind(slo.0)
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(now.to_chrono())
        .bind(WORST)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        rows.into_iter()
            .map(|row| WorstWorkflow::try_from(row).map_err(|source| self.failed(source)))
            .collect()
    }

    /// Whether ingest is known to have been healthy until `since`; `None` while nothing has ever
    /// been received.
    pub async fn ingest_was_healthy(
        &mut self,
        since: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        sqlx::query_scalar(
            "-- ingest_watermark.was_healthy
             select up_to >= $1 from ingest_watermark",
        )
        .bind(since.to_chrono())
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }
}

fn ids(slos: &[SloId]) -> Vec<i32> {
    slos.iter().map(|slo| slo.0).collect()
}

#[derive(FromRow)]
struct WorstRow {
    label: String,
    trace_id: Vec<u8>,
    customer: Option<String>,
    outcome: i16,
    started_at: Option<DateTime<Utc>>,
    ended: bool,
    took_secs: Option<f64>,
}

impl TryFrom<WorstRow> for WorstWorkflow {
    type Error = sqlx::Error;

    fn try_from(row: WorstRow) -> Result<Self, Self::Error> {
        let invalid = |column: &str| sqlx::Error::Decode(format!("`{column}` is invalid").into());
        Ok(Self {
            label: row.label,
            trace_id: TraceId::from_slice(&row.trace_id).ok_or_else(|| invalid("trace_id"))?,
            customer: row.customer,
            outcome: Outcome::from_code(row.outcome).ok_or_else(|| invalid("outcome"))?,
            started_at: row.started_at.map(Timestamp::from),
            took_secs: row.took_secs,
            ended: row.ended,
        })
    }
}
