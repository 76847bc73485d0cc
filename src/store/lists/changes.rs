//! The changes of one transaction in the lists.

use super::{
    bad::BadChanges, deadlines::NewDeadlines, sampled::SampledChanges,
    search_queue::QueuedWorkflows, stage_queue::QueuedStages,
};
use crate::{
    domain::{counting::JudgedWorkflow, workflow::EventId},
    store::{batch::Batch, workflows::rows::CountedWorkflow},
};

/// The changes of all lists. They must be [written](Batch::add_lists) in the transaction that writes the
/// workflows.
#[derive(Debug, Default)]
pub(crate) struct ListChanges {
    pub(super) deadlines: NewDeadlines,
    bad: BadChanges,
    sampled: SampledChanges,
    stages: QueuedStages,
    search: QueuedWorkflows,
}

impl ListChanges {
    /// Adds the changes that follow from a change of a workflow in the partition `epoch`; `None`
    /// represents a row that does not exist.
    pub(crate) fn push(
        &mut self,
        id: &EventId,
        epoch: i32,
        before: Option<CountedWorkflow<'_>>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        self.deadlines.push(id, epoch, before, after);
        self.bad.push(id, epoch, before, after);
        self.sampled.push(id, epoch, before, after);
        self.search.push(id, epoch, before, after);
    }

    /// Adds a workflow of an SLO that distinguishes stages.
    pub(crate) fn push_staged(
        &mut self,
        id: &EventId,
        epoch: i32,
        before: Option<CountedWorkflow<'_>>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        self.stages.push(id, epoch, before, after);
    }

    /// Keeps the deadline of a workflow that was looked at, if it is still open.
    pub(crate) fn keep_deadline(&mut self, id: &EventId, epoch: i32, judged: &JudgedWorkflow) {
        self.deadlines.push(id, epoch, None, Some((judged, None)));
    }
}

impl Batch {
    pub(crate) fn add_lists(&mut self, changes: &ListChanges) {
        self.add_deadlines(&changes.deadlines);
        self.add_bad(&changes.bad);
        self.add_sampled(&changes.sampled);
        self.queue_for_stages(&changes.stages);
        self.queue_for_search(&changes.search);
    }
}
