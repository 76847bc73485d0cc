//! Workflow rows: joined with evidence, judged, and counted, in one transaction.
//!
//! Writers never wait for each other in a circle. Known rows are locked in the order of their keys;
//! only then are new rows inserted, again in that order. A writer that waits for a lock has inserted
//! nothing yet, and one that waits for another's insert waits for a key above all it has inserted.
//! Where another replica has inserted the same key in between, the whole transaction starts again
//! and finds the row.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::{StoreError, Tx, groups::Change, retention::EPOCH_LOCK};
use crate::domain::{
    ledger::{EventId, Gathered, Judged, Moves, apply},
    names::{SloId, TraceId},
    sampling::Weight,
    time::Timestamp,
    workflow::{Details, EventKey, Judging, Outcome, Promise, Start, TraceRef, Verdict, Workflow},
};

/// A row as it stands, and where: its partition and its place there, which cannot change while the
/// row is locked.
pub(super) struct Known {
    pub(super) epoch: i32,
    pub(super) place: String,
    pub(super) judged: Judged,
    pub(super) group: Option<SloId>,
}

/// A workflow, and the group that it is counted in besides its SLO.
type Placed<'a> = (&'a Judged, Option<SloId>);

/// How the evidence of one SLO is judged; for every SLO that evidence speaks of.
pub type JudgingBySlo<'a> = &'a (dyn Fn(SloId) -> Judging + Sync);

