//! One workflow as the page and the API show it.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    load::{is_overdue, seconds},
    steps::StepView,
};
use crate::{
    domain::{
        alerting::trace_link::{TraceLink, TraceViewer, Traced},
        counting::stages::{Breakdown, StageKind, StageSection},
        model::{
            format,
            group::Group,
            ids::{Name, Revision, TraceId},
            time::Timestamp,
        },
        slo::Severity,
        workflow::{Correction, CorrectionReason, Outcome, Workflow},
    },
    store::EpisodeRecord,
    web::{
        chart::{Bar, Markup, strip, track},
        pages::summary::StatusBadge,
        reader::times,
    },
};

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct StoryView {
    pub(super) as_of: Timestamp,
    pub(super) slo: Name,
    pub(super) display_name: String,
    /// 32 hexadecimal digits.
    pub(super) key: String,
    /// The path of the page.
    #[serde(skip)]
    pub(super) path: String,
    pub(super) label: String,
    pub(super) customer: Option<String>,
    pub(super) group: Option<String>,
    pub(super) outcome: Outcome,
    /// The event time at which it is counted; `None` while it is open.
    pub(super) counted_at: Option<Timestamp>,
    /// It is judged again when all spans up to this time have been received.
    pub(super) judged_again_at: Option<Timestamp>,
    pub(super) verdict_rule: String,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) deadline: Option<Timestamp>,
    /// The first corrections of its verdict, oldest first.
    pub(super) corrections: Vec<CorrectionView>,
    /// The time at which its first span was recorded.
    pub(super) first_evidence_at: Option<Timestamp>,
    /// The number of events it represents; `None` if none of its spans was sampled.
    pub(super) weight: Option<f64>,
    /// Its present stage; `None` if it has ended or the definition does not request stages.
    #[serde(rename = "current_stage")]
    pub(super) current: Option<CurrentStage>,
    /// Sentences about what did not happen.
    pub(super) missing: Vec<String>,
    /// The minimum difference between clocks; `None` if nothing shows that they differ.
    pub(super) clock_skew_seconds: Option<f64>,
    pub(super) remarks: Vec<RemarkView>,
    /// The stages from start to end, without gaps.
    pub(super) sections: Vec<SectionView>,
    /// The time in each stage; they add up to the whole.
    #[serde(serialize_with = "stage_seconds")]
    #[schemars(with = "Vec<StageSeconds<'static>>")]
    pub(super) stages: Breakdown,
    pub(super) steps: Vec<StepView>,
    pub(super) traces: Vec<TraceView>,
    pub(super) definition: DefinitionInForce,
    /// The incidents that it was counted in, newest first.
    pub(super) incidents: Vec<IncidentOfWorkflow>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct CurrentStage {
    pub(super) stage: String,
    pub(super) kind: StageKind,
    pub(super) name: String,
    pub(super) since: Timestamp,
    pub(super) seconds: f64,
    /// The mean of good workflows of the last 24 hours; `None` if there were none.
    pub(super) usual_seconds: Option<f64>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct RemarkView {
    pub(super) reason: &'static str,
    pub(super) meaning: &'static str,
    pub(super) next_step: &'static str,
}

/// One verdict that was replaced by another.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct CorrectionView {
    pub(super) at: Timestamp,
    pub(super) from: Outcome,
    pub(super) to: Outcome,
    pub(super) reason: CorrectionReason,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct SectionView {
    pub(super) kind: StageKind,
    pub(super) stage: String,
    pub(super) from: Timestamp,
    pub(super) offset_seconds: f64,
    pub(super) duration_seconds: f64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct TraceView {
    pub(super) trace_id: TraceId,
    pub(super) links: Vec<TraceLink>,
}

/// The definition that was used to judge it.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct DefinitionInForce {
    pub(super) revision: Revision,
    /// `None` if that set of definitions is not stored any more.
    pub(super) in_force_from: Option<Timestamp>,
    pub(super) is_newest: bool,
    #[serde(skip)]
    pub(super) text: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct IncidentOfWorkflow {
    pub(super) id: Uuid,
    pub(super) severity: Severity,
    pub(super) rule: Name,
    pub(super) group: Option<String>,
    pub(super) began_at: Option<Timestamp>,
    pub(super) fired_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
}

impl CorrectionView {
    pub(super) fn new(one: &Correction) -> Self {
        Self {
            at: one.at,
            from: one.from,
            to: one.to,
            reason: one.reason,
        }
    }

    /// Formats `Never finished became late. An end was received after the verdict.`
    pub(super) fn text(&self) -> String {
        let (from, to) = (self.from.in_words(), self.to.in_words().to_lowercase());
        let reason = self.reason.text();
        if self.from == self.to {
            return format!("{from}, counted at another time. {reason}");
        }
        format!("{from} became {to}. {reason}")
    }
}

impl SectionView {
    pub(super) fn all(sections: &[StageSection]) -> Vec<Self> {
        let start = sections.first().map(|first| first.range.from);
        let view = |section: &StageSection| {
            let from = section.range.from;
            Self {
                kind: section.stage.kind,
                stage: section.stage.title(),
                from,
                offset_seconds: start.map_or(0.0, |start| seconds(from.micros_since(start))),
                duration_seconds: section.range.length().as_secs_f64(),
            }
        };
        sections.iter().map(view).collect()
    }
}

impl TraceView {
    pub(super) fn all(
        traces: &[TraceId],
        workflow: &Workflow,
        viewers: &[TraceViewer],
        now: Timestamp,
    ) -> Vec<Self> {
        let from = workflow.start.map(|start| start.at);
        let to = workflow.latest_end().unwrap_or(now);
        let view = |trace_id: &TraceId| Self {
            trace_id: *trace_id,
            links: TraceViewer::links(
                viewers,
                Traced {
                    trace_id: *trace_id,
                    label: &workflow.label,
                    from: from.unwrap_or(to),
                    to,
                },
            ),
        };
        traces.iter().map(view).collect()
    }

    pub(super) fn text(&self) -> String {
        self.trace_id.to_string()
    }
}

impl IncidentOfWorkflow {
    pub(super) fn new(episode: EpisodeRecord) -> Self {
        let facts = episode.facts;
        Self {
            id: episode.id,
            severity: facts.severity,
            group: facts.group.as_ref().map(Group::text),
            began_at: facts.began_at,
            fired_at: facts.fired_at.unwrap_or(facts.evaluated_at),
            ended_at: episode.ended_at,
            rule: facts.rule,
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    pub(super) fn text(&self, now: &Timestamp) -> String {
        let ended = match self.ended_at {
            Some(at) => format!("until {}", times::moment(at, *now)),
            None => "firing".to_owned(),
        };
        let fired = times::moment(self.fired_at, *now);
        let group = self.group.iter().map(|group| format!(" of {group}"));
        let group: String = group.collect();
        format!(
            "{} by rule {}{group}, {fired}, {ended}",
            self.word(),
            self.rule
        )
    }

    const fn word(&self) -> &'static str {
        match self.severity {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        }
    }
}

impl StoryView {
    pub(super) fn label_text(&self) -> &str {
        match self.label.trim() {
            "" => "a workflow without a name",
            label => label,
        }
    }

    pub(super) fn outcome_text(&self) -> String {
        self.outcome.in_words().to_owned()
    }

    /// Returns the colour and icon of its state.
    pub(super) fn face(&self) -> StatusBadge {
        let (icon, class) = match self.outcome {
            Outcome::Good => ("ok", "ok"),
            Outcome::Late | Outcome::Failed | Outcome::Timeout => ("page", "page"),
            Outcome::Open if self.is_overdue() => ("ticket", "ticket"),
            Outcome::Open => ("up", "rising"),
            _ => ("low", "mut"),
        };
        StatusBadge {
            icon,
            class,
            word: self.outcome.in_words(),
        }
    }

    fn is_overdue(&self) -> bool {
        is_overdue(self.outcome, self.deadline, self.as_of)
    }

    /// Returns its stage in one sentence, or its outcome.
    pub(super) fn lead(&self) -> String {
        let took = self.duration_text();
        match (&self.current, self.ended_at) {
            (Some(current), None) => current.text(self.as_of),
            (_, Some(_)) if self.started_at.is_some() => {
                format!("{} after {took}", self.outcome_text())
            }
            (None, None) if self.started_at.is_some() => {
                format!("{}, started {took} ago", self.outcome_text())
            }
            _ => self.outcome_text(),
        }
    }

    /// Formats the time to or since its deadline.
    pub(super) fn due_text(&self) -> Option<String> {
        let deadline = self.deadline?;
        let end = self.ended_at.unwrap_or(self.as_of);
        let distance = end.micros_since(deadline);
        let length = format::seconds(seconds(distance.saturating_abs()));
        let until = self.time_text(&deadline);
        Some(match (distance > 0, self.ended_at) {
            (true, Some(_)) => format!("{until}, ended {length} after it"),
            (true, None) => format!("{until}, {length} ago"),
            (false, Some(_)) => format!("{until}, ended {length} before it"),
            (false, None) => format!("{until}, in {length}"),
        })
    }

    fn duration_text(&self) -> String {
        let end = self.ended_at.unwrap_or(self.as_of);
        let took = self
            .started_at
            .map(|start| seconds(end.micros_since(start)));
        format::seconds(took)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    pub(super) fn time_text(&self, at: &Timestamp) -> String {
        times::instant(*at, self.as_of)
    }

    pub(super) fn skew_text(&self) -> Option<String> {
        let skew = self.clock_skew_seconds?;
        Some(format!(
            "Clocks differ by at least {}: a message was received before it was sent. Compare times of different services with care.",
            format::seconds(skew)
        ))
    }

    pub(super) fn definition_text(&self) -> String {
        let since = match &self.definition.text {
            Some(at) => format!("in force since {at}"),
            None => "no longer stored".to_owned(),
        };
        let newer = if self.definition.is_newest {
            ""
        } else {
            "; newer ones do not judge it"
        };
        format!("revision {}, {since}{newer}", self.definition.revision.0)
    }

    pub(super) fn weight_text(&self) -> Option<String> {
        self.weight
            .map(|weight| format!("counts as {weight:.1} events, because its spans are sampled"))
    }

    /// Returns the stages in the order in which it reached them: title and time.
    pub(super) fn stage_rows(&self) -> Vec<(String, String)> {
        let mut parts: Vec<_> = self.stages.0.iter().collect();
        parts.sort_by_key(|part| part.first_micros);
        parts
            .into_iter()
            .map(|part| (part.stage.title(), format::seconds(seconds(part.micros))))
            .collect()
    }

    pub(super) fn total_text(&self) -> String {
        format::seconds(seconds(self.stages.total_micros()))
    }

    /// Draws all stages on one axis, with the deadline.
    pub(super) fn strip(&self) -> Markup {
        let axis = self.axis();
        let bars: Vec<Bar> = self
            .sections
            .iter()
            .map(|section| axis.bar(section.kind, section.from, section.duration_seconds))
            .collect();
        let sentence: Vec<String> = self.stage_rows().into_iter().map(joined).collect();
        strip(&bars, axis.deadline, &sentence.join(", "))
    }

    /// Draws one step on the axis: its wait and its duration.
    pub(super) fn track(&self, step: &StepView) -> Markup {
        let axis = self.axis();
        track(&step.bars(&axis), axis.deadline)
    }

    /// Returns the axis: from the first step to the last, or to now if it has not ended. It
    /// includes the deadline, unless that would make everything else too small.
    fn axis(&self) -> StoryAxis {
        let at = |step: &StepView| step.ended_at().unwrap_or_else(|| step.at());
        let happened = || self.steps.iter().filter(|step| !step.is_deadline());
        let from = happened().map(StepView::at).min().unwrap_or(self.as_of);
        let last = happened().map(at).max().unwrap_or(self.as_of);
        let to = match self.ended_at {
            Some(_) => last,
            None => last.max(self.as_of),
        };
        let length = seconds(to.micros_since(from)).max(0.001);
        let deadline = self.deadline.map(|at| seconds(at.micros_since(from)));
        let deadline = deadline.filter(|secs| *secs <= 2.0 * length);
        let axis = deadline.map_or(length, |secs| secs.max(length)) * 1.02;
        StoryAxis {
            from,
            length: axis,
            deadline: deadline.map_or(f64::INFINITY, |secs| secs / axis),
        }
    }
}

fn joined((title, took): (String, String)) -> String {
    format!("{title} {took}")
}

/// The time axis of the page.
pub(super) struct StoryAxis {
    from: Timestamp,
    length: f64,
    deadline: f64,
}

impl StoryAxis {
    pub(super) fn bar(&self, kind: StageKind, from: Timestamp, secs: f64) -> Bar {
        Bar {
            kind,
            begin: seconds(from.micros_since(self.from)) / self.length,
            // A minimum length, so that an instant is visible.
            length: (secs / self.length).max(0.003),
        }
    }
}

impl CurrentStage {
    /// Formats `Wait in fulfilment since 12:04:10, 17 min; usually 6 s`.
    fn text(&self, now: Timestamp) -> String {
        let usually = match self.usual_seconds {
            Some(usual) => format!("; usually {}", format::seconds(usual)),
            None => String::new(),
        };
        let stage = match self.kind {
            StageKind::Wait if self.name.is_empty() => "Waits in a queue".to_owned(),
            StageKind::Wait => format!("Waits in `{}`", self.name),
            StageKind::Delay => format!("Delayed on purpose in `{}`", self.name),
            StageKind::Processing | StageKind::Declared => format!("In `{}`", self.name),
            StageKind::Pause => "Paused".to_owned(),
            StageKind::Other | StageKind::Unsampled => "Nobody knows where it is,".to_owned(),
        };
        let since = times::moment(self.since, now);
        let length = format::seconds(self.seconds);
        format!("{stage} since {since}, {length}{usually}")
    }
}

/// A stage of a workflow in the JSON response.
#[derive(JsonSchema, Serialize)]
struct StageSeconds<'a> {
    kind: StageKind,
    name: &'a str,
    seconds: f64,
}

fn stage_seconds<S: serde::Serializer>(
    stages: &Breakdown,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(stages.0.iter().map(|part| StageSeconds {
        kind: part.stage.kind,
        name: &part.stage.name,
        seconds: seconds(part.micros),
    }))
}
