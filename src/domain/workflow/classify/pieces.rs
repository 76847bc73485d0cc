//! From spans to stage evidence: only messages and declared stages, and only for SLOs with stages.

use std::sync::Arc;

use super::{
    Role,
    correlate::{Correlation, correlate},
    times::start_of,
};
use crate::domain::{
    model::{
        ids::{SloId, TraceId},
        span::SpanView,
        time::Timestamp,
    },
    slo::{Correlator, DeclaredStage, Edge, Extent, Indicator, Slo, Stages},
    traceql::{Selector, SelectorContext, SelectorIndex},
    workflow::{
        EventKey,
        evidence::hash,
        stage_evidence::{
            FoundStageEvidence, StageEvidence, StageEvidenceId, StageEvidenceKind,
            declared_evidence, message_evidence,
        },
        trace_key,
    },
};

/// The SLOs with stages, and the spans that they use.
#[derive(Debug, Default)]
pub(super) struct StageEvidenceFinder {
    /// SLOs with the same correlators assign a message to the same workflow, so its evidence is
    /// stored once for all of them.
    auto: Vec<(Vec<Correlator>, Arc<[SloId]>)>,
    marks: Vec<Mark>,
    index: SelectorIndex<usize>,
}

/// A selector of a declared stage.
#[derive(Debug)]
struct Mark {
    selector: Selector,
    kind: StageEvidenceKind,
    name: String,
    slo: SloId,
    wanted_by: Arc<[SloId]>,
    correlate: Vec<Correlator>,
}

impl StageEvidenceFinder {
    pub(super) fn new(slos: &[(SloId, Arc<Slo>)]) -> Self {
        let mut auto: Vec<(Vec<Correlator>, Vec<SloId>)> = Vec::new();
        let mut marks = Vec::new();
        for (id, slo) in slos {
            let Indicator::Workflow(workflow) = &slo.indicator else {
                continue;
            };
            match &workflow.stages {
                Stages::None => {}
                Stages::Auto => match auto
                    .iter_mut()
                    .find(|(alike, _)| *alike == workflow.correlate)
                {
                    Some((_, wanted_by)) => wanted_by.push(*id),
                    None => auto.push((workflow.correlate.clone(), vec![*id])),
                },
                Stages::Declared(stages) => {
                    let own = stages
                        .iter()
                        .flat_map(|stage| marks_of(stage, *id, &workflow.correlate));
                    marks.extend(own);
                }
            }
        }
        let index = SelectorIndex::build(
            marks
                .iter()
                .enumerate()
                .map(|(at, mark)| (&mark.selector, at)),
        );
        let auto = auto.into_iter();
        Self {
            auto: auto
                .map(|(correlate, wanted_by)| (correlate, wanted_by.into()))
                .collect(),
            marks,
            index,
        }
    }

    /// Adds the stage evidence of `span`, unless it ended before `horizon` or has no start.
    pub(super) fn find(
        &self,
        span: &dyn SpanView,
        horizon: Timestamp,
        found: &mut Vec<FoundStageEvidence>,
    ) {
        let has_ended_late = Timestamp::from_unix_nanos(span.end_unix_nano()) >= horizon;
        if !has_ended_late || start_of(span).is_none() {
            return;
        }
        if !self.auto.is_empty()
            && let Some(piece) = message_evidence(span)
        {
            self.add_message(span, &piece, found);
        }
        self.index.candidates(span, |at| {
            let Some(mark) = self.marks.get(at) else {
                return;
            };
            if !mark.selector.matches(span, SelectorContext::default()) {
                return;
            }
            let piece = declared_evidence(span, mark.kind, &mark.name);
            for key in keys_of(&mark.correlate, span) {
                found.push(FoundStageEvidence {
                    id: id_of(span, &piece),
                    key,
                    slo: Some(mark.slo),
                    wanted_by: Arc::clone(&mark.wanted_by),
                    piece: piece.clone(),
                });
            }
        });
    }

    fn add_message(
        &self,
        span: &dyn SpanView,
        piece: &StageEvidence,
        found: &mut Vec<FoundStageEvidence>,
    ) {
        let id = id_of(span, piece);
        let begin = found.len();
        let wanted = self.auto.iter().flat_map(|(correlators, wanted_by)| {
            let keys = keys_of(correlators, span).into_iter();
            keys.map(move |key| (key, wanted_by))
        });
        for (key, wanted_by) in wanted {
            let mut own = found.iter().skip(begin);
            if own.any(|other| other.key == key) {
                continue;
            }
            found.push(FoundStageEvidence {
                id,
                key,
                slo: None,
                wanted_by: Arc::clone(wanted_by),
                piece: piece.clone(),
            });
        }
    }
}

/// Returns the keys of the span's workflows. If they are found by links, the key of its own trace
/// is used; messages that share a context are not distinguished.
fn keys_of(correlators: &[Correlator], span: &dyn SpanView) -> Vec<EventKey> {
    match correlate(correlators, Role::Finish, span) {
        Correlation::Of { identities, .. } => identities
            .into_iter()
            .map(|identity| identity.key)
            .collect(),
        Correlation::Origin { .. } => vec![trace_key(span.trace_id())],
        Correlation::Published { .. }
        | Correlation::Received { .. }
        | Correlation::ReceivedByParent { .. }
        | Correlation::Absent
        | Correlation::TooLong => Vec::new(),
    }
}

/// Returns the keys under which the stage evidence of a workflow may be stored: its own, and that
/// of the trace in which it began, if workflows are identified by trace or links.
///
/// Several workflows that begin in one trace share the latter.
pub fn evidence_keys(
    correlators: &[Correlator],
    key: EventKey,
    trace_id: TraceId,
) -> Vec<EventKey> {
    let mut keys = vec![key];
    let by_trace = |one: &Correlator| matches!(one, Correlator::Trace | Correlator::Links { .. });
    if correlators.iter().any(by_trace) {
        let of_trace = trace_key(trace_id);
        if of_trace != key {
            keys.push(of_trace);
        }
    }
    keys
}

fn marks_of<'a>(
    stage: &'a DeclaredStage,
    slo: SloId,
    correlate: &'a [Correlator],
) -> impl Iterator<Item = Mark> + 'a {
    let of_edge = |edge: &Edge, kind| match edge {
        Edge::OfWorkflow => None,
        Edge::Span(selector) => Some((selector.clone(), kind)),
    };
    let selectors = match &stage.extent {
        Extent::Span(selector) => [Some((selector.clone(), StageEvidenceKind::Whole)), None],
        Extent::Between { from, to } => [
            of_edge(from, StageEvidenceKind::From),
            of_edge(to, StageEvidenceKind::To),
        ],
    };
    selectors
        .into_iter()
        .flatten()
        .map(move |(selector, kind)| Mark {
            selector,
            kind,
            name: stage.name.clone(),
            slo,
            wanted_by: [slo].into(),
            correlate: correlate.to_vec(),
        })
}

fn id_of(span: &dyn SpanView, piece: &StageEvidence) -> StageEvidenceId {
    let EventKey(bytes) = hash(&[
        b"piece",
        span.trace_id().as_bytes(),
        span.span_id().as_bytes(),
        &piece.kind.as_code().to_be_bytes(),
        &piece.from.as_micros().to_be_bytes(),
        &piece.to.as_micros().to_be_bytes(),
        piece.name.as_bytes(),
        piece.service.as_bytes(),
    ]);
    let (first, _) = bytes.split_at(8);
    StageEvidenceId(i64::from_be_bytes(first.try_into().unwrap_or_default()))
}
