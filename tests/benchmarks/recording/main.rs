//! How many events and workflows a second are made durable, as a share of what the same Postgres
//! takes by the barest `INSERT` there is: one row per event, one unique key.
//!
//! Run with `cargo bench --bench recording`, for some kinds of work alone with their names after it:
//! `-- workflows stages`. Both take turns, so read the shares (medians over the rounds), not the rates.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

mod lane;
mod load;
#[path = "../consuming/postgres_cpu.rs"]
mod postgres_cpu;
#[path = "../evaluating/process_cpu.rs"]
mod process_cpu;
#[path = "../support/mod.rs"]
mod support;

use sqlx::{ConnectOptions as _, PgConnection};
use throughline::{clock::Clock, evaluate::index_workflows::SearchIndexer, store::Writer};
use tokio::{task::JoinSet, time::Instant};

use self::{
    lane::{CREATE_RAW, Lane, Work},
    load::{Kind, Load, Shape},
    postgres_cpu::PostgresCpu,
    process_cpu::cpu_seconds,
    support::{Database, median, print_goal, unless_short},
};

const ROUNDS: usize = 9;
/// Spans, or rows, of one transaction.
const BATCH: usize = 10_000;
/// Evidence that only links can tell is placed in lots of half as many pieces.
const BATCH_OF_LINKS: usize = 5_000;
const BATCHES_A_ROUND: usize = 6;
/// Transactions where senders send a little at a time.
const SMALL: Batches = Batches {
    spans: 64,
    a_round: 100,
};
/// Those of one request of a collector.
const MEDIUM: Batches = Batches {
    spans: 512,
    a_round: 60,
};
const IN_FLIGHT: usize = 1_000_000;
/// Filling takes a lock that all wait for.
const IN_FLIGHT_BY_LINKS: usize = 100_000;

