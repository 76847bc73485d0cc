//! The pages, their JSON views, health and metrics, all on one port.
//!
//! A handler builds one view from the database; the page and the API both render it, so they cannot
//! disagree. Requests that write pass a guard ([`mod@write`]). Every page works without scripts,
//! and nothing is loaded from other sites.
//!
//! To add a page: a file in `pages/` with a `View: Serialize`, a template in `templates/` of the
//! same name, two routes here (page and JSON view), a link in `templates/layout.html`.

mod access;
mod alertmanager;
mod assets;
mod chart;
mod chart_image;
mod csv;
mod error;
mod health;
mod hosts;
pub mod installations;
mod metrics;
mod page;
mod pages;
mod query;
mod reader;
mod request;
mod state;
mod work_limit;
mod write;

use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue},
    middleware,
    response::{Redirect, Response},
    routing::{delete, get, post},
};
use tokio::net::TcpListener;
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, set_header::SetResponseHeaderLayer,
};

use self::{
    access::error::AccessError,
    pages::{
        alerts, audit, customer, definitions, deliveries, discover, docs, events, explain,
        incidents, overview, reports, silences, slo, targets, workflow, workflows,
    },
    request::ObservedPort,
    work_limit::WorkLimit,
};
pub use access::{Access, AccessRules, CustomerNames, LoginProvider, Restriction};
pub use chart_image::Cards;
pub use health::ReadinessCheck;
pub use hosts::AllowedHosts;
pub use metrics::current_metrics;
pub use pages::overview::first_run::FIRST_SLO;
pub use pages::reports::{ReportMessage, report_message};
pub use reader::ReadReplica;
pub use state::{DefinitionsStatus, IngestFacts, IngestProbe, Listening, PendingFiles, WebState};
pub use write::{Anonymous, WriteRules};

use crate::server::{self, Port, Versions, limits::ConnectionLimits, tls::Tls};

/// Scripts, styles and data are allowed only from this service; inline scripts and styles are not
/// allowed.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// Serves until `shutdown`, then completes the requests in progress.
pub async fn serve(
    listener: TcpListener,
    state: WebState,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) {
    let reasons = AccessError::COUNTED;
    state.metrics.export_auth_failures("pages", &reasons);
    let port = Port {
        name: "pages",
        versions: Versions::Any,
        limits,
        tls: state.tls.clone(),
        metrics: Some(state.metrics.requests_answered.connections.clone()),
    };
    server::serve(listener, router(state), port, shutdown).await;
}

pub fn router(state: WebState) -> Router {
    let limit = WorkLimit::new(state.clone());
    let encryption = state.tls.clone();
    let requests = state.metrics.requests_answered.clone();
    let observed = ObservedPort::new(requests, encryption.as_ref());
    let router = pages()
        .merge(api(&state))
        .route_layer(middleware::from_fn_with_state(state.clone(), access::check))
        .route_layer(middleware::from_fn_with_state(limit, work_limit::bound))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(state.clone(), page::explain))
        .merge(always())
        .merge(scraped(&state))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(
            state.time_zone,
            reader::choose_time_zone,
        ))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            reader::choose_source,
        ))
        .layer(middleware::from_fn_with_state(state.clone(), write::guard))
        .layer(middleware::from_fn_with_state(state.clone(), hosts::check))
        .with_state(state)
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(observed, request::observe));
    secured(router, encryption.as_ref())
}

/// Adds the headers that tell browsers what pages may do.
fn secured(router: Router, encryption: Option<&Tls>) -> Router {
    [
        Some(("content-security-policy", CONTENT_SECURITY_POLICY)),
        Some(("x-content-type-options", "nosniff")),
        Some(("referrer-policy", "same-origin")),
        Some(("cross-origin-opener-policy", "same-origin")),
        encryption.map(|_| ("strict-transport-security", "max-age=31536000")),
    ]
    .into_iter()
    .flatten()
    .fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        ))
    })
}

