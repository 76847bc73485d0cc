//! The evidence of one span about the stages of a workflow.

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
    time::Duration,
};

use crate::domain::{
    model::{
        ids::{SloId, TraceId},
        span::{AttributeScope, SpanKind, SpanRef, SpanStatus, SpanView, Value},
        time::Timestamp,
    },
    workflow::{EventKey, evidence::hash, trace_key},
};

/// The limit of names in bytes, so that no row grows with what senders write.
const MAX_NAME: usize = 128;

/// An interval of a workflow and the stage it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageEvidence<T = String> {
    pub kind: StageEvidenceKind,
    pub from: Timestamp,
    /// Never before `from`.
    pub to: Timestamp,
    /// The queue of a message, or the name of a declared stage.
    pub name: T,
    pub service: T,
    /// The delivery time that the sender requested, if not immediate.
    pub deliver_at: Option<Timestamp>,
    /// The trace of the span.
    pub trace_id: TraceId,
    /// True if the status of the span is an error.
    pub is_error: bool,
}

impl StageEvidence {
    /// Returns whether this and `other` may be of the same queue: a span without a queue name may
    /// be of any.
    pub fn may_share_queue(&self, other: &Self) -> bool {
        self.name == other.name || self.name.is_empty() || other.name.is_empty()
    }
}

impl<T> StageEvidence<T> {
    /// Returns the same evidence with its texts in another form.
    pub(super) fn with_texts<U>(&self, name: U, service: U) -> StageEvidence<U> {
        StageEvidence {
            kind: self.kind,
            from: self.from,
            to: self.to,
            name,
            service,
            deliver_at: self.deliver_at,
            trace_id: self.trace_id,
            is_error: self.is_error,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageEvidenceKind {
    Producer,
    Consumer,
    /// A declared stage lasts as long as this span.
    Whole,
    /// A declared stage begins when this span ends.
    From,
    /// A declared stage ends when this span starts.
    To,
}

impl StageEvidenceKind {
    pub const ALL: [Self; 5] = [
        Self::Producer,
        Self::Consumer,
        Self::Whole,
        Self::From,
        Self::To,
    ];

    /// Returns the number that represents it in the database.
    pub const fn as_code(self) -> i16 {
        match self {
            Self::Producer => 1,
            Self::Consumer => 2,
            Self::Whole => 3,
            Self::From => 4,
            Self::To => 5,
        }
    }

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_code() == code)
    }
}

/// The identity by which duplicates of stage evidence are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageEvidenceId(pub i64);

/// The workflows that stage evidence may belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageKey {
    /// The workflow that is this trace, and those that began in it.
    Trace(TraceId),
    Event(EventKey),
}

impl StageKey {
    /// Returns the key under which the evidence is stored.
    pub fn event_key(self) -> EventKey {
        match self {
            Self::Trace(trace_id) => trace_key(trace_id),
            Self::Event(key) => key,
        }
    }

    /// Returns a number that is practically unique: half of the key or of the trace id, both of
    /// which are random.
    pub fn handle(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let lower = self.number() as u64;
        lower
    }

    const fn number(self) -> u128 {
        match self {
            Self::Trace(trace_id) => u128::from_be_bytes(*trace_id.as_bytes()),
            Self::Event(EventKey(key)) => u128::from_be_bytes(key),
        }
    }
}

/// Both kinds of keys are random, so one number is enough.
impl Hash for StageKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.number());
    }
}

/// Stage evidence to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundStageEvidence {
    pub span: SpanRef,
    pub key: StageKey,
    /// The SLO that declares the stage; `None` for a message, which serves all SLOs.
    pub slo: Option<SloId>,
    /// True if the workflow is found only by links, so that its key is unknown.
    pub is_always_kept: bool,
    /// The SLOs that lack it if it exceeds a limit.
    pub wanted_by: std::sync::Arc<[SloId]>,
    pub piece: StageEvidence,
}

impl FoundStageEvidence {
    /// Returns the identity by which duplicates are recognised.
    pub fn id(&self) -> StageEvidenceId {
        let piece = &self.piece;
        let EventKey(bytes) = hash(&[
            b"piece",
            self.span.trace_id.as_bytes(),
            self.span.span_id.as_bytes(),
            &piece.kind.as_code().to_be_bytes(),
            &piece.from.as_micros().to_be_bytes(),
            &piece.to.as_micros().to_be_bytes(),
            piece.name.as_bytes(),
            piece.service.as_bytes(),
        ]);
        let (first, _) = bytes.split_at(8);
        StageEvidenceId(i64::from_be_bytes(first.try_into().unwrap_or_default()))
    }
}

