//! pika on `RabbitMQ`, by `opentelemetry-instrumentation-pika`.

use super::{TestBench, template};
use crate::support::broker::Broker;

/// As `parcels.py` places them, and of these those that a worker takes and forgets.
const ORDERS: usize = 35;
const FORGOTTEN: usize = 2;

const QUEUES: [(&str, &str); 3] = [
    ("FIRST_QUEUE", "orders"),
    ("LAST_QUEUE", "shipments"),
    ("DEAD_LETTER_QUEUE", "refused"),
];

/// Redeliveries are further spans of the same trace; what is refused, or kills whoever touches it, ends
/// as a dead letter.
fn parcels(name: &str, correlate: &str) -> String {
    format!(
        r#"
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: {name} }}
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{{ kind = producer && span.messaging.destination = "orders" }}'
      finish: '{{ name = "shipments receive" && status != error }}'
      fail:   '{{ name = "refused receive" }}'
      within: 5s
      correlate: [{correlate}]
  grace: 3s
"#
    )
    .trim_start()
    .to_owned()
}

#[tokio::test]
async fn redeliveries_dead_letters_and_killed_workers_of_pika_are_judged_as_the_workers_say() {
    let broker = Broker::rabbitmq().await;
    let definitions = [
        parcels("by-trace", "trace"),
        parcels("by-links", "links"),
        parcels("by-order", "span.messaging.conversation_id"),
        template("rabbitmq-pika", &QUEUES),
    ];
    let world = TestBench::start(&definitions.join("---\n"), &broker.url).await;
    let _workers = world.run("pika", "parcels.py", [ORDERS, FORGOTTEN]).await;
    for slo in ["by-trace", "rabbitmq-pika-queue"] {
        world.assert_counts_are_the_journal_s(slo, "parcel").await;
    }
    world
        .assert_each_verdict_is_the_journal_s("by-order", "parcel")
        .await;
    // The span that leads from some shipments to their orders was lost with the worker. There are two
    // starts in such a trace, as this instrumentation makes two spans for each message that is sent, but
    // both began at one origin.
    world
        .assert_counts_are_the_journal_s("by-links", "parcel")
        .await;
}
