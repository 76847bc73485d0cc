//! Workflows that the search table does not have yet, or has under another name. They are queued in
//! the transaction that records them, so that none is missed and none waits for the search.

use uuid::Uuid;

use crate::{
    domain::{model::ids::SloId, workflow::EventId},
    store::{batch::Batch, workflows::rows::CountedWorkflow},
};

/// Workflows by column, as the queue has them.
#[derive(Debug, Default)]
pub(in crate::store) struct QueuedWorkflows {
    epochs: Vec<i32>,
    slo_ids: Vec<i32>,
    keys: Vec<Uuid>,
}

impl QueuedWorkflows {
    /// Adds a workflow if it can now be found by something else than before.
    pub(in crate::store) fn push(
        &mut self,
        (SloId(slo), key): &EventId,
        epoch: i32,
        before: Option<CountedWorkflow<'_>>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        let found_by = |counted: CountedWorkflow<'_>| {
            let workflow = &counted.0.workflow;
            let trace = workflow.trace.trace_id();
            (workflow.label.clone(), workflow.customer.clone(), trace)
        };
        let now = after.map(found_by);
        if now.is_some() && now != before.map(found_by) {
            self.epochs.push(epoch);
            self.slo_ids.push(*slo);
            self.keys.push(Uuid::from_bytes(key.0));
        }
    }
}

impl Batch {
    pub(in crate::store) fn queue_for_search(&mut self, queued: &QueuedWorkflows) {
        if queued.keys.is_empty() {
            return;
        }
        self.add(
            "-- search_queue.add
             insert into search_queue (epochs, slo_ids, keys) values ($1, $2, $3)",
        )
        .bind(queued.epochs.clone())
        .bind(queued.slo_ids.clone())
        .bind(queued.keys.clone());
    }
}