impl Tx<'_> {
    /// Joins `gathered` with what is known and judges it anew. What moves in the counts is for the
    /// caller to write, in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::is_conflict`] if another replica was first: the whole transaction is then to be
    /// done again from the start.
    pub async fn record_workflows(
        &mut self,
        gathered: &Gathered,
        judging: JudgingBySlo<'_>,
    ) -> Result<Moves, StoreError> {
        let mut moves = Moves::default();
        self.record_more(gathered, judging, &mut moves).await?;
        Ok(moves)
    }

    /// The same, where something has moved in the counts already.
    pub async fn record_more(
        &mut self,
        gathered: &Gathered,
        judging: JudgingBySlo<'_>,
        moves: &mut Moves,
    ) -> Result<(), StoreError> {
        if gathered.is_empty() {
            return Ok(());
        }
        let epoch = self.current_epoch().await?;
        let known = self.lock_known(gathered).await?;
        let mut changed = Vec::new();
        for (id, workflow) in gathered {
            let row = known.get(id);
            let judging = judging(id.0);
            let Some(judged) = apply(id.0, row.map(|row| &row.judged), workflow, &judging, moves)
            else {
                continue;
            };
            changed.push((*id, row, judged));
        }
        let groups = self.groups_of(&changed, moves).await?;
        let (mut inserts, mut updates) = (Rows::default(), Rows::default());
        for ((id, row, judged), group) in changed.iter().zip(groups) {
            match row {
                Some(row) => updates.push_known(id, row, (judged, group)),
                None => inserts.push(id, epoch, (judged, group)),
            }
        }
        self.insert(&inserts).await?;
        self.update(&updates).await
    }

    /// Judges at most `limit` workflows whose time has come although no evidence did. Replicas share
    /// the work: what one has locked the others skip. Returns how many were looked at.
    pub async fn judge_due(
        &mut self,
        watermark: Timestamp,
        limit: i64,
        judging: JudgingBySlo<'_>,
    ) -> Result<(usize, Moves), StoreError> {
        let rows = sqlx::query(concat!(
            "-- workflow.lock_due\n",
            "select slo_id, key, epoch, label, started_at, succeeded_at, failed_at, late_at, ",
            "cancelled_at, within_us, trace_id, trace_rank, customer, details, weight, outcome, judged_at, ",
            "due_at, group_id, ctid::text as place from workflows where due_at <= $1 order by due_at limit $2 for update skip locked",
        ))
        .bind(watermark.to_chrono())
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut moves = Moves::default();
        let known: Vec<(EventId, Known)> = rows
            .iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))?;
        let mut changed = Vec::new();
        for (id, known) in &known {
            let workflow = known.judged.workflow.clone();
            let judging = judging(id.0);
            if let Some(judged) = apply(id.0, Some(&known.judged), &workflow, &judging, &mut moves)
            {
                changed.push((*id, Some(known), judged));
            }
        }
        let groups = self.groups_of(&changed, &mut moves).await?;
        let mut updates = Rows::default();
        for ((id, known, judged), group) in changed.iter().zip(groups) {
            if let Some(known) = known {
                updates.push_known(id, known, (judged, group));
            }
        }
        self.update(&updates).await?;
        Ok((rows.len(), moves))
    }

    pub(super) async fn groups_of(
        &mut self,
        changed: &[(EventId, Option<&Known>, Judged)],
        moves: &mut Moves,
    ) -> Result<Vec<Option<SloId>>, StoreError> {
        let asked: Vec<Change<'_>> = changed
            .iter()
            .map(|(id, known, judged)| Change {
                slo: id.0,
                group: known.and_then(|known| known.group),
                before: known.map(|known| &known.judged),
                after: judged,
            })
            .collect();
        self.place_in_groups(&asked, moves).await
    }

    /// The partition that rows are inserted into. Holds off the opening of another one until the end
    /// of the transaction.
    pub(super) async fn current_epoch(&mut self) -> Result<i32, StoreError> {
        // Few rows are touched among many: a plan that scans a partition is always wrong here, but
        // the planner cannot know while statistics are missing. Nobody waits for a statement that
        // takes longer than a commit may: it would only hold its locks.
        sqlx::query(concat!(
            "-- epoch.hold\n",
            "select pg_advisory_xact_lock_shared($1), ",
            "set_config('enable_seqscan', 'off', true), ",
            "set_config('enable_hashjoin', 'off', true), ",
            "set_config('enable_mergejoin', 'off', true), ",
            "set_config('statement_timeout', '10s', true)",
        ))
        .bind(EPOCH_LOCK)
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        sqlx::query_scalar("-- epoch.current\nselect max(epoch) from epochs")
            .fetch_one(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))
    }

    pub(super) async fn lock_known<T: Sync>(
        &mut self,
        gathered: &BTreeMap<EventId, T>,
    ) -> Result<BTreeMap<EventId, Known>, StoreError> {
        let (slos, keys): (Vec<i32>, Vec<Uuid>) = gathered
            .keys()
            .map(|(slo, key)| (slo.0, Uuid::from_bytes(key.0)))
            .unzip();
        let rows = sqlx::query(concat!(
            "-- workflow.lock_known\n",
            "select w.slo_id, w.key, w.epoch, w.label, w.started_at, w.succeeded_at, ",
            "w.failed_at, w.late_at, w.cancelled_at, w.within_us, w.trace_id, w.trace_rank, ",
            "w.customer, w.details, w.weight, w.outcome, w.judged_at, w.due_at, w.group_id, ",
            "w.ctid::text as place ",
            "from unnest($1::integer[], $2::uuid[]) as k(slo_id, key) ",
            "join workflows w on w.slo_id = k.slo_id and w.key = k.key ",
            "order by w.slo_id, w.key for update of w",
        ))
        .bind(slos)
        .bind(keys)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        rows.iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Fails as a conflict if another replica has inserted one of them in the meantime.
    ///
    /// One message to the server, and not a COPY: a writer that vanishes in the middle of that is at
    /// work to the server, not idle, and no time-out makes it let go of its keys.
    async fn insert(&mut self, rows: &Rows) -> Result<(), StoreError> {
        if rows.slo_ids.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(concat!(
            "-- workflow.insert\n",
            "insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, ",
            "failed_at, late_at, cancelled_at, within_us, trace_id, trace_rank, customer, ",
            "outcome, judged_at, due_at, details, weight, group_id) ",
            "select * from unnest($1::integer[], $2::uuid[], $3::integer[], $4::text[], ",
            "$5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], ",
            "$9::timestamptz[], $10::bigint[], $11::bytea[], $12::smallint[], $13::text[], ",
            "$14::smallint[], $15::timestamptz[], $16::timestamptz[], $17::jsonb[], ",
            "$18::bigint[], $19::integer[])",
        ));
        let inserted = rows.bind(query).execute(&mut *self.inner).await;
        inserted.map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Rows that this transaction has locked. Found by their place, which spares the index.
    pub(super) async fn update(&mut self, rows: &Rows) -> Result<(), StoreError> {
        if rows.slo_ids.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(concat!(
            "-- workflow.update\n",
            "update workflows w set label = n.label, started_at = n.started_at, ",
            "succeeded_at = n.succeeded_at, failed_at = n.failed_at, late_at = n.late_at, ",
            "cancelled_at = n.cancelled_at, within_us = n.within_us, trace_id = n.trace_id, ",
            "trace_rank = n.trace_rank, customer = n.customer, outcome = n.outcome, ",
            "judged_at = n.judged_at, due_at = n.due_at, details = n.details, weight = n.weight, ",
            "group_id = n.group_id ",
            "from unnest($1::integer[], $2::uuid[], $3::integer[], $4::text[], ",
            "$5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], ",
            "$9::timestamptz[], $10::bigint[], $11::bytea[], $12::smallint[], $13::text[], ",
            "$14::smallint[], $15::timestamptz[], $16::timestamptz[], $17::jsonb[], ",
            "$18::bigint[], $19::integer[], $20::text[]) ",
            "as n(slo_id, key, epoch, label, started_at, succeeded_at, failed_at, late_at, ",
            "cancelled_at, within_us, trace_id, trace_rank, customer, outcome, judged_at, due_at, ",
            "details, weight, group_id, place) where w.ctid = n.place::tid and w.epoch = n.epoch ",
            "and w.slo_id = n.slo_id and w.key = n.key",
        ));
        let query = rows.bind(query).bind(&rows.places);
        let updated = query.execute(&mut *self.inner).await;
        let updated = updated
            .map_err(|source| self.failed(source))?
            .rows_affected();
        // The counts that follow speak of every row: one that is missed must not go unnoticed.
        if updated != rows.slo_ids.len() as u64 {
            return Err(self.failed(inconsistent("a locked workflow was not where it stood")));
        }
        Ok(())
    }
}

fn within_us(workflow: &Workflow) -> Option<i64> {
    match workflow.start?.promise {
        Promise::Within(within) => i64::try_from(within.as_micros()).ok(),
        Promise::OneSpan => None,
    }
}

fn trace_rank(workflow: &Workflow) -> i16 {
    i16::from(matches!(workflow.trace, TraceRef::Other(_)))
}

/// Rows by column, as `unnest` takes them.
#[derive(Default)]
pub(super) struct Rows {
    slo_ids: Vec<i32>,
    keys: Vec<Uuid>,
    epochs: Vec<i32>,
    labels: Vec<String>,
    started: Vec<Option<DateTime<Utc>>>,
    succeeded: Vec<Option<DateTime<Utc>>>,
    failed: Vec<Option<DateTime<Utc>>>,
    late: Vec<Option<DateTime<Utc>>>,
    cancelled: Vec<Option<DateTime<Utc>>>,
    within_us: Vec<Option<i64>>,
    trace_ids: Vec<Vec<u8>>,
    trace_ranks: Vec<i16>,
    customers: Vec<Option<String>>,
    outcomes: Vec<i16>,
    judged: Vec<Option<DateTime<Utc>>>,
    due: Vec<Option<DateTime<Utc>>>,
    details: Vec<Option<Json<Details>>>,
    weights: Vec<Option<i64>>,
    groups: Vec<Option<i32>>,
    /// Of known rows only.
    places: Vec<String>,
}

impl Rows {
    pub(super) fn push_known(&mut self, id: &EventId, known: &Known, placed: Placed<'_>) {
        self.push(id, known.epoch, placed);
        self.places.push(known.place.clone());
    }

    fn push(&mut self, (slo, key): &EventId, epoch: i32, (judged, group): Placed<'_>) {
        let Judged {
            workflow,
            verdict,
            weight,
        } = judged;
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_chrono);
        self.slo_ids.push(slo.0);
        self.keys.push(Uuid::from_bytes(key.0));
        self.epochs.push(epoch);
        self.labels.push(workflow.label.clone());
        self.started
            .push(time(workflow.start.map(|start| start.at)));
        self.succeeded.push(time(workflow.success));
        self.failed.push(time(workflow.failure));
        self.late.push(time(workflow.late));
        self.cancelled.push(time(workflow.cancelled));
        self.within_us.push(within_us(workflow));
        self.trace_ids
            .push(workflow.trace.trace_id().as_bytes().to_vec());
        self.trace_ranks.push(trace_rank(workflow));
        self.customers.push(workflow.customer.clone());
        self.outcomes.push(verdict.outcome.as_code());
        self.judged.push(time(verdict.at));
        self.due.push(time(verdict.due));
        let details = (!workflow.details.is_empty()).then(|| Json(workflow.details.clone()));
        self.details.push(details);
        self.weights.push(weight.map(Weight::millionths));
        self.groups.push(group.map(|group| group.0));
    }

    fn bind<'q>(
        &'q self,
        query: sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
        query
            .bind(&self.slo_ids)
            .bind(&self.keys)
            .bind(&self.epochs)
            .bind(&self.labels)
            .bind(&self.started)
            .bind(&self.succeeded)
            .bind(&self.failed)
            .bind(&self.late)
            .bind(&self.cancelled)
            .bind(&self.within_us)
            .bind(&self.trace_ids)
            .bind(&self.trace_ranks)
            .bind(&self.customers)
            .bind(&self.outcomes)
            .bind(&self.judged)
            .bind(&self.due)
            .bind(&self.details)
            .bind(&self.weights)
            .bind(&self.groups)
    }
}

