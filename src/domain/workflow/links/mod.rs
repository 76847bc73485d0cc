//! Which trace a span's work began in, when links carry it from trace to trace.
//!
//! A span belongs to the work of what it links to, else to that of its parent, else its own trace is
//! where the work began. So a span that links to a hundred others is evidence for a hundred pieces of
//! work, and nothing is ever merged: ancestry is by span, not by trace. What is not known yet counts
//! as a root; so a verdict is provisional, and evidence moves when the missing span arrives.

mod edges;
mod graph;
mod place;

pub use edges::{Edges, LinkFilter, OneLink, edges};
pub use graph::{Graph, MAX_HOPS, Origins};
pub use place::{EvidenceFragment, LinkResolution, Move, place};

#[cfg(test)]
mod tests;

/// Links of one span that are looked at; SDKs keep 128 unless told otherwise.
pub const MAX_LINKS: usize = 1_000;
