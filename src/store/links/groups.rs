//! Groups of workflows that share batches, with the ends that followed these batches.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::edges::span;
use crate::{
    domain::{
        model::{
            ids::{SloId, SpanId},
            span::SpanRef,
        },
        workflow::{
            EventId, EventKey, Workflow,
            links::{BatchDelivery, BatchGroup, BranchEnd, GroupsOfBatches, MAX_GROUP},
        },
    },
    store::{StoreError, Tx, error::inconsistent, trace_ids::trace_id},
};

/// Spans that received messages of several workflows, by row id.
type Deliveries = BTreeMap<Uuid, BatchDelivery>;

impl Tx<'_> {
    /// Returns the groups of `workflows` and of the batches `batch_ids`, with all their workflows
    /// and ends.
    pub(crate) async fn groups_of_batches(
        &mut self,
        batch_ids: &BTreeSet<Uuid>,
        workflows: &BTreeSet<EventId>,
    ) -> Result<GroupsOfBatches, StoreError> {
        let mut found = GroupsOfBatches::default();
        let mut frontier = self.keys_of_batches(batch_ids).await?;
        for (slo, key) in workflows {
            frontier.entry(*slo).or_default().insert(*key);
        }
        let touched: BTreeSet<EventId> = frontier
            .iter()
            .flat_map(|(slo, keys)| keys.iter().map(|key| (*slo, *key)))
            .collect();
        let slos = frontier.keys().copied().collect();
        let with_batches = self.slos_with_batches(slos).await?;
        frontier.retain(|slo, _| with_batches.contains(slo));
        for (slo, keys) in frontier {
            let deliveries = self.batches_around(slo, keys).await?;
            let groups = BatchGroup::of(deliveries.into_values());
            found
                .groups
                .extend(groups.into_iter().map(|group| (slo, group)));
        }
        let in_group = |(slo, key): &EventId| {
            let mut groups = found.groups.iter();
            groups.any(|(of, group)| of == slo && group.workflow_keys.contains(key))
        };
        found.alone = touched.into_iter().filter(|id| !in_group(id)).collect();
        Ok(found)
    }

    /// Returns those of the SLOs that have batches at all: most have none, and many workflows.
    async fn slos_with_batches(&mut self, slos: Vec<SloId>) -> Result<Vec<SloId>, StoreError> {
        if slos.is_empty() {
            return Ok(slos);
        }
        let query = sqlx::query_as(concat!(
            "-- link_evidence.slos_with_batches\n",
            "select slo_id from unnest($1::integer[]) as n(slo_id) where exists (",
            "select 1 from link_evidence e where e.is_batch and e.slo_id = n.slo_id)",
        ))
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>());
        let rows: Vec<(i32,)> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(|(slo,)| SloId(slo)).collect())
    }

    async fn keys_of_batches(
        &mut self,
        ids: &BTreeSet<Uuid>,
    ) -> Result<BTreeMap<SloId, BTreeSet<EventKey>>, StoreError> {
        let mut by_slo: BTreeMap<SloId, BTreeSet<EventKey>> = BTreeMap::new();
        if ids.is_empty() {
            return Ok(by_slo);
        }
        let query = sqlx::query_as(concat!(
            "-- link_evidence.keys_of_batches\n",
            "select slo_id, workflow_keys from link_evidence where id = any ($1)",
        ))
        .bind(ids.iter().copied().collect::<Vec<_>>());
        let rows: Vec<(i32, Vec<Uuid>)> = self.fetch_all(query).await?;
        for (slo, keys) in rows {
            let keys = keys.into_iter().map(|key| EventKey(key.into_bytes()));
            by_slo.entry(SloId(slo)).or_default().extend(keys);
        }
        Ok(by_slo)
    }

    /// Returns all deliveries with messages of these workflows, then those with messages of the
    /// workflows found on the way, and so on, until there are more workflows than are judged as one
    /// group.
    async fn batches_around(
        &mut self,
        slo: SloId,
        mut frontier: BTreeSet<EventKey>,
    ) -> Result<Deliveries, StoreError> {
        let (mut deliveries, mut keys) = (Deliveries::new(), BTreeSet::new());
        while !frontier.is_empty() && keys.len() <= MAX_GROUP {
            let more = self.deliveries_with(slo, &frontier).await?;
            keys.extend(std::mem::take(&mut frontier));
            for (id, delivery) in more {
                let new = delivery.workflow_keys.difference(&keys).copied();
                frontier.extend(new);
                deliveries.entry(id).or_insert(delivery);
            }
        }
        self.add_branches(&mut deliveries).await?;
        Ok(deliveries)
    }

    /// Returns the deliveries that an end followed.
    async fn deliveries_with(
        &mut self,
        slo: SloId,
        keys: &BTreeSet<EventKey>,
    ) -> Result<Deliveries, StoreError> {
        let keys = keys.iter().map(|key| Uuid::from_bytes(key.0));
        let rows = sqlx::query(concat!(
            "-- link_evidence.batches\n",
            "select b.id, b.trace_id, b.span_id, b.workflow_keys from link_evidence b ",
            "where b.is_batch and b.slo_id = $1 and b.workflow_keys && $2 ",
            "and exists (select 1 from link_evidence e where e.branch_batches @> array[b.id] ",
            "and e.branch_batches <> '{}')",
        ))
        .bind(slo.0)
        .bind(keys.collect::<Vec<_>>())
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let deliveries = rows.iter().map(decode).collect::<Result<_, _>>();
        deliveries.map_err(|source| self.failed(source))
    }

    async fn add_branches(&mut self, deliveries: &mut Deliveries) -> Result<(), StoreError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(concat!(
            "-- link_evidence.branches\n",
            "select b.id as batch_id, e.trace_id, e.span_id, e.evidence, e.branch_batches, ",
            "e.branch_traces, e.branch_spans from unnest($1::uuid[]) as b(id) ",
            "join link_evidence e on e.branch_batches @> array[b.id] and e.branch_batches <> '{}'",
        ))
        .bind(deliveries.keys().copied().collect::<Vec<_>>())
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        for row in &rows {
            add_branch(row, deliveries).map_err(|source| self.failed(source))?;
        }
        Ok(())
    }
}

