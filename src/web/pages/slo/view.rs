//! The view of one SLO, rendered as a page and as JSON.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    charts::budget::BudgetPast,
    common::InCommon,
    correlation::CorrelationView,
    evidence::EvidenceView,
    evidence::clocks::ClockView,
    groups::{GroupHead, GroupsView},
    sampling::SamplingNote,
    stages::StagesView,
    workflow_row::WorkflowView,
};
use crate::{
    domain::{
        alerting::{
            burn_rate::{Ageing, BurnContext},
            change_event::ChangeEvent,
            status::SloState,
        },
        counting::{customers::CustomerTotal, series::Series},
        model::{
            format,
            time::{Resolution, Timestamp},
        },
        slo::Slo,
    },
    store::AffectedCustomer,
    web::{
        chart::{self, BurnPoint, Markup},
        pages::{
            exclusions::ExclusionView,
            explain::UnmatchedSelector,
            history::TransitionView,
            summary::{Counts, Summary},
        },
        reader::times,
    },
};

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct SloView {
    pub(super) as_of: Timestamp,
    /// True if `as_of` is an earlier time. Workflows in flight are not listed then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_past: bool,
    /// The present state, on the page of an earlier time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_now: Option<SloState>,
    /// By the last evaluation, except for workflows in flight.
    #[serde(flatten)]
    pub(super) summary: Summary,
    pub(super) range: Range,
    /// The group of these numbers; `None` for the SLO itself.
    pub(super) group: Option<GroupHead>,
    /// `None` if events are not grouped, and for a group.
    pub(super) groups: Option<GroupsView>,
    /// Over the SLO's window until now.
    pub(super) counts: Counts,
    /// Evidence of the window that could not be used or changed a verdict, by reason.
    pub(super) evidence: Vec<EvidenceView>,
    /// Planned work in the window whose events are excluded, latest first; omitted if there is
    /// none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) excluded: Vec<ExclusionView>,
    /// The effects of sampled spans on the numbers; omitted if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sampling: Vec<SamplingNote>,
    /// Spans of the window; `None` without any.
    pub(super) correlation: Option<CorrelationView>,
    /// Selectors that no span of the last hour matches, for an SLO that counts nothing or whose
    /// workflows have never ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unmatched_selectors: Vec<UnmatchedSelector>,
    /// Differences between the clocks of services, if there are enough messages; empty for a group.
    pub(super) clocks: Vec<ClockView>,
    pub(super) in_flight_oldest: Vec<WorkflowView>,
    /// Of the last hour.
    pub(super) worst_workflows: Vec<WorkflowView>,
    /// The number of bad workflows of the last hour, from the first on, among which `worst_workflows`
    /// and `customers` were looked for; omitted if there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bad_workflows_examined: Option<u32>,
    /// Of the last hour.
    pub(super) in_common: InCommon,
    /// Of the last hour.
    pub(super) customers: Vec<CustomerView>,
    /// Customers with any event in the hours that the last hour touches.
    #[serde(skip)]
    pub(super) customers_total: CustomerTotal,
    /// Of the window, newest first.
    pub(super) transitions: Vec<TransitionView>,
    /// Deploys, flags and notes of the window, newest first, of the services that take part.
    pub(super) events: Vec<ChangeEvent>,
    pub(super) budget_history: Vec<BudgetPoint>,
    /// Of the windows of the first rule, over the range.
    pub(super) burn_history: Vec<BurnPoint>,
    /// Over the range; steps without a bad event are left out.
    pub(super) bad_by_reason: Vec<ReasonPoint>,
    /// The stages of the mean workflow over the range; omitted if the definition does not request
    /// stages.
    #[serde(rename = "latency_breakdown")]
    pub(super) stages: Option<StagesView>,
    pub(super) definition: DefinitionView,
    /// The inputs of the forecast of the budget.
    #[serde(skip)]
    pub(super) burn: BurnContext,
    #[serde(skip)]
    pub(super) ageing: Ageing,
    #[serde(skip)]
    pub(super) past: Past,
}

/// The series of the charts.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) budget: BudgetPast,
    /// The range, preceded by the longest window of the drawn rule.
    pub(super) range: Series,
    /// The range only, in bars.
    pub(super) bars: Series,
}

#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
pub(super) struct BudgetPoint {
    pub(super) at: Timestamp,
    pub(super) budget_remaining_ratio: Option<f64>,
}

#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(super) struct ReasonPoint {
    /// The start of the step.
    at: Timestamp,
    late: i64,
    failed: i64,
    timeout: i64,
}

