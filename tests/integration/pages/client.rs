//! Requests to the router, without a socket.

use std::io::Write as _;

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

pub(super) struct Answer {
    pub(super) status: u16,
    headers: axum::http::HeaderMap,
    pub(super) body: String,
}

impl Answer {
    /// Empty where it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(super) async fn get(router: &Router, path: &str) -> Answer {
    get_with(router, path, &[]).await
}

pub(super) async fn get_with(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(router, Request::get(path), headers, "").await
}

pub(super) async fn delete(router: &Router, path: &str) -> Answer {
    send(router, Request::delete(path), &[], "").await
}

/// Asks for something to be done, as a program does.
pub(super) async fn post_json(router: &Router, path: &str, body: &serde_json::Value) -> Answer {
    let headers = [("content-type", "application/json")];
    post_with(router, path, &headers, &body.to_string()).await
}

pub(super) async fn post_with(
    router: &Router,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    send(router, Request::post(path), headers, body).await
}

async fn send(
    router: &Router,
    request: axum::http::request::Builder,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .header("content-length", body.len())
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

pub(super) fn gzipped(bytes: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}
