//! Where the work of a span began, when links carry it from trace to trace.
//!
//! The chain of a span leads to what it links to, or else to its parent, and so on. The start span that
//! is furthest back on it identifies the workflow, so that several workflows may begin in one trace. A
//! span that links to a hundred others is evidence for a hundred workflows, and nothing is ever merged:
//! ancestry is by span, not by trace. What is not known yet counts as a root; so a verdict is
//! provisional, and evidence moves when the missing span arrives.

mod edges;
mod graph;
mod origin;
mod place;
mod shared_ends;

pub use edges::{Edges, LinkFilter, OneLink, edges};
pub use graph::{Graph, LinkedSpan, MAX_HOPS, MAX_STARTS, Origins};
pub use origin::{Awaited, Branch, ChainOrigin};
pub use place::{
    EvidenceFragment, LinkResolution, Move, Placement, batch_id, evidence_of, place, place_at,
};
pub use shared_ends::{
    BatchDelivery, BatchGroup, BranchEnd, GroupMember, GroupsOfBatches, MAX_GROUP, judge_by_number,
    note_several_groups,
};

#[cfg(test)]
mod tests;

/// Links of one span that are looked at; SDKs keep 128 by default.
pub const MAX_LINKS: usize = 1_000;
