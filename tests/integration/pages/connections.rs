//! The port of the pages under clients that are slow, silent or never done.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use throughline::{
    clock::ManualClock,
    server::limits::ConnectionLimits,
    store::Store,
    web::{self, IngestFacts, WebState},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::fixture;
use crate::support::app::web::web_state;

const SOON: Duration = Duration::from_secs(5);

/// Pages without a database.
fn alone() -> WebState {
    let nowhere = Store::at("postgres://nobody@127.0.0.1:1/none", 1).unwrap();
    let (_catalog, catalog) = watch::channel(Arc::default());
    let (_definitions, definitions) = watch::channel(Arc::default());
    web_state(
        nowhere,
        ManualClock::new(fixture::now()),
        catalog,
        definitions,
        IngestFacts::default(),
    )
}

struct Pages {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Pages {
    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    async fn within(limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let until = stop.clone().cancelled_owned();
        Self {
            address,
            stop,
            serving: tokio::spawn(web::serve(listener, alone(), limits, until)),
        }
    }

    async fn open(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// Whether the server closes the connection soon.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(SOON, stream.read_to_end(&mut rest)).await.is_ok()
}

const HALF_A_HEAD: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ";

#[tokio::test]
async fn a_connection_that_never_ends_its_head_is_closed() {
    let pages = Pages::within(ConnectionLimits {
        first_request_within: Duration::from_millis(50),
        idle: Duration::from_millis(100),
        closing_within: Duration::from_millis(50),
        ..ConnectionLimits::of_pages()
    })
    .await;
    for head in ["", "G", "PRI * HTTP/2.0\r\n", HALF_A_HEAD] {
        assert!(is_closed(pages.open(head).await).await, "{head:?}");
    }
}

#[tokio::test]
async fn stopping_does_not_wait_for_the_end_of_a_head() {
    let pages = Pages::within(ConnectionLimits {
        closing_within: Duration::from_millis(50),
        ..ConnectionLimits::of_pages()
    })
    .await;
    let slow = pages.open(HALF_A_HEAD).await;
    pages.stop.cancel();
    timeout(SOON, pages.serving).await.unwrap().unwrap();
    assert!(is_closed(slow).await);
}

/// The answer to a request of which only the first byte of the body comes.
async fn answer_to_a_body_of(length: &str) -> String {
    let pages = Pages::within(ConnectionLimits::of_pages()).await;
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{{"
    );
    let (mut answer, mut stream) = (String::new(), pages.open(&head).await);
    let reading = stream.read_to_string(&mut answer);
    timeout(SOON * 3, reading).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_body_that_never_ends_is_408() {
    let answer = answer_to_a_body_of("9").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_413_at_once() {
    let began = Instant::now();
    let answer = answer_to_a_body_of("1000000000").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(began.elapsed() < SOON);
}
