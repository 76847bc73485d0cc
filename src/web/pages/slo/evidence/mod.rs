//! Explanations of unusable spans of an SLO, and how to correct them.

pub(super) mod clocks;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::model::format;

/// A reason that is counted with the customers instead of the evidence.
const CUSTOMERS_OVERFLOW: &str = "customers_overflow";

/// The number of occurrences of one reason since the window began.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct EvidenceView {
    reason: String,
    count: i64,
    pub(super) meaning: &'static str,
    pub(super) next_step: &'static str,
}

impl EvidenceView {
    /// Returns evidence by reason, and events of customers beyond the limit of distinct customers.
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

/// A reason, its meaning, and how to correct it.
type Explained = (&'static str, &'static str, &'static str);

/// Reasons of spans and their correlation.
const SPANS: &[Explained] = &[
    (
        "uncorrelated",
        "unmatched spans: they carry none of the attributes that the definition correlates by",
        "Set one of these attributes on the spans, or add one that they have to `correlate`.",
    ),
    (
        "too_late",
        "late spans: they speak of a time whose records may be gone, so they were not counted",
        "Check the senders' clocks, and how long collectors keep what they could not send.",
    ),
    (
        "no_start_time",
        "spans whose `startedAt` attribute is missing or is no time",
        "Set it where the work is handed over, or correct `startedAt` in the definition.",
    ),
    (
        "no_leg",
        "spans of legs without the attribute of `legs.by`",
        "Set it on every span that finishes or fails a leg, or correct `legs.by`.",
    ),
    (
        "no_number",
        "spans whose `legs.expect` attribute is not a whole number",
        "Set it to the number of legs, or correct `legs.expect` in the definition.",
    ),
    (
        "key_too_long",
        "spans whose key is longer than any id: a payload seems to stand in its place",
        "Correlate by an attribute that holds an id of at most 1,024 bytes.",
    ),
];

/// Reasons of links and messages.
const LINKS: &[Explained] = &[
    (
        "evidence_lost",
        "links of ending spans that senders had no room for: workflows without an end that were open \
         then are not counted as timeouts but as evidence lost, and are no events",
        "Raise the senders' limit of links per span (OTEL_SPAN_LINK_COUNT_LIMIT), or consume \
         smaller batches.",
    ),
    (
        "too_many_links",
        "spans with more links or messages than are looked at; the workflows of the others are lost",
        "Publish and process batches of at most 1,000 messages per span, or one span per message.",
    ),
    (
        "too_many_hops",
        "spans whose work began more than 32 links away, where they were not followed",
        "Correlate by an attribute that is handed on, or end the workflow earlier.",
    ),
    (
        "of_unknown_message",
        "pauses and legs behind a span that took messages of several workflows: which of them each is \
         about is unknown, so they are not applied",
        "Correlate by an attribute or a message id that they all bear.",
    ),
];

/// Reasons of workflows, found when they are judged.
const WORKFLOWS: &[Explained] = &[
    (
        "clock_skew",
        "workflows that ended before they started, by no more than `clockSkew`: counted as having taken no time",
        "If there are many, synchronise the clocks of the hosts: durations are off by as much.",
    ),
    (
        "ends_before_start",
        "workflows that ended before they started, by more than `clockSkew`: not counted",
        "Check whether two workflows share one key. If the clocks of the hosts differ by so much, \
         synchronise them, or set `clockSkew` to what they differ by.",
    ),
    (
        "contradicted",
        "events whose copies say different things: the worst counts",
        "Find out which client sends a span again with another status or other attributes.",
    ),
    (
        "too_many_pauses",
        "workflows with more than 128 pauses: not judged",
        "Select fewer, longer spans as `pause`.",
    ),
    (
        "too_many_legs",
        "workflows with more than 1,000 legs: not judged",
        "Correlate by a smaller unit of work, or let one last span finish it, without `legs`.",
    ),
    (
        "unknown_legs",
        "workflows whose number of legs is unknown: not judged",
        "Set the attribute of `legs.expect` on the span that starts the work.",
    ),
    (
        "reused",
        "starts after the end of a workflow with the same key: taken for that workflow",
        "Tell the runs apart: `{ attribute: ..., run: ... }` in `correlate`.",
    ),
    (
        "several_starts",
        "traces with several start spans: each trace is one workflow, from the earliest of them",
        "If each start is work of its own, write `correlate: [trace, links]`. If some are attempts \
         that failed, add `status != error` to `start`.",
    ),
    (
        "many_messages_one_workflow",
        "starts that published several messages: nothing distinguishes these, so the first that ends \
         ends the workflow",
        "Add `{ message: span.messaging.message.id }`, or the attribute with the message id, as the \
         first entry of `correlate`. Where `start` selects a request that publishes them, let it select \
         what publishes, or write `legs` to say what completes the request.",
    ),
    (
        "one_of_a_batch",
        "workflows that went through a batch and are judged by number: how many ended in time is \
         known, which of them is not, so customers count as \"up to\"",
        "Correlate by an attribute or a message id, if who it was matters.",
    ),
    (
        "more_ends_than_workflows",
        "workflows of batches behind which more ended than went in: some were delivered again or \
         split, so as many workflows are ambiguous",
        "Correlate by an attribute or a message id.",
    ),
    (
        "one_end_of_a_batch",
        "workflows of batches with one end for all of them: it may have ended all or one",
        "Write `{ links: { batch: whole } }` in `correlate` if it ends all. Otherwise correlate by an \
         attribute or a message id.",
    ),
    (
        "too_large_batch",
        "workflows of batches that share more than 1,000 workflows: not judged by number",
        "Correlate by an attribute or a message id.",
    ),
    (
        "corrected",
        "verdicts that a later span changed; each event still counts once",
        "Nothing must be done after a stall or an outage: what ends late is counted when it does. If there \
         are many at other times, lengthen `grace`, so that verdicts wait for late spans.",
    ),
];

/// Reasons of sampling probabilities.
const SAMPLING: &[Explained] = &[
    (
        "unknown_weight",
        "spans that do not say how likely they were kept, which `unknownWeight: reject` refuses",
        "Let all senders sample with `ot=th`, or write `unknownWeight: one` if they keep all.",
    ),
    (
        "invalid_sampling",
        "spans whose sampling is malformed or cannot be true, so their weight is unknown",
        "Check `ot=th:...;rv:...` in their trace state, or the attribute that `weight` names.",
    ),
    (
        "capped_weight",
        "spans that stand for more than a million others, and were counted for a million",
        "Check their sampler: hardly anything that it keeps so rarely can be judged.",
    ),
];

/// Reasons of additional data that is not used for verdicts.
const DETAILS: &[Explained] = &[
    (
        CUSTOMERS_OVERFLOW,
        "events of customers beyond the first 10,000 of an hour or day, which are not counted separately",
        "Name an attribute in `customer` that stays the same over a customer's events: this one may be new with each.",
    ),
    (
        "customer_truncated",
        "customers whose name is longer than 256 bytes; it was cut, so some may count as one",
        "Name an attribute in `customer` that holds a short id.",
    ),
    (
        "several_values",
        "spans on which the attribute of `customer` or `groupBy` is an array of several values, so it names none",
        "Name an attribute with one value in `customer` and `groupBy`. An array of one value counts as that value.",
    ),
    (
        "attributes_truncated",
        "spans with more attributes than are compared, 16 and 16 of their resource, or with longer ones than 128 bytes; they count all the same",
        "Nothing must be done. If what bad events share is missing, give it a short value and an attribute whose name comes early in the alphabet.",
    ),
    (
        "too_many_stage_spans",
        "messages beyond the limit: stages are less precise",
        "Declare the stages that matter in `stages`, or write `stages: none`.",
    ),
    (
        "stages_not_sampled",
        "workflows whose stages are unknown: there are too many, so those of a sample are stored",
        "Nothing must be done. Declare the stages that matter in `stages` to have a larger sample.",
    ),
    (
        "too_many_stages",
        "times in stages that are one too many: they are shown as `other`",
        "Queues whose names contain ids count as separate stages: declare stages in `stages`.",
    ),
];

/// A reason in the database that another version of the service wrote.
const UNHEARD_OF: (&str, &str) = (
    "noted by another version of this service",
    "Look the reason up in the documentation of that version.",
);

/// Returns the meaning of a reason, and how to correct it.
pub(in crate::web::pages) fn explanation(reason: &str) -> (&'static str, &'static str) {
    [SPANS, LINKS, WORKFLOWS, SAMPLING, DETAILS]
        .into_iter()
        .flatten()
        .find(|(explained, ..)| *explained == reason)
        .map_or(UNHEARD_OF, |(_, meaning, next_step)| (meaning, next_step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::workflow::{WorkflowNote, classify::DiscardReason};

    #[test]
    fn every_reason_has_words_of_its_own() {
        let unusable = DiscardReason::ALL.map(DiscardReason::as_str);
        let noted = WorkflowNote::ALL.map(WorkflowNote::as_str);
        for reason in unusable
            .into_iter()
            .chain(noted)
            .chain([CUSTOMERS_OVERFLOW])
        {
            assert_ne!(explanation(reason), explanation("?"), "{reason}");
        }
    }
}
