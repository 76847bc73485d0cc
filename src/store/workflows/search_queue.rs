//! Workflows that the search table does not have yet, or has under another name. They are queued in
//! the transaction that records them, so that none is missed and none waits for the search.

use uuid::Uuid;

use crate::{
    domain::{
        counting::JudgedWorkflow,
        model::ids::SloId,
        workflow::{EventId, Workflow},
    },
    store::{StoreError, Tx},
};

/// Workflows by column, as the queue has them.
#[derive(Debug, Default)]
pub(crate) struct QueuedWorkflows {
    epochs: Vec<i32>,
    slo_ids: Vec<i32>,
    keys: Vec<Uuid>,
}

impl QueuedWorkflows {
    pub(crate) fn push(&mut self, (SloId(slo), key): &EventId, epoch: i32) {
        self.epochs.push(epoch);
        self.slo_ids.push(*slo);
        self.keys.push(Uuid::from_bytes(key.0));
    }

    /// Adds a known workflow, if it can now be found by something else.
    pub(crate) fn push_changed(
        &mut self,
        id: &EventId,
        epoch: i32,
        (old, new): (&JudgedWorkflow, &JudgedWorkflow),
    ) {
        let found_by = |workflow: &Workflow| {
            let trace = workflow.trace.trace_id();
            (workflow.label.clone(), workflow.customer.clone(), trace)
        };
        if found_by(&old.workflow) != found_by(&new.workflow) {
            self.push(id, epoch);
        }
    }
}

impl Tx<'_> {
    pub(crate) async fn queue_for_search(
        &mut self,
        queued: &QueuedWorkflows,
    ) -> Result<(), StoreError> {
        if queued.keys.is_empty() {
            return Ok(());
        }
        let statement = sqlx::query(
            "-- search_queue.add
             insert into search_queue (epochs, slo_ids, keys) values ($1, $2, $3)",
        )
        .bind(&queued.epochs)
        .bind(&queued.slo_ids)
        .bind(&queued.keys);
        self.execute(statement).await.map(drop)
    }
}
