//! Single workflows and customers as the pages list them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreError, Tx};
use crate::domain::{
    names::{SloId, TraceId},
    time::{TimeRange, Timestamp},
    workflow::Outcome,
};

/// One workflow as the pages list it.
#[derive(Clone, Debug)]
pub struct WorkflowRecord {
    pub label: String,
    pub trace_id: Option<TraceId>,
    pub customer: Option<String>,
    pub outcome: Outcome,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Start plus promise.
    pub deadline: Option<Timestamp>,
}

/// Started workflows without a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCounts {
    pub in_flight: i64,
    /// In flight past the deadline.
    pub overdue: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRecord {
    pub customer: String,
    pub bad: i64,
    /// Bad events of all customers, and how many customers have any.
    pub bad_of_all: i64,
    pub customers: i64,
}

impl Tx<'_> {
    /// The bad workflows since `from` that took longest; one that has not ended is measured to `now`.
    pub async fn page_worst(
        &mut self,
        slo: SloId,
        range: TimeRange,
        limit: i64,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        let rows: Vec<WorkflowRow> = sqlx::query_as(
            "-- pages.worst
             select label, trace_id, customer, outcome, started_at, within_us,
                    coalesce(succeeded_at, failed_at, cancelled_at) as ended_at
             from workflows
             where slo_id = $1 and outcome in (2, 3, 4) and judged_at >= $2 and judged_at < $3
             order by coalesce(succeeded_at, failed_at, cancelled_at, $3) - started_at desc nulls last,
                      key
             limit $4",
        )
        .bind(slo.0)
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows
            .into_iter()
            .filter_map(WorkflowRow::into_record)
            .collect())
    }

    /// Open workflows, the oldest first.
    pub async fn page_in_flight(
        &mut self,
        slo: SloId,
        limit: i64,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        let rows: Vec<WorkflowRow> = sqlx::query_as(
            "-- pages.in_flight
             select label, trace_id, customer, outcome, started_at, within_us,
                    null::timestamptz as ended_at
             from workflows
             where slo_id = $1 and outcome = 0 and started_at is not null
             order by started_at, key limit $2",
        )
        .bind(slo.0)
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows
            .into_iter()
            .filter_map(WorkflowRow::into_record)
            .collect())
    }

    pub async fn page_open_counts(
        &mut self,
        slo: SloId,
        now: Timestamp,
    ) -> Result<OpenCounts, StoreError> {
        let (in_flight, overdue) = sqlx::query_as(
            "-- pages.open_counts
             select count(*),
                    count(*) filter (where started_at + within_us * interval '1 microsecond' < $2)
             from workflows where slo_id = $1 and outcome = 0 and started_at is not null",
        )
        .bind(slo.0)
        .bind(now.to_chrono())
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(OpenCounts { in_flight, overdue })
    }

    /// Customers by bad events since `from`, most first.
    pub async fn page_customers(
        &mut self,
        slo: SloId,
        from: Timestamp,
        limit: i64,
    ) -> Result<Vec<CustomerRecord>, StoreError> {
        let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
            "-- pages.customers
             select customer, count(*), (sum(count(*)) over ())::bigint, count(*) over ()
             from workflows
             where slo_id = $1 and outcome in (2, 3, 4) and judged_at >= $2 and customer is not null
             group by customer order by 2 desc, 1 limit $3",
        )
        .bind(slo.0)
        .bind(from.to_chrono())
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows
            .into_iter()
            .map(|(customer, bad, bad_of_all, customers)| CustomerRecord {
                customer,
                bad,
                bad_of_all,
                customers,
            })
            .collect())
    }
}

#[derive(FromRow)]
struct WorkflowRow {
    label: String,
    trace_id: Vec<u8>,
    customer: Option<String>,
    outcome: i16,
    started_at: Option<DateTime<Utc>>,
    within_us: Option<i64>,
    ended_at: Option<DateTime<Utc>>,
}

impl WorkflowRow {
    fn into_record(self) -> Option<WorkflowRecord> {
        let started_at: Option<Timestamp> = self.started_at.map(Into::into);
        let within = self
            .within_us
            .and_then(|us| u64::try_from(us).ok())
            .map(Duration::from_micros);
        Some(WorkflowRecord {
            label: self.label,
            trace_id: TraceId::from_slice(&self.trace_id),
            customer: self.customer,
            outcome: Outcome::from_code(self.outcome)?,
            started_at,
            ended_at: self.ended_at.map(Into::into),
            deadline: started_at.zip(within).map(|(at, within)| at + within),
        })
    }
}
