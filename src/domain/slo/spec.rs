//! One SLO: its objective and the workflows that it covers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Alerting, CustomerDetails, GroupBy, Notify, Stages};
use crate::domain::{
    model::{
        ids::Name, objective::Objective, sampling::Weighing, span::AttributeName, time::TimeRange,
        window::SloWindow,
    },
    slo::exclusion::{self, Exclusion},
    traceql::Selector,
};

/// One SLO, with its policies resolved.
#[derive(Clone, Debug)]
pub struct Slo {
    pub name: Name,
    /// The name for people; the name if none was given.
    pub display_name: String,
    pub labels: BTreeMap<String, String>,
    /// Notes for people and tools, which nothing matches.
    pub annotations: BTreeMap<String, String>,
    pub description: Option<String>,
    pub service: Option<String>,
    pub objective: Objective,
    /// The window of the objective.
    pub window: SloWindow,
    pub indicator: Indicator,
    /// The attribute that names the customer of an event.
    pub customer: Option<AttributeName>,
    /// The details of customers in messages.
    pub customer_details: CustomerDetails,
    /// The grouping by which it has further budgets and alerts.
    pub group_by: Option<GroupBy>,
    /// The wait after a deadline for evidence that is still in transit.
    pub grace: Duration,
    /// The tolerance for clocks of different hosts: an end that is before its start by at most this
    /// counts as taking no time.
    pub clock_skew: Duration,
    /// The rules for weighting sampled spans.
    pub weighing: Weighing,
    /// Planned work whose events are left out of every sum.
    pub exclusions: Vec<Arc<Exclusion>>,
    pub alerting: Alerting,
    pub notify: Notify,
    pub runbook: Option<String>,
    pub source: Source,
}

impl Slo {
    /// The label with the team that the SLO belongs to.
    pub const TEAM: &'static str = "team";
    /// The label with the namespace, under the name that Prometheus has for it.
    pub const NAMESPACE: &'static str = "namespace";

    /// Exporters batch for 5 s and retry for minutes; after 2 minutes most of what was in transit
    /// has arrived.
    pub const DEFAULT_GRACE: Duration = Duration::from_mins(2);
    /// Default of [`Self::clock_skew`] if no deadline bounds it, and its minimum otherwise.
    pub const LEAST_CLOCK_SKEW: Duration = Duration::from_secs(1);
    /// The maximum of the default: hosts without any time service drift further, but then the order
    /// of start and end means nothing.
    pub const MOST_CLOCK_SKEW: Duration = Duration::from_mins(1);

    /// Returns a tenth of the time limit: that much hardly changes whether a workflow was in time.
    fn default_clock_skew(indicator: &Indicator) -> Duration {
        match indicator {
            Indicator::Workflow(workflow) => {
                (workflow.within / 10).clamp(Self::LEAST_CLOCK_SKEW, Self::MOST_CLOCK_SKEW)
            }
            Indicator::Span(_) => Self::LEAST_CLOCK_SKEW,
        }
    }

    /// Makes an SLO from its required fields, with all defaults.
    pub fn new(
        name: Name,
        objective: Objective,
        window: impl Into<SloWindow>,
        indicator: Indicator,
    ) -> Self {
        Self {
            display_name: name.to_string(),
            name,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            description: None,
            service: None,
            objective,
            window: window.into(),
            clock_skew: Self::default_clock_skew(&indicator),
            indicator,
            customer: None,
            customer_details: CustomerDetails::default(),
            group_by: None,
            grace: Self::DEFAULT_GRACE,
            weighing: Weighing::default(),
            exclusions: Vec::new(),
            alerting: Alerting::default(),
            notify: Notify::default(),
            runbook: None,
            source: Source::default(),
        }
    }
}

impl Slo {
    /// Returns the excluded parts of `range`: in order and without overlaps.
    pub fn excluded(&self, range: TimeRange) -> Vec<TimeRange> {
        let each = self.exclusions.iter();
        exclusion::union(each.flat_map(|exclusion| exclusion.within(range)).collect())
    }

    /// Returns the indicator of an SLO that divides the time of its workflows into stages.
    pub const fn staged(&self) -> Option<&WorkflowIndicator> {
        match &self.indicator {
            Indicator::Workflow(workflow) if !workflow.stages.is_none() => Some(workflow),
            Indicator::Workflow(_) | Indicator::Span(_) => None,
        }
    }

    /// Returns the counted parts of `range`.
    pub fn counted(&self, range: TimeRange) -> Vec<TimeRange> {
        exclusion::cut(range, &self.excluded(range))
    }
}

/// The location and the text of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Relative to the folder of definitions.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The text of its document.
    pub text: String,
}

