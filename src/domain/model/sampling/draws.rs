//! How likely it was that all of a workflow's spans were kept.
//!
//! Spans of one trace, and of traces that share an `rv`, are kept or dropped by one and the same
//! number, so all of them together are as likely as the strictest one alone. Spans of traces with
//! numbers of their own are independent, and their chances multiply.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::threshold::{Randomness, Threshold, Weight};
use crate::domain::model::ids::TraceId;

/// Draws that a workflow keeps; of more, those of the smallest numbers. A workflow that needs more
/// independent ones is so rarely seen whole that its weight means nothing.
const MOST: usize = 8;

/// What one span says of how it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub threshold: Threshold,
    /// What its sampler decided by; `None` where nobody says.
    pub randomness: Option<Randomness>,
    /// The number of its trace: what stands for the randomness where that is unknown.
    pub trace: Randomness,
}

/// What a span is to its workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanRole {
    Start,
    /// Finishes, fails or cancels it, or is all of it.
    End,
}

/// The samples of a workflow's spans, joined by the number that their samplers decided by. Joining is
/// associative, commutative and idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Draws {
    /// Sorted, one of each number.
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

/// What a sampler decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Number {
    Known(Randomness),
    /// Unknown, but the same for all of this trace.
    Trace(Randomness),
}

/// What is known of the spans that end the workflows of an SLO. Joined by what is worse to miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndSampling {
    /// The highest threshold.
    pub threshold: Threshold,
    pub draw: EndDraw,
    pub trace_ids: TraceIds,
}

/// Which number decides about the end of a workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndDraw {
    /// The one that decided about its start.
    #[default]
    WithStart,
    /// One of its own, so nobody can tell an end that was dropped from one that never came.
    Apart,
}

/// Which trace ids are numbers that samplers decide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceIds {
    /// All: so OpenTelemetry's samplers presume ("Presumption of `TraceID` randomness"), and few senders
    /// set the flag yet.
    #[default]
    Presumed,
    /// Those whose sender says that they are random.
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

    /// Adds what `other` knows.
    pub fn join(&mut self, other: &Self) {
        for theirs in &other.each {
            let place = self.each.partition_point(|draw| draw.r < theirs.r);
            match self.each.get_mut(place) {
                Some(ours) if ours.r == theirs.r => ours.join(theirs),
                _ => self.each.insert(place, *theirs),
            }
        }
        self.each.truncate(MOST);
    }

    /// What an event stands for that needed all of these; `None` if nothing was sampled.
    pub fn weight(&self) -> Option<Weight> {
        weight(self.each.iter().map(Draw::threshold))
    }

    /// What a workflow stands for whose end did not come; `None` if nothing was sampled.
    ///
    /// # Errors
    /// If the end might have come and been dropped.
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
            // All that is known of the number is that the start was kept by it.
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

    /// What this workflow tells of the ends of others; `None` if it has no end that was sampled.
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

    /// The draw of the start. One that says nothing was kept like all others, in a trace whose end is
    /// drawn by the trace id, if that is taken for random although nobody says so.
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

/// Nothing follows from the silence of this workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndUnseen;

impl Draw {
    fn join(&mut self, other: &Self) {
        self.start = self.start.max(other.start);
        self.end = self.end.max(other.end);
    }

    /// That of its strictest span.
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
    /// What was learned longer ago is forgotten: one odd span, or a sampler that was made laxer since,
    /// would otherwise hide workflows that never finish for ever.
    pub const REMEMBERED: Duration = Duration::from_hours(7 * 24);

    /// How likely the end of a workflow is kept, where nothing tells of a single one whether it was:
    /// it is drawn apart, or by a number that nobody says. `None` elsewhere.
    pub fn chance_of_unseen(self) -> Option<f64> {
        let is_unseen = self.draw == EndDraw::Apart || self.trace_ids == TraceIds::Flagged;
        (is_unseen && self.threshold > Threshold::KEEPS_ALL).then(|| self.threshold.kept_share())
    }

    /// Adds what `other` knows.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            threshold: self.threshold.max(other.threshold),
            draw: self.draw.max(other.draw),
            trace_ids: self.trace_ids.max(other.trace_ids),
        }
    }
}

/// By number, so that its rounding is the same in any order of arrival.
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
