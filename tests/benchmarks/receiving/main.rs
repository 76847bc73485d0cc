//! What receiving a span costs, as a multiple of taking its bytes and dropping them.
//!
//! Run with `cargo bench --bench receiving`, on Linux, where the kernel counts the CPU time of each
//! thread: all threads of this process are counted but those that send. Words after `--` select
//! lines of the table: `-- http plain none` runs those that hold all of them. Many send at once, as to
//! any receiver that is busy, so that requests share their commits. What one span in a hundred
//! costs Postgres is not counted, since the floor has none. Read the ratios, not the times: each is
//! the median of several rounds, in which the servers take turns. With `--features kafka` the same
//! requests are also read from a topic; `-- plain none` then compares all three ways.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

mod definitions;
mod floor;
mod load;
#[cfg(feature = "kafka")]
mod log_server;
#[path = "../support/mod.rs"]
mod support;

use std::{net::SocketAddr, path::Path, sync::Arc, thread, time::Duration};

use throughline::{
    clock::Clock,
    domain::{
        slo::Catalog,
        workflow::{
            Judging,
            classify::{Classifier, TimeLimits},
            shapes::SharedShapes,
            watermark::ReplicaId,
        },
    },
    ingest::{
        Ingest, IngestParts, grpc, http,
        receiver::Receiver,
        record::Recorder,
        server::{cors::AllowedOrigins, limits::ReceiverLimits},
    },
    recording::{Committer, KnownLocks, StageKeeper},
    store::{Store, Writer},
    telemetry::metrics::Metrics,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "kafka")]
use self::log_server::LogServer;
use self::{
    definitions::StagesWord,
    load::{Encoding, Load, Matching, Protocol, SPANS_A_REQUEST, Shipment},
    support::{Database, HORIZON, median, print_goal, unless_short},
};

const ROUNDS: u32 = 5;
const SENDERS: u32 = 16;
/// So many that a round takes about a second: what is done for a bounded number of spans in each second
/// (samples for `explain` and `discover`) has its share of a long load.
const REQUESTS_A_SENDER: u32 = 64;
/// The name of a thread that sends.
const SENDER: &str = "sender";
/// The thread of the brokers.
const BROKERS: &str = "rdk:mock";
const PROTOCOLS: &[Protocol] = &[
    Protocol::Http,
    Protocol::Grpc,
    #[cfg(feature = "kafka")]
    Protocol::Kafka,
];

fn main() {
    if !support::is_wanted() {
        return;
    }
    let runtime = runtime();
    let database = runtime.block_on(Database::start());
    println!(
        "CPU nanoseconds a span                     floor  100 SLOs 1000 SLOs  100/floor  1000/100"
    );
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    for scenario in scenarios() {
        let label = scenario.label();
        if wanted.iter().all(|word| label.contains(word.as_str())) {
            scenario.compare(&database);
        }
    }
    runtime.block_on(database.stop());
}

/// One line of the table.
struct Scenario {
    shipment: Shipment,
    stages: StagesWord,
}

fn scenarios() -> impl Iterator<Item = Scenario> {
    let stages = [StagesWord::None, StagesWord::Auto].into_iter();
    let shares = stages.flat_map(|stages| {
        [Matching::Nothing, Matching::OnePercent].map(|matching| (stages, matching))
    });
    shares.flat_map(|(stages, matching)| {
        let ways = [Encoding::Plain, Encoding::Gzip]
            .into_iter()
            .flat_map(|encoding| PROTOCOLS.iter().map(move |protocol| (*protocol, encoding)));
        ways.map(move |(protocol, encoding)| Scenario {
            shipment: Shipment {
                protocol,
                encoding,
                matching,
            },
            stages,
        })
    })
}

impl Scenario {
    fn label(&self) -> String {
        let Shipment {
            protocol,
            encoding,
            matching,
        } = self.shipment;
        format!(
            "{protocol:?} {encoding:?}, stages {:?}, {matching:?}",
            self.stages
        )
        .to_lowercase()
    }

