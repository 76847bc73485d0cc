//! Evidence of workflows that only links can tell: placed, and placed anew when a missing span comes.
//!
//! Whoever writes here holds one lock until the end of the transaction, taken before any other. So
//! each sees all that those before have committed: no edge can be missed by evidence that waits for
//! it, nor can two replicas move the same piece. Workflows are locked after it in their own order, as
//! in [`crate::store::workflows::join`].

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::edges::{SpanColumns, span};
use crate::{
    domain::{
        counting::ledger::{CountDelta, rejudge, silence_of},
        model::{ids::SloId, span::SpanRef},
        workflow::{
            EventId, EventKey, EvidenceByEvent, Workflow,
            batch::BatchPiece,
            classify::Linked,
            join,
            links::{
                Edges, EvidenceFragment, LinkFilter, LinkResolution, LinkedSpan, evidence_of, place,
            },
        },
    },
    store::{
        StoreError, Tx,
        error::inconsistent,
        workflows::{
            join::{JudgingBySlo, judging_of},
            rows::{LockedWorkflow, WorkflowColumns},
        },
    },
};

/// Key of the advisory lock that writers of links hold.
const LINK_LOCK: i64 = 0x0074_6872_6c69_6e6b;

type Pieces = Vec<(Uuid, EvidenceFragment)>;

/// Pieces that one transaction places: more are left for the next.
const BATCH: i64 = 5_000;

/// What requests say of links, and of messages that share a context.
#[derive(Debug, Default)]
pub struct LinkNews<'a> {
    pub linked: Vec<&'a Linked>,
    pub edges: Vec<&'a Edges>,
    pub batches: Vec<&'a BatchPiece>,
}

/// What following links came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkUpdates {
    /// Evidence for workflows, to be recorded in the same transaction.
    pub gathered: EvidenceByEvent,
    /// Pieces whose work began more links away than are followed.
    pub cut: BTreeMap<SloId, i64>,
    /// Pieces that were placed.
    pub placed: usize,
}

impl LinkNews<'_> {
    pub fn is_empty(&self) -> bool {
        self.linked.is_empty() && self.edges.is_empty() && self.batches.is_empty()
    }
}

