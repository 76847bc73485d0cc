//! One SLO: what is promised about which work.

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

/// One SLO, its policies resolved.
#[derive(Clone, Debug)]
pub struct Slo {
    pub name: Name,
    /// What people call it; the name where none was given.
    pub display_name: String,
    pub labels: BTreeMap<String, String>,
    pub description: Option<String>,
    pub service: Option<String>,
    pub objective: Objective,
    /// What the objective holds for.
    pub window: SloWindow,
    pub indicator: Indicator,
    /// Whose experience an event is.
    pub customer: Option<AttributeName>,
    /// What messages tell of them.
    pub customer_details: CustomerDetails,
    /// By what it has budgets and alerts besides its own.
    pub group_by: Option<GroupBy>,
    /// How long after a deadline evidence that is under way is waited for.
    pub grace: Duration,
    /// Clocks of different hosts disagree: an end that is before its start by at most this counts as
    /// taking no time.
    pub clock_skew: Duration,
    /// How spans are weighed that stand for others.
    pub weighing: Weighing,
    /// Planned work whose events are left out of every sum.
    pub exclusions: Vec<Arc<Exclusion>>,
    pub alerting: Alerting,
    pub notify: Notify,
    pub runbook: Option<String>,
    pub source: Source,
}

impl Slo {
    /// Exporters batch for 5 s and retry for minutes; after 2 minutes most of what is under way has
    /// arrived.
    pub const DEFAULT_GRACE: Duration = Duration::from_mins(2);
    /// Default of [`Self::clock_skew`] where no deadline bounds it, and the least elsewhere.
    pub const LEAST_CLOCK_SKEW: Duration = Duration::from_secs(1);
    /// The most that is assumed without being declared: hosts without any time service drift further,
    /// but then an order of start and end means nothing.
    pub const MOST_CLOCK_SKEW: Duration = Duration::from_mins(1);

    /// A tenth of what a workflow may take: that much hardly changes whether it was in time.
    fn default_clock_skew(indicator: &Indicator) -> Duration {
        match indicator {
            Indicator::Workflow(workflow) => {
                (workflow.within / 10).clamp(Self::LEAST_CLOCK_SKEW, Self::MOST_CLOCK_SKEW)
            }
            Indicator::Span(_) => Self::LEAST_CLOCK_SKEW,
        }
    }

    /// What is given and nothing more: everything optional is as if left out.
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
    /// What is left out of `range`: in order and without overlaps.
    pub fn excluded(&self, range: TimeRange) -> Vec<TimeRange> {
        let each = self.exclusions.iter();
        exclusion::union(each.flat_map(|exclusion| exclusion.within(range)).collect())
    }

    /// What of `range` counts.
    pub fn counted(&self, range: TimeRange) -> Vec<TimeRange> {
        exclusion::cut(range, &self.excluded(range))
    }
}

/// Where a definition stands and how it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Relative to the folder of definitions.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The text of its document.
    pub text: String,
}

/// How goodness is measured.
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
    /// Early spans that say that the work exists, where the start span comes only at its end.
    pub opens: Option<Selector>,
    /// Where start spans and those that `opens` selects say since when, if not by their own start.
    pub started_at: Option<StartedAt>,
    pub finish: Selector,
    pub fail: Option<Selector>,
    pub cancel: Option<Selector>,
    /// What a workflow is that was cancelled in time.
    pub cancelled: CancelPolicy,
    /// Spans while which the promise does not run.
    pub pause: Option<Selector>,
    /// Each finish is one leg of several.
    pub legs: Option<FanOut>,
    /// The promise: end of the finish span less start of the start span.
    pub within: Duration,
    /// In order of trust; the first that is present on a span decides. Never empty.
    pub correlate: Vec<Correlator>,
    pub stages: Stages,
    /// Which end of the start span a workflow starts at.
    pub start_at: SpanInstant,
    /// Which end of the finish span it is finished at.
    pub finish_at: SpanInstant,
}

/// One of the two instants of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanInstant {
    Start,
    End,
}

impl WorkflowIndicator {
    /// What is given and nothing more: everything optional is as if left out.
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

    /// What a span must bear, one of these, to say which workflow it is of: `span.order.id or wf`. Empty
    /// where its trace or its links always say it.
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

/// How a workflow fans out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanOut {
    /// Tells how many legs there are; on any of the workflow's spans. Always there for
    /// [`Completion::All`].
    pub expect: Option<AttributeName>,
    /// Tells the legs apart, so that a retry of one is the same leg; each span is a leg without.
    pub by: Option<AttributeName>,
    pub complete: Completion,
}

/// Legs that one workflow may have; of one with more it is known only that they are too many.
pub const MAX_LEGS: usize = 1_000;

/// How many of its legs a workflow waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Completion {
    All,
    Any,
    AtLeast(u32),
}

/// What a workflow is that was cancelled before its promise was broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CancelPolicy {
    /// No event.
    #[default]
    Exclude,
    Good,
    /// Bad, as a failure.
    Bad,
}

/// What makes two pieces of evidence belong to the same workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correlator {
    /// On the span, or else on its links: each that has it speaks of a workflow of its own.
    Attribute {
        attribute: AttributeName,
        /// Tells the runs apart that share the attribute's value.
        run: Option<AttributeName>,
    },
    /// Messages that were published together share one context: the span that published them starts
    /// `count` workflows, and `id` tells them apart where they are received.
    Message {
        id: AttributeName,
        count: AttributeName,
    },
    /// The value of a key of the W3C trace state, on the span, or else on its links as above.
    TraceState { key: String },
    /// Always present. With [`Correlator::Links`] beside it, it is the trace in which the work began.
    Trace,
    /// The trace in which the work began, carried on by links from what is linked to what links.
    Links {
        /// Which links carry it: a selector that sees one link at a time. All if left out.
        only: Option<Selector>,
        batch: LinkBatch,
    },
}

/// What ends messages that one span took together, where the work that it passed on tells nothing of
/// which message it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkBatch {
    /// Each message ends by itself.
    #[default]
    Each,
    /// One end ends all of them.
    Whole,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanIndicator {
    /// Which spans are events.
    pub matches: Selector,
    /// Which of them are good.
    pub good: Selector,
    /// Where the start of the workflow stands on the span, for `workflow:duration`.
    pub started_at: Option<StartedAt>,
}

impl SpanIndicator {
    /// What is given and nothing more: everything optional is as if left out.
    pub const fn new(matches: Selector, good: Selector) -> Self {
        Self {
            matches,
            good,
            started_at: None,
        }
    }
}

/// Where a span tells when its workflow started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartedAt {
    /// A key of the W3C trace state, on the span or on one of its links.
    TraceState { key: String, unit: TimeUnit },
    Attribute {
        attribute: AttributeName,
        unit: TimeUnit,
    },
    /// The time of the span's first event of that name. Some senders write another unit than the
    /// nanoseconds that OTLP asks for.
    Event { name: String, unit: TimeUnit },
}

/// How an instant is written, since the epoch. A number may be an integer, a double or a string of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Rfc3339,
}
