//! The origin of a span's work, if links lead from trace to trace.
//!
//! The chain of a span leads to the span that it links to, or otherwise to its parent, and so on.
//! The start span that is furthest back on it identifies the workflow, so that several workflows
//! may begin in one trace. A span that links to a hundred others is evidence for a hundred
//! workflows, and workflows are never merged: ancestry is by span, not by trace. A span that has
//! not been received counts as a root; so a verdict is provisional, and evidence moves when the
//! missing span arrives.

mod edges;
mod graph;
mod origin;
mod place;
mod shared_ends;

pub use edges::{Edges, LinkFilter, OneLink, edges};
pub use graph::{Graph, LinkedSpan, MAX_HOPS, MAX_STARTS, Origins};
pub use origin::{Awaited, Branch, ChainOrigin};
pub use place::{
    EvidenceFragment, FragmentResolution, LinkResolution, Move, awaited_contexts, batch_id,
    evidence_of, place, place_at,
};
pub use shared_ends::{
    BatchDelivery, BatchGroup, BranchEnd, GroupMember, GroupsOfBatches, MAX_GROUP, judge_by_count,
    note_several_groups,
};

#[cfg(test)]
mod tests;

/// The limit of links of one span that are read; SDKs keep 128 by default.
pub const MAX_LINKS: usize = 1_000;
