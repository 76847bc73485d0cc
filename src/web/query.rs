//! The query parameters. The API rejects unknown ones, since a mistyped filter would return
//! everything; pages ignore them, since other systems add theirs to links.

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    http::{Uri, request::Parts},
    middleware::Next,
    response::Response,
};
use serde::de::DeserializeOwned;

use super::{error::WebError, page::Negotiation, state::WebState};
use crate::store::ListPosition;

/// The parameters that a handler reads.
pub(super) trait Parameters: DeserializeOwned {
    const NAMES: &'static [&'static str];
}

/// Returns where the next part of a list begins; `None` if this part is not full, and so the last.
pub(super) fn next_part<T, P>(part: &[T], most: u32, position: impl FnOnce(&T) -> P) -> Option<P> {
    let is_full = u32::try_from(part.len()).unwrap_or(u32::MAX) >= most;
    part.last().filter(|_| is_full).map(position)
}

/// Reads the parameter `before`, which is `next` of an earlier answer; empty for the first part.
pub(super) fn before(text: &str) -> Result<Option<ListPosition>, WebError> {
    if text.is_empty() {
        return Ok(None);
    }
    let unreadable =
        || WebError::Unreadable("`before` is not `next` of an earlier answer".to_owned());
    ListPosition::parse(text).map(Some).ok_or_else(unreadable)
}

/// The parameters of a list without a filter.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct PartQuery {
    #[serde(default)]
    pub(super) before: String,
}

impl Parameters for PartQuery {
    const NAMES: &'static [&'static str] = &["before"];
}

/// The parameters of a method that reads none, although another method of the same path does.
#[derive(Debug, serde::Deserialize)]
pub(super) struct NoParameters {}

impl Parameters for NoParameters {
    const NAMES: &'static [&'static str] = &[];
}

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: Parameters> FromRequestParts<WebState> for Params<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Response> {
        let known = check_names(&parts.uri, T::NAMES);
        let read = known.and_then(|()| read(&parts.uri).map(Self));
        read.map_err(|error| Negotiation::of(parts).refuse(state, &error))
    }
}

/// Rejects any parameter before handlers that read none.
pub(super) async fn refuse_all(
    State(state): State<WebState>,
    request: Request,
    next: Next,
) -> Response {
    match check_names(request.uri(), &[]) {
        Ok(()) => next.run(request).await,
        Err(error) => Negotiation::of(&request.into_parts().0).refuse(&state, &error),
    }
}

fn check_names(uri: &Uri, known: &'static [&'static str]) -> Result<(), WebError> {
    if !uri.path().starts_with("/api/") {
        return Ok(());
    }
    let pairs: Vec<(String, String)> = read(uri)?;
    let unknown = pairs
        .into_iter()
        .find(|(name, _)| !known.contains(&name.as_str()));
    match unknown {
        Some((name, _)) => Err(WebError::UnknownParameter { name, known }),
        None => Ok(()),
    }
}

pub(super) fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, WebError> {
    match Query::try_from_uri(uri) {
        Ok(Query(read)) => Ok(read),
        Err(error) => Err(WebError::Unreadable(error.body_text())),
    }
}