fn pages() -> Router<WebState> {
    Router::new()
        .route("/", get(overview::get))
        .route(
            "/login",
            get(access::session::form).post(access::session::log_in),
        )
        .route("/login/start", get(access::provider::start))
        .route("/login/callback", get(access::provider::finish))
        .route("/logout", post(access::session::log_out))
        .route("/slos/{slo}", get(slo::get))
        .route("/slos/{slo}/durations", get(slo::durations::get))
        .route("/slos/{slo}/history", get(slo::history::get))
        .route("/slos/{slo}/explain", get(explain::get))
        .route("/explain", get(explain::form).post(explain::submit))
        .route("/discover", get(discover::get))
        .route("/discover/templates/{name}", get(discover::templates::one))
        .route("/slos/{slo}/groups", get(slo::groups::get))
        .route("/slos/{slo}/groups/{group}", get(slo::get_group))
        .route("/workflows", get(workflows::get))
        .route("/customers", get(customer::get_by_name))
        .route("/customers/{customer}", get(customer::get))
        .route("/workflows/{slo}/{key}", get(workflow::get))
        .route("/alerts", get(alerts::get))
        .route("/incidents/{id}", get(incidents::get))
        .route("/i/{id}", get(incidents::short))
        .route("/incidents/{id}/acknowledge", post(incidents::acknowledge))
        .route("/incidents/{id}/notes", post(incidents::add_note))
        .route(
            "/actions/{action}/{id}",
            get(incidents::confirm).post(incidents::perform),
        )
        .route("/silences", get(silences::list))
        .route("/silences/new", get(silences::form).post(silences::submit))
        .route("/silences/{id}/expire", post(silences::expire))
        .route("/time-zone", get(reader::page::get))
        .route("/reports", get(reports::newest))
        .route("/reports/{month}", get(reports::get))
        .route("/definitions", get(definitions::get))
        .route("/audit", get(audit::get))
        .route("/sessions", get(access::sessions::list))
        .route("/sessions/{id}/end", post(access::sessions::press))
        .route(
            "/tokens",
            get(access::tokens::list).post(access::tokens::create),
        )
        .route("/tokens/{id}/end", post(access::tokens::press))
        .route("/docs", get(async || Redirect::to("/docs/definitions")))
        .route("/docs/definitions", get(docs::definitions))
        .route("/docs/selectors", get(docs::selectors))
        .route("/docs/metrics", get(docs::metrics))
        .route("/docs/settings", get(docs::settings))
        .route("/docs/api", get(docs::api))
        .route("/deliveries", get(deliveries::get))
        .route("/deliveries/{id}", get(deliveries::get_one))
        .route("/deliveries/{id}/retry", post(deliveries::post_form))
        .route("/events", get(events::get))
        .route("/targets", get(targets::get))
        .route("/targets/{target}/test", post(targets::test::press))
        .route("/charts/{name}", get(chart_image::get))
}

/// Routes that are answered even under overload, since they show operators the state of the
/// service.
fn always() -> Router<WebState> {
    Router::new()
        .route("/assets/{name}", get(assets::get))
        .route("/favicon/{state}", get(assets::favicon))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
}

/// Route of `/metrics`, which is also answered under overload, to those who may read it.
fn scraped(state: &WebState) -> Router<WebState> {
    let check = middleware::from_fn_with_state(state.clone(), access::check_metrics);
    Router::new()
        .route("/metrics", get(metrics::get))
        .route_layer(check)
}

