//! The whole service in one process, on a database of its own and by a clock that the test drives.
//!
//! `TestApp::new().slo(YAML).history(HOUR * 48, good(10)).at("10:00").await` is a service that has been
//! well for two days; [`send`](Replica::send), [`advance`](TestApp::advance) and
//! [`tick`](Replica::tick) are all that happens to it, and [`replica`](TestApp::replica) starts another
//! process on the same database. A `TestApp` is its first replica.
//!
//! What counts as a failure, besides what the test asserts:
//! - a turn of a loop that fails, at once; a test that wants one to fail calls the part itself
//! - a race that an evaluation lost and that no later evaluation took up, at the end
//! - a delivery that nothing explains, at the end: leased by nobody, delivered or given up without a
//!   try, due and passed over by a turn that found nothing to do, or recorded as delivered though the
//!   receiver of the tests at that address never got it; and a message that a receiver got of which
//!   the outbox knows nothing
//!
//! What does not: a delivery that waits for its time, for its target or for the one before it; whatever
//! is left when a test fails; spans that are answered "later", which are sent again as a collector does.
//!
//! What is not deterministic: which of several requests a transaction takes together, which of two
//! replicas wins a race, how long anything takes. Time itself is: it passes only when the test says so,
//! for all replicas at once. The database's own clock stamps rows for people and decides nothing.

mod final_check;
mod history;
mod reading;
mod replica;
mod targets;
mod tests;
pub(crate) mod web;

use std::{
    collections::BTreeMap,
    future::IntoFuture,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI16, Ordering},
    },
    time::Duration,
};

use sqlx::PgConnection;
use tempfile::TempDir;
use throughline::{
    clock::ManualClock,
    deliver::{AddressPolicy, DeliverSettings},
    domain::{
        model::{
            counts::EventCounts,
            ids::{Name, Revision, SloId},
            time::{TimeRange, Timestamp},
        },
        slo::{
            Catalog, Slo, SloRevision, Target,
            definition::{DefinitionFile, load},
        },
        workflow::{classify::Classifier, shapes::SharedShapes},
    },
    evaluate::{EnrichmentConfig, EvaluatorSettings},
    store::{Store, Writer},
};
use tokio::sync::watch;

use self::final_check::FinalCheck;
pub(crate) use self::{
    history::{BadWorkflow, add_events, failed, good, timeouts},
    replica::Replica,
};
use super::database::TestDatabase;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
/// How late a span may come.
pub(crate) const HORIZON: Duration = Duration::from_hours(168);

/// An SLO that most stories are about: two rules page `oncall`.
pub(crate) const ORDERS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders, displayName: Orders complete, labels: { team: shop } }
spec:
  service: orders
  objective: 99%
  window: 28d
  indicator:
    workflow:
      start:  '{ name = "order" }'
      finish: '{ name = "order complete" }'
      within: 5m
      correlate: [trace]
  customer: span.customer.id
  grace: 1m
  alertPolicies:
    - metadata: { name: burn }
      spec:
        rules:
          - { name: fast-burn, severity: page, burnRate: { factor: 13.44, long: 1h, short: 5m } }
          - { name: slow-burn, severity: page, burnRate: { factor: 5.6, long: 6h, short: 30m } }
  notify: { page: [oncall] }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: oncall }
spec: { webhook: { url: { env: UNUSED } } }
"#;

/// The SLO `orders` of workflows that have a minute; `fields` are those of its `spec` besides.
pub(crate) fn minute_long(start: &str, finish: &str, correlate: &str, fields: &str) -> String {
    format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: orders }}\nspec:\n  \
         objective: 99%\n  window: 30d\n  indicator:\n    workflow:\n      \
         start: '{{ name = \"{start}\" }}'\n      finish: '{{ name = \"{finish}\" }}'\n      \
         within: 1m\n      correlate: [{correlate}]\n  {fields}\n"
    )
}

/// A moment of the day on which stories play, as `10:00`, or of any day, as RFC 3339 has it.
pub(crate) fn time(text: &str) -> Timestamp {
    let text = match text.len() {
        5 => format!("2026-11-22T{text}:00Z"),
        _ => text.to_owned(),
    };
    Timestamp::parse_rfc3339(&text).unwrap()
}

/// So many minutes after ten, when most stories begin.
pub(crate) fn after(minutes: u32) -> Timestamp {
    time("10:00") + MINUTE * minutes
}

/// What a file with this text declares.
pub(crate) fn catalog(yaml: &str) -> Catalog {
    let file = DefinitionFile {
        path: "test.yaml".to_owned(),
        text: yaml.trim_start().to_owned(),
    };
    load(&[file])
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
        .0
}

/// The only SLO of this text.
pub(crate) fn slo(yaml: &str) -> Slo {
    let slos = catalog(yaml).slos.into_values();
    let [slo] = <[_; 1]>::try_from(slos.collect::<Vec<_>>()).unwrap();
    Arc::unwrap_or_clone(slo)
}

