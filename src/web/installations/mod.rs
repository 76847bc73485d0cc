//! The read-only pages of `throughline overview`. Nothing is stored: every page requests all
//! installations, and shows one line for each that does not respond.

mod alerts;
mod slos;
mod workflows;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use chrono_tz::Tz;
use serde::Serialize;
use tokio::net::TcpListener;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};

use super::{AllowedHosts, assets, reader, secured};
use crate::{
    clock::Clock,
    installations::{Installation, InstallationAnswer, Installations},
    server::{self, Port, Versions, limits::ConnectionLimits},
};

/// The state of these pages. Clones share it.
#[derive(Clone, Debug)]
pub struct OverviewState {
    pub installations: Installations,
    pub clock: Clock,
    pub hosts: Arc<AllowedHosts>,
    pub time_zone: Tz,
}

/// Serves until `shutdown`, then finishes open requests.
pub async fn serve(
    listener: TcpListener,
    state: OverviewState,
    shutdown: impl Future<Output = ()>,
) {
    let port = Port {
        name: "pages",
        versions: Versions::Any,
        limits: ConnectionLimits::of_pages(),
        tls: None,
        metrics: None,
    };
    server::serve(listener, router(state), port, shutdown).await;
}

pub fn router(state: OverviewState) -> Router {
    let zone = middleware::from_fn_with_state(state.time_zone, reader::choose_time_zone);
    let hosts = middleware::from_fn_with_state(state.clone(), check_host);
    let router = Router::new()
        .route("/", get(slos::get))
        .route("/alerts", get(alerts::get))
        .route("/workflows", get(workflows::get))
        .route("/api/v1/slos", get(slos::get))
        .route("/api/v1/alerts", get(alerts::get))
        .route("/api/v1/workflows", get(workflows::get))
        .route("/assets/{name}", get(assets::get))
        .route("/favicon/{state}", get(assets::favicon))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || (StatusCode::NOT_FOUND, "there is no such page\n"))
        .layer(zone)
        .layer(hosts)
        .with_state(state)
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new());
    secured(router, None)
}

async fn check_host(State(state): State<OverviewState>, request: Request, next: Next) -> Response {
    match state.hosts.stranger(&request) {
        None => next.run(request).await,
        Some(host) => {
            let text =
                format!("`{host}` is not a host of this overview: name it in --allowed-hosts\n");
            (StatusCode::MISDIRECTED_REQUEST, text).into_response()
        }
    }
}

/// Renders a page; an internal error if that fails.
fn shown(page: askama::Result<Response>) -> Response {
    page.unwrap_or_else(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot show a page"
        );
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// The status of an installation.
#[derive(Debug, Serialize)]
struct InstallationView {
    name: String,
    url: String,
    /// The reason why its data are missing; `None` if it responded.
    problem: Option<String>,
}

/// An item of one installation.
#[derive(Debug, Serialize)]
struct OfInstallation<T> {
    installation: String,
    /// The URL of its page there.
    url: String,
    #[serde(flatten)]
    of: T,
}

impl InstallationView {
    fn all<T>(answers: &[InstallationAnswer<T>]) -> Vec<Self> {
        let view = |answer: &InstallationAnswer<T>| Self {
            name: answer.installation.name.clone(),
            url: answer.installation.url.clone(),
            problem: answer.result.as_ref().err().map(ToString::to_string),
        };
        answers.iter().map(view).collect()
    }

    /// `2 of 3 installations answered`.
    fn answered_text(all: &[Self]) -> String {
        let answered = all.iter().filter(|one| one.problem.is_none()).count();
        format!("{answered} of {} installations answered", all.len())
    }
}

/// Returns the URL of an installation's pages: its public URL if that is a web address.
fn pages_of<'a>(installation: &'a Installation, public_url: Option<&'a str>) -> &'a str {
    let is_web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    let public = public_url.filter(is_web).unwrap_or(&installation.url);
    public.trim_end_matches('/')
}
