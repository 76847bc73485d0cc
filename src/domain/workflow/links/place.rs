//! Evidence whose workflow only links can tell is kept piece by piece: it moves when a span arrives
//! that tells better, and then both workflows are joined anew.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, LinkFilter, Origins};
use crate::domain::{
    model::{
        ids::{SloId, TraceId},
        span::SpanRef,
    },
    workflow::{EventId, Gathered, Workflow, join, trace_key},
};

/// One piece of evidence, and where it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub slo: SloId,
    pub filter: LinkFilter,
    pub span: SpanRef,
    pub said: Workflow,
    /// The traces of the workflows that it counts for; empty while it counts nowhere yet.
    pub origins: BTreeSet<TraceId>,
    /// Its origins are as far back as links are followed, and its work began further away.
    pub is_cut: bool,
}

/// What becomes of pieces by what is known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Where each piece counts from now on, in the order in which they were given.
    pub origins: Vec<Origins>,
    pub moves: BTreeMap<(SloId, TraceId), Move>,
    /// Pieces whose links were found to lead too far.
    pub cut: BTreeMap<SloId, i64>,
}

/// What happens to one workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Pieces come in: joined with what is known.
    Joined(Box<Workflow>),
    /// Pieces go out, so it is to be made of those that remain.
    Left,
}

/// Finds where pieces belong.
pub fn place(pieces: &[Piece], graph: &Graph) -> Placement {
    let mut placement = Placement::default();
    for piece in pieces {
        let origins = graph.origins(piece.filter, piece.span);
        for trace_id in origins.traces.difference(&piece.origins) {
            placement.join(piece, *trace_id);
        }
        for trace_id in piece.origins.difference(&origins.traces) {
            placement.moves.insert((piece.slo, *trace_id), Move::Left);
        }
        if origins.is_cut && !piece.is_cut {
            *placement.cut.entry(piece.slo).or_default() += 1;
        }
        placement.origins.push(origins);
    }
    placement
}

/// The workflows of all pieces that count for them.
pub fn rejoin<'a>(pieces: impl IntoIterator<Item = (SloId, TraceId, &'a Workflow)>) -> Gathered {
    let mut gathered = Gathered::new();
    let workflows = pieces
        .into_iter()
        .map(|(slo, trace_id, said)| (event_id(slo, trace_id), of_trace(said, trace_id)));
    join(&mut gathered, workflows);
    gathered
}

impl Placement {
    fn join(&mut self, piece: &Piece, trace_id: TraceId) {
        let said = of_trace(&piece.said, trace_id);
        self.moves
            .entry((piece.slo, trace_id))
            .and_modify(|known| match known {
                Move::Joined(workflow) => workflow.join(&said),
                Move::Left => {}
            })
            .or_insert_with(|| Move::Joined(Box::new(said)));
    }

    /// What is joined with what is known.
    pub fn joined(&self) -> Gathered {
        let joined = self.moves.iter().filter_map(|(at, change)| match change {
            Move::Joined(workflow) => Some((event_id(at.0, at.1), Workflow::clone(workflow))),
            Move::Left => None,
        });
        joined.collect()
    }

    /// What is to be made anew.
    pub fn left(&self) -> impl Iterator<Item = (SloId, TraceId)> + '_ {
        self.moves
            .iter()
            .filter(|(_, change)| matches!(change, Move::Left))
            .map(|(at, _)| *at)
    }
}

/// The event of the work that began in a trace.
fn event_id(slo: SloId, trace_id: TraceId) -> EventId {
    (slo, trace_key(trace_id))
}

fn of_trace(said: &Workflow, trace_id: TraceId) -> Workflow {
    Workflow {
        label: trace_id.to_string(),
        ..said.clone()
    }
}
