//! Receivers of remote write that are busy, refuse, or want to know who writes.

use std::fs;

use prometheus::{Registry, proto::MetricFamily};
use throughline::{
    domain::model::time::Timestamp,
    remote_write::{RemoteWriteError, RemoteWriteLogin, RemoteWriter},
};

use crate::support::receiver::{Receiver, Reply};

const NOW: Timestamp = Timestamp::from_micros(1_782_907_200_000_000);

fn families() -> Vec<MetricFamily> {
    let registry = Registry::new();
    let gauge = prometheus::Gauge::new("orders", "Orders.").unwrap();
    registry.register(Box::new(gauge)).unwrap();
    registry.gather()
}

fn writer(receiver: &Receiver, login: Option<RemoteWriteLogin>) -> RemoteWriter {
    RemoteWriter::new(&receiver.url, login, "a:8080".to_owned()).unwrap()
}

#[tokio::test]
async fn a_receiver_that_is_busy_gets_the_same_samples_again() {
    let receiver = Receiver::start([Reply::Status(503, "busy".to_owned())]).await;
    let written = writer(&receiver, None).write(&families(), NOW).await;
    assert_eq!(written.unwrap(), 1);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].headers["content-encoding"], "snappy");
    assert_eq!(
        requests[0].headers["x-prometheus-remote-write-version"],
        "0.1.0"
    );
}

#[tokio::test]
async fn samples_that_are_refused_are_not_sent_again_and_the_reason_is_reported() {
    let receiver = Receiver::start([Reply::Status(400, "out of bounds".to_owned())]).await;
    let error = writer(&receiver, None).write(&families(), NOW).await;
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "the receiver of remote write answered 400 Bad Request: out of bounds"
    );
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn the_secret_is_read_again_at_every_write() {
    let receiver = Receiver::start([]).await;
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("secret");
    fs::write(&secret_file, "first\n").unwrap();
    let login = |username: Option<&str>| RemoteWriteLogin {
        username: username.map(str::to_owned),
        secret_file: secret_file.clone(),
    };
    let by_token = writer(&receiver, Some(login(None)));
    by_token.write(&families(), NOW).await.unwrap();
    fs::write(&secret_file, "second").unwrap();
    by_token.write(&families(), NOW).await.unwrap();
    let by_password = writer(&receiver, Some(login(Some("me"))));
    by_password.write(&families(), NOW).await.unwrap();
    let sent = receiver.requests();
    let sent = sent
        .iter()
        .map(|request| request.headers["authorization"].as_str());
    let expected = ["Bearer first", "Bearer second", "Basic bWU6c2Vjb25k"];
    assert_eq!(sent.collect::<Vec<_>>(), expected);
}

#[test]
fn settings_that_cannot_work_are_errors_at_the_start() {
    let new = |url: &str, secret_file: Option<&str>| {
        let login = secret_file.map(|secret_file| RemoteWriteLogin {
            username: None,
            secret_file: secret_file.into(),
        });
        RemoteWriter::new(url, login, "a:8080".to_owned()).unwrap_err()
    };
    for url in ["mimir.example/push", "ftp://mimir.example/"] {
        assert!(
            matches!(new(url, None), RemoteWriteError::InvalidUrl),
            "{url}"
        );
    }
    let with_password = new("https://me:secret@mimir.example/push", None).to_string();
    assert!(!with_password.contains("secret@"), "{with_password}");
    let missing = new("https://mimir.example/push", Some("/none/secret")).to_string();
    assert!(
        missing.contains("`/none/secret`: No such file"),
        "{missing}"
    );
}
