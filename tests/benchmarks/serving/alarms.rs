//! The time from the reply that makes bad spans durable to the webhook of the alert.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status::StatusCode},
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{self, Instant},
};

use super::quantiles;

const ALARMS: usize = 20;
/// More than any rule needs to fire.
const SPANS_AN_ALARM: usize = 1_000;
/// The default of `--evaluation-interval`, and much more than a delivery takes.
const WITHIN: Duration = Duration::from_secs(30);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A receiver of webhooks.
pub(super) struct Receiver {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<(String, Instant)>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                take(stream, &sender).await;
            }
        });
        Self {
            address,
            requests,
            _serving: serving,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// When the first request came that names `slo`.
    async fn first_of(&mut self, slo: &str) -> Instant {
        loop {
            let (body, at) = self.requests.recv().await.unwrap();
            if body.contains(&format!("\"{slo}\"")) {
                return at;
            }
        }
    }
}

/// Reads one request, which is complete when its body is JSON.
async fn take(mut stream: TcpStream, sender: &mpsc::UnboundedSender<(String, Instant)>) {
    let (mut text, mut buffer) = (Vec::new(), vec![0; 64 * 1_024]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        text.extend_from_slice(&buffer[..length]);
        let request = String::from_utf8_lossy(&text).into_owned();
        let body = request.split_once("\r\n\r\n").map(|(_, body)| body);
        if body.is_some_and(|body| serde_json::from_str::<serde_json::Value>(body).is_ok()) {
            drop(sender.send((request, Instant::now())));
            drop(stream.write_all(OK).await);
            return;
        }
    }
}

/// SLOs of which each gets nothing but bad events at once, one after the other.
pub(super) struct Alarms {
    client: reqwest::Client,
    url: String,
    receiver: Receiver,
}

impl Alarms {
    pub(super) fn to(otlp: SocketAddr, receiver: Receiver) -> Self {
        Self {
            client: reqwest::Client::builder().timeout(WITHIN).build().unwrap(),
            url: format!("http://{otlp}/v1/traces"),
            receiver,
        }
    }

    pub(super) async fn raise(mut self) {
        let mut took = Vec::new();
        for number in 0..ALARMS {
            self.send(number).await;
            let replied = Instant::now();
            let slo = format!("alarm-{number}");
            let request = time::timeout(WITHIN, self.receiver.first_of(&slo)).await;
            took.push(request.unwrap() - replied);
        }
        println!(
            "webhook after the reply to the deciding span: {}",
            quantiles(took)
        );
    }

    async fn send(&self, number: usize) {
        loop {
            let request = self
                .client
                .post(&self.url)
                .header("content-type", "application/x-protobuf")
                .body(request(number));
            if request.send().await.unwrap().status().is_success() {
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
fn request(number: usize) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = u64::try_from(now.unwrap().as_nanos()).unwrap();
    let bad = || Span {
        trace_id: rand::random::<[u8; 16]>().to_vec(),
        span_id: rand::random::<[u8; 8]>().to_vec(),
        name: format!("alarm {number}"),
        start_time_unix_nano: at,
        end_time_unix_nano: at,
        status: Some(Status {
            code: StatusCode::Error.into(),
            ..Status::default()
        }),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: (0..SPANS_AN_ALARM).map(|_| bad()).collect(),
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