/// What one process has read of the definitions.
#[derive(Clone, Debug)]
pub(crate) struct ReadDefinitions {
    pub(crate) catalog: watch::Sender<Arc<Catalog>>,
    pub(crate) classifier: watch::Sender<Arc<Classifier>>,
}

impl ReadDefinitions {
    pub(crate) fn new(catalog: Catalog, ids: &BTreeMap<Name, SloId>) -> Self {
        Self {
            classifier: watch::Sender::new(Arc::new(Classifier::new(&catalog, ids))),
            catalog: watch::Sender::new(Arc::new(catalog)),
        }
    }
}

/// How the processes are set up.
#[derive(Clone, Debug)]
pub(crate) struct AppSettings {
    pub(crate) evaluator: EvaluatorSettings,
    pub(crate) enrichment: EnrichmentConfig,
    pub(crate) deliver: DeliverSettings,
    /// How long senders may take to deliver what they kept.
    pub(crate) catch_up: Duration,
}

/// A service that is not there yet; awaited, it is.
#[derive(Debug)]
pub(crate) struct Builder {
    catalog: Catalog,
    database: Option<TestDatabase>,
    history: Option<(Duration, EventCounts)>,
    /// How long ago the first event of every SLO came, where there is no history; it ended.
    age: Option<Duration>,
    at: Timestamp,
    settings: AppSettings,
}

impl Builder {
    /// Declares all that this text declares.
    pub(crate) fn slo(self, yaml: &str) -> Self {
        let Catalog { slos, targets, .. } = catalog(yaml);
        let mut builder = slos.into_values().fold(self, |builder, slo| {
            builder.define(Arc::unwrap_or_clone(slo))
        });
        builder.catalog.targets.extend(targets);
        builder
    }

    pub(crate) fn define(mut self, slo: Slo) -> Self {
        self.catalog.slos.insert(slo.name.clone(), Arc::new(slo));
        self
    }

    /// Every SLO has had so many events a minute for so long.
    pub(crate) const fn history(mut self, length: Duration, per_minute: EventCounts) -> Self {
        self.history = Some((length, per_minute));
        self
    }

    /// No SLO has ever had an event. Without this and without a [`history`](Self::history) the first
    /// one came half an hour ago, which covers the short windows of most rules that page.
    pub(crate) const fn young(mut self) -> Self {
        self.age = None;
        self
    }

    /// When it begins, as [`time`] has it.
    pub(crate) fn at(mut self, text: &str) -> Self {
        self.at = time(text);
        self
    }

    /// Not on the server that all tests share.
    pub(crate) fn on(mut self, database: TestDatabase) -> Self {
        self.database = Some(database);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut AppSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    async fn start(self) -> TestApp {
        let database = match self.database {
            Some(database) => database,
            None => TestDatabase::create().await,
        };
        let past = database.connect().await;
        let definitions = ReadDefinitions::new(Catalog::default(), &BTreeMap::new());
        let (clock, final_check) = (ManualClock::new(self.at), Arc::<FinalCheck>::default());
        let here = Replica::start(replica::ReplicaParts {
            store: database.store.clone(),
            writer: Writer(0),
            definitions: definitions.clone(),
            clock: clock.clone(),
            began: self.at,
            watermark: watch::Sender::new(self.at),
            settings: self.settings.clone(),
            final_check: Arc::clone(&final_check),
        });
        let app = TestApp {
            past: tokio::sync::Mutex::new(past),
            database,
            clock,
            began: self.at,
            settings: self.settings,
            ids: Mutex::default(),
            replicas: AtomicI16::new(1),
            secrets: tempfile::tempdir().unwrap(),
            final_check,
            here,
        };
        app.make_partitions().await;
        app.take_over(self.catalog).await;
        for slo in app.ids().into_values() {
            if let Some((length, per_minute)) = self.history {
                let range = TimeRange::ending_at(self.at, length);
                app.fill_range(slo, range, per_minute).await;
            } else if let Some(age) = self.age {
                app.had_first_event(slo, self.at - age).await;
            }
        }
        app
    }
}

impl IntoFuture for Builder {
    type Output = TestApp;
    type IntoFuture = Pin<Box<dyn Future<Output = TestApp> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

#[derive(Debug)]
pub(crate) struct TestApp {
    pub(crate) database: TestDatabase,
    pub(crate) clock: ManualClock,
    pub(crate) began: Timestamp,
    settings: AppSettings,
    /// A connection past the store.
    past: tokio::sync::Mutex<PgConnection>,
    ids: Mutex<BTreeMap<Name, SloId>>,
    replicas: AtomicI16,
    secrets: TempDir,
    final_check: Arc<FinalCheck>,
    here: Replica,
}

impl TestApp {
    #[expect(
        clippy::new_ret_no_self,
        reason = "the builder becomes one when it is awaited"
    )]
    pub(crate) fn new() -> Builder {
        Builder {
            catalog: Catalog::default(),
            database: None,
            history: None,
            age: Some(MINUTE * 30),
            at: time("10:00"),
            settings: AppSettings {
                evaluator: EvaluatorSettings {
                    interval: MINUTE,
                    page_base_url: None,
                    platform_target: None,
                },
                enrichment: EnrichmentConfig {
                    shapes: SharedShapes::new(),
                    ..EnrichmentConfig::default()
                },
                deliver: deliver_settings(),
                catch_up: Duration::ZERO,
            },
        }
    }

