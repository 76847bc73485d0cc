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

use super::{print_quantiles, support::unless_short};

const ALARMS: usize = 20;
/// More than any rule needs to fire.
const SPANS_AN_ALARM: usize = 1_000;
const BETWEEN_ALARMS: Duration = Duration::from_secs(1);
const AN_HOUR: Duration = Duration::from_hours(1);
/// Several times the default of `--evaluation-interval`, and much more than a delivery takes.
const WITHIN: Duration = Duration::from_secs(30);
/// The goal: an evaluation interval and half a second.
const WEBHOOK: Duration = Duration::from_millis(5_500);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The SLO of an alarm, and its spans.
pub(super) fn name(number: usize) -> String {
    format!("alarm-{number}")
}

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

    /// When the first request came for each alarm.
    async fn first_of_each(&mut self) -> [Instant; ALARMS] {
        let mut first = [None; ALARMS];
        while first.contains(&None) {
            let (body, at) = self.requests.recv().await.unwrap();
            let numbers = 0..ALARMS;
            let mut named = numbers.filter(|of| body.contains(&format!("\"{}\"", name(*of))));
            let number = named.next().unwrap();
            first[number].get_or_insert(at);
        }
        first.map(Option::unwrap)
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
        for number in 0..ALARMS {
            // A rule waits until its SLO is older than the rule's short window.
            self.send(request(number, StatusCode::Ok, AN_HOUR, 1)).await;
        }
        let mut replied = Vec::new();
        for number in 0..ALARMS {
            let bad = request(number, StatusCode::Error, Duration::ZERO, SPANS_AN_ALARM);
            self.send(bad).await;
            replied.push(Instant::now());
            time::sleep(unless_short(BETWEEN_ALARMS, Duration::ZERO)).await;
        }
        let first = time::timeout(WITHIN, self.receiver.first_of_each()).await;
        let took = first.unwrap().into_iter().zip(replied);
        print_quantiles(
            "webhook after the reply to the deciding span",
            took.map(|(first, replied)| first - replied).collect(),
            WEBHOOK,
        );
    }

    async fn send(&self, body: Vec<u8>) {
        loop {
            let request = self
                .client
                .post(&self.url)
                .header("content-type", "application/x-protobuf")
                .body(body.clone());
            if request.send().await.unwrap().status().is_success() {
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
fn request(number: usize, status: StatusCode, ago: Duration, spans: usize) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = u64::try_from(now.unwrap().checked_sub(ago).unwrap().as_nanos()).unwrap();
    let span = || Span {
        trace_id: rand::random::<[u8; 16]>().to_vec(),
        span_id: rand::random::<[u8; 8]>().to_vec(),
        name: name(number),
        start_time_unix_nano: at,
        end_time_unix_nano: at,
        status: Some(Status {
            code: status.into(),
            ..Status::default()
        }),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: (0..spans).map(|_| span()).collect(),
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
