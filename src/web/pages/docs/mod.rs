//! `/docs`: the reference of definitions, selectors, metrics, settings and the API, generated from
//! the code that uses them. It works without a network.

mod api;
mod examples;
mod openapi;
mod operation;
mod sections;

use askama::Template;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use self::{operation::ApiGroup, sections::DocsSection};
use crate::{
    config::{self, SettingGroup},
    domain::{
        slo::definition::{self, GroupReference},
        traceql::{self, SelectorReference},
    },
    telemetry::{SpanExport, metric_builder::MetricReference},
    web::{
        error::WebError,
        metrics,
        page::{Layout, Negotiation, Section},
        state::WebState,
    },
};

/// The pages of the reference.
const LINKS: [(&str, &str); 5] = [
    ("/docs/definitions", "Definitions"),
    ("/docs/selectors", "Selectors"),
    ("/docs/metrics", "Metrics"),
    ("/docs/settings", "Settings"),
    ("/docs/api", "API"),
];

#[derive(Debug, JsonSchema, Serialize)]
struct DefinitionDocs {
    groups: Vec<GroupReference>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct MetricDocs {
    /// Read from the database: the same on every replica.
    shared: Vec<MetricReference>,
    /// Of this process.
    process: Vec<MetricReference>,
}

impl MetricDocs {
    fn new(state: &WebState) -> Result<Self, prometheus::Error> {
        let mut process = state.metrics.registered.reference.to_vec();
        process.extend(SpanExport::reference()?);
        Ok(Self {
            shared: metrics::shared_reference()?,
            process,
        })
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct SettingDocs {
    groups: Vec<SettingGroup>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ApiDocs {
    groups: &'static [ApiGroup],
}

pub(crate) async fn definitions(asked: Negotiation, state: WebState) -> Response {
    let view = DefinitionDocs {
        groups: definition::reference(),
    };
    asked.reply(&state, Ok::<_, WebError>(view), |view| DocsPage {
        about: "Every field of the YAML files, as this version reads them. `throughline schema` prints a \
             JSON Schema of the same for editors.",
        sections: view.groups.iter().map(sections::of_group).collect(),
        ..DocsPage::new(&state, "/docs/definitions")
    })
}

pub(crate) async fn selectors(asked: Negotiation, state: WebState) -> Response {
    let view: SelectorReference = traceql::reference();
    asked.reply(&state, Ok::<_, WebError>(view), |view| DocsPage {
        about: "Selectors are TraceQL span filters, such as `{ span.order.id != nil && kind = producer }`, \
             with the same meaning as in Grafana Tempo.",
        sections: sections::of_selectors(&view),
        ..DocsPage::new(&state, "/docs/selectors")
    })
}

pub(crate) async fn metrics(asked: Negotiation, state: WebState) -> Response {
    let view = MetricDocs::new(&state);
    asked.reply(&state, view.map_err(WebError::from), |view| DocsPage {
        about: "Every metric that `/metrics` serves.",
        sections: vec![
            sections::of_metrics(
                "SLOs, alerts and deliveries",
                "Read from the database at each scrape, so every replica answers the same. Aggregate over \
                 replicas with `max`, not `sum`.",
                &view.shared,
            ),
            sections::of_metrics(
                "This process",
                "Each replica has its own.",
                &view.process,
            ),
        ],
        ..DocsPage::new(&state, "/docs/metrics")
    })
}

pub(crate) async fn settings(asked: Negotiation, state: WebState) -> Response {
    let view = SettingDocs {
        groups: config::reference(),
    };
    asked.reply(&state, Ok::<_, WebError>(view), |view| DocsPage {
        about: "Every setting of `throughline serve`: a flag, an environment variable, or a key of the \
             TOML file that `--config` names. Flags take precedence over variables, and variables over the file.",
        sections: view.groups.iter().map(sections::of_settings).collect(),
        ..DocsPage::new(&state, "/docs/settings")
    })
}

pub(crate) async fn api(asked: Negotiation, state: WebState) -> Response {
    let view = ApiDocs {
        groups: &api::GROUPS,
    };
    asked.reply(&state, Ok::<_, WebError>(view), |view| DocsPage {
        about: "Every page is JSON too: below `/api/v1`, or with `Accept: application/json`. Times are \
             RFC 3339 in UTC, shares are from 0 to 1, and durations end in `_seconds`. \
             Requests that write take a body with `Content-Type: application/json`, and an \
             `Idempotency-Key` header makes it safe to repeat them. `ETag` and `If-None-Match` save an \
             answer that has not changed. With one token each replica answers 6,000 requests a minute. \
             What comes too often gets 429 with `Retry-After`; \
             `RateLimit-Policy` and `RateLimit` say what a limit is and what is left of it. \
             `/api/v1/openapi.json` has every field of bodies and answers, with an example of each and of \
             a problem.",
        sections: view.groups.iter().map(sections::of_operations).collect(),
        ..DocsPage::new(&state, "/docs/api")
    })
}

/// Returns the document for tools; there is no page.
pub(crate) async fn openapi(asked: Negotiation, state: WebState) -> Response {
    let security = if state.access.has_login() {
        json!([{ "token": [] }])
    } else {
        // A token, if one is sent, must be valid.
        json!([{ "token": [] }, {}])
    };
    let document = openapi::document(state.version, &security);
    asked.view(&state, Ok::<_, WebError>(document))
}

#[derive(Template)]
#[template(path = "docs.html", config = "src/web/askama.toml")]
struct DocsPage {
    layout: Layout,
    path: &'static str,
    title: &'static str,
    /// Backticks enclose code.
    about: &'static str,
    sections: Vec<DocsSection>,
}

impl DocsPage {
    /// Makes the page at `path` without content.
    fn new(state: &WebState, path: &'static str) -> Self {
        let link = LINKS.iter().find(|(known, _)| *known == path);
        let title = link.map_or("Reference", |(_, title)| *title);
        let full = format!("{title} · Reference · Throughline");
        let mut layout = Layout::new(state, Section::Docs, full).still();
        layout.json = Some(format!("/api/v1{path}"));
        Self {
            layout,
            path,
            title,
            about: "",
            sections: Vec::new(),
        }
    }
}
