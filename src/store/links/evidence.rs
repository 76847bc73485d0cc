//! Evidence of single spans, with the workflows that it belongs to by the links known so far.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::edges::{PendingSpans, SpanColumns, number, span, span_id};
use crate::{
    domain::{
        model::{
            ids::{SloId, SpanId},
            span::SpanRef,
        },
        slo::LinkBatch,
        workflow::{
            EventKey, Workflow,
            classify::Linked,
            links::{
                EvidenceFragment, FragmentResolution, LinkFilter, LinkResolution, LinkedSpan,
                batch_id,
            },
        },
    },
    store::{StoreError, Tx, trace_ids::uuid},
};

/// The maximum number of rows that one round resolves; the rest is left for the next.
const BATCH: i64 = 5_000;

const KNOWN: &str = "-- link_evidence.known\n\
    select e.id from unnest($1::uuid[]) as n(id) join link_evidence e on e.id = n.id";

const INSERT: &str = "-- link_evidence.insert\n\
    insert into link_evidence (id, slo_id, filter, trace_id, span_id, evidence, is_start, message, \
    is_whole, workflow_keys, sent_by, is_truncated, is_unresolved, epoch) \
    select unnest($1::uuid[]), unnest($2::integer[]), unnest($3::bigint[]), unnest($4::uuid[]), \
    unnest($5::bigint[]), unnest($6::jsonb[]), unnest($7::boolean[]), unnest($8::uuid[]), \
    unnest($9::boolean[]), unnest($10::text[])::uuid[], unnest($11::text[])::bigint[], \
    unnest($12::boolean[]), unnest($13::boolean[]), $14";

/// A row of evidence.
#[derive(Clone, Debug)]
pub(crate) struct EvidenceRow {
    pub(crate) id: Uuid,
    pub(crate) fragment: EvidenceFragment,
    /// The batches at which its chain divided when it was last resolved.
    pub(crate) batch_ids: Vec<Uuid>,
}

impl EvidenceRow {
    pub(crate) const fn is_start(&self) -> bool {
        self.fragment.evidence.start.is_some()
    }
}

pub(crate) type EvidenceRows = Vec<EvidenceRow>;

