//! Unmodified OpenTelemetry SDKs send orders, and the API has as many as were sent.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use throughline::domain::model::counts::EventCounts;

use crate::support::{api::Api, database::TestDatabase, installs, service::Site, workload::ORDERS};

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
    fn start(mut command: Command, protocol: &str, endpoint: &str) -> Self {
        let child = command
            .args([protocol, endpoint, &ORDERS_SENT.to_string()])
            // Nothing of whoever runs the tests is to change what the SDK does.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
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

#[tokio::test]
async fn what_the_python_sdk_sends_is_counted_once_in_any_order() {
    let interpreter = installs::python("python");
    assert_all_are_counted(|| {
        let mut command = Command::new(&interpreter);
        command.arg(installs::sources("python").join("orders.py"));
        command
    })
    .await;
}

#[tokio::test]
async fn what_the_node_sdk_sends_is_counted_once_in_any_order() {
    let script = installs::node("node").join("orders.js");
    assert_all_are_counted(|| {
        let mut command = Command::new("node");
        command.arg(&script);
        command
    })
    .await;
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
