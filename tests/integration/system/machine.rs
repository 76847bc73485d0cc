//! A machine that fails: the service in this process, which a test can end in the middle of its work, by a
//! clock that the test drives.

use std::time::Duration;

use throughline::{clock::ManualClock, domain::model::counts::EventCounts};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::clock::open_with;
use crate::support::{api::Api, database::TestDatabase, workload::ORDERS};

/// The longest step that is no outage is ten seconds; senders have twenty to catch up.
pub(crate) const STEP: Duration = Duration::from_secs(9);

pub(crate) type Traces = Vec<[u8; 16]>;

pub(crate) fn traces(count: usize) -> Traces {
    (0..count).map(|_| rand::random()).collect()
}

/// A service on a runtime of its own, so that all that it does can end in the middle of it.
pub(crate) struct Machine {
    runtime: Option<Runtime>,
    pub(crate) api: Api,
    reads_kafka: bool,
}

impl Machine {
    /// With more flags.
    pub(crate) async fn start(
        database: &TestDatabase,
        clock: &ManualClock,
        flags: &[String],
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let database = TestDatabase {
            store: database.store.clone(),
            options: database.options.clone(),
        };
        let reads_kafka = flags.iter().any(|flag| flag.starts_with("--kafka"));
        let (clock, flags) = (clock.clone(), flags.to_vec());
        let (opened, is_open) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let definitions = tempfile::tempdir().unwrap();
            std::fs::write(definitions.path().join("orders.yaml"), ORDERS).unwrap();
            let (app, api) = open_with(&database, definitions.path(), &clock, &flags).await;
            opened.send(api).unwrap();
            app.run(CancellationToken::new()).await
        });
        let machine = Self {
            runtime: Some(runtime),
            api: is_open.await.expect("the service starts"),
            reads_kafka,
        };
        machine.settle().await;
        machine
    }

    /// In this order a false timeout would be found, judged and told.
    pub(crate) async fn settle(&self) {
        let kafka = self.reads_kafka.then_some("kafka");
        for name in kafka
            .into_iter()
            .chain(["heartbeat", "overdue", "evaluate"])
        {
            self.api.has_ticked(name).await;
        }
    }

    pub(crate) async fn assert_counts(&self, good: i64, timeout: i64) {
        let expected = EventCounts {
            good,
            timeout,
            ..EventCounts::ZERO
        };
        assert_eq!(self.api.counts("orders").await, expected);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) async fn transitions(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("select count(*) from alert_transitions")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap()
}
