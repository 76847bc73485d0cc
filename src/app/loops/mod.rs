//! The periodic work of the service: each loop calls one tick through [`Periodic`].

pub mod periodic;
mod reconciling;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Mutex, watch},
    time::MissedTickBehavior,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::periodic::Periodic;
use super::{
    access::{refresh_provider, refresh_tokens},
    catalog::{CatalogKeeper, Change, InForce, Look},
    database::read_replica::FollowedReplica,
    kafka::KafkaProblems,
    monitoring::{self, Pulse, PulseEnd},
    ports::TlsReloaders,
};
use crate::{
    clock::Clock,
    config::{Config, DeliveryConfig},
    deliver::{AddressPolicy, DeliverSettings, Deliverer, Dispatcher, Reminder, TargetReport},
    domain::{
        access::KnownTokens,
        alerting::alert::TransitionKind,
        counting::durations::SharedDurations,
        model::time::Timestamp,
        notify::signed_links::{ActionAddresses, SignedLinks, signing::SigningKey},
        workflow::{
            shapes::SharedShapes,
            watermark::{OutageLimits, ReplicaId},
        },
    },
    evaluate::{
        EnrichmentConfig, EvaluationReport, Evaluator, EvaluatorSettings,
        index_workflows::SearchIndexer, overdue::DeadlineScan, resolve_links::LinkResolver,
        stages::StageAggregator,
    },
    ingest::refused::RejectedSenders,
    oidc::IdentityProvider,
    recording::StageKeeper,
    store::{ConnectionUse, Store, Writer},
    telemetry::metrics::Metrics,
};

/// The interval of heartbeats, overdue workflows and file checks: short enough that no one waits
/// for them.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// A replica without a heartbeat for this long (ten intervals) has an outage.
const SILENCE: Duration = Duration::from_secs(10);
/// The interval of stage sums, which only people read.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);
/// Alertmanager regards an alert as resolved when it has not been repeated for five minutes.
const REMINDER_INTERVAL: Duration = Duration::from_mins(1);
/// The interval at which the keys of the login provider are read. Logins ask it themselves.
const PROVIDER_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Loops {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) replica: ReplicaId,
    pub(super) signing_key: SigningKey,
    pub(super) certificates: TlsReloaders,
    pub(super) tokens: watch::Sender<Arc<KnownTokens>>,
    pub(super) provider: Option<IdentityProvider>,
    pub(super) in_force: InForce,
    pub(super) keeper: CatalogKeeper,
    pub(super) watermark: watch::Sender<Timestamp>,
    pub(super) refused: RejectedSenders,
    pub(super) kafka_problems: KafkaProblems,
    pub(super) stages: StageKeeper,
    pub(super) shapes: SharedShapes,
    pub(super) durations: SharedDurations,
    pub(super) read_replica: Option<FollowedReplica>,
}

impl Loops {
    pub(super) fn spawn(
        self,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let periodic = Periodic {
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            shutdown: shutdown.clone(),
        };
        self.spawn_heartbeat(tasks, &periodic);
        self.spawn_access(tasks, &periodic);
        self.spawn_overdue(tasks, &periodic);
        self.spawn_unplaced(tasks, &periodic);
        self.spawn_stages(tasks, &periodic);
        self.spawn_search(tasks, &periodic);
        count_evaluation(&self.metrics, &EvaluationReport::default());
        self.spawn_evaluation(tasks, &periodic);
        self.spawn_reports(tasks, &periodic);
        self.spawn_retention(tasks, &periodic);
        self.spawn_delivery(tasks, &periodic)?;
        if let Some(replica) = self.read_replica {
            replica.spawn(tasks, &periodic);
        }
        monitoring::spawn_watcher(tasks, &periodic, &self.config, &self.store, &self.in_force);
        tasks.spawn(follow_definitions(self.keeper, periodic));
        Ok(())
    }

    fn spawn_heartbeat(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let pulse = Pulse {
            store: self.store.for_use(ConnectionUse::Recording),
            metrics: self.metrics.clone(),
            replica: self.replica,
            last: watch::Sender::new(PulseEnd::Failed(None)),
            limits: outage_limits(&self.config),
            watermark: self.watermark.clone(),
            clock: self.clock.clone(),
            definitions: self.in_force.status.clone(),
            refused: self.refused.clone(),
            kafka_problems: self.kafka_problems.clone(),
            provider: self.provider.clone(),
            certificates: self.certificates.clone(),
        };
        tasks.spawn(periodic.clone().run("heartbeat", SECOND, move |now| {
            let pulse = pulse.clone();
            async move { pulse.record_heartbeat(now).await }
        }));
    }

