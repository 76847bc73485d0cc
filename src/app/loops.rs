//! Everything that happens again and again: each a tick, called by [`Periodic`].

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Mutex, watch},
    time::MissedTickBehavior,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    catalog::{CatalogKeeper, InForce, Look},
    monitoring::{self, Pulse},
    periodic::Periodic,
    prepare,
};
use crate::{
    clock::Clock,
    config::{Config, DeliveryConfig},
    deliver::{AddressPolicy, DeliverSettings, Deliverer, Dispatcher, Reminder, TargetReport},
    domain::{
        alerting::limit,
        counting::customers::HOURS_TELL,
        model::{
            sampling::EndSampling,
            time::{TimeRange, Timestamp},
        },
        notify::signed_links::{ActionAddresses, SignedLinks, signing::SigningKey},
        slo::{Catalog, Slo},
        workflow::{
            reservoir::REMEMBERED,
            watermark::{OutageLimits, ReplicaId},
        },
    },
    evaluate::{
        EnrichmentConfig, EvaluationReport, Evaluator, EvaluatorSettings,
        overdue::{DeadlineScan, losses_kept},
        resolve_links::Unplaced,
        stages::{StageFolder, stage_spans_kept},
    },
    store::{Retention, Store, Writer},
    telemetry::metrics::Metrics,
};

/// Signs of life, overdue workflows, and files: often enough that nobody waits for them.
const SECOND: Duration = Duration::from_secs(1);
/// No sign of life for this long is an outage: ten beats were missed.
const SILENCE: Duration = Duration::from_secs(10);
/// Where the time goes is looked at by people.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);
/// An Alertmanager takes what it has not heard of for five minutes for over.
const REMINDER_INTERVAL: Duration = Duration::from_mins(1);
const RETENTION_INTERVAL: Duration = Duration::from_hours(1);
/// Hours and days are kept for a calendar year and some weeks to compare.
const KEEP_HOURS: Duration = Duration::from_hours(9600);
const DAY: Duration = Duration::from_hours(24);

