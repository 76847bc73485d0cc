//! Bounded samples of the spans of the last hour.
//!
//! The sample by shape is used to explain definitions: which spans the selectors match, and which
//! comparisons fail for others. The sample of whole traces is used to discover flows.
//!
//! Spans of one shape have the same service, name, kind, status and attributes. Every shape is
//! counted and a few of its spans are stored, so values of other spans are unknown: counts that
//! depend on values are estimates.

mod admission;
mod advice;
mod chains;
mod explanation;
mod look;
mod stored_span;
mod traces;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use admission::SampleAdmission;
pub use advice::TIME_UNITS;
pub use explanation::{
    CorrelatedSpans, Explanation, NearestSpans, SelectorExplanation, SpanExample, explain,
};
pub use stored_span::StoredSpan;
pub use traces::{TraceSample, TracedSpan, is_id_key, last_word};

use self::{look::SecondCounter, traces::SharedTraces};
use crate::domain::{
    model::{
        span::{SpanKind, SpanStatus, SpanView},
        time::Timestamp,
    },
    slo::HiddenAttributes,
};

/// The range in which spans are counted.
pub const REACH: Duration = Duration::from_hours(1);
const SLOT: Duration = Duration::from_mins(5);
/// The limit of shapes. Spans of any others are only counted, so that random names cannot fill the
/// memory.
const MAX_SHAPES: usize = 1_000;
/// The limit of shapes with one service, name and kind: attributes may be random too.
const MAX_OF_NAME: usize = 6;
/// The number of the newest spans of a shape that are stored.
const STORED: usize = 3;

/// The spans that one replica has received in the last hour. Clones share it. The default stores
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct SharedShapes(Option<Arc<SpanSamples>>);

#[derive(Debug, Default)]
struct SpanSamples {
    looked_at: SecondCounter,
    shapes: Mutex<SpanShapes>,
    traces: SharedTraces,
}

/// A span that belongs to a sample once its request is committed.
#[derive(Clone, Debug)]
pub struct SampleCandidate {
    pub span: Arc<StoredSpan>,
    /// The number of spans that it represents among the shapes; `None` if it is not counted there.
    pub stands_for: Option<i64>,
    /// The reason why it belongs to the sample of traces, or may later; `None` if it does not.
    pub admission: Option<SampleAdmission>,
}

#[derive(Debug, Default)]
struct SpanShapes {
    shapes: BTreeMap<ShapeKey, SpanShape>,
    all: SlotCounts,
    beyond: SlotCounts,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ShapeKey {
    service: String,
    name: String,
    kind: u8,
    status: u8,
    /// Hash of the attributes' keys and types.
    attributes: u64,
}

#[derive(Debug, Default)]
struct SpanShape {
    counts: SlotCounts,
    looked_at: SlotCounts,
    newest: VecDeque<Arc<StoredSpan>>,
}

/// Spans by slots of five minutes, those of the last hour only.
#[derive(Debug, Default)]
struct SlotCounts(VecDeque<(Timestamp, i64)>);

/// The sample at one time.
#[derive(Clone, Debug, Default)]
pub struct SampledSpans {
    /// Spans received in the last hour.
    pub received: i64,
    /// The spans whose shapes are beyond the limit, so that nothing else is known about them.
    pub beyond: i64,
    shapes: Vec<SampledShape>,
}

/// The number of spans of one shape, and some of them.
#[derive(Clone, Debug)]
struct SampledShape {
    spans: i64,
    /// The number of examined spans; the others are extrapolated.
    looked_at: i64,
    examples: Vec<Arc<StoredSpan>>,
}

impl SharedShapes {
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Copies a span if it belongs to a sample.
    pub fn look(
        &self,
        span: &dyn SpanView,
        hidden: &HiddenAttributes,
        now: Timestamp,
    ) -> Option<SampleCandidate> {
        let samples = self.0.as_ref()?;
        let stands_for = samples.looked_at.weight_of_next(span.span_id(), now);
        let admission = samples.traces.admit(span, hidden, now);
        (stands_for.is_some() || admission.is_some()).then(|| SampleCandidate {
            span: Arc::new(StoredSpan::copy(span, hidden)),
            stands_for,
            admission,
        })
    }

