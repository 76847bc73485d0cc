//! Slow, silent, greedy and broken clients, and stopping while some are there.

use std::{sync::Arc, time::Duration};

use reqwest::Response;
use throughline::{ingest::limits::ReceiverLimits, server::limits::ConnectionLimits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use super::server::{Commits, Server, body, client};

const PROTOBUF: &str = "application/x-protobuf";

async fn post(server: &Server, content_type: &str, body: Vec<u8>) -> Response {
    let request = client()
        .post(server.traces())
        .header("content-type", content_type);
    request.body(body).send().await.unwrap()
}

async fn open(url: &str, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// All that the server says until it closes the connection, which it does soon.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    let reading = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
    // A reset instead of an end is a way of closing too.
    drop(reading.await.unwrap());
    String::from_utf8_lossy(&rest).into_owned()
}

fn impatient() -> ReceiverLimits {
    ReceiverLimits {
        connections: ConnectionLimits {
            first_request_within: Duration::from_millis(50),
            idle: Duration::from_millis(100),
            closing_within: Duration::from_millis(50),
            ..ConnectionLimits::default()
        },
        body_within: Duration::from_millis(50),
        ..ReceiverLimits::default()
    }
}

#[tokio::test]
async fn a_connection_that_never_ends_its_head_is_closed() {
    let server = Server::within(impatient()).await;
    for url in [&server.http, &server.grpc] {
        for head in [
            "",
            "P",
            "PRI * HTTP/2.0\r\n",
            "POST /v1/traces HTTP/1.1\r\nhost: a\r\nx-slow: ",
        ] {
            rest(open(url, head).await).await;
        }
    }
    assert_eq!(post(&server, PROTOBUF, body(&["a"])).await.status(), 200);
}

#[tokio::test]
async fn a_connection_that_stays_silent_after_a_reply_is_closed() {
    let server = Server::within(impatient()).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let reply = rest(open(&server.http, head).await).await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

/// The beginning of HTTP/2 on a client's side, and no request.
const IDLE_HTTP2: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn idle_connections_lock_nobody_out() {
    let server = Server::within(ReceiverLimits {
        connections: ConnectionLimits {
            connections: 4,
            ..ConnectionLimits::default()
        },
        ..ReceiverLimits::default()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(open(&server.http, IDLE_HTTP2).await);
    }
    assert_eq!(post(&server, PROTOBUF, body(&["a"])).await.status(), 200);
    rest(idle.remove(0)).await;
    let metrics = server.metrics();
    let closed = "throughline_connections_closed_total{port=\"otlp_http\",reason=\"port_full\"} 1";
    assert!(metrics.contains(closed), "{metrics}");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_503() {
    let server = Server::within(impatient()).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let reply = rest(open(&server.http, head).await).await;
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    assert!(reply.contains("retry-after: 1"), "{reply}");
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_413_before_the_body_comes() {
    let server = Server::start().await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n";
    let mut stream = open(&server.http, head).await;
    let mut reply = [0; 12];
    let reading = timeout(Duration::from_secs(5), stream.read_exact(&mut reply));
    reading.await.unwrap().unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413");
}

#[tokio::test]
async fn too_many_requests_at_once_are_503_and_later_ones_are_served() {
    let ready = Arc::new(Semaphore::new(0));
    let limits = ReceiverLimits {
        requests: 1,
        ..ReceiverLimits::default()
    };
    let server = Server::with(Commits::When(Arc::clone(&ready)), limits).await;
    let mut first = std::pin::pin!(post(&server, PROTOBUF, body(&["first"])));
    tokio::select! {
        early = &mut first => panic!("{early:?}"),
        () = server.has_a_batch() => {}
    }
    let second = post(&server, PROTOBUF, body(&["second"])).await;
    assert_eq!(second.status(), 503);
    assert_eq!(second.headers()["retry-after"], "1");
    ready.add_permits(2);
    assert_eq!(first.await.status(), 200);
    assert_eq!(
        post(&server, PROTOBUF, body(&["third"])).await.status(),
        200
    );
    assert_eq!(server.committed(), ["first", "third"]);
}

#[tokio::test]
async fn bodies_that_together_take_too_much_memory_are_503() {
    let ready = Arc::new(Semaphore::new(0));
    let limits = ReceiverLimits {
        bytes_in_flight: 100_000,
        ..ReceiverLimits::default()
    };
    let server = Server::with(Commits::When(Arc::clone(&ready)), limits).await;
    let large = || body(&[&"x".repeat(60_000)]);
    let mut first = std::pin::pin!(post(&server, PROTOBUF, large()));
    tokio::select! {
        early = &mut first => panic!("{early:?}"),
        () = server.has_a_batch() => {}
    }
    assert_eq!(post(&server, PROTOBUF, large()).await.status(), 503);
    ready.add_permits(1);
    assert_eq!(first.await.status(), 200);
}

#[tokio::test]
async fn json_that_would_blow_up_in_memory_is_413() {
    let limits = ReceiverLimits {
        bytes_in_flight: 1_000_000,
        ..ReceiverLimits::default()
    };
    let server = Server::within(limits).await;
    let bomb = format!("[{}0]", "0,".repeat(100_000)).into_bytes();
    assert_eq!(post(&server, "application/json", bomb).await.status(), 413);
}

#[tokio::test]
async fn json_without_end_is_400_and_a_value_nested_too_deep_costs_no_request() {
    let server = Server::start().await;
    let json = "[".repeat(1_000_000).into_bytes();
    assert_eq!(post(&server, "application/json", json).await.status(), 400);
    // An `AnyValue` (field 5) of an `ArrayValue` (field 1) of an `AnyValue` ..., as the value of an
    // attribute of a resource.
    let keys = [0x0a, 0x2a].into_iter().cycle().take(500);
    let mut value = Vec::new();
    for key in keys.chain([0x12, 0x0a, 0x0a, 0x0a]) {
        let mut outer = vec![key];
        prost::encoding::encode_varint(value.len() as u64, &mut outer);
        outer.append(&mut value);
        value = outer;
    }
    assert_eq!(post(&server, PROTOBUF, value).await.status(), 200);
}

#[tokio::test]
async fn a_panic_is_500_with_a_status_and_the_next_request_is_served() {
    let server = Server::start().await;
    let small = post(&server, PROTOBUF, body(&["panic"])).await;
    // So large that it is read on a thread of its own.
    let large = post(&server, PROTOBUF, body(&[&"x".repeat(1_000_000), "panic"])).await;
    for response in [small, large] {
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], PROTOBUF);
    }
    assert_eq!(post(&server, PROTOBUF, body(&["a"])).await.status(), 200);
}

#[tokio::test]
async fn stopping_finishes_what_is_taken_and_closes_what_is_idle() {
    let ready = Arc::new(Semaphore::new(0));
    let server = Server::that_commits(Commits::When(Arc::clone(&ready))).await;
    let idle = open(&server.http, "").await;
    let mut under_way = std::pin::pin!(post(&server, PROTOBUF, body(&["a"])));
    tokio::select! {
        early = &mut under_way => panic!("{early:?}"),
        () = server.has_a_batch() => {}
    }
    let stopped = server.stop();
    assert_eq!(rest(idle).await, "");
    ready.add_permits(1);
    assert_eq!(under_way.await.status(), 200);
    timeout(Duration::from_secs(5), stopped).await.unwrap();
    assert_eq!(server.committed(), ["a"]);
    let address = server.http.trim_start_matches("http://");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_hears_that_it_is_too_much() {
    let limits = ReceiverLimits {
        body_bytes: 100_000,
        ..ReceiverLimits::default()
    };
    let server = Server::within(limits).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
                content-length: 20000000\r\n\r\n";
    for _ in 0..20 {
        let mut stream = open(&server.http, head).await;
        stream.write_all(&vec![b' '; 20_000_000]).await.unwrap();
        let reply = rest(stream).await;
        assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    }
}
