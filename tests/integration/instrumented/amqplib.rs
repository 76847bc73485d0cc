//! amqplib on `RabbitMQ`, by `@opentelemetry/instrumentation-amqplib`.

use super::{Running, TestBench, complete, template};
use crate::support::{broker::Broker, installs};

/// As `parcels.js` places them, and of these those that a worker takes and forgets.
const ORDERS: usize = 31;
const FORGOTTEN: usize = 2;

/// A message that is put back is an error of one attempt; one that is refused for good is the end.
/// What then reads the dead letters finishes nothing.
fn parcels(correlate: &str) -> String {
    format!(
        r#"
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: parcels }}
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{{ kind = producer && span.messaging.rabbitmq.routing_key = "orders" }}'
      finish: '{{ name = "shipments process" && status != error }}'
      fail:   '{{ name = "orders process" && statusMessage = "nack called on message without requeue" }}'
      within: 5s
      correlate: [{correlate}]
  grace: 3s
"#
    )
    .trim_start()
    .to_owned()
}

async fn world(
    definitions: &str,
    broker: &Broker,
    variables: &[(&str, &str)],
) -> (TestBench, Running) {
    let world = TestBench::start(definitions, &broker.url).await;
    let script = installs::node("amqplib").join("parcels.js");
    let client = |role| {
        let mut command = world.client("node");
        command.arg(&script).arg(role);
        command.envs(variables.iter().copied());
        command
    };
    let worker = world.start_worker(client("work")).await;
    complete(client("order"));
    world.all_is_done(ORDERS, FORGOTTEN).await;
    (world, worker)
}

#[tokio::test]
async fn what_workers_on_rabbitmq_say_they_did_is_what_is_judged() {
    let broker = Broker::rabbitmq().await;
    let queues = [("FIRST_QUEUE", "orders"), ("LAST_QUEUE", "shipments")];
    let definitions = [parcels("trace"), template("rabbitmq-amqplib", &queues)];
    let (world, _worker) = world(&definitions.join("---\n"), &broker, &[]).await;
    for slo in ["parcels", "rabbitmq-amqplib-queue"] {
        world.assert_counts_are_the_journal_s(slo, "parcel").await;
    }
}

/// With links, every hop is a trace of its own, and each message has another id: what the messages
/// of an order share is their correlation id, under the name that it had before 1.24.
#[tokio::test]
async fn hops_over_rabbitmq_that_are_linked_and_not_children_are_judged_the_same() {
    let broker = Broker::rabbitmq().await;
    let definitions = parcels("span.messaging.conversation_id");
    let (world, _worker) = world(&definitions, &broker, &[("SPAN_LINKS", "1")]).await;
    world
        .assert_each_verdict_is_the_journal_s("parcels", "parcel")
        .await;
}

#[tokio::test]
async fn links_alone_join_the_hops_that_no_parent_and_no_attribute_does() {
    let broker = Broker::rabbitmq().await;
    let (world, _worker) = world(&parcels("links"), &broker, &[("SPAN_LINKS", "1")]).await;
    world
        .assert_counts_are_the_journal_s("parcels", "parcel")
        .await;
}
