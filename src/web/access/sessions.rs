//! `/sessions`: who is logged in, and a button that ends a session of another user.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::error::AccessError;
use crate::{
    domain::model::time::Timestamp,
    store::{ListPosition, ListedSession},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section, link_next},
        query::{self, Params, PartQuery, next_part},
        reader::times,
        state::WebState,
        write::see_other,
    },
};

/// The maximum number of sessions on a page.
const MOST: u32 = 1_000;

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct SessionsView {
    as_of: Timestamp,
    /// Newest first, at most 1,000.
    sessions: Vec<SessionView>,
    /// The value of `before` for the next page.
    next: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct SessionView {
    id: Uuid,
    /// Name of the token or of the user.
    name: String,
    /// The roles, as `editor` or `editor@team/payments`.
    permissions: Vec<String>,
    /// `token` or `provider`.
    logged_in_by: &'static str,
    began_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct RevokedSession {
    id: Uuid,
}

impl From<ListedSession> for SessionView {
    fn from(session: ListedSession) -> Self {
        let permissions = session.record.permissions.iter();
        Self {
            id: session.id,
            permissions: permissions.map(ToString::to_string).collect(),
            name: session.record.name,
            logged_in_by: if session.record.is_of_provider {
                "provider"
            } else {
                "token"
            },
            began_at: session.began_at,
            expires_at: session.expires_at,
        }
    }
}

pub(in crate::web) async fn list(
    asked: Negotiation,
    state: WebState,
    Params(part): Params<PartQuery>,
) -> Response {
    let view = view(&state, &part).await;
    let next = view.as_ref().ok().and_then(|view| view.next.as_deref());
    let next = next.map(|next| format!("/api/v1/sessions?before={next}"));
    let answer = asked.reply(&state, view, |view| {
        let mut layout = Layout::new(&state, Section::Other, "Sessions · Throughline");
        layout.json = Some("/api/v1/sessions".to_owned());
        SessionsPage { layout, view }
    });
    link_next(answer, next.as_deref())
}

async fn view(state: &WebState, part: &PartQuery) -> Result<SessionsView, WebError> {
    let position = query::before(&part.before)?;
    let now = state.clock.now();
    let mut tx = state.store.begin("list the sessions").await?;
    let sessions = tx.sessions(now, position, MOST).await?;
    let position = |session: &ListedSession| ListPosition {
        at: session.began_at,
        id: session.id,
    };
    Ok(SessionsView {
        as_of: now,
        next: next_part(&sessions, MOST, position).map(ListPosition::text),
        sessions: sessions.into_iter().map(SessionView::from).collect(),
    })
}

/// Ends a session through the API.
pub(in crate::web) async fn delete(
    asked: Negotiation,
    state: WebState,
    Path(id): Path<String>,
) -> Response {
    asked.json(&state, StatusCode::OK, end(&state, &id).await)
}

/// Ends a session by the button of the page.
pub(in crate::web) async fn press(
    asked: Negotiation,
    state: WebState,
    Path(id): Path<String>,
) -> Response {
    match end(&state, &id).await {
        Ok(_) => see_other("/sessions"),
        Err(error) => asked.refuse(&state, &error),
    }
}

async fn end(state: &WebState, id: &str) -> Result<RevokedSession, WebError> {
    let unknown = || AccessError::NoSuchSession { id: id.to_owned() };
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let mut tx = state.store.begin("end a session").await?;
    if !tx.end_session_of(id).await? {
        return Err(unknown().into());
    }
    tx.commit().await?;
    Ok(RevokedSession { id })
}

#[derive(Template)]
#[template(path = "sessions.html", config = "src/web/askama.toml")]
struct SessionsPage {
    layout: Layout,
    view: SessionsView,
}

impl SessionsPage {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn moment(&self, at: &Timestamp) -> String {
        times::moment(*at, self.view.as_of)
    }

    fn next_href(&self) -> Option<String> {
        let next = self.view.next.as_deref()?;
        Some(format!("/sessions?before={next}"))
    }
}
