//! `/slos/{slo}/explain`: why a definition counts what it counts, by the spans of the last hour.
//! `/explain` does the same for a definition that is not active.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::StatusCode,
    response::Response,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    addresses,
    slo::{declared, undeclared},
    summary::Summary,
};
use crate::{
    domain::{
        alerting::{
            status::SloState,
            trace_link::{TraceLink, TraceViewer, Traced},
        },
        model::{
            format,
            ids::{Name, SpanId, TraceId},
            time::Timestamp,
        },
        slo::{
            Slo,
            definition::{DefinitionFile, Problem, load_beside},
        },
        workflow::{
            Outcome,
            shapes::{Explanation, SelectorExplanation, SpanExample, explain},
        },
    },
    web::{
        error::{ErrorExplanation, WebError},
        page::{Layout, Negotiation, Section},
        state::WebState,
        write::body::ParsedBody,
    },
};

const SECOND: Duration = Duration::from_secs(1);
/// The name of a definition that is in no file.
const PASTED: &str = "pasted";

/// Definitions, explained by the spans that this replica has received in the last hour.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct ExplainView {
    as_of: Timestamp,
    /// True if samples of spans are stored.
    is_sampling: bool,
    spans_received: i64,
    /// Spans beyond the limit of kinds, of which only the number is known.
    spans_beyond_limit: i64,
    slos: Vec<ExplainedSlo>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ExplainedSlo {
    name: Name,
    display_name: String,
    selectors: Vec<ExplainedSelector>,
    /// Likely mistakes, and how to correct them.
    advice: Vec<String>,
    /// The numbers of workflows by outcome; empty if the definition is not active.
    funnel: Vec<FunnelStep>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ExplainedSelector {
    field: &'static str,
    selector: String,
    matched: i64,
    matched_is_estimate: bool,
    matched_text: String,
    examples: Vec<ExampleTrace>,
    nearest: Vec<NearestView>,
    correlated: Vec<CorrelatedView>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct NearestView {
    spans: i64,
    comparison: String,
    found: String,
    text: String,
    example: ExampleTrace,
}

#[derive(Debug, JsonSchema, Serialize)]
struct CorrelatedView {
    by: Option<String>,
    spans: i64,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ExampleTrace {
    trace_id: TraceId,
    span_id: SpanId,
    links: Vec<TraceLink>,
}

/// The number of workflows at one step in the last hour.
#[derive(Debug, JsonSchema, Serialize)]
struct FunnelStep {
    step: &'static str,
    workflows: i64,
    meaning: String,
    /// Searches for them, newest first.
    searches: Vec<WorkflowsLink>,
}

/// A search for workflows.
#[derive(Debug, JsonSchema, Serialize)]
struct WorkflowsLink {
    text: &'static str,
    path: String,
}

/// A selector that no span of the last hour matches.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct UnmatchedSelector {
    field: &'static str,
    /// The nearest match, if any.
    nearest: Option<String>,
}

#[derive(Debug, JsonSchema, Deserialize)]
pub(in crate::web) struct PastedDefinition {
    definition: String,
}

/// The values that a link fills into the form.
#[derive(Debug, Deserialize)]
pub(in crate::web) struct ExplainQuery {
    slo: Option<String>,
}

pub(in crate::web) async fn get(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
) -> Response {
    match declared(&state, &name) {
        None => asked.refuse(&state, &undeclared(&state, &name).await),
        Some(slo) => {
            let view = in_force(&state, &slo).await;
            let title = format!("{} explained · Throughline", slo.display_name);
            asked.reply(&state, view, |view| ExplainPage {
                layout: Layout {
                    json: Some(format!("/api/v1/slos/{name}/explain")),
                    ..Layout::new(&state, Section::Overview, title)
                },
                slo: Some(slo.name.clone()),
                text: String::new(),
                view: Some(view),
                mistake: None,
            })
        }
    }
}

/// Shows the form, with the definition of an SLO in it if one is named.
pub(in crate::web) async fn form(
    asked: Negotiation,
    state: WebState,
    Query(query): Query<ExplainQuery>,
) -> Response {
    let slo = query.slo.and_then(|name| declared(&state, &name));
    let text = slo.map_or_else(String::new, |slo| slo.source.text.clone());
    asked.page(&state, StatusCode::OK, &ExplainPage::form(&state, text))
}

pub(in crate::web) async fn submit(
    asked: Negotiation,
    state: WebState,
    ParsedBody { body, .. }: ParsedBody<PastedDefinition>,
) -> Response {
    let explained = pasted(&state, &body.definition).await;
    let mut page = ExplainPage::form(&state, body.definition);
    match explained {
        Ok(view) => {
            page.view = Some(view);
            asked.page(&state, StatusCode::OK, &page)
        }
        Err(error @ WebError::BadDefinition(_)) => {
            page.mistake = Some(error.explanation());
            asked.page(&state, error.status(), &page)
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

pub(in crate::web) async fn post(
    asked: Negotiation,
    state: WebState,
    ParsedBody { body, .. }: ParsedBody<PastedDefinition>,
) -> Response {
    let view = pasted(&state, &body.definition).await;
    asked.json(&state, StatusCode::OK, view)
}

/// Returns the selectors without a match, for an SLO that counts nothing or whose workflows have
/// never ended; none while this replica receives nothing or stores no samples.
pub(super) fn unmatched(state: &WebState, slo: &Slo, summary: &Summary) -> Vec<UnmatchedSelector> {
    let counts_nothing = matches!(summary.state, None | Some(SloState::NoData));
    if !counts_nothing && !summary.has_never_ended() {
        return Vec::new();
    }
    let explained = explain(slo, &state.shapes.at(state.clock.now()));
    if explained.spans_received == 0 {
        return Vec::new();
    }
    let unmatched = explained.selectors.into_iter();
    let unmatched = unmatched
        .filter(|one| one.matched == 0 && matches!(one.field, "start" | "finish" | "match"));
    unmatched
        .map(|one| UnmatchedSelector {
            field: one.field,
            nearest: one.nearest_sentence().filter(|_| !state.is_restricted()),
        })
        .collect()
}

impl UnmatchedSelector {
    /// Formats ``No span of the last hour matches `start`; nearest: ...``.
    pub(in crate::web) fn sentence(&self) -> String {
        let nearest = self.nearest.as_ref();
        let nearest = nearest.map_or_else(String::new, |nearest| format!("; nearest: {nearest}"));
        format!(
            "No span of the last hour matches `{}`{nearest}.",
            self.field
        )
    }
}

async fn in_force(state: &WebState, slo: &Slo) -> Result<ExplainView, WebError> {
    let mut tx = state.reads().begin("read an SLO to explain it").await?;
    let record = tx.slo(&slo.name).await?;
    drop(tx);
    let mut view = ExplainView::new(state, [slo]);
    if let Some(first) = view.slos.first_mut() {
        first.funnel = funnel(&Summary::new(slo, record.as_ref()));
    }
    Ok(view)
}

/// Explains the definitions in a text, which may refer to active policies and targets.
async fn pasted(state: &WebState, text: &str) -> Result<ExplainView, WebError> {
    let mut tx = state.reads().begin("read the definitions in force").await?;
    let newest = tx.newest_definitions().await?;
    drop(tx);
    let in_force = newest.map(|set| set.files).unwrap_or_default();
    let file = DefinitionFile {
        path: PASTED.to_owned(),
        text: text.to_owned(),
    };
    let slos = load_beside(&file, &in_force).map_err(|problems| mistakes(&problems))?;
    if slos.is_empty() {
        let nothing = "it declares no SLO".to_owned();
        return Err(WebError::BadDefinition(nothing));
    }
    Ok(ExplainView::new(state, slos.iter().map(|slo| &**slo)))
}

fn mistakes(problems: &[Problem]) -> WebError {
    let errors = problems.iter().filter(|problem| problem.is_error());
    let texts: Vec<String> = errors
        .map(|problem| {
            let help = problem.help.iter().map(|help| format!(" ({help})"));
            let help: String = help.collect();
            format!("line {}: {}{help}", problem.line, problem.message)
        })
        .collect();
    WebError::BadDefinition(texts.join("; "))
}

impl ExplainView {
    fn new<'a>(state: &WebState, slos: impl IntoIterator<Item = &'a Slo>) -> Self {
        let now = state.clock.now();
        let sample = state.shapes.at(now);
        let explained = slos.into_iter().map(|slo| {
            let mut explanation = explain(slo, &sample);
            if state.is_restricted() {
                explanation.leave_out_others();
            }
            ExplainedSlo::new(slo, explanation, &state.trace_viewers)
        });
        Self {
            as_of: now,
            is_sampling: state.shapes.is_on(),
            spans_received: sample.received,
            spans_beyond_limit: sample.beyond,
            slos: explained.collect(),
        }
    }

    fn received_text(&self) -> String {
        if !self.is_sampling {
            return "This replica stores no samples of spans (`--no-span-samples`).".to_owned();
        }
        let spans = format::counted(self.spans_received, "span");
        let beyond = match self.spans_beyond_limit {
            0 => String::new(),
            beyond => format!(
                "; of {} only the number is known, because there are too many different ones",
                format::count(beyond)
            ),
        };
        format!(
            "By the {spans} that this replica has received in the last hour, or since it started{beyond}."
        )
    }
}

impl ExplainedSlo {
    fn new(slo: &Slo, explanation: Explanation, viewers: &[TraceViewer]) -> Self {
        let selectors = explanation.selectors.into_iter();
        Self {
            name: slo.name.clone(),
            display_name: slo.display_name.clone(),
            selectors: selectors
                .map(|one| ExplainedSelector::new(one, viewers))
                .collect(),
            advice: explanation.advice,
            funnel: Vec::new(),
        }
    }
}

impl ExplainedSelector {
    fn new(one: SelectorExplanation, viewers: &[TraceViewer]) -> Self {
        let matched_text = one.matched_sentence();
        let examples = one.examples.into_iter();
        let nearest = one.nearest.into_iter();
        let correlated = one.correlated.into_iter();
        Self {
            field: one.field,
            selector: one.selector,
            matched: one.matched,
            matched_is_estimate: one.matched_is_estimate,
            matched_text,
            examples: examples
                .map(|example| ExampleTrace::new(example, viewers))
                .collect(),
            nearest: nearest
                .map(|near| NearestView {
                    text: near.sentence(),
                    spans: near.spans,
                    example: ExampleTrace::new(near.example, viewers),
                    comparison: near.comparison,
                    found: near.found,
                })
                .collect(),
            correlated: correlated
                .map(|group| CorrelatedView {
                    by: group.by,
                    spans: group.spans,
                })
                .collect(),
        }
    }
}

impl CorrelatedView {
    fn text(&self) -> String {
        let spans = format::counted(self.spans, "span");
        match &self.by {
            Some(by) => format!("{spans} by `{by}`"),
            None => format!("{spans} by nothing"),
        }
    }
}

impl ExampleTrace {
    fn new(example: SpanExample, viewers: &[TraceViewer]) -> Self {
        let label = example.trace_id.to_string();
        let traced = Traced {
            trace_id: example.trace_id,
            label: &label,
            from: example.ended_at - SECOND,
            to: example.ended_at,
        };
        Self {
            links: TraceViewer::links(viewers, traced),
            trace_id: example.trace_id,
            span_id: example.span_id,
        }
    }
}

/// Returns the steps of the workflows that were judged in the last hour, and of open ones.
fn funnel(slo: &Summary) -> Vec<FunnelStep> {
    let counts = slo.last_hour.by_outcome;
    let excluded = counts.cancelled + counts.orphan + counts.unobservable + counts.unusable();
    let in_flight = slo.in_flight;
    let step = |step, workflows, meaning: String, outcomes: &[(Outcome, i64)]| FunnelStep {
        step,
        workflows,
        meaning,
        searches: searches(slo, outcomes),
    };
    let number = format::count;
    vec![
        step(
            "started",
            counts.total() + excluded - counts.orphan + in_flight,
            format!(
                "{} are open, the others were judged in the last hour",
                number(in_flight)
            ),
            &[(Outcome::Open, in_flight)],
        ),
        step(
            "ended",
            counts.good + counts.late + counts.failed + counts.cancelled,
            "finished, failed or cancelled".to_owned(),
            &[
                (Outcome::Good, counts.good),
                (Outcome::Late, counts.late),
                (Outcome::Failed, counts.failed),
            ],
        ),
        step(
            "judged",
            counts.total(),
            format!("{} good, {} bad", number(counts.good), number(counts.bad())),
            &[(Outcome::Timeout, counts.timeout)],
        ),
        step(
            "excluded",
            excluded,
            format!(
                "{} cancelled, {} ends without a start, {} unobservable, {} unusable",
                number(counts.cancelled),
                number(counts.orphan),
                number(counts.unobservable),
                number(counts.unusable())
            ),
            &[
                (Outcome::Cancelled, counts.cancelled),
                (Outcome::Orphan, counts.orphan),
                (Outcome::Unobservable, counts.unobservable),
                (Outcome::Invalid, counts.invalid),
                (Outcome::Ambiguous, counts.ambiguous),
                (Outcome::EvidenceLost, counts.evidence_lost),
            ],
        ),
    ]
}

/// Returns a search for workflows for each outcome of the last hour.
fn searches(slo: &Summary, outcomes: &[(Outcome, i64)]) -> Vec<WorkflowsLink> {
    let seen = outcomes.iter().filter(|(_, count)| *count > 0);
    seen.map(|(outcome, _)| WorkflowsLink {
        text: outcome.in_words(),
        path: addresses::workflows(&slo.name, *outcome),
    })
    .collect()
}

impl FunnelStep {
    fn workflows_text(&self) -> String {
        format::count(self.workflows)
    }
}

#[derive(Template)]
#[template(path = "explain.html", config = "src/web/askama.toml")]
struct ExplainPage {
    layout: Layout,
    /// The explained active SLO; `None` on the form.
    slo: Option<Name>,
    text: String,
    view: Option<ExplainView>,
    mistake: Option<ErrorExplanation>,
}

impl ExplainPage {
    fn form(state: &WebState, text: String) -> Self {
        let layout = Layout::new(
            state,
            Section::Definitions,
            "Explain a definition · Throughline",
        );
        Self {
            layout: layout.still(),
            slo: None,
            text,
            view: None,
            mistake: None,
        }
    }
}
