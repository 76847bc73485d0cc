//! `/silences/new`: a form with a preview of the alerts that the silence would suppress.

use askama::Template;
use axum::{extract::Query, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{
    add,
    preview::{self, PreviewView},
    request::{Action, SilenceForm},
};
use crate::{
    domain::alerting::silence::Draft,
    web::{
        error::{ErrorExplanation, WebError},
        page::{Layout, Negotiation, Section},
        state::WebState,
        write::{body::ParsedBody, see_other, who::Who},
    },
};

/// The values that a link fills into the form.
#[derive(Debug, Deserialize)]
pub(in crate::web) struct Prefilled {
    slo: Option<String>,
    severity: Option<String>,
}

pub(in crate::web) async fn get(
    asked: Negotiation,
    state: WebState,
    Query(prefilled): Query<Prefilled>,
) -> Response {
    let wanted = [("slo", prefilled.slo), ("severity", prefilled.severity)];
    let matchers = wanted
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let form = SilenceForm {
        matchers: matchers.collect::<Vec<_>>().join("\n"),
        duration: "2h".to_owned(),
        ..SilenceForm::default()
    };
    asked.page(&state, StatusCode::OK, &FormPage::new(&state, form))
}

pub(in crate::web) async fn post(
    asked: Negotiation,
    state: WebState,
    who: Who,
    ParsedBody { body, .. }: ParsedBody<SilenceForm>,
) -> Response {
    let done = match body.draft(who) {
        Ok(draft) => act(&state, body.action, &draft).await,
        Err(error) => Err(error),
    };
    let mut page = FormPage::new(&state, body);
    match done {
        Ok(Done::Created) => see_other("/silences"),
        Ok(Done::Previewed(preview)) => {
            page.preview = Some(preview);
            asked.page(&state, StatusCode::OK, &page)
        }
        Err(error @ (WebError::BadSilence(_) | WebError::Unreadable(_))) => {
            page.mistake = Some(error.explanation());
            asked.page(&state, error.status(), &page)
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

enum Done {
    Previewed(PreviewView),
    Created,
}

async fn act(state: &WebState, action: Action, draft: &Draft) -> Result<Done, WebError> {
    let now = state.clock.now();
    match action {
        // The preview works before a reason is filled in.
        Action::Preview => {
            let matchers = draft.matchers().map_err(WebError::BadSilence)?;
            let preview = preview::view(state, &matchers).await?;
            Ok(Done::Previewed(preview))
        }
        Action::Create => {
            let terms = draft.terms(now).map_err(WebError::BadSilence)?;
            let mut tx = state.store.begin("add a silence").await?;
            add(state, &mut tx, terms, now).await?;
            tx.commit().await?;
            Ok(Done::Created)
        }
    }
}

#[derive(Template)]
#[template(path = "silence_form.html", config = "src/web/askama.toml")]
struct FormPage {
    layout: Layout,
    form: SilenceForm,
    preview: Option<PreviewView>,
    mistake: Option<ErrorExplanation>,
}

impl FormPage {
    fn new(state: &WebState, form: SilenceForm) -> Self {
        let layout = Layout::new(state, Section::Silences, "New silence · Throughline");
        Self {
            layout: layout.still(),
            form,
            preview: None,
            mistake: None,
        }
    }
}
