//! Stores edges, and evidence whose workflow is found only by links, and resolves what is new.
//!
//! This takes no lock, except where messages share a context: nothing that others have stored is
//! changed, other than the workflows themselves. What others store at the same time is found by the
//! check that follows the commit ([`super::resolve_links`]).

use super::{
    Recording,
    link_updates::{LinkCheck, LinkUpdates, fragments, graph_of_starts, ids, keys_of},
};
use crate::{
    domain::workflow::{
        batch::BatchEvidence,
        classify::{ClassifiedBatch, DiscardReason, Linked},
        join,
        links::{Edges, FragmentResolution, LinkResolution, place},
    },
    store::{EvidenceRows, StoreError},
};

/// Links, and messages that share a context, from new requests.
#[derive(Debug, Default)]
pub struct NewLinks<'a> {
    pub linked: Vec<&'a Linked>,
    pub edges: Vec<&'a Edges>,
    pub batches: Vec<&'a BatchEvidence>,
}

impl<'a> NewLinks<'a> {
    /// Returns those of classified requests.
    pub fn of(findings: &[&'a ClassifiedBatch]) -> Self {
        Self {
            linked: findings.iter().flat_map(|f| &f.linked).collect(),
            edges: findings.iter().flat_map(|f| &f.edges).collect(),
            batches: findings.iter().flat_map(|f| &f.batches).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.linked.is_empty() && self.edges.is_empty() && self.batches.is_empty()
    }
}

impl Recording<'_, '_> {
    /// Stores what is new and resolves it by what is known. Must be the first step of a transaction.
    pub async fn record_links(
        &mut self,
        new_links: &NewLinks<'_>,
    ) -> Result<LinkUpdates, StoreError> {
        let epoch = self.state.epoch;
        if !new_links.batches.is_empty() {
            self.tx.lock_links().await?;
        }
        let (gathered, _) = self.take_batches(&new_links.batches, epoch).await?;
        let mut arrived = self.tx.add_edges(&new_links.edges, epoch).await?;
        let judging = self.judging;
        let heard = |one: &Linked| one.first_heard_at(judging(one.slo).now);
        let new = self.tx.new_evidence(&new_links.linked, heard).await?;
        for start in new.iter().filter(|row| row.is_start()) {
            arrived.push_start(start.fragment.filter, start.fragment.span);
        }
        let (rows, left, resolution) = self.resolve_new(new).await?;
        let placed = rows.iter().zip(resolution.placements.iter().map(Some));
        let stored = placed.chain(left.iter().map(|row| (row, None)));
        let mut stored: Vec<_> = stored.collect();
        stored.sort_by_key(|(row, _)| row.id);
        self.tx.insert_evidence(&stored, epoch).await?;
        let mut updates = LinkUpdates {
            gathered,
            placed: rows.len(),
            ..LinkUpdates::default()
        };
        join(&mut updates.gathered, resolution.joined());
        for (slo, count) in &resolution.cut {
            let reason = (*slo, DiscardReason::TooManyHops);
            *updates.discarded.entry(reason).or_default() += count;
        }
        if arrived.is_empty() && stored.is_empty() {
            return Ok(updates);
        }
        let joined = keys_of(&rows, &resolution.placements).collect();
        updates.check = Some(LinkCheck {
            id: self.tx.add_link_check(&arrived, ids(&rows)).await?,
            arrived,
            joined,
            is_left: !left.is_empty(),
            placements: resolution.placements,
            rows,
        });
        Ok(updates)
    }

    /// Resolves new evidence. Returns it with its resolution, and what can be resolved only together
    /// with what others have stored.
    async fn resolve_new(
        &mut self,
        new: EvidenceRows,
    ) -> Result<(EvidenceRows, EvidenceRows, LinkResolution), StoreError> {
        let mut graph = graph_of_starts(&new);
        let (mut left, rows): (EvidenceRows, EvidenceRows) = new
            .into_iter()
            .partition(|row| row.fragment.message.is_some());
        let spans = rows.iter().map(|row| row.fragment.linked_span());
        self.tx.load_origins(&spans.collect(), &mut graph).await?;
        let resolution = place(&fragments(&rows), &graph);
        let has_branches = |placed: &FragmentResolution| !placed.branches.is_empty();
        if !resolution.placements.iter().any(has_branches) {
            return Ok((rows, left, resolution));
        }
        let placed = rows.into_iter().zip(resolution.placements);
        let (divided, whole): (Vec<_>, Vec<_>) =
            placed.partition(|(_, placed)| has_branches(placed));
        left.extend(divided.into_iter().map(|(row, _)| row));
        let rows: EvidenceRows = whole.into_iter().map(|(row, _)| row).collect();
        let resolution = place(&fragments(&rows), &graph);
        Ok((rows, left, resolution))
    }
}
