//! The ports of a running service under TLS.

use std::{fs, path::Path, process::Stdio, time::Duration};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Version};
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::{Certificate as GrpcCertificate, ClientTlsConfig, Endpoint};

use crate::support::{
    api::{client, until},
    database::TestDatabase,
    service::{Service, Site, free_port, program},
    workload::ORDERS,
};

fn fixture(name: &str) -> String {
    fs::read_to_string(fixture_path(name)).unwrap()
}

pub(crate) fn fixture_path(name: &str) -> String {
    format!(
        "{}/tests/fixtures/tls/{name}.pem",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// Files as a certificate manager writes them.
fn put(folder: &Path, name: &str) {
    for part in ["key", "cert"] {
        fs::write(folder.join(part), fixture(&format!("{name}.{part}"))).unwrap();
    }
}

fn trusting() -> ClientBuilder {
    // Installs what TLS computes with.
    drop(client());
    let authority = Certificate::from_pem(fixture("ports-authority.cert").as_bytes());
    Client::builder()
        .no_proxy()
        .tls_certs_only([authority.unwrap()])
        .tls_info(true)
}

fn identity() -> Identity {
    let pem = fixture("port-new.cert") + &fixture("port-new.key");
    Identity::from_pem(pem.as_bytes()).unwrap()
}

/// Waits for a service whose port speaks TLS.
async fn ready(service: &Service, client: &Client, address: &str) {
    let url = format!("https://{address}/readyz");
    until("the service is ready", async || {
        let answer = client.get(&url).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    assert!(
        service.said().contains("pages on https://"),
        "{}",
        service.said()
    );
}

/// The certificate that the server shows on a new connection.
async fn shown(address: &str) -> Vec<u8> {
    let client = trusting().build().unwrap();
    let answer = client
        .get(format!("https://{address}/healthz"))
        .send()
        .await;
    let answer = answer.unwrap();
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

#[tokio::test]
async fn an_overview_speaks_tls_and_reads_a_new_certificate() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "port-old");
    let address = format!("127.0.0.1:{}", free_port());
    let mut overview = program()
        .args(["overview", "--listen", &address])
        .args(["--installations", "a=http://127.0.0.1:1"])
        .arg("--tls-cert")
        .arg(folder.path().join("cert"))
        .arg("--tls-key")
        .arg(folder.path().join("key"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let url = format!("https://{address}/healthz");
    let asked = trusting().build().unwrap();
    until("the overview", async || asked.get(&url).send().await.ok()).await;
    let old = shown(&address).await;
    put(folder.path(), "port-new");
    until("the new certificate", async || {
        (shown(&address).await != old).then_some(())
    })
    .await;
    overview.kill().expect("our own child can be killed");
    overview.wait().expect("our own child can be collected");
}

fn with_certificates(site: Site, folder: &TempDir) -> Site {
    put(folder.path(), "port-old");
    let path = |name: &str| folder.path().join(name).display().to_string();
    site.flag("--tls-cert", &path("cert"))
        .flag("--tls-key", &path("key"))
}

#[tokio::test]
async fn pages_under_tls_speak_http_2_and_take_a_new_certificate_without_a_restart() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let site = with_certificates(Site::on(&database, ORDERS), &folder);
    let (service, address) = (site.spawn(), site.pages_address());
    let client = trusting().build().unwrap();
    ready(&service, &client, &address).await;
    let page = client
        .get(format!("https://{address}/"))
        .send()
        .await
        .unwrap();
    assert_eq!(page.version(), Version::HTTP_2);
    assert_eq!(
        page.headers()["strict-transport-security"],
        "max-age=31536000"
    );
    let plain = client.get(format!("http://{address}/healthz")).send().await;
    assert!(plain.is_err(), "{plain:?}");

    let old = shown(&address).await;
    put(folder.path(), "port-new");
    until("the new certificate is shown", async || {
        (shown(&address).await != old).then_some(())
    })
    .await;
    fs::write(folder.path().join("cert"), "broken").unwrap();
    until("the log says that it cannot be used", async || {
        let is_told = service
            .said()
            .contains("the previous certificate stays in use");
        is_told.then_some(())
    })
    .await;
    assert_ne!(shown(&address).await, old);
}

/// Runs the health check of a container with the variables of its service.
fn health(variables: &[(&str, &str)], flags: &[&str]) -> (Option<i32>, String) {
    let output = program()
        .arg("healthcheck")
        .args(flags)
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test]
async fn the_health_check_asks_the_address_of_the_settings_and_with_their_tls() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let site = with_certificates(Site::on(&database, ORDERS), &folder);
    let (service, address) = (site.spawn(), site.pages_address());
    ready(&service, &trusting().build().unwrap(), &address).await;
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    let plain = [("THROUGHLINE_LISTEN", everywhere.as_str())];
    let encrypted = [
        plain[0],
        ("THROUGHLINE_TLS_CERT", cert.to_str().unwrap()),
        ("THROUGHLINE_TLS_KEY", key.to_str().unwrap()),
    ];
    assert_eq!(health(&encrypted, &[]), (Some(0), "ok\n".to_owned()));
    let (code, said) = health(&encrypted, &["--ready"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"ready\":true"), "{said}");
    let (code, said) = health(&plain, &[]);
    assert_eq!(code, Some(1), "{said}");
    service.kill();
    let (code, said) = health(&encrypted, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not answer"), "{said}");
}

#[tokio::test]
async fn senders_show_a_certificate_where_an_authority_is_named() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "port-old");
    fs::write(folder.path().join("ca"), fixture("ports-authority.cert")).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let site = Site::on(&database, ORDERS)
        .flag("--otlp-tls-cert", &path("cert"))
        .flag("--otlp-tls-key", &path("key"))
        .flag("--otlp-client-ca", &path("ca"));
    let service = site.start().await;
    let url = format!("https://{}/v1/traces", site.otlp_http_address());
    let post = async |client: Client| {
        let request = client.post(&url).header("content-type", "application/json");
        request.body("{}").send().await
    };
    assert!(post(trusting().build().unwrap()).await.is_err());
    let known = trusting().identity(identity()).build().unwrap();
    assert_eq!(post(known).await.unwrap().status(), 200);
    let failed =
        "throughline_connections_closed_total{port=\"otlp_http\",reason=\"tls_handshake\"}";
    assert!(service.api.metric(failed).await >= Some(1.0));

    let tls = ClientTlsConfig::new()
        .ca_certificate(GrpcCertificate::from_pem(fixture("ports-authority.cert")))
        .identity(tonic::transport::Identity::from_pem(
            fixture("port-new.cert"),
            fixture("port-new.key"),
        ));
    let endpoint = Endpoint::from_shared(format!("https://{}", site.otlp_grpc_address())).unwrap();
    let endpoint = endpoint
        .tls_config(tls)
        .unwrap()
        .timeout(Duration::from_secs(10));
    let mut client = TraceServiceClient::new(endpoint.connect().await.unwrap());
    client
        .export(ExportTraceServiceRequest::default())
        .await
        .unwrap();
}

/// Its result and text, by the check.
fn diagnosed(site: &Site, certificate: &str) -> (String, String) {
    let folder = site.definitions_folder();
    let output = program()
        .args(["doctor", "-o", "json", "--definitions", &folder])
        .args(["--database-url", "postgres://127.0.0.1:1/none"])
        .args([
            "--otlp-tls-cert",
            &fixture_path(&format!("{certificate}.cert")),
        ])
        .args([
            "--otlp-tls-key",
            &fixture_path(&format!("{certificate}.key")),
        ])
        .output()
        .expect("the program starts");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap().iter();
    let mut of_otlp = checks.filter(|check| check["check"] == "certificate otlp");
    let check = of_otlp.next().expect("the check");
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    (text("result"), text("text"))
}

#[tokio::test]
async fn an_expired_certificate_of_its_own_is_named_until_it_is_renewed() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "port-expired");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let site = Site::on(&database, ORDERS)
        .flag("--otlp-tls-cert", &path("cert"))
        .flag("--otlp-tls-key", &path("key"));
    let service = site.start().await;
    let expired = format!(
        "The certificate `{}` of otlp expired on 2024-02-01 00:00 UTC",
        path("cert")
    );
    assert!(service.said().contains(&expired), "{}", service.said());
    let expiry = "throughline_tls_certificate_expiry_timestamp_seconds{port=\"otlp\"}";
    assert_eq!(service.api.metric(expiry).await, Some(1_706_745_600.0));
    let check = "throughline_self_check_open{check=\"throughline/certificate-expired\"}";
    until("the self-check", async || {
        (service.api.metric(check).await == Some(1.0)).then_some(())
    })
    .await;
    put(folder.path(), "port-new");
    until("the time of the new certificate", async || {
        (service.api.metric(expiry).await > Some(4e9)).then_some(())
    })
    .await;

    let (result, text) = diagnosed(&site, "port-expired");
    assert_eq!(result, "fail");
    assert!(text.ends_with("expired on 2024-02-01 00:00 UTC"), "{text}");
    let (result, text) = diagnosed(&site, "port-new");
    assert_eq!(result, "ok", "{text}");
}

