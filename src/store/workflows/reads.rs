//! Queries of workflows: open ones, affected customers, and the ones to examine first. An SLO's id
//! may also be that of a group: both have ids of one kind.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use crate::{
    domain::{
        counting::promise_use::PromiseUse,
        model::{
            ids::{SloId, TraceId},
            time::{TimeRange, Timestamp},
        },
        slo::PROMISE_STEPS,
        workflow::{Details, EventKey, Outcome},
    },
    store::{AffectedCount, StoreError, Tx, trace_ids::trace_id},
};

/// Workflows of one SLO that have started and are not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenWorkflows {
    pub promise_use: PromiseUse,
    /// Those past their deadline.
    pub overdue: i64,
}

/// One workflow, for people to examine.
#[derive(Clone, Debug)]
pub struct WorkflowRecord {
    pub key: EventKey,
    pub label: String,
    pub trace_id: TraceId,
    pub customer: Option<String>,
    pub outcome: Outcome,
    pub started_at: Option<Timestamp>,
    /// `None` for one that has not ended.
    pub ended_at: Option<Timestamp>,
    /// Start plus time limit plus pauses.
    pub deadline: Option<Timestamp>,
}

impl WorkflowRecord {
    /// Returns the seconds from start to end; up to `now` for one that has not ended.
    pub fn took_secs(&self, now: Timestamp) -> Option<f64> {
        let took = self.ended_at.unwrap_or(now).micros_since(self.started_at?);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a few years")]
        let secs = took as f64 / 1e6;
        Some(secs)
    }
}

/// Customers with bad events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AffectedCustomers {
    pub worst: Vec<AffectedCustomer>,
    /// The number of all affected customers, and of their bad events.
    pub customers: i64,
    pub bad: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedCustomer {
    pub customer: String,
    pub bad: i64,
}

/// Selects bad workflows of an SLO, or of a group, that were judged in ranges of time: the first
/// three parameters. SLOs and groups have an index each, which one condition on both would not use.
macro_rules! bad_workflows {
    () => {
        "unnest($2::timestamptz[], $3::timestamptz[]) as piece (lower, upper) cross join lateral (
             select * from workflows where slo_id = $1 and outcome in (2, 3, 4)
                 and judged_at >= piece.lower and judged_at < piece.upper
             union all
             select * from workflows where group_id = $1 and outcome in (2, 3, 4)
                 and judged_at >= piece.lower and judged_at < piece.upper
         ) as bad"
    };
}

