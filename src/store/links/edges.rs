//! Edges that lead from spans back to their origins, and the evidence that waits for spans that
//! have not arrived.

use std::collections::BTreeSet;

use sqlx::Row as _;
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::SpanId, span::SpanRef},
        workflow::links::{Awaited, Edges, Graph, LinkFilter, MAX_HOPS},
    },
    store::{
        StoreError, Tx,
        error::inconsistent,
        trace_ids::{trace_id, uuid},
    },
};

/// Spans by column, as `unnest` takes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanColumns {
    pub(crate) filters: Vec<i64>,
    pub(crate) trace_ids: Vec<Uuid>,
    pub(crate) span_ids: Vec<i64>,
}

impl SpanColumns {
    pub(crate) const fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    pub(crate) fn push(&mut self, filter: LinkFilter, span: SpanRef) {
        self.push_awaited(filter, Awaited::Span(span));
    }

    /// Adds an awaited span. Span id 0, which no span has, means any start in the trace.
    pub(crate) fn push_awaited(&mut self, filter: LinkFilter, awaited: Awaited) {
        let (trace_id, span_id) = match awaited {
            Awaited::Span(span) => (span.trace_id, number(span.span_id)),
            Awaited::StartIn(trace_id) => (trace_id, 0),
        };
        self.filters.push(filter.0);
        self.trace_ids.push(uuid(trace_id));
        self.span_ids.push(span_id);
    }

    /// Adds a new start under both forms in which evidence may wait for it.
    pub(crate) fn push_start(&mut self, filter: LinkFilter, span: SpanRef) {
        self.push_awaited(filter, Awaited::Span(span));
        self.push_awaited(filter, Awaited::StartIn(span.trace_id));
    }
}

/// Rows of `pending_spans`: filter, trace, span, and the evidence that waits.
pub(crate) type PendingSpans = Vec<(i64, Uuid, i64, Uuid)>;

impl FromIterator<(LinkFilter, SpanRef)> for SpanColumns {
    fn from_iter<I: IntoIterator<Item = (LinkFilter, SpanRef)>>(spans: I) -> Self {
        let mut columns = Self::default();
        for (filter, span) in spans {
            columns.push(filter, span);
        }
        columns
    }
}

pub(crate) fn number(span_id: SpanId) -> i64 {
    i64::from_be_bytes(*span_id.as_bytes())
}

/// Reads a span from its two columns.
pub(crate) fn span(
    row: &sqlx::postgres::PgRow,
    [trace_column, span_column]: [&str; 2],
) -> Result<SpanRef, sqlx::Error> {
    Ok(SpanRef {
        trace_id: trace_id(row.try_get(trace_column)?)?,
        span_id: span_id(row.try_get(span_column)?)?,
    })
}

pub(crate) fn span_id(number: i64) -> Result<SpanId, sqlx::Error> {
    let id = SpanId::from_slice(&number.to_be_bytes());
    id.ok_or_else(|| inconsistent("a span id is all zero"))
}