fn decode(row: &sqlx::postgres::PgRow) -> Result<(EventId, Known), sqlx::Error> {
    let time = |column: &str| {
        row.try_get::<Option<DateTime<Utc>>, _>(column)
            .map(|at| at.map(Timestamp::from))
    };
    let id = (
        SloId(row.try_get("slo_id")?),
        EventKey(row.try_get::<Uuid, _>("key")?.into_bytes()),
    );
    let promise = match row.try_get::<Option<i64>, _>("within_us")? {
        Some(micros) => Promise::Within(Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
        None => Promise::OneSpan,
    };
    let trace_id = TraceId::from_slice(row.try_get("trace_id")?)
        .ok_or_else(|| inconsistent("workflows.trace_id is no trace id"))?;
    let trace = match row.try_get::<i16, _>("trace_rank")? {
        0 => TraceRef::OfStart(trace_id),
        _ => TraceRef::Other(trace_id),
    };
    let workflow = Workflow {
        label: row.try_get("label")?,
        start: time("started_at")?.map(|at| Start { at, promise }),
        success: time("succeeded_at")?,
        failure: time("failed_at")?,
        late: time("late_at")?,
        cancelled: time("cancelled_at")?,
        trace,
        customer: row.try_get("customer")?,
        details: row
            .try_get::<Option<Json<Details>>, _>("details")?
            .map_or_else(Details::default, |Json(details)| details),
    };
    let weight: Option<i64> = row.try_get("weight")?;
    let outcome = Outcome::from_code(row.try_get("outcome")?)
        .ok_or_else(|| inconsistent("workflows.outcome is no outcome"))?;
    let verdict = Verdict {
        outcome,
        at: time("judged_at")?,
        due: time("due_at")?,
    };
    Ok((
        id,
        Known {
            epoch: row.try_get("epoch")?,
            place: row.try_get("place")?,
            judged: Judged {
                workflow,
                verdict,
                weight: weight.map(Weight::from_millionths),
            },
            group: row.try_get::<Option<i32>, _>("group_id")?.map(SloId),
        },
    ))
}

fn inconsistent(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
