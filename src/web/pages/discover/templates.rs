//! `/discover/templates/{name}`: a definition to edit, for a common system.

use askama::Template;
use axum::{extract::Path, response::Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::slo::{DefinitionTemplate, TEMPLATES},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        state::WebState,
    },
};

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct TemplateList {
    templates: Vec<ListedTemplate>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ListedTemplate {
    name: &'static str,
    about: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct TemplateView {
    name: &'static str,
    about: &'static str,
    /// The definition of an SLO, as YAML.
    definition: &'static str,
}

pub(in crate::web) async fn all(asked: Negotiation, state: WebState) -> Response {
    let templates = TEMPLATES.iter().map(|template| ListedTemplate {
        name: template.name,
        about: template.about(),
    });
    let view = TemplateList {
        templates: templates.collect(),
    };
    asked.view(&state, Ok::<_, WebError>(view))
}

pub(in crate::web) async fn one(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
) -> Response {
    let view = DefinitionTemplate::named(&name)
        .map(TemplateView::new)
        .ok_or(WebError::NoSuchTemplate { name });
    asked.reply(&state, view, |view| TemplatePage {
        layout: Layout {
            json: Some(format!("/api/v1/discover/templates/{}", view.name)),
            ..Layout::new(
                &state,
                Section::Definitions,
                format!("Template {} · Throughline", view.name),
            )
        }
        .still(),
        folder: state.definitions.borrow().folder.clone(),
        view,
    })
}

impl TemplateView {
    fn new(template: DefinitionTemplate) -> Self {
        Self {
            name: template.name,
            about: template.about(),
            definition: template.text,
        }
    }
}

#[derive(Template)]
#[template(path = "definition_template.html", config = "src/web/askama.toml")]
struct TemplatePage {
    layout: Layout,
    folder: String,
    view: TemplateView,
}
