//! Bad workflows: which customers are affected, and which workflows to examine first. An SLO's id
//! may also be that of a group: both have ids of one kind.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::columns::JudgedKeys;
use crate::{
    domain::{
        model::{
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        workflow::EventId,
    },
    store::{
        AffectedCount, StoreError, Tx, WorkflowRecord,
        batch::Batch,
        workflows::{
            reads::{WorkflowRow, records},
            rows::CountedWorkflow,
        },
    },
};

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

/// The bad workflows of an SLO, or of a group, that were judged in ranges of time.
#[derive(Clone, Copy, Debug)]
pub struct BadSelection<'a> {
    pub slo: SloId,
    pub ranges: &'a [TimeRange],
    first: Option<u32>,
}

impl<'a> BadSelection<'a> {
    /// Selects all of them.
    pub const fn of(slo: SloId, ranges: &'a [TimeRange]) -> Self {
        Self {
            slo,
            ranges,
            first: None,
        }
    }

    /// Selects no more than so many, from the first on.
    #[must_use]
    pub const fn first(self, number: u32) -> Self {
        Self {
            first: Some(number),
            ..self
        }
    }
}

/// Workflows that are bad now, and that are not any more or are listed under another time.
#[derive(Debug, Default)]
pub(in crate::store) struct BadChanges {
    added: JudgedKeys,
    outcomes: Vec<i16>,
    groups: Vec<Option<i32>>,
    customers: Vec<Option<String>>,
    shared: Vec<bool>,
    started: Vec<Option<Timestamp>>,
    ended: Vec<Option<Timestamp>>,
    removed: JudgedKeys,
}

/// The listed data of a bad workflow.
#[derive(PartialEq, Eq)]
struct BadWorkflow<'a> {
    judged_at: Timestamp,
    outcome: i16,
    group: Option<SloId>,
    customer: Option<&'a str>,
    is_shared: bool,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl<'a> BadWorkflow<'a> {
    fn of((judged, group): CountedWorkflow<'a>) -> Option<Self> {
        let (workflow, verdict) = (&judged.workflow, &judged.verdict);
        let judged_at = verdict.at.filter(|_| verdict.outcome.is_bad())?;
        let ends = [
            workflow.success,
            workflow.failure,
            workflow.late,
            workflow.cancelled,
        ];
        Some(Self {
            judged_at,
            outcome: verdict.outcome.as_code(),
            group,
            customer: workflow.customer.as_deref(),
            is_shared: workflow.details.shared.is_some(),
            started_at: workflow.start.map(|start| start.at),
            ended_at: ends.into_iter().flatten().next(),
        })
    }
}

impl BadChanges {
    pub(in crate::store) fn push(
        &mut self,
        id: &EventId,
        epoch: i32,
        before: Option<CountedWorkflow<'_>>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        let (before, after) = (
            before.and_then(BadWorkflow::of),
            after.and_then(BadWorkflow::of),
        );
        if before == after {
            return;
        }
        let listed_at = after.as_ref().map(|bad| bad.judged_at);
        if let Some(old) = before.filter(|old| listed_at != Some(old.judged_at)) {
            self.removed.push(id, epoch, old.judged_at);
        }
        if let Some(bad) = after {
            self.added.push(id, epoch, bad.judged_at);
            self.outcomes.push(bad.outcome);
            self.groups.push(bad.group.map(|group| group.0));
            self.customers.push(bad.customer.map(str::to_owned));
            self.shared.push(bad.is_shared);
            self.started.push(bad.started_at);
            self.ended.push(bad.ended_at);
        }
    }
}

impl Batch {
    pub(in crate::store) fn add_bad(&mut self, changes: &BadChanges) {
        if !changes.removed.is_empty() {
            self.add(concat!(
                "-- bad_workflows.remove\n",
                "delete from bad_workflows b using unnest($1::integer[], $2::timestamptz[], ",
                "$3::uuid[], $4::integer[]) as n(slo_id, judged_at, key, epoch) ",
                "where b.slo_id = n.slo_id and b.judged_at = n.judged_at and b.key = n.key ",
                "and b.epoch = n.epoch",
            ))
            .bind_judged_keys(&changes.removed);
        }
        if changes.added.is_empty() {
            return;
        }
        self.add(concat!(
            "-- bad_workflows.add\n",
            "insert into bad_workflows (slo_id, judged_at, key, epoch, outcome, group_id, customer, ",
            "is_shared, started_at, ended_at) select unnest($1::integer[]), ",
            "unnest($2::timestamptz[]), unnest($3::uuid[]), unnest($4::integer[]), ",
            "unnest($5::smallint[]), unnest($6::integer[]), unnest($7::text[]), ",
            "unnest($8::boolean[]), unnest($9::timestamptz[]), unnest($10::timestamptz[]) ",
            "on conflict (slo_id, judged_at, key, epoch) do update set ",
            "outcome = excluded.outcome, group_id = excluded.group_id, ",
            "customer = excluded.customer, is_shared = excluded.is_shared, ",
            "started_at = excluded.started_at, ended_at = excluded.ended_at",
        ))
        .bind_judged_keys(&changes.added)
        .bind(changes.outcomes.clone())
        .bind(changes.groups.clone())
        .bind(changes.customers.clone())
        .bind(changes.shared.clone())
        .bind(changes.started.clone())
        .bind(changes.ended.clone());
    }
}

