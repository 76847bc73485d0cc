//! boto3 on SQS, by `opentelemetry-instrumentation-boto3sqs`.

use super::{TestBench, template};
use crate::support::broker::Broker;

/// As `shop.py` places them, orders and jobs, and of these those that a worker takes and forgets.
const ORDERS: usize = 20 + 10 + 10;
const FORGOTTEN: usize = 2;

/// A batch is sent in one trace by one span for each message: what tells its messages apart is the
/// start span. Each of them is processed in a trace of its own, which links to it.
const PLACED: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{ name = "orders send" }'
      finish: '{ name = "shipments process" }'
      fail:   '{ name = "refused process" }'
      within: 5s
      correlate: [links]
  grace: 3s
---
apiVersion: throughline/v1
kind: SLO
metadata: { name: jobs }
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{ name = "jobs send" }'
      finish: '{ name = "jobs process" }'
      within: 5s
      correlate: [span.messaging.message.id]
  grace: 3s
"#;

#[tokio::test]
async fn messages_that_are_sent_to_sqs_together_and_one_by_one_are_judged_one_by_one() {
    let broker = Broker::sqs().await;
    let queues = [
        ("FIRST_QUEUE", "orders"),
        ("LAST_QUEUE", "shipments"),
        ("DEAD_LETTER_QUEUE", "refused"),
    ];
    let definitions = [PLACED.trim_start(), &template("sqs", &queues)];
    let world = TestBench::start(&definitions.join("---\n"), &broker.url).await;
    let _workers = world.run("sqs", "shop.py", [ORDERS, FORGOTTEN]).await;
    for slo in ["orders", "sqs-queue"] {
        world.assert_counts_are_the_journal_s(slo, "order").await;
    }
    world
        .assert_each_verdict_is_the_journal_s("jobs", "job")
        .await;
}
