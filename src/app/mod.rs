//! Assembles the service: the only module that knows all parts.
//!
//! [`App::start`] opens the database, activates the definitions and binds every address before
//! anything is served, so that errors are reported at startup. [`App::run`] then serves until
//! shutdown: receiving ends first, received spans are committed, the loops end, and the database is
//! closed last.

pub mod access;
pub mod catalog;
pub mod database;
pub mod definitions;
pub mod doctor;
pub mod healthcheck;
mod kafka;
mod loops;
mod monitoring;
pub mod overview;
mod ports;
mod remote_write;
pub mod replay;
pub mod reports;
mod retention;
pub mod shutdown;

use std::{sync::Arc, time::Duration};

use prometheus::{Registry, core::Collector, proto::MetricFamily};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    access::{access_rules, identity_provider, read_tokens},
    catalog::{CatalogKeeper, InForce},
    database::{Database, read_replica::FollowedReplica},
    loops::{Loops, outage_limits, periodic::Periodic},
    ports::{BoundListeners, FileLimit, PortTls},
};
use crate::{
    clock::Clock,
    config::{Config, OtlpAuth, SpanLimitsConfig},
    domain::{
        access::KnownTokens,
        counting::durations::SharedDurations,
        model::{
            format,
            time::{TimeRange, Timestamp},
        },
        notify::signed_links::signing::SigningKey,
        workflow::{
            Judging,
            classify::TimeLimits,
            shapes::SharedShapes,
            watermark::{OutageLimits, ReplicaId},
        },
    },
    ingest::{
        Ingest, IngestParts, grpc, http,
        receiver::Receiver,
        record::Recorder,
        server::{cors::AllowedOrigins, limits::ReceiverLimits, senders::SenderAccess},
    },
    oidc::IdentityProvider,
    recording::{Committer, KnownLocks, StageKeeper},
    remote_write::RemoteWriter,
    server::limits::ConnectionLimits,
    store::{ConnectionUse, Store, StoreError, Writer},
    telemetry::metrics::Metrics,
    web::{
        self, Access, AllowedHosts, Anonymous, Cards, CustomerNames, IngestFacts, IngestProbe,
        Listening, ReadinessCheck, WebState, WriteRules,
    },
};
pub use loops::periodic;
pub use ports::Addresses;

/// The service, initialised and with all addresses bound.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
    metrics: Metrics,
    database: Database,
    replica: ReplicaId,
    keeper: CatalogKeeper,
    in_force: InForce,
    signing_key: SigningKey,
    tokens: watch::Sender<Arc<KnownTokens>>,
    provider: Option<IdentityProvider>,
    files: FileLimit,
    listeners: BoundListeners,
    tls: PortTls,
    shapes: SharedShapes,
    durations: SharedDurations,
    read_replica: Option<FollowedReplica>,
    remote_writer: Option<RemoteWriter>,
}

impl App {
    /// Binds the addresses, migrates the schema and loads the definitions. Serves nothing yet.
    pub async fn start(
        config: Config,
        mut database: Database,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        kafka::check(&config.kafka)?;
        let files = FileLimit::raise();
        let tls = PortTls::load(&config.tls).await?;
        let provider = identity_provider(&config).await?;
        let listeners = BoundListeners::bind(&config).await?;
        let pages = listeners.pages.local_addr()?;
        let remote_writer = remote_write::writer(&config.remote_write, pages)?;
        let metrics = Metrics::new()?;
        database.store = database.store.measured(metrics.database.clone());
        let store = database.store.clone();
        read_clock(&store, &clock).await?;
        prepare(&store, clock.now(), config.receiver.limits.horizon).await?;
        note_restore(&store, clock.now()).await?;
        let replica = ReplicaId(rand::random());
        let definitions = config.definitions.clone();
        let (mut keeper, in_force) =
            CatalogKeeper::new(definitions, store, metrics.clone(), replica);
        let signing_key = signing_key(&database.store, clock.now()).await?;
        let method = config.access.readers.method(config.pages.port.listen);
        let tokens = read_tokens(&database.store, method, clock.now()).await?;
        keeper.start(clock.now()).await?;
        let has_targets = !in_force.catalog.borrow().targets.is_empty();
        if has_targets && config.evaluation.public_url.is_none() {
            tracing::warn!(
                "messages have no links and no buttons: set --public-url to the address of the pages"
            );
        }
        let shapes = if config.receiver.no_span_samples {
            SharedShapes::default()
        } else {
            SharedShapes::new()
        };
        let read_replica = database.replica.clone().map(FollowedReplica::new);
        Ok(Self {
            read_replica,
            remote_writer,
            config,
            clock,
            metrics,
            database,
            replica,
            keeper,
            in_force,
            signing_key,
            tokens,
            provider,
            files,
            listeners,
            tls,
            shapes,
            durations: SharedDurations::default(),
        })
    }

