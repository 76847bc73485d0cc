//! The encoding of a span's sampling, and the weight of spans without it.

use super::{
    draws::{EndSampling, Sample, TraceIds},
    threshold::{Randomness, Threshold, Weight},
    trace_state::{self, Part, SamplingMember},
};
use crate::domain::model::span::{AttributeName, AttributeScope, SpanView, Value};

/// The rules by which the spans of an SLO are weighted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weighing {
    pub encoding: SamplingEncoding,
    pub unknown: UnknownWeight,
    /// The highest threshold of the spans that end workflows; learned from them if `None`.
    pub end_threshold: Option<Threshold>,
    pub trace_ids: TraceIds,
}

impl Weighing {
    /// Returns how ends are sampled, by the definition and by observation.
    pub fn ends(&self, learned: EndSampling) -> EndSampling {
        EndSampling {
            threshold: self.end_threshold.unwrap_or(learned.threshold),
            // The definition does not contain which number the sampler of the ends uses.
            draw: learned.draw,
            trace_ids: self.trace_ids,
        }
    }
}

/// The place where a span contains its sampling. Never guessed: the same letters mean different
/// things in different systems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SamplingEncoding {
    /// `ot=th:...;rv:...` in the trace state.
    #[default]
    Sampling,
    /// `ot=p:...;r:...` in the trace state, the form before thresholds.
    PowerOfTwo,
    /// `es=s:...` in the trace state.
    Elastic,
    /// `sampling.threshold` and `sampling.randomness` in the span's attributes.
    Attributes,
    Attribute {
        attribute: AttributeName,
        meaning: Meaning,
    },
}

/// The meaning of the number in an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    /// One in this many was kept.
    #[default]
    Count,
    /// This share was kept.
    Ratio,
}

/// The weight of a span without its sampling probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownWeight {
    /// One: most senders do not sample.
    #[default]
    One,
    /// None: it is rejected as evidence.
    Reject,
    /// As if a sampler with this threshold had kept it.
    Fixed(Threshold),
}

/// The sampling that was read from a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// `None` if it counts as one.
    pub sample: Option<Sample>,
    pub flaw: Option<Flaw>,
}

/// A defect of a span's sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is missing, and the definition rejects such spans.
    Unknown,
    /// It is malformed, or no sampler with this threshold would have kept the span.
    Invalid,
    /// Its weight would exceed [`Weight::MOST`].
    Capped,
}

impl Weighing {
    /// Returns the probability with which the span was kept.
    ///
    /// # Errors
    /// The reason why the span is rejected as evidence.
    pub fn weigh(&self, span: &dyn SpanView) -> Result<Weighed, Flaw> {
        let member = self.encoding.read(span);
        let randomness = self.randomness(span, member);
        let sample = |threshold| Sample {
            threshold,
            randomness,
            trace: Randomness::of_trace(span.trace_id()),
        };
        match member.threshold {
            Part::Malformed => self.unweighed(Some(Flaw::Invalid), sample),
            // A sampler that would not have kept the span did not write this.
            Part::Valid(threshold) if randomness.is_some_and(|r| !r.is_kept_by(threshold)) => {
                self.unweighed(Some(Flaw::Invalid), sample)
            }
            // The sample carries the random number of its trace, by which its end may be judged.
            Part::Missing
                if self.unknown == UnknownWeight::One && self.carries_randomness(span, member) =>
            {
                Ok(Weighed {
                    sample: Some(sample(Threshold::KEEPS_ALL)),
                    flaw: None,
                })
            }
            Part::Missing => self.unweighed(None, sample),
            Part::Valid(threshold) => Ok(Weighed {
                sample: Some(sample(threshold)),
                flaw: match member.randomness {
                    Part::Malformed => Some(Flaw::Invalid),
                    Part::Missing | Part::Valid(_) => {
                        (threshold.weight() == Weight::MOST).then_some(Flaw::Capped)
                    }
                },
            }),
        }
    }