impl ReasonPoint {
    pub(super) fn all(bars: &Series) -> Vec<Self> {
        (0..bars.len())
            .map(|index| (bars.time(index), bars.sum(index, index + 1)))
            .filter(|(_, counts)| counts.bad() != 0)
            .map(|(at, counts)| Self {
                at,
                late: counts.late,
                failed: counts.failed,
                timeout: counts.timeout,
            })
            .collect()
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct DefinitionView {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) text: String,
    /// The annotations in `metadata`.
    pub(super) annotations: BTreeMap<String, String>,
    /// The attribute that names the customer.
    pub(super) customer: Option<String>,
}

impl DefinitionView {
    pub(super) fn of(slo: &Slo) -> Self {
        Self {
            file: slo.source.file.clone(),
            line: slo.source.line,
            text: slo.source.text.clone(),
            annotations: slo.annotations.clone(),
            customer: slo.customer.as_ref().map(ToString::to_string),
        }
    }
}

/// The range of the charts of burn rates and reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(super) enum Range {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "28d")]
    FourWeeks,
}

impl Range {
    pub(super) const ALL: [Self; 5] = [
        Self::Hour,
        Self::SixHours,
        Self::Day,
        Self::Week,
        Self::FourWeeks,
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::FourWeeks => "28d",
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Hour => "1 h",
            Self::SixHours => "6 h",
            Self::Day => "24 h",
            Self::Week => "7 d",
            Self::FourWeeks => "28 d",
        }
    }

    pub(super) fn length(self) -> Duration {
        Duration::from_secs(
            3_600
                * match self {
                    Self::Hour => 1,
                    Self::SixHours => 6,
                    Self::Day => 24,
                    Self::Week => 168,
                    Self::FourWeeks => 672,
                },
        )
    }

    /// Returns which buckets to read, the distance of points on a line, and the width of a bar: at
    /// most 360 points and 84 bars.
    pub(super) fn grain(self) -> (Resolution, Duration, Duration) {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        match self {
            Self::Hour => (Resolution::Minute, minutes(1), minutes(1)),
            Self::SixHours => (Resolution::Minute, minutes(1), minutes(5)),
            Self::Day => (Resolution::Minute, minutes(5), minutes(20)),
            Self::Week => (Resolution::Hour, minutes(60), minutes(120)),
            Self::FourWeeks => (Resolution::Hour, minutes(120), minutes(480)),
        }
    }

    /// Returns which buckets of durations to read, and the width of a column. They are far more
    /// than those of counts, so hours are used from a day on.
    pub(super) fn grain_of_durations(self) -> (Resolution, Duration) {
        match self {
            Self::Day => (Resolution::Hour, Resolution::Hour.length()),
            Self::Hour | Self::SixHours | Self::Week | Self::FourWeeks => {
                let (resolution, _, bar) = self.grain();
                (resolution, bar)
            }
        }
    }
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct CustomerView {
    pub(super) customer: String,
    pub(super) bad: i64,
    /// The share among all bad events with a customer.
    pub(super) share_of_bad_ratio: f64,
}

impl CustomerView {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn new(record: AffectedCustomer, bad_of_all: i64) -> Self {
        Self {
            share_of_bad_ratio: record.bad as f64 / bad_of_all.max(1) as f64,
            customer: record.customer,
            bad: record.bad,
        }
    }

    pub(super) fn all(records: Vec<AffectedCustomer>, bad_of_all: i64) -> Vec<Self> {
        let view = |record| Self::new(record, bad_of_all);
        records.into_iter().map(view).collect()
    }

    pub(super) fn bar(&self) -> Markup {
        chart::share_bar(self.share_of_bad_ratio)
    }

    pub(super) fn bad_text(&self) -> String {
        format::count(self.bad)
    }

    pub(super) fn share_text(&self) -> String {
        format::percent(self.share_of_bad_ratio)
    }
}

impl SloView {
    /// Returns the URL of the page as of this time.
    pub(super) fn address(&self) -> String {
        let group = self.group.as_ref();
        let group = group.map_or_else(String::new, |group| format!("/groups/{}", group.id));
        format!(
            "/slos/{}{group}?range={}",
            self.summary.name,
            self.range.name()
        )
    }

