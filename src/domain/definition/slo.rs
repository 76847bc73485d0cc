//! One SLO: what is promised about which work.

use std::{collections::BTreeMap, time::Duration};

use super::{Alerting, Notify, Stages};
use crate::domain::{names::Name, objective::Objective, selector::Selector, span::AttributeScope};

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
    /// The length of the rolling window that the objective holds for.
    pub window: Duration,
    pub indicator: Indicator,
    /// Whose experience an event is.
    pub customer: Option<AttributeName>,
    /// How long after a deadline evidence that is under way is waited for.
    pub grace: Duration,
    pub alerting: Alerting,
    pub notify: Notify,
    pub runbook: Option<String>,
    pub source: Source,
}

impl Slo {
    /// Exporters batch for 5 s and retry for minutes; after 2 minutes most of what is under way has
    /// arrived.
    pub const DEFAULT_GRACE: Duration = Duration::from_mins(2);

    /// What is given and nothing more: everything optional is as if left out.
    pub fn new(name: Name, objective: Objective, window: Duration, indicator: Indicator) -> Self {
        Self {
            display_name: name.to_string(),
            name,
            labels: BTreeMap::new(),
            description: None,
            service: None,
            objective,
            window,
            indicator,
            customer: None,
            grace: Self::DEFAULT_GRACE,
            alerting: Alerting::default(),
            notify: Notify::default(),
            runbook: None,
            source: Source::default(),
        }
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
#[derive(Clone, Debug)]
pub enum Indicator {
    Workflow(WorkflowIndicator),
    Span(SpanIndicator),
}

#[derive(Clone, Debug)]
pub struct WorkflowIndicator {
    pub start: Selector,
    pub finish: Selector,
    pub fail: Option<Selector>,
    pub cancel: Option<Selector>,
    /// The promise: end of the finish span less start of the start span.
    pub within: Duration,
    /// In order of trust; the first that is present on a span decides. Never empty.
    pub correlate: Vec<Correlator>,
    pub stages: Stages,
    /// Which end of the start span a workflow starts at.
    pub start_at: SpanEdge,
    /// Which end of the finish span it is finished at.
    pub finish_at: SpanEdge,
}

/// One of the two instants of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanEdge {
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
            finish,
            fail: None,
            cancel: None,
            within,
            correlate,
            stages: Stages::Auto,
            start_at: SpanEdge::Start,
            finish_at: SpanEdge::End,
        }
    }
}

/// What makes two pieces of evidence belong to the same workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correlator {
    Attribute {
        attribute: AttributeName,
        /// Tells the runs apart that share the attribute's value.
        run: Option<AttributeName>,
    },
    Trace,
}

#[derive(Clone, Debug)]
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
    /// A key of the W3C trace state, on the span or on one of its links: nanoseconds since the epoch.
    TraceState { key: String },
    Attribute {
        attribute: AttributeName,
        unit: TimeUnit,
    },
    /// The time of the span's first event of that name.
    Event { name: String },
}

/// How an attribute writes an instant. A number may be an integer, a double or a string of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Rfc3339,
}

/// A scoped attribute as TraceQL writes it: `span.order.id`, `resource.x`, `.x`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName {
    pub scope: AttributeScope,
    pub key: String,
}
