//! The ends of chains of links, and the starts on them.

use std::collections::BTreeSet;

use sqlx::Row as _;
use uuid::Uuid;

use super::edges::{SpanColumns, span};
use crate::{
    domain::{
        model::{
            ids::{SloId, TraceId},
            span::SpanRef,
        },
        slo::LinkBatch,
        workflow::links::{Awaited, Graph, LinkFilter, LinkedSpan, MAX_STARTS},
    },
    store::{StoreError, Tx, trace_ids::uuid},
};

/// A trace in which a chain of an SLO ends.
type ChainEnd = (SloId, LinkFilter, TraceId);

impl Tx<'_> {
    /// Loads into `graph`, which may know of starts that are not stored yet, everything that is
    /// stored about the origins of these spans.
    pub(crate) async fn load_origins(
        &mut self,
        spans: &BTreeSet<LinkedSpan>,
        graph: &mut Graph,
    ) -> Result<(), StoreError> {
        self.add_way_back(spans, graph).await?;
        let ends: BTreeSet<ChainEnd> = spans.iter().flat_map(|of| ends_of(of, graph)).collect();
        self.add_starts_in(&ends, graph).await?;
        let starts = ends.iter().flat_map(|end| compared_starts(*end, graph));
        let starts = starts.collect();
        self.add_way_back(&starts, graph).await
    }

    /// Adds the edges that lead back from these spans, and the starts on the way.
    async fn add_way_back(
        &mut self,
        spans: &BTreeSet<LinkedSpan>,
        graph: &mut Graph,
    ) -> Result<(), StoreError> {
        if spans.is_empty() {
            return Ok(());
        }
        let columns: BTreeSet<_> = spans.iter().map(|of| (of.filter, of.span)).collect();
        let columns: SpanColumns = columns.into_iter().collect();
        let mut on_the_way = self.add_edges_from(&columns, graph).await?;
        on_the_way.extend(spans.iter().map(|of| of.span));
        let slos: BTreeSet<SloId> = spans.iter().map(|of| of.slo).collect();
        on_the_way.retain(|at| slos.iter().any(|slo| !graph.is_start(*slo, *at)));
        let on_the_way = on_the_way.into_iter();
        let columns: SpanColumns = on_the_way.map(|at| (LinkFilter::ALL, at)).collect();
        let slos = slos.into_iter().map(|slo| slo.0);
        let rows = sqlx::query(concat!(
            "-- link_evidence.starts\n",
            "select e.slo_id, e.trace_id, e.span_id ",
            "from unnest($1::uuid[], $2::bigint[]) as n(trace_id, span_id) ",
            "join link_evidence e on e.trace_id = n.trace_id and e.span_id = n.span_id ",
            "where e.is_start and e.slo_id = any ($3)",
        ))
        .bind(columns.trace_ids)
        .bind(columns.span_ids)
        .bind(slos.collect::<Vec<_>>())
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        for row in &rows {
            let (slo, span) = decode(row).map_err(|source| self.failed(source))?;
            graph.add_start(slo, span);
        }
        Ok(())
    }

    /// Adds the starts of traces, at most one more of each than are compared.
    async fn add_starts_in(
        &mut self,
        ends: &BTreeSet<ChainEnd>,
        graph: &mut Graph,
    ) -> Result<(), StoreError> {
        if ends.is_empty() {
            return Ok(());
        }
        let most = i64::try_from(MAX_STARTS).unwrap_or(i64::MAX);
        let traces: BTreeSet<(i32, Uuid)> = ends
            .iter()
            .map(|(slo, _, trace_id)| (slo.0, uuid(*trace_id)))
            .collect();
        let (slos, traces): (Vec<i32>, Vec<Uuid>) = traces.into_iter().unzip();
        let rows = sqlx::query(concat!(
            "-- link_evidence.starts_in\n",
            "select n.slo_id, n.trace_id, s.span_id ",
            "from unnest($1::integer[], $2::uuid[]) as n(slo_id, trace_id) ",
            "cross join lateral (",
            "select distinct e.span_id from link_evidence e where e.trace_id = n.trace_id ",
            "and e.slo_id = n.slo_id and e.is_start order by e.span_id limit $3) as s",
        ))
        .bind(slos)
        .bind(traces)
        .bind(most + 1)
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        for row in &rows {
            let (slo, span) = decode(row).map_err(|source| self.failed(source))?;
            graph.add_start(slo, span);
        }
        Ok(())
    }
}

/// Returns the starts in a trace in which a chain ends, unless there are more than are compared.
fn compared_starts((slo, filter, trace_id): ChainEnd, graph: &Graph) -> Vec<LinkedSpan> {
    let starts = graph.starts_in(slo, trace_id);
    let starts = starts.map(|span| LinkedSpan {
        slo,
        filter,
        span,
        batch: LinkBatch::Whole,
    });
    let mut starts: Vec<_> = starts.take(MAX_STARTS + 1).collect();
    if starts.len() > MAX_STARTS {
        starts.clear();
    }
    starts
}

/// Returns the traces whose starts decide where the work of a span began. Chains are followed
/// beyond the batches at which they divide, since whether they divide depends on these starts.
fn ends_of(of: &LinkedSpan, graph: &Graph) -> Vec<ChainEnd> {
    let whole = LinkedSpan {
        batch: LinkBatch::Whole,
        ..*of
    };
    let awaited = graph.origins(whole).waits_for.into_iter();
    let ends = awaited.filter_map(|awaited| match awaited {
        Awaited::StartIn(trace_id) => Some((of.slo, of.filter, trace_id)),
        Awaited::Span(_) => None,
    });
    ends.collect()
}

fn decode(row: &sqlx::postgres::PgRow) -> Result<(SloId, SpanRef), sqlx::Error> {
    let slo = SloId(row.try_get("slo_id")?);
    Ok((slo, span(row, ["trace_id", "span_id"])?))
}
