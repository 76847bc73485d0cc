//! The body of a request that writes: JSON for the API, a form otherwise, with errors in our own
//! words.

use axum::{
    Form, Json,
    body::Bytes,
    extract::{FromRequest, Request},
    response::Response,
};
use serde::de::DeserializeOwned;

use super::once::Once;
use crate::web::{error::WebError, page::Negotiation, state::WebState};

/// The parsed body, and the key that recognises a repeated request.
#[derive(Debug)]
pub(in crate::web) struct ParsedBody<T> {
    pub(in crate::web) body: T,
    pub(in crate::web) once: Once,
}

impl<T: DeserializeOwned> FromRequest<WebState> for ParsedBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let asked = Negotiation::of(&parts);
        let is_api = parts.uri.path().starts_with("/api/");
        let read = async {
            let named = Once::unread(&parts)?;
            let headers = parts.headers.clone();
            let bytes = Bytes::from_request(Request::from_parts(parts, body), state)
                .await
                .map_err(|error| WebError::Framework {
                    status: error.status(),
                    detail: error.body_text(),
                })?;
            let body = if is_api {
                json(&bytes)?
            } else {
                let mut form = Request::new(bytes.clone().into());
                *form.method_mut() = axum::http::Method::POST;
                *form.headers_mut() = headers;
                let Form(body) = Form::from_request(form, state)
                    .await
                    .map_err(|error| WebError::Unreadable(error.body_text()))?;
                body
            };
            Ok(Self {
                body,
                once: named.of(&bytes),
            })
        };
        read.await
            .map_err(|error: WebError| asked.refuse(state, &error))
    }
}

/// Parses JSON; an empty body is an empty object.
fn json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, WebError> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    Json::from_bytes(bytes)
        .map(|Json(body)| body)
        .map_err(|error| WebError::Unreadable(error.body_text()))
}
