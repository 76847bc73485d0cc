//! The stage evidence of one request before it is known which of it belongs to a workflow. Most of
//! it does not, so a fragment is small and allocates nothing.

use std::{borrow::Cow, sync::Arc};

use crate::domain::{
    model::{
        ids::{SloId, SpanId},
        span::SpanRef,
    },
    workflow::stage_evidence::{FoundStageEvidence, StageEvidence, StageKey},
};

/// The number of different texts with which those of the next fragment are compared: more than the
/// services and queues that take turns in most requests.
const MAX_COMPARED: usize = 8;

/// The same as [`FoundStageEvidence`], in half of the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactStageEvidence {
    pub(super) key: StageKey,
    span_id: SpanId,
    pub(super) is_always_kept: bool,
    piece: StageEvidence<()>,
    shared: Arc<SharedStageData>,
}

/// The data that many fragments have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SharedStageData {
    claim: Arc<StageClaim>,
    name: String,
    service: String,
}

/// The SLOs to whose workflows a fragment may belong.
#[derive(Debug, PartialEq, Eq)]
pub struct StageClaim {
    /// The SLO that declares the stage; `None` for a message, which serves all SLOs.
    pub slo: Option<SloId>,
    /// The SLOs that lack the fragment if it exceeds a limit.
    pub wanted_by: Arc<[SloId]>,
    /// True if the workflow is found only by links, so that its key is unknown.
    pub is_always_kept: bool,
}

/// The stage evidence of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsortedStageEvidence {
    all: Vec<CompactStageEvidence>,
    /// Shared data of the newest fragments, oldest first.
    recent: Vec<Arc<SharedStageData>>,
}

impl UnsortedStageEvidence {
    pub(in crate::domain::workflow) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether there is a fragment with this key among those from number `first` on.
    pub(in crate::domain::workflow) fn has_from(&self, first: usize, key: StageKey) -> bool {
        let own = self.all.get(first..).unwrap_or_default();
        own.iter().any(|one| one.key == key)
    }

    pub(in crate::domain::workflow) fn push(
        &mut self,
        span_id: SpanId,
        key: StageKey,
        claim: &Arc<StageClaim>,
        piece: &StageEvidence<Cow<'_, str>>,
    ) {
        let shared = self.share(claim, &piece.name, &piece.service);
        self.all.push(CompactStageEvidence {
            key,
            span_id,
            is_always_kept: claim.is_always_kept,
            piece: piece.with_texts((), ()),
            shared,
        });
    }

    /// Returns all of it as evidence to be stored.
    pub fn into_found(self) -> Vec<FoundStageEvidence> {
        let all = self.all.into_iter();
        all.map(CompactStageEvidence::into_found).collect()
    }

    fn share(
        &mut self,
        claim: &Arc<StageClaim>,
        name: &str,
        service: &str,
    ) -> Arc<SharedStageData> {
        let is_same = |known: &&Arc<SharedStageData>| {
            Arc::ptr_eq(&known.claim, claim) && known.name == name && known.service == service
        };
        if let Some(known) = self.recent.iter().rev().find(is_same) {
            return Arc::clone(known);
        }
        if self.recent.len() == MAX_COMPARED {
            self.recent.remove(0);
        }
        let shared = Arc::new(SharedStageData {
            claim: Arc::clone(claim),
            name: name.to_owned(),
            service: service.to_owned(),
        });
        self.recent.push(Arc::clone(&shared));
        shared
    }
}

impl IntoIterator for UnsortedStageEvidence {
    type Item = CompactStageEvidence;
    type IntoIter = std::vec::IntoIter<CompactStageEvidence>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl CompactStageEvidence {
    pub(super) fn into_found(self) -> FoundStageEvidence {
        let SharedStageData {
            claim,
            name,
            service,
        } = Arc::unwrap_or_clone(self.shared);
        FoundStageEvidence {
            span: SpanRef {
                trace_id: self.piece.trace_id,
                span_id: self.span_id,
            },
            key: self.key,
            slo: claim.slo,
            is_always_kept: self.is_always_kept,
            wanted_by: Arc::clone(&claim.wanted_by),
            piece: self.piece.with_texts(name, service),
        }
    }
}

impl From<FoundStageEvidence> for CompactStageEvidence {
    fn from(found: FoundStageEvidence) -> Self {
        Self {
            key: found.key,
            span_id: found.span.span_id,
            is_always_kept: found.is_always_kept,
            piece: found.piece.with_texts((), ()),
            shared: Arc::new(SharedStageData {
                claim: Arc::new(StageClaim {
                    slo: found.slo,
                    wanted_by: found.wanted_by,
                    is_always_kept: found.is_always_kept,
                }),
                name: found.piece.name,
                service: found.piece.service,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        model::{ids::TraceId, time::Timestamp},
        workflow::stage_evidence::StageEvidenceKind,
    };

    #[test]
    fn each_fragment_has_the_texts_and_the_slos_it_came_with() {
        let span_id = SpanId::from_slice(&[2; 8]).unwrap();
        let trace_id = TraceId::from_slice(&[1; 16]).unwrap();
        let claims = [1, 2].map(|slo| {
            Arc::new(StageClaim {
                slo: Some(SloId(slo)),
                wanted_by: [SloId(slo)].into(),
                is_always_kept: slo == 2,
            })
        });
        let (mut unsorted, mut expected) = (UnsortedStageEvidence::default(), Vec::new());
        // More than are compared, so that some come again after they were forgotten.
        for number in (0..2 * MAX_COMPARED).chain(0..2 * MAX_COMPARED) {
            let claim = &claims[number % 2];
            let (name, service) = (format!("queue {}", number / 4), format!("service {number}"));
            let piece = StageEvidence {
                kind: StageEvidenceKind::Producer,
                from: Timestamp::from_secs(1),
                to: Timestamp::from_secs(2),
                name: Cow::from(&name),
                service: Cow::from(&service),
                deliver_at: Some(Timestamp::from_secs(3)),
                trace_id,
                is_error: true,
            };
            unsorted.push(span_id, StageKey::Trace(trace_id), claim, &piece);
            expected.push(FoundStageEvidence {
                span: SpanRef { trace_id, span_id },
                key: StageKey::Trace(trace_id),
                slo: claim.slo,
                is_always_kept: claim.is_always_kept,
                wanted_by: Arc::clone(&claim.wanted_by),
                piece: piece.with_texts(name.clone(), service.clone()),
            });
        }
        assert_eq!(unsorted.into_found(), expected);
        let again = |one: &FoundStageEvidence| CompactStageEvidence::from(one.clone()).into_found();
        assert_eq!(expected.iter().map(again).collect::<Vec<_>>(), expected);
    }
}
