//! Rows of workflows: their columns, the conversion from and to workflows, and how a transaction reads,
//! locks and writes those that evidence came for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{
    Postgres, Row as _,
    postgres::{PgArguments, PgRow},
    query::Query,
    types::Json,
};
use uuid::Uuid;

use crate::{
    domain::{
        counting::JudgedWorkflow,
        model::{
            ids::{Revision, SloId},
            sampling::Weight,
            time::Timestamp,
        },
        workflow::{
            Deadline, Details, EventId, EventKey, Outcome, Start, TraceRef, Verdict, Workflow,
        },
    },
    store::{
        StoreError, Tx,
        batch::Batch,
        error::inconsistent,
        trace_ids::{trace_id, uuid},
    },
};

/// Makes the statements, so that all have the same columns: those that identify a row, and those
/// given here by the number of their parameter, their name and their type. Each array is read by an
/// `unnest` of its own beside `select`: one `unnest` of many arrays after `from` stores every column
/// of every row once more, which takes a quarter of the whole insert.
/// [`Batch::bind_rows`] binds them in this order. The `ctid` of a row and its version come last.
macro_rules! statements {
    ($($number:literal $column:ident $kind:ident,)+ place $place:literal, version $version:literal,) => {
        /// Locks those of the given workflows (SLO, partition, key) that are due at the fourth
        /// parameter.
        pub(crate) const LOCK_DUE: &str = concat!(
            "-- workflow.lock_due\n",
            "select w.slo_id, w.key, w.epoch, w.label, ", $("w.", stringify!($column), ", ",)+
            "w.ctid::text as place, w.xmin::text as version ",
            "from unnest($1::integer[], $2::integer[], $3::uuid[]) as k(slo_id, epoch, key) ",
            "join workflows w on w.epoch = k.epoch and w.slo_id = k.slo_id and w.key = k.key ",
            "where w.outcome = 0 and w.due_at <= $4 ",
            "order by w.slo_id, w.key for update of w",
        );

        /// Locks, for one SLO, the timeouts that were open in the minute that begins at the second
        /// parameter.
        pub(crate) const LOCK_TIMEOUTS: &str = concat!(
            "-- workflow.lock_timeouts\n",
            "select w.slo_id, w.key, w.epoch, w.label, ", $("w.", stringify!($column), ", ",)+
            "w.ctid::text as place, w.xmin::text as version from bad_workflows b ",
            "join workflows w on w.epoch = b.epoch and w.slo_id = b.slo_id and w.key = b.key ",
            "where b.slo_id = $1 and b.outcome = 4 and b.judged_at >= $2 ",
            "and b.started_at < $2 + interval '1 minute' and w.outcome = 4 ",
            "order by w.slo_id, w.key limit $3 for update of w",
        );

        /// Locks, for one SLO, all workflows whose end is missing, page by page.
        pub(crate) const LOCK_TIMEOUTS_AFTER: &str = concat!(
            "-- workflow.lock_timeouts_after\n",
            "select slo_id, key, epoch, label, ", $(stringify!($column), ", ",)+
            "ctid::text as place, xmin::text as version ",
            "from workflows where slo_id = $1 and outcome in (4, 9) ",
            "and ($2::uuid is null or key > $2) order by slo_id, key limit $3 for update",
        );

        /// Locks rows in the order of their keys: these are sorted before the join, whose nested loop
        /// keeps their order. To sort whole rows takes longer than to lock them.
        pub(crate) const LOCK_KNOWN: &str = concat!(
            "-- workflow.lock_known\n",
            "select w.slo_id, w.key, w.epoch, w.label, ", $("w.", stringify!($column), ", ",)+
            "w.ctid::text as place, w.xmin::text as version ",
            "from (select unnest($1::integer[]) as slo_id, unnest($2::uuid[]) as key ",
            "order by slo_id, key) as k ",
            "join workflows w on w.slo_id = k.slo_id and w.key = k.key for update of w",
        );

        pub(crate) const READ_KNOWN: &str = concat!(
            "-- workflow.read_known\n",
            "select w.slo_id, w.key, w.epoch, w.label, ", $("w.", stringify!($column), ", ",)+
            "w.ctid::text as place, w.xmin::text as version ",
            "from unnest($1::integer[], $2::uuid[]) as k(slo_id, key) ",
            "join workflows w on w.slo_id = k.slo_id and w.key = k.key",
        );

        /// Inserts rows; takes what [`Batch::bind_rows`] binds.
        pub(crate) const INSERT: &str = concat!(
            "-- workflow.insert\n",
            "insert into workflows (slo_id, key, epoch, label", $(", ", stringify!($column),)+ ") ",
            "select unnest($1::integer[]), unnest($2::uuid[]), unnest($3::integer[]), ",
            "unnest($4::text[])", $(", unnest($", $number, "::", stringify!($kind), "[])",)+
            " returning 1",
        );

        /// Updates rows; takes what [`Batch::bind_rows`] binds, the `ctid`s and the versions.
        /// A `ctid` alone does not identify a version: its space is used again.
        pub(crate) const UPDATE: &str = concat!(
            "-- workflow.update\n",
            "update workflows w set label = n.label",
            $(", ", stringify!($column), " = n.", stringify!($column),)+
            " from (select unnest($1::integer[]) as slo_id, unnest($2::uuid[]) as key, ",
            "unnest($3::integer[]) as epoch, unnest($4::text[]) as label",
            $(", unnest($", $number, "::", stringify!($kind), "[]) as ", stringify!($column),)+
            ", unnest($", $place, "::text[])::tid as place, ",
            "unnest($", $version, "::text[])::xid as version) as n ",
            "where w.ctid = n.place and w.xmin = n.version and w.epoch = n.epoch ",
            "and w.slo_id = n.slo_id and w.key = n.key returning 1",
        );
    };
}

