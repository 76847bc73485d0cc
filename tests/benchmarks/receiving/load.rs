//! The load: requests of 512 spans of about 700 bytes, as a messaging client writes them. Half of
//! them are spans of messages. No workflow and no trace is sent twice.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span},
};
use prost::Message as _;
use throughline::domain::model::time::Timestamp;
use tonic::{
    Code,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint},
};

use super::definitions::{SENDER, START};

pub(super) const SPANS_A_REQUEST: u32 = 512;
/// What a receiver that is busy asks for, on a machine that does other work.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Http,
    Grpc,
    /// To the floor it is sent by HTTP.
    #[cfg(feature = "kafka")]
    Kafka,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

/// The share of the spans that begin a workflow of an SLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    Nothing,
    OnePercent,
}

/// What is sent, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shipment {
    pub(super) protocol: Protocol,
    pub(super) encoding: Encoding,
    pub(super) matching: Matching,
}

impl Shipment {
    /// How many times what the floor takes is meant to be enough.
    pub(super) const fn goal(self) -> Option<f64> {
        match (self.protocol, self.encoding, self.matching) {
            #[cfg(feature = "kafka")]
            (Protocol::Kafka, ..) => None,
            (_, Encoding::Gzip, _) => Some(1.3),
            (_, Encoding::Plain, Matching::Nothing) => Some(1.5),
            (_, Encoding::Plain, Matching::OnePercent) => Some(2.0),
        }
    }
}

pub(super) struct Load {
    shipment: Shipment,
    request: ExportTraceServiceRequest,
    workflows: u64,
    traces: u64,
}

impl Load {
    /// Senders of different numbers send different workflows.
    pub(super) fn new(shipment: Shipment, now: Timestamp, number: u32) -> Self {
        Self {
            shipment,
            request: request(u64::try_from(now.as_micros()).unwrap() * 1_000),
            workflows: u64::from(number) << 32,
            traces: u64::from(number) << 32,
        }
    }

    /// Sends on this thread, one after the other, and waits for the replies.
    pub(super) fn send(&mut self, to: SocketAddr, requests: u32) {
        match self.shipment.protocol {
            Protocol::Http => self.send_http(to, requests),
            Protocol::Grpc => self.send_grpc(to, requests),
            #[cfg(feature = "kafka")]
            Protocol::Kafka => self.send_http(to, requests),
        }
    }

    fn send_http(&mut self, to: SocketAddr, requests: u32) {
        let mut stream = TcpStream::connect(to).unwrap();
        let mut reply = [0; 4_096];
        for _ in 0..requests {
            let message = self.http_message();
            while is_busy(exchange(&mut stream, &message, &mut reply)) {
                thread::sleep(RETRY_AFTER);
            }
        }
    }

    /// The next request, not compressed.
    pub(super) fn message(&mut self) -> Vec<u8> {
        self.next_request().encode_to_vec()
    }

    fn http_message(&mut self) -> Vec<u8> {
        let mut body = self.message();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: a\r\n\
                        content-type: application/x-protobuf\r\n";
        let mut encoding = "";
        if let Encoding::Gzip = self.shipment.encoding {
            let mut writer = GzEncoder::new(Vec::new(), Compression::default());
            writer.write_all(&body).unwrap();
            body = writer.finish().unwrap();
            encoding = "content-encoding: gzip\r\n";
        }
        let head = format!("{head}{encoding}content-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), &body].concat()
    }

    fn send_grpc(&mut self, to: SocketAddr, requests: u32) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = Endpoint::from_shared(format!("http://{to}")).unwrap();
            let mut client = TraceServiceClient::new(endpoint.connect().await.unwrap());
            if let Encoding::Gzip = self.shipment.encoding {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            for _ in 0..requests {
                export(&mut client, self.next_request()).await;
            }
        });
    }

    /// The same request with traces and workflows that were not there before.
    fn next_request(&mut self) -> &ExportTraceServiceRequest {
        let spans = &mut self.request.resource_spans[0].scope_spans[0].spans;
        for span in &mut *spans {
            self.traces += 1;
            span.trace_id[8..].copy_from_slice(&mixed(self.traces).to_be_bytes());
        }
        if self.shipment.matching == Matching::Nothing {
            return &self.request;
        }
        for span in spans.iter_mut().step_by(100) {
            self.workflows += 1;
            START.clone_into(&mut span.name);
            span.attributes[0] = text("order.id", &format!("{:016x}", self.workflows));
        }
        &self.request
    }
}

