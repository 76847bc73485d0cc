//! Requests whose commit takes longer than their reply.

use std::{sync::Arc, time::Duration};

use throughline::ingest::limits::ReceiverLimits;
use tokio::sync::Semaphore;

use super::server::{Commits, Server, body, client};

async fn post(server: &Server, name: &str) -> u16 {
    let request = client().post(server.traces()).body(body(&[name]));
    let request = request.header("content-type", "application/x-protobuf");
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn r4_a_repetition_gets_what_becomes_of_its_first_copy() {
    let limits = ReceiverLimits {
        reply_within: Duration::from_millis(50),
        ..ReceiverLimits::default()
    };
    let ready = Arc::new(Semaphore::new(0));
    let server = Server::with(Commits::When(Arc::clone(&ready)), limits).await;
    for _ in 0..3 {
        assert_eq!(post(&server, "slow").await, 503);
    }
    ready.add_permits(1);
    while post(&server, "slow").await != 200 {}
    assert_eq!(server.committed(), ["slow"], "several copies, one commit");
    assert_eq!(post(&server, "slow").await, 200, "it is known");
    assert_eq!(post(&server, "other").await, 503, "others are not");
    assert_eq!(server.committed(), ["slow"]);
}
