//! From a span to evidence: which SLOs it concerns, in which role, and of which workflow.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};

use super::{
    definition::{
        AttributeName, Catalog, Correlator, Indicator, Slo, SpanIndicator, WorkflowIndicator,
    },
    names::{Name, SloId},
    selector::{Selector, SelectorContext, SelectorIndex},
    span::{SpanStatus, SpanView, Value},
    started_at,
    time::Timestamp,
    workflow::{EventKey, Evidence, Fact, SpanOutcome},
};

/// Labels and customers are cut to this many bytes, so that no row grows with what senders write.
const MAX_TEXT: usize = 256;

/// All selectors of a catalog, ready to be asked about spans.
#[derive(Debug)]
pub struct Classifier {
    slos: Vec<(SloId, Arc<Slo>)>,
    index: SelectorIndex<(usize, Role)>,
}

/// Which selector of an SLO it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Start,
    Finish,
    Fail,
    Cancel,
    Event,
}

/// What spans say, before it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub evidence: Vec<Evidence>,
    pub unusable: BTreeMap<(SloId, Unusable), i64>,
}

/// Why a span that an SLO selects says nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unusable {
    /// None of the correlators is present.
    Uncorrelated,
    /// It speaks of a time before the horizon: its record may be gone, so counting it could count
    /// twice.
    TooLate,
    /// `startedAt` is missing on the span or is no time.
    NoStartTime,
}

impl Findings {
    pub fn is_empty(&self) -> bool {
        self.evidence.is_empty() && self.unusable.is_empty()
    }
}

impl Unusable {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uncorrelated => "uncorrelated",
            Self::TooLate => "too_late",
            Self::NoStartTime => "no_start_time",
        }
    }
}

impl Classifier {
    /// `ids` holds an id for every SLO of the catalog; one without is left out.
    pub fn new(catalog: &Catalog, ids: &BTreeMap<Name, SloId>) -> Self {
        let slos: Vec<_> = catalog
            .slos
            .values()
            .filter_map(|slo| Some((*ids.get(&slo.name)?, Arc::clone(slo))))
            .collect();
        let index = SelectorIndex::build(slos.iter().enumerate().flat_map(|(at, (_, slo))| {
            selectors(&slo.indicator).map(move |(role, selector)| (selector, (at, role)))
        }));
        Self { slos, index }
    }

    /// How long after a deadline evidence of this SLO is waited for; the default for one that is no
    /// longer declared.
    pub fn grace(&self, id: SloId) -> Duration {
        self.slos
            .iter()
            .find(|(known, _)| *known == id)
            .map_or(Slo::DEFAULT_GRACE, |(_, slo)| slo.grace)
    }

    /// Adds to `findings` what `span` says. `horizon` is the earliest event time that may still be
    /// counted.
    pub fn classify(&self, span: &dyn SpanView, horizon: Timestamp, findings: &mut Findings) {
        self.index.candidates(span, |(at, role)| {
            let Some((id, slo)) = self.slos.get(at) else {
                return;
            };
            let found = match &slo.indicator {
                Indicator::Workflow(workflow) => of_workflow(workflow, role, span, horizon),
                Indicator::Span(event) => of_event(event, span, horizon),
            };
            match found {
                None => {}
                Some(Err(why)) => *findings.unusable.entry((*id, why)).or_default() += 1,
                Some(Ok((identity, fact))) => findings.evidence.push(Evidence {
                    slo: *id,
                    key: identity.key,
                    label: identity.label,
                    fact,
                    trace_id: span.trace_id(),
                    customer: customer(slo, span),
                }),
            }
        });
    }
}

fn selectors(indicator: &Indicator) -> impl Iterator<Item = (Role, &Selector)> {
    let found = match indicator {
        Indicator::Workflow(workflow) => [
            Some((Role::Start, &workflow.start)),
            Some((Role::Finish, &workflow.finish)),
            workflow.fail.as_ref().map(|fail| (Role::Fail, fail)),
            workflow
                .cancel
                .as_ref()
                .map(|cancel| (Role::Cancel, cancel)),
        ],
        Indicator::Span(event) => [Some((Role::Event, &event.matches)), None, None, None],
    };
    found.into_iter().flatten()
}

type Found = Option<Result<(Identity, Fact), Unusable>>;

fn of_workflow(
    workflow: &WorkflowIndicator,
    role: Role,
    span: &dyn SpanView,
    horizon: Timestamp,
) -> Found {
    let start = Timestamp::from_unix_nanos(span.start_unix_nano());
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    let (selector, fact, counted_from) = match role {
        Role::Start => {
            let within = workflow.within;
            (
                &workflow.start,
                Fact::Started { at: start, within },
                start + within,
            )
        }
        Role::Finish => (&workflow.finish, Fact::Succeeded { at: end }, end),
        Role::Fail => (workflow.fail.as_ref()?, Fact::Failed { at: end }, end),
        Role::Cancel => (workflow.cancel.as_ref()?, Fact::Cancelled { at: end }, end),
        Role::Event => return None,
    };
    if !selector.matches(span, SelectorContext::default()) {
        return None;
    }
    if counted_from < horizon {
        return Some(Err(Unusable::TooLate));
    }
    Some(
        correlate(&workflow.correlate, span)
            .ok_or(Unusable::Uncorrelated)
            .map(|id| (id, fact)),
    )
}

