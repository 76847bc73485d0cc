//! Responses: HTML or JSON of the same view, and 304 for a client that has it already.

use std::convert::Infallible;

use askama::Template;
use axum::{
    body::to_bytes,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    assets,
    error::{ErrorExplanation, WebError},
    reader::{self, PastBanner},
    request::RequestId,
    state::WebState,
};
use crate::{domain::model::format, server::set_retry_after};

/// The maximum size of an error text of the framework.
const LONGEST_REASON: usize = 4_096;

/// The parts around every page.
#[derive(Debug)]
pub(super) struct Layout {
    /// Begins with the name and its state, so that browser tabs and history show them.
    pub(super) title: String,
    pub(super) section: Section,
    /// The age of the data; empty where nothing is evaluated.
    pub(super) fresh: Vec<String>,
    /// The URL of the JSON view.
    pub(super) json: Option<String>,
    /// The link to the same page as of this time; `None` if the page has no past.
    pub(super) permalink: Option<String>,
    /// Set if the page shows an earlier time.
    pub(super) past: Option<PastBanner>,
    /// The age of the data, if it is read from a replica that lags.
    pub(super) age: Option<String>,
    pub(super) search: String,
    /// True if the page reloads regularly; false for forms.
    pub(super) refreshes: bool,
    /// True if browsers have sessions, so that there is a button to log out.
    pub(super) can_log_out: bool,
    /// Which pages there are besides.
    pub(super) site: PageSite,
    pub(super) version: &'static str,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    /// `favicon-<state>.svg`.
    pub(super) icon: &'static str,
}

/// The current entry of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Workflows,
    Alerts,
    Silences,
    Targets,
    Deliveries,
    Events,
    Definitions,
    Docs,
    Other,
}

/// Which service a page is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageSite {
    OneInstallation,
    /// Of `throughline overview`, which has few.
    Installations,
}

impl Layout {
    pub(super) fn is_of_installations(&self) -> bool {
        self.site == PageSite::Installations
    }

    pub(super) fn new(state: &WebState, section: Section, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            age: reader::age(),
            can_log_out: state.access.has_login(),
            version: state.version,
            site: PageSite::OneInstallation,
            ..Self::of_installations(section, "")
        }
    }

    /// Of a page of several installations.
    pub(super) fn of_installations(section: Section, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            fresh: Vec::new(),
            json: None,
            permalink: None,
            past: None,
            age: None,
            search: String::new(),
            refreshes: true,
            can_log_out: false,
            site: PageSite::Installations,
            version: env!("CARGO_PKG_VERSION"),
            style: assets::style().path.as_str(),
            script: assets::script().path.as_str(),
            icon: "ok",
        }
    }

    /// Sets the links of a page that can show an earlier time: `banner` if it shows one, and
    /// `permalink` to the shown time. Such a page does not reload.
    pub(super) fn of_moment(self, banner: Option<PastBanner>, permalink: Option<String>) -> Self {
        Self {
            refreshes: self.refreshes && banner.is_none(),
            permalink: permalink.filter(|_| banner.is_none()),
            past: banner,
            ..self
        }
    }

    /// Disables reloading, for a page that a user works on.
    pub(super) fn still(self) -> Self {
        Self {
            refreshes: false,
            ..self
        }
    }
}

/// The form of response that the client wants.
#[derive(Clone, Debug)]
pub(super) struct Negotiation {
    format: ResponseFormat,
    wants_csv: bool,
    if_none_match: Option<String>,
    request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseFormat {
    Html,
    Json,
    /// JSON in which an error is a string, as clients of Alertmanager expect.
    Alertmanager,
}

impl<S: Sync> FromRequestParts<S> for Negotiation {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Negotiation {
    pub(super) fn of(parts: &Parts) -> Self {
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let path = parts.uri.path();
        let accept = text(header::ACCEPT).unwrap_or_default();
        let wants_json = accept.contains("application/json") && !accept.contains("text/html");
        Self {
            format: if path.starts_with("/api/v2/") {
                ResponseFormat::Alertmanager
            } else if wants_json || path.starts_with("/api/") || path == "/metrics" {
                ResponseFormat::Json
            } else {
                ResponseFormat::Html
            },
            wants_csv: accept.contains("text/csv"),
            if_none_match: text(header::IF_NONE_MATCH).map(str::to_owned),
            request_id: RequestId::known(parts),
        }
    }