statements! {
    5 started_at timestamptz,
    6 succeeded_at timestamptz,
    7 failed_at timestamptz,
    8 late_at timestamptz,
    9 cancelled_at timestamptz,
    10 within_us bigint,
    11 trace_id uuid,
    12 trace_rank smallint,
    13 customer text,
    14 outcome smallint,
    15 judged_at timestamptz,
    16 due_at timestamptz,
    17 details jsonb,
    18 weight bigint,
    19 group_id integer,
    20 first_evidence_at timestamptz,
    21 revision integer,
    place 22,
    version 23,
}

/// A stored row with its partition, its `ctid` there and the transaction that wrote it (`xmin`).
/// They change with every update, and so cannot change while the row is locked.
pub(crate) struct KnownWorkflow {
    pub(crate) epoch: i32,
    pub(crate) place: String,
    pub(crate) version: String,
    pub(crate) judged: JudgedWorkflow,
    pub(crate) group: Option<SloId>,
}

/// A workflow, and the group that it is counted in, in addition to its SLO.
pub(crate) type CountedWorkflow<'a> = (&'a JudgedWorkflow, Option<SloId>);

impl KnownWorkflow {
    pub(crate) const fn counted(&self) -> CountedWorkflow<'_> {
        (&self.judged, self.group)
    }
}

/// Rows by column, as `unnest` takes them.
#[derive(Default)]
pub(crate) struct WorkflowColumns {
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
    trace_ids: Vec<Uuid>,
    trace_ranks: Vec<i16>,
    customers: Vec<Option<String>>,
    outcomes: Vec<i16>,
    judged: Vec<Option<DateTime<Utc>>>,
    due: Vec<Option<DateTime<Utc>>>,
    details: Vec<Option<Json<Details>>>,
    weights: Vec<Option<i64>>,
    groups: Vec<Option<i32>>,
    first_evidence: Vec<Option<DateTime<Utc>>>,
    revisions: Vec<i32>,
    /// The `ctid`s and versions; set for known rows only.
    pub(crate) places: Vec<String>,
    pub(crate) versions: Vec<String>,
}

