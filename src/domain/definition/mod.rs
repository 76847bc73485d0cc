//! What a user declared: SLOs, alert policies and notification targets, checked and compiled.
//!
//! A [`Catalog`] is made from all files at once and is valid as a whole; everything behind it may
//! rely on that. On the way a text becomes nodes with their places ([`node`]), then the shapes of
//! [`file`] and [`target_file`], read by a deserializer that notes what is wrong and goes on ([`read`]), then values
//! ([`check`]).
//!
//! To add a field: add it to its shape in `file.rs`, which also makes it part of the JSON Schema,
//! and take it out of `file::not_yet_supported` if it stood there; check it in `check/`; put a file
//! with each mistake that can be made into `tests/fixtures/definitions/bad/`.

mod alerting;
mod catalog;
mod check;
mod duration;
mod file;
mod group_by;
mod limit_file;
mod node;
mod problem;
mod read;
mod schema;
mod slo;
mod stages;
mod suggest;
mod target;
mod target_file;
#[cfg(test)]
mod tests;
mod window_file;

pub use self::{
    alerting::{
        AlertRule, Alerting, BurnKind, Guard, Limit, LimitRule, Notify, Severity, TellCustomers,
        whole_seconds,
    },
    catalog::Catalog,
    check::load,
    duration::{ParseDurationError, format_duration, parse_duration},
    group_by::GroupBy,
    problem::{DefinitionFile, Excerpt, Problem, ProblemSeverity},
    schema::json_schema,
    slo::{
        AttributeName, Correlator, FanOut, Indicator, Slo, Source, SpanIndicator, SpanInstant,
        StartedAt, TimeUnit, WorkflowIndicator,
    },
    stages::{DeclaredStage, Edge, Extent, Stages},
    target::{LatePolicy, SecretOrPlain, SecretRef, Target, TargetKind, WebhookFormat},
};
