//! A bounded sample of whole traces of the last hour, in which flows are discovered.
//!
//! Whether a span is kept depends on a hash of its trace id, so that all spans of a trace are kept,
//! even if they arrive in different requests. A flow may go through several traces. For spans that
//! begin a trace, send a message or receive one, the hashes of the traces that they link to and of
//! their ids count as well, so that both ends of a flow are kept together, and so do those of all
//! traces before them in a chain of links ([`super::chains`]). Whenever the memory is full, or too
//! many spans are copied in a second, the share of hashes that are kept is halved.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{
    REACH, StoredSpan,
    admission::{IdRank, SampleAdmission},
    chains::{ChainPlace, TraceChains, linked},
    look::SecondCounter,
};
use crate::domain::{
    model::{
        ids::TraceId,
        span::{AttributeScope, SpanKind, SpanView, Value},
        time::Timestamp,
    },
    slo::HiddenAttributes,
};

/// The limit of memory: some thousand spans, or some hundred workflows. More would hardly change
/// the proposals.
const MAX_BYTES: usize = 8 << 20;
/// The limit of copied spans in a second. The limit of memory does not suffice: duplicates, and
/// spans of traces that are full, are copied without being kept.
const MAX_COPIES_A_SECOND: usize = 1_000;
/// The limit of spans of one trace, so that an endless one does not displace the others.
const MAX_OF_TRACE: usize = 64;
/// The same for spans of messages: a trace with many other spans shows its queues nevertheless.
const MAX_MESSAGES_OF_TRACE: usize = 128;
/// The limit of spans with the same value of an id: a more frequent value names a customer or a
/// region, not a workflow.
const MAX_OF_VALUE: u32 = 32;
/// The time after which the share of traces may grow again.
const EASE_AFTER: Duration = Duration::from_mins(10);
/// The last words of the names of attributes with ids.
const ID_WORDS: [&str; 8] = ["id", "uuid", "guid", "jid", "key", "number", "no", "ref"];

/// The sample of one replica.
#[derive(Debug, Default)]
pub(super) struct SharedTraces {
    /// The minimum number of trailing zeros of a kept hash: one in two to the power of it is kept.
    level: AtomicU32,
    ids_read: SecondCounter,
    waiting: SecondCounter,
    kept: Mutex<KeptTraces>,
}

/// A span of the sample.
#[derive(Clone, Debug)]
pub struct TracedSpan {
    pub span: Arc<StoredSpan>,
    /// True if all received spans of its trace are kept, up to the limit of a trace.
    pub is_whole: bool,
}

/// The sample at one time.
#[derive(Clone, Debug, Default)]
pub struct TraceSample {
    /// In the order of traces, then of arrival.
    pub spans: Vec<TracedSpan>,
    pub traces: usize,
    level: u32,
    /// The time since when this share is kept; `None` if nothing was received.
    pub since: Option<Timestamp>,
}

impl TraceSample {
    /// Returns the number of traces of which one is kept.
    pub fn one_in(&self) -> u64 {
        1_u64.checked_shl(self.level).unwrap_or(u64::MAX)
    }

    /// Returns whether spans with this value of an id are kept, in all traces, if they begin a trace
    /// or are about a message.
    pub fn keeps_id(&self, key: &str, value: &str) -> bool {
        rank_of((key, value)) >= self.level
    }
}

#[derive(Debug, Default)]
struct KeptTraces {
    traces: BTreeMap<TraceId, KeptTrace>,
    /// The number of spans by the value that alone admitted them.
    of_value: BTreeMap<u64, u32>,
    chains: TraceChains,
    /// The kept traces that link to a trace.
    linking: BTreeMap<TraceId, BTreeSet<TraceId>>,
    bytes: usize,
    /// The second of the last copies, and their number.
    copies: (i64, usize),
    level: u32,
    level_changed_at: Option<Timestamp>,
    since: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct KeptTrace {
    spans: Vec<KeptSpan>,
    last_heard: Option<Timestamp>,
}

#[derive(Debug)]
struct KeptSpan {
    admission: SampleAdmission,
    bytes: usize,
    span: Arc<StoredSpan>,
}

impl SharedTraces {
    /// Returns the reason why the span belongs to the sample, or may belong to it once the trace
    /// before it is known; `None` if it does not.
    pub(super) fn admit(
        &self,
        span: &dyn SpanView,
        hidden: &HiddenAttributes,
        now: Timestamp,
    ) -> Option<SampleAdmission> {
        let mut admission = SampleAdmission {
            of_trace: rank_of(span.trace_id()),
            of_id: None,
        };
        let mut may_follow = false;
        if joins_traces(span) && self.ids_read.reads_ids_of_next(now) {
            may_follow = span.parent_span_id().is_some() || span.any_link(&mut |_| true);
            admission.of_trace = admission.of_trace.max(rank_of_links(span));
            admission.of_id = rank_of_ids(span, hidden);
        }
        let level = self.level.load(Ordering::Relaxed);
        let is_copied = admission.passes(level) || may_follow && self.waiting.lets_next_wait(now);
        is_copied.then_some(admission)
    }