fn decode(row: &sqlx::postgres::PgRow) -> Result<(Uuid, BatchDelivery), sqlx::Error> {
    let keys: Vec<Uuid> = row.try_get("workflow_keys")?;
    let delivery = BatchDelivery {
        span: span(row, ["trace_id", "span_id"])?,
        workflow_keys: keys
            .into_iter()
            .map(|key| EventKey(key.into_bytes()))
            .collect(),
        branches: BTreeMap::new(),
    };
    Ok((row.try_get("id")?, delivery))
}

fn add_branch(row: &sqlx::postgres::PgRow, deliveries: &mut Deliveries) -> Result<(), sqlx::Error> {
    let id: Uuid = row.try_get("batch_id")?;
    let Json(evidence) = row.try_get::<Json<Workflow>, _>("evidence")?;
    let end = BranchEnd::of(&evidence, span(row, ["trace_id", "span_id"])?);
    let (Some(end), Some(delivery)) = (end, deliveries.get_mut(&id)) else {
        return Ok(());
    };
    let batches: Vec<Uuid> = row.try_get("branch_batches")?;
    let traces: Vec<Uuid> = row.try_get("branch_traces")?;
    let spans: Vec<i64> = row.try_get("branch_spans")?;
    for ((batch, trace), number) in batches.into_iter().zip(traces).zip(spans) {
        if batch != id {
            continue;
        }
        let by = SpanRef {
            trace_id: trace_id(trace)?,
            span_id: SpanId::from_slice(&number.to_be_bytes())
                .ok_or_else(|| inconsistent("a span id is all zero"))?,
        };
        delivery.take(by, end);
    }
    Ok(())
}
