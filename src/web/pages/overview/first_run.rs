//! The checklist that the overview shows until the first span arrives.

use std::{net::SocketAddr, sync::Arc};

use askama::Template;

use crate::{
    domain::model::time::Timestamp,
    web::{
        page::{Layout, Section},
        reader::times,
        state::{Listening, WebState},
    },
};

/// A valid first SLO.
pub const FIRST_SLO: &str = r#"apiVersion: throughline/v1
kind: SLO
metadata:
  name: orders-on-time
  displayName: Orders are confirmed within five minutes
spec:
  service: checkout
  objective: 99.5%
  window: 28d
  indicator:
    workflow:
      start:  '{ name = "checkout.submit" && kind = producer }'
      finish: '{ name = "email.send" && status != error }'
      within: 5m
      correlate: [span.order.id, trace]
  customer: span.customer.id
"#;

#[derive(Template)]
#[template(path = "first_run.html", config = "src/web/askama.toml")]
pub(crate) struct FirstRunPage {
    layout: Layout,
    grpc: SocketAddr,
    http: SocketAddr,
    folder: String,
    slos: Vec<String>,
    targets: Vec<String>,
    problems: Vec<String>,
    now: String,
    first_slo: &'static str,
}

impl FirstRunPage {
    pub(crate) fn new(state: &WebState, now: Timestamp) -> Self {
        let catalog = Arc::clone(&state.catalog.borrow());
        let definitions = Arc::clone(&state.definitions.borrow());
        let Listening {
            otlp_grpc,
            otlp_http,
        } = state.listening;
        let mut layout = Layout::new(state, Section::Overview, "Waiting for spans · Throughline");
        layout.json = Some("/api/v1/slos".to_owned());
        layout.fresh = vec!["No span has arrived yet".to_owned()];
        Self {
            layout,
            grpc: otlp_grpc,
            http: otlp_http,
            folder: definitions.folder.clone(),
            slos: catalog
                .slos
                .values()
                .map(|slo| slo.display_name.clone())
                .collect(),
            targets: catalog.targets.keys().map(ToString::to_string).collect(),
            problems: definitions.problems.clone(),
            now: times::clock(now),
            first_slo: FIRST_SLO,
        }
    }

    /// Returns the endpoint for a client on this machine. An unspecified address such as `0.0.0.0`
    /// cannot be sent to.
    fn endpoint(&self) -> String {
        if self.http.ip().is_unspecified() {
            format!("http://localhost:{}", self.http.port())
        } else {
            format!("http://{}", self.http)
        }
    }

    /// Returns a command that sends one span from a shell.
    fn first_span(&self) -> String {
        format!(
            "curl -i {}/v1/traces \\\n  -H 'content-type: application/json' -d '{}'",
            self.endpoint(),
            r#"{"resourceSpans":[]}"#
        )
    }
}
