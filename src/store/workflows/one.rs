//! One workflow with all its stored data.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::decode;
use crate::{
    domain::{
        counting::{JudgedWorkflow, story::LinkedEvidence},
        model::{
            ids::{Revision, SloId},
            time::Timestamp,
        },
        workflow::{EventKey, Workflow},
    },
    store::{StoreError, Tx, trace_ids::trace_id},
};

/// The limit of messages of a batch, and of legs of a workflow.
const MOST_LINKED: i64 = 1_000;

/// A workflow as it is stored.
#[derive(Clone, Debug)]
pub struct StoredWorkflow {
    pub judged: JudgedWorkflow,
    /// The group that also counts it.
    pub group: Option<SloId>,
}

impl Tx<'_> {
    /// Returns one workflow; `None` if there is none with this key, or not any more.
    pub async fn workflow(
        &mut self,
        slo: SloId,
        key: EventKey,
    ) -> Result<Option<StoredWorkflow>, StoreError> {
        let row = sqlx::query(
            "-- workflows.one
             select *, ctid::text as place, xmin::text as version
             from workflows where slo_id = $1 and key = $2",
        )
        .bind(slo.0)
        .bind(Uuid::from_bytes(key.0))
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let found = row.map(|row| decode(&row)).transpose();
        let found = found.map_err(|source| self.failed(source))?;
        Ok(found.map(|(_, row)| StoredWorkflow {
            judged: row.judged,
            group: row.group,
        }))
    }

    /// Returns the evidence that links assigned to a workflow.
    pub async fn linked_evidence(
        &mut self,
        slo: SloId,
        key: EventKey,
    ) -> Result<Vec<LinkedEvidence>, StoreError> {
        let query = sqlx::query_as(
            "-- link_evidence.of_workflow
             select trace_id, evidence from link_evidence
             where workflow_keys @> array[$2::uuid] and slo_id = $1 and not is_batch
             order by trace_id, span_id, id limit $3",
        )
        .bind(slo.0)
        .bind(Uuid::from_bytes(key.0))
        .bind(MOST_LINKED);
        let rows: Vec<(Uuid, sqlx::types::Json<Workflow>)> = self.fetch_all(query).await?;
        let linked = |(trace, evidence): (Uuid, sqlx::types::Json<Workflow>)| {
            Ok(LinkedEvidence {
                trace_id: trace_id(trace)?,
                evidence: evidence.0,
            })
        };
        let linked: Result<_, _> = rows.into_iter().map(linked).collect();
        linked.map_err(|source| self.failed(source))
    }

    /// Returns since when a set of definitions was in force; `None` if it is no longer stored.
    pub async fn in_force_from(
        &mut self,
        revision: Revision,
    ) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query_as(
            "-- definition_sets.in_force_from
             select in_force_from from definition_sets where number = $1",
        )
        .bind(revision.0);
        let row: Option<(DateTime<Utc>,)> = self.fetch_optional(query).await?;
        Ok(row.map(|(at,)| at.into()))
    }
}
