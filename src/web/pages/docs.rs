//! `/docs/definitions`: every field of the definition files, generated from the functions that read them.
//! It needs no network, so it is there where the service is.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Serialize;

use crate::{
    domain::slo::definition::{GroupReference, reference},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        state::WebState,
    },
};

#[derive(Debug, Serialize)]
pub(crate) struct DefinitionDocs {
    groups: Vec<GroupReference>,
}

pub(crate) async fn definitions(asked: Negotiation, State(state): State<WebState>) -> Response {
    let view = DefinitionDocs {
        groups: reference(),
    };
    asked.reply(&state, Ok::<_, WebError>(view), |view| {
        let title = "Fields of definitions · Throughline";
        let mut layout = Layout::new(&state, Section::Definitions, title).still();
        layout.json = Some("/api/v1/docs/definitions".to_owned());
        DefinitionDocsPage { layout, view }
    })
}

#[derive(Template)]
#[template(path = "docs_definitions.html", config = "src/web/askama.toml")]
struct DefinitionDocsPage {
    layout: Layout,
    view: DefinitionDocs,
}
