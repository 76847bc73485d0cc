//! Celery on Redis, by `opentelemetry-instrumentation-celery`.

use super::{Running, TestBench, complete, template};
use crate::support::{broker::Broker, installs::sources};

/// As `shop.py` places them, and of these those whose worker dies.
const ORDERS: usize = 39;
const LOST: usize = 1;

/// A task is published once more for each retry, and an attempt that retries is no error: only its
/// state tells what it was.
const TASKS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: tasks }
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{ kind = producer && name =~ "apply_async/parcel[.].*" }'
      finish: '{ kind = consumer && name =~ "run/parcel[.].*" && span.celery.state = "SUCCESS" }'
      fail:   '{ kind = consumer && name =~ "run/parcel[.].*" && span.celery.state = "FAILURE" }'
      within: 5s
      correlate: [span.messaging.message.id]
  grace: 3s
"#;

/// A chain: each task publishes the next from within its own span.
const CHECKOUTS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: checkouts }
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{ kind = producer && name = "apply_async/checkout.reserve" }'
      finish: '{ name = "run/checkout.ship" && span.celery.state = "SUCCESS" }'
      fail:   '{ name =~ "run/checkout[.].*" && span.celery.state = "FAILURE" }'
      within: 5s
      correlate: [trace]
  grace: 3s
"#;

/// The template for tasks of one name, for all of these.
fn of_template() -> String {
    let edits = [
        (r#"= "apply_async/TASK""#, r#"=~ "apply_async/parcel[.].*""#),
        (r#"= "run/TASK""#, r#"=~ "run/parcel[.].*""#),
    ];
    template("celery", &edits)
}

async fn world(
    definitions: &str,
    broker: &Broker,
    variables: &[(&str, &str)],
) -> (TestBench, Running) {
    let world = TestBench::start(definitions, &broker.url).await;
    let client = || {
        let mut command = world.python("celery");
        command.current_dir(sources("celery"));
        command.envs(variables.iter().copied());
        command
    };
    let mut worker = client();
    worker.args(["-m", "celery", "--app", "shop", "worker"]);
    worker.args(["--concurrency", "3", "--loglevel", "CRITICAL"]);
    let worker = world.start_worker(worker).await;
    let mut customer = client();
    customer.arg("shop.py");
    complete(customer);
    world.all_is_done(ORDERS, LOST).await;
    (world, worker)
}

#[tokio::test]
async fn what_celery_s_workers_say_they_did_is_what_is_judged() {
    let broker = Broker::redis().await;
    let definitions = [TASKS.trim_start(), CHECKOUTS.trim_start(), &of_template()];
    let definitions = definitions.join("---\n");
    let (world, _worker) = world(&definitions, &broker, &[]).await;
    world
        .assert_each_verdict_is_the_journal_s("tasks", "parcel")
        .await;
    world
        .assert_each_verdict_is_the_journal_s("celery-task", "parcel")
        .await;
    world
        .assert_counts_are_the_journal_s("checkouts", "checkout")
        .await;
}

/// With links, every attempt is a trace of its own: only the id of the task holds them together.
#[tokio::test]
async fn celery_tasks_that_are_linked_and_not_children_are_judged_the_same() {
    let broker = Broker::redis().await;
    let (world, _worker) = world(TASKS, &broker, &[("SPAN_LINKS", "1")]).await;
    world
        .assert_each_verdict_is_the_journal_s("tasks", "parcel")
        .await;
}
