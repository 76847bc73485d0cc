//! The shape of the files.
//!
//! A [`Field`] is required, an `Option<Field>` is not. What a value must be beyond its shape is
//! checked in [`super::check`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    limit_file::{AbsenceFile, BudgetSpentFile, CustomersFile, ExhaustionFile},
    read::{Field, Scalar, TextOr, TextOrList},
    window_file::CalendarFile,
};
use crate::domain::slo::policy::Severity;

pub(super) const API_VERSION: &str = "throughline/v1";

/// The envelope around every definition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "the first two are read before the kind is known, and stand here for the schema"
)]
pub(super) struct Document<S> {
    pub(super) api_version: Field<String>,
    pub(super) kind: Field<String>,
    pub(super) metadata: Field<Metadata>,
    pub(super) spec: Field<S>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Metadata {
    /// An RFC 1123 label, unique per kind: 1 to 63 of a-z, 0-9 and `-`.
    #[schemars(extend("pattern" = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"))]
    pub(super) name: Field<String>,
    /// What people call it; the name where none is given.
    pub(super) display_name: Option<Field<String>>,
    pub(super) labels: Option<BTreeMap<String, Field<Scalar>>>,
}

/// A promise about the share of good events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct SloSpec {
    pub(super) description: Option<Field<String>>,
    /// The service or product area that it belongs to.
    pub(super) service: Option<Field<String>>,
    /// The promised share of good events: "99.5%", or 0.995 as a ratio.
    pub(super) objective: Field<Scalar>,
    /// The length of the rolling window, such as 30d, or a period of the calendar.
    pub(super) window: Field<TextOr<CalendarFile>>,
    pub(super) indicator: Field<IndicatorFile>,
    /// The attribute that tells whose experience an event is, such as span.customer.id.
    pub(super) customer: Option<Field<String>>,
    /// How much messages reveal of customers: `none`, `counts` (the default), `hashed` (stable
    /// pseudonyms) or `names`. Pages always name them.
    pub(super) customer_details: Option<Field<CustomerDetailsFile>>,
    /// Attributes whose values have budgets and alerts of their own, such as span.deployment.kind.
    pub(super) group_by: Option<Field<Vec<Field<String>>>>,
    /// Values beyond so many share one group; 100 if left out, 1000 at most.
    pub(super) max_groups: Option<Field<u64>>,
    /// How long after a deadline evidence that is under way is waited for; 2m if left out.
    #[schemars(with = "Option<String>")]
    pub(super) grace: Option<Field<Scalar>>,
    /// By how much the clocks of hosts may differ: an end that is before its start by at most this
    /// counts as taking no time; if left out, a tenth of `within`, at least 1s and at most 1m.
    #[schemars(with = "Option<String>")]
    pub(super) clock_skew: Option<Field<Scalar>>,
    /// What a span counts that does not say how likely it was kept: `one`, `reject` (it is no
    /// evidence), or the number of spans that it stands for; `one` if left out.
    pub(super) unknown_weight: Option<Field<Scalar>>,
    /// Names of policies, or policies written in place; `standard` if left out.
    pub(super) alert_policies: Option<Field<Vec<Field<TextOr<PolicyInPlace>>>>>,
    pub(super) notify: Option<Field<NotifyFile>>,
    /// Where it says what to do.
    pub(super) runbook: Option<Field<String>>,
}

/// How goodness is measured: exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct IndicatorFile {
    pub(super) workflow: Option<Field<WorkflowFile>>,
    pub(super) span: Option<Field<SpanFile>>,
}