    pub fn add(&self, now: Timestamp, spans: Vec<SampleCandidate>) {
        let Some(samples) = self.0.as_ref().filter(|_| !spans.is_empty()) else {
            return;
        };
        let mut shapes = samples.shapes();
        for one in &spans {
            if let Some(weight) = one.stands_for {
                shapes.add(now, &one.span, weight);
            }
        }
        drop(shapes);
        let traced = spans.into_iter();
        let traced = traced.filter_map(|one| Some((one.span, one.admission?)));
        samples.traces.add(now, traced.collect());
    }

    /// Returns the spans of the hour before `now`.
    pub fn at(&self, now: Timestamp) -> SampledSpans {
        let samples = self.0.as_ref();
        samples.map_or_else(SampledSpans::default, |samples| {
            samples.shapes().sample(now)
        })
    }

    /// Returns traces of the hour before `now`.
    pub fn traces_at(&self, now: Timestamp) -> TraceSample {
        let samples = self.0.as_ref();
        samples.map_or_else(TraceSample::default, |samples| samples.traces.sample(now))
    }
}

impl SpanSamples {
    fn shapes(&self) -> MutexGuard<'_, SpanShapes> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanShapes {
    fn add(&mut self, now: Timestamp, span: &Arc<StoredSpan>, weight: i64) {
        self.all.add(now, weight);
        let key = ShapeKey::of(span);
        if !self.shapes.contains_key(&key) && !self.has_room(now, &key) {
            self.beyond.add(now, weight);
            return;
        }
        let shape = self.shapes.entry(key).or_default();
        shape.counts.add(now, weight);
        shape.looked_at.add(now, 1);
        shape.newest.push_front(Arc::clone(span));
        shape.newest.truncate(STORED);
    }

    fn has_room(&mut self, now: Timestamp, key: &ShapeKey) -> bool {
        if self.shapes.len() >= MAX_SHAPES {
            self.forget_old(now);
        }
        let first = ShapeKey {
            status: 0,
            attributes: 0,
            ..key.clone()
        };
        let of_name = self.shapes.range(first..).take_while(|(known, _)| {
            (&known.service, &known.name, known.kind) == (&key.service, &key.name, key.kind)
        });
        self.shapes.len() < MAX_SHAPES && of_name.count() < MAX_OF_NAME
    }

    fn forget_old(&mut self, now: Timestamp) {
        self.shapes
            .retain(|_, shape| shape.counts.sum_until(now) > 0);
    }

    fn sample(&mut self, now: Timestamp) -> SampledSpans {
        self.forget_old(now);
        let shapes = self.shapes.values_mut().map(|shape| SampledShape {
            spans: shape.counts.sum_until(now),
            looked_at: shape.looked_at.sum_until(now),
            examples: shape.newest.iter().cloned().collect(),
        });
        SampledSpans {
            shapes: shapes.collect(),
            received: self.all.sum_until(now),
            beyond: self.beyond.sum_until(now),
        }
    }
}

impl ShapeKey {
    fn of(stored: &StoredSpan) -> Self {
        let span = stored.span();
        Self {
            service: stored.service(),
            name: span.name().to_owned(),
            kind: kind_number(span.kind()),
            status: match span.status() {
                SpanStatus::Unset => 0,
                SpanStatus::Ok => 1,
                SpanStatus::Error => 2,
            },
            attributes: stored.fingerprint(),
        }
    }
}

const fn kind_number(kind: SpanKind) -> u8 {
    kind as u8
}

impl SlotCounts {
    fn add(&mut self, now: Timestamp, spans: i64) {
        let slot = now.floor_to(SLOT);
        match self.0.back_mut() {
            Some((newest, count)) if *newest >= slot => *count += spans,
            _ => self.0.push_back((slot, spans)),
        }
        self.forget_before(now);
    }

    fn sum_until(&mut self, now: Timestamp) -> i64 {
        self.forget_before(now);
        self.0.iter().map(|(_, spans)| spans).sum()
    }

    fn forget_before(&mut self, now: Timestamp) {
        let first = now.floor_to(SLOT) - REACH;
        while self.0.front().is_some_and(|(slot, _)| *slot <= first) {
            self.0.pop_front();
        }
    }
}
