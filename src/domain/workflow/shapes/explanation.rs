//! Explains how the selectors of a definition match a sample of spans.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{SampledShape, SampledSpans, StoredSpan, advice::advice};
use crate::domain::{
    model::{
        counts::whole,
        format,
        ids::{SpanId, TraceId},
        span::{SpanRef, SpanView as _},
        time::Timestamp,
    },
    slo::{Correlator, Indicator, Slo},
    traceql::{Comparisons, NearMiss, Selector, SelectorContext},
    workflow::classify::{Role, correlator_of, selectors},
};

/// The limit of listed near misses and examples.
const LISTED: usize = 3;

/// The limit of named kinds of spans if none is a near match.
const MOST_NAMED: usize = 5;

/// A definition, explained by the spans of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Spans that were received in the last hour.
    pub spans_received: i64,
    /// The spans beyond the limit of kinds, of which only the number is known.
    pub spans_beyond_limit: i64,
    pub selectors: Vec<SelectorExplanation>,
    /// Likely mistakes and how to correct them; each a sentence.
    pub advice: Vec<String>,
}

impl Explanation {
    /// Leaves out what is about spans that no selector matches: they may be those of other teams.
    pub fn leave_out_others(&mut self) {
        self.advice.clear();
        for selector in &mut self.selectors {
            selector.nearest.clear();
        }
    }
}

/// One selector, and how it matches the spans of the last hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorExplanation {
    /// The field of the definition.
    pub field: &'static str,
    pub selector: String,
    pub matched: i64,
    /// True if not all spans were examined, or not all values are stored, so that other spans may
    /// match.
    pub matched_is_estimate: bool,
    /// True if it reads attributes whose values are not stored; they count as matching.
    pub reads_hidden_values: bool,
    /// Spans that match.
    pub examples: Vec<SpanExample>,
    /// Spans for which only one comparison fails; empty if any span matches.
    pub nearest: Vec<NearestSpans>,
    /// The correlators of the matching spans; empty for one-span indicators.
    pub correlated: Vec<CorrelatedSpans>,
}

/// Spans for which the same comparison fails with the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearestSpans {
    pub spans: i64,
    pub comparison: String,
    pub found: String,
    pub example: SpanExample,
    likeness: u8,
}

/// Spans by the correlator that identifies their workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelatedSpans {
    /// `None` if none of the correlators is present.
    pub by: Option<String>,
    pub spans: i64,
}

/// A stored span that a selector matches, as far as known.
pub(super) struct MatchingSpan<'s> {
    pub(super) span: &'s StoredSpan,
    /// The number of spans that it represents.
    stands_for: f64,
    /// True if it is certain that these match as well.
    is_exact: bool,
    reads_hidden_values: bool,
}

/// An example of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanExample {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// The end of the span, by the sender's clock.
    pub ended_at: Timestamp,
}

/// Explains a definition, active or not.
pub fn explain(slo: &Slo, sample: &SampledSpans) -> Explanation {
    let selectors: Vec<SelectorExplanation> = selectors(&slo.indicator)
        .map(|(role, selector)| sample.explain(slo, role, selector))
        .collect();
    let mut advice = advice(slo, sample);
    advice.extend(sample.what_there_is(slo, &selectors));
    Explanation {
        spans_received: sample.received,
        spans_beyond_limit: sample.beyond,
        selectors,
        advice,
    }
}

impl SampledSpans {
    /// Explains one selector of a definition.
    pub fn explain(&self, slo: &Slo, role: Role, selector: &Selector) -> SelectorExplanation {
        let mut matched = 0.0;
        let mut examples = Vec::new();
        let mut correlated: BTreeMap<Option<String>, f64> = BTreeMap::new();
        let mut is_exact = true;
        let mut reads_hidden_values = false;
        for found in self.matching(selector) {
            let MatchingSpan {
                span, stands_for, ..
            } = found;
            matched += stands_for;
            is_exact &= found.is_exact;
            reads_hidden_values |= found.reads_hidden_values;
            examples.push(SpanExample::of(span));
            if let Indicator::Workflow(workflow) = &slo.indicator {
                let by = correlator_of(&workflow.correlate, role, span.span());
                *correlated.entry(by.map(Correlator::in_words)).or_default() += stands_for;
            }
        }
        examples.truncate(LISTED);
        let matched = whole(matched);
        let nearest = match matched {
            0 => self.nearest(selector),
            _ => Vec::new(),
        };
        let correlated = correlated.into_iter().map(|(by, spans)| CorrelatedSpans {
            by,
            spans: whole(spans),
        });
        SelectorExplanation {
            field: role.field(),
            selector: selector.text().to_owned(),
            matched,
            matched_is_estimate: match matched {
                0 => self.may_hide(selector),
                _ => !is_exact,
            },
            reads_hidden_values,
            examples,
            nearest,
            correlated: correlated.collect(),
        }
    }

