//! What a user declared: SLOs, alert policies and notification targets, checked and compiled.
//!
//! A [`Catalog`] is made from all files at once and is valid as a whole; everything behind it may
//! rely on that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{names::Name, objective::Objective, selector::Selector, span::AttributeScope};

/// Everything declared, valid as a whole.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By name.
    pub slos: BTreeMap<Name, Arc<Slo>>,
    pub targets: BTreeMap<Name, Arc<Target>>,
}

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
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(120);
}

/// Where a definition stands and how it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// When people are told: rules of all policies of an SLO.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerting {
    pub rules: Vec<AlertRule>,
    pub guard: Guard,
    pub burn: BurnKind,
    /// Quiet this long before an alert resolves.
    pub resolve_after: Duration,
}

/// A burn rate that must be reached in a long and in a short window: the long one tells that it
/// matters, the short one that it still goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    pub name: Name,
    pub severity: Severity,
    /// The burn rate at which the rule reacts; at least 1 and at most `Objective::max_burn_rate`.
    pub factor: f64,
    pub long: Duration,
    pub short: Duration,
}

/// How urgently people are told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ticket,
    Page,
}

/// The floor against low traffic: nothing fires on fewer bad events in the long window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub bad_events: u64,
}

/// How a burn rate is computed from counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurnKind {
    /// Weighed by volume: the share of the budget that was really spent.
    Budget,
    /// The plain ratio of bad events.
    Ratio,
}

/// Who is told, by severity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    pub page: Vec<Name>,
    pub ticket: Vec<Name>,
}

/// A place that notifications are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: Name,
    pub kind: TargetKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A signed request of the Standard Webhooks form.
    Webhook {
        url: SecretOrPlain,
        secret: Option<SecretRef>,
    },
    /// An incoming webhook of Slack.
    Slack { webhook_url: SecretRef },
    /// Events API v2.
    PagerDuty {
        routing_key: SecretRef,
        url: Option<String>,
    },
}

/// A webhook's address: written in the file, or by reference where it is itself a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrPlain {
    Plain(String),
    Secret(SecretRef),
}

/// Where a secret is kept. Its value is read when it is used and never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    Env(String),
    File(String),
}

impl Default for Alerting {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            guard: Guard { bad_events: 5 },
            burn: BurnKind::Budget,
            resolve_after: Duration::from_secs(300),
        }
    }
}
