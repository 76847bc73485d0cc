//! `throughline replay`: a part of the topic is read again, beside a service or into an empty database.

use std::{process::Output, time::Duration};

use nix::sys::signal::Signal;
use rdkafka::types::RDKafkaRespErr;
use serde_json::Value;
use sqlx::ConnectOptions as _;
use throughline::domain::model::{
    counts::EventCounts,
    time::{TimeRange, Timestamp},
};

use super::{Cluster, SpanLog, TOPIC, has_read, jumps::write_alone, lost::filler};
use crate::support::{
    database::TestDatabase,
    relay::Relay,
    service::{Site, program},
    workload::{ORDERS, Workload, now, placed as placed_at},
};

fn replay(log: &SpanLog, database: &TestDatabase, arguments: &[&str]) -> Output {
    let url = database.options.to_url_lossy();
    program()
        .args(["replay", "--output", "json", "--catch-up", "1s"])
        .args(["--kafka-brokers", &log.brokers])
        .env("DATABASE_URL", url.as_str())
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// What it reports, if it ended well.
fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How it refused.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn count(report: &Value, path: &str) -> u64 {
    report
        .pointer(path)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{path}: {report}"))
}

fn seconds_ago(seconds: u64) -> Timestamp {
    now() - Duration::from_secs(seconds)
}

/// Where the service goes on reading, and up to when it has heard everything.
async fn positions(database: &TestDatabase) -> Vec<(i32, Option<i64>)> {
    sqlx::query_as("select partition, next_offset from kafka_partitions order by partition")
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_was_counted_already_changes_nothing_and_the_service_reads_on() {
    let (cluster, database) = (Cluster::new(3), TestDatabase::create().await);
    let site = cluster.site(&database);
    let service = site.start().await;
    let workload = Workload::of(300, 1);
    let messages = workload.requests.len();
    let from = seconds_ago(1).to_rfc3339();
    cluster.write(&workload.requests).await;
    service.api.counts_become("orders", workload.expected).await;
    has_read(&service.api, messages).await;
    service.api.has_ticked("kafka").await;
    let before = positions(&database).await;

    let replayed = report(&replay(&cluster, &database, &["--from", &from]));
    assert_eq!(count(&replayed, "/messages/committed"), messages as u64);
    assert!(count(&replayed, "/spans") >= 300, "{replayed}");
    assert_eq!(count(&replayed, "/workflows/new"), 0);
    assert_eq!(count(&replayed, "/workflows/changed"), 0);
    assert!(
        count(&replayed, "/workflows/unchanged") >= 300,
        "{replayed}"
    );

    service.api.has_ticked("overdue").await;
    assert_eq!(service.api.counts("orders").await, workload.expected);
    assert_eq!(positions(&database).await, before);
    // Nothing was taken from it meanwhile, so it has read nothing twice.
    cluster.write(&Workload::good(5, 2).requests).await;
    let read = "throughline_kafka_messages_total{result=\"committed\"}";
    has_read(&service.api, messages + 5).await;
    let read = service.api.metric(read).await;
    assert_eq!(read, Some(f64::from(u32::try_from(messages + 5).unwrap())));
}

/// The service removes attributes of all but a sample of events, and a replay begins with a sample of its own.
#[tokio::test]
async fn workflows_that_were_all_there_are_unchanged_though_their_sample_was_trimmed() {
    let (cluster, database) = (Cluster::new(2), TestDatabase::create().await);
    let site = cluster.site(&database);
    let service = site.start().await;
    // Starts and ends come in different messages, in an order of no sense.
    let workload = Workload::of(1_500, 8);
    let from = seconds_ago(1).to_rfc3339();
    cluster.write(&workload.requests).await;
    service.api.counts_become("orders", workload.expected).await;
    has_read(&service.api, workload.requests.len()).await;
    let mut tx = database.store.begin("trim the sample").await.unwrap();
    let today = TimeRange::new(seconds_ago(7_200), now());
    let trimmed = tx.trim_samples(today).await.unwrap();
    tx.commit().await.unwrap();
    assert!(trimmed > 0);

    let replayed = report(&replay(&cluster, &database, &["--from", &from]));
    assert_eq!(count(&replayed, "/workflows/new"), 0);
    assert_eq!(count(&replayed, "/workflows/changed"), 0, "{replayed}");
    assert!(
        count(&replayed, "/workflows/unchanged") >= 1_500,
        "{replayed}"
    );
    assert_eq!(service.api.counts("orders").await, workload.expected);
}

#[tokio::test]
async fn what_the_database_lacks_is_added() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = cluster.site(&database);
    let service = site.start().await;
    let workload = Workload::of(200, 3);
    let (kept, lost) = workload.requests.split_at(workload.requests.len() / 2);
    let from = seconds_ago(1).to_rfc3339();
    cluster.write(kept).await;
    has_read(&service.api, kept.len()).await;
    service.signal(Signal::SIGTERM);
    service.ended().await;
    // As if the second half had been recorded, and lost with its rows.
    cluster.write(lost).await;
    sqlx::query("update kafka_partitions set next_offset = $1")
        .bind(i64::try_from(workload.requests.len()).unwrap())
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let service = site.start().await;
    service.api.has_ticked("overdue").await;
    assert_ne!(service.api.counts("orders").await, workload.expected);

    let repaired = report(&replay(&cluster, &database, &["--from", &from]));
    assert!(count(&repaired, "/workflows/changed") > 0, "{repaired}");
    service.api.counts_become("orders", workload.expected).await;
    let again = report(&replay(&cluster, &database, &["--from", &from]));
    assert_eq!(count(&again, "/workflows/new"), 0);
    assert_eq!(count(&again, "/workflows/changed"), 0);
}

#[tokio::test]
async fn a_backtest_counts_what_the_service_has_counted_and_by_other_definitions_what_it_would_have()
 {
    let (cluster, database) = (Cluster::new(3), TestDatabase::create().await);
    let workload = Workload::of(300, 5);
    // All of its spans ended a minute ago.
    let began = seconds_ago(58);
    let messages = u32::try_from(workload.requests.len()).unwrap();
    cluster
        .write_at(&workload.requests, |nth| {
            began + Duration::from_secs(20) * nth / messages
        })
        .await;
    let site = cluster.site(&database);
    let service = site.start().await;
    service.api.counts_become("orders", workload.expected).await;

    let patient = ORDERS.replace("within: 1m", "within: 130s");
    let by_patience = EventCounts {
        good: workload.expected.good + workload.expected.late,
        late: 0,
        ..workload.expected
    };
    for (definitions, expected) in [(ORDERS, workload.expected), (&patient, by_patience)] {
        let empty = TestDatabase::create().await;
        let viewer = Site::on(&empty, definitions);
        let folder = viewer.definitions_folder();
        let arguments = ["--from", &began.to_rfc3339(), "--backtest", &folder];
        let counted = report(&replay(&cluster, &empty, &arguments));
        assert_eq!(count(&counted, "/messages/committed"), u64::from(messages));
        assert_eq!(count(&counted, "/workflows/new"), 300);
        let service = viewer.start().await;
        assert_eq!(service.api.counts("orders").await, expected);
    }
}

#[tokio::test]
async fn a_backtest_up_to_a_time_judges_nothing_after_it() {
    let (cluster, database) = (Cluster::new(2), TestDatabase::create().await);
    let placed = now() - Duration::from_mins(10);
    let orders = placed_at(20, placed);
    cluster.write_at(&orders, |_| placed).await;
    let site = Site::on(&database, ORDERS);
    let folder = site.definitions_folder();
    let from = (placed - Duration::from_secs(1)).to_rfc3339();
    let to = (placed + Duration::from_secs(30)).to_rfc3339();
    let arguments = ["--from", &from, "--to", &to, "--backtest", &folder];
    report(&replay(&cluster, &database, &arguments));
    let service = site.start().await;
    for name in ["heartbeat", "overdue"] {
        service.api.has_ticked(name).await;
    }
    // Whether they ended was not read.
    let unknown = EventCounts {
        evidence_lost: 20,
        ..EventCounts::ZERO
    };
    service.api.counts_become("orders", unknown).await;
}

#[tokio::test]
async fn what_was_removed_from_the_topic_is_said() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = Site::on(&database, ORDERS);
    let folder = site.definitions_folder();
    let from = seconds_ago(5).to_rfc3339();
    cluster.write(&Workload::good(3, 1).requests).await;
    cluster.write(&filler()).await;
    let arguments = ["--from", &from, "--backtest", &folder];
    let counted = report(&replay(&cluster, &database, &arguments));
    assert_eq!(count(&counted, "/gaps/0/partition"), 0);
    assert!(
        count(&counted, "/gaps/0/removed_messages") >= 3,
        "{counted}"
    );
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_and_leaves_an_empty_database_empty() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = Site::on(&database, ORDERS);
    let folder = site.definitions_folder();
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--backtest", &folder]].concat();
        refusal(&replay(&cluster, &database, &arguments))
    };
    let (past, earlier) = (seconds_ago(600).to_rfc3339(), seconds_ago(900).to_rfc3339());
    let future = (now() + Duration::from_hours(1)).to_rfc3339();
    assert!(run(&["--from", &past]).contains("topic `otlp_spans` holds no messages"));
    let written = seconds_ago(700);
    let orders = Workload::good(3, 1).requests;
    cluster.write_at(&orders, |_| written).await;
    let said = run(&["--from", &past]);
    let last = written.to_rfc3339();
    assert!(
        said.contains(&format!("the last one is of {last}")),
        "{said}"
    );
    assert!(run(&["--from", &future]).contains("is in the future"));
    assert!(run(&["--from", &past, "--to", &earlier]).contains("is not after `--from`"));
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.mock.topic_error(TOPIC, error).unwrap();
    assert!(run(&["--from", &earlier]).contains("topic `otlp_spans` does not exist"));
    cluster
        .mock
        .topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
        .unwrap();

    let of_nobody = refusal(&replay(&cluster, &database, &["--from", &earlier]));
    assert!(
        of_nobody.contains("no service has run on the database"),
        "{of_nobody}"
    );
    let service = site.start().await;
    service.api.has_ticked("heartbeat").await;
    let occupied = run(&["--from", &earlier]);
    assert!(occupied.contains("is that of a service"), "{occupied}");
}

