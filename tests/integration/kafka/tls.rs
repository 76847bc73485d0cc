//! TLS of the connections to brokers, and the certificate that the service shows them.

use std::sync::Arc;

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use super::{Cluster, problems::says};
use crate::{
    support::{
        api::client,
        app::good,
        database::TestDatabase,
        relay::Relay,
        service::Site,
        workload::{ORDERS, Workload},
    },
    system::tls::fixture_path,
};

/// A broker that asks clients for a certificate.
fn strict() -> ServerConfig {
    // Installs what TLS computes with.
    drop(client());
    let certificate = |name: &str| CertificateDer::from_pem_file(fixture_path(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ports-authority.cert")).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots));
    let key = PrivateKeyDer::from_pem_file(fixture_path("port-old.key")).unwrap();
    ServerConfig::builder()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate("port-old.cert")], key)
        .unwrap()
}

fn site(relay: &Relay, database: &TestDatabase, authority: &str) -> Site {
    Site::on(database, ORDERS)
        .flag("--kafka-brokers", &relay.brokers)
        .variable("THROUGHLINE_KAFKA_TLS", "true")
        .flag("--kafka-ca", &fixture_path(authority))
}

#[tokio::test]
async fn brokers_that_ask_for_a_certificate_are_read_over_tls() {
    let (cluster, database) = (Cluster::new(2), TestDatabase::create().await);
    let relay = Relay::with_tls(&cluster.brokers, strict()).await;
    let site = site(&relay, &database, "ports-authority.cert")
        .flag("--kafka-client-cert", &fixture_path("port-new.cert"))
        .flag("--kafka-client-key", &fixture_path("port-new.key"));
    let service = site.start().await;
    let workload = Workload::good(20, 1);
    cluster.write(&workload.requests).await;
    service.api.counts_become("orders", workload.expected).await;
}

#[tokio::test]
async fn without_a_certificate_and_with_another_authority_nothing_is_read() {
    let cluster = Cluster::new(1);
    let relay = Relay::with_tls(&cluster.brokers, strict()).await;
    cluster.write(&Workload::good(20, 1).requests).await;
    for authority in ["ports-authority.cert", "authority.cert"] {
        let database = TestDatabase::create().await;
        let site = site(&relay, &database, authority);
        let service = site.start().await;
        says(&database, "The brokers do not say how long `otlp_spans` is").await;
        assert_eq!(service.api.counts("orders").await, good(0));
    }
}
