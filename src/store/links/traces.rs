//! The further traces of a workflow, where only links lead to them.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::{
        model::ids::{SloId, TraceId},
        slo::Correlator,
        workflow::{
            EventKey,
            classify::{evidence_keys, follows_links},
            trace_key,
        },
    },
    store::{
        StoreError, Tx,
        trace_ids::{trace_id, uuid},
    },
};

impl Tx<'_> {
    /// Returns the keys under which the fragments of each workflow may be stored, in the order of
    /// `workflows`. A workflow is given by its key and the trace in which it began.
    pub async fn evidence_keys(
        &mut self,
        slo: SloId,
        correlators: &[Correlator],
        workflows: &[(EventKey, TraceId)],
    ) -> Result<Vec<Vec<EventKey>>, StoreError> {
        let linked = if follows_links(correlators) {
            self.linked_traces(slo, workflows).await?
        } else {
            BTreeMap::new()
        };
        let keys = workflows.iter().map(|(key, origin)| {
            let mut keys = evidence_keys(correlators, *key, *origin);
            let others = linked.get(key).into_iter().flatten();
            keys.extend(others.map(|trace| trace_key(*trace)));
            keys
        });
        Ok(keys.collect())
    }

    /// Returns the traces of each workflow's evidence, and those between them and its origin. A
    /// trace that links to several others is not followed further: only each span of it can tell
    /// which of them it belongs to.
    async fn linked_traces(
        &mut self,
        slo: SloId,
        workflows: &[(EventKey, TraceId)],
    ) -> Result<BTreeMap<EventKey, Vec<TraceId>>, StoreError> {
        let keys = workflows.iter().map(|(key, _)| Uuid::from_bytes(key.0));
        let origins = workflows.iter().map(|(_, origin)| uuid(*origin));
        let query = sqlx::query_as(concat!(
            "-- link_evidence.traces\n",
            "with recursive way(key, origin, filter, trace_id, hops) as (",
            "select o.key, o.origin, e.filter, e.trace_id, 0 ",
            "from unnest($2::uuid[], $3::uuid[]) as o(key, origin) ",
            "join link_evidence e on e.workflow_keys @> array[o.key] and e.slo_id = $1 ",
            "union select w.key, w.origin, w.filter, n.targets[1], w.hops + 1 from way w ",
            "cross join lateral (select array_agg(distinct s.to_trace_id) as targets ",
            "from span_edges s where s.filter = w.filter and s.trace_id = w.trace_id ",
            "and s.is_link and s.to_trace_id <> s.trace_id) as n ",
            "where array_length(n.targets, 1) = 1 and w.trace_id <> w.origin and w.hops < 32) ",
            "select distinct key, trace_id from way where trace_id <> origin",
        ))
        .bind(slo.0)
        .bind(keys.collect::<Vec<_>>())
        .bind(origins.collect::<Vec<_>>());
        let rows: Vec<(Uuid, Uuid)> = self.fetch_all(query).await?;
        let mut linked: BTreeMap<EventKey, Vec<TraceId>> = BTreeMap::new();
        for (key, trace) in rows {
            let trace = trace_id(trace).map_err(|source| self.failed(source))?;
            linked
                .entry(EventKey(key.into_bytes()))
                .or_default()
                .push(trace);
        }
        Ok(linked)
    }
}
