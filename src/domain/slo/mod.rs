//! Declarations of a user: SLOs, alert policies, notification targets and exclusions, checked and
//! compiled.
//!
//! [`definition`] makes a [`Catalog`] from files. A catalog is valid as a whole, and every other
//! module may rely on that.

mod catalog;
pub mod definition;
mod duration;
pub mod exclusion;
mod group_by;
mod hidden;
mod policy;
mod revisions;
mod slo_selector;
mod spec;
mod stages;
mod target;
mod templates;

pub use self::{
    catalog::Catalog,
    duration::{ParseDurationError, format_duration, parse_duration},
    group_by::GroupBy,
    hidden::HiddenAttributes,
    policy::{
        AlertRule, Alerting, BurnKind, CustomerDetails, Guard, Limit, Notify, Severity,
        TIME_LIMIT_STEPS, ThresholdRule, whole_seconds,
    },
    revisions::{SloRevision, SloRevisions},
    slo_selector::{InvalidSloSelector, SloSelector},
    spec::{
        CancelPolicy, Completion, Correlator, FanOut, Indicator, LinkBatch, MAX_LEGS, Slo, Source,
        SpanIndicator, SpanInstant, StartedAt, TimeUnit, WorkflowIndicator,
    },
    stages::{DeclaredStage, Edge, Extent, Stages},
    target::{
        LatePolicy, ReportSchedule, SecretOrPlain, SecretRef, Target, TargetKind, WebhookFormat,
    },
    templates::{DefinitionTemplate, TEMPLATES},
};