/// The rule that decides between good and bad.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each SLO, behind an `Arc`"
)]
pub enum Indicator {
    Workflow(WorkflowIndicator),
    Span(SpanIndicator),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowIndicator {
    pub start: Selector,
    /// Early spans that show that the work exists, for start spans that arrive only at its end.
    pub opens: Option<Selector>,
    /// The source of the start time in start spans and those that `opens` selects, if not their own
    /// start.
    pub started_at: Option<StartedAt>,
    pub finish: Selector,
    pub fail: Option<Selector>,
    pub cancel: Option<Selector>,
    /// The outcome of a workflow that was cancelled in time.
    pub cancelled: CancelPolicy,
    /// Spans whose duration does not count towards the time limit.
    pub pause: Option<Selector>,
    /// If set, each finish is one leg of several.
    pub legs: Option<FanOut>,
    /// The time limit: end of the finish span minus start of the start span.
    pub within: Duration,
    /// In the order of precedence; the first that is present on a span decides. Never empty.
    pub correlate: Vec<Correlator>,
    pub stages: Stages,
    /// The instant of the start span at which a workflow starts.
    pub start_at: SpanInstant,
    /// The instant of the finish span at which it is finished.
    pub finish_at: SpanInstant,
}

/// One of the two instants of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanInstant {
    Start,
    End,
}

impl WorkflowIndicator {
    /// Makes an indicator from its required fields, with all defaults.
    pub const fn new(
        start: Selector,
        finish: Selector,
        within: Duration,
        correlate: Vec<Correlator>,
    ) -> Self {
        Self {
            start,
            opens: None,
            started_at: None,
            finish,
            fail: None,
            cancel: None,
            cancelled: CancelPolicy::Exclude,
            pause: None,
            legs: None,
            within,
            correlate,
            stages: Stages::Auto,
            start_at: SpanInstant::Start,
            finish_at: SpanInstant::End,
        }
    }

    /// Returns the attributes of which a span must have one to name its workflow: `span.order.id or
    /// wf`. Empty if its trace or its links always identify it.
    pub fn identified_by(&self) -> String {
        let names: Vec<String> = self
            .correlate
            .iter()
            .filter_map(|correlator| match correlator {
                Correlator::Attribute { attribute, .. } => Some(attribute.to_string()),
                Correlator::Message { id, .. } => Some(id.to_string()),
                Correlator::TraceState { key } => Some(key.clone()),
                Correlator::Trace | Correlator::Links { .. } => None,
            })
            .collect();
        names.join(" or ")
    }
}

/// The fan-out of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanOut {
    /// The attribute with the number of legs, on any of the workflow's spans. Always present for
    /// [`Completion::All`].
    pub expect: Option<AttributeName>,
    /// The attribute that identifies a leg, so that a retry of one is the same leg; without it each
    /// span is a leg.
    pub by: Option<AttributeName>,
    pub complete: Completion,
}

/// The limit of legs of one workflow; beyond it only the fact that there are too many is stored.
pub const MAX_LEGS: usize = 1_000;

/// The number of legs that must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Completion {
    All,
    Any,
    AtLeast(u32),
}

/// The outcome of a workflow that was cancelled before its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CancelPolicy {
    /// Not an event.
    #[default]
    Exclude,
    Good,
    /// Bad, like a failure.
    Bad,
}

/// The rule by which spans belong to the same workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correlator {
    /// On the span, or otherwise on its links: each link that has it belongs to a workflow of its
    /// own.
    Attribute {
        attribute: AttributeName,
        /// Distinguishes the runs that share the attribute's value.
        run: Option<AttributeName>,
    },
    /// Messages that were published together share one context: the span that published them starts
    /// `count` workflows, and `id` distinguishes them where they are received.
    Message {
        id: AttributeName,
        count: AttributeName,
    },
    /// The value of a key of the W3C trace state, on the span, or otherwise on its links as above.
    TraceState { key: String },
    /// Always present. With [`Correlator::Links`] beside it, it is the trace in which the work
    /// began.
    Trace,
    /// The trace in which the work began, found by following links back from each span.
    Links {
        /// The links to follow: a selector that sees one link at a time. All if left out.
        only: Option<Selector>,
        batch: LinkBatch,
    },
}

impl Correlator {
    /// Returns a short text for people: `span.order.id`, `message: span.messaging.message.id`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Attribute { attribute, .. } => attribute.to_string(),
            Self::Message { id, .. } => format!("message: {id}"),
            Self::TraceState { key } => format!("tracestate: {key}"),
            Self::Trace => "trace".to_owned(),
            Self::Links { .. } => "links".to_owned(),
        }
    }
}

/// The rule for ends of messages that one span received together, if the work that it passed on
/// does not show which message it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkBatch {
    /// Each message ends separately.
    #[default]
    Each,
    /// One end ends all of them.
    Whole,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanIndicator {
    /// The spans that are events.
    pub matches: Selector,
    /// Those of them that are good.
    pub good: Selector,
    /// The source of the workflow's start in the span, for `workflow:duration`.
    pub started_at: Option<StartedAt>,
}

impl SpanIndicator {
    /// Makes an indicator from its required fields, with all defaults.
    pub const fn new(matches: Selector, good: Selector) -> Self {
        Self {
            matches,
            good,
            started_at: None,
        }
    }
}

/// The source of the workflow's start in a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartedAt {
    /// A key of the W3C trace state, on the span or on one of its links.
    TraceState { key: String, unit: TimeUnit },
    Attribute {
        attribute: AttributeName,
        unit: TimeUnit,
    },
    /// The time of the span's first event of that name. Some senders use another unit than the
    /// nanoseconds that OTLP demands.
    Event { name: String, unit: TimeUnit },
}

/// The unit of an instant since the epoch. A number may be an integer, a double or a string of
/// digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Rfc3339,
}