fn of_event(event: &SpanIndicator, span: &dyn SpanView, horizon: Timestamp) -> Found {
    if !event.matches.matches(span, SelectorContext::default()) {
        return None;
    }
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    if end < horizon {
        return Some(Err(Unusable::TooLate));
    }
    let started_nanos = match &event.started_at {
        None => i128::from(span.start_unix_nano()),
        Some(source) => match started_at::read(source, span) {
            Some(nanos) if nanos >= i128::from(horizon.as_micros()) * 1_000 => nanos,
            Some(_) | None => return Some(Err(Unusable::NoStartTime)),
        },
    };
    let duration = i128::from(span.end_unix_nano()) - started_nanos;
    let context = SelectorContext {
        workflow_duration_ns: Some(i64::try_from(duration).unwrap_or(i64::MAX)),
    };
    let outcome = if event.good.matches(span, context) {
        SpanOutcome::Good
    } else if span.status() == SpanStatus::Error {
        SpanOutcome::Failed
    } else {
        SpanOutcome::Late
    };
    let started = Timestamp::from_micros(i64::try_from(started_nanos / 1_000).unwrap_or(i64::MAX));
    Some(Ok((
        Identity::of_span(span),
        Fact::Decided {
            started,
            at: end,
            outcome,
        },
    )))
}

/// Which workflow a span speaks of.
struct Identity {
    key: EventKey,
    label: String,
}

impl Identity {
    /// Trace and span id alone are not enough: client and server share them in some systems, and so
    /// do retries in others (Zipkin-style clients, eBPF instrumentations).
    fn of_span(span: &dyn SpanView) -> Self {
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        let key = hash(&[
            b"span",
            trace_id.as_bytes(),
            span_id.as_bytes(),
            &[span.kind() as u8],
            &span.start_unix_nano().to_be_bytes(),
        ]);
        Self {
            key,
            label: span_id.to_string(),
        }
    }
}

/// The first correlator that is present decides.
fn correlate(correlators: &[Correlator], span: &dyn SpanView) -> Option<Identity> {
    correlators.iter().find_map(|correlator| match correlator {
        Correlator::Trace => {
            let trace_id = span.trace_id();
            let key = hash(&[b"trace", trace_id.as_bytes()]);
            Some(Identity {
                key,
                label: trace_id.to_string(),
            })
        }
        Correlator::Attribute { attribute, run } => {
            let value = text_of(attribute, span)?;
            let run = run
                .as_ref()
                .map(|run| text_of(run, span))
                .map_or(Some(None), |run| run.map(Some))?;
            let key = hash(&[
                b"attribute",
                attribute.key.as_bytes(),
                value.as_bytes(),
                run.as_deref().unwrap_or_default().as_bytes(),
            ]);
            let label = run.map_or_else(|| value.clone(), |run| format!("{value} / {run}"));
            Some(Identity {
                key,
                label: cut(label),
            })
        }
    })
}

fn customer(slo: &Slo, span: &dyn SpanView) -> Option<String> {
    slo.customer
        .as_ref()
        .and_then(|attribute| text_of(attribute, span))
        .map(cut)
}

/// The attribute as text; empty text and what has no text count as absent, since they would join
/// strangers.
fn text_of(attribute: &AttributeName, span: &dyn SpanView) -> Option<String> {
    let text = match span.attribute(attribute.scope, &attribute.key)? {
        Value::String(text) => text.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Other => return None,
    };
    // Postgres keeps no NUL in text.
    let text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    (!text.is_empty()).then_some(text)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// Each part is preceded by its length, so that no two lists of parts read alike.
fn hash(parts: &[&[u8]]) -> EventKey {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    EventKey(key)
}

/// Why a span's times cannot be true, whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsurdTime {
    NoEnd,
    StartsAfterItEnds,
    InTheFuture(Duration),
    BeforeTheHorizon(Duration),
}

/// How far a span's times may be off before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// A span may end this much after our own time: clocks of hosts disagree.
    pub future: Duration,
    /// A span may have ended this long ago.
    pub horizon: Duration,
    /// A span may end this much before it starts.
    pub skew: Duration,
}

impl TimeLimits {
    pub fn check(&self, span: &dyn SpanView, now: Timestamp) -> Result<(), AbsurdTime> {
        if span.end_unix_nano() == 0 {
            return Err(AbsurdTime::NoEnd);
        }
        let start = Timestamp::from_unix_nanos(span.start_unix_nano());
        let end = Timestamp::from_unix_nanos(span.end_unix_nano());
        if end > now + self.future {
            return Err(AbsurdTime::InTheFuture(end.saturating_since(now)));
        }
        if end < now - self.horizon {
            return Err(AbsurdTime::BeforeTheHorizon(now.saturating_since(end)));
        }
        if start > end + self.skew {
            return Err(AbsurdTime::StartsAfterItEnds);
        }
        Ok(())
    }
}
