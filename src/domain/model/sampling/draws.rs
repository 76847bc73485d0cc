//! The probability that all of a workflow's spans were kept.
//!
//! Spans of one trace, and of traces that share an `rv`, are kept or dropped by the same random
//! number, so the probability for all of them together is that of the strictest threshold alone.
//! Spans of traces with numbers of their own are independent, and their probabilities multiply.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::threshold::{Randomness, Threshold, Weight};
use crate::domain::model::ids::TraceId;

/// The limit of draws per workflow; of more, those with the smallest numbers are kept. A workflow
/// that needs more independent ones is so rarely complete that its weight means nothing.
const MOST: usize = 8;

/// The sampling of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub threshold: Threshold,
    /// The random number that its sampler used; `None` if unknown.
    pub randomness: Option<Randomness>,
    /// The random number of its trace, which replaces an unknown `randomness`.
    pub trace: Randomness,
}

/// The role of a span in its workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanRole {
    Start,
    /// The span finishes, fails or cancels the workflow, or is all of it.
    End,
}

/// The samples of a workflow's spans, joined by the random number that their samplers used. Joining
/// is associative, commutative and idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Draws {
    /// Sorted, one for each number.
    each: Vec<Draw>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Draw {
    r: Number,
    /// The highest threshold of a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Threshold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Threshold>,
}

/// The random number that a sampler used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Number {
    Known(Randomness),
    /// Unknown, but the same within this trace.
    Trace(Randomness),
}

/// The observed sampling of the spans that end the workflows of an SLO. A join takes the less
/// favourable value of each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndSampling {
    /// The highest threshold.
    pub threshold: Threshold,
    pub draw: EndDraw,
    pub trace_ids: TraceIds,
}

/// The random number that decides whether the end of a workflow is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndDraw {
    /// The same number that decided about its start.
    #[default]
    WithStart,
    /// A number of its own, so that a dropped end cannot be distinguished from one that never came.
    Apart,
}

/// The trace ids that count as random numbers of samplers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceIds {
    /// All: OpenTelemetry's samplers presume this ("Presumption of `TraceID` randomness"), and few
    /// senders set the flag yet.
    #[default]
    Presumed,
    /// Those whose sender flags them as random.
    Flagged,
}

