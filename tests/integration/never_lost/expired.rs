//! A server whose certificate was good once: the authority is one that the program trusts.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

/// For `localhost` and 127.0.0.1, until February 2024. The keys are nobody's secret.
const CERTIFICATE: &[u8] = include_bytes!("../../fixtures/tls/expired.cert.der");
const KEY: &[u8] = include_bytes!("../../fixtures/tls/expired.key.der");

/// What the program is told to trust.
pub(super) fn authority() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls/authority.cert.pem");
    file.display().to_string()
}

#[derive(Debug)]
pub(super) struct Expired {
    pub(super) url: String,
    _server: JoinSet<()>,
}

impl Expired {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}/", listener.local_addr().expect("an address"));
        let mut server = JoinSet::new();
        server.spawn(serve(listener));
        Self {
            url,
            _server: server,
        }
    }
}

async fn serve(listener: TcpListener) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from(CERTIFICATE);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(KEY).into())
        .expect("the key belongs to the certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        // The client does not go on.
        drop(acceptor.accept(stream).await);
    }
}
