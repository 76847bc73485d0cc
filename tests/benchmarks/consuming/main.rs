//! What the partitioning of a Kafka topic costs: two replicas of the real program read the same workflows,
//! whose spans are all in one partition, or in any.
//!
//! Run with `cargo bench --bench consuming --features kafka`; a number after `--` is that of the workflows
//! of a round. The brokers are those that librdkafka brings along. Read the ratios, not the times: both
//! topics take turns, and the figures are medians.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

mod postgres_cpu;
#[path = "../stalling/service.rs"]
#[expect(dead_code, reason = "this one sends nothing by HTTP")]
mod service;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "this one migrates by itself")]
mod support;
mod topic;

use std::{thread, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::{runtime::Runtime, time::Instant};

use self::{
    postgres_cpu::PostgresCpu,
    service::Service,
    support::{Database, median, unless_short},
    topic::{Topic, TopicKeys},
};

const ROUNDS: usize = 3;
const WORKFLOWS: usize = 50_000;
/// How long two consumers take to share the partitions.
const SHARED_WITHIN: Duration = Duration::from_secs(10);
const ORDERS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99.5%
  window: 30d
  indicator:
    workflow:
      start:  '{ name = "order placed" }'
      finish: '{ name = "order confirmed" }'
      within: 1h
      correlate: [trace]
      stages: none
  notify: {}
"#;

/// What one round has cost.
struct Round {
    postgres_secs: f64,
    conflicts: f64,
    took_secs: f64,
}

fn main() {
    if !support::is_wanted() {
        return;
    }
    let named = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let workflows = named.unwrap_or(unless_short(WORKFLOWS, 500));
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(Database::start());
    let mut rounds = [const { Vec::new() }; 2];
    for nth in 0..unless_short(ROUNDS, 1) {
        for (keys, all) in TopicKeys::ALL.into_iter().zip(&mut rounds) {
            let name = format!("consuming_{nth}_{}", keys.as_str());
            all.push(read(&runtime, &database, (&name, keys), workflows));
        }
    }
    println!("of a million spans   Postgres, CPU s   conflicts     s");
    for (keys, rounds) in TopicKeys::ALL.into_iter().zip(&rounds) {
        let of = |value: fn(&Round) -> f64| {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let spans = (workflows * 2) as f64;
            median(rounds.iter().map(value).collect()) * 1e6 / spans
        };
        println!(
            "{:20} {:15.1} {:11.0} {:5.1}",
            keys.as_str(),
            of(|round| round.postgres_secs),
            of(|round| round.conflicts),
            of(|round| round.took_secs)
        );
    }
    runtime.block_on(database.stop());
}

/// Two replicas with a database of their own read all spans.
fn read(
    runtime: &Runtime,
    database: &Database,
    (name, keys): (&str, TopicKeys),
    workflows: usize,
) -> Round {
    let options = database.options.clone();
    let cpu = runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        let statement = AssertSqlSafe(format!("create database {name}"));
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .unwrap();
        PostgresCpu::find(&mut connection).await
    });
    let topic = Topic::new();
    let url = options.database(name).to_url_lossy().to_string();
    let flags = ["--kafka-brokers", topic.brokers()];
    let replicas = [(); 2].map(|()| Service::start(ORDERS, Some(&url), &flags));
    thread::sleep(SHARED_WITHIN);
    let (before, began) = (cpu.seconds(), Instant::now());
    topic.write(workflows, keys);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let messages = (workflows * 2) as f64;
    let sum = |sample: &str| -> f64 { replicas.iter().map(|one| metric(one, sample)).sum() };
    while sum("throughline_kafka_messages_total{result=\"committed\"}") < messages {
        thread::sleep(Duration::from_millis(50));
    }
    let round = Round {
        postgres_secs: cpu.seconds() - before,
        conflicts: sum("throughline_recording_conflicts_total"),
        took_secs: began.elapsed().as_secs_f64(),
    };
    replicas.into_iter().for_each(Service::stop);
    round
}

fn metric(replica: &Service, sample: &str) -> f64 {
    let (text, _) = replica.get("/metrics");
    let value = text.lines().find_map(|line| line.strip_prefix(sample));
    value.unwrap().trim().parse().unwrap()
}
