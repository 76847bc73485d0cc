//! What a transaction did with links: the evidence that it resolved, what follows from that, and what is
//! to be checked after its commit.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Discarded;
use crate::{
    domain::workflow::{
        EventId, EvidenceByEvent,
        links::{EvidenceFragment, FragmentResolution, Graph, GroupsOfBatches},
    },
    store::{EvidenceRow, EvidenceRows, SpanColumns},
};

/// The result of resolving links.
#[derive(Debug, Default)]
pub struct LinkUpdates {
    /// Evidence for workflows, to be recorded in the same transaction.
    pub gathered: EvidenceByEvent,
    /// Groups of workflows that share batches and are judged together.
    pub groups: GroupsOfBatches,
    /// Evidence that could not be used.
    pub discarded: Discarded,
    /// The number of fragments that were resolved.
    pub placed: usize,
    /// What is to be checked after the commit.
    pub check: Option<LinkCheck>,
}

/// What a transaction stored about links, to be checked after its commit.
#[derive(Debug)]
pub struct LinkCheck {
    /// The row that remains if the check is not carried out.
    pub(super) id: i64,
    pub(super) arrived: SpanColumns,
    /// Evidence that was resolved, with its placements.
    pub(super) rows: EvidenceRows,
    pub(super) placements: Vec<FragmentResolution>,
    /// Workflows that new evidence joined, which may be in groups.
    pub(super) joined: BTreeSet<EventId>,
    /// True if other evidence of the transaction is not resolved yet.
    pub(super) is_left: bool,
}

/// Returns a graph with the starts among the evidence.
pub(super) fn graph_of_starts(rows: &[EvidenceRow]) -> Graph {
    let mut graph = Graph::default();
    for start in rows.iter().filter(|row| row.is_start()) {
        graph.add_start(start.fragment.slo, start.fragment.span);
    }
    graph
}

pub(super) fn ids(rows: &[EvidenceRow]) -> Vec<Uuid> {
    rows.iter().map(|row| row.id).collect()
}

pub(super) fn fragments(rows: &[EvidenceRow]) -> Vec<EvidenceFragment> {
    rows.iter().map(|row| row.fragment.clone()).collect()
}

/// Returns the workflows that evidence was placed in.
pub(super) fn keys_of<'a>(
    rows: &'a [EvidenceRow],
    placements: &'a [FragmentResolution],
) -> impl Iterator<Item = EventId> + 'a {
    let placed = rows.iter().zip(placements);
    placed.flat_map(|(row, placed)| {
        let keys = placed.workflow_keys.iter();
        keys.map(|key| (row.fragment.slo, *key))
    })
}
