//! Pages and API, asked without a socket.

use std::{future, io::Write as _, sync::Arc};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use throughline::{
    clock::{Clock, ManualClock},
    config::{AuthMethod, TrustedProxies},
    domain::{
        access::{AccessRole, KnownTokens},
        counting::durations::SharedDurations,
        notify::signed_links::signing::SigningKey,
        slo::Catalog,
        workflow::shapes::SharedShapes,
    },
    server::limits::ConnectionLimits,
    store::Store,
    telemetry::metrics::Metrics,
    web::{
        self, Access, AccessRules, AllowedHosts, Anonymous, Cards, CustomerNames,
        DefinitionsStatus, IngestFacts, IngestProbe, Listening, ReadinessCheck, WebState,
        WriteRules,
    },
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::{HOUR, TestApp};
use crate::support::service::program;

impl TestApp {
    pub(crate) async fn page(&self, path: &str) -> Answer {
        get(&self.router(), path).await
    }

    pub(crate) fn router(&self) -> Router {
        web::router(self.web_state())
    }

    /// What a command of the program prints that asks this service.
    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    pub(crate) async fn command<const N: usize>(&self, arguments: [&str; N]) -> String {
        let arguments = arguments.map(str::to_owned);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let limits = ConnectionLimits::of_pages();
        let serving = web::serve(listener, self.web_state(), limits, future::pending());
        let serving = tokio::spawn(serving);
        let asking = tokio::task::spawn_blocking(move || {
            let mut program = program();
            let asks = program.env("THROUGHLINE_SERVER", server).args(arguments);
            asks.output().expect("the program starts")
        });
        let output = asking.await.unwrap();
        serving.abort();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn web_state(&self) -> WebState {
        let (_files, files) = watch::channel(Arc::default());
        let state = web_state(
            self.store.clone(),
            self.clock.clone(),
            self.definitions.catalog.subscribe(),
            files,
            IngestFacts::default(),
        );
        WebState {
            shapes: self.shapes.clone(),
            ..state
        }
    }

    pub(crate) async fn api(&self, path: &str) -> serde_json::Value {
        self.page(&format!("/api/v1{path}")).await.json()
    }
}

/// What pages are made from where nobody receives and no files are read, an hour after their start.
pub(crate) fn web_state(
    store: Store,
    clock: ManualClock,
    catalog: watch::Receiver<Arc<Catalog>>,
    files: watch::Receiver<Arc<DefinitionsStatus>>,
    facts: IngestFacts,
) -> WebState {
    WebState {
        store,
        replica: None,
        readiness: ReadinessCheck::new(clock.now() - HOUR),
        clock: Clock::Manual(clock),
        catalog,
        restriction: None,
        customers: CustomerNames::of_role(AccessRole::Viewer),
        definitions: files,
        ingest: IngestProbe::new(move || facts),
        listening: Listening {
            otlp_grpc: "0.0.0.0:4317".parse().unwrap(),
            otlp_http: "0.0.0.0:4318".parse().unwrap(),
        },
        writes: write_rules(),
        hosts: AllowedHosts::new(None, ["slo.example".to_owned()]),
        tls: None,
        access: access(AuthMethod::None, Arc::default()),
        signing_key: SigningKey::new([7; 32]),
        metrics: Metrics::new().unwrap(),
        max_metric_groups: 20,
        max_metric_durations: 200,
        cards: Cards::default(),
        trace_viewers: vec![
            "Jaeger=https://r-jaeger.example/trace/{trace_id}"
                .parse()
                .unwrap(),
        ],
        time_zone: chrono_tz::Tz::UTC,
        shapes: SharedShapes::default(),
        durations: SharedDurations::default(),
        version: "0.1.0",
    }
}

/// Who may do what, where the tokens do not change.
pub(crate) fn access(method: AuthMethod, tokens: Arc<KnownTokens>) -> Access {
    access_by(method, tokens, |_| {})
}

/// The same with other rules.
pub(crate) fn access_by(
    method: AuthMethod,
    tokens: Arc<KnownTokens>,
    change: impl FnOnce(&mut AccessRules),
) -> Access {
    let (_, tokens) = watch::channel(tokens);
    let mut rules = AccessRules {
        method,
        role_header: Some("x-forwarded-role".to_owned()),
        proxy_role: AccessRole::Viewer,
        trusted_proxies: TrustedProxies::default(),
        provider: None,
        session_lifetime: HOUR,
        open_metrics: false,
        is_secure: false,
    };
    change(&mut rules);
    Access::new(rules, tokens, TaskTracker::new())
}

fn write_rules() -> WriteRules {
    WriteRules {
        user_header: "x-forwarded-user".to_owned(),
        anonymous: Anonymous::MayWrite,
        public_url: None,
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// What the browser keeps after this answer: the name, a `=` and the value of each cookie that is
    /// set, and not those that are deleted.
    pub(crate) fn cookies(&self) -> Vec<&str> {
        let set = self.headers.get_all("set-cookie").iter();
        let set = set.map(|cookie| cookie.to_str().unwrap());
        let kept = set.filter(|cookie| !cookie.contains("Max-Age=0"));
        kept.filter_map(|cookie| cookie.split(';').next()).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    get_with(router, path, &[]).await
}

pub(crate) async fn get_with(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(router, Request::get(path), headers, "").await
}

pub(crate) async fn delete(router: &Router, path: &str) -> Answer {
    send(router, Request::delete(path), &[], "").await
}

/// Asks for something to be done, as a program does.
pub(crate) async fn post_json(router: &Router, path: &str, body: &serde_json::Value) -> Answer {
    let headers = [("content-type", "application/json")];
    post_with(router, path, &headers, &body.to_string()).await
}

pub(crate) async fn post_with(
    router: &Router,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    send(router, Request::post(path), headers, body).await
}

/// A request with any method.
pub(crate) async fn request_with(
    router: &Router,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let request = Request::builder().method(method).uri(path);
    send(router, request, headers, body).await
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

pub(crate) fn gzipped(bytes: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}