impl Tx<'_> {
    /// Returns those of `linked` that are not stored yet, in the order of their ids. `heard` makes
    /// the piece that is stored.
    pub(crate) async fn new_evidence(
        &mut self,
        linked: &[&Linked],
        heard: impl Fn(&Linked) -> Linked,
    ) -> Result<EvidenceRows, StoreError> {
        if linked.is_empty() {
            return Ok(Vec::new());
        }
        let ids = linked.iter().map(|one| Uuid::from_bytes(one.id()));
        let mut new: BTreeMap<Uuid, &Linked> = ids.zip(linked.iter().copied()).collect();
        let ids: Vec<Uuid> = new.keys().copied().collect();
        let known: Vec<(Uuid,)> = self.fetch_all(sqlx::query_as(KNOWN).bind(ids)).await?;
        for (id,) in known {
            new.remove(&id);
        }
        let rows = new.into_iter().map(|(id, one)| EvidenceRow {
            id,
            fragment: heard(one).into_fragment(),
            batch_ids: Vec::new(),
        });
        Ok(rows.collect())
    }

    /// Stores new evidence with its placement. Evidence without one is unresolved.
    ///
    /// Fails with a conflict if another replica has stored some of it in the meantime.
    pub(crate) async fn insert_evidence(
        &mut self,
        rows: &[(&EvidenceRow, Option<&FragmentResolution>)],
        epoch: i32,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let waits = rows.iter().flat_map(|(row, placed)| {
            let awaited = placed.iter().flat_map(|placed| &placed.waits_for);
            awaited.map(|awaited| (row.fragment.filter, *awaited, row.id))
        });
        let waits = waits.collect();
        let fragments = rows.iter().map(|(row, _)| &row.fragment);
        let placed = rows.iter().map(|(_, placed)| placed);
        let ids = rows.iter().map(|(row, _)| row.id);
        let slos = fragments.clone().map(|one| one.slo.0);
        let spans: SpanColumns = fragments
            .clone()
            .map(|one| (one.filter, one.span))
            .collect();
        let evidence = fragments.clone().map(|one| Json(&one.evidence));
        let are_starts = rows.iter().map(|(row, _)| row.is_start());
        let messages = fragments.clone().map(|one| one.message);
        let messages = messages.map(|message| message.map(|EventKey(id)| Uuid::from_bytes(id)));
        let are_whole = fragments.map(|one| one.batch == LinkBatch::Whole);
        let nowhere = || "{}".to_owned();
        let keys = placed.clone().map(|one| one.map_or_else(nowhere, keys));
        let senders = placed.clone().map(|one| one.map_or_else(nowhere, senders));
        let cut = placed.clone().map(|one| one.is_some_and(|one| one.is_cut));
        let are_unresolved = placed.map(Option::is_none);
        let statement = sqlx::query(INSERT)
            .bind(ids.collect::<Vec<_>>())
            .bind(slos.collect::<Vec<_>>())
            .bind(spans.filters)
            .bind(spans.trace_ids)
            .bind(spans.span_ids)
            .bind(evidence.collect::<Vec<_>>())
            .bind(are_starts.collect::<Vec<_>>())
            .bind(messages.collect::<Vec<_>>())
            .bind(are_whole.collect::<Vec<_>>())
            .bind(keys.collect::<Vec<_>>())
            .bind(senders.collect::<Vec<_>>())
            .bind(cut.collect::<Vec<_>>())
            .bind(are_unresolved.collect::<Vec<_>>())
            .bind(epoch);
        self.execute(statement).await?;
        self.wait(&waits, epoch).await
    }

    /// Marks evidence as unresolved, and forgets that it waited for spans that have arrived.
    pub(crate) async fn resolve_again(
        &mut self,
        ids: &BTreeSet<Uuid>,
        arrived: &PendingSpans,
    ) -> Result<(), StoreError> {
        self.forget_pending(arrived).await?;
        if ids.is_empty() {
            return Ok(());
        }
        let statement = sqlx::query(concat!(
            "-- link_evidence.resolve_again\n",
            "update link_evidence e set is_unresolved = true from unnest($1::uuid[]) as n(id) ",
            "where e.id = n.id and not e.is_unresolved",
        ))
        .bind(ids.iter().copied().collect::<Vec<_>>());
        self.execute(statement).await.map(drop)
    }

    pub(crate) async fn unresolved_evidence(&mut self) -> Result<EvidenceRows, StoreError> {
        let rows = sqlx::query(
            "-- link_evidence.unresolved
             select id, slo_id, filter, trace_id, span_id, message, evidence, workflow_keys,
                 sent_by, is_truncated, is_whole, is_batch, branch_batches
             from link_evidence where is_unresolved order by id limit $1",
        )
        .bind(BATCH)
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        rows.iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Stores the workflows that evidence belongs to, and the spans that may change that.
    pub(crate) async fn write_resolution(
        &mut self,
        pieces: &[EvidenceRow],
        placement: &LinkResolution,
        epoch: i32,
    ) -> Result<(), StoreError> {
        if pieces.is_empty() {
            return Ok(());
        }
        let waits = pieces.iter().zip(&placement.placements);
        let waits = waits.flat_map(|(piece, placed)| {
            let awaited = placed.waits_for.iter();
            awaited.map(move |awaited| (piece.fragment.filter, *awaited, piece.id))
        });
        self.wait(&waits.collect(), epoch).await?;
        let ids: Vec<Uuid> = pieces.iter().map(|piece| piece.id).collect();
        let cut: Vec<bool> = placement.placements.iter().map(|one| one.is_cut).collect();
        let keys = placement.placements.iter().map(keys);
        let senders = placement.placements.iter().map(senders);
        let placed = pieces.iter().zip(&placement.placements);
        let batches = placed.map(|(piece, placed)| array(batch_ids(&piece.fragment, placed)));
        let of_branches = |column: fn(SpanRef) -> String| {
            let placements = placement.placements.iter();
            let columns = placements.map(move |placed| {
                let branches = placed.branches.iter();
                array(branches.map(|branch| column(branch.by)))
            });
            columns.collect::<Vec<_>>()
        };
        let statement = sqlx::query(concat!(
            "-- link_evidence.place\n",
            "update link_evidence e set workflow_keys = n.workflow_keys::uuid[], ",
            "sent_by = n.sent_by::bigint[], is_truncated = n.is_truncated, is_unresolved = false, ",
            "branch_batches = n.batches::uuid[], branch_traces = n.traces::uuid[], ",
            "branch_spans = n.spans::bigint[] ",
            "from unnest($1::uuid[], $2::text[], $3::boolean[], $4::text[], $5::text[], $6::text[], ",
            "$7::text[]) as n(id, workflow_keys, is_truncated, batches, traces, spans, sent_by) ",
            "where e.id = n.id",
        ))
        .bind(ids)
        .bind(keys.collect::<Vec<_>>())
        .bind(cut)
        .bind(batches.collect::<Vec<_>>())
        .bind(of_branches(|by| uuid(by.trace_id).to_string()))
        .bind(of_branches(|by| number(by.span_id).to_string()))
        .bind(senders.collect::<Vec<_>>());
        self.execute(statement).await?;
        Ok(())
    }

    /// Adds spans at which chains divide, to be resolved like evidence. Existing rows stay
    /// unchanged.
    pub(crate) async fn add_dividing(
        &mut self,
        batches: &BTreeSet<LinkedSpan>,
        epoch: i32,
    ) -> Result<(), StoreError> {
        if batches.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = batches
            .iter()
            .map(|at| Uuid::from_bytes(batch_id(*at)))
            .collect();
        let slos: Vec<i32> = batches.iter().map(|at| at.slo.0).collect();
        let spans: SpanColumns = batches.iter().map(|at| (at.filter, at.span)).collect();
        let nothing = batches
            .iter()
            .map(|at| Json(Workflow::without_evidence(at.span.trace_id)));
        let statement = sqlx::query(concat!(
            "-- link_evidence.add_batches\n",
            "insert into link_evidence (id, slo_id, filter, trace_id, span_id, evidence, is_start, ",
            "is_whole, is_batch, epoch) select n.*, false, true, true, $7 ",
            "from unnest($1::uuid[], $2::integer[], $3::bigint[], $4::uuid[], $5::bigint[], ",
            "$6::jsonb[]) as n(id, slo_id, filter, trace_id, span_id, evidence) ",
            "where not exists (select 1 from link_evidence e where e.id = n.id)",
        ))
        .bind(ids)
        .bind(slos)
        .bind(spans.filters)
        .bind(spans.trace_ids)
        .bind(spans.span_ids)
        .bind(nothing.collect::<Vec<_>>())
        .bind(epoch);
        self.execute(statement).await.map(drop)
    }

    /// Marks the evidence whose chain divided at these batches as unresolved.
    pub(crate) async fn mark_unresolved(&mut self, batches: &[Uuid]) -> Result<(), StoreError> {
        if batches.is_empty() {
            return Ok(());
        }
        let statement = sqlx::query(concat!(
            "-- link_evidence.place_again\n",
            "update link_evidence set is_unresolved = true where branch_batches && $1 ",
            "and branch_batches <> '{}' and not is_unresolved",
        ))
        .bind(batches);
        self.execute(statement).await.map(drop)
    }
}

