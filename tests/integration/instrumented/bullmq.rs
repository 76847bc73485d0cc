//! `BullMQ` on Redis, by `bullmq-otel`.

use super::{TestBench, complete, template};
use crate::support::{broker::Broker, installs};

/// As `parcels.js` places them, and of these those that are removed before anybody takes them.
const ORDERS: usize = 33;
const REMOVED: usize = 2;

/// No attempt is an error; the span that moves the job says what failed for good.
const PARCELS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: parcels }
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{ name = "add parcels.pack" && kind = producer }'
      finish: '{ name = "process parcels" && event:name = "job completed" }'
      fail:   '{ name = "fail parcels" }'
      within: 5s
      correlate: [span.bullmq.job.id]
  grace: 3s
"#;

#[tokio::test]
async fn what_bullmq_s_workers_say_they_did_is_what_is_judged() {
    let broker = Broker::redis().await;
    let names = [("QUEUE", "parcels"), ("JOB", "pack")];
    let definitions = [PARCELS.trim_start(), &template("bullmq", &names)];
    let world = TestBench::start(&definitions.join("---\n"), &broker.url).await;
    let script = installs::node("bullmq").join("parcels.js");
    let client = |role| {
        let mut command = world.client("node");
        command.arg(&script).arg(role);
        command
    };
    let _worker = world.start_worker(client("work")).await;
    complete(client("order"));
    world.all_is_done(ORDERS, REMOVED).await;
    for slo in ["parcels", "bullmq-job"] {
        world
            .assert_each_verdict_is_the_journal_s(slo, "parcel")
            .await;
    }
}
