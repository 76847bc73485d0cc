//! Many alerts and many targets on a Postgres of their own, in time that is driven.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    str::FromStr as _,
    time::Duration,
};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use throughline::{
    deliver::{AddressPolicy, DeliverSettings, Deliverer, Dispatcher},
    domain::model::{
        ids::{Name, SloId},
        time::Timestamp,
    },
    evaluate::{Evaluator, EvaluatorSettings},
    postgres::{EmbeddedServer, PostgresSettings},
};

use super::sink::{Sink, TIMEOUT, Taken};
use crate::support::{api::until, app::TestApp, database::TestDatabase};

pub(super) struct Crowd {
    pub(super) app: TestApp,
    pub(super) server: EmbeddedServer,
    pub(super) slos: BTreeMap<Name, SloId>,
    pub(super) sinks: Vec<(String, Sink)>,
    options: PgConnectOptions,
    _home: TempDir,
}

/// What the outbox says of one delivery.
#[derive(Debug, sqlx_macros::FromRow)]
struct Row {
    ordering_key: String,
    version: i64,
    state: String,
    attempts: i32,
    /// Tries of which the end is on record, and known.
    known: i64,
    latency_secs: f64,
}

/// What became of all that one target was to be told.
#[derive(Debug)]
#[expect(dead_code, reason = "some of it is only printed")]
pub(super) struct Account {
    pub(super) told: usize,
    pub(super) repeats: usize,
    pub(super) tries: i64,
    pub(super) median_secs: f64,
    pub(super) worst_secs: f64,
}

impl Crowd {
    /// As many SLOs as `notify` has lists of targets, each of which is told of its SLO's pages.
    pub(super) async fn gather(sinks: Vec<(String, Sink)>, notify: &[Vec<&str>]) -> Self {
        let home = tempfile::tempdir().unwrap();
        // A Postgres that is started by root belongs to another account, which must come in.
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let server = EmbeddedServer::start(&PostgresSettings::keep(home.path().join("postgres")))
            .await
            .unwrap();
        let options = PgConnectOptions::from_str(&server.connection_url()).unwrap();
        let database = TestDatabase::create_on(&options).await;
        let options = database.options.clone();
        let app = TestApp::new().slo(&definitions(&sinks, notify));
        let app = app.on(database).await;
        Self {
            slos: app.ids(),
            app,
            server,
            sinks,
            options,
            _home: home,
        }
    }

    pub(super) fn evaluator(&self, interval: Duration) -> Evaluator {
        let settings = EvaluatorSettings {
            interval,
            page_base_url: None,
            platform_target: None,
        };
        Evaluator::new(
            self.app.store.clone(),
            self.app.definitions.catalog.subscribe(),
            settings,
        )
    }

    /// A replica that sends.
    pub(super) fn dispatcher(&self) -> Dispatcher {
        let loopback = vec!["127.0.0.0/8".parse().unwrap()];
        let settings = DeliverSettings {
            connect_timeout: TIMEOUT,
            webhook_timeout: TIMEOUT,
            addresses: AddressPolicy::new(loopback, vec![443]),
            ..DeliverSettings::default()
        };
        let store = self.app.store.clone();
        Dispatcher::new(
            Deliverer::new(store, self.app.definitions.catalog.subscribe(), settings).unwrap(),
        )
    }

    /// Sends until nothing is left, a minute after the other. Returns when that was.
    pub(super) async fn finish(&self, mut now: Timestamp) -> Timestamp {
        let mut dispatcher = self.dispatcher();
        let mut rounds = 0;
        while self.open().await > 0 {
            rounds += 1;
            assert!(rounds < 5_000, "{} deliveries stay open", self.open().await);
            dispatcher.tick(now).await.unwrap();
            let turns = dispatcher.drain().await;
            // Targets of which all that is due waits for something else have turns too.
            let tries = turns
                .into_iter()
                .map(|turn| turn.result.unwrap().attempts.len());
            if tries.sum::<usize>() == 0 {
                now = now + Duration::from_mins(1);
            }
        }
        now
    }

    pub(super) async fn connect(&self) -> PgConnection {
        until("the database", async || self.options.connect().await.ok()).await
    }

    pub(super) async fn open(&self) -> i64 {
        self.count("select count(*) from deliveries where state in ('pending', 'leased')")
            .await
    }

    pub(super) async fn count(&self, sql: &'static str) -> i64 {
        let mut connection = self.connect().await;
        sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// Fails unless the target was told of everything in order, and twice only where nobody can know.
    pub(super) async fn account(&self, target: &str) -> Account {
        let rows: Vec<Row> = sqlx::query_as(
            "select ordering_key, version, d.state, attempts,
                 (select count(*) from delivery_attempts where delivery_id = d.id
                     and class not in ('timeout', 'network')) as known,
                 extract(epoch from d.settled_at - d.created_at)::float8 as latency_secs
             from deliveries d join alert_transitions t on t.id = transition_id
             where target = $1 order by d.id",
        )
        .bind(target)
        .fetch_all(&mut self.connect().await)
        .await
        .unwrap();
        let (_, sink) = self.sinks.iter().find(|(name, _)| name == target).unwrap();
        let mut taken: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for Taken { key, version } in sink.taken() {
            taken.entry(key).or_default().push(version);
        }
        let mut repeats = 0;
        for row in &rows {
            assert_eq!(row.state, "delivered", "{target}: {row:?}");
            let got = taken.get(&row.ordering_key).into_iter().flatten();
            let got = i64::try_from(got.filter(|one| **one == row.version).count()).unwrap();
            let unknown = i64::from(row.attempts) - row.known;
            assert!(
                (1..=1 + unknown).contains(&got),
                "{target} got {got}: {row:?}"
            );
            repeats += usize::try_from(got - 1).unwrap();
        }
        for (key, versions) in &taken {
            assert!(versions.is_sorted(), "{target}, {key}: {versions:?}");
        }
        let mut latencies: Vec<_> = rows.iter().map(|row| row.latency_secs).collect();
        latencies.sort_by(f64::total_cmp);
        Account {
            told: rows.len(),
            repeats,
            tries: rows.iter().map(|row| i64::from(row.attempts)).sum(),
            median_secs: latencies[latencies.len() / 2],
            worst_secs: latencies[latencies.len() - 1],
        }
    }
}

fn definitions(sinks: &[(String, Sink)], notify: &[Vec<&str>]) -> String {
    let mut text = String::new();
    for (name, sink) in sinks {
        write!(
            text,
            "---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: {{ name: {name} }}
spec: {{ webhook: {{ url: \"{}\" }} }}
",
            sink.url
        )
        .unwrap();
    }
    for (nth, targets) in notify.iter().enumerate() {
        write!(
            text,
            r#"---
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: slo-{nth:03} }}
spec:
  objective: 99%
  window: 30d
  indicator:
    span: {{ match: '{{ name = "{nth}" }}', good: '{{ status != error }}' }}
  alertPolicies:
    - metadata: {{ name: burning }}
      spec:
        rules: [{{ name: burn, severity: page, burnRate: {{ factor: 10, long: 10m, short: 2m }} }}]
        burn: ratio
        resolveAfter: 2m
  notify: {{ page: [{}] }}
"#,
            targets.join(", ")
        )
        .unwrap();
    }
    text
}
