//! `/definitions`: what is declared, from which file, and what is wrong with the files.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Serialize;

use super::{period, targets::kind_text};
use crate::{
    domain::model::{format, ids::Name, time::Timestamp},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        state::WebState,
    },
};

#[derive(Debug, Serialize)]
pub(crate) struct DefinitionsView {
    folder: String,
    loaded_at: Option<Timestamp>,
    problems: Vec<String>,
    slos: Vec<DeclaredSlo>,
    targets: Vec<DeclaredTarget>,
}

#[derive(Debug, Serialize)]
struct DeclaredSlo {
    name: Name,
    display_name: String,
    file: String,
    line: usize,
    objective: String,
    window: String,
}

/// Never with an address or a key: those may be secrets.
#[derive(Debug, Serialize)]
struct DeclaredTarget {
    name: Name,
    kind: &'static str,
}

pub(crate) async fn get(asked: Negotiation, State(state): State<WebState>) -> Response {
    let view = view(&state);
    asked.reply(&state, Ok::<_, WebError>(view), |view| {
        let mut layout = Layout::new(&state, Section::Definitions, "Definitions · Throughline");
        layout.json = Some("/api/v1/definitions".to_owned());
        DefinitionsPage {
            layout,
            now: state.clock.now(),
            view,
        }
    })
}

fn view(state: &WebState) -> DefinitionsView {
    let catalog = Arc::clone(&state.catalog.borrow());
    let status = Arc::clone(&state.definitions.borrow());
    let slos = catalog.slos.values().map(|slo| DeclaredSlo {
        name: slo.name.clone(),
        display_name: slo.display_name.clone(),
        file: slo.source.file.clone(),
        line: slo.source.line,
        objective: format::objective(slo.objective.ratio()),
        window: period::declared(slo.window),
    });
    let targets = catalog.targets.values().map(|target| DeclaredTarget {
        name: target.name.clone(),
        kind: kind_text(&target.kind),
    });
    DefinitionsView {
        folder: status.folder.clone(),
        loaded_at: status.loaded_at,
        problems: status.problems.clone(),
        slos: slos.collect(),
        targets: targets.collect(),
    }
}

#[derive(Template)]
#[template(path = "definitions.html", config = "src/web/askama.toml")]
struct DefinitionsPage {
    layout: Layout,
    now: Timestamp,
    view: DefinitionsView,
}

impl DefinitionsPage {
    fn loaded_text(&self) -> String {
        self.view.loaded_at.map_or_else(
            || "not read yet".to_owned(),
            |at| {
                format!(
                    "in force since {} UTC",
                    format::moment_in_words(at, self.now)
                )
            },
        )
    }
}
