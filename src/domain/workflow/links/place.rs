//! Evidence whose workflow only links can tell is kept piece by piece: it moves when a span arrives
//! that tells better, and then both workflows are joined anew.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, LinkFilter, Origins};
use crate::domain::{
    model::{
        ids::{SloId, TraceId},
        span::SpanRef,
    },
    workflow::{EventId, EventKey, EvidenceByEvent, Workflow},
};

/// One piece of evidence, and where it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFragment {
    pub slo: SloId,
    pub filter: LinkFilter,
    pub span: SpanRef,
    pub said: Workflow,
    /// The workflows that it counts for; empty while it counts nowhere yet.
    pub workflow_keys: BTreeSet<EventKey>,
    /// Its origins are as far back as links are followed, and its work began further away.
    pub is_cut: bool,
}

/// What becomes of pieces by what is known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkResolution {
    /// Where each piece counts from now on, in the order in which they were given.
    pub origins: Vec<Origins>,
    pub moves: BTreeMap<EventId, Move>,
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
pub fn place(pieces: &[EvidenceFragment], graph: &Graph) -> LinkResolution {
    let mut placement = LinkResolution::default();
    for piece in pieces {
        let origins = graph.origins(piece.filter, piece.span);
        let keys = origins.keys();
        for (key, trace_id) in &keys {
            if !piece.workflow_keys.contains(key) {
                placement.join(piece, *key, *trace_id);
            }
        }
        for key in &piece.workflow_keys {
            if !keys.contains_key(key) {
                placement.moves.insert((piece.slo, *key), Move::Left);
            }
        }
        if origins.is_cut && !piece.is_cut {
            *placement.cut.entry(piece.slo).or_default() += 1;
        }
        placement.origins.push(origins);
    }
    placement
}

impl LinkResolution {
    fn join(&mut self, piece: &EvidenceFragment, key: EventKey, trace_id: TraceId) {
        let said = Workflow {
            label: trace_id.to_string(),
            ..piece.said.clone()
        };
        self.moves
            .entry((piece.slo, key))
            .and_modify(|known| match known {
                Move::Joined(workflow) => workflow.join(&said),
                Move::Left => {}
            })
            .or_insert_with(|| Move::Joined(Box::new(said)));
    }

    /// What is joined with what is known.
    pub fn joined(&self) -> EvidenceByEvent {
        let joined = self.moves.iter().filter_map(|(at, change)| match change {
            Move::Joined(workflow) => Some((*at, Workflow::clone(workflow))),
            Move::Left => None,
        });
        joined.collect()
    }

    /// What is to be made anew.
    pub fn left(&self) -> impl Iterator<Item = EventId> + '_ {
        self.moves
            .iter()
            .filter(|(_, change)| matches!(change, Move::Left))
            .map(|(at, _)| *at)
    }
}