/// Work of many steps that is good if it finishes in time. Selectors are TraceQL spanset filters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct WorkflowFile {
    /// The span that starts a workflow.
    pub(super) start: Field<String>,
    /// The span that finishes it well.
    pub(super) finish: Field<String>,
    /// `start` for a promise about waiting, which is over when the finish span begins; `end` if left
    /// out.
    pub(super) finish_at: Option<Field<SpanInstantFile>>,
    /// A failure for good: bad at once.
    pub(super) fail: Option<Field<String>>,
    /// Leaves the count, unless the promise was already broken.
    pub(super) cancel: Option<Field<String>>,
    /// What a workflow is that was cancelled in time; `exclude` if left out.
    pub(super) cancelled: Option<Field<CancelledFile>>,
    /// Spans while which the promise does not run, such as the wait for an approval. A span is seen
    /// when it ends, so a long pause is a timeout first, which is taken back when it is over.
    pub(super) pause: Option<Field<String>>,
    /// It fans out: each finish is one leg of several.
    pub(super) legs: Option<Field<LegsFile>>,
    /// The promise: end of the finish less start of the start.
    #[schemars(with = "String")]
    pub(super) within: Field<Scalar>,
    /// What makes spans belong to the same workflow, in order of trust: attributes, keys of the trace
    /// state, `trace` and `links`.
    pub(super) correlate: Field<Vec<Field<TextOr<CorrelatorFile>>>>,
    /// Where the time goes: `auto` (if left out) by queues and services, `none`, or stages of your own.
    pub(super) stages: Option<Field<TextOrList<StageFile>>>,
    /// Whether it starts at the `start` of its start span (if left out), or at its `end`: when the
    /// message was sent, or is to be delivered.
    pub(super) start_at: Option<Field<SpanInstantFile>>,
    /// Where a span says how likely it was kept: `sampling` (ot=th in the trace state, the default),
    /// `powerOfTwo` (ot=p), `elastic` (es=s), `attributes` (sampling.threshold), or an attribute.
    pub(super) weight: Option<Field<TextOr<WeightFile>>>,
    /// The highest sampling threshold of the spans that end workflows, in hexadecimal digits: `c`
    /// where a quarter is kept, `0` where all are. Learned from these spans if left out.
    pub(super) end_threshold: Option<Field<Scalar>>,
    /// Which trace ids tell what samplers keep where `rv` does not: all (`presumed`, as OpenTelemetry's
    /// samplers do; if left out), or those with the random flag of W3C Trace Context (`flagged`).
    pub(super) trace_id_randomness: Option<Field<TraceIdsFile>>,
}

/// A part of the way: either `span`, or `from` and `to`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct StageFile {
    pub(super) name: Field<String>,
    /// The spans that it lasts as long as.
    pub(super) span: Option<Field<String>>,
    /// `start`, or the span at whose end it begins.
    pub(super) from: Option<Field<String>>,
    /// `finish`, or the span at whose start it ends.
    pub(super) to: Option<Field<String>>,
}

/// An attribute that says how likely a span was kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct WeightFile {
    pub(super) attribute: Field<String>,
    /// `count`: one of so many was kept, the default. `ratio`: this share was.
    #[serde(rename = "as")]
    pub(super) meaning: Option<Field<MeaningFile>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum TraceIdsFile {
    Presumed,
    Flagged,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum MeaningFile {
    Count,
    Ratio,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SpanInstantFile {
    Start,
    End,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CancelledFile {
    Exclude,
    Good,
    Bad,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CustomerDetailsFile {
    None,
    Counts,
    Hashed,
    Names,
}

/// How a workflow fans out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct LegsFile {
    /// The attribute that tells how many legs there are, such as span.batch.size.
    pub(super) expect: Option<Field<String>>,
    /// The attribute that tells the legs apart, such as span.item.id; without it each span is a leg.
    pub(super) by: Option<Field<String>>,
    /// How many legs must succeed: `all`, `any` or { atLeast: 2 }.
    pub(super) complete: Field<TextOr<AtLeastFile>>,
}

/// So many legs at least.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct AtLeastFile {
    pub(super) at_least: Field<u64>,
}

/// Exactly one of attribute, message, tracestate and links.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct CorrelatorFile {
    /// An attribute of the span, or else of its links.
    pub(super) attribute: Option<Field<String>>,
    /// Tells the runs apart that share the attribute's value.
    pub(super) run: Option<Field<String>>,
    /// The attribute that tells messages apart that were published together and share one context, on
    /// the consumer's span or its links.
    pub(super) message: Option<Field<String>>,
    /// How many messages a start publishes; `span.messaging.batch.message_count` if left out, and 1
    /// where the span has none.
    pub(super) count: Option<Field<String>>,
    /// A key of the W3C trace state of the span, or else of its links.
    pub(super) tracestate: Option<Field<String>>,
    /// Which links carry a workflow on, where not all do: a selector that sees one link at a time.
    pub(super) links: Option<Field<TextOr<LinksFile>>>,
}

/// How links carry workflows on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct LinksFile {
    /// Which links, where not all do: a selector that sees one link at a time.
    #[serde(rename = "match")]
    pub(super) matches: Option<Field<String>>,
    /// Where one span takes several messages: whether `each` ends by itself (if left out), or one end
    /// ends the `whole` batch.
    pub(super) batch: Option<Field<LinkBatchFile>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LinkBatchFile {
    Each,
    Whole,
}

/// Work that one span can decide.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct SpanFile {
    /// Which spans are events.
    #[serde(rename = "match")]
    pub(super) matches: Field<String>,
    /// Which of them are good.
    pub(super) good: Field<String>,
    /// Where the span tells when its workflow started, for `workflow:duration`.
    pub(super) started_at: Option<Field<StartedAtFile>>,
    /// Where a span says how likely it was kept: `sampling` (ot=th in the trace state, the default),
    /// `powerOfTwo` (ot=p), `elastic` (es=s), `attributes` (sampling.threshold), or an attribute.
    pub(super) weight: Option<Field<TextOr<WeightFile>>>,
}