    /// Brings other SLOs into force, here and in the database; targets stay.
    pub(crate) async fn define(&self, slos: impl IntoIterator<Item = Slo>) {
        let slos = slos.into_iter();
        let targets = self.definitions.catalog.borrow().targets.clone();
        self.take_over(Catalog {
            slos: slos.map(|slo| (slo.name.clone(), Arc::new(slo))).collect(),
            targets,
            ..Catalog::default()
        })
        .await;
    }

    async fn take_over(&self, catalog: Catalog) {
        let names: Vec<_> = catalog.slos.keys().cloned().collect();
        let mut tx = self.store.begin("declare SLOs").await.unwrap();
        let ids = tx.declare(&names).await.unwrap();
        tx.declare_groups(&catalog.groupings(&ids)).await.unwrap();
        let finishes = catalog.finishes(&ids);
        let since = self.clock.now();
        tx.declare_finishes(&finishes, since).await.unwrap();
        tx.commit().await.unwrap();
        self.definitions.classifier.send_modify(|classifier| {
            let mut revisions = classifier.revisions().clone();
            for (name, slo) in &catalog.slos {
                let of_slo = revisions.entry(ids[name]).or_default();
                let newest = of_slo
                    .iter()
                    .next_back()
                    .map_or(0, |newest| newest.number.0);
                of_slo.push(SloRevision {
                    number: Revision(newest + 1),
                    in_force_from: self.clock.now(),
                    slo: Some(Arc::clone(slo)),
                });
            }
            revisions.retain(|id, _| ids.values().any(|declared| declared == id));
            let set = classifier.set();
            *classifier = Arc::new(Classifier::with_revisions(set, revisions));
        });
        self.definitions.catalog.send_replace(Arc::new(catalog));
        let mut known = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(ids);
    }

    /// Changes what this process knows of the definitions, as if it had read other files than the
    /// processes that declared them.
    pub(crate) fn reads(&self, change: impl FnOnce(&mut Catalog)) {
        let catalog = &self.definitions.catalog;
        catalog.send_modify(|catalog| change(Arc::make_mut(catalog)));
    }

    pub(crate) fn declare_target(&self, target: Target) -> Name {
        let name = target.name.clone();
        self.reads(|catalog| {
            catalog.targets.insert(name.clone(), Arc::new(target));
        });
        name
    }

    /// Another process on the same database, with memory and connections of its own, that has read the
    /// same files.
    pub(crate) fn replica(&self) -> Replica {
        self.replica_that_reads(self.definitions.clone(), |_| {})
    }

    /// One that has read other files, and is set up in another way.
    pub(crate) fn replica_that_reads(
        &self,
        definitions: ReadDefinitions,
        change: impl FnOnce(&mut AppSettings),
    ) -> Replica {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Replica::start(replica::ReplicaParts {
            store: Store::new(self.database.options.clone(), 6),
            writer: Writer(self.replicas.fetch_add(1, Ordering::Relaxed)),
            definitions,
            clock: self.clock.clone(),
            began: self.began,
            watermark: self.here.watermark.clone(),
            settings,
            final_check: Arc::clone(&self.final_check),
        })
    }

    /// The first replica ends, and another takes its place that remembers nothing.
    pub(crate) fn restart(&mut self) {
        self.restart_with(|_| {});
    }

    pub(crate) fn restart_with(&mut self, change: impl FnOnce(&mut AppSettings)) {
        self.here = self.replica_that_reads(self.definitions.clone(), change);
    }

    /// Time passes for all replicas.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(crate) fn id(&self, slo: &str) -> SloId {
        self.ids()[&slo.parse::<Name>().unwrap()]
    }

    /// The only SLO, or the one that was declared before all others.
    pub(crate) fn only(&self) -> SloId {
        let ids = self.ids().into_values();
        ids.min().expect("an SLO is declared")
    }

    pub(crate) fn ids(&self) -> BTreeMap<Name, SloId> {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.clone()
    }

    /// So many minutes after the beginning.
    pub(crate) fn minute(&self, minutes: u32) -> Timestamp {
        self.began + MINUTE * minutes
    }
}

/// Little time, and receivers of the tests are reached.
pub(crate) fn deliver_settings() -> DeliverSettings {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap());
    DeliverSettings {
        connect_timeout: SECOND * 2,
        chat_timeout: SECOND * 2,
        webhook_timeout: SECOND * 2,
        addresses: AddressPolicy::new(loopback.to_vec(), vec![80, 443]),
        ..DeliverSettings::default()
    }
}

impl Deref for TestApp {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.here
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // What is left of a test that failed says nothing.
        if !std::thread::panicking() {
            let catalog = Arc::clone(&self.definitions.catalog.borrow());
            self.final_check
                .check(self.database.options.clone(), &catalog);
        }
    }
}