pub(super) struct Loops {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) replica: ReplicaId,
    pub(super) signing_key: SigningKey,
    pub(super) in_force: InForce,
    pub(super) keeper: CatalogKeeper,
    pub(super) watermark: watch::Sender<Timestamp>,
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
        self.spawn_overdue(tasks, &periodic);
        self.spawn_unplaced(tasks, &periodic);
        self.spawn_stages(tasks, &periodic);
        self.spawn_evaluation(tasks, &periodic);
        self.spawn_retention(tasks, &periodic);
        self.spawn_delivery(tasks, &periodic)?;
        monitoring::spawn_watcher(
            tasks,
            &periodic,
            (&self.config, &self.store, &self.in_force),
        );
        tasks.spawn(follow_definitions(self.keeper, periodic));
        Ok(())
    }

    fn spawn_heartbeat(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let pulse = Pulse {
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            replica: self.replica,
            limits: outage_limits(&self.config),
            watermark: self.watermark.clone(),
            clock: self.clock.clone(),
        };
        tasks.spawn(periodic.clone().run("heartbeat", SECOND, move |now| {
            let pulse = pulse.clone();
            async move { pulse.beat(now).await }
        }));
    }

    fn spawn_overdue(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let overdue = DeadlineScan {
            store: self.store.clone(),
            writer: self.writer,
            classifier: self.in_force.classifier.clone(),
        };
        let watermark = self.watermark.subscribe();
        tasks.spawn(periodic.clone().run("overdue", SECOND, move |now| {
            let (overdue, up_to) = (overdue.clone(), *watermark.borrow());
            async move { Ok(overdue.tick(now, up_to).await?) }
        }));
    }

    fn spawn_unplaced(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let unplaced = Unplaced {
            store: self.store.clone(),
            writer: self.writer,
            classifier: self.in_force.classifier.clone(),
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
        let folder = StageFolder {
            store: self.store.clone(),
            classifier: self.in_force.classifier.clone(),
        };
        tasks.spawn(periodic.clone().run("stages", FOLD_INTERVAL, move |now| {
            let folder = folder.clone();
            async move { Ok(folder.tick(now).await?) }
        }));
    }

    fn spawn_evaluation(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let evaluation = &self.config.evaluation;
        let settings = EvaluatorSettings {
            interval: evaluation.evaluation_interval,
            page_base_url: evaluation.public_url.clone(),
        };
        let evaluator = Evaluator::new(self.store.clone(), self.in_force.catalog.clone(), settings)
            .with(EnrichmentConfig {
                trace_viewers: evaluation.trace_viewers.clone(),
                pseudonyms: Some(self.signing_key.clone()),
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
            ..deliver_settings(&self.config.delivery)
        };
        let parts = (&self.config, &self.store, &self.in_force);
        monitoring::spawn_emergency(tasks, periodic, parts, &settings)?;
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
        let standing_in = deliverer.clone();
        tasks.spawn(periodic.clone().run("escalate", SECOND, move |now| {
            let deliverer = standing_in.clone();
            async move { Ok(deliverer.hand_over(now).await?) }
        }));
        self.spawn_reconciler(tasks, periodic);
        let dispatcher = Arc::new(Mutex::new(Dispatcher::new(deliverer)));
        let looping = periodic.clone().run("deliver", SECOND, {
            let (dispatcher, metrics) = (Arc::clone(&dispatcher), self.metrics.clone());
            move |now| deliver(Arc::clone(&dispatcher), metrics.clone(), now)
        });
        let looping = Box::pin(looping);
        tasks.spawn(async move {
            looping.await;
            // What is under way is finished: a notification that was sent should be known as sent.
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

    fn spawn_retention(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let (store, catalog) = (self.store.clone(), self.in_force.catalog.clone());
        let horizon = self.config.receiver.horizon;
        tasks.spawn(
            periodic
                .clone()
                .run("retention", RETENTION_INTERVAL, move |now| {
                    let (store, catalog) = (store.clone(), Arc::clone(&catalog.borrow()));
                    async move {
                        prepare(&store, now, horizon).await?;
                        let mut tx = store.begin("drop what is no longer needed").await?;
                        tx.drop_oldest_epoch(now, horizon).await?;
                        let dropped = tx
                            .drop_old_counts(now, &retention(&catalog, (now, horizon)))
                            .await?;
                        tx.forget_end_sampling(now - EndSampling::REMEMBERED)
                            .await?;
                        tx.commit().await?;
                        let mut tx = store.begin("trim the samples of events").await?;
                        let sampled = TimeRange::ending_at(now, REMEMBERED * 2);
                        tx.trim_samples(sampled).await?;
                        tx.forget_requests(now - DAY).await?;
                        tx.commit().await?;
                        let mut tx = store.begin("drop customers of long ago").await?;
                        let days = longest_window(&catalog).max(horizon) + DAY * 3;
                        let hours = horizon.max(HOURS_TELL) + DAY * 2;
                        tx.drop_old_customers(now - hours, now - days).await?;
                        tx.commit().await?;
                        free_group_places(&store, &catalog, now).await?;
                        forget_losses(&store, &catalog, (now, horizon)).await?;
                        forget_stages(&store, &catalog, (now, horizon)).await?;
                        let mut tx = store.begin("forget what happened long ago").await?;
                        tx.delete_old_change_events(now).await?;
                        tx.commit().await?;
                        Ok(dropped)
                    }
                }),
        );
    }
}

/// Of values that come no more, so that others may be told apart.
async fn free_group_places(store: &Store, catalog: &Catalog, now: Timestamp) -> anyhow::Result<()> {
    let grouped = catalog.slos.values().filter(|slo| slo.group_by.is_some());
    for slo in grouped {
        let mut tx = store.begin("free the places of groups").await?;
        tx.free_group_places(&slo.name, slo.window.length(), now)
            .await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn forget_losses(
    store: &Store,
    catalog: &Catalog,
    (now, horizon): (Timestamp, Duration),
) -> anyhow::Result<()> {
    let slos = catalog.slos.values().map(AsRef::as_ref);
    let mut tx = store.begin("forget when evidence was lost").await?;
    tx.forget_losses(now - losses_kept(slos, horizon)).await?;
    Ok(tx.commit().await?)
}

/// What tells where the time went: single spans, a day in each transaction, and old sums.
async fn forget_stages(
    store: &Store,
    catalog: &Catalog,
    (now, horizon): (Timestamp, Duration),
) -> anyhow::Result<()> {
    let slos = catalog.slos.values().map(AsRef::as_ref);
    let keep = stage_spans_kept(slos, horizon);
    loop {
        let mut tx = store.begin("forget spans of stages").await?;
        let forgot = tx.forget_stage_spans(now, keep).await?;
        tx.commit().await?;
        if !forgot {
            break;
        }
    }
    let mut tx = store.begin("forget old sums of stages").await?;
    tx.forget_stage_sums(now).await?;
    tx.commit().await?;
    Ok(())
}

/// When a replica was away, and how long its senders are waited for.
pub(super) const fn outage_limits(config: &Config) -> OutageLimits {
    OutageLimits {
        silence: SILENCE,
        catch_up: config.receiver.catch_up,
    }
}

/// Looks at the files every second and at once on SIGHUP. Polling, since notifications of file
/// systems miss what Kubernetes does with the links of a `ConfigMap`.
async fn follow_definitions(mut keeper: CatalogKeeper, periodic: Periodic) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGHUP; definitions are not followed");
            return;
        }
    };
    let mut timer = tokio::time::interval(SECOND);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            _ = hangup.recv() => {}
            () = periodic.shutdown.cancelled() => return,
        }
        let look = keeper.look(periodic.clock.now());
        match periodic.measure("definitions", look).await {
            Ok(Look::Refused { .. }) => {
                for problem in keeper.problems() {
                    tracing::error!("definitions are refused: {problem}");
                }
            }
            Ok(Look::Unchanged | Look::InForce { .. }) => {}
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), "cannot bring definitions into force");
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
    for kind in &report.transitions {
        let counter = metrics
            .alert_transitions
            .with_label_values(&[kind.as_str()]);
        counter.inc();
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
            for length in &report.told_after {
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

fn retention(catalog: &Catalog, (now, horizon): (Timestamp, Duration)) -> Retention {
    let minutes = catalog.slos.values().map(|slo| needs_minutes(slo, now));
    let minutes = minutes.max().unwrap_or(DAY * 30);
    Retention {
        minutes: minutes.max(horizon) + DAY * 2,
        hours: KEEP_HOURS.max(longest_window(catalog) + DAY * 2),
    }
}

/// Planned work is cut out to the minute, however long ago it was.
fn needs_minutes(slo: &Slo, now: Timestamp) -> Duration {
    let window = if slo.exclusions.is_empty() {
        slo.window.needs_minutes(now)
    } else {
        slo.window.length()
    };
    let rules = slo.alerting.rules.iter().map(|rule| rule.long);
    let limits = slo.alerting.limits.iter();
    let limits = limits.flat_map(|rule| limit::look_backs(rule.limit));
    rules.chain(limits).max().unwrap_or_default().max(window)
}

fn longest_window(catalog: &Catalog) -> Duration {
    let lengths = catalog.slos.values().map(|slo| slo.window.length());
    lengths.max().unwrap_or(DAY * 30)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::domain::{
        model::window::{Calendar, CalendarUnit, SloWindow},
        slo::{
            Indicator, SpanIndicator,
            exclusion::{Exclusion, ExclusionScope},
        },
        traceql::Selector,
    };

    fn by_the_year() -> Slo {
        let all = Selector::parse("{ true }").unwrap();
        Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            SloWindow::Calendar(Calendar {
                unit: CalendarUnit::Year,
                zone: Tz::Europe__London,
            }),
            Indicator::Span(SpanIndicator::new(all.clone(), all)),
        )
    }

    /// Days that minutes and hours are kept for.
    fn kept(slo: Slo) -> (u64, u64) {
        let mut catalog = Catalog::default();
        catalog.slos.insert(slo.name.clone(), Arc::new(slo));
        let now = Timestamp::from_secs(1_795_327_200);
        let kept = retention(&catalog, (now, DAY * 7));
        (
            kept.minutes.as_secs() / 86_400,
            kept.hours.as_secs() / 86_400,
        )
    }

    #[test]
    fn a_year_is_kept_by_the_hour_and_by_the_minute_where_planned_work_is_cut_out() {
        assert_eq!(kept(by_the_year()), (33, 400));
        let planned = Exclusion {
            name: "upgrade".parse().unwrap(),
            scope: ExclusionScope::All,
            reason: "upgrade".to_owned(),
            stretches: Vec::new(),
        };
        let with_planned_work = Slo {
            exclusions: vec![Arc::new(planned)],
            ..by_the_year()
        };
        assert_eq!(kept(with_planned_work), (368, 400));
    }
}