fn api(state: &WebState) -> Router<WebState> {
    let without_parameters = middleware::from_fn_with_state(state.clone(), query::refuse_all);
    let router = Router::new()
        .route("/api/v1/slos/{slo}/groups", get(slo::groups::get))
        .route("/api/v1/slos/{slo}/explain", get(explain::get))
        .route("/api/v1/explain", post(explain::post))
        .route("/api/v1/discover", get(discover::get))
        .route("/api/v1/discover/templates", get(discover::templates::all))
        .route(
            "/api/v1/discover/templates/{name}",
            get(discover::templates::one),
        )
        .route("/api/v1/workflows/{slo}/{key}", get(workflow::get))
        .route("/api/v1/customers/{customer}", get(customer::get))
        .route("/api/v1/alerts", get(alerts::get))
        .route("/api/v1/incidents/{id}", get(incidents::get))
        .route(
            "/api/v1/incidents/{id}/acknowledge",
            post(incidents::acknowledge_through_api),
        )
        .route("/api/v1/incidents/{id}/notes", post(incidents::add_note))
        .route("/api/v1/silences/preview", post(silences::preview))
        .route(
            "/api/v1/silences/{id}",
            get(silences::one).delete(silences::delete),
        )
        .route("/api/v1/definitions", get(definitions::get))
        .route("/api/v1/definitions/apply", post(definitions::apply))
        .route("/api/v1/definitions/clear", post(definitions::clear))
        .route("/api/v1/docs/definitions", get(docs::definitions))
        .route("/api/v1/docs/selectors", get(docs::selectors))
        .route("/api/v1/docs/metrics", get(docs::metrics))
        .route("/api/v1/docs/settings", get(docs::settings))
        .route("/api/v1/docs/api", get(docs::api))
        .route("/api/v1/openapi.json", get(docs::openapi))
        .route("/api/v1/sessions/{id}", delete(access::sessions::delete))
        .route("/api/v1/tokens", get(access::tokens::list))
        .route("/api/v1/tokens/{id}", delete(access::tokens::delete))
        .route("/api/v1/deliveries/{id}", get(deliveries::get_one))
        .route("/api/v1/deliveries/{id}/retry", post(deliveries::post))
        .route("/api/v2/status", get(alertmanager::status))
        .route("/api/v2/receivers", get(alertmanager::receivers))
        .route(
            "/api/v2/silence/{id}",
            get(alertmanager::silence).delete(alertmanager::delete),
        )
        .route("/api/v1/targets", get(targets::get))
        .route("/api/v1/targets/{target}/test", post(targets::test::post))
        .route(
            "/api/v1/targets/{target}/test/{test}",
            get(targets::test::get),
        )
        .route_layer(without_parameters);
    router.merge(api_with_parameters())
}

/// Routes whose handlers take [`Params`](query::Params) when they read and no parameters when they
/// write.
fn api_with_parameters() -> Router<WebState> {
    Router::new()
        .route("/api/v1/slos", get(overview::get))
        .route("/api/v1/workflows", get(workflows::get))
        .route("/api/v1/customers", get(customer::get_by_name))
        .route("/api/v1/slos/{slo}", get(slo::get))
        .route("/api/v1/slos/{slo}/durations", get(slo::durations::get))
        .route("/api/v1/slos/{slo}/history", get(slo::history::get))
        .route("/api/v1/reports/{month}", get(reports::get))
        .route("/api/v1/slos/{slo}/groups/{group}", get(slo::get_group))
        .route("/api/v1/deliveries", get(deliveries::get))
        .route("/api/v1/events", get(events::get).post(events::post))
        .route("/api/v1/audit", get(audit::get))
        .route("/api/v1/sessions", get(access::sessions::list))
        .route(
            "/api/v1/definitions/{name}",
            get(definitions::one)
                .put(definitions::put)
                .delete(definitions::delete),
        )
        .route(
            "/api/v1/silences",
            get(silences::list).post(silences::create),
        )
        .route("/api/v2/alerts", get(alertmanager::alerts))
        .route("/api/v2/alerts/groups", get(alertmanager::groups))
        .route(
            "/api/v2/silences",
            get(alertmanager::silences).post(alertmanager::write),
        )
}

async fn not_found(asked: page::Negotiation, State(state): State<WebState>) -> Response {
    asked.refuse(&state, &error::WebError::NoSuchPage)
}
