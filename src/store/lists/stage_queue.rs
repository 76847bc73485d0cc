//! Workflows whose stages must be aggregated, or aggregated again.

use std::time::Duration;

use uuid::Uuid;

use super::columns::KeyRows;
use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::{EventId, EventKey, Outcome},
    },
    store::{StoreError, Tx, batch::Batch, workflows::rows::CountedWorkflow},
};

/// Workflows of one row: as many as one transaction aggregates.
const KEYS_A_ROW: usize = 500;
/// Rows that one transaction takes at most.
const ROWS: i64 = 100;

/// Workflows with a new verdict, by column.
#[derive(Debug, Default)]
pub(in crate::store) struct QueuedStages(KeyRows);

impl QueuedStages {
    /// Adds a workflow if its verdict is another one than before, and either has stages.
    pub(in crate::store) fn push(
        &mut self,
        id: &EventId,
        epoch: i32,
        before: Option<CountedWorkflow<'_>>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        if aggregated_as(before) != aggregated_as(after) {
            self.0.push(id, epoch, KEYS_A_ROW);
        }
    }
}

/// Returns the verdict, if workflows with such a one are aggregated. An invalid one has no stages, but
/// its messages show the skew of clocks.
fn aggregated_as(counted: Option<CountedWorkflow<'_>>) -> Option<(Outcome, Timestamp)> {
    let verdict = &counted?.0.verdict;
    let counts = verdict.outcome.counts();
    let at = verdict.at.filter(|_| counts.total() + counts.invalid > 0)?;
    Some((verdict.outcome, at))
}

impl Batch {
    pub(in crate::store) fn queue_for_stages(&mut self, QueuedStages(queued): &QueuedStages) {
        if queued.is_empty() {
            return;
        }
        self.add(concat!(
            "-- stage_queue.add\n",
            "insert into stage_queue (slo_id, epoch, look_at, keys) ",
            "select slo_id, epoch, timestamptz 'epoch', array_agg(key) ",
            "from unnest($1::integer[], $2::integer[], $3::integer[], $4::uuid[]) ",
            "as n(slo_id, epoch, row, key) group by slo_id, epoch, row",
        ))
        .bind_key_rows(queued);
    }
}

/// A row of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StageTask {
    pub(crate) epoch: i32,
    pub(crate) keys: Vec<Uuid>,
}

impl Tx<'_> {
    /// Returns those of `slos` with something to aggregate.
    pub async fn slos_to_aggregate(
        &mut self,
        slos: &[SloId],
        now: Timestamp,
    ) -> Result<Vec<SloId>, StoreError> {
        let query = sqlx::query_as(
            "-- stage_queue.slos
             select id from unnest($1::integer[]) as s (id)
             where exists (select 1 from stage_queue where slo_id = s.id and look_at <= $2)",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>())
        .bind(now.to_chrono());
        let ids: Vec<(i32,)> = self.fetch_all(query).await?;
        Ok(ids.into_iter().map(|(id,)| SloId(id)).collect())
    }

    /// Takes rows of an SLO out of the queue, with about [`KEYS_A_ROW`] workflows.
    pub(crate) async fn take_stage_tasks(
        &mut self,
        slo: SloId,
        now: Timestamp,
    ) -> Result<Vec<StageTask>, StoreError> {
        let query = sqlx::query_as(
            "-- stage_queue.take
             with first as (
                 select id, keys, look_at from stage_queue where slo_id = $1 and look_at <= $2
                 order by look_at, id limit $3)
             delete from stage_queue where id in (
                 select id from (
                     select id, cardinality(keys) as own,
                         sum(cardinality(keys)) over (order by look_at, id) as up_to
                     from first) as numbered
                 where up_to - own < $4)
             returning epoch, keys",
        )
        .bind(slo.0)
        .bind(now.to_chrono())
        .bind(ROWS)
        .bind(i64::try_from(KEYS_A_ROW).unwrap_or(i64::MAX));
        let rows: Vec<(i32, Vec<Uuid>)> = self.fetch_all(query).await?;
        let tasks = rows.into_iter();
        Ok(tasks
            .map(|(epoch, keys)| StageTask { epoch, keys })
            .collect())
    }

    /// Queues workflows of an SLO to be looked at again, each at its time.
    pub(crate) async fn queue_stages_again(
        &mut self,
        slo: SloId,
        again: &[(i32, EventKey, Timestamp)],
    ) -> Result<(), StoreError> {
        if again.is_empty() {
            return Ok(());
        }
        let second = |at: Timestamp| at.ceil_to(Duration::from_secs(1));
        let times: Vec<Timestamp> = again.iter().map(|(.., at)| second(*at)).collect();
        let keys = again.iter().map(|(_, key, _)| Uuid::from_bytes(key.0));
        let statement = sqlx::query(
            "-- stage_queue.add_again
             insert into stage_queue (slo_id, epoch, look_at, keys)
             select $1, epoch, look_at, array_agg(key)
             from unnest($2::integer[], $3::timestamptz[], $4::uuid[]) as n (epoch, look_at, key)
             group by epoch, look_at",
        )
        .bind(slo.0)
        .bind(again.iter().map(|(epoch, ..)| *epoch).collect::<Vec<_>>())
        .bind(times)
        .bind(keys.collect::<Vec<_>>());
        self.execute(statement).await.map(drop)
    }
}
