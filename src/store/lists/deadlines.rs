//! Open workflows by the second in which they are due.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::columns::KeyRows;
use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::{EventId, JudgingContext},
    },
    store::{
        StoreError, Tx,
        batch::Batch,
        workflows::{locked::WorkflowIds, rows::CountedWorkflow},
    },
};

const SECOND: Duration = Duration::from_secs(1);
/// Workflows of one row, so that a transaction never takes many more than it asked for.
const KEYS_A_ROW: usize = 1_000;
/// Rows that one transaction takes at most.
const ROWS: i64 = 500;

/// Workflows with a new deadline, by column.
#[derive(Debug, Default)]
pub(in crate::store) struct NewDeadlines {
    workflows: KeyRows,
    due: Vec<Timestamp>,
    started: Vec<Option<Timestamp>>,
}

impl NewDeadlines {
    /// Adds a workflow that is due at another time than before.
    pub(in crate::store) fn push(
        &mut self,
        id: &EventId,
        epoch: i32,
        before: Option<CountedWorkflow<'_>>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        let due = |counted: Option<CountedWorkflow<'_>>| {
            counted.and_then(|(judged, _)| judged.verdict.due)
        };
        let Some((judged, due_at)) = after
            .map(|(judged, _)| judged)
            .zip(due(after))
            .filter(|(_, at)| due(before) != Some(*at))
        else {
            return;
        };
        let start = judged.workflow.start;
        self.workflows.push(id, epoch, KEYS_A_ROW);
        self.due.push(due_at.floor_to(SECOND));
        self.started
            .push(start.map(|start| start.at.floor_to(SECOND)));
    }
}

impl Batch {
    pub(in crate::store) fn add_deadlines(&mut self, new: &NewDeadlines) {
        if new.workflows.is_empty() {
            return;
        }
        self.add(concat!(
            "-- deadlines.add\n",
            "insert into deadlines (slo_id, epoch, due_second, started_second, keys) ",
            "select slo_id, epoch, due, started, array_agg(key) ",
            "from unnest($1::integer[], $2::integer[], $3::integer[], $4::uuid[], ",
            "$5::timestamptz[], $6::timestamptz[]) as n(slo_id, epoch, row, key, due, started) ",
            "group by slo_id, epoch, due, started, row",
        ))
        .bind_key_rows(&new.workflows)
        .bind(new.due.clone())
        .bind(new.started.clone());
    }
}

/// Rows that this transaction has locked to judge their workflows, so that no other takes them.
#[derive(Debug, Default)]
pub(crate) struct DueRows {
    slo_ids: Vec<i32>,
    epochs: Vec<i32>,
    keys: Vec<Uuid>,
    /// Rows whose second is over.
    over: Vec<i64>,
    /// True if there may be more of those.
    pub(crate) are_more: bool,
}

impl DueRows {
    /// Returns the workflows by column, each once.
    pub(crate) fn workflows(&self) -> WorkflowIds<'_> {
        (&self.slo_ids, &self.epochs, &self.keys)
    }
}

/// A row of the table: its number, SLO, partition, second and keys.
type Row = (i64, i32, i32, DateTime<Utc>, Vec<Uuid>);

impl Tx<'_> {
    /// Takes rows in which workflows may be due, with about `limit` of them; the earliest first. Of an
    /// SLO whose ends arrive late, those whose second is over by its own watermark.
    pub(crate) async fn take_due(
        &mut self,
        context: &JudgingContext,
        limit: i64,
    ) -> Result<DueRows, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(0);
        let (behind, up_to): (Vec<i32>, Vec<DateTime<Utc>>) = context
            .behind()
            .map(|(slo, up_to)| (slo.0, up_to.to_chrono()))
            .unzip();
        let query = sqlx::query_as(
            "-- deadlines.take
             select id, slo_id, epoch, due_second, keys from deadlines d
             where due_second <= $1 and not exists (
                 select 1 from unnest($3::integer[], $4::timestamptz[]) as behind (slo_id, up_to)
                 where behind.slo_id = d.slo_id
                     and d.due_second > behind.up_to - interval '1 second')
             order by due_second, id limit $2 for update skip locked",
        )
        .bind(context.watermark.to_chrono())
        .bind(ROWS)
        .bind(behind)
        .bind(up_to);
        let rows: Vec<Row> = self.fetch_all(query).await?;
        let mut due = DueRows {
            are_more: i64::try_from(rows.len()).is_ok_and(|count| count == ROWS),
            ..DueRows::default()
        };
        // A workflow is in several rows if its deadline has moved within a second.
        let mut listed = BTreeSet::new();
        for (id, slo, epoch, second, keys) in rows {
            let is_over = Timestamp::from(second) + SECOND <= context.watermark_of(SloId(slo));
            if listed.len() >= limit {
                due.are_more |= is_over;
                break;
            }
            listed.extend(keys.into_iter().map(|key| (slo, epoch, key)));
            due.over.extend(is_over.then_some(id));
        }
        due.are_more &= !due.over.is_empty();
        for (slo, epoch, key) in listed {
            due.slo_ids.push(slo);
            due.epochs.push(epoch);
            due.keys.push(key);
        }
        Ok(due)
    }

    /// Deletes the rows whose workflows need not be looked at any more.
    pub(crate) async fn finish_due(&mut self, due: &DueRows) -> Result<(), StoreError> {
        if due.over.is_empty() {
            return Ok(());
        }
        let statement =
            sqlx::query("-- deadlines.delete\ndelete from deadlines where id = any ($1)")
                .bind(&due.over);
        self.execute(statement).await.map(drop)
    }
}
