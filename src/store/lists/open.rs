//! Workflows in flight: how many, and the oldest. An SLO's id may also be that of a group: both have
//! ids of one kind.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        counting::{
            ledger::CountDelta,
            time_used::{OpenBucket, TimeUsed},
        },
        model::{ids::SloId, time::Timestamp},
    },
    store::{
        Progress, StoreError, Tx, WorkflowRecord, Writer,
        batch::Batch,
        columns::micros,
        workflows::reads::{WorkflowRow, records},
    },
};

/// The writer of the sums of several writers.
const SUMMED: Writer = Writer(-1);

/// Workflows of one SLO that have started and are not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenWorkflows {
    pub time_used: TimeUsed,
    /// Those past their deadline.
    pub overdue: i64,
}

impl Batch {
    /// Adds the differences of the numbers of open workflows.
    pub(crate) fn add_open_counts(&mut self, writer: Writer, delta: &CountDelta) {
        let changed: Vec<(SloId, OpenBucket, i64)> = delta.open().collect();
        if changed.is_empty() {
            return;
        }
        let slos = changed.iter().map(|(slo, ..)| slo.0);
        let starts = changed.iter().map(|(_, at, _)| at.started_from.to_chrono());
        let lengths = changed.iter().map(|(_, at, _)| micros(at.length));
        let within = changed.iter().map(|(_, at, _)| micros(at.within));
        let numbers = changed.iter().map(|(.., difference)| *difference);
        self.add(concat!(
            "-- open_counts.add\n",
            "insert into open_counts as c (slo_id, started_from, length_us, within_us, writer, ",
            "workflows) select slo_id, started_from, length_us, within_us, $6, workflows ",
            "from unnest($1::integer[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[]) ",
            "as n(slo_id, started_from, length_us, within_us, workflows) ",
            "on conflict (slo_id, started_from, length_us, within_us, writer) ",
            "do update set workflows = c.workflows + excluded.workflows",
        ))
        .bind(slos.collect::<Vec<_>>())
        .bind(starts.collect::<Vec<_>>())
        .bind(lengths.collect::<Vec<_>>())
        .bind(within.collect::<Vec<_>>())
        .bind(numbers.collect::<Vec<_>>())
        .bind(writer.0);
    }
}

/// A row of the counts: the SLO, the start, the length and the allowed time of a bucket, and the
/// number of its workflows.
type CountRow = (i32, DateTime<Utc>, i64, i64, i64);

fn bucket(started_from: DateTime<Utc>, length_us: i64, within_us: i64) -> OpenBucket {
    let duration = |micros: i64| Duration::from_micros(micros.unsigned_abs());
    OpenBucket {
        started_from: started_from.into(),
        length: duration(length_us),
        within: duration(within_us),
    }
}

/// Workflows among which the oldest open ones are looked for.
const LOOKED_AT: i64 = 20_000;