    fn spawn_access(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let (certificates, metrics) = (self.certificates.clone(), self.metrics.clone());
        certificates.measure(&metrics);
        tasks.spawn(periodic.clone().run("certificates", SECOND, move |_| {
            let (certificates, metrics) = (certificates.clone(), metrics.clone());
            async move {
                certificates.clone().reload().await?;
                certificates.measure(&metrics);
                Ok(())
            }
        }));
        let (store, tokens) = (self.store.clone(), self.tokens.clone());
        tasks.spawn(periodic.clone().run("tokens", SECOND, move |_| {
            refresh_tokens(store.clone(), tokens.clone())
        }));
        let Some(provider) = self.provider.clone() else {
            return;
        };
        let metrics = self.metrics.clone();
        tasks.spawn(
            periodic
                .clone()
                .run("login_provider", PROVIDER_INTERVAL, move |now| {
                    refresh_provider(provider.clone(), metrics.clone(), now)
                }),
        );
    }

    fn spawn_overdue(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let overdue = DeadlineScan {
            store: self.store.clone(),
            writer: self.writer,
            classifier: self.in_force.classifier.clone(),
            catch_up: self.config.receiver.limits.catch_up,
        };
        let watermark = self.watermark.subscribe();
        tasks.spawn(periodic.clone().run("overdue", SECOND, move |now| {
            let (overdue, up_to) = (overdue.clone(), *watermark.borrow());
            async move { Ok(overdue.tick(now, up_to).await?) }
        }));
    }

    fn spawn_unplaced(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let unplaced = LinkResolver {
            store: self.store.clone(),
            writer: self.writer,
            classifier: self.in_force.classifier.clone(),
            catch_up: self.config.receiver.limits.catch_up,
        };
        let watermark = self.watermark.subscribe();
        tasks.spawn(
            periodic
                .clone()
                .run("unresolved_links", SECOND, move |now| {
                    let (unplaced, up_to) = (unplaced.clone(), *watermark.borrow());
                    async move { Ok(unplaced.tick(now, up_to).await?) }
                }),
        );
    }

    fn spawn_stages(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let folder = StageAggregator {
            store: self.store.clone(),
            classifier: self.in_force.classifier.clone(),
        };
        let (keeper, metrics) = (self.stages.clone(), self.metrics.clone());
        let durations = self.durations.clone();
        tasks.spawn(periodic.clone().run("known_workflows", SECOND, move |now| {
            let (keeper, metrics) = (keeper.clone(), metrics.clone());
            async move {
                let stages = keeper.tick(now).await?;
                metrics.stages.show(stages.waiting, stages.dropped);
                Ok(stages)
            }
        }));
        tasks.spawn(periodic.clone().run("stages", FOLD_INTERVAL, move |now| {
            let (folder, durations) = (folder.clone(), durations.clone());
            async move {
                let report = folder.tick(now).await?;
                durations.add(report.judged);
                Ok(report.aggregated)
            }
        }));
    }

    fn spawn_search(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let indexer = SearchIndexer {
            store: self.store.clone(),
        };
        tasks.spawn(periodic.clone().run("search", SECOND, move |_| {
            let indexer = indexer.clone();
            async move { Ok(indexer.tick().await?) }
        }));
    }

    fn spawn_evaluation(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let evaluation = &self.config.evaluation;
        let settings = EvaluatorSettings {
            interval: evaluation.evaluation_interval,
            page_base_url: evaluation.public_url.clone(),
            platform_target: self.config.watching.platform_target.clone(),
        };
        let evaluator = Evaluator::new(self.store.clone(), self.in_force.catalog.clone(), settings)
            .with(EnrichmentConfig {
                trace_viewers: evaluation.trace_viewers.clone(),
                pseudonyms: Some(self.signing_key.clone()),
                shapes: self.shapes.clone(),
            });
        let metrics = self.metrics.clone();
        tasks.spawn(
            periodic
                .clone()
                .run("evaluate", evaluation.evaluation_interval, move |now| {
                    let (evaluator, metrics) = (evaluator.clone(), metrics.clone());
                    async move {
                        let report = evaluator.tick(now).await?;
                        count_evaluation(&metrics, &report);
                        Ok(report)
                    }
                }),
        );
    }

    fn action_addresses(&self) -> Option<ActionAddresses> {
        let public_url = self.config.evaluation.public_url.as_deref()?;
        Some(ActionAddresses::new(public_url, self.signing_key.clone()))
    }

