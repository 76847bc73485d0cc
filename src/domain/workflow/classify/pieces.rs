//! Makes stage evidence of spans: only messages and declared stages, and only for SLOs with stages.

use std::sync::Arc;

use super::{
    Classifier, Role,
    correlate::{Correlation, correlate, follows_links},
    times::start_of,
};
use crate::domain::{
    model::{
        ids::{SloId, TraceId},
        span::{SpanKind, SpanView},
        time::Timestamp,
    },
    slo::{Correlator, DeclaredStage, Edge, Extent, Indicator, Slo, Stages},
    traceql::{Selector, SelectorContext, SelectorIndex},
    workflow::{
        EventId, EventKey,
        stage_buffer::{StageClaim, StagedKey, UnsortedStageEvidence},
        stage_evidence::{
            MESSAGE_KEYS, StageEvidenceKind, StageKey, declared_evidence, message_evidence,
        },
        trace_key,
    },
};

/// The SLOs with stages, and the spans that they use.
#[derive(Debug, Default)]
pub(super) struct StageEvidenceFinder {
    /// SLOs with the same correlators assign a message to the same workflow, so its evidence is
    /// stored once for all of them.
    auto: Vec<(Vec<Correlator>, Arc<StageClaim>)>,
    marks: Vec<Mark>,
    index: SelectorIndex<usize>,
}

/// A selector of a declared stage.
#[derive(Debug)]
struct Mark {
    selector: Selector,
    kind: StageEvidenceKind,
    name: String,
    claim: Arc<StageClaim>,
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
        // A message that two of them find under one key has the claim of the first.
        auto.sort_by_key(|(correlate, _)| !follows_links(correlate));
        let auto = auto.into_iter().map(|(correlate, wanted_by)| {
            let claim = claim(None, wanted_by.into(), &correlate);
            (correlate, claim)
        });
        Self {
            auto: auto.collect(),
            marks,
            index,
        }
    }

    /// Returns the keys of the attributes that [`find`](Self::find) asks every span for, or every
    /// one of a message.
    pub(super) fn asked_keys(&self) -> impl Iterator<Item = &str> {
        let of_messages = if self.auto.is_empty() {
            &[]
        } else {
            MESSAGE_KEYS.as_slice()
        };
        let correlators = self.auto.iter().flat_map(|(correlate, _)| correlate);
        let of_correlators = correlators.flat_map(|correlator| match correlator {
            Correlator::Attribute { attribute, run } => [Some(attribute), run.as_ref()],
            Correlator::Message { id, .. } => [Some(id), None],
            Correlator::TraceState { .. } | Correlator::Trace | Correlator::Links { .. } => {
                [None, None]
            }
        });
        let of_correlators = of_correlators.flatten().map(|name| name.key.as_str());
        let of_messages = of_messages.iter().copied();
        of_messages
            .chain(of_correlators)
            .chain(self.index.asked_keys())
    }

    /// Adds the stage evidence of `span`, unless it ended before `horizon` or has no start.
    pub(super) fn find(
        &self,
        span: &dyn SpanView,
        horizon: Timestamp,
        found: &mut UnsortedStageEvidence,
    ) {
        let has_ended_late = Timestamp::from_unix_nanos(span.end_unix_nano()) >= horizon;
        if !has_ended_late || start_of(span).is_none() {
            return;
        }
        if matches!(span.kind(), SpanKind::Producer | SpanKind::Consumer) {
            self.add_message(span, found);
        }
        if self.marks.is_empty() {
            return;
        }
        self.index.candidates(span, |at| {
            let Some(mark) = self.marks.get(at) else {
                return;
            };
            if !mark.selector.matches(span, SelectorContext::default()) {
                return;
            }
            let piece = declared_evidence(span, mark.kind, &mark.name);
            each_key_of(&mark.correlate, span, &mut |key| {
                found.push(span.span_id(), key, &mark.claim, &piece);
            });
        });
    }

    fn add_message(&self, span: &dyn SpanView, found: &mut UnsortedStageEvidence) {
        let first = found.len();
        // Made once a workflow is found that it may belong to.
        let mut piece = None;
        let mut add = |claim: &Arc<StageClaim>, key| {
            if found.has_from(first, key) {
                return;
            }
            if let Some(piece) = piece.get_or_insert_with(|| message_evidence(span)) {
                found.push(span.span_id(), key, claim, piece);
            }
        };
        for (correlators, claim) in &self.auto {
            each_key_of(correlators, span, &mut |key| add(claim, key));
        }
    }
}

