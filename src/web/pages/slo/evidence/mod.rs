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
        "spans without any of the attributes in `correlate`",
        "Set one of these attributes on the spans, or add one that they have to `correlate`.",
    ),
    (
        "too_late",
        "late spans: workflows of that time may be deleted already, so the spans were not counted",
        "Check the senders' clocks, and how long collectors buffer spans that they could not send.",
    ),
    (
        "no_start_time",
        "spans whose `startedAt` attribute is missing or is no time",
        "Set it where the work begins, or correct `startedAt` in the definition.",
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
        "spans whose key is longer than any id; it may be a payload",
        "Correlate by an attribute that holds an id of at most 1,024 bytes.",
    ),
];

/// Reasons of links and messages.
const LINKS: &[Explained] = &[
    (
        "evidence_lost",
        "links that senders dropped from ending spans, because their limit was reached. Workflows that were open at that time and have no end are not counted as timeouts but as evidence lost, so they are no events",
        "Raise the senders' limit of links per span (OTEL_SPAN_LINK_COUNT_LIMIT), or consume \
         smaller batches.",
    ),
    (
        "too_many_links",
        "spans with too many links or messages: those above the limit are ignored, and their workflows are lost",
        "Publish and process batches of at most 1,000 messages per span, or one span per message.",
    ),
    (
        "too_many_hops",
        "spans whose work began more than 32 links away: only 32 are followed",
        "Correlate by an attribute that is propagated, or end the workflow earlier.",
    ),
    (
        "of_unknown_message",
        "pauses and legs after a span that received messages of several workflows. They are not applied, because it is unknown to which workflow each belongs",
        "Correlate by an attribute or a message id that all of these spans have.",
    ),
];

/// Reasons of workflows, found when they are judged.
const WORKFLOWS: &[Explained] = &[
    (
        "clock_skew",
        "workflows that ended before they started, by at most `clockSkew`: their duration counts as 0",
        "If there are many, synchronise the clocks of the hosts; all durations are wrong by as much.",
    ),
    (
        "ends_before_start",
        "workflows that ended before they started, by more than `clockSkew`: not counted",
        "Check whether two workflows share one key. If it is the clocks of the hosts, synchronise them or raise `clockSkew`.",
    ),
    (
        "contradicted",
        "events that were sent several times with different contents: the worst one counts",
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
        "starts after the end of a workflow with the same key: counted as the same workflow",
        "Distinguish the runs: `{ attribute: ..., run: ... }` in `correlate`.",
    ),
    (
        "several_starts",
        "traces with several start spans: each trace is one workflow, from the earliest of them",
        "If each start is work of its own, write `correlate: [trace, links]`. If some are attempts \
         that failed, add `status != error` to `start`.",
    ),
    (
        "many_messages_one_workflow",
        "starts that published several messages. Nothing distinguishes the messages, so the first one that ends completes the workflow",
        "Add `{ message: span.messaging.message.id }`, or the attribute with the message id, as the \
         first entry of `correlate`. If `start` selects the request around them, select the publishing spans instead, or declare `legs` so that all messages must end.",
    ),
    (
        "one_of_a_batch",
        "workflows of a batch that are judged by number: it is known how many ended in time but not which, so counts of customers are shown as \"up to\"",
        "Correlate by an attribute or a message id if you need to know which.",
    ),
    (
        "more_ends_than_workflows",
        "workflows of batches with more ends than workflows. Some messages were delivered again or split, so as many workflows count as ambiguous",
        "Correlate by an attribute or a message id.",
    ),
    (
        "one_end_of_a_batch",
        "workflows of batches with a single end, which may be of one workflow or of all",
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
        "Normal after a stall or an outage. If there are many at other times, lengthen `grace`, so that verdicts wait for late spans.",
    ),
];

/// Reasons of sampling probabilities.
const SAMPLING: &[Explained] = &[
    (
        "unknown_weight",
        "spans without a sampling probability, rejected because of `unknownWeight: reject`",
        "Let all senders sample with `ot=th`, or write `unknownWeight: one` if they send all spans.",
    ),
    (
        "invalid_sampling",
        "spans whose sampling probability is malformed or impossible, so their weight is unknown",
        "Check `ot=th:...;rv:...` in their trace state, or the attribute that `weight` names.",
    ),
    (
        "capped_weight",
        "spans that represent more than a million others; they were counted as a million",
        "Check the sampler: with so few spans an SLO cannot be judged.",
    ),
];

/// Reasons of additional data that is not used for verdicts.
const DETAILS: &[Explained] = &[
    (
        CUSTOMERS_OVERFLOW,
        "events of customers after the first 10,000 of an hour or day; these customers are not counted separately",
        "In `customer`, name an attribute that is the same in all events of a customer; this one may change with every event.",
    ),
    (
        "customer_truncated",
        "customers whose name was truncated to 256 bytes, so several may count as one",
        "In `customer`, name an attribute with a short id.",
    ),
    (
        "several_values",
        "spans on which the attribute of `customer` or `groupBy` is an array of several values, so it names none",
        "Name an attribute with one value in `customer` and `groupBy`. An array of one value counts as that value.",
    ),
    (
        "attributes_truncated",
        "spans with more than 16 attributes (and 16 of the resource), or with values above 128 bytes. They are counted, but the rest of their attributes is not compared",
        "If an attribute is missing in the comparison, use short values and a name that comes early in the alphabet.",
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
        "stages above the limit: they are shown together as `other`",
        "If names of queues contain ids, each is a stage of its own; declare stages in `stages`.",
    ),
];

/// A reason in the database that another version of the service wrote.
const UNHEARD_OF: (&str, &str) = (
    "reason of another version of this service",
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