    pub fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            otlp_grpc: self.listeners.grpc.local_addr()?,
            otlp_http: self.listeners.http.local_addr()?,
            pages: self.listeners.pages.local_addr()?,
        })
    }

    pub fn store(&self) -> &Store {
        &self.database.store
    }

    /// Returns the registry of metrics.
    pub fn metrics(&self) -> &Registry {
        &self.metrics.registered.registry
    }

    /// Serves until `shutdown` is cancelled, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let addresses = self.addresses()?;
        let (commits, serving) = (TaskTracker::new(), TaskTracker::new());
        let pages = self.web_state(addresses, serving.clone());
        self.spawn_remote_write(&serving, &shutdown, &pages);
        let store = self.database.store.clone();
        // A random slot, so that replicas rarely share one.
        let writer = Writer(rand::random_range(0..1_024));
        let (replica, clock) = (self.replica, self.clock.clone());
        // No workflow is overdue before the time without a receiving replica is known.
        let (watermark, watermark_in_force) = watch::channel(Timestamp::UNIX_EPOCH);
        let committer = self.committer(writer, watermark_in_force);
        let stages = committer.stages.clone();
        let (recorder, committing) = Recorder::new(committer, self.metrics.recording.clone());
        let received = CancellationToken::new();
        commits.spawn(committing.run(received.clone()));
        let consumer = self.consumer(recorder);
        let kafka_problems = self.read_kafka(&consumer, &serving, &shutdown).await?;
        let otlp = self.receiver(consumer);
        let refused = otlp.rejected_senders();
        let until = || shutdown.clone().cancelled_owned();
        serving.spawn(grpc::serve(self.listeners.grpc, otlp.clone(), until()));
        let limits = outage_limits(&self.config);
        let origins = AllowedOrigins(self.config.receiver.cors_allowed_origins.clone());
        serving.spawn(http::serve(self.listeners.http, otlp, origins, until()));
        serving.spawn(web::serve(
            self.listeners.pages,
            pages,
            self.files.bound(ConnectionLimits::of_pages()),
            until(),
        ));
        Loops {
            config: self.config,
            clock: self.clock,
            metrics: self.metrics,
            store: store.clone(),
            writer,
            replica,
            signing_key: self.signing_key,
            tokens: self.tokens,
            provider: self.provider,
            certificates: self.tls.reloaders,
            in_force: self.in_force,
            keeper: self.keeper,
            watermark,
            refused,
            kafka_problems,
            stages,
            shapes: self.shapes,
            durations: self.durations,
            read_replica: self.read_replica,
        }
        .spawn(&serving, &shutdown)?;
        shutdown.cancelled().await;
        serving.close();
        serving.wait().await;
        received.cancel();
        commits.close();
        commits.wait().await;
        leave(&store, replica, clock.now(), limits).await;
        self.database.close().await
    }

    fn spawn_remote_write(
        &self,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
        pages: &WebState,
    ) {
        let Some(writer) = self.remote_writer.clone() else {
            return;
        };
        let periodic = Periodic {
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            shutdown: shutdown.clone(),
        };
        let config = &self.config.remote_write;
        remote_write::spawn(tasks, periodic, config, writer, pages.clone());
    }

    /// Makes the receiver of both protocols.
    fn committer(&self, writer: Writer, watermark: watch::Receiver<Timestamp>) -> Committer {
        let store = self.database.store.for_use(ConnectionUse::Recording);
        let classifier = self.in_force.classifier.clone();
        Committer {
            writer,
            clock: self.clock.clone(),
            watermark,
            catch_up: self.config.receiver.limits.catch_up,
            stages: StageKeeper::new(store.clone(), classifier.clone(), self.replica),
            classifier,
            store,
            locks: KnownLocks::default(),
        }
    }

    /// Makes the consumer of spans, however they arrive.
    fn consumer(&self, recorder: Recorder) -> Ingest {
        Ingest::new(IngestParts {
            classifier: self.in_force.classifier.clone(),
            recorder,
            clock: self.clock.clone(),
            limits: time_limits(&self.config.receiver.limits),
            metrics: self.metrics.clone(),
            shapes: self.shapes.clone(),
        })
    }

    fn receiver_limits(&self) -> ReceiverLimits {
        let config = &self.config.receiver;
        ReceiverLimits {
            connections: self.files.bound(ConnectionLimits {
                connections: config.max_connections as usize,
                per_peer: config.max_connections_per_peer as usize,
                ..ConnectionLimits::default()
            }),
            ..body_limits(&config.limits)
        }
    }

    fn receiver(&self, consumer: Ingest) -> Receiver<Ingest> {
        Receiver::new(consumer, self.receiver_limits())
            .measured(self.metrics.requests_answered.clone())
            .admitting(self.senders())
            .encrypted(self.tls.otlp.clone())
    }

    fn senders(&self) -> SenderAccess {
        match self.config.access.otlp_auth {
            OtlpAuth::None => SenderAccess::default(),
            OtlpAuth::Token => SenderAccess::by_token(
                self.tokens.subscribe(),
                self.clock.clone(),
                self.metrics.clone(),
            ),
        }
    }

    /// Makes the state of the pages; `tasks` contains their requests that write.
    fn web_state(&self, addresses: Addresses, tasks: TaskTracker) -> WebState {
        let rules = access_rules(&self.config, self.provider.clone());
        let metrics = self.metrics.clone();
        WebState {
            metrics: metrics.clone(),
            store: self.database.store.for_use(ConnectionUse::Pages),
            replica: self.read_replica.as_ref().map(FollowedReplica::pages),
            clock: self.clock.clone(),
            catalog: self.in_force.catalog.clone(),
            restriction: None,
            customers: CustomerNames::of_role(self.config.access.customer_names_role),
            definitions: self.in_force.status.clone(),
            ingest: IngestProbe::new(move || facts(&metrics)),
            listening: Listening {
                otlp_grpc: addresses.otlp_grpc,
                otlp_http: addresses.otlp_http,
            },
            writes: write_rules(&self.config),
            hosts: allowed_hosts_of(
                self.config.evaluation.public_url.as_deref(),
                &self.config.pages.port.allowed_hosts,
            ),
            tls: self.tls.pages.clone(),
            access: Access::new(rules, self.tokens.subscribe(), tasks),
            signing_key: self.signing_key.clone(),
            max_metric_groups: self.config.pages.metrics_max_groups,
            max_metric_durations: self.config.pages.metrics_max_durations,
            cards: Cards::default(),
            readiness: ReadinessCheck::new(self.clock.now()),
            trace_viewers: self.config.evaluation.trace_viewers.clone(),
            time_zone: self.config.pages.port.time_zone,
            shapes: self.shapes.clone(),
            durations: self.durations.clone(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Returns which times of spans are accepted.
const fn time_limits(config: &SpanLimitsConfig) -> TimeLimits {
    TimeLimits {
        future: config.future_tolerance,
        horizon: config.horizon,
        skew: Judging::DEFAULT_SKEW_TOLERANCE,
    }
}

/// Returns how large a request or a message may be.
fn body_limits(config: &SpanLimitsConfig) -> ReceiverLimits {
    ReceiverLimits {
        body_bytes: config.max_request_mib as usize * 1024 * 1024,
        ..ReceiverLimits::default()
    }
}

/// Reads the database's clock, so that all replicas use the same time.
async fn read_clock(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    let asked_at = Instant::now();
    clock.keep_to(store.now().await?, asked_at);
    Ok(())
}

/// Records that this replica ended in order and left nothing unprocessed. Otherwise the other
/// replicas would wait for its senders for a while.
async fn leave(store: &Store, replica: ReplicaId, now: Timestamp, limits: OutageLimits) {
    let left = async {
        let mut tx = store.begin("record the end of this replica").await?;
        tx.leave(replica, now, &limits).await?;
        tx.commit().await
    };
    if let Err(error) = left.await {
        tracing::warn!(error = %error.in_full(), "cannot record that this replica has ended");
    }
}

/// Creates the partitions that evidence and counts of the next days need.
async fn prepare(store: &Store, now: Timestamp, horizon: Duration) -> anyhow::Result<()> {
    let mut tx = store.begin("prepare partitions").await?;
    tx.wait_briefly_for_locks().await?;
    tx.ensure_epoch(now, horizon).await?;
    let ahead = Duration::from_hours(48);
    tx.ensure_count_partitions(TimeRange::new(now - horizon - ahead, now + ahead))
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Records whether the database was restored from a backup, before anything is judged by it.
async fn note_restore(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = store.begin("check whether a backup was restored").await?;
    let lost = tx.note_restore(now).await?;
    tx.commit().await?;
    if let Some(lost) = lost {
        tracing::warn!(
            "the database was restored from a backup: spans received from {} to {} are lost, so workflows that were open then do not time out",
            format::date_time(lost.from),
            format::date_time(lost.to)
        );
    }
    Ok(())
}

/// Returns the key that the replicas share; the first of them generates it.
async fn signing_key(store: &Store, now: Timestamp) -> anyhow::Result<SigningKey> {
    let mut tx = store.begin("read the signing key").await?;
    let key = tx
        .signing_key(&SigningKey::new(rand::random()), now)
        .await?;
    tx.commit().await?;
    Ok(key)
}

fn allowed_hosts_of(public_url: Option<&str>, more: &[String]) -> AllowedHosts {
    let own = own_hostname().into_iter();
    AllowedHosts::new(public_url, own.chain(more.iter().cloned()))
}

fn own_hostname() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

fn write_rules(config: &Config) -> WriteRules {
    WriteRules {
        user_header: config.pages.port.user_header.to_ascii_lowercase(),
        anonymous: if config.pages.require_user {
            Anonymous::MayRead
        } else {
            Anonymous::MayWrite
        },
        public_url: config.evaluation.public_url.clone(),
    }
}

/// Returns when this replica received its last span; `None` before the first.
fn last_span_at(metrics: &Metrics) -> Option<Timestamp> {
    let last_secs = metrics.last_span_timestamp.get();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time of ours, in seconds"
    )]
    let at = || Timestamp::from_micros((last_secs * 1e6) as i64);
    (last_secs > 0.0).then(at)
}

fn facts(metrics: &Metrics) -> IngestFacts {
    let last_span_at = last_span_at(metrics);
    let refused: f64 = Collector::collect(&metrics.spans_rejected)
        .iter()
        .flat_map(MetricFamily::get_metric)
        .map(|metric| metric.get_counter().get_value())
        .sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole count"
    )]
    let spans_rejected = refused as u64;
    IngestFacts {
        spans_received: metrics.spans_received.get(),
        spans_rejected,
        last_span_at,
    }
}
