//! A machine whose clock jumps: nothing may be called late because of it.

use std::{path::Path, time::Duration};

use clap::Parser;
use sqlx::ConnectOptions as _;
use tempfile::TempDir;
use throughline::{
    app::{App, database::Database},
    clock::{Clock, ManualClock},
    config::{Config, Environment},
    domain::model::{counts::EventCounts, time::Timestamp},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{
    api::{Api, client},
    database::TestDatabase,
    workload::{ORDERS, now, send},
};

const HOUR: Duration = Duration::from_hours(1);
/// The longest step that is no outage is ten seconds.
const STEP: Duration = Duration::from_secs(9);

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// The service in this process, by a clock that the test drives, not yet run.
async fn open(database: &TestDatabase, definitions: &Path, clock: &ManualClock) -> (App, Api) {
    open_with(database, definitions, clock, &[]).await
}

/// With more flags.
pub(crate) async fn open_with(
    database: &TestDatabase,
    definitions: &Path,
    clock: &ManualClock,
    flags: &[String],
) -> (App, Api) {
    let url = database.options.to_url_lossy();
    let common = [
        "test",
        "--definitions",
        definitions.to_str().unwrap(),
        "--database-url",
        url.as_str(),
        "--otlp-grpc-listen=127.0.0.1:0",
        "--otlp-http-listen=127.0.0.1:0",
        "--listen=127.0.0.1:0",
        "--catch-up=20s",
        "--evaluation-interval=500ms",
    ];
    let flags = common.into_iter().chain(flags.iter().map(String::as_str));
    let config = Flags::parse_from(flags).config;
    let opened = Database::open(&config.database, &Environment::read()).await;
    let app = App::start(config, opened.unwrap(), Clock::Manual(clock.clone())).await;
    let app = app.unwrap();
    let addresses = app.addresses().unwrap();
    let api = Api {
        client: client(),
        grpc: format!("http://{}", addresses.otlp_grpc),
        http: format!("http://{}", addresses.otlp_http),
        pages: format!("http://{}", addresses.pages),
    };
    (app, api)
}

/// One that runs.
struct TestBench {
    clock: ManualClock,
    api: Api,
    shutdown: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
    _definitions: TempDir,
}

impl TestBench {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let definitions = tempfile::tempdir().unwrap();
        std::fs::write(definitions.path().join("orders.yaml"), ORDERS).unwrap();
        let clock = ManualClock::new(now());
        let (app, api) = open(&database, definitions.path(), &clock).await;
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(app.run(shutdown.clone()));
        let world = Self {
            clock,
            api,
            shutdown,
            running,
            _definitions: definitions,
        };
        world.settle().await;
        world
    }

    /// Sets the clock and waits until the service has acted on it.
    async fn jump_to(&self, now: Timestamp) {
        self.clock.set(now);
        self.settle().await;
    }

    /// A sign of life first, since it moves the deadlines that are then looked at.
    async fn settle(&self) {
        self.api.has_ticked("heartbeat").await;
        self.api.has_ticked("overdue").await;
    }

    async fn send(&self, name: &str, traces: &[[u8; 16]]) {
        let api = &self.api;
        send(api, name, traces, self.clock.now()).await;
    }

    async fn assert_counts(&self, good: i64, timeout: i64) {
        let expected = EventCounts {
            good,
            timeout,
            ..EventCounts::ZERO
        };
        assert_eq!(self.api.counts("orders").await, expected);
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = self.running.join_next().await.unwrap().unwrap();
        ended.expect("it ends well");
    }
}

fn traces() -> [[u8; 16]; 10] {
    std::array::from_fn(|_| rand::random())
}

#[tokio::test]
async fn a_clock_that_jumps_forward_times_nothing_out_until_senders_had_their_time() {
    let world = TestBench::start().await;
    let orders = traces();
    world.send("order placed", &orders).await;
    world.jump_to(world.clock.now() + HOUR).await;
    world.assert_counts(0, 0).await;
    world.jump_to(world.clock.now() + STEP).await;
    world.jump_to(world.clock.now() + STEP).await;
    world.assert_counts(0, 0).await;
    world.jump_to(world.clock.now() + STEP).await;
    world.assert_counts(0, 10).await;
    world.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_back_breaks_nothing() {
    let world = TestBench::start().await;
    let (first, second) = (traces(), traces());
    world.send("order placed", &first).await;
    world.jump_to(world.clock.now() - HOUR).await;
    world.assert_counts(0, 0).await;
    world.send("order placed", &second).await;
    world.send("order confirmed", &second).await;
    world.assert_counts(10, 0).await;
    world.jump_to(world.clock.now() + HOUR).await;
    world.send("order confirmed", &first).await;
    world.assert_counts(20, 0).await;
    world.stop().await;
}