impl WorkflowColumns {
    pub(crate) fn len(&self) -> usize {
        self.slo_ids.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slo_ids.is_empty()
    }

    pub(crate) fn push_known(
        &mut self,
        id: &EventId,
        known: &KnownWorkflow,
        counted: CountedWorkflow<'_>,
    ) {
        self.push(id, known.epoch, counted);
        self.places.push(known.place.clone());
        self.versions.push(known.version.clone());
    }

    pub(crate) fn push(
        &mut self,
        (slo, key): &EventId,
        epoch: i32,
        (judged, group): CountedWorkflow<'_>,
    ) {
        let JudgedWorkflow {
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
        self.trace_ids.push(uuid(workflow.trace.trace_id()));
        self.trace_ranks.push(trace_rank(workflow));
        self.customers.push(workflow.customer.clone());
        self.outcomes.push(verdict.outcome.as_code());
        self.judged.push(time(verdict.at));
        self.due.push(time(verdict.due));
        let details = (!workflow.details.is_empty()).then(|| Json(workflow.details.clone()));
        self.details.push(details);
        self.weights.push(weight.map(Weight::millionths));
        self.groups.push(group.map(|group| group.0));
        self.first_evidence.push(time(workflow.first_evidence_at));
        self.revisions.push(workflow.revision.0);
    }
}

/// Workflows whose rows are to be written together.
#[derive(Default)]
pub(crate) struct ChangedRows {
    pub(crate) updates: WorkflowColumns,
    pub(crate) inserts: WorkflowColumns,
}

impl Batch {
    /// Updates rows that the transaction has locked or read, then inserts the new ones. Rows are
    /// updated by `ctid`, which avoids the index. The counts cover every row, so one that was changed
    /// since it was read would make them wrong; that, and a row that another transaction has inserted,
    /// is a conflict.
    ///
    /// Inserts by a statement, not COPY: if a writer vanishes in the middle of a COPY, the server
    /// regards it as active, not idle, so no time-out releases its keys.
    pub(in crate::store) fn add_rows(&mut self, ChangedRows { updates, inserts }: &ChangedRows) {
        if !updates.is_empty() {
            self.add_first(UPDATE, updates.len())
                .bind_rows(updates)
                .bind(&updates.places)
                .bind(&updates.versions);
        }
        if !inserts.is_empty() {
            self.add_first(INSERT, inserts.len()).bind_rows(inserts);
        }
    }

