//! Everything that one transaction adds to counts and lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        counting::{JudgedWorkflow, ledger::CountDelta},
        model::{counts::StartSpans, ids::SloId, time::Timestamp},
        workflow::{EventId, classify::DiscardReason},
    },
    store::{
        ChangedRows, CountedWorkflow, HeardWorkflows, Loss, StoreError, Tx, Writer,
        batch::Batch,
        lists::{
            bad::BadChanges, deadlines::NewDeadlines, sampled::SampledChanges,
            search_queue::QueuedWorkflows, stage_queue::QueuedStages,
        },
    },
};

/// Counts of spans, which do not depend on verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Evidence that could not be used.
    pub discarded: BTreeMap<(SloId, DiscardReason), i64>,
    /// Minutes in which evidence was lost.
    pub losses: BTreeSet<Loss>,
    /// Spans that belong to a workflow.
    pub correlated: BTreeMap<SloId, i64>,
    /// Spans that should start one.
    pub starts: BTreeMap<SloId, StartSpans>,
    /// The workflows that they concern, if other replicas must know.
    pub heard: Option<HeardWorkflows>,
}

/// What has changed of workflows, and is not written yet.
#[derive(Default)]
pub(crate) struct WorkflowChanges {
    pub(crate) rows: ChangedRows,
    pub(crate) lists: ListChanges,
}

/// The changes of all lists. They must be written in the transaction that writes the
/// workflows.
#[derive(Debug, Default)]
pub(crate) struct ListChanges {
    deadlines: NewDeadlines,
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
    fn add_lists(&mut self, changes: &ListChanges) {
        self.add_deadlines(&changes.deadlines);
        self.add_bad(&changes.bad);
        self.add_sampled(&changes.sampled);
        self.queue_for_stages(&changes.stages);
        self.queue_for_search(&changes.search);
    }
}

impl Tx<'_> {
    /// Writes the differences of the counts of verdicts, and what was counted of spans at `now`.
    pub async fn write_counts(
        &mut self,
        writer: Writer,
        now: Timestamp,
        delta: &CountDelta,
        spans: &SpanCounts,
    ) -> Result<(), StoreError> {
        self.write_changes(writer, now, delta, &WorkflowChanges::default(), spans)
            .await
    }

    /// Does the same, and writes the workflows that have changed, and the lists of them.
    ///
    /// Rows that transactions share are locked here, after all workflows are locked, and shortly
    /// before the commit. Tables and their rows are always locked in the same order, so that
    /// writers never deadlock.
    pub(crate) async fn write_changes(
        &mut self,
        writer: Writer,
        now: Timestamp,
        delta: &CountDelta,
        changes: &WorkflowChanges,
        spans: &SpanCounts,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let mut customers = delta.customers.by_bucket();
        let known = self.customers_with_rows(customers.keys()).await?;
        if known.len() == customers.len() {
            batch.add_rows(&changes.rows);
        } else {
            self.write_workflows(&changes.rows).await?;
            self.make_room(&mut customers, &known).await?;
        }
        batch.add_lists(&changes.lists);
        batch.add_event_counts(writer, delta);
        batch.add_open_counts(writer, delta);
        batch.add_corrected_events(writer, delta);
        batch.add_customers(&customers);
        batch.note_events(delta);
        batch.add_losses(&spans.losses);
        batch.add_evidence_counts(now, &spans.discarded, &delta.noted);
        batch.learn_end_sampling(now, &delta.ends);
        batch.note_delayed_ends(now, &delta.delayed_ends);
        batch.note_delayed_timeouts(now, &delta.delayed_timeouts);
        batch.add_correlated_spans(writer, now, &spans.correlated);
        batch.add_start_spans(writer, now, &spans.starts);
        batch.add_heard_workflows(spans.heard.as_ref());
        self.run_batch("ledger.write", batch).await
    }

    /// Counts evidence that could not be used, at `now`.
    pub async fn count_discarded(
        &mut self,
        now: Timestamp,
        discarded: &BTreeMap<(SloId, DiscardReason), i64>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.add_evidence_counts(now, discarded, &BTreeMap::new());
        self.run_batch("evidence_counts.add", batch).await
    }
}