const DESTINATIONS: [&str; 2] = ["messaging.destination.name", "messaging.destination"];
const DELIVERY_TIMESTAMP: &str = "messaging.rocketmq.message.delivery_timestamp";
const ETA: &str = "celery.eta";
const COUNTDOWN: &str = "celery.countdown";
const SERVICE: &str = "service.name";

/// The keys of the attributes that [`message_evidence`] looks up.
pub const MESSAGE_KEYS: [&str; 6] = {
    let [destination, older_destination] = DESTINATIONS;
    [
        destination,
        older_destination,
        DELIVERY_TIMESTAMP,
        ETA,
        COUNTDOWN,
        SERVICE,
    ]
};

/// Returns the evidence of a message sent or received; `None` for any other span.
pub(super) fn message_evidence(span: &dyn SpanView) -> Option<StageEvidence<Cow<'_, str>>> {
    let kind = match span.kind() {
        SpanKind::Producer => StageEvidenceKind::Producer,
        SpanKind::Consumer => StageEvidenceKind::Consumer,
        SpanKind::Unspecified | SpanKind::Internal | SpanKind::Server | SpanKind::Client => {
            return None;
        }
    };
    let destination = DESTINATIONS
        .into_iter()
        .find_map(|key| text(span, AttributeScope::Span, key));
    Some(StageEvidence {
        name: destination.unwrap_or_default(),
        deliver_at: if kind == StageEvidenceKind::Producer {
            deliver_at(span)
        } else {
            None
        },
        ..bare(span, kind)
    })
}

/// Returns the evidence of a span for the stage `name`.
pub(super) fn declared_evidence<'a>(
    span: &'a dyn SpanView,
    kind: StageEvidenceKind,
    name: &'a str,
) -> StageEvidence<Cow<'a, str>> {
    StageEvidence {
        name: cut(name.into()),
        service: Cow::default(),
        ..bare(span, kind)
    }
}

fn bare(span: &dyn SpanView, kind: StageEvidenceKind) -> StageEvidence<Cow<'_, str>> {
    let from = Timestamp::from_unix_nanos(span.start_unix_nano());
    StageEvidence {
        kind,
        from,
        to: from.max(Timestamp::from_unix_nanos(span.end_unix_nano())),
        name: Cow::default(),
        service: text(span, AttributeScope::Resource, SERVICE).unwrap_or_default(),
        deliver_at: None,
        trace_id: span.trace_id(),
        is_error: span.status() == SpanStatus::Error,
    }
}

fn text<'s>(span: &'s dyn SpanView, scope: AttributeScope, key: &str) -> Option<Cow<'s, str>> {
    let Value::String(text) = span.attribute(scope, key)? else {
        return None;
    };
    (!text.is_empty()).then(|| cut(text))
}

/// Truncates a text, without NUL, which Postgres does not store.
fn cut(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_NAME && !text.as_bytes().contains(&0) {
        return text;
    }
    let end = text.floor_char_boundary(MAX_NAME);
    let beginning = text.get(..end).unwrap_or_default();
    beginning.replace('\0', "\u{fffd}").into()
}

/// Returns the delivery time that was requested for a message, as instrumentations record it:
/// `RocketMQ` in milliseconds since the epoch, Celery as text or as seconds from now.
pub fn deliver_at(span: &dyn SpanView) -> Option<Timestamp> {
    let sent = Timestamp::from_unix_nanos(span.start_unix_nano());
    let at = |key| span.attribute(AttributeScope::Span, key);
    if let Some(Value::Int(millis)) = at(DELIVERY_TIMESTAMP) {
        return Some(Timestamp::from_micros(millis.saturating_mul(1_000)));
    }
    if let Some(Value::String(eta)) = at(ETA)
        && let Some(eta) = Timestamp::parse_rfc3339(&eta)
    {
        return Some(eta);
    }
    let countdown = match at(COUNTDOWN)? {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a delay")]
        Value::Int(secs) => secs as f64,
        Value::Double(secs) => secs,
        Value::String(secs) => secs.parse().ok()?,
        Value::Bool(_) | Value::Array(_) => return None,
    };
    Some(sent + Duration::try_from_secs_f64(countdown).ok()?)
}
