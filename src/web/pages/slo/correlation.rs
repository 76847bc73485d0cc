//! The share of an SLO's selected spans that name their workflow, and how to correct the others.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{model::format, workflow::classify::DiscardReason},
    store::SelectedSpans,
};

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct CorrelationView {
    correlated: i64,
    uncorrelated: i64,
    /// The share of both that is correlated.
    correlated_ratio: f64,
    /// Ends without a recorded start.
    orphans: i64,
    pub(super) next_step: Option<&'static str>,
}

impl CorrelationView {
    /// Returns `None` if no span arrived that could be correlated.
    pub(super) fn new(spans: &SelectedSpans, orphans: i64) -> Option<Self> {
        let uncorrelated = [DiscardReason::Uncorrelated, DiscardReason::KeyTooLong]
            .into_iter()
            .filter_map(|why| spans.unusable.get(why.as_str()))
            .sum();
        let all = spans.correlated + uncorrelated;
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let correlated_ratio = spans.correlated as f64 / all as f64;
        (all > 0).then_some(Self {
            correlated: spans.correlated,
            uncorrelated,
            correlated_ratio,
            orphans,
            next_step: next_step(uncorrelated, orphans),
        })
    }

    pub(super) fn rate_text(&self) -> String {
        format::percent(self.correlated_ratio)
    }

    pub(super) fn reading(&self) -> String {
        format!(
            "of {} selected spans name their workflow; {} have no known start",
            format::count(self.correlated + self.uncorrelated),
            format::counted(self.orphans, "end")
        )
    }
}

fn next_step(uncorrelated: i64, orphans: i64) -> Option<&'static str> {
    match (uncorrelated, orphans) {
        (0, 0) => None,
        (0, _) => Some(
            "For ends without a start, the start span was not exported, not selected, or names another workflow. Compare the key of such an end with that of a start. If a new trace begins in between, add `links` or an attribute to `correlate`.",
        ),
        (_, _) => Some(
            "Set one of the attributes in `correlate` on the spans that have none, or add an attribute that they have to `correlate`.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spans(correlated: i64, unusable: &[(DiscardReason, i64)]) -> SelectedSpans {
        let unusable = unusable
            .iter()
            .map(|(why, count)| (why.as_str().to_owned(), *count));
        SelectedSpans {
            correlated,
            unusable: unusable.collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn the_rate_is_of_spans_that_could_have_been_correlated() {
        let unusable = [
            (DiscardReason::Uncorrelated, 20),
            (DiscardReason::KeyTooLong, 5),
            (DiscardReason::TooLate, 1_000),
        ];
        let view = CorrelationView::new(&spans(75, &unusable), 0).unwrap();
        assert!((view.correlated_ratio - 0.75).abs() < 1e-9);
        assert_eq!(view.uncorrelated, 25);
    }

    #[test]
    fn without_a_span_there_is_no_rate() {
        assert!(CorrelationView::new(&spans(0, &[(DiscardReason::TooLate, 3)]), 0).is_none());
    }

    #[test]
    fn what_is_wrong_has_a_next_step_and_what_is_right_has_none() {
        let step = |unusable: &[_], orphans| {
            let view = CorrelationView::new(&spans(10, unusable), orphans).unwrap();
            view.next_step
        };
        assert_eq!(step(&[], 0), None);
        assert!(step(&[], 1).is_some_and(|step| step.contains("start")));
        let lacking = step(&[(DiscardReason::Uncorrelated, 1)], 1);
        assert!(lacking.is_some_and(|step| step.contains("attribute")));
    }
}