impl Draws {
    pub fn of(role: SpanRole, sample: &Sample) -> Self {
        let threshold = Some(sample.threshold);
        let (start, end) = match role {
            SpanRole::Start => (threshold, None),
            SpanRole::End => (None, threshold),
        };
        let r = sample
            .randomness
            .map_or(Number::Trace(sample.trace), Number::Known);
        Self {
            each: vec![Draw { r, start, end }],
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Adds the draws of `other`.
    pub fn join(&mut self, other: &Self) {
        for theirs in &other.each {
            let index = self.each.partition_point(|draw| draw.r < theirs.r);
            match self.each.get_mut(index) {
                Some(ours) if ours.r == theirs.r => ours.join(theirs),
                _ => self.each.insert(index, *theirs),
            }
        }
        self.each.truncate(MOST);
    }

    /// Returns the weight of an event that needed all of these spans; `None` if nothing was
    /// sampled.
    pub fn weight(&self) -> Option<Weight> {
        weight(self.each.iter().map(Draw::threshold))
    }

    /// Returns the weight of a workflow whose end did not arrive; `None` if nothing was sampled.
    ///
    /// # Errors
    /// If the end might have occurred and been dropped.
    pub fn weight_without_end(
        &self,
        start_trace: TraceId,
        ends: EndSampling,
    ) -> Result<Option<Weight>, EndUnseen> {
        if ends.threshold == Threshold::KEEPS_ALL {
            return Ok(self.weight());
        }
        let start = self.start(start_trace, ends.trace_ids);
        let end_is_kept = match start.r {
            Number::Known(randomness) => randomness.is_kept_by(ends.threshold),
            // The number is unknown, except that the start was kept by it.
            Number::Trace(_) => start.threshold() >= ends.threshold,
        };
        if ends.draw == EndDraw::Apart || !end_is_kept {
            return Err(EndUnseen);
        }
        let others = self.each.iter().filter(|draw| draw.r != start.r);
        let strictest = start.threshold().max(ends.threshold);
        Ok(weight(
            others
                .map(Draw::threshold)
                .chain(std::iter::once(strictest)),
        ))
    }

    /// Returns what this workflow shows about the sampling of ends; `None` if it has no end that
    /// was sampled.
    pub fn end_sampling(&self, start_trace: Option<TraceId>) -> Option<EndSampling> {
        let threshold = self.each.iter().filter_map(|draw| draw.end).max()?;
        let is_sampled = |draw: &&Draw| draw.end > Some(Threshold::KEEPS_ALL);
        let is_apart = start_trace.is_some_and(|trace| {
            let start = self.start(trace, TraceIds::Presumed).r.bits();
            let mut ends = self.each.iter().filter(is_sampled);
            ends.any(|draw| draw.r.bits() != start)
        });
        Some(EndSampling {
            threshold,
            draw: if is_apart {
                EndDraw::Apart
            } else {
                EndDraw::WithStart
            },
            trace_ids: TraceIds::default(),
        })
    }

    /// Returns the draw of the start. A start without one was always kept; its trace's number is
    /// then the trace id, known if trace ids are presumed random.
    fn start(&self, trace: TraceId, trace_ids: TraceIds) -> Draw {
        let of_start = self.each.iter().find(|draw| draw.start.is_some());
        let number = Randomness::of_trace(trace);
        of_start.copied().unwrap_or(Draw {
            r: match trace_ids {
                TraceIds::Presumed => Number::Known(number),
                TraceIds::Flagged => Number::Trace(number),
            },
            start: None,
            end: None,
        })
    }
}

/// The end may have been dropped, so its absence means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndUnseen;

impl Draw {
    fn join(&mut self, other: &Self) {
        self.start = self.start.max(other.start);
        self.end = self.end.max(other.end);
    }

    /// Returns the threshold of its strictest span.
    fn threshold(&self) -> Threshold {
        self.start.max(self.end).unwrap_or_default()
    }
}

impl Number {
    const fn bits(self) -> Randomness {
        match self {
            Self::Known(bits) | Self::Trace(bits) => bits,
        }
    }
}

impl EndSampling {
    /// The time after which observations are deleted: otherwise one odd span, or a sampler that has
    /// since been relaxed, would hide workflows that never finish for ever.
    pub const REMEMBERED: Duration = Duration::from_hours(7 * 24);

    /// Returns the probability that the end of a workflow is kept, if that cannot be known of a
    /// single one: its sampling is independent of the start, or uses an unknown number. `None`
    /// otherwise.
    pub fn chance_of_unseen(self) -> Option<f64> {
        let is_unseen = self.draw == EndDraw::Apart || self.trace_ids == TraceIds::Flagged;
        (is_unseen && self.threshold > Threshold::KEEPS_ALL).then(|| self.threshold.kept_share())
    }

    /// Merges with `other`.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            threshold: self.threshold.max(other.threshold),
            draw: self.draw.max(other.draw),
            trace_ids: self.trace_ids.max(other.trace_ids),
        }
    }
}

/// Computes the weight in the order of numbers, so that rounding does not depend on the order of
/// arrival.
fn weight(draws: impl Iterator<Item = Threshold>) -> Option<Weight> {
    let mut counted: BTreeMap<Threshold, u32> = BTreeMap::new();
    for threshold in draws {
        *counted.entry(threshold).or_default() += 1;
    }
    let each = counted
        .iter()
        .flat_map(|(&threshold, &times)| (0..times).map(move |_| threshold));
    each.fold(None, |weight, threshold| {
        Some(weight.unwrap_or(Weight::ONE).of_those_kept(threshold))
    })
}