impl Tx<'_> {
    /// Returns the open workflows of each of `slos`, with the time that is promised now; an SLO
    /// without any is left out. No SLO's grace is longer than `longest_grace`.
    pub async fn open_workflows(
        &mut self,
        slos: &[(SloId, Duration)],
        now: Timestamp,
        longest_grace: Duration,
    ) -> Result<BTreeMap<SloId, OpenWorkflows>, StoreError> {
        // Two counts: the first never leaves its index, the second reads only the rows whose
        // deadline is near. A single query for both would read every open row of the table.
        let query = sqlx::query_as(
            "-- workflows.open
             with promised as (
                 select * from unnest($1::integer[], $4::double precision[]) as p (id, seconds)
             )
             select id, step, sum(in_flight)::bigint, sum(overdue)::bigint
             from (
                 select p.id, least(greatest(floor(extract(epoch from $2 - w.started_at)
                         ::double precision / p.seconds * $5), 0), $5)::smallint as step,
                     count(*) as in_flight, 0 as overdue
                 from promised p join workflows w on w.slo_id = p.id
                 where w.slo_id = any ($1) and w.outcome = 0 and w.started_at is not null
                 group by 1, 2
                 union all
                 select slo_id, $5::smallint, 0, count(*)
                 from workflows
                 where slo_id = any ($1) and outcome = 0 and due_at <= $3
                     and started_at + within_us * interval '1 microsecond' < $2
                 group by slo_id
                 union all
                 select p.id, least(greatest(floor(extract(epoch from $2 - w.started_at)
                         ::double precision / p.seconds * $5), 0), $5)::smallint,
                     count(*), count(*) filter (
                         where due_at <= $3
                             and started_at + within_us * interval '1 microsecond' < $2)
                 from promised p join workflows w on w.group_id = p.id
                 where w.group_id = any ($1) and w.outcome = 0 and w.started_at is not null
                 group by 1, 2
             ) as counted
             group by 1, 2",
        )
        .bind(slos.iter().map(|(slo, _)| slo.0).collect::<Vec<_>>())
        .bind(now.to_chrono())
        .bind((now + longest_grace).to_chrono())
        .bind(
            slos.iter()
                .map(|(_, promise)| promise.as_secs_f64())
                .collect::<Vec<_>>(),
        )
        .bind(f64::from(PROMISE_STEPS));
        let rows: Vec<(i32, i16, i64, i64)> = self.fetch_all(query).await?;
        let mut open: BTreeMap<SloId, (Vec<(u8, i64)>, i64)> = BTreeMap::new();
        for (id, step, in_flight, overdue) in rows {
            let (steps, all_overdue) = open.entry(SloId(id)).or_default();
            steps.push((u8::try_from(step).unwrap_or_default(), in_flight));
            *all_overdue += overdue;
        }
        let open = open.into_iter().map(|(id, (steps, overdue))| {
            let promise_use = PromiseUse::new(steps);
            (
                id,
                OpenWorkflows {
                    promise_use,
                    overdue,
                },
            )
        });
        Ok(open.collect())
    }

    /// Returns the number of distinct customers with a bad event in the ranges of each set, by SLO;
    /// an SLO without any is left out.
    pub async fn customers_affected(
        &mut self,
        sets: &[(SloId, Vec<TimeRange>)],
    ) -> Result<BTreeMap<SloId, AffectedCount>, StoreError> {
        let each = || {
            sets.iter()
                .flat_map(|(slo, of_slo)| of_slo.iter().map(|piece| (slo.0, piece)))
        };
        let pieces: Vec<TimeRange> = each().map(|(_, piece)| *piece).collect();
        let (lower, upper) = bounds(&pieces);
        // Grouped before they are counted: that hashes, whereas a distinct count would sort them
        // all.
        let query = sqlx::query_as(
            "-- workflows.customers_affected
             select slo_id, count(*) filter (where known > 0), sum(unknown)::bigint
             from (
                 select piece.slo_id, bad.customer, count(*) filter (where bad.is_known) as known,
                     count(*) filter (where not bad.is_known) as unknown
                 from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[])
                     as piece (slo_id, lower, upper)
                 cross join lateral (
                     select customer, details->'shared' is null as is_known from workflows
                     where slo_id = piece.slo_id and outcome in (2, 3, 4)
                         and judged_at >= piece.lower and judged_at < piece.upper
                     union all
                     select customer, details->'shared' is null as is_known from workflows
                     where group_id = piece.slo_id and outcome in (2, 3, 4)
                         and judged_at >= piece.lower and judged_at < piece.upper
                 ) as bad
                 where bad.customer is not null
                 group by piece.slo_id, bad.customer
             ) as affected
             group by slo_id",
        )
        .bind(each().map(|(slo, _)| slo).collect::<Vec<_>>())
        .bind(lower)
        .bind(upper);
        let rows: Vec<(i32, i64, i64)> = self.fetch_all(query).await?;
        let affected = rows.into_iter();
        let affected =
            affected.map(|(id, known, unknown)| (SloId(id), AffectedCount { known, unknown }));
        Ok(affected.collect())
    }

    /// Returns the customers with the most bad events in `pieces`, and their total number.
    pub async fn worst_customers(
        &mut self,
        slo: SloId,
        pieces: &[TimeRange],
        limit: u32,
    ) -> Result<AffectedCustomers, StoreError> {
        let (lower, upper) = bounds(pieces);
        let query = sqlx::query_as(concat!(
            "-- workflows.worst_customers\n",
            "select customer, count(*), (sum(count(*)) over ())::bigint, count(*) over () from ",
            bad_workflows!(),
            " where customer is not null group by customer order by 2 desc, 1 limit $4",
        ))
        .bind(slo.0)
        .bind(lower)
        .bind(upper)
        .bind(i64::from(limit));
        let rows: Vec<(String, i64, i64, i64)> = self.fetch_all(query).await?;
        let (bad, customers) = rows.first().map_or((0, 0), |row| (row.2, row.3));
        let worst = rows
            .into_iter()
            .map(|(customer, bad, ..)| AffectedCustomer { customer, bad });
        Ok(AffectedCustomers {
            worst: worst.collect(),
            customers,
            bad,
        })
    }

    /// Returns the bad workflows of `pieces` that took longest; those that never ended count until
    /// `now`.
    pub async fn worst_workflows(
        &mut self,
        slo: SloId,
        (pieces, now): (&[TimeRange], Timestamp),
        limit: u32,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        let (lower, upper) = bounds(pieces);
        let rows: Result<Vec<WorkflowRow>, _> = sqlx::query_as(concat!(
            "-- workflows.worst\n",
            "select key, label, trace_id, customer, outcome, started_at, within_us, details, ",
            "coalesce(succeeded_at, failed_at, late_at, cancelled_at) as ended_at from ",
            bad_workflows!(),
            " order by coalesce(succeeded_at, failed_at, late_at, cancelled_at, $4) - started_at desc ",
            "nulls last, judged_at, label limit $5",
        ))
        .bind(slo.0)
        .bind(lower)
        .bind(upper)
        .bind(now.to_chrono())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.inner)
        .await;
        self.workflow_records(rows)
    }

    /// Returns open workflows, the oldest first.
    pub async fn oldest_open_workflows(
        &mut self,
        slo: SloId,
        limit: u32,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        let rows: Result<Vec<WorkflowRow>, _> = sqlx::query_as(
            "-- workflows.oldest_open
             select key, label, trace_id, customer, outcome, started_at, within_us, details,
                 null::timestamptz as ended_at
             from workflows
             where (slo_id = $1 or group_id = $1) and outcome = 0 and started_at is not null
             order by started_at, key limit $2",
        )
        .bind(slo.0)
        .bind(i64::from(limit))
        .fetch_all(&mut *self.inner)
        .await;
        self.workflow_records(rows)
    }

    fn workflow_records(
        &self,
        rows: Result<Vec<WorkflowRow>, sqlx::Error>,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        rows.and_then(|rows| rows.into_iter().map(WorkflowRecord::try_from).collect())
            .map_err(|source| self.failed(source))
    }
}