fn main() {
    if !support::is_wanted() {
        return;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    let database = Database::start().await;
    println!("connections, work       raw/s     ours/s  share   bytes of WAL each: raw, ours");
    for kind in Kind::ALL.into_iter().filter(|kind| is_asked_for(*kind)) {
        let mut rates = Vec::new();
        for connections in [1, 2] {
            let mut bench = Bench::new(&database, connections, kind).await;
            bench.fill().await;
            let rate = bench.compare().await;
            if kind == Kind::Workflows {
                bench.compare_small(SMALL).await;
                bench.compare_small(MEDIUM).await;
                bench.compare_finishes().await;
                bench.index(1.0 / rate).await;
            }
            rates.push(rate);
        }
        if kind == Kind::Links {
            let what = "durable workflows by links, two writers against one";
            print_goal(what, rates[1] / rates[0], 1.7..);
        }
    }
    database.stop().await;
}

/// All are, unless some are named.
fn is_asked_for(kind: Kind) -> bool {
    let arguments = std::env::args().skip(1);
    let named: Vec<String> = arguments.filter(|name| !name.starts_with('-')).collect();
    named.is_empty() || named.iter().any(|name| name == kind.as_str())
}

/// Transactions that are measured together.
#[derive(Clone, Copy)]
struct Batches {
    spans: usize,
    a_round: usize,
}

/// One database, and the connections that write into it at once.
struct Bench {
    shape: Shape,
    batch: usize,
    lanes: Vec<Lane>,
    observer: PgConnection,
}

/// What a round has shown.
struct Round {
    per_second: f64,
    wal_bytes: f64,
}

impl Bench {
    async fn new(database: &Database, connections: u32, kind: Kind) -> Self {
        let now = Clock::System.now();
        let (in_flight, batch) = match kind {
            Kind::Events => (0, BATCH),
            Kind::Workflows | Kind::Stages => (IN_FLIGHT, BATCH),
            Kind::Links => (IN_FLIGHT_BY_LINKS, BATCH_OF_LINKS),
        };
        let in_flight = in_flight / unless_short(1, 100) / connections as usize;
        let shape = Shape { kind, in_flight };
        let name = format!("recording_{}", now.as_micros());
        let store = database.create(&name, now).await;
        let options = database.options.clone().database(&name);
        let mut observer = options.connect().await.unwrap();
        sqlx::raw_sql(CREATE_RAW)
            .execute(&mut observer)
            .await
            .unwrap();
        let mut lanes = Vec::new();
        for number in 0..connections {
            let connection = options.connect().await.unwrap();
            lanes.push(Lane {
                connection,
                store: store.clone(),
                writer: Writer(i16::try_from(number).unwrap()),
                now,
                load: Load::new(shape, number, now),
                batch,
                next_raw: u64::from(number) << 32,
            });
        }
        Self {
            shape,
            batch,
            lanes,
            observer,
        }
    }

    /// Starts workflows until enough are in flight.
    async fn fill(&mut self) {
        if self.shape.in_flight > 0 {
            let began = Instant::now();
            self.run(Work::Fill).await;
            let count = self.shape.in_flight * self.lanes.len();
            println!(
                "{}, start {count} workflows: {:.0}/s; memory of this process: {} MiB",
                self.lanes.len(),
                per_second(count, began),
                resident_mib()
            );
        }
    }

    /// Returns how many events or workflows are durable in a second.
    async fn compare(&mut self) -> f64 {
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        let batches = BATCHES_A_ROUND;
        for round in 0..=unless_short(ROUNDS, 1) {
            let bare = self.round(Work::Raw { batches }).await;
            let full = self.round(Work::Ours { batches }).await;
            // The first one warms up.
            if round > 0 {
                raw.push(bare);
                ours.push(full);
            }
        }
        let shares = raw.iter().zip(&ours);
        let share = median(
            shares
                .map(|(raw, ours)| ours.per_second / raw.per_second)
                .collect(),
        );
        let rate = |rounds: &[Round]| median(rounds.iter().map(|r| r.per_second).collect());
        let wal = |rounds: &[Round]| median(rounds.iter().map(|r| r.wal_bytes).collect());
        println!(
            "{}, {:17} {:9.0} {:10.0} {:5.0}% {:18.0}, {:.0}",
            self.lanes.len(),
            self.shape.kind.as_str(),
            rate(&raw),
            rate(&ours),
            share * 100.0,
            wal(&raw),
            wal(&ours)
        );
        if let Some(goal) = self.shape.kind.goal() {
            let what = format!(
                "durable {} against the plain INSERT, {} connections",
                self.shape.kind.as_str(),
                self.lanes.len()
            );
            print_goal(&what, share, goal..);
        }
        rate(&ours)
    }

    /// Compares transactions of few spans with the plain `INSERT` of many rows.
    async fn compare_small(&mut self, small: Batches) {
        let (mut shares, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..unless_short(ROUNDS, 1) {
            self.set_batch(BATCH);
            let batches = BATCHES_A_ROUND;
            let raw = self.round(Work::Raw { batches }).await;
            self.set_batch(small.spans);
            let batches = unless_short(small.a_round, 1);
            let ours = self.round(Work::Ours { batches }).await;
            shares.push(ours.per_second / raw.per_second);
            rates.push(ours.per_second);
        }
        let (spans, connections) = (small.spans, self.lanes.len());
        println!(
            "{connections}, workflows, {spans} spans a transaction: {:.0}/s",
            median(rates)
        );
        let what = format!(
            "durable workflows against the plain INSERT, {spans} spans a transaction, {connections} connections"
        );
        let goal = if spans == SMALL.spans { 0.25 } else { 0.4 };
        print_goal(&what, median(shares), goal..);
    }

    /// Compares the CPU time of finishes with that of as many starts, PostgreSQL included.
    async fn compare_finishes(&mut self) {
        let postgres = PostgresCpu::find(&mut self.observer).await;
        let spent = || [cpu_seconds(std::process::id()), postgres.seconds()];
        self.set_batch(MEDIUM.spans);
        let (batches, rounds) = (unless_short(MEDIUM.a_round, 1), unless_short(ROUNDS, 1));
        let (mut start, mut finish) = ([0.0; 2], [0.0; 2]);
        for _ in 0..rounds {
            for (work, sum) in [
                (Work::Starts { batches }, &mut start),
                (Work::Finishes { batches }, &mut finish),
            ] {
                let before = spent();
                self.run(work).await;
                let after = spent();
                *sum = std::array::from_fn(|n| sum[n] + after[n] - before[n]);
            }
        }
        let count = to_float(MEDIUM.spans * batches * rounds * self.lanes.len());
        for (what, [ours, of_postgres]) in [("start", start), ("finish", finish)] {
            println!(
                "{}, CPU of a {what}: {:.1} us, and {:.1} us of PostgreSQL",
                self.lanes.len(),
                ours / count * 1e6,
                of_postgres / count * 1e6
            );
        }
        let ratio = finish.iter().sum::<f64>() / start.iter().sum::<f64>();
        let what = format!(
            "CPU of a finish against a start, {} spans a transaction, {} connections",
            MEDIUM.spans,
            self.lanes.len()
        );
        print_goal(&what, ratio, ..=1.3);
    }

    fn set_batch(&mut self, spans: usize) {
        self.batch = spans;
        self.lanes.iter_mut().for_each(|lane| lane.batch = spans);
    }

    /// What the search costs besides, which is written behind the replies: the queue of all workflows
    /// is emptied by one connection. `each` is what recording one workflow takes.
    async fn index(&mut self, each: f64) {
        let count = "select coalesce(sum(cardinality(keys)), 0)::float8 from search_queue";
        let queued: f64 = sqlx::query_scalar(count)
            .fetch_one(&mut self.observer)
            .await
            .unwrap();
        let store = self.lanes[0].store.clone();
        let indexer = SearchIndexer { store };
        let began = Instant::now();
        while indexer.tick().await.unwrap().transactions > 0 {}
        let took = began.elapsed().as_secs_f64() / queued;
        println!(
            "{}, search of {queued} workflows: {:.1} us each, {:.0}% of recording one",
            self.lanes.len(),
            took * 1e6,
            took / each * 100.0
        );
    }

    async fn round(&mut self, work: Work) -> Round {
        let wal_before = self.wal_position().await;
        let began = Instant::now();
        self.run(work).await;
        let (each, batches) = match work {
            Work::Raw { batches } | Work::Starts { batches } | Work::Finishes { batches } => {
                (self.batch, batches)
            }
            Work::Ours { batches } => (self.lanes[0].load.yields(self.batch), batches),
            Work::Fill => (self.batch, BATCHES_A_ROUND),
        };
        let count = each * batches * self.lanes.len();
        Round {
            per_second: per_second(count, began),
            wal_bytes: (self.wal_position().await - wal_before) / to_float(count),
        }
    }

    /// All connections do the same at once.
    async fn run(&mut self, work: Work) {
        let mut running: JoinSet<_> = self.lanes.drain(..).map(|lane| lane.run(work)).collect();
        while let Some(lane) = running.join_next().await {
            self.lanes.push(lane.unwrap());
        }
    }

    async fn wal_position(&mut self) -> f64 {
        sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8")
            .fetch_one(&mut self.observer)
            .await
            .unwrap()
    }
}

fn per_second(count: usize, began: Instant) -> f64 {
    to_float(count) / began.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a small count")]
fn to_float(count: usize) -> f64 {
    count as f64
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1_024
}
