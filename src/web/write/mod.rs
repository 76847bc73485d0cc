//! Protection of requests that write: their origin, their sender, and repetition.
//!
//! [`guard`] runs before every handler. A form must come from a page of this service (`origin.rs`),
//! so that no other site can make a reader's browser send it with their session; this works without
//! scripts. The API accepts only JSON, which no form of another site can send. The sender is known
//! from [`access`](super::access) (`who.rs`). A request to the API with an `Idempotency-Key` is
//! done once, even if it arrives several times (`once.rs`).
//!
//! To add a handler that writes: take [`Who`](who::Who) and [`ParsedBody`](body::ParsedBody), do it
//! in one transaction, and answer the API with JSON and a form with [`see_other`].

pub(super) mod body;
pub(super) mod once;
mod origin;
pub(super) mod rate_limit;
pub(super) mod who;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{
    error::WebError, page::Negotiation, pages::definitions::DefinitionError, state::WebState,
};

/// The registered media type, and older ones.
const YAML: [&str; 3] = ["application/yaml", "application/x-yaml", "text/yaml"];

/// The requirements of requests that write.
#[derive(Clone, Debug)]
pub struct WriteRules {
    /// The header in which a reverse proxy sends the user; in lower case.
    pub user_header: String,
    pub anonymous: Anonymous,
    /// The URL of the pages; a form may come from there although a proxy changes the host.
    pub public_url: Option<String>,
}

/// The permission to write for users without a name from a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    MayWrite,
    MayRead,
}

/// Passes on a request that writes only if it comes from a page of this service or from a program.
pub(super) async fn guard(State(state): State<WebState>, request: Request, next: Next) -> Response {
    if is_safe(request.method()) {
        return next.run(request).await;
    }
    let rules = &state.writes;
    let passed = origin::check(request.headers(), rules.public_url.as_deref())
        .and_then(|()| check_content_type(&request));
    match passed {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let (parts, _) = request.into_parts();
            Negotiation::of(&parts).refuse(&state, &error)
        }
    }
}

/// Answers a form: the browser loads the page at `path`, and reloading it does not send the form
/// again.
pub(super) fn see_other(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

const fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn check_content_type(request: &Request) -> Result<(), WebError> {
    let (path, headers) = (request.uri().path(), request.headers());
    if !path.starts_with("/api/") || !has_body(headers) || is_a(headers, &["application/json"]) {
        return Ok(());
    }
    // No form can send YAML.
    match path.strip_prefix("/api/v1/definitions/") {
        Some(_) if is_a(headers, &YAML) => Ok(()),
        Some(_) if request.method() == Method::PUT => Err(DefinitionError::NotYaml.into()),
        _ => Err(WebError::NotJson),
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let is_empty = length.is_none_or(|length| length.as_bytes() == b"0");
    !is_empty || headers.contains_key(header::TRANSFER_ENCODING)
}

fn is_a(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let essence = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|sent| {
        let mut kinds = kinds.iter();
        kinds.any(|kind| sent.trim().eq_ignore_ascii_case(kind))
    })
}
