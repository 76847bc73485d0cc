//! Spans that an SLO selected and could not use, in words, and what to do about them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::format;

/// A reason that is counted with the customers and not with the evidence.
const CUSTOMERS_OVERFLOW: &str = "customers_overflow";

/// How often one thing was wrong since the window began.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EvidenceView {
    reason: String,
    count: i64,
    pub(super) meaning: &'static str,
    pub(super) next_step: &'static str,
}

impl EvidenceView {
    /// Of evidence by reason, and events of customers beyond those that are told apart.
    pub(super) fn all(mut counts: BTreeMap<String, i64>, customers_overflow: i64) -> Vec<Self> {
        if customers_overflow > 0 {
            counts.insert(CUSTOMERS_OVERFLOW.to_owned(), customers_overflow);
        }
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
        CUSTOMERS_OVERFLOW => (
            "events of customers beyond the first 10,000 of an hour or day, which are not told apart",
            "Name an attribute in `customer` that stays the same over a customer's events: this one may be new with each.",
        ),
        "customer_cut" => (
            "customers whose name is longer than 256 bytes; it was cut, so some may count as one",
            "Name an attribute in `customer` that holds a short id.",
        ),
        "attributes_cut" => (
            "spans with more attributes than are compared, 16 and 16 of their resource, or with longer ones than 128 bytes; they count all the same",
            "Nothing must be done. If what bad events share is missing, give it a short value and an attribute whose name comes early in the alphabet.",
        ),
        "corrected" => (
            "verdicts that a later span changed; each event still counts once",
            "If there are many, lengthen `grace`, so that verdicts wait for late spans.",
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
            Unusable::CustomerCut,
            Unusable::AttributesCut,
        ];
        let reasons = unusable.map(Unusable::as_str);
        for reason in reasons.into_iter().chain(["corrected", CUSTOMERS_OVERFLOW]) {
            assert_ne!(explanation(reason), explanation("?"), "{reason}");
        }
    }
}