/// Returns the batches of a fragment's branches, in their order.
pub(crate) fn batch_ids<'a>(
    fragment: &'a EvidenceFragment,
    placed: &'a FragmentResolution,
) -> impl Iterator<Item = Uuid> + 'a {
    placed.branches.iter().map(|branch| {
        let at = LinkedSpan {
            span: branch.batch,
            ..fragment.linked_span()
        };
        Uuid::from_bytes(batch_id(at))
    })
}

fn keys(placed: &FragmentResolution) -> String {
    let keys = placed.workflow_keys.iter();
    array(keys.map(|key| Uuid::from_bytes(key.0)))
}

/// Formats the sender of each workflow; most evidence has none.
fn senders(placed: &FragmentResolution) -> String {
    let keys = placed.workflow_keys.iter();
    let keys = keys.filter(|_| !placed.sent_by.is_empty());
    array(keys.map(|key| match placed.sent_by.get(key) {
        Some(by) => number(*by).to_string(),
        None => "null".to_owned(),
    }))
}

/// Formats an array as text: Postgres has no arrays of arrays of different lengths.
fn array<T: ToString>(values: impl Iterator<Item = T>) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    format!("{{{}}}", values.join(","))
}

fn decode(row: &sqlx::postgres::PgRow) -> Result<EvidenceRow, sqlx::Error> {
    let keys: Vec<Uuid> = row.try_get("workflow_keys")?;
    let keys = keys.into_iter().map(|key| EventKey(key.into_bytes()));
    let senders: Vec<Option<i64>> = row.try_get("sent_by")?;
    let sent_by = keys.clone().zip(senders);
    let sent_by = sent_by.filter_map(|(key, by)| Some((key, by?)));
    let sent_by = sent_by.map(|(key, by)| Ok((key, span_id(by)?)));
    let Json(evidence) = row.try_get("evidence")?;
    let message: Option<Uuid> = row.try_get("message")?;
    let batch_ids: Vec<Uuid> = row.try_get("branch_batches")?;
    let fragment = EvidenceFragment {
        slo: SloId(row.try_get("slo_id")?),
        filter: LinkFilter(row.try_get("filter")?),
        span: span(row, ["trace_id", "span_id"])?,
        message: message.map(|id| EventKey(id.into_bytes())),
        evidence,
        sent_by: sent_by.collect::<Result<BTreeMap<EventKey, SpanId>, sqlx::Error>>()?,
        workflow_keys: keys.collect(),
        is_divided: !batch_ids.is_empty(),
        batch: if row.try_get("is_whole")? {
            LinkBatch::Whole
        } else {
            LinkBatch::Each
        },
        divides: row.try_get("is_batch")?,
        is_cut: row.try_get("is_truncated")?,
    };
    Ok(EvidenceRow {
        id: row.try_get("id")?,
        fragment,
        batch_ids,
    })
}
