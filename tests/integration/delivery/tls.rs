//! A target that cannot prove who it is is not told anything, and that is called what it is.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use throughline::domain::notify::delivery::AttemptClass::Tls;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::world::TestBench;

/// Nobody vouches for this one; it is nobody's secret.
const CERTIFICATE: &[u8] = include_bytes!("../../fixtures/tls/self-signed.cert.der");
const KEY: &[u8] = include_bytes!("../../fixtures/tls/self-signed.key.der");

#[tokio::test]
async fn https_to_a_server_without_tls_fails_as_such_and_never_becomes_plain_http() {
    let mut world = TestBench::create().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let target = world.declare_webhook("hook", &url);
    let transition = world.fires("checkout", &[&target]).await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first_bytes = [0; 64];
        stream.read_exact(&mut first_bytes).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        first_bytes
    };
    let (report, first_bytes) = tokio::join!(world.deliver(&target), server);
    assert_eq!(first_bytes[0], 22, "a TLS handshake (RFC 8446, 5.1)");
    assert_eq!(report.attempts, [Tls]);
    let (_, attempts) = world.delivery(transition).await;
    let excerpt = attempts[0].excerpt.as_deref().unwrap();
    assert!(excerpt.starts_with("no secure connection: "), "{excerpt}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_tried_again() {
    let mut world = TestBench::create().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let target = world.declare_webhook("hook", &url);
    let transition = world.fires("checkout", &[&target]).await;
    let certificate = CertificateDer::from(CERTIFICATE);
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(KEY).into())
            .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_err()
    };
    let (report, refused) = tokio::join!(world.deliver(&target), server);
    assert!(refused, "the client went on");
    assert_eq!(report.attempts, [Tls]);
    let (_, attempts) = world.delivery(transition).await;
    assert!(attempts[0].retry_at.is_some(), "it may be renewed");
}