#[tokio::test]
async fn a_producer_whose_clock_is_ahead_ends_no_partition() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    service.api.has_ticked("heartbeat").await;
    let (began, ahead) = (seconds_ago(60), now() + Duration::from_hours(1));
    let orders = Workload::good(40, 9).requests;
    let messages = orders.len() as u64;
    cluster
        .write_at(&orders, |nth| if nth == 7 { ahead } else { began })
        .await;
    let (from, to) = (began.to_rfc3339(), seconds_ago(0).to_rfc3339());
    let bounded = report(&replay(
        &cluster,
        &database,
        &["--from", &from, "--to", &to],
    ));
    assert_eq!(count(&bounded, "/messages/committed"), messages - 1);
    let all = report(&replay(&cluster, &database, &["--from", &from]));
    assert_eq!(count(&all, "/messages/committed"), messages);
}

#[tokio::test]
async fn messages_that_a_broker_leaves_out_are_replayed_too() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    service.api.has_ticked("heartbeat").await;
    let from = seconds_ago(1).to_rfc3339();
    let orders = Workload::good(40, 10).requests;
    write_alone(&cluster, &orders).await;
    let relay = Relay::to(&cluster.brokers).await;
    let brokers = relay.brokers.clone();
    let log = SpanLog {
        brokers,
        partitions: 1,
    };
    relay.left_out.times(1, [7, 20, 21, 22]);
    relay.left_out.times(2, [38]);
    // The program blocks this thread, and the relay needs one.
    let replaying = tokio::task::spawn_blocking(move || {
        let output = replay(&log, &database, &["--from", &from]);
        (output, database)
    });
    let (output, _database) = replaying.await.unwrap();
    let replayed = report(&output);
    assert_eq!(
        count(&replayed, "/messages/committed"),
        orders.len() as u64,
        "{replayed}"
    );
    // How often depends on how far librdkafka was ahead when the first one was missed.
    assert!(
        count(&replayed, "/offset_jumps/recovered") >= 1,
        "{replayed}"
    );
}