    /// Names the most frequent unselected spans, if there is no near match to a required selector.
    fn what_there_is(&self, slo: &Slo, explained: &[SelectorExplanation]) -> Option<String> {
        let is_lost = |(role, selector): &(Role, &Selector)| {
            let is_needed = matches!(role, Role::Start | Role::Finish | Role::Event);
            let mut of_role = explained.iter().filter(|one| one.field == role.field());
            is_needed
                && !Comparisons::of(selector).is_constant()
                && of_role.all(|one| one.matched == 0 && one.nearest.is_empty())
        };
        let lost = selectors(&slo.indicator).filter(is_lost);
        let fields: Vec<String> = lost
            .map(|(role, _)| format!("`{}`", role.field()))
            .collect();
        let mut spans: BTreeMap<String, i64> = BTreeMap::new();
        for shape in &self.shapes {
            let Some(newest) = shape.examples.last() else {
                continue;
            };
            let mut selectors = selectors(&slo.indicator);
            let is_selected = selectors
                .any(|(_, selector)| selector.matches(newest.span(), SelectorContext::default()));
            if !is_selected {
                *spans.entry(newest.in_words()).or_default() += shape.spans;
            }
        }
        if fields.is_empty() || spans.is_empty() {
            return None;
        }
        let mut spans: Vec<(String, i64)> = spans.into_iter().collect();
        spans.sort_by_key(|(_, count)| Reverse(*count));
        let named = spans.into_iter().take(MOST_NAMED);
        let named: Vec<String> = named
            .map(|(name, count)| format!("{name}, {}", format::counted(count, "span")))
            .collect();
        Some(format!(
            "No span is like what {} selects. The most frequent others are: {}.",
            fields.join(" or "),
            named.join("; ")
        ))
    }

    /// Returns the stored spans that match, as far as known.
    pub(super) fn matching(&self, selector: &Selector) -> impl Iterator<Item = MatchingSpan<'_>> {
        let comparisons = Comparisons::of(selector);
        let reads_values = comparisons.reads_values();
        self.shapes.iter().flat_map(move |shape| {
            let stands_for = shape.weight_of_each();
            let is_every_one = shape.looked_at == shape.spans;
            let is_exact = is_every_one && (!reads_values || shape.is_stored_whole());
            let found = shape.examples.iter().filter_map(|span| {
                let matches = selector.matches(span.span(), SelectorContext::default());
                let is_unknown = |source, key: &str| span.is_unknown(source, key);
                let may_match = || comparisons.may_match(span.span(), &is_unknown);
                (matches || may_match()).then(|| MatchingSpan {
                    span,
                    stands_for,
                    is_exact,
                    reads_hidden_values: !matches,
                })
            });
            found.collect::<Vec<_>>()
        })
    }

    /// Returns whether spans that are not stored may match although no stored one does.
    fn may_hide(&self, selector: &Selector) -> bool {
        let mut shapes = self.shapes.iter();
        self.beyond > 0
            || Comparisons::of(selector).reads_values()
                && shapes.any(|shape| !shape.is_stored_whole())
    }

    fn spans(&self) -> impl Iterator<Item = (&StoredSpan, f64)> {
        self.shapes.iter().flat_map(|shape| {
            let stands_for = shape.weight_of_each();
            let spans = shape.examples.iter();
            spans.map(move |span| (&**span, stands_for))
        })
    }

    /// Returns the spans for which only one comparison fails: first those whose value is most
    /// similar to the required one, then the most frequent ones.
    fn nearest(&self, selector: &Selector) -> Vec<NearestSpans> {
        let comparisons = Comparisons::of(selector);
        let mut misses: BTreeMap<NearMiss, (f64, SpanExample)> = BTreeMap::new();
        for (span, stands_for) in self.spans() {
            let is_unknown = |source, key: &str| span.is_unknown(source, key);
            if let Some(miss) = comparisons.near_miss(span.span(), &is_unknown) {
                let found = misses.entry(miss);
                found.or_insert((0.0, SpanExample::of(span))).0 += stands_for;
            }
        }
        let nearest = misses
            .into_iter()
            .map(|(miss, (spans, example))| NearestSpans {
                spans: whole(spans).max(1),
                comparison: miss.comparison,
                found: miss.found,
                likeness: miss.likeness,
                example,
            });
        let mut nearest: Vec<NearestSpans> = nearest.collect();
        nearest.sort_by_key(|one| (Reverse(one.likeness), Reverse(one.spans)));
        nearest.truncate(LISTED);
        nearest
    }
}

impl SampledShape {
    fn is_stored_whole(&self) -> bool {
        usize::try_from(self.spans) == Ok(self.examples.len())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn weight_of_each(&self) -> f64 {
        self.spans as f64 / self.examples.len().max(1) as f64
    }
}

impl SpanExample {
    fn of(span: &StoredSpan) -> Self {
        let SpanRef { trace_id, span_id } = span.id();
        Self {
            trace_id,
            span_id,
            ended_at: Timestamp::from_unix_nanos(span.span().end_unix_nano()),
        }
    }
}

impl NearestSpans {
    /// Formats ``412 spans match but for `kind = producer`: `kind` is `client` ``.
    pub fn sentence(&self) -> String {
        format!(
            "{} but for `{}`: {}",
            match self.spans {
                1 => "1 span matches".to_owned(),
                many => format!("{} spans match", format::count(many)),
            },
            self.comparison,
            self.found
        )
    }
}

impl SelectorExplanation {
    /// Formats the number of matching spans: `412 spans of the last hour match`, `about 412 …` if
    /// not all were examined.
    pub fn matched_sentence(&self) -> String {
        let about = if self.matched_is_estimate {
            "about "
        } else {
            ""
        };
        let known = if self.reads_hidden_values {
            ", as far as is known: values that it reads are not stored"
        } else {
            ""
        };
        match self.matched {
            0 if self.matched_is_estimate => {
                "no span of the last hour that is stored as an example matches".to_owned()
            }
            0 => "no span of the last hour matches".to_owned(),
            1 => format!("{about}1 span of the last hour matches{known}"),
            many => format!(
                "{about}{} spans of the last hour match{known}",
                format::count(many)
            ),
        }
    }

    /// Formats the nearest match to a selector that no span matches; `None` if any does, or there
    /// is no near match.
    pub fn nearest_sentence(&self) -> Option<String> {
        self.nearest.first().map(NearestSpans::sentence)
    }
}
