//! The read-only pages of `throughline overview`. Nothing is stored: every page requests all
//! installations, and shows one line for each that does not respond.

mod alerts;
mod scraped;
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

use super::{
    AllowedHosts,
    access::caller::user_of_proxy,
    assets, reader,
    request::{self, ObservedPort},
    secured,
};
use crate::{
    clock::Clock,
    config::TrustedProxies,
    installations::{Installation, InstallationAnswer, Installations},
    server::{self, Port, Versions, limits::ConnectionLimits, tls::Tls},
    telemetry::InstallationMetrics,
};

/// The state of these pages. Clones share it.
#[derive(Clone, Debug)]
pub struct OverviewState {
    pub installations: Installations,
    pub clock: Clock,
    pub hosts: Arc<AllowedHosts>,
    pub time_zone: Tz,
    /// The proxy that knows who reads; `None` if everybody may.
    pub proxy: Option<UserProxy>,
    /// True if everybody may read `/metrics`.
    pub open_metrics: bool,
    pub tls: Option<Tls>,
    pub metrics: InstallationMetrics,
}

/// A proxy before the pages that logs users in.
#[derive(Clone, Debug)]
pub struct UserProxy {
    /// The header in which it names the user; in lower case.
    pub user_header: String,
    /// Its addresses; any if empty.
    pub addresses: TrustedProxies,
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
        tls: state.tls.clone(),
        metrics: Some(state.metrics.requests_answered.connections.clone()),
    };
    server::serve(listener, router(state), port, shutdown).await;
}

pub fn router(state: OverviewState) -> Router {
    let zone = middleware::from_fn_with_state(state.time_zone, reader::choose_time_zone);
    let hosts = middleware::from_fn_with_state(state.clone(), check_host);
    let user = middleware::from_fn_with_state(state.clone(), check_user);
    let encryption = state.tls.clone();
    let requests = state.metrics.requests_answered.clone();
    let observed = ObservedPort::new(requests, encryption.as_ref());
    let metrics = Router::new().route("/metrics", get(scraped::get));
    let (open, scraped) = if state.open_metrics {
        (metrics, Router::new())
    } else {
        (Router::new(), metrics)
    };
    let router = Router::new()
        .route("/", get(slos::get))
        .route("/alerts", get(alerts::get))
        .route("/workflows", get(workflows::get))
        .route("/api/v1/slos", get(slos::get))
        .route("/api/v1/alerts", get(alerts::get))
        .route("/api/v1/workflows", get(workflows::get))
        .merge(scraped)
        .route_layer(user)
        .merge(open)
        .route("/assets/{name}", get(assets::get))
        .route("/favicon/{state}", get(assets::favicon))
        .route("/healthz", get(async || "ok\n"))
        // Whatever installations do: an overview that nobody reaches cannot show which one is away.
        .route("/readyz", get(async || "ok\n"))
        .fallback(async || (StatusCode::NOT_FOUND, "there is no such page\n"))
        .layer(zone)
        .layer(hosts)
        .with_state(state)
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(observed, request::observe));
    secured(router, encryption.as_ref())
}

/// Passes a request on if everybody may read, or if the proxy names its user.
async fn check_user(State(state): State<OverviewState>, request: Request, next: Next) -> Response {
    let Some(proxy) = &state.proxy else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    match user_of_proxy(&parts, &proxy.addresses, &proxy.user_header) {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => (error.status(), format!("{error}\n")).into_response(),
    }
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