/// Selects the first bad workflows of a [`BadSelection`]: the first four parameters. SLOs and groups
/// have an index each, which one condition on both would not use.
macro_rules! bad_workflows {
    () => {
        "(select bad.* from unnest($2::timestamptz[], $3::timestamptz[]) as piece (lower, upper)
         cross join lateral (
             (select * from bad_workflows where slo_id = $1
                 and judged_at >= piece.lower and judged_at < piece.upper order by judged_at)
             union all
             (select * from bad_workflows where group_id = $1
                 and judged_at >= piece.lower and judged_at < piece.upper order by judged_at)
         ) as bad limit $4) as bad"
    };
}

impl Tx<'_> {
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
            "-- bad_workflows.customers_affected
             select slo_id, count(*) filter (where known > 0), sum(unknown)::bigint
             from (
                 select piece.slo_id, bad.customer,
                     count(*) filter (where not bad.is_shared) as known,
                     count(*) filter (where bad.is_shared) as unknown
                 from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[])
                     as piece (slo_id, lower, upper)
                 cross join lateral (
                     select customer, is_shared from bad_workflows
                     where slo_id = piece.slo_id
                         and judged_at >= piece.lower and judged_at < piece.upper
                     union all
                     select customer, is_shared from bad_workflows
                     where group_id = piece.slo_id
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

    /// Returns whether a selection leaves out workflows because they are not among the first.
    pub async fn leaves_out_bad(&mut self, of: BadSelection<'_>) -> Result<bool, StoreError> {
        let Some(first) = of.first else {
            return Ok(false);
        };
        let (lower, upper) = bounds(of.ranges);
        let query = sqlx::query_as(concat!(
            "-- bad_workflows.are_more\nselect count(*) > $5 from ",
            bad_workflows!(),
        ))
        .bind(of.slo.0)
        .bind(lower)
        .bind(upper)
        .bind(i64::from(first) + 1)
        .bind(i64::from(first));
        let (leaves_out,): (bool,) = self.fetch_one(query).await?;
        Ok(leaves_out)
    }

    /// Returns the customers with the most bad events, and the number of all.
    pub async fn worst_customers(
        &mut self,
        of: BadSelection<'_>,
        limit: u32,
    ) -> Result<AffectedCustomers, StoreError> {
        let (lower, upper) = bounds(of.ranges);
        let query = sqlx::query_as(concat!(
            "-- bad_workflows.worst_customers\n",
            "select customer, count(*), (sum(count(*)) over ())::bigint, count(*) over () from ",
            bad_workflows!(),
            " where customer is not null group by customer order by 2 desc, 1 limit $5",
        ))
        .bind(of.slo.0)
        .bind(lower)
        .bind(upper)
        .bind(of.first.map(i64::from))
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

    /// Returns the bad workflows that took longest; those that never ended count until `now`.
    pub async fn worst_workflows(
        &mut self,
        of: BadSelection<'_>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        let (lower, upper) = bounds(of.ranges);
        let query = sqlx::query_as(concat!(
            "-- bad_workflows.worst\n",
            "select w.key, w.label, w.trace_id, w.customer, w.outcome, w.started_at, w.within_us, ",
            "w.details, worst.ended_at from (",
            "select slo_id, judged_at, key, epoch, ended_at, ",
            "coalesce(ended_at, $5) - started_at as took from ",
            bad_workflows!(),
            " order by took desc nulls last, judged_at, key limit $6) as worst ",
            "join workflows w on w.epoch = worst.epoch and w.slo_id = worst.slo_id ",
            "and w.key = worst.key ",
            "order by worst.took desc nulls last, worst.judged_at, w.label",
        ))
        .bind(of.slo.0)
        .bind(lower)
        .bind(upper)
        .bind(of.first.map(i64::from))
        .bind(now.to_chrono())
        .bind(i64::from(limit));
        let rows: Vec<WorkflowRow> = self.fetch_all(query).await?;
        records(rows).map_err(|source| self.failed(source))
    }
}

fn bounds(pieces: &[TimeRange]) -> (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
    pieces
        .iter()
        .map(|piece| (piece.from.to_chrono(), piece.to.to_chrono()))
        .unzip()
}