    /// Lets the servers take turns, and prints the medians.
    fn compare(&self, database: &Database) {
        let now = Clock::System.now();
        let mut loads: Vec<_> = (0..SENDERS)
            .map(|number| Load::new(self.shipment, now, number))
            .collect();
        let servers = [
            Server::floor(),
            Server::with_slos(100, self, database),
            Server::with_slos(1_000, self, database),
        ];
        let mut nanos = [const { Vec::new() }; 3];
        let (mut to_floor, mut to_fewer) = (Vec::new(), Vec::new());
        for round in 0..=unless_short(ROUNDS, 1) {
            let spent = servers
                .each_ref()
                .map(|server| server.nanos_a_span(&mut loads));
            // The first one warms up.
            if round == 0 {
                continue;
            }
            to_floor.push(spent[1] / spent[0]);
            to_fewer.push(spent[2] / spent[1]);
            for (all, spent) in nanos.iter_mut().zip(spent) {
                all.push(spent);
            }
        }
        let [floor, hundred, thousand] = nanos.map(median);
        let (to_floor, to_fewer) = (median(to_floor), median(to_fewer));
        let label = self.label();
        println!(
            "{label:39} {floor:8.0} {hundred:9.0} {thousand:9.0} {to_floor:10.2} {to_fewer:9.2}"
        );
        #[cfg(feature = "kafka")]
        if let Way::Kafka(log) = &servers[1].way {
            let share = log.client_share();
            println!("  of it in threads of librdkafka: {share:.2} of what 100 SLOs take");
        }
        if let Some(goal) = self.shipment.goal() {
            let what = format!("CPU a span against dropping its bytes, {label}");
            print_goal(&what, to_floor, ..=goal);
            let what = format!("CPU a span with 1,000 SLOs against 100, {label}");
            print_goal(&what, to_fewer, ..=1.2);
        }
    }
}

struct Server {
    way: Way,
    _runtime: Runtime,
}

/// How spans come to a server.
enum Way {
    Otlp(SocketAddr),
    #[cfg(feature = "kafka")]
    Kafka(Box<LogServer>),
}

impl Server {
    fn floor() -> Self {
        let runtime = runtime();
        let listener = listen(&runtime);
        let address = listener.local_addr().unwrap();
        runtime.spawn(floor::serve(listener));
        Self {
            way: Way::Otlp(address),
            _runtime: runtime,
        }
    }

    /// The product's receiver with so many SLOs in force.
    fn with_slos(count: usize, scenario: &Scenario, database: &Database) -> Self {
        let runtime = runtime();
        let now = Clock::System.now();
        let name = format!("slos_{count}_{}", now.as_micros());
        let (door, store) = runtime.block_on(async {
            let store = database.create(&name, now).await;
            let catalog = definitions::catalog(count, scenario.stages);
            (door(&catalog, store.clone()).await, store)
        });
        let way = Way::to(&runtime, (door, store), scenario.shipment);
        Self {
            way,
            _runtime: runtime,
        }
    }

    /// Sends it one round, and counts what this process did beside sending.
    fn nanos_a_span(&self, loads: &mut [Load]) -> f64 {
        let spent = match &self.way {
            Way::Otlp(address) => send_all(*address, loads),
            #[cfg(feature = "kafka")]
            Way::Kafka(log) => log.read(loads),
        };
        spent.as_secs_f64() * 1e9 / f64::from(SENDERS * requests_a_sender() * SPANS_A_REQUEST)
    }
}