impl Tx<'_> {
    /// Stores the new ones of `edges` and returns the spans that they begin at.
    pub(crate) async fn add_edges(
        &mut self,
        edges: &[&Edges],
        epoch: i32,
    ) -> Result<SpanColumns, StoreError> {
        let steps: BTreeSet<_> = edges.iter().flat_map(|edges| steps(edges)).collect();
        if steps.is_empty() {
            return Ok(SpanColumns::default());
        }
        let (mut from, mut to) = (SpanColumns::default(), SpanColumns::default());
        let mut are_links = Vec::with_capacity(steps.len());
        for (filter, span, is_link, target) in steps {
            from.push(filter, span);
            to.push(filter, target);
            are_links.push(is_link);
        }
        let rows = sqlx::query(concat!(
            "-- span_edges.insert\n",
            "with added as (insert into span_edges (filter, trace_id, span_id, is_link, ",
            "to_trace_id, to_span_id, epoch) select unnest($1::bigint[]), unnest($2::uuid[]), ",
            "unnest($3::bigint[]), unnest($4::boolean[]), unnest($5::uuid[]), unnest($6::bigint[]), ",
            "$7 on conflict do nothing ",
            "returning filter, trace_id, span_id) ",
            "select distinct filter, trace_id, span_id from added",
        ))
        .bind(&from.filters)
        .bind(&from.trace_ids)
        .bind(&from.span_ids)
        .bind(&are_links)
        .bind(&to.trace_ids)
        .bind(&to.span_ids)
        .bind(epoch)
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let spans = rows.iter().map(|row| {
            let filter = LinkFilter(row.try_get("filter")?);
            Ok((filter, span(row, ["trace_id", "span_id"])?))
        });
        spans
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|source| self.failed(source))
    }

    /// Returns the evidence that waits for these spans, with what it waits for.
    pub(crate) async fn waiting_for(
        &mut self,
        spans: &SpanColumns,
    ) -> Result<PendingSpans, StoreError> {
        if spans.is_empty() {
            return Ok(PendingSpans::new());
        }
        let query = sqlx::query_as(concat!(
            "-- pending_spans.arrived\n",
            "select w.filter, w.trace_id, w.span_id, w.evidence_id ",
            "from unnest($1::bigint[], $2::uuid[], $3::bigint[]) as n(filter, trace_id, span_id) ",
            "join pending_spans w on w.filter = n.filter and w.trace_id = n.trace_id ",
            "and w.span_id = n.span_id",
        ))
        .bind(&spans.filters)
        .bind(&spans.trace_ids)
        .bind(&spans.span_ids);
        self.fetch_all(query).await
    }

    /// Removes what evidence waited for.
    pub(super) async fn forget_pending(&mut self, spans: &PendingSpans) -> Result<(), StoreError> {
        if spans.is_empty() {
            return Ok(());
        }
        let statement = sqlx::query(concat!(
            "-- pending_spans.delete\n",
            "delete from pending_spans w using unnest($1::bigint[], $2::uuid[], $3::bigint[], ",
            "$4::uuid[]) as n(filter, trace_id, span_id, evidence_id) ",
            "where w.filter = n.filter and w.trace_id = n.trace_id and w.span_id = n.span_id ",
            "and w.evidence_id = n.evidence_id",
        ))
        .bind(spans.iter().map(|(filter, ..)| *filter).collect::<Vec<_>>())
        .bind(
            spans
                .iter()
                .map(|(_, trace, ..)| *trace)
                .collect::<Vec<_>>(),
        )
        .bind(
            spans
                .iter()
                .map(|(_, _, span, _)| *span)
                .collect::<Vec<_>>(),
        )
        .bind(spans.iter().map(|(.., id)| *id).collect::<Vec<_>>());
        self.execute(statement).await.map(drop)
    }

    /// Adds to `graph` the edges from these spans back to their origins. Reads one link more than
    /// may be followed, so that a chain that is too long is recognised. Returns the targets of the
    /// edges.
    pub(crate) async fn add_edges_from(
        &mut self,
        spans: &SpanColumns,
        graph: &mut Graph,
    ) -> Result<BTreeSet<SpanRef>, StoreError> {
        let rows = sqlx::query(concat!(
            "-- span_edges.walk\n",
            "with recursive walk as (",
            "select e.filter, e.trace_id, e.span_id, e.is_link, e.to_trace_id, e.to_span_id, ",
            "e.is_link::integer as hops ",
            "from unnest($1::bigint[], $2::uuid[], $3::bigint[]) as s(filter, trace_id, span_id) ",
            "join span_edges e on e.filter = s.filter and e.trace_id = s.trace_id ",
            "and e.span_id = s.span_id ",
            "union ",
            "select e.filter, e.trace_id, e.span_id, e.is_link, e.to_trace_id, e.to_span_id, ",
            "w.hops + e.is_link::integer ",
            "from walk w join span_edges e on e.filter = w.filter and e.trace_id = w.to_trace_id ",
            "and e.span_id = w.to_span_id where w.hops <= $4) ",
            "select filter, trace_id, span_id, is_link, to_trace_id, to_span_id from walk",
        ))
        .bind(&spans.filters)
        .bind(&spans.trace_ids)
        .bind(&spans.span_ids)
        .bind(i32::try_from(MAX_HOPS + 1).unwrap_or(i32::MAX))
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut targets = BTreeSet::new();
        for row in &rows {
            let edges = decode(row).map_err(|source| self.failed(source))?;
            targets.extend(edges.targets());
            graph.add(&edges);
        }
        Ok(targets)
    }

    /// Stores the spans that each piece of evidence waits for.
    pub(crate) async fn wait(
        &mut self,
        waits: &BTreeSet<(LinkFilter, Awaited, Uuid)>,
        epoch: i32,
    ) -> Result<(), StoreError> {
        if waits.is_empty() {
            return Ok(());
        }
        let mut spans = SpanColumns::default();
        for (filter, awaited, _) in waits {
            spans.push_awaited(*filter, *awaited);
        }
        let ids: Vec<Uuid> = waits.iter().map(|(_, _, id)| *id).collect();
        let statement = sqlx::query(concat!(
            "-- pending_spans.insert\n",
            "insert into pending_spans (filter, trace_id, span_id, evidence_id, epoch) ",
            "select unnest($1::bigint[]), unnest($2::uuid[]), unnest($3::bigint[]), ",
            "unnest($4::uuid[]), $5 on conflict do nothing",
        ))
        .bind(&spans.filters)
        .bind(&spans.trace_ids)
        .bind(&spans.span_ids)
        .bind(&ids)
        .bind(epoch);
        self.execute(statement).await?;
        Ok(())
    }
}

type Step = (LinkFilter, SpanRef, bool, SpanRef);

fn steps(edges: &Edges) -> impl Iterator<Item = Step> + '_ {
    let is_link = !edges.links.is_empty();
    edges
        .targets()
        .map(move |target| (edges.filter, edges.span, is_link, target))
}

fn decode(row: &sqlx::postgres::PgRow) -> Result<Edges, sqlx::Error> {
    let target = span(row, ["to_trace_id", "to_span_id"])?;
    let is_link: bool = row.try_get("is_link")?;
    Ok(Edges {
        filter: LinkFilter(row.try_get("filter")?),
        span: span(row, ["trace_id", "span_id"])?,
        parent: (!is_link).then_some(target.span_id),
        links: is_link.then_some(target).into_iter().collect(),
        is_cut: false,
    })
}
