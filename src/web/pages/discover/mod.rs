//! `/discover`: flows among the spans of the last hour, each with a draft definition. [`templates`]
//! has definitions for common systems.

pub(in crate::web) mod templates;

use std::{panic::resume_unwind, sync::Arc};

use askama::Template;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        model::{format, ids::Name, time::Timestamp},
        slo::{Catalog, DefinitionTemplate, TEMPLATES},
        workflow::discover::{Discovery, MessageConnection, ProposedFlow, QueueHop, discover},
    },
    web::{
        page::{Layout, Negotiation, Section},
        state::WebState,
    },
};

/// The flows that this replica found.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct DiscoverView {
    as_of: Timestamp,
    /// True if samples of spans are stored.
    is_sampling: bool,
    spans: usize,
    traces: usize,
    /// One in this many traces is in the sample.
    one_in: u64,
    /// The time that the sample covers.
    covered_seconds: f64,
    /// The size of the sample, as a sentence.
    text: String,
    flows: Vec<FlowView>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct FlowView {
    /// The name in the draft definition.
    name: Name,
    title: String,
    /// The SLO that counts this flow already, if any.
    counted_by: Option<Name>,
    hops: Vec<HopView>,
    started: usize,
    per_hour: f64,
    finished_ratio: f64,
    median_seconds: f64,
    p95_seconds: f64,
    p99_seconds: f64,
    within_seconds: f64,
    /// The frequency, as a sentence.
    text: String,
    /// The definition of an SLO, as YAML.
    definition: String,
}

#[derive(Debug, JsonSchema, Serialize)]
struct HopView {
    queue: String,
    from: String,
    to: String,
    messages: usize,
    connected: Vec<ConnectedView>,
}

/// The number of messages that are connected in one way.
#[derive(Debug, JsonSchema, Serialize)]
struct ConnectedView {
    by: String,
    messages: usize,
}

pub(in crate::web) async fn get(asked: Negotiation, state: WebState) -> Response {
    let now = state.clock.now();
    let sample = state.shapes.traces_at(now);
    let catalog: Arc<Catalog> = Arc::clone(&state.catalog.borrow());
    // Thousands of spans would block the threads that handle requests for too long.
    let found = tokio::task::spawn_blocking(move || discover(&sample, &catalog, now)).await;
    let found = found.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Discovery::default(),
    });
    let view = DiscoverView::new(&state, now, found);
    asked.reply(&state, Ok(view), |view| DiscoverPage {
        layout: Layout {
            json: Some("/api/v1/discover".to_owned()),
            ..Layout::new(&state, Section::Definitions, "Discover flows · Throughline")
        }
        .still(),
        folder: state.definitions.borrow().folder.clone(),
        templates: TEMPLATES,
        view,
    })
}

impl DiscoverView {
    fn new(state: &WebState, now: Timestamp, found: Discovery) -> Self {
        let is_sampling = state.shapes.is_on();
        Self {
            as_of: now,
            is_sampling,
            text: if is_sampling {
                looked_at(&found)
            } else {
                "This replica stores no samples of spans (`--no-span-samples`).".to_owned()
            },
            spans: found.spans,
            traces: found.traces,
            one_in: found.one_in,
            covered_seconds: found.covered.as_secs_f64(),
            flows: found.flows.into_iter().map(FlowView::new).collect(),
        }
    }
}

fn counted(number: usize, noun: &str) -> String {
    format::counted(i64::try_from(number).unwrap_or(i64::MAX), noun)
}

fn looked_at(found: &Discovery) -> String {
    let share = match found.one_in {
        0 | 1 => String::new(),
        one_in => format!(", one trace in {one_in}"),
    };
    format!(
        "By {} of {} that this replica has received in {}{share}.",
        counted(found.spans, "span"),
        counted(found.traces, "trace"),
        format::lasting(found.covered)
    )
}

impl FlowView {
    fn new(flow: ProposedFlow) -> Self {
        Self {
            text: seen(&flow),
            name: flow.name,
            title: flow.title,
            counted_by: flow.counted_by,
            hops: flow.hops.into_iter().map(HopView::new).collect(),
            started: flow.started,
            per_hour: flow.per_hour,
            finished_ratio: flow.finished_ratio,
            median_seconds: flow.durations.median.as_secs_f64(),
            p95_seconds: flow.durations.p95.as_secs_f64(),
            p99_seconds: flow.durations.p99.as_secs_f64(),
            within_seconds: flow.within.as_secs_f64(),
            definition: flow.yaml,
        }
    }

    fn per_hour_text(&self) -> String {
        format::count(crate::domain::model::counts::whole(self.per_hour))
    }

    fn finished_text(&self) -> String {
        format::percent(self.finished_ratio)
    }
}

fn seen(flow: &ProposedFlow) -> String {
    let durations = &flow.durations;
    format!(
        "Half took at most {}, 95% at most {}, 99% at most {}.",
        format::duration(durations.median),
        format::duration(durations.p95),
        format::duration(durations.p99)
    )
}

impl HopView {
    fn new(hop: QueueHop) -> Self {
        let connected = hop.connected.into_iter();
        Self {
            queue: hop.queue,
            from: hop.from,
            to: hop.to,
            messages: hop.messages,
            connected: connected
                .map(|(by, messages)| ConnectedView {
                    by: connection_text(&by),
                    messages,
                })
                .collect(),
        }
    }

    fn connected_text(&self) -> String {
        let parts = self.connected.iter().map(|one| {
            let messages = i64::try_from(one.messages).unwrap_or(i64::MAX);
            format!("{} ({})", one.by, format::count(messages))
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

fn connection_text(by: &MessageConnection) -> String {
    match by {
        MessageConnection::Trace => "the same trace".to_owned(),
        MessageConnection::Link => "a span link".to_owned(),
        MessageConnection::MessageId => "the message id".to_owned(),
        MessageConnection::Attribute(key) => format!("`{}`", key.replace('`', "'")),
    }
}

#[derive(Template)]
#[template(path = "discover.html", config = "src/web/askama.toml")]
struct DiscoverPage {
    layout: Layout,
    folder: String,
    templates: [DefinitionTemplate; TEMPLATES.len()],
    view: DiscoverView,
}