impl Way {
    /// To the product's consumer of spans.
    #[cfg_attr(
        not(feature = "kafka"),
        expect(unused_variables, reason = "only Kafka's positions are stored")
    )]
    fn to(runtime: &Runtime, (door, store): (Ingest, Store), shipment: Shipment) -> Self {
        let listener = listen(runtime);
        let address = listener.local_addr().unwrap();
        let never = std::future::pending();
        let limits = ReceiverLimits::default();
        match shipment.protocol {
            Protocol::Http => {
                let receiver = Receiver::new(door, limits);
                let origins = AllowedOrigins::default();
                runtime.spawn(http::serve(listener, receiver, origins, never));
            }
            Protocol::Grpc => {
                let receiver = Receiver::new(door, limits);
                runtime.spawn(grpc::serve(listener, receiver, never));
            }
            #[cfg(feature = "kafka")]
            Protocol::Kafka => {
                let log = LogServer::new(runtime, (door, store), shipment.encoding);
                return Self::Kafka(Box::new(log));
            }
        }
        Self::Otlp(address)
    }
}

fn requests_a_sender() -> u32 {
    unless_short(REQUESTS_A_SENDER, 1)
}

/// Sends one round, and returns what this process did beside.
fn send_all(to: SocketAddr, loads: &mut [Load]) -> Duration {
    let before = cpu_beside_sending();
    thread::scope(|scope| {
        for load in loads {
            let send = move || load.send(to, requests_a_sender());
            let sender = thread::Builder::new().name(SENDER.to_owned());
            sender.spawn_scoped(scope, send).unwrap();
        }
    });
    cpu_beside_sending().saturating_sub(before)
}

/// The product's door, with its recorder behind it.
async fn door(catalog: &Catalog, store: Store) -> Ingest {
    let names: Vec<_> = catalog.slos.keys().cloned().collect();
    let mut tx = store.begin("declare").await.unwrap();
    let ids = tx.declare(&names).await.unwrap();
    tx.commit().await.unwrap();
    // The senders may go: what was sent last stays in force.
    let (_, classifier) = watch::channel(Arc::new(Classifier::new(catalog, &ids)));
    let (_, watermark) = watch::channel(Clock::System.now());
    let stages = StageKeeper::new(store.clone(), classifier.clone(), ReplicaId(0));
    let metrics = Metrics::new().unwrap();
    let committer = Committer {
        store,
        writer: Writer(0),
        clock: Clock::System,
        classifier: classifier.clone(),
        watermark,
        catch_up: Duration::ZERO,
        stages: stages.clone(),
        locks: KnownLocks::default(),
    };
    let (recorder, recorder_loop) = Recorder::new(committer, metrics.recording.clone());
    #[expect(clippy::disallowed_methods, reason = "it ends with its runtime")]
    tokio::spawn(recorder_loop.run(CancellationToken::new()));
    learn_workflows(&stages).await;
    Ingest::new(IngestParts {
        classifier,
        recorder,
        clock: Clock::System,
        limits: TimeLimits {
            future: Duration::from_mins(1),
            horizon: HORIZON,
            skew: Judging::DEFAULT_SKEW_TOLERANCE,
        },
        metrics,
        shapes: SharedShapes::new(),
    })
}

/// As the product does in its first seconds.
async fn learn_workflows(stages: &StageKeeper) {
    let now = Clock::System.now();
    for later in [Duration::ZERO, Duration::from_secs(15)] {
        stages.tick(now + later).await.unwrap();
    }
}

fn runtime() -> Runtime {
    // A thread that ends takes its account with it.
    let forever = Duration::from_hours(1);
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(1).thread_keep_alive(forever);
    builder.enable_all().build().unwrap()
}

fn listen(runtime: &Runtime) -> TcpListener {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    runtime.block_on(TcpListener::bind(any)).unwrap()
}

/// The kernel's account: `/proc/self/task/<thread>/schedstat` begins with nanoseconds on a CPU.
fn cpu_beside_sending() -> Duration {
    cpu_of(|thread| thread != SENDER && thread != BROKERS)
}

fn cpu_of(is_counted: impl Fn(&str) -> bool) -> Duration {
    let read = |thread: &Path, file: &str| std::fs::read_to_string(thread.join(file)).ok();
    let nanos = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|thread| thread.unwrap().path())
        .filter(|thread| read(thread, "comm").is_some_and(|name| is_counted(name.trim_end())))
        .filter_map(|thread| read(&thread, "schedstat"))
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    Duration::from_nanos(nanos)
}