    pub(super) fn add(&self, now: Timestamp, spans: Vec<(Arc<StoredSpan>, SampleAdmission)>) {
        if spans.is_empty() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let level = kept.level;
        let admitted = spans
            .iter()
            .filter(|(_, admission)| admission.passes(level));
        kept.count_copies(now, admitted.count());
        for (span, admission) in spans {
            kept.add(now, span, admission);
        }
        self.level.store(kept.level, Ordering::Relaxed);
    }

    pub(super) fn sample(&self, now: Timestamp) -> TraceSample {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget_before(now - REACH);
        kept.sample(now)
    }
}

fn rank_of(value: impl Hash) -> u32 {
    hash(value).trailing_zeros()
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns whether a flow may enter or leave a trace by this span.
fn joins_traces(span: &dyn SpanView) -> bool {
    let is_message = matches!(span.kind(), SpanKind::Producer | SpanKind::Consumer);
    is_message || span.parent_span_id().is_none()
}

fn rank_of_links(span: &dyn SpanView) -> u32 {
    let mut rank = 0;
    span.any_link(&mut |link| {
        rank = rank.max(link.trace_id().map_or(0, rank_of));
        false
    });
    rank
}

fn rank_of_ids(span: &dyn SpanView, hidden: &HiddenAttributes) -> Option<IdRank> {
    let mut best: Option<IdRank> = None;
    span.each_attribute(&mut |scope, key, value| {
        if scope != AttributeScope::Span || !is_id_key(key) || hidden.hide(key) {
            return;
        }
        let value = match value {
            Value::String(text) => hash((key, &*text)),
            Value::Int(number) => hash((key, number.to_string().as_str())),
            Value::Bool(_) | Value::Double(_) | Value::Array(_) => return,
        };
        let rank = value.trailing_zeros();
        if best.is_none_or(|best| rank > best.rank) {
            best = Some(IdRank { rank, value });
        }
    });
    best
}

/// Returns whether an attribute with this key probably holds an id: `order.id`, `orderId`,
/// `job_uuid`.
pub fn is_id_key(key: &str) -> bool {
    last_word(key).is_some_and(|word| ID_WORDS.contains(&word.as_str()))
}

/// Returns the last word of an attribute's key in lower case: `id` of `order.id`, `orderId` and
/// `temporalWorkflowID`.
pub fn last_word(key: &str) -> Option<String> {
    let part = key
        .rsplit(|c: char| !c.is_alphanumeric())
        .find(|part| !part.is_empty())?;
    let mut before_last = None;
    for (at, c) in part.char_indices() {
        let is_after_lower = part
            .get(..at)
            .and_then(|before| before.chars().next_back())
            .is_some_and(char::is_lowercase);
        if c.is_uppercase() && is_after_lower {
            before_last = Some(at);
        }
    }
    let word = part.get(before_last.unwrap_or(0)..)?;
    Some(word.to_lowercase())
}

impl KeptTraces {
    fn add(&mut self, now: Timestamp, span: Arc<StoredSpan>, admission: SampleAdmission) {
        self.since.get_or_insert(now);
        let mut open = vec![(span, admission)];
        while let Some((span, mut admission)) = open.pop() {
            let trace = span.id().trace_id;
            let place = self.chains.place(&span, rank_of);
            let rank = place.map_or(0, |place| place.rank);
            admission.of_trace = admission.of_trace.max(rank);
            let raised = place.filter(|_| rank >= self.level && rank > rank_of(trace));
            if let Some(place) = raised {
                open.extend(self.join(trace, place));
            }
            // Another request may have halved the share since.
            if admission.passes(self.level) {
                self.keep(now, span, admission);
            } else if joins_traces(span.span()) {
                self.chains.wait(span, admission);
            }
        }
        self.fit(now);
    }

    /// Sets the positions of a trace and its successors in a chain, and returns the spans that
    /// waited for it.
    fn join(
        &mut self,
        trace: TraceId,
        place: ChainPlace,
    ) -> Vec<(Arc<StoredSpan>, SampleAdmission)> {
        let mut released = Vec::new();
        let mut open = vec![(trace, place)];
        while let Some((trace, place)) = open.pop() {
            let Some(waited) = self.chains.join(trace, place) else {
                continue;
            };
            released.extend(waited);
            let kept = self.traces.get_mut(&trace).into_iter();
            for span in kept.flat_map(|trace| &mut trace.spans) {
                span.admission.of_trace = span.admission.of_trace.max(place.rank);
            }
            let followed = self.linking.get(&trace).into_iter().flatten();
            let followed = followed.filter(|trace| rank_of(**trace) < place.rank);
            open.extend(followed.filter_map(|trace| Some((*trace, place.next()?))));
        }
        released
    }

    fn keep(&mut self, now: Timestamp, span: Arc<StoredSpan>, admission: SampleAdmission) {
        let trace = self.traces.entry(span.id().trace_id).or_default();
        let is_new = trace.has_room_for(&span)
            && admission
                .only_id(self.level)
                .is_none_or(|value| count_value(&mut self.of_value, value) <= MAX_OF_VALUE);
        if is_new {
            let bytes = span.bytes();
            self.bytes += bytes;
            note_links(&mut self.linking, &span);
            trace.last_heard = Some(now);
            trace.spans.push(KeptSpan {
                admission,
                bytes,
                span,
            });
        } else if trace.spans.is_empty() {
            let trace_id = span.id().trace_id;
            self.traces.remove(&trace_id);
        }
    }

    /// Halves the share of traces if too many spans are copied.
    fn count_copies(&mut self, now: Timestamp, copies: usize) {
        let second = now.as_secs();
        if self.copies.0 != second {
            self.copies = (second, 0);
        }
        self.copies.1 += copies;
        if self.copies.1 > MAX_COPIES_A_SECOND {
            self.copies.1 = 0;
            self.halve(now);
        }
    }

    fn halve(&mut self, now: Timestamp) {
        self.level += 1;
        self.level_changed_at = Some(now);
        self.retain(|span, level| span.admission.passes(level));
    }

    /// Halves the share of traces until the memory suffices, or doubles it if most is free.
    fn fit(&mut self, now: Timestamp) {
        if self.bytes > MAX_BYTES {
            self.forget_before(now - REACH);
        }
        while self.bytes > MAX_BYTES {
            self.halve(now);
        }
        let changed = self.level_changed_at;
        let may_ease = changed.is_none_or(|at| now.saturating_since(at) >= EASE_AFTER);
        if self.level > 0 && self.bytes < MAX_BYTES / 4 && may_ease {
            self.level -= 1;
            self.level_changed_at = Some(now);
            self.since = Some(now);
        }
    }

    fn retain(&mut self, keep: impl Fn(&KeptSpan, u32) -> bool) {
        let level = self.level;
        for trace in self.traces.values_mut() {
            trace.spans.retain(|span| keep(span, level));
        }
        self.recount();
    }

    fn forget_before(&mut self, first: Timestamp) {
        self.traces
            .retain(|_, trace| trace.last_heard.is_some_and(|at| at >= first));
        self.recount();
    }

    fn recount(&mut self) {
        self.traces.retain(|_, trace| !trace.spans.is_empty());
        let spans = self.traces.values().flat_map(|trace| &trace.spans);
        self.bytes = 0;
        self.of_value.clear();
        self.linking.clear();
        for span in spans {
            self.bytes += span.bytes;
            note_links(&mut self.linking, &span.span);
            if let Some(value) = span.admission.only_id(self.level) {
                count_value(&mut self.of_value, value);
            }
        }
    }

    fn sample(&self, now: Timestamp) -> TraceSample {
        let spans = self.traces.iter().flat_map(|(trace_id, trace)| {
            let is_whole = rank_of(*trace_id) >= self.level;
            trace.spans.iter().map(move |kept| TracedSpan {
                span: Arc::clone(&kept.span),
                is_whole,
            })
        });
        TraceSample {
            spans: spans.collect(),
            traces: self.traces.len(),
            level: self.level,
            since: self.since.map(|since| since.max(now - REACH)),
        }
    }
}

fn count_value(of_value: &mut BTreeMap<u64, u32>, value: u64) -> u32 {
    let count = of_value.entry(value).or_default();
    *count = count.saturating_add(1);
    *count
}

fn note_links(linking: &mut BTreeMap<TraceId, BTreeSet<TraceId>>, span: &StoredSpan) {
    for trace in linked(span) {
        linking.entry(trace).or_default().insert(span.id().trace_id);
    }
}

impl KeptTrace {
    /// Returns whether the span may be kept: a duplicate is not kept again.
    fn has_room_for(&self, span: &StoredSpan) -> bool {
        let limit = if joins_traces(span.span()) {
            MAX_MESSAGES_OF_TRACE
        } else {
            MAX_OF_TRACE
        };
        let is_known = |kept: &KeptSpan| kept.span.id() == span.id();
        self.spans.len() < limit && !self.spans.iter().any(is_known)
    }
}
