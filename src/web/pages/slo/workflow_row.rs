//! One workflow as a row of a list.

use schemars::JsonSchema;
use serde::Serialize;

use super::stages::OwnStages;
use crate::{
    domain::{
        alerting::trace_link::{TraceLink, TraceViewer, Traced},
        model::{
            format,
            ids::{Name, TraceId},
            time::Timestamp,
        },
        workflow::Outcome,
    },
    store::WorkflowRecord,
    web::{pages::addresses, reader::times},
};

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::web::pages) struct WorkflowView {
    /// 32 hexadecimal digits, as in the URL of its page.
    pub(super) key: String,
    /// The path of its page.
    #[serde(skip)]
    pub(super) path: String,
    pub(super) label: String,
    pub(super) trace_id: TraceId,
    pub(super) customer: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) deadline: Option<Timestamp>,
    /// From start to end; to now for one that has not ended.
    pub(super) duration_seconds: Option<f64>,
    /// The time past its deadline; negative before the deadline.
    pub(super) late_by_seconds: Option<f64>,
    /// Links to its trace.
    pub(super) links: Vec<TraceLink>,
    #[serde(flatten)]
    pub(super) stages: OwnStages,
}

impl WorkflowView {
    pub(in crate::web::pages) fn new(
        record: WorkflowRecord,
        stages: OwnStages,
        slo: &Name,
        viewers: &[TraceViewer],
        now: Timestamp,
    ) -> Self {
        let end = record.ended_at.unwrap_or(now);
        let traced = Traced {
            trace_id: record.trace_id,
            label: &record.label,
            from: record.started_at.unwrap_or(end),
            to: end,
        };
        let links = TraceViewer::links(viewers, traced);
        let secs = |from: Timestamp| {
            #[expect(clippy::cast_precision_loss, reason = "microseconds of a few years")]
            let secs = end.micros_since(from) as f64 / 1e6;
            secs
        };
        Self {
            key: record.key.to_string(),
            path: addresses::workflow(slo, record.key),
            duration_seconds: record.took_secs(now).map(|secs| secs.max(0.0)),
            late_by_seconds: record.deadline.map(secs),
            label: record.label,
            trace_id: record.trace_id,
            customer: record.customer,
            outcome: record.outcome,
            started_at: record.started_at,
            ended_at: record.ended_at,
            deadline: record.deadline,
            links,
            stages,
        }
    }

    /// Returns the path of its page.
    pub(in crate::web::pages) fn path(&self) -> &str {
        &self.path
    }

    pub(in crate::web::pages) fn key(&self) -> &str {
        &self.key
    }

    pub(in crate::web::pages) fn label(&self) -> &str {
        &self.label
    }

    pub(in crate::web::pages) fn customer(&self) -> Option<&str> {
        self.customer.as_deref()
    }

    pub(in crate::web::pages) const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns its start, its end and its deadline.
    pub(in crate::web::pages) const fn times(&self) -> [Option<Timestamp>; 3] {
        [self.started_at, self.ended_at, self.deadline]
    }

    pub(in crate::web::pages) const fn duration_seconds(&self) -> Option<f64> {
        self.duration_seconds
    }

    /// Returns its present stage, if it has not ended.
    pub(in crate::web::pages) fn stage(&self) -> Option<&str> {
        let stage = self.stages.current_stage.as_deref();
        stage.filter(|_| self.outcome == Outcome::Open)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    pub(in crate::web::pages) fn started_text(&self, now: &Timestamp) -> String {
        let started = self.started_at.map(|at| times::moment(at, *now));
        started.unwrap_or_else(|| format::NONE.to_owned())
    }

    pub(super) fn current_stage(&self) -> &str {
        self.stages.current_stage.as_deref().unwrap_or(format::NONE)
    }

    pub(in crate::web::pages) fn took_text(&self) -> String {
        format::seconds(self.duration_seconds)
    }

    pub(super) fn is_late(&self) -> bool {
        self.late_by_seconds.is_some_and(|secs| secs > 0.0)
    }

    pub(super) fn due_text(&self) -> String {
        match self.late_by_seconds {
            Some(secs) if secs > 0.0 => format!("{} late", format::seconds(secs)),
            Some(secs) => format!("due in {}", format::seconds(-secs)),
            None => format::NONE.to_owned(),
        }
    }

    pub(super) fn reason(&self) -> &'static str {
        match self.outcome {
            Outcome::Timeout => "never finished",
            other => other.as_str(),
        }
    }

    pub(in crate::web::pages) fn trace_text(&self) -> String {
        self.trace_id.to_string()
    }
}
