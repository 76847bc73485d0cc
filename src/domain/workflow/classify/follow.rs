//! Links, if any SLO correlates by them: the edges of every span, since any may be an ancestor of a
//! span that an SLO selects.

use std::collections::{BTreeMap, BTreeSet};

use super::correlate::{followed_links, messages};
use crate::domain::{
    model::{
        ids::SloId,
        span::{AttributeName, SpanRef, SpanView},
        time::Timestamp,
    },
    slo::{Correlator, Indicator, LinkBatch, Slo},
    traceql::Selector,
    workflow::{
        EventKey, Workflow,
        evidence::hash,
        links::{Edges, EvidenceFragment, LinkFilter, MAX_LINKS, edges},
    },
};

/// Evidence of a span for the workflow that its links lead to, which is found later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    pub slo: SloId,
    pub filter: LinkFilter,
    pub span: SpanRef,
    /// The id of the message that it is about, if messages identify workflows.
    pub message: Option<EventKey>,
    pub batch: LinkBatch,
    /// The evidence, as if the span's own trace were the origin of its work.
    pub piece: Workflow,
}

impl Linked {
    /// Returns the same evidence, first received at `now`.
    #[must_use]
    pub fn first_heard_at(&self, now: Timestamp) -> Self {
        let mut heard = self.clone();
        heard.piece.first_evidence_at = Some(now);
        heard
    }

    pub(super) fn new(
        slo: SloId,
        filter: LinkFilter,
        piece: Workflow,
        span: &dyn SpanView,
    ) -> Self {
        Self {
            slo,
            filter,
            span: SpanRef::of(span),
            message: None,
            batch: LinkBatch::Each,
            piece,
        }
    }

    /// Returns the evidence as that of a workflow that is not known yet.
    pub fn into_fragment(self) -> EvidenceFragment {
        EvidenceFragment {
            slo: self.slo,
            filter: self.filter,
            span: self.span,
            message: self.message,
            evidence: self.piece,
            workflow_keys: BTreeSet::new(),
            sent_by: BTreeMap::new(),
            is_divided: false,
            batch: self.batch,
            divides: false,
            is_cut: false,
        }
    }

    /// Returns an id that is the same for the same span if it is sent again.
    pub fn id(&self) -> [u8; 16] {
        let piece = serde_json::to_vec(&self.piece).unwrap_or_default();
        let EventKey(id) = hash(&[
            &self.slo.0.to_be_bytes(),
            &self.filter.0.to_be_bytes(),
            self.span.trace_id.as_bytes(),
            self.span.span_id.as_bytes(),
            &piece,
        ]);
        id
    }
}

/// A selection of links that SLOs follow.
#[derive(Debug)]
pub(super) struct Followed {
    only: Option<Selector>,
    slos: Vec<SloId>,
}

/// Returns the attributes by which SLOs distinguish messages, each once.
pub(super) fn message_ids<'s>(slos: impl Iterator<Item = &'s Slo>) -> BTreeSet<AttributeName> {
    let mut ids = BTreeSet::new();
    for slo in slos {
        if let Indicator::Workflow(workflow) = &slo.indicator {
            let correlators = workflow.correlate.iter();
            ids.extend(correlators.filter_map(|correlator| match correlator {
                Correlator::Message { id, .. } => Some(id.clone()),
                Correlator::Attribute { .. }
                | Correlator::TraceState { .. }
                | Correlator::Trace
                | Correlator::Links { .. } => None,
            }));
        }
    }
    ids
}

/// Returns the links that lead from a message back to its publication by its message id: the span
/// that received a batch has them, and those of its children that process one message each carry
/// only the id.
pub(super) fn message_links(id: &AttributeName, span: &dyn SpanView) -> Vec<Edges> {
    let mut by_message: BTreeMap<LinkFilter, BTreeSet<SpanRef>> = BTreeMap::new();
    let mut looked_at = 0;
    span.any_link(&mut |link| {
        looked_at += 1;
        if let Some((message, target)) = messages::on_link(id, link) {
            let filter = LinkFilter::of_message(id, message);
            by_message.entry(filter).or_default().insert(target);
        }
        looked_at == MAX_LINKS
    });
    let own = SpanRef::of(span);
    let edges = by_message.into_iter().map(|(filter, links)| Edges {
        filter,
        span: own,
        parent: None,
        links,
        is_cut: false,
    });
    edges.collect()
}

/// Returns each selection of links once, however many SLOs use it.
pub(super) fn followed<'s>(slos: impl Iterator<Item = (SloId, &'s Slo)>) -> Vec<Followed> {
    let mut followed: BTreeMap<LinkFilter, Followed> = BTreeMap::new();
    for (id, slo) in slos {
        let Indicator::Workflow(workflow) = &slo.indicator else {
            continue;
        };
        let Some((only, _)) = followed_links(&workflow.correlate) else {
            continue;
        };
        let filter = LinkFilter::new(only);
        let of_filter = followed.entry(filter).or_insert_with(|| Followed {
            only: only.cloned(),
            slos: Vec::new(),
        });
        // Once, however many revisions of the SLO follow them.
        if of_filter.slos.last() != Some(&id) {
            of_filter.slos.push(id);
        }
    }
    followed.into_values().collect()
}

impl Followed {
    /// Returns the edges of a span that lead back along these links.
    pub(super) fn edges(&self, span: &dyn SpanView) -> Edges {
        edges(span, self.only.as_ref())
    }

    pub(super) fn slos(&self) -> &[SloId] {
        &self.slos
    }
}