    /// Answers with the view as JSON, or with the page that `page` makes from it.
    pub(super) fn reply<V: Serialize, P: Template>(
        &self,
        state: &WebState,
        view: Result<V, WebError>,
        page: impl FnOnce(V) -> P,
    ) -> Response {
        let answer = view.and_then(|view| Ok(self.show(view, page)?));
        answer.unwrap_or_else(|error| self.refuse(state, &error))
    }

    /// The same of a view that there always is.
    pub(super) fn show<V: Serialize, P: Template>(
        &self,
        view: V,
        page: impl FnOnce(V) -> P,
    ) -> askama::Result<Response> {
        let (body, tag) = match self.format {
            ResponseFormat::Json | ResponseFormat::Alertmanager => {
                (json_text(&view), timeless(&view))
            }
            ResponseFormat::Html => {
                let body = page(view).render()?;
                let tag = fingerprint(body.as_bytes());
                (body, tag)
            }
        };
        Ok(self.cached(body, &weak(&tag)))
    }

    /// Answers with JSON at a URL that has no page.
    pub(super) fn view(
        &self,
        state: &WebState,
        view: Result<impl Serialize, WebError>,
    ) -> Response {
        match view {
            Ok(view) => self.cached(json_text(&view), &weak(&timeless(&view))),
            Err(error) => self.refuse(state, &error),
        }
    }

    /// The same with a given entity tag, which a client sends when it changes what it has read.
    pub(super) fn tagged(
        &self,
        state: &WebState,
        view: Result<impl Serialize, WebError>,
        etag: &str,
    ) -> Response {
        match view {
            Ok(view) => self.cached(json_text(&view), etag),
            Err(error) => self.refuse(state, &error),
        }
    }

    /// Returns whether the client is a browser.
    pub(super) fn wants_page(&self) -> bool {
        self.format == ResponseFormat::Html
    }

    /// Answers with JSON that may not be cached.
    pub(super) fn json(
        &self,
        state: &WebState,
        status: StatusCode,
        view: Result<impl Serialize, WebError>,
    ) -> Response {
        match view {
            Ok(view) => {
                let json = HeaderValue::from_static("application/json");
                uncached(status, json, json_text(&view))
            }
            Err(error) => self.refuse(state, &error),
        }
    }

    /// Answers with a page that may not be cached, such as a submitted form.
    pub(super) fn page(
        &self,
        state: &WebState,
        status: StatusCode,
        page: &impl Template,
    ) -> Response {
        match page.render() {
            Ok(body) => {
                let html = HeaderValue::from_static("text/html; charset=utf-8");
                uncached(status, html, body)
            }
            Err(error) => self.refuse(state, &error.into()),
        }
    }

    /// Returns whether the client wants comma-separated values.
    pub(super) const fn wants_csv(&self) -> bool {
        self.wants_csv
    }

    /// Answers with comma-separated values that may not be cached.
    pub(super) fn csv(&self, state: &WebState, lines: Result<String, WebError>) -> Response {
        match lines {
            Ok(lines) => {
                let csv = HeaderValue::from_static("text/csv; charset=utf-8");
                uncached(StatusCode::OK, csv, lines)
            }
            Err(error) => self.refuse(state, &error),
        }
    }

