//! The steps of a workflow as rows.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    load::seconds,
    view::{StoryAxis, TraceView},
};
use crate::{
    domain::{
        alerting::trace_link::TraceLink,
        counting::{
            stages::StageKind,
            story::{StoryEvent, StoryStep},
        },
        model::{format, time::Timestamp},
    },
    web::{chart::Bar, reader::times},
};

/// One step, with its times relative to the start.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StepView {
    #[serde(flatten)]
    event: StoryEvent,
    /// A description, with names between backticks.
    text: String,
    /// The time since the first step.
    offset_seconds: f64,
    duration_seconds: Option<f64>,
    #[serde(skip)]
    links: Vec<TraceLink>,
}

impl StepView {
    pub(super) fn all(events: Vec<StoryEvent>, traces: &[TraceView]) -> Vec<Self> {
        let start = events
            .iter()
            .find(|event| event.step == StoryStep::Started)
            .or_else(|| events.first())
            .map(|event| event.at);
        let view = |event: StoryEvent| {
            let of_trace = |trace: &&TraceView| Some(trace.trace_id) == event.trace_id;
            let trace = traces.iter().find(of_trace);
            Self {
                offset_seconds: start.map_or(0.0, |start| seconds(event.at.micros_since(start))),
                duration_seconds: event
                    .ended_at
                    .map(|end| seconds(end.micros_since(event.at))),
                text: title(&event.step),
                links: trace.map(|trace| trace.links.clone()).unwrap_or_default(),
                event,
            }
        };
        events.into_iter().map(view).collect()
    }

    pub(super) const fn at(&self) -> Timestamp {
        self.event.at
    }

    pub(super) const fn ended_at(&self) -> Option<Timestamp> {
        self.event.ended_at
    }

    pub(super) fn is_deadline(&self) -> bool {
        self.event.step == StoryStep::Deadline
    }

    pub(super) const fn is_error(&self) -> bool {
        self.event.is_error
    }

    pub(super) fn links(&self) -> &[TraceLink] {
        &self.links
    }

    pub(super) fn trace_text(&self) -> Option<String> {
        self.event.trace_id.map(|trace| trace.to_string())
    }

    /// Formats `+1.5 s`, `−200 ms`.
    pub(super) fn offset_text(&self) -> String {
        let sign = if self.offset_seconds < 0.0 {
            '−'
        } else {
            '+'
        };
        format!("{sign}{}", format::seconds(self.offset_seconds.abs()))
    }

    pub(super) fn took_text(&self) -> String {
        format::seconds(self.duration_seconds)
    }

    pub(super) fn wait_text(&self) -> String {
        match self.wait_seconds() {
            Some(wait) if wait < 0.0 => format!("−{}", format::seconds(-wait)),
            wait => format::seconds(wait),
        }
    }

    fn wait_seconds(&self) -> Option<f64> {
        self.event.step.wait_us().map(seconds)
    }

    pub(super) fn title(&self) -> &str {
        &self.text
    }

    /// Returns a remark on the step, if any.
    pub(super) fn remark(&self) -> Option<String> {
        match &self.event.step {
            StoryStep::Sent {
                service,
                deliver_at,
                ..
            } => {
                let delay = deliver_at.map(|at| format!(", for delivery at {}", times::clock(at)));
                let by = format!("by {}", named(service, "a service without a name"));
                Some(by + &delay.unwrap_or_default())
            }
            StoryStep::Received {
                service, delivery, ..
            } => {
                let by = format!("by {}", named(service, "a service without a name"));
                Some(match delivery {
                    1 => by,
                    number => format!("by {}, delivery {number}", named(service, "a service")),
                })
            }
            _ => None,
        }
    }

    /// Returns the bars of its wait and its duration.
    pub(super) fn bars(&self, axis: &StoryAxis) -> Vec<Bar> {
        let length = self.duration_seconds.unwrap_or(0.0);
        let kind = match self.event.step {
            StoryStep::Paused => StageKind::Pause,
            StoryStep::Deadline => return Vec::new(),
            _ => StageKind::Processing,
        };
        let own = axis.bar(kind, self.event.at, length);
        let Some(wait) = self.event.step.wait_us() else {
            return vec![own];
        };
        let waited = u64::try_from(wait).unwrap_or(0);
        let since = self.event.at - std::time::Duration::from_micros(waited);
        let wait = axis.bar(StageKind::Wait, since, seconds(wait.max(0)));
        vec![wait, own]
    }
}

fn named(name: &str, unnamed: &str) -> String {
    match name {
        "" => unnamed.to_owned(),
        name => format!("`{name}`"),
    }
}

/// Describes the step, with names between backticks.
fn title(step: &StoryStep) -> String {
    match step {
        StoryStep::Started => "started".to_owned(),
        StoryStep::Sent { queue, .. } => format!("sent to {}", named(queue, "a queue")),
        StoryStep::Received { queue, .. } => {
            format!("received from {}", named(queue, "a queue"))
        }
        StoryStep::Stage { stage } => format!("stage `{stage}`"),
        StoryStep::StageBegan { stage } => format!("stage `{stage}` began"),
        StoryStep::StageEnded { stage } => format!("stage `{stage}` ended"),
        StoryStep::Paused => "paused".to_owned(),
        StoryStep::LegSucceeded { leg } => format!("leg {leg} succeeded"),
        StoryStep::LegFailed { leg } => format!("leg {leg} failed"),
        StoryStep::Succeeded => "finished".to_owned(),
        StoryStep::Failed => "failed".to_owned(),
        StoryStep::NotGood => "ended, but not as `good` demands".to_owned(),
        StoryStep::Cancelled => "cancelled".to_owned(),
        StoryStep::Deadline => "deadline".to_owned(),
    }
}