impl Tx<'_> {
    /// Returns the open workflows of each of `slos`; an SLO without any is left out.
    pub async fn open_workflows(
        &mut self,
        slos: &[SloId],
        now: Timestamp,
    ) -> Result<BTreeMap<SloId, OpenWorkflows>, StoreError> {
        let query = sqlx::query_as(
            "-- open_counts.read
             select slo_id, started_from, length_us, within_us, sum(workflows)::bigint
             from open_counts where slo_id = any ($1)
             group by slo_id, started_from, length_us, within_us having sum(workflows) <> 0",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>());
        let rows: Vec<CountRow> = self.fetch_all(query).await?;
        let mut open: BTreeMap<SloId, (Vec<(u8, i64)>, i64)> = BTreeMap::new();
        for (id, from, length, within, workflows) in rows {
            let bucket = bucket(from, length, within);
            let (steps, overdue) = open.entry(SloId(id)).or_default();
            steps.push((bucket.step(now), workflows));
            *overdue += i64::from(bucket.is_overdue(now)) * workflows;
        }
        let open = open.into_iter().map(|(id, (steps, overdue))| {
            let time_used = TimeUsed::new(steps);
            (id, OpenWorkflows { time_used, overdue })
        });
        Ok(open.collect())
    }

    /// Returns at most `limit` open workflows, the oldest first; of those that began in the same
    /// second, any. Looks at a bounded number of workflows, so some are missing if most of those
    /// that began with them have ended.
    pub async fn oldest_open_workflows(
        &mut self,
        slo: SloId,
        limit: u32,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        // Few of many suffice where nothing ends, as in a queue that is not read.
        let few = self.open_among_oldest(slo, limit, LOOKED_AT / 20).await?;
        if u32::try_from(few.len()).is_ok_and(|found| found == limit) {
            return Ok(few);
        }
        self.open_among_oldest(slo, limit, LOOKED_AT).await
    }

    async fn open_among_oldest(
        &mut self,
        slo: SloId,
        limit: u32,
        looked_at: i64,
    ) -> Result<Vec<WorkflowRecord>, StoreError> {
        // The counts show in which seconds to look: most workflows of most seconds have ended.
        let query = sqlx::query_as(
            "-- deadlines.oldest_open
             with bucket as (
                 select started_from, length_us, sum(workflows) as workflows
                 from open_counts where slo_id = $1
                 group by started_from, length_us having sum(workflows) > 0),
             oldest as (
                 select started_from, started_from + length_us * interval '1 microsecond' as started_to
                 from (select *, sum(workflows) over (order by started_from, length_us) - workflows
                     as before from bucket) as numbered
                 where before < $2),
             listed as (
                 select d.id, d.epoch, d.slo_id, d.started_second, d.keys
                 from oldest o
                 join slos s on s.id = $1
                 join deadlines d on d.slo_id = coalesce(s.parent_id, s.id)
                     and d.started_second > o.started_from - interval '1 second'
                     and d.started_second < o.started_to
                 order by d.started_second, d.id limit $3),
             candidate as (
                 select distinct epoch, slo_id, key
                 from (select *, sum(pg_column_size(keys)) over (order by started_second, id)
                     - pg_column_size(keys) as bytes_before from listed) as summed
                 cross join lateral unnest(keys) as k (key)
                 where bytes_before < 16 * $3)
             select w.key, label, trace_id, customer, outcome, started_at, within_us, details,
                 null::timestamptz as ended_at
             from candidate c
             join workflows w on w.epoch = c.epoch and w.slo_id = c.slo_id and w.key = c.key
             where (w.slo_id = $1 or group_id = $1) and outcome = 0 and started_at is not null
             order by started_at, w.key limit $2",
        )
        .bind(slo.0)
        .bind(i64::from(limit))
        .bind(looked_at);
        let rows: Vec<WorkflowRow> = self.fetch_all(query).await?;
        records(rows).map_err(|source| self.failed(source))
    }

    /// Adds up the numbers of several writers, and deletes those that are zero. Rows that a writer holds are left for the next call.
    pub async fn sum_open_counts(&mut self) -> Result<(), StoreError> {
        // The deleted rows contain what to add, including later additions of other writers.
        let statement = sqlx::query(
            "-- open_counts.sum_up
             with old as (
                 select slo_id, started_from, length_us, within_us, writer from open_counts
                 where writer <> $1 or workflows = 0
                 order by slo_id, started_from, length_us, within_us, writer
                 limit $2 for update skip locked),
             gone as (
                 delete from open_counts c using old o
                 where c.slo_id = o.slo_id and c.started_from = o.started_from
                     and c.length_us = o.length_us and c.within_us = o.within_us
                     and c.writer = o.writer
                 returning c.slo_id, c.started_from, c.length_us, c.within_us, c.writer, c.workflows)
             insert into open_counts as c
                 (slo_id, started_from, length_us, within_us, writer, workflows)
             select slo_id, started_from, length_us, within_us, $1, sum(workflows)
             from gone where writer <> $1
             group by slo_id, started_from, length_us, within_us having sum(workflows) <> 0
             order by slo_id, started_from, length_us, within_us
             on conflict (slo_id, started_from, length_us, within_us, writer)
             do update set workflows = c.workflows + excluded.workflows",
        )
        .bind(SUMMED.0)
        .bind(Progress::SLICE);
        self.execute(statement).await.map(drop)
    }
}