impl Tx<'_> {
    /// Writes down what is new, places the evidence that it concerns, and judges anew what evidence
    /// has left. The first thing that a transaction does.
    pub async fn follow_links(
        &mut self,
        news: &LinkNews<'_>,
        judging: JudgingBySlo<'_>,
        moves: &mut CountDelta,
    ) -> Result<LinkUpdates, StoreError> {
        self.hold_links().await?;
        let epoch = self.current_epoch().await?;
        let (mut gathered, _) = self.take_batches(&news.batches, epoch).await?;
        let mut spans = self.add_edges(&news.edges, epoch).await?;
        let started = self.add_pieces(&news.linked, epoch, judging).await?;
        for (filter, span) in started {
            spans.push_start(filter, span);
        }
        self.wake(&spans).await?;
        let pieces = self.stale_pieces().await?;
        if pieces.is_empty() {
            return Ok(LinkUpdates {
                gathered,
                ..LinkUpdates::default()
            });
        }
        let placed = pieces.len();
        let spans: BTreeSet<LinkedSpan> = pieces
            .iter()
            .map(|(_, piece)| piece.linked_span())
            .collect();
        let graph = self.graph_of(&spans).await?;
        let (messages, others): (Pieces, Pieces) = pieces
            .into_iter()
            .partition(|(_, piece)| piece.message.is_some());
        let (ids, messages): (Vec<Uuid>, Vec<EvidenceFragment>) = messages.into_iter().unzip();
        let (of_messages, more) = self.place_messages(&messages, &graph, epoch).await?;
        self.write_placement(&ids, &messages, &of_messages, epoch)
            .await?;
        let (ids, others): (Vec<Uuid>, Vec<EvidenceFragment>) = others.into_iter().unzip();
        let mut placement = place(&others, &graph);
        self.write_placement(&ids, &others, &placement, epoch)
            .await?;
        join(&mut gathered, more);
        join(&mut gathered, placement.joined());
        placement.moves.extend(of_messages.moves);
        let left = self.what_is_left(&placement).await?;
        let without_row = self.rejudge_left(left, judging, moves).await?;
        join(&mut gathered, without_row);
        Ok(LinkUpdates {
            gathered,
            placed,
            cut: placement.cut,
        })
    }

    /// Keeps all others from writing links until the end of the transaction.
    pub(crate) async fn hold_links(&mut self) -> Result<(), StoreError> {
        sqlx::query("-- links.hold\nselect pg_advisory_xact_lock($1)")
            .bind(LINK_LOCK)
            .execute(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Whether evidence is left that must be placed.
    pub async fn has_stale_evidence(&mut self) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "-- link_evidence.has_unresolved
             select exists (select 1 from link_evidence where is_unresolved)",
        )
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Adds those that are new. Returns the starts among them.
    async fn add_pieces(
        &mut self,
        linked: &[&Linked],
        epoch: i32,
        judging: JudgingBySlo<'_>,
    ) -> Result<Vec<(LinkFilter, SpanRef)>, StoreError> {
        if linked.is_empty() {
            return Ok(Vec::new());
        }
        let linked: BTreeMap<_, _> = linked.iter().map(|piece| (piece.id(), *piece)).collect();
        let ids: Vec<Uuid> = linked.keys().map(|id| Uuid::from_bytes(*id)).collect();
        let slos: Vec<i32> = linked.values().map(|piece| piece.slo.0).collect();
        let evidence = linked.values().map(|piece| {
            let first_evidence_at = Some(judging(piece.slo).now);
            Json(Workflow {
                first_evidence_at,
                ..piece.piece.clone()
            })
        });
        let spans = linked.values().map(|piece| (piece.filter, piece.span));
        let spans: SpanColumns = spans.collect();
        let are_starts = linked.values().map(|piece| piece.piece.start.is_some());
        let messages = linked.values().map(|piece| piece.message);
        let messages = messages.map(|message| message.map(|EventKey(id)| Uuid::from_bytes(id)));
        // One that an older epoch knows is not new; nobody else writes here meanwhile.
        let rows = sqlx::query(concat!(
            "-- link_evidence.insert\n",
            "insert into link_evidence (id, slo_id, filter, trace_id, span_id, evidence, is_start, ",
            "message, epoch) select n.*, $9 ",
            "from unnest($1::uuid[], $2::integer[], $3::bigint[], $4::uuid[], ",
            "$5::bigint[], $6::jsonb[], $7::boolean[], $8::uuid[]) ",
            "as n(id, slo_id, filter, trace_id, span_id, evidence, is_start, message) ",
            "where not exists (select 1 from link_evidence e where e.id = n.id) ",
            "returning filter, trace_id, span_id, is_start",
        ))
        .bind(ids)
        .bind(slos)
        .bind(spans.filters)
        .bind(spans.trace_ids)
        .bind(spans.span_ids)
        .bind(evidence.collect::<Vec<_>>())
        .bind(are_starts.collect::<Vec<_>>())
        .bind(messages.collect::<Vec<_>>())
        .bind(epoch)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let starts = rows.iter().filter_map(|row| start(row).transpose());
        starts
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    async fn stale_pieces(&mut self) -> Result<Pieces, StoreError> {
        let rows = sqlx::query(
            "-- link_evidence.unresolved
             select id, slo_id, filter, trace_id, span_id, message, evidence, workflow_keys,
                 is_truncated
             from link_evidence where is_unresolved order by id limit $1",
        )
        .bind(BATCH)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        rows.iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Writes the workflows that pieces count for, and what may change that.
    async fn write_placement(
        &mut self,
        ids: &[Uuid],
        pieces: &[EvidenceFragment],
        placement: &LinkResolution,
        epoch: i32,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let waits = pieces.iter().zip(ids).zip(&placement.placements);
        let waits = waits.flat_map(|((piece, id), placed)| {
            let awaited = placed.awaited.iter();
            awaited.map(move |awaited| (piece.filter, *awaited, *id))
        });
        self.wait(&waits.collect(), epoch).await?;
        // Postgres knows no array of arrays of different lengths: each is written as text.
        let keys = placement.placements.iter().map(|placed| {
            let keys = placed.workflow_keys.iter();
            let keys: Vec<String> = keys
                .map(|key| Uuid::from_bytes(key.0).to_string())
                .collect();
            format!("{{{}}}", keys.join(","))
        });
        let cut: Vec<bool> = placement.placements.iter().map(|one| one.is_cut).collect();
        sqlx::query(concat!(
            "-- link_evidence.place\n",
            "update link_evidence e set workflow_keys = n.workflow_keys::uuid[], ",
            "is_truncated = n.is_truncated, is_unresolved = false ",
            "from unnest($1::uuid[], $2::text[], $3::boolean[]) ",
            "as n(id, workflow_keys, is_truncated) ",
            "where e.id = n.id",
        ))
        .bind(ids)
        .bind(keys.collect::<Vec<_>>())
        .bind(cut)
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// The workflows that pieces have left, made of those that remain; `None` where none does.
    async fn what_is_left(
        &mut self,
        placement: &LinkResolution,
    ) -> Result<BTreeMap<EventId, Option<Workflow>>, StoreError> {
        let mut left: BTreeMap<EventId, Option<Workflow>> = BTreeMap::new();
        let (mut slos, mut keys) = (Vec::new(), Vec::new());
        for (slo, key) in placement.left() {
            left.insert((slo, key), None);
            slos.push(slo.0);
            keys.push(Uuid::from_bytes(key.0));
        }
        if left.is_empty() {
            return Ok(left);
        }
        let rows = sqlx::query(concat!(
            "-- link_evidence.remaining\n",
            "select e.slo_id, l.key, e.trace_id, e.span_id, e.evidence ",
            "from unnest($1::integer[], $2::uuid[]) as l(slo_id, key) ",
            "join link_evidence e on e.workflow_keys @> array[l.key] and e.slo_id = l.slo_id",
        ))
        .bind(slos)
        .bind(keys)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut remaining = EvidenceByEvent::new();
        for row in &rows {
            let evidence = decode_remaining(row).map_err(|source| self.failed(source))?;
            join(&mut remaining, [evidence]);
        }
        for (id, workflow) in remaining {
            left.insert(id, Some(workflow));
        }
        Ok(left)
    }

    /// Returns those that have no row and must be recorded as new.
    async fn rejudge_left(
        &mut self,
        left: BTreeMap<EventId, Option<Workflow>>,
        judging: JudgingBySlo<'_>,
        moves: &mut CountDelta,
    ) -> Result<EvidenceByEvent, StoreError> {
        let mut without_row = EvidenceByEvent::new();
        if left.is_empty() {
            return Ok(without_row);
        }
        let known = self.lock_known(&left).await?;
        let silent = left.iter().filter_map(|(id, workflow)| {
            let known = &known.get(id)?.judged;
            let range = silence_of(Some(known), workflow.as_ref()?, &judging(id.0))?;
            Some((*id, range))
        });
        let lost = self.lost_among(&silent.collect()).await?;
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for (id, workflow) in left {
            match (known.get(&id), workflow) {
                (Some(row), workflow) => {
                    let judging = judging_of(&id, judging, &lost);
                    let judged = rejudge(id.0, &row.judged, workflow.as_ref(), &judging, moves);
                    match judged {
                        Some(judged) => changed.push((id, Some(row), judged)),
                        None => gone.push(row),
                    }
                }
                (None, Some(workflow)) => {
                    without_row.insert(id, workflow);
                }
                (None, None) => {}
            }
        }
        let groups = self.groups_of(&changed, moves).await?;
        let mut updates = WorkflowColumns::default();
        for ((id, row, judged), group) in changed.iter().zip(groups) {
            if let Some(row) = row {
                updates.push_known(id, row, (judged, group));
            }
        }
        self.update(&updates).await?;
        for row in &gone {
            moves.regroup(row.group.map(|group| (group, &row.judged)), None);
        }
        self.delete(&gone).await?;
        Ok(without_row)
    }

    /// Rows that this transaction has locked.
    async fn delete(&mut self, rows: &[&LockedWorkflow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let epochs: Vec<i32> = rows.iter().map(|row| row.epoch).collect();
        let places: Vec<&str> = rows.iter().map(|row| row.place.as_str()).collect();
        let deleted = sqlx::query(concat!(
            "-- workflow.delete\n",
            "delete from workflows w using unnest($1::integer[], $2::text[]) as n(epoch, place) ",
            "where w.ctid = n.place::tid and w.epoch = n.epoch",
        ))
        .bind(epochs)
        .bind(places)
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?
        .rows_affected();
        // Their counts have been taken out already: one that is missed must not go unnoticed.
        if deleted != rows.len() as u64 {
            return Err(self.failed(inconsistent("a locked workflow was not where it stood")));
        }
        Ok(())
    }
}

fn start(row: &sqlx::postgres::PgRow) -> Result<Option<(LinkFilter, SpanRef)>, sqlx::Error> {
    if !row.try_get::<bool, _>("is_start")? {
        return Ok(None);
    }
    let filter = LinkFilter(row.try_get("filter")?);
    Ok(Some((filter, span(row, ["trace_id", "span_id"])?)))
}

/// What one span says of a workflow that other evidence has left.
fn decode_remaining(row: &sqlx::postgres::PgRow) -> Result<(EventId, Workflow), sqlx::Error> {
    let key = EventKey(row.try_get::<Uuid, _>("key")?.into_bytes());
    let Json(said) = row.try_get::<Json<Workflow>, _>("evidence")?;
    let of = span(row, ["trace_id", "span_id"])?;
    let id = (SloId(row.try_get("slo_id")?), key);
    Ok((id, evidence_of(of, &said, key).into_owned()))
}

fn decode(row: &sqlx::postgres::PgRow) -> Result<(Uuid, EvidenceFragment), sqlx::Error> {
    let keys: Vec<Uuid> = row.try_get("workflow_keys")?;
    let keys = keys.into_iter().map(|key| EventKey(key.into_bytes()));
    let Json(said) = row.try_get("evidence")?;
    let message: Option<Uuid> = row.try_get("message")?;
    let piece = EvidenceFragment {
        slo: SloId(row.try_get("slo_id")?),
        filter: LinkFilter(row.try_get("filter")?),
        span: span(row, ["trace_id", "span_id"])?,
        message: message.map(|id| EventKey(id.into_bytes())),
        said,
        workflow_keys: keys.collect(),
        is_cut: row.try_get("is_truncated")?,
    };
    Ok((row.try_get("id")?, piece))
}
