//! The signed URLs in messages that act: `/actions/acknowledge/{id}` and `/actions/silence/{id}`.
//!
//! A GET changes nothing, since chat programs and mail scanners open every URL that they see. It
//! shows what would be done, and a button that does it. The signature authenticates the reader of
//! the message; no login is needed.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;

use super::{acknowledge::take_on, found, shown};
use crate::{
    domain::{
        alerting::{
            alert::TransitionKind,
            silence::{Draft, Matcher, Silence},
            snapshot::AlertSnapshot,
        },
        model::{group::Group, ids::id_named_after},
        notify::{signed_links::signing::Purpose, wording},
    },
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        pages::silences,
        state::WebState,
        write::{body::ParsedBody, see_other, who::Who},
    },
};

/// The duration that the button in the message names.
const SILENCE: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::web) enum SignedAction {
    Acknowledge,
    Silence,
}

#[derive(Debug, Deserialize)]
pub(in crate::web) struct Permit {
    #[serde(default)]
    token: String,
    by: Option<String>,
}

pub(in crate::web) async fn confirm(
    asked: Negotiation,
    state: WebState,
    Path((action, id)): Path<(SignedAction, String)>,
    Query(permit): Query<Permit>,
) -> Response {
    let facts = async {
        check(&state, action, &id, &permit.token)?;
        let mut tx = state.reads().begin("read an incident").await?;
        let mut transitions = found(&state, &mut tx, &id).await?;
        let last = transitions.pop().map(|last| shown(&state, last));
        last.ok_or(WebError::NoSuchPage)
    };
    match facts.await {
        Ok(last) => {
            let layout = Layout::new(&state, Section::Alerts, action.title(&last.facts));
            let page = ConfirmPage {
                layout: layout.still(),
                action,
                headline: wording::headline(&last.facts),
                is_over: last.facts.kind == TransitionKind::Resolved,
                id,
                token: permit.token,
            };
            asked.page(&state, StatusCode::OK, &page)
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

pub(in crate::web) async fn perform(
    asked: Negotiation,
    state: WebState,
    who: Who,
    Path((action, id)): Path<(SignedAction, String)>,
    ParsedBody { body, .. }: ParsedBody<Permit>,
) -> Response {
    let by = who.or(body.by.as_deref());
    let done = async {
        check(&state, action, &id, &body.token)?;
        match action {
            SignedAction::Acknowledge => {
                take_on(&state, &id, by).await?;
                Ok(format!("/incidents/{id}"))
            }
            SignedAction::Silence => {
                silence(&state, &id, &body.token, by).await?;
                Ok("/silences".to_owned())
            }
        }
    };
    match done.await {
        Ok(path) => see_other(&path),
        Err(error) => asked.refuse(&state, &error),
    }
}

fn check(state: &WebState, action: SignedAction, id: &str, token: &str) -> Result<(), WebError> {
    let purpose = match action {
        SignedAction::Acknowledge => Purpose::Acknowledge,
        SignedAction::Silence => Purpose::Silence,
    };
    let now = state.clock.now();
    state
        .signing_key
        .check(token, purpose, id, now)
        .map(drop)
        .map_err(WebError::Token)
}

/// Creates the silence once per token: its name is made from the token, and names are unique.
async fn silence(
    state: &WebState,
    id: &str,
    token: &str,
    by: Option<String>,
) -> Result<(), WebError> {
    let now = state.clock.now();
    let mut tx = state.store.begin("silence an alert").await?;
    let Some(last) = found(state, &mut tx, id).await?.pop() else {
        return Err(WebError::NoSuchPage);
    };
    let draft = Draft {
        matchers: matchers(&last.facts),
        lasts: Some(SILENCE),
        reason: "silenced for an hour by the button in a message".to_owned(),
        created_by: by,
        ..Draft::default()
    };
    let silence = Silence {
        id: id_named_after(token),
        terms: draft.terms(now).map_err(WebError::BadSilence)?,
        created_at: now,
        ended: None,
    };
    if !tx.insert_silence(&silence).await? {
        return Err(WebError::UsedUp);
    }
    tx.commit().await?;
    silences::tell(&silence);
    Ok(())
}

/// Returns matchers for exactly this alert.
fn matchers(facts: &AlertSnapshot) -> Vec<String> {
    let group = facts.group.as_ref().map(Group::values_text);
    let severity = facts.severity.as_str();
    let mut all = vec![
        Matcher::equal("slo", facts.slo.as_str()),
        Matcher::equal("severity", severity),
    ];
    all.extend(group.map(|group| Matcher::equal("group", &group)));
    all.iter().map(Matcher::to_string).collect()
}

impl SignedAction {
    fn title(self, facts: &AlertSnapshot) -> String {
        format!("{}? · {}", self.button(), facts.display_name)
    }

    const fn button(self) -> &'static str {
        match self {
            Self::Acknowledge => "Acknowledge",
            Self::Silence => "Silence for 1 h",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Silence => "silence",
        }
    }

    const fn effect(self) -> &'static str {
        match self {
            Self::Acknowledge => {
                "All targets that were notified of it are notified of the acknowledgement. The alert is still evaluated."
            }
            Self::Silence => {
                "No one is notified of this alert for an hour. If it still fires then, its targets are notified at once."
            }
        }
    }
}

#[derive(Template)]
#[template(path = "act.html", config = "src/web/askama.toml")]
struct ConfirmPage {
    layout: Layout,
    action: SignedAction,
    headline: String,
    /// True if there is nothing left to do.
    is_over: bool,
    id: String,
    token: String,
}
