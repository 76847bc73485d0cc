//! The OpenTelemetry SDK for Rust as the sender, unmodified.

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::server::Server;

/// Ends 1,000 spans in batches, as an application would, and waits until they were sent.
fn send(exporter: SpanExporter) {
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build();
    let tracer = provider.tracer("shop");
    for _ in 0..1_000 {
        tracer.in_span("checkout", |_| {});
    }
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();
}

/// The HTTP client of the SDK is a blocking one, which must be made outside of the runtime.
fn received(exporter: impl FnOnce(&Server) -> SpanExporter) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    drop(rustls::crypto::ring::default_provider().install_default());
    let exporter = {
        let _guard = runtime.enter();
        exporter(&server)
    };
    send(exporter);
    server.committed()
}

#[test]
fn the_sdk_sends_by_grpc() {
    let names = received(|server| {
        let builder = SpanExporter::builder().with_tonic();
        builder.with_endpoint(&server.grpc).build().unwrap()
    });
    assert_eq!(names, vec!["checkout"; 1_000]);
}

#[test]
fn the_sdk_sends_by_grpc_with_gzip() {
    let names = received(|server| {
        let builder = SpanExporter::builder()
            .with_tonic()
            .with_compression(Compression::Gzip);
        builder.with_endpoint(&server.grpc).build().unwrap()
    });
    assert_eq!(names, vec!["checkout"; 1_000]);
}

#[test]
fn the_sdk_sends_by_http_with_protobuf_and_with_json() {
    for protocol in [Protocol::HttpBinary, Protocol::HttpJson] {
        let names = received(|server| {
            let builder = SpanExporter::builder().with_http().with_protocol(protocol);
            builder.with_endpoint(server.traces()).build().unwrap()
        });
        assert_eq!(names, vec!["checkout"; 1_000], "{protocol:?}");
    }
}