/// Calls `each` with the keys of the span's workflows. If they are found by links, the key of its own
/// trace is used; messages that share a context are not distinguished.
fn each_key_of(correlators: &[Correlator], span: &dyn SpanView, each: &mut dyn FnMut(StageKey)) {
    // Every span has a trace. Its key is used as it is, so nothing is hashed.
    let of_trace = correlators.iter().position(is_of_trace);
    let before = of_trace.map_or(correlators, |at| correlators.split_at(at).0);
    match correlate(before, Role::Finish, span) {
        Correlation::Absent if of_trace.is_some() => each(StageKey::Trace(span.trace_id())),
        Correlation::Of { identities, .. } => {
            for identity in identities {
                each(StageKey::Event(identity.key));
            }
        }
        Correlation::Origin { .. }
        | Correlation::Published { .. }
        | Correlation::Received { .. }
        | Correlation::ReceivedByParent { .. }
        | Correlation::Absent
        | Correlation::TooLong => {}
    }
}

/// Returns the keys by which stage evidence of a workflow is recognised; the same workflows as
/// [`evidence_keys`].
fn stage_keys(correlators: &[Correlator], key: EventKey, trace_id: TraceId) -> Vec<StageKey> {
    if correlators == [Correlator::Trace] {
        return vec![StageKey::Trace(trace_id)];
    }
    let keys = evidence_keys(correlators, key, trace_id).into_iter();
    as_stage_keys(correlators, keys, trace_id).collect()
}

/// Returns the keys of the workflow that is the trace, or began in it. Only correlators by trace
/// have such keys, so the hash is not computed for others.
fn as_stage_keys(
    correlators: &[Correlator],
    keys: impl Iterator<Item = EventKey>,
    trace_id: TraceId,
) -> impl Iterator<Item = StageKey> {
    let of_trace = is_by_trace(correlators).then(|| trace_key(trace_id));
    keys.map(move |key| {
        if Some(key) == of_trace {
            StageKey::Trace(trace_id)
        } else {
            StageKey::Event(key)
        }
    })
}

fn is_by_trace(correlators: &[Correlator]) -> bool {
    correlators.iter().any(is_of_trace)
}

const fn is_of_trace(correlator: &Correlator) -> bool {
    matches!(correlator, Correlator::Trace | Correlator::Links { .. })
}

impl Classifier {
    /// Returns the keys by which stage evidence of these workflows is recognised, given by their SLO,
    /// their key and a trace of theirs; none for SLOs without stages, and for those that follow links,
    /// whose evidence does not wait for a workflow.
    pub fn stage_keys(
        &self,
        workflows: impl IntoIterator<Item = (EventId, TraceId)>,
    ) -> Vec<StagedKey> {
        let mut found = Vec::new();
        for ((slo, event), trace_id) in workflows {
            let known = self.slos.iter().find(|(id, _)| *id == slo);
            let indicator = known.map(|(_, slo)| &slo.indicator);
            if let Some(Indicator::Workflow(workflow)) = indicator
                && !workflow.stages.is_none()
                && !follows_links(&workflow.correlate)
            {
                let keys = stage_keys(&workflow.correlate, event, trace_id);
                found.extend(keys.into_iter().map(|key| StagedKey { key, slo, event }));
            }
        }
        found
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
    if is_by_trace(correlators) {
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
            claim: claim(Some(slo), [slo].into(), correlate),
            correlate: correlate.to_vec(),
        })
}

fn claim(slo: Option<SloId>, wanted_by: Arc<[SloId]>, correlate: &[Correlator]) -> Arc<StageClaim> {
    Arc::new(StageClaim {
        slo,
        wanted_by,
        is_always_kept: follows_links(correlate),
    })
}