    pub(super) fn refuse(&self, state: &WebState, error: &WebError) -> Response {
        let mut explanation = error.explanation();
        explanation.request_id.clone_from(&self.request_id);
        if let WebError::Store(_) | WebError::Template(_) | WebError::Metrics(_) = error
            && error.status().is_server_error()
        {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "cannot show a page"
            );
        }
        let status = self.status(error);
        let body = match self.format {
            ResponseFormat::Json => json_text(&explanation),
            ResponseFormat::Alertmanager => json_text(&explanation.one_line()),
            ResponseFormat::Html => ErrorPage {
                layout: Layout::new(
                    state,
                    Section::Other,
                    format!("{} · Throughline", explanation.detail),
                ),
                status,
                explanation,
            }
            .render()
            .unwrap_or_default(),
        };
        let content_type = match self.format {
            ResponseFormat::Json => HeaderValue::from_static("application/problem+json"),
            ResponseFormat::Html | ResponseFormat::Alertmanager => self.content_type(),
        };
        let mut response = uncached(status, content_type, body);
        if let Some(delay) = error.retry_after() {
            set_retry_after(response.headers_mut(), delay);
        }
        if let Some(quota) = error.exceeded_limit() {
            quota.set(response.headers_mut());
        }
        response
    }

    fn status(&self, error: &WebError) -> StatusCode {
        match (self.format, error.status()) {
            // Clients of Alertmanager expect no other status for an invalid request.
            (ResponseFormat::Alertmanager, StatusCode::UNPROCESSABLE_ENTITY) => {
                StatusCode::BAD_REQUEST
            }
            (_, status) => status,
        }
    }

    fn cached(&self, body: String, etag: &str) -> Response {
        let is_known = |known: &str| matches!(known.trim(), "*") || known.trim() == etag;
        let known = self
            .if_none_match
            .as_deref()
            .is_some_and(|known| known.split(',').any(is_known));
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        );
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        if let Ok(etag) = HeaderValue::from_str(etag) {
            headers.insert(header::ETAG, etag);
        }
        if known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::CONTENT_TYPE, self.content_type());
        (headers, body).into_response()
    }

    fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match self.format {
            ResponseFormat::Html => "text/html; charset=utf-8",
            ResponseFormat::Json | ResponseFormat::Alertmanager => "application/json",
        })
    }
}

/// Adds the URL of the next part of a list as a link header (RFC 8288).
pub(super) fn link_next(mut answer: Response, next: Option<&str>) -> Response {
    let link = next.and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok());
    if let Some(link) = link {
        answer.headers_mut().insert(header::LINK, link);
    }
    answer
}

fn uncached(status: StatusCode, content_type: HeaderValue, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    (status, headers, body).into_response()
}

fn weak(tag: &str) -> String {
    format!("W/\"{tag}\"")
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Returns a fingerprint of the view without `as_of`, which differs in every response.
fn timeless(view: &impl Serialize) -> String {
    let mut value = serde_json::to_value(view).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("as_of");
    }
    fingerprint(value.to_string().as_bytes())
}

/// Explains the framework's error responses in the form of all others: URLs that cannot be parsed,
/// methods that do not exist, and handlers that panicked.
pub(super) async fn explain(
    State(state): State<WebState>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Negotiation::of(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status();
    let is_ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind != "text/plain; charset=utf-8");
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (old, body) = response.into_parts();
    let text = to_bytes(body, LONGEST_REASON).await.unwrap_or_default();
    let detail = match (status, text.as_ref()) {
        (StatusCode::METHOD_NOT_ALLOWED, _) => "there is no such method at this address".to_owned(),
        (status, []) => status.to_string(),
        (status, _) if status.is_server_error() => "the request could not be answered".to_owned(),
        (_, text) => String::from_utf8_lossy(text).into_owned(),
    };
    let mut response = asked.refuse(&state, &WebError::Framework { status, detail });
    if let Some(methods) = old.headers.get(header::ALLOW) {
        response
            .headers_mut()
            .insert(header::ALLOW, methods.clone());
    }
    response
}

/// Returns sixteen hexadecimal digits that depend on the content.
pub(super) fn fingerprint(content: &[u8]) -> String {
    format::fingerprint(&Sha256::digest(content))
}

#[derive(Template)]
#[template(path = "error.html", config = "src/web/askama.toml")]
struct ErrorPage {
    layout: Layout,
    status: StatusCode,
    explanation: ErrorExplanation,
}