/// Sends the request until it is taken.
async fn export(client: &mut TraceServiceClient<Channel>, request: &ExportTraceServiceRequest) {
    loop {
        match client.export(request.clone()).await {
            Ok(reply) => return assert_eq!(reply.into_inner().partial_success, None),
            Err(busy) => assert_eq!(busy.code(), Code::Unavailable, "{busy}"),
        }
        thread::sleep(RETRY_AFTER);
    }
}

/// Sends a message, and returns the reply.
fn exchange<'a>(stream: &mut TcpStream, message: &[u8], reply: &'a mut [u8]) -> &'a str {
    stream.write_all(message).unwrap();
    let length = stream.read(reply).unwrap();
    str::from_utf8(&reply[..length]).unwrap_or_default()
}

/// Returns whether to send the same again; any reply that is not a success fails.
fn is_busy(reply: &str) -> bool {
    let is_busy = reply.starts_with("HTTP/1.1 503");
    assert!(is_busy || reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(!reply.contains("refused"), "{reply}");
    is_busy
}

fn request(now: u64) -> ExportTraceServiceRequest {
    let spans = (0..u64::from(SPANS_A_REQUEST))
        .map(|number| span(number, now + number))
        .collect();
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let attributes = ["service.name", "service.version", "host.name"];
    let resource = Resource {
        attributes: attributes.map(|key| text(key, SENDER)).into(),
        ..Resource::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans,
            ..ResourceSpans::default()
        }],
    }
}

/// Producers, consumers and others, in turn.
const KINDS: [i32; 4] = [4, 1, 5, 3];

fn span(number: u64, at: u64) -> Span {
    let id = mixed(number) | 1;
    let trace_id = [id.to_be_bytes(), (!id).to_be_bytes()].concat();
    let mut attributes: Vec<KeyValue> = [
        ("messaging.system", "kafka"),
        ("messaging.operation.name", "publish"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", "orders.created"),
        ("messaging.client.id", "orders-producer-3"),
        ("messaging.consumer.group.name", "fulfilment"),
        ("server.address", "kafka-2.internal.example"),
        ("network.peer.address", "10.12.7.201"),
        ("thread.name", "kafka-producer-network-thread"),
    ]
    .map(|(key, value)| text(key, value))
    .into();
    attributes.push(text("messaging.message.id", &format!("{id:032x}")));
    attributes.push(number_attribute("messaging.kafka.offset", id >> 30));
    attributes.push(number_attribute("messaging.message.body.size", id >> 50));
    let event = span::Event {
        time_unix_nano: at,
        name: "acknowledged".to_owned(),
        attributes: vec![number_attribute("attempt", 1)],
        ..span::Event::default()
    };
    let link = span::Link {
        trace_id: trace_id.clone(),
        span_id: id.to_le_bytes().to_vec(),
        ..span::Link::default()
    };
    Span {
        trace_id,
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: (id ^ 2).to_be_bytes().to_vec(),
        name: "send orders.created".to_owned(),
        kind: KINDS[usize::try_from(number).unwrap() % KINDS.len()],
        start_time_unix_nano: at,
        end_time_unix_nano: at + 2_000_000,
        attributes,
        events: vec![event],
        links: vec![link],
        ..Span::default()
    }
}

/// An id that looks random (Fibonacci hashing).
const fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number_attribute(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value.cast_signed()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
