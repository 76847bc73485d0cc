//! Spans that an SLO selected and could not use, in words, and what to do about them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::format;

/// How often one thing was wrong since the window began.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EvidenceView {
    reason: String,
    count: i64,
    pub(super) meaning: &'static str,
    pub(super) next_step: &'static str,
}

impl EvidenceView {
    pub(super) fn all(counts: BTreeMap<String, i64>) -> Vec<Self> {
        counts
            .into_iter()
            .map(|(reason, count)| {
                let (meaning, next_step) = explanation(&reason);
                Self {
                    reason,
                    count,
                    meaning,
                    next_step,
                }
            })
            .collect()
    }

    pub(super) fn count_text(&self) -> String {
        format::count(self.count)
    }
}

fn explanation(reason: &str) -> (&'static str, &'static str) {
    match reason {
        "uncorrelated" => (
            "unmatched spans: they carry none of the attributes that the definition correlates by",
            "Set one of these attributes on the spans, or add one that they have to `correlate`.",
        ),
        "too_late" => (
            "late spans: they speak of a time whose records may be gone, so they were not counted",
            "Check the senders' clocks, and how long collectors keep what they could not send.",
        ),
        "no_start_time" => (
            "spans whose `startedAt` attribute is missing or is no time",
            "Set it where the work is handed over, or correct `startedAt` in the definition.",
        ),
        "corrected" => (
            "verdicts that a later span changed; each event still counts once",
            "If there are many, lengthen `grace`, so that verdicts wait for late spans.",
        ),
        "too_many_stage_spans" => (
            "messages that there was no room for: where the time goes is told less precisely",
            "Declare the stages that matter in `stages`, or write `stages: none`.",
        ),
        "too_many_stages" => (
            "times in stages that are one too many: they are shown as `other`",
            "Queues whose names hold ids are told apart for ever: declare stages in `stages`.",
        ),
        _ => (
            "noted by another version of this service",
            "Look the reason up in the documentation of that version.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::classify::Unusable;

    #[test]
    fn every_reason_has_words_of_its_own() {
        let unusable = [
            Unusable::Uncorrelated,
            Unusable::TooLate,
            Unusable::NoStartTime,
            Unusable::TooManyPieces,
            Unusable::TooManyStages,
        ];
        let reasons = unusable.map(Unusable::as_str);
        for reason in reasons.into_iter().chain(["corrected"]) {
            assert_ne!(explanation(reason), explanation("?"), "{reason}");
        }
    }
}