fn bounds(pieces: &[TimeRange]) -> (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
    pieces
        .iter()
        .map(|piece| (piece.from.to_chrono(), piece.to.to_chrono()))
        .unzip()
}

#[derive(FromRow)]
pub(crate) struct WorkflowRow {
    pub(crate) key: Uuid,
    pub(crate) label: String,
    pub(crate) trace_id: Uuid,
    pub(crate) customer: Option<String>,
    pub(crate) outcome: i16,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) within_us: Option<i64>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) details: Option<Json<Details>>,
}

impl TryFrom<WorkflowRow> for WorkflowRecord {
    type Error = sqlx::Error;

    fn try_from(row: WorkflowRow) -> Result<Self, Self::Error> {
        let invalid = |column: &str| sqlx::Error::Decode(format!("`{column}` is invalid").into());
        let started_at = row.started_at.map(Timestamp::from);
        let within = row
            .within_us
            .and_then(|us| u64::try_from(us).ok())
            .map(Duration::from_micros);
        let details = row.details.map(|Json(details)| details).unwrap_or_default();
        let outcome = Outcome::from_code(row.outcome).ok_or_else(|| invalid("outcome"))?;
        let last_leg = match outcome {
            Outcome::Open
            | Outcome::Timeout
            | Outcome::Unobservable
            | Outcome::EvidenceLost
            | Outcome::Unwatched
            | Outcome::Ambiguous => None,
            Outcome::Good
            | Outcome::Late
            | Outcome::Failed
            | Outcome::Cancelled
            | Outcome::Orphan
            | Outcome::Invalid => details.legs.last_end(),
        };
        Ok(Self {
            key: EventKey(row.key.into_bytes()),
            label: row.label,
            trace_id: trace_id(row.trace_id)?,
            customer: row.customer,
            outcome,
            started_at,
            ended_at: row.ended_at.map(Timestamp::from).or(last_leg),
            deadline: started_at
                .zip(within)
                .map(|(at, within)| details.deadline(at, within)),
        })
    }
}
