//! Finds the workflow of each message, for messages of batches that share a context.

use std::collections::BTreeMap;

use super::Recording;
use crate::{
    domain::workflow::{
        EvidenceByEvent,
        batch::{BatchEvidence, BatchFact},
        join,
        links::{EvidenceFragment, Graph, LinkResolution, place_at},
    },
    store::{Batches, MessageRow, PUBLICATION, StoreError},
};

impl Recording<'_, '_> {
    /// Stores the new facts about batches. Returns the resulting evidence, and everything that is
    /// known about these batches. The transaction holds the lock on links, so that a position is
    /// given to only one message.
    pub(super) async fn take_batches(
        &mut self,
        pieces: &[&BatchEvidence],
        epoch: i32,
    ) -> Result<(EvidenceByEvent, Batches), StoreError> {
        let mut gathered = EvidenceByEvent::new();
        if pieces.is_empty() {
            return Ok((gathered, Batches::new()));
        }
        let ids = pieces.iter().map(|piece| (piece.slo, piece.context));
        let mut batches = self.tx.batches(&ids.collect()).await?;
        let mut rows = BTreeMap::new();
        for piece in pieces {
            let id = (piece.slo, piece.context);
            let batch = batches.entry(id).or_default();
            let before = batch.clone();
            join(&mut gathered, batch.take(piece));
            if *batch != before {
                let message = match piece.what {
                    BatchFact::Published { .. } => PUBLICATION,
                    BatchFact::Received { message } => message,
                };
                rows.insert((id, message), MessageRow::of(batch, message));
            }
        }
        self.tx.write_batches(rows, epoch).await?;
        Ok((gathered, batches))
    }

    /// Finds the workflows of evidence that is about one message each, by the links that lead to
    /// the message's context. Also returns the evidence for them.
    pub(super) async fn resolve_messages(
        &mut self,
        fragments: &[EvidenceFragment],
        graph: &Graph,
        epoch: i32,
    ) -> Result<(LinkResolution, EvidenceByEvent), StoreError> {
        let mut pieces = Vec::new();
        for fragment in fragments {
            let contexts = graph.contexts(fragment.linked_span()).into_iter();
            pieces.push(
                contexts
                    .filter_map(|context| fragment.received(context))
                    .collect(),
            );
        }
        let all: Vec<&BatchEvidence> = pieces.iter().flatten().collect();
        let (gathered, batches) = self.take_batches(&all, epoch).await?;
        let key = |piece: &BatchEvidence| {
            let batch = batches.get(&(piece.slo, piece.context))?;
            batch.key_of(piece)
        };
        let keys = pieces
            .iter()
            .map(|pieces: &Vec<BatchEvidence>| pieces.iter().filter_map(key));
        let resolution = place_at(fragments, keys.map(Iterator::collect), graph);
        Ok((resolution, gathered))
    }
}