    /// Returns the number of affected customers, shown in bold, and the text after it: `29 of 391
    /// customers`, ` in the last hour`.
    pub(super) fn customers_reading(&self) -> (String, String) {
        let affected = self.summary.customers_affected_last_hour;
        let people = CustomerTotal::people(affected, Some(&self.customers_total));
        match (people, &self.definition.customer) {
            (Some(people), _) => (people, " in the last hour".to_owned()),
            (None, None) => (
                "Unknown".to_owned(),
                ": the definition names no customer".to_owned(),
            ),
            (None, Some(attribute)) if self.knows_no_customer() => {
                ("Unknown".to_owned(), format!(": no event has {attribute}"))
            }
            (None, Some(_)) => (
                "Nobody".to_owned(),
                format!(" of {} in the last hour", self.customers_total.counted()),
            ),
        }
    }

    /// Returns whether there are events, but none has a customer.
    fn knows_no_customer(&self) -> bool {
        self.customers_total.customers == 0 && self.summary.last_hour.total > 0
    }

    /// Returns why no customer is listed.
    pub(super) fn no_customer_text(&self) -> &'static str {
        match &self.definition.customer {
            None => {
                "Add `customer` to the definition: the attribute of the spans that names the customer."
            }
            Some(_) if self.knows_no_customer() => {
                "Check the name of the attribute, and which spans have it."
            }
            Some(_) => "Customers with bad events are listed here.",
        }
    }

    /// Returns `of the last hour`, or of which bad workflows of it if not all were looked at.
    pub(super) fn bad_of_last_hour(&self) -> String {
        let examined = self.bad_workflows_examined.map(i64::from);
        examined.map_or_else(
            || "of the last hour".to_owned(),
            |first| format!("among the first {} of the last hour", format::count(first)),
        )
    }

    /// Returns whether the page has links to traces.
    pub(super) fn has_trace_links(&self) -> bool {
        let mut worst = self.worst_workflows.iter();
        worst.any(|workflow| !workflow.links.is_empty())
    }

    /// Returns planned work as name, time and reason.
    pub(super) fn left_out(&self) -> Vec<(&str, String, &str)> {
        let each = self.excluded.iter();
        each.map(|one| {
            (
                one.name.as_str(),
                one.time_text(self.as_of),
                one.reason.as_str(),
            )
        })
        .collect()
    }

    /// Returns deploys, flags and notes as time, kind, title and URL.
    pub(super) fn happened(&self) -> Vec<(String, &'static str, &str, Option<&str>)> {
        let each = self.events.iter();
        each.map(|event| {
            let at = times::moment(event.at, self.as_of);
            (
                at,
                event.kind.as_str(),
                event.title.as_str(),
                event.url.as_deref(),
            )
        })
        .collect()
    }

    /// Draws the stages of one of the worst workflows, to the scale of the slowest.
    pub(super) fn strip(&self, workflow: &WorkflowView) -> Markup {
        let took = self
            .worst_workflows
            .iter()
            .filter_map(|one| one.duration_seconds);
        let longest = took.fold(0.0, f64::max);
        workflow.stages.strip(longest, self.summary.within_seconds)
    }

    /// Returns the outcomes of all workflows, as number and words.
    pub(super) fn flow(&self) -> Vec<(String, String)> {
        let counts = self.summary.evaluated_counts.by_outcome;
        let within = self.summary.within_seconds.map(format::seconds);
        let late = within.as_ref().map_or_else(
            || "not good".to_owned(),
            |within| format!("late: ended, but after {within}"),
        );
        let row = |n: i64, text: &str| (format::count(n), text.to_owned());
        let mut rows = vec![
            row(counts.total(), "events of this SLO, good or bad"),
            row(counts.good, "good"),
            row(counts.late, &late),
            row(counts.failed, "failed"),
            row(
                counts.timeout,
                "never finished: deadline and grace have passed",
            ),
            row(self.summary.in_flight, "in flight, not judged yet"),
            row(counts.cancelled, "cancelled in time: no event"),
            row(counts.orphan, "orphans: ends without a start"),
            row(counts.invalid, "invalid: contradictory, or above a limit"),
        ];
        if counts.unobservable != 0 {
            rows.push(row(
                counts.unobservable,
                "unobservable: without an end, which a sampler would have dropped; no event",
            ));
        }
        if counts.evidence_lost != 0 {
            rows.push(row(
                counts.evidence_lost,
                "evidence lost: without an end, which may have been lost with links or in a restored backup; no event",
            ));
        }
        if counts.ambiguous != 0 {
            rows.push(row(
                counts.ambiguous,
                "ambiguous: an end that may belong to any of several workflows; no event",
            ));
        }
        rows
    }
}