    fn spawn_delivery(&self, tasks: &TaskTracker, periodic: &Periodic) -> anyhow::Result<()> {
        let settings = DeliverSettings {
            actions: self.action_addresses(),
            chart_links: self.chart_links(),
            heartbeat_method: self.config.watching.heartbeat_method,
            ..deliver_settings(&self.config.delivery)
        };
        monitoring::spawn_emergency(
            tasks,
            periodic,
            &self.config,
            &self.store,
            &self.in_force,
            &settings,
        )?;
        let (store, catalog) = (self.store.clone(), self.in_force.catalog.clone());
        let reminder = Reminder::new(store.clone(), catalog.clone(), &settings)?;
        tasks.spawn(
            periodic
                .clone()
                .run("remind", REMINDER_INTERVAL, move |now| {
                    let reminder = reminder.clone();
                    async move { Ok(reminder.tick(now).await?) }
                }),
        );
        let deliverer = Deliverer::new(store, catalog, settings)
            .context("cannot deliver with these settings: choose another `--delivery-lease`")?;
        let escalating = deliverer.clone();
        tasks.spawn(periodic.clone().run("escalate", SECOND, move |now| {
            let deliverer = escalating.clone();
            async move { Ok(deliverer.escalate(now).await?) }
        }));
        self.spawn_reconciler(tasks, periodic);
        self.spawn_target_changes(tasks, periodic);
        let dispatcher = Arc::new(Mutex::new(Dispatcher::new(deliverer)));
        let looping = periodic.clone().run("deliver", SECOND, {
            let (dispatcher, metrics) = (Arc::clone(&dispatcher), self.metrics.clone());
            move |now| deliver(Arc::clone(&dispatcher), metrics.clone(), now)
        });
        let looping = Box::pin(looping);
        tasks.spawn(async move {
            looping.await;
            // Deliveries in progress are finished, so that a notification that was sent is recorded
            // as sent.
            dispatcher.lock().await.drain().await;
        });
        Ok(())
    }

    fn chart_links(&self) -> Option<SignedLinks> {
        let evaluation = &self.config.evaluation;
        let url = evaluation.public_url.as_ref()?;
        let links = SignedLinks::new(url, self.signing_key.clone());
        evaluation.message_charts.then_some(links)
    }
}

/// Returns the duration without heartbeats that counts as an outage of a replica, and how long its
/// senders may take to catch up.
pub(super) const fn outage_limits(config: &Config) -> OutageLimits {
    OutageLimits {
        silence: SILENCE,
        catch_up: config.receiver.limits.catch_up,
    }
}

/// Checks the files every second, and at once on SIGHUP. It polls because file system notifications
/// miss how Kubernetes replaces the links of a `ConfigMap`.
async fn follow_definitions(mut keeper: CatalogKeeper, periodic: Periodic) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGHUP; changes of definitions are not loaded");
            return;
        }
    };
    let mut timer = tokio::time::interval(SECOND);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let change = tokio::select! {
            _ = timer.tick() => Change::IfMostAgree,
            _ = hangup.recv() => Change::Requested,
            () = periodic.shutdown.cancelled() => return,
        };
        let look = keeper.look(periodic.clock.now(), change);
        match periodic.measure("definitions", look).await {
            Ok(Look::Refused { .. }) => {
                for problem in keeper.problems() {
                    tracing::error!("definitions are refused: {problem}");
                }
            }
            Ok(Look::Unchanged | Look::InForce { .. }) => {}
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), "cannot activate definitions");
            }
        }
    }
}

fn deliver_settings(delivery: &DeliveryConfig) -> DeliverSettings {
    let ports = delivery.target_ports.clone();
    DeliverSettings {
        addresses: AddressPolicy::new(delivery.private_ranges(), ports),
        chat_timeout: delivery.chat_timeout,
        webhook_timeout: delivery.webhook_timeout,
        lease: delivery.delivery_lease,
        ..DeliverSettings::default()
    }
}

async fn deliver(
    dispatcher: Arc<Mutex<Dispatcher>>,
    metrics: Metrics,
    now: Timestamp,
) -> anyhow::Result<Vec<TargetReport>> {
    let ended = dispatcher.lock().await.tick(now).await?;
    for turn in &ended {
        note_turn(turn, &metrics);
    }
    Ok(ended)
}

fn count_evaluation(metrics: &Metrics, report: &EvaluationReport) {
    // For every kind, so that its counter is there before the first transition.
    for kind in TransitionKind::ALL {
        let counter = metrics
            .alert_transitions
            .with_label_values(&[kind.as_str()]);
        let of_kind = report.transitions.iter().filter(|one| **one == kind);
        counter.inc_by(of_kind.count() as u64);
    }
    for (reason, slos) in [
        ("clock_went_back", report.clock_went_back),
        ("inconsistent_counts", report.inconsistent_counts),
    ] {
        let counter = metrics.evaluations_skipped.with_label_values(&[reason]);
        counter.inc_by(u64::try_from(slos).unwrap_or(u64::MAX));
    }
}

fn note_turn(turn: &TargetReport, metrics: &Metrics) {
    match &turn.result {
        Ok(report) => {
            let (target, kind) = (turn.target.as_str(), report.kind.unwrap_or("unknown"));
            for class in &report.attempts {
                let labels = [target, kind, class.as_str()];
                metrics.delivery_attempts.with_label_values(&labels).inc();
            }
            for length in &report.delivered_after {
                let seconds = metrics.delivery_latency.with_label_values(&[target, kind]);
                seconds.observe(length.as_secs_f64());
            }
            for (class, took) in &report.messages {
                let seconds = &metrics.delivery_attempt_seconds;
                let seconds = seconds.with_label_values(&[kind, class.as_str()]);
                seconds.observe(took.as_secs_f64());
            }
        }
        Err(error) => tracing::error!(
            notify.target = %turn.target, error = %error.in_full(), "a turn of deliveries failed"
        ),
    }
}
