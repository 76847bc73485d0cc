//! Unmodified OpenTelemetry SDKs send orders, and the API has as many as were sent.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use throughline::domain::model::counts::EventCounts;

use super::{
    tls::fixture_path,
    tokens::{printed, token},
};
use crate::support::{
    api::Api,
    database::TestDatabase,
    installs,
    service::{Service, Site, free_port},
    workload::ORDERS,
};

/// Of these every fourth fails.
const ORDERS_SENT: i64 = 100;

fn orders(count: i64) -> EventCounts {
    EventCounts {
        good: count * 3 / 4,
        failed: count / 4,
        ..EventCounts::ZERO
    }
}

/// A client that does what it is told to, one line for each.
struct Client(Child);

impl Client {
    fn start(command: Command, protocol: &str, endpoint: &str) -> Self {
        Self::start_with(command, protocol, endpoint, &[])
    }

    fn start_with(
        mut command: Command,
        protocol: &str,
        endpoint: &str,
        variables: &[(&str, String)],
    ) -> Self {
        let child = command
            .args([protocol, endpoint, &ORDERS_SENT.to_string()])
            // Nothing of whoever runs the tests is to change what the SDK does.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("the client starts"))
    }

    fn tell(&mut self, request: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{request}").unwrap();
        let mut answer = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap())
            .read_line(&mut answer)
            .unwrap();
        assert_eq!(answer.trim(), "done", "`{request}` failed, see above");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// By both protocols, first all of them, then all of them again, then others in disorder.
async fn assert_all_are_counted(client: impl Fn() -> Command) {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    let Api { grpc, http, .. } = service.api.clone();
    let mut sent = 0;
    for (protocol, endpoint) in [("grpc", grpc), ("http", http)] {
        let mut client = Client::start(client(), protocol, &endpoint);
        sent += ORDERS_SENT;
        for request in ["send", "again"] {
            client.tell(request);
            let counted = service.api.counts("orders").await;
            assert_eq!(counted, orders(sent), "{protocol}, {request}");
        }
        sent += ORDERS_SENT;
        client.tell("shuffled");
        let counted = service.api.counts("orders").await;
        assert_eq!(counted, orders(sent), "{protocol}, shuffled");
    }
}

fn python() -> Command {
    let mut command = Command::new(installs::python("python"));
    command.arg(installs::sources("python").join("orders.py"));
    command
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.arg(installs::node("node").join("orders.js"));
    command
}

#[tokio::test]
async fn what_the_python_sdk_sends_is_counted_once_in_any_order() {
    assert_all_are_counted(python).await;
}

#[tokio::test]
async fn what_the_node_sdk_sends_is_counted_once_in_any_order() {
    assert_all_are_counted(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rust_sdk_sends_is_counted() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&service.api.grpc)
        .build()
        .unwrap();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build();
    let tracer = provider.tracer("shop");
    for nth in 0..ORDERS_SENT {
        let ending = if nth % 4 == 0 {
            "order failed"
        } else {
            "order confirmed"
        };
        tracer.in_span("order placed", |_| tracer.in_span(ending, |_| {}));
    }
    provider.force_flush().unwrap();
    assert_eq!(service.api.counts("orders").await, orders(ORDERS_SENT));
}

/// A service whose ports for spans speak TLS and ask for a token.
struct Guarded {
    service: Service,
    grpc: String,
    http: String,
    token: String,
}

impl Guarded {
    async fn start(database: &TestDatabase, flags: &[(&str, &str)]) -> Self {
        let (certificate, key) = (fixture_path("port-old.cert"), fixture_path("port-old.key"));
        let mut site = Site::on(database, ORDERS)
            .flag("--otlp-tls-cert", &certificate)
            .flag("--otlp-tls-key", &key)
            .flag("--otlp-auth", "token");
        for (name, value) in flags {
            site = site.flag(name, value);
        }
        let service = site.start().await;
        let create = ["create", "shop", "--sender", "--service", "shop"];
        let token = printed(token(database, &create));
        service.api.has_ticked("tokens").await;
        Self {
            service,
            grpc: format!("https://{}", site.otlp_grpc_address()),
            http: format!("https://{}", site.otlp_http_address()),
            token,
        }
    }
}

#[tokio::test]
async fn sdks_send_with_a_certificate_and_a_token() {
    let database = TestDatabase::create().await;
    let authority = fixture_path("ports-authority.cert");
    let guarded = Guarded::start(&database, &[("--otlp-client-ca", &authority)]).await;
    let bearer = format!("authorization=Bearer%20{}", guarded.token);
    let variables = [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            fixture_path("port-new.cert"),
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            fixture_path("port-new.key"),
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", bearer),
    ];
    let mut sent = 0;
    for client in [python, node] {
        for (protocol, endpoint) in [("grpc", &guarded.grpc), ("http", &guarded.http)] {
            Client::start_with(client(), protocol, endpoint, &variables).tell("send");
            sent += ORDERS_SENT;
            let counted = guarded.service.api.counts("orders").await;
            assert_eq!(counted, orders(sent), "{protocol}");
        }
    }
}

/// It cannot be given an authority of its own: with one it connects to nothing.
#[tokio::test]
async fn what_rotel_passes_on_with_a_token_is_counted() {
    let database = TestDatabase::create().await;
    let guarded = Guarded::start(&database, &[]).await;
    let mut interpreter = Command::new(installs::python("rotel"));
    let find = "import pathlib, rotel; print(pathlib.Path(rotel.__file__).parent / 'rotel-agent')";
    let found = interpreter.args(["-c", find]).output().unwrap();
    let program = String::from_utf8(found.stdout).unwrap();
    let mut sent = 0;
    for (protocol, endpoint) in [("grpc", &guarded.grpc), ("http", &guarded.http)] {
        let local = format!("127.0.0.1:{}", free_port());
        let agent = Command::new(program.trim())
            .args(["start", "--otlp-grpc-endpoint", &local])
            .args([
                "--otlp-http-endpoint",
                &format!("127.0.0.1:{}", free_port()),
            ])
            .args(["--otlp-exporter-endpoint", endpoint])
            .args(["--otlp-exporter-protocol", protocol])
            .arg("--otlp-exporter-tls-skip-verify")
            .args(["--otlp-exporter-batch-timeout", "100ms"])
            .arg("--otlp-exporter-custom-headers")
            .arg(format!("authorization=Bearer {}", guarded.token))
            .stdout(Stdio::null())
            .spawn()
            .expect("rotel starts");
        let _agent = Client(agent);
        Client::start(python(), "grpc", &format!("http://{local}")).tell("send");
        sent += ORDERS_SENT;
        guarded
            .service
            .api
            .counts_become("orders", orders(sent))
            .await;
    }
}