    /// Does the same for a span that ends a workflow. One without sampling data has the weight of
    /// the definition's setting for ends, so that it has the weight of a timeout, unless that
    /// sampler would not have kept it.
    ///
    /// # Errors
    /// The reason why the span is rejected as evidence.
    pub fn weigh_end(&self, span: &dyn SpanView) -> Result<Weighed, Flaw> {
        let declared = self.end_threshold.unwrap_or_default();
        let member = self.encoding.read(span);
        let randomness = self.randomness(span, member);
        let is_silent = member.threshold == Part::Missing && self.unknown == UnknownWeight::One;
        let is_kept = randomness.is_none_or(|randomness| randomness.is_kept_by(declared));
        if declared == Threshold::KEEPS_ALL || !is_silent || !is_kept {
            return self.weigh(span);
        }
        Ok(Weighed {
            sample: Some(Sample {
                threshold: declared,
                randomness,
                trace: Randomness::of_trace(span.trace_id()),
            }),
            flaw: None,
        })
    }

    /// Returns the number that the sampler of the span used, if known.
    fn randomness(&self, span: &dyn SpanView, said: SamplingMember) -> Option<Randomness> {
        match said.randomness {
            Part::Valid(randomness) => Some(randomness),
            Part::Missing if self.decides_by_trace_id(span) => {
                Some(Randomness::of_trace(span.trace_id()))
            }
            Part::Missing | Part::Malformed => None,
        }
    }

    /// Returns whether the samplers of the span's trace use its id if they state no other number.
    fn decides_by_trace_id(&self, span: &dyn SpanView) -> bool {
        self.encoding.decides_by_trace_id()
            && (self.trace_ids == TraceIds::Presumed || span.has_random_trace_id())
    }

    /// Returns whether a span without a threshold carries the random number of its trace, which may
    /// be known from no other span.
    fn carries_randomness(&self, span: &dyn SpanView, member: SamplingMember) -> bool {
        match member.randomness {
            Part::Valid(_) => true,
            Part::Malformed => false,
            Part::Missing => self.trace_ids == TraceIds::Flagged && self.decides_by_trace_id(span),
        }
    }

    fn unweighed(
        &self,
        flaw: Option<Flaw>,
        sample: impl Fn(Threshold) -> Sample,
    ) -> Result<Weighed, Flaw> {
        let sample = match self.unknown {
            UnknownWeight::One => None,
            UnknownWeight::Reject => return Err(flaw.unwrap_or(Flaw::Unknown)),
            UnknownWeight::Fixed(threshold) => Some(Sample {
                randomness: None,
                ..sample(threshold)
            }),
        };
        Ok(Weighed { sample, flaw })
    }
}

impl SamplingEncoding {
    /// Returns whether samplers with this encoding use the trace id if they state no other number.
    fn decides_by_trace_id(&self) -> bool {
        matches!(self, Self::Sampling | Self::Attributes)
    }

    fn read(&self, span: &dyn SpanView) -> SamplingMember {
        match self {
            Self::Sampling => trace_state::threshold_and_randomness(span.trace_state()),
            Self::PowerOfTwo => trace_state::powers_of_two(span.trace_state()),
            Self::Elastic => trace_state::elastic(span.trace_state()),
            Self::Attributes => SamplingMember {
                threshold: text(span, "sampling.threshold", Threshold::from_hex),
                randomness: text(span, "sampling.randomness", Randomness::from_hex),
            },
            Self::Attribute { attribute, meaning } => {
                let value = span.attribute(attribute.scope, &attribute.key);
                SamplingMember {
                    threshold: value
                        .map_or(Part::Missing, |value| Part::of(meaning.threshold(value))),
                    randomness: Part::Missing,
                }
            }
        }
    }
}

impl Meaning {
    fn threshold(self, value: Value<'_>) -> Option<Threshold> {
        #[expect(clippy::cast_precision_loss, reason = "far above the highest weight")]
        let number = match value {
            Value::Int(number) => number as f64,
            Value::Double(number) => number,
            Value::String(text) => text.trim().parse().ok()?,
            Value::Bool(_) | Value::Array(_) => return None,
        };
        match self {
            Self::Count => Threshold::of_count(number),
            Self::Ratio => Threshold::of_ratio(number),
        }
    }
}

fn text<T>(span: &dyn SpanView, key: &str, parse: fn(&str) -> Option<T>) -> Part<T> {
    match span.attribute(AttributeScope::Span, key) {
        None => Part::Missing,
        Some(Value::String(text)) => Part::of(parse(&text)),
        Some(Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Array(_)) => {
            Part::Malformed
        }
    }
}