/// Exactly one of tracestate, attribute (with its unit) and event.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct StartedAtFile {
    pub(super) tracestate: Option<Field<String>>,
    pub(super) attribute: Option<Field<String>>,
    pub(super) unit: Option<Field<UnitFile>>,
    pub(super) event: Option<Field<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum UnitFile {
    Ns,
    Us,
    Ms,
    S,
    Rfc3339,
}

/// Names of notification targets, by severity.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct NotifyFile {
    pub(super) page: Option<Field<Vec<Field<String>>>>,
    pub(super) ticket: Option<Field<Vec<Field<String>>>>,
}

/// A policy of one SLO; `apiVersion` and `kind` may be left out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct PolicyInPlace {
    pub(super) api_version: Option<Field<String>>,
    pub(super) kind: Option<Field<String>>,
    pub(super) metadata: Field<Metadata>,
    pub(super) spec: Field<PolicySpec>,
}

/// When people are told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct PolicySpec {
    pub(super) rules: Field<Vec<Field<RuleFile>>>,
    pub(super) guard: Option<Field<GuardFile>>,
    /// `budget` weighs by volume and is the default, `ratio` does not.
    pub(super) burn: Option<Field<BurnFile>>,
    /// Quiet this long before an alert resolves; 5m if left out.
    #[schemars(with = "Option<String>")]
    pub(super) resolve_after: Option<Field<Scalar>>,
}

/// Exactly one of burnRate, budgetSpent, exhaustion, customers and absence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct RuleFile {
    pub(super) name: Field<String>,
    #[schemars(with = "SeverityFile")]
    pub(super) severity: Field<Severity>,
    /// For how long it must be so before people are told, such as 5m; at once if left out. Time that
    /// nobody evaluated, or without data, does not count.
    #[schemars(with = "Option<String>")]
    #[serde(rename = "for")]
    pub(super) pending_for: Option<Field<Scalar>>,
    pub(super) burn_rate: Option<Field<BurnRateFile>>,
    pub(super) budget_spent: Option<Field<BudgetSpentFile>>,
    pub(super) exhaustion: Option<Field<ExhaustionFile>>,
    pub(super) customers: Option<Field<CustomersFile>>,
    pub(super) absence: Option<Field<AbsenceFile>>,
}

/// Stands for [`Severity`] in the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", rename = "Severity")]
#[expect(dead_code, reason = "read as `Severity`, described as this")]
enum SeverityFile {
    Ticket,
    Page,
}

/// A burn rate in two windows: exactly one of spend and factor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct BurnRateFile {
    /// The share of the budget that is spent within the long window, such as 2%.
    pub(super) spend: Option<Field<Scalar>>,
    /// The burn rate itself, at least 1.
    pub(super) factor: Option<Field<f64>>,
    #[schemars(with = "String")]
    pub(super) long: Field<Scalar>,
    #[schemars(with = "String")]
    pub(super) short: Field<Scalar>,
}

/// The floor against low traffic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct GuardFile {
    /// Nothing fires on fewer bad events in the long window.
    pub(super) bad_events: Field<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BurnFile {
    Budget,
    Ratio,
}

/// Planned work that must not spend budget: its events are left out of every sum.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct ExclusionSpec {
    /// Names of SLOs; all of them if left out.
    pub(super) slos: Option<Field<Vec<Field<String>>>>,
    /// When the first occurrence begins, such as 2026-12-06T02:00:00Z.
    #[schemars(with = "String")]
    pub(super) from: Field<Scalar>,
    /// How long each takes, in whole minutes.
    #[serde(rename = "for")]
    #[schemars(with = "String")]
    pub(super) length: Field<Scalar>,
    /// How it comes again, as iCalendar writes it: FREQ=WEEKLY;COUNT=10.
    pub(super) repeat: Option<Field<String>>,
    /// Whose days and hours it comes again by, such as Europe/London; UTC if left out.
    pub(super) time_zone: Option<Field<String>>,
    pub(super) reason: Field<String>,
}

/// What `key` of `shape` will mean once it is built; `None` if it means nothing at all.
pub(super) fn not_yet_supported(shape: &str, key: &str) -> Option<&'static str> {
    match (shape, key) {
        ("SloSpec", "budgetingMethod" | "timeSlices" | "timeSliceTarget") => {
            Some("slices of time that are good or bad")
        }
        _ => None,
    }
}