    /// Binds all columns but the `ctid`s and versions.
    fn bind_rows(&mut self, rows: &WorkflowColumns) -> &mut Self {
        self.bind(&rows.slo_ids)
            .bind(&rows.keys)
            .bind(&rows.epochs)
            .bind(&rows.labels)
            .bind(&rows.started)
            .bind(&rows.succeeded)
            .bind(&rows.failed)
            .bind(&rows.late)
            .bind(&rows.cancelled)
            .bind(&rows.within_us)
            .bind(&rows.trace_ids)
            .bind(&rows.trace_ranks)
            .bind(&rows.customers)
            .bind(&rows.outcomes)
            .bind(&rows.judged)
            .bind(&rows.due)
            .bind(&rows.details)
            .bind(&rows.weights)
            .bind(&rows.groups)
            .bind(&rows.first_evidence)
            .bind(&rows.revisions)
    }
}

pub(crate) fn decode(row: &PgRow) -> Result<(EventId, KnownWorkflow), sqlx::Error> {
    let time = |column: &str| {
        row.try_get::<Option<DateTime<Utc>>, _>(column)
            .map(|at| at.map(Timestamp::from))
    };
    let id = (
        SloId(row.try_get("slo_id")?),
        EventKey(row.try_get::<Uuid, _>("key")?.into_bytes()),
    );
    let deadline = match row.try_get::<Option<i64>, _>("within_us")? {
        Some(micros) => Deadline::Within(Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
        None => Deadline::OneSpan,
    };
    let trace_id = trace_id(row.try_get("trace_id")?)?;
    let trace = match row.try_get::<i16, _>("trace_rank")? {
        0 => TraceRef::OfStart(trace_id),
        _ => TraceRef::Other(trace_id),
    };
    let workflow = Workflow {
        revision: Revision(row.try_get("revision")?),
        label: row.try_get("label")?,
        start: time("started_at")?.map(|at| Start { at, deadline }),
        success: time("succeeded_at")?,
        failure: time("failed_at")?,
        late: time("late_at")?,
        cancelled: time("cancelled_at")?,
        trace,
        customer: row.try_get("customer")?,
        first_evidence_at: time("first_evidence_at")?,
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
        KnownWorkflow {
            epoch: row.try_get("epoch")?,
            place: row.try_get("place")?,
            version: row.try_get("version")?,
            judged: JudgedWorkflow {
                workflow,
                verdict,
                weight: weight.map(Weight::from_millionths),
            },
            group: row.try_get::<Option<i32>, _>("group_id")?.map(SloId),
        },
    ))
}

fn within_us(workflow: &Workflow) -> Option<i64> {
    match workflow.start?.deadline {
        Deadline::Within(within) => i64::try_from(within.as_micros()).ok(),
        Deadline::OneSpan => None,
    }
}

fn trace_rank(workflow: &Workflow) -> i16 {
    i16::from(matches!(workflow.trace, TraceRef::Other(_)))
}

pub(super) type LockedRows = Vec<(EventId, KnownWorkflow)>;

impl Tx<'_> {
    pub(super) async fn locked(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<LockedRows, StoreError> {
        let rows = query.fetch_all(&mut self.inner).await;
        let rows = rows.map_err(|source| self.failed(source))?;
        rows.iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Locks the workflows with these ids that exist.
    pub(crate) async fn lock_known(
        &mut self,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, KnownWorkflow>, StoreError> {
        self.known(LOCK_KNOWN, ids).await
    }

    /// Reads the workflows with these ids that exist, and locks none: if one of them changes
    /// meanwhile, its update fails with a conflict.
    pub(crate) async fn read_known(
        &mut self,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, KnownWorkflow>, StoreError> {
        self.known(READ_KNOWN, ids).await
    }

    async fn known(
        &mut self,
        statement: &'static str,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, KnownWorkflow>, StoreError> {
        let (slos, keys): (Vec<i32>, Vec<Uuid>) = ids
            .iter()
            .map(|(slo, key)| (slo.0, Uuid::from_bytes(key.0)))
            .unzip();
        let query = sqlx::query(statement).bind(slos).bind(keys);
        Ok(self.locked(query).await?.into_iter().collect())
    }

    /// Writes rows before anything else that the transaction does.
    pub(crate) async fn write_workflows(&mut self, rows: &ChangedRows) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.add_rows(rows);
        self.run_batch("workflow.write", batch).await
    }

    /// Deletes rows that this transaction has locked or read. Fails with a conflict if one has
    /// changed since it was read.
    pub(crate) async fn delete_workflows(
        &mut self,
        rows: &[&KnownWorkflow],
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let epochs: Vec<i32> = rows.iter().map(|row| row.epoch).collect();
        let places: Vec<&str> = rows.iter().map(|row| row.place.as_str()).collect();
        let versions: Vec<&str> = rows.iter().map(|row| row.version.as_str()).collect();
        let statement = sqlx::query(concat!(
            "-- workflow.delete\n",
            "delete from workflows w using unnest($1::integer[], $2::text[], $3::text[]) ",
            "as n(epoch, place, version) where w.ctid = n.place::tid ",
            "and w.xmin = n.version::xid and w.epoch = n.epoch",
        ))
        .bind(epochs)
        .bind(places)
        .bind(versions);
        let deleted = self.execute(statement).await?;
        // Their counts have already been subtracted, so a missing row would make the counts wrong.
        if deleted != rows.len() as u64 {
            return Err(self.conflict());
        }
        Ok(())
    }
}
