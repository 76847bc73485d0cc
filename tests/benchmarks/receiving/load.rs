//! The load: requests of 512 spans of about 700 bytes, as a messaging client writes them.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span},
};
use prost::Message as _;
use tonic::{codec::CompressionEncoding, transport::Endpoint};

pub(super) const SPANS_A_REQUEST: u32 = 512;

#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Http,
    Grpc,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

pub(super) struct Load {
    protocol: Protocol,
    encoding: Encoding,
    request: ExportTraceServiceRequest,
}

impl Load {
    pub(super) fn new(protocol: Protocol, encoding: Encoding) -> Self {
        Self {
            protocol,
            encoding,
            request: request(),
        }
    }

    /// Sends on this thread, one after the other, and waits for the replies.
    pub(super) fn send(&self, to: SocketAddr, requests: u32) {
        match self.protocol {
            Protocol::Http => self.send_http(to, requests),
            Protocol::Grpc => self.send_grpc(to, requests),
        }
    }

    fn send_http(&self, to: SocketAddr, requests: u32) {
        let mut body = self.request.encode_to_vec();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: a\r\n\
                        content-type: application/x-protobuf\r\n";
        let mut encoding = "";
        if let Encoding::Gzip = self.encoding {
            let mut writer = GzEncoder::new(Vec::new(), Compression::default());
            writer.write_all(&body).unwrap();
            body = writer.finish().unwrap();
            encoding = "content-encoding: gzip\r\n";
        }
        let head = format!("{head}{encoding}content-length: {}\r\n\r\n", body.len());
        let message = [head.as_bytes(), &body].concat();
        let mut stream = TcpStream::connect(to).unwrap();
        let mut reply = [0; 4_096];
        for _ in 0..requests {
            stream.write_all(&message).unwrap();
            let length = stream.read(&mut reply).unwrap();
            assert!(reply[..length].starts_with(b"HTTP/1.1 200"));
        }
    }

    fn send_grpc(&self, to: SocketAddr, requests: u32) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = Endpoint::from_shared(format!("http://{to}")).unwrap();
            let mut client = TraceServiceClient::new(endpoint.connect().await.unwrap());
            if let Encoding::Gzip = self.encoding {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            for _ in 0..requests {
                client.export(self.request.clone()).await.unwrap();
            }
        });
    }
}

fn request() -> ExportTraceServiceRequest {
    let spans = (0..u64::from(SPANS_A_REQUEST)).map(span).collect();
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let attributes = ["service.name", "service.version", "host.name"];
    let resource = Resource {
        attributes: attributes
            .map(|key| text(key, "orders-service-7c9f"))
            .into(),
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

fn span(number: u64) -> Span {
    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
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
        time_unix_nano: 1_700_000_000_000_000_000 + number,
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
        kind: 4,
        start_time_unix_nano: 1_700_000_000_000_000_000 + number,
        end_time_unix_nano: 1_700_000_000_002_000_000 + number,
        attributes,
        events: vec![event],
        links: vec![link],
        ..Span::default()
    }
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