async fn export_by_grpc(address: &str, identity: tonic::transport::Identity) -> bool {
    let tls = ClientTlsConfig::new()
        .ca_certificate(GrpcCertificate::from_pem(fixture("ports-authority.cert")))
        .identity(identity);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    let endpoint = endpoint.tls_config(tls).unwrap();
    // With TLS 1.3 a client may learn of the refusal only when it sends.
    let Ok(channel) = endpoint.timeout(Duration::from_secs(10)).connect().await else {
        return false;
    };
    let exported = TraceServiceClient::new(channel)
        .export(ExportTraceServiceRequest::default())
        .await;
    exported.is_ok()
}

#[tokio::test]
async fn senders_whose_certificate_has_expired_or_is_of_another_authority_are_refused() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS)
        .flag("--otlp-tls-cert", &fixture_path("port-new.cert"))
        .flag("--otlp-tls-key", &fixture_path("port-new.key"))
        .flag("--otlp-client-ca", &fixture_path("clients-authority.cert"));
    let service = site.start().await;
    let (http, grpc) = (site.otlp_http_address(), site.otlp_grpc_address());
    let by_http = async |name: &str| {
        let pem = fixture(&format!("{name}.cert")) + &fixture(&format!("{name}.key"));
        let identity = Identity::from_pem(pem.as_bytes()).unwrap();
        let client = trusting().identity(identity).build().unwrap();
        let request = client
            .post(format!("https://{http}/v1/traces"))
            .header("content-type", "application/json");
        request
            .body("{}")
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
    };
    let by_grpc = async |name: &str| {
        let [cert, key] = ["cert", "key"].map(|part| fixture(&format!("{name}.{part}")));
        export_by_grpc(&grpc, tonic::transport::Identity::from_pem(cert, key)).await
    };
    let refused = async |port: &str| {
        let sample = "throughline_connections_closed_total";
        let sample = format!("{sample}{{port=\"{port}\",reason=\"tls_handshake\"}}");
        service.api.metric(&sample).await.expect("the counter")
    };
    assert!(by_http("client-valid").await && by_grpc("client-valid").await);
    for name in ["client-expired", "client-foreign"] {
        let before = (refused("otlp_http").await, refused("otlp_grpc").await);
        assert!(!by_http(name).await, "{name}");
        assert!(!by_grpc(name).await, "{name}");
        assert!(refused("otlp_http").await > before.0, "{name}");
        assert!(refused("otlp_grpc").await > before.1, "{name}");
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_keeps_the_service_from_starting() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let site = with_certificates(Site::on(&database, ORDERS), &folder);
    fs::write(folder.path().join("key"), fixture("port-new.key")).unwrap();
    let (status, said) = site.spawn().ended().await;
    assert!(!status.success());
    assert!(
        said.contains("correct `--tls-cert` and `--tls-key`"),
        "{said}"
    );
}
