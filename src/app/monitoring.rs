//! Starts the monitoring of the service itself, and exports its findings as metrics.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    catalog::InForce, kafka::KafkaProblems, last_span_at, loops::periodic::Periodic,
    ports::TlsReloaders,
};
use crate::{
    clock::Clock,
    config::Config,
    deliver::{DeliverSettings, Emergency, EmergencyReport, EmergencySettings},
    domain::{
        health::{CertificateState, certificates_in},
        model::{
            format,
            time::{TimeRange, Timestamp},
        },
        slo::definition::digest,
        workflow::watermark::{OutageLimits, ReplicaId, Watermark},
    },
    ingest::refused::RejectedSenders,
    monitor::{HeartbeatResult, HeartbeatSettings, WatchReport, WatchSettings, Watcher},
    oidc::IdentityProvider,
    store::{ReplicaSigns, Store, StoreError, Tx},
    telemetry::metrics::Metrics,
    web::{DefinitionsStatus, PendingFiles},
};

/// Problems should be reported within seconds, and a check reads only a few rows.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The name of an installation without a public URL.
const UNNAMED: &str = "throughline";

/// Starts the self-checks and the heartbeat.
pub(super) fn spawn_watcher(
    tasks: &TaskTracker,
    periodic: &Periodic,
    config: &Config,
    store: &Store,
    in_force: &InForce,
) {
    let watching = &config.watching;
    let heartbeat = watching.heartbeat_target.clone();
    let settings = WatchSettings {
        evaluation_interval: config.evaluation.evaluation_interval,
        catch_up: config.receiver.limits.catch_up,
        heartbeat: heartbeat.map(|target| HeartbeatSettings {
            target,
            every: watching.heartbeat_interval,
        }),
        platform_target: watching.platform_target.clone(),
        emergency_target: watching.emergency_target.clone(),
        page_base_url: config.evaluation.public_url.clone(),
    };
    let interval = LOOK_INTERVAL.min(watching.heartbeat_interval);
    let watcher = Watcher::new(store.clone(), in_force.catalog.clone(), settings);
    let metrics = periodic.metrics.clone();
    tasks.spawn(periodic.clone().run("monitor", interval, move |now| {
        let (watcher, metrics) = (watcher.clone(), metrics.clone());
        async move {
            let report = watcher.tick(now).await?;
            measure(&report, &metrics, now);
            Ok(report)
        }
    }));
}

fn measure(report: &WatchReport, metrics: &Metrics, now: Timestamp) {
    metrics.self_checks.reset();
    for check in &report.open {
        let open = metrics.self_checks.with_label_values(&[&check.key]);
        open.set(1.0);
    }
    match &report.heartbeat {
        Some(HeartbeatResult::Sent) => {
            metrics.heartbeat_timestamp.set(now.as_secs_f64());
            metrics.heartbeat_withheld.set(0.0);
        }
        Some(HeartbeatResult::Withheld(_)) => metrics.heartbeat_withheld.set(1.0),
        None => {}
    }
}

/// Starts the check that the database answers, which sends a notification if it does not.
pub(super) fn spawn_emergency(
    tasks: &TaskTracker,
    periodic: &Periodic,
    config: &Config,
    store: &Store,
    in_force: &InForce,
    deliver: &DeliverSettings,
) -> anyhow::Result<()> {
    let watching = &config.watching;
    let Some(target) = watching.emergency_target.clone() else {
        return Ok(());
    };
    let settings = EmergencySettings {
        target,
        after: watching.emergency_after,
        service: service_name(config.evaluation.public_url.as_deref()),
    };
    let interval = LOOK_INTERVAL.min(watching.emergency_after / 2);
    let emergency = Emergency::new(store.clone(), in_force.catalog.clone(), settings, deliver)?;
    let metrics = periodic.metrics.clone();
    tasks.spawn(
        periodic
            .clone()
            .run("database_outage", interval, move |now| {
                let (emergency, metrics) = (emergency.clone(), metrics.clone());
                async move {
                    let report: EmergencyReport = emergency.tick(now).await;
                    let away = if report.database_answers { 0.0 } else { 1.0 };
                    metrics.database_unavailable.set(away);
                    Ok(report)
                }
            }),
    );
    Ok(())
}

/// Returns the address without its scheme: the name that people use for the installation.
fn service_name(public_url: Option<&str>) -> String {
    let named = public_url.map(|url| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.trim_end_matches('/').to_owned()
    });
    named.unwrap_or_else(|| UNNAMED.to_owned())
}

/// The result of the last heartbeat.
#[derive(Clone, Copy, Debug)]
pub(super) enum PulseEnd {
    Committed(Timestamp),
    /// With the time of the last committed heartbeat; `None` before the first.
    Failed(Option<Timestamp>),
}

impl PulseEnd {
    const fn committed_at(self) -> Option<Timestamp> {
        match self {
            Self::Committed(at) => Some(at),
            Self::Failed(at) => at,
        }
    }
}

/// The heartbeat of one replica, and what is recorded with it.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) replica: ReplicaId,
    pub(super) last: watch::Sender<PulseEnd>,
    pub(super) limits: OutageLimits,
    pub(super) watermark: watch::Sender<Timestamp>,
    pub(super) clock: Clock,
    pub(super) definitions: watch::Receiver<Arc<DefinitionsStatus>>,
    pub(super) refused: RejectedSenders,
    pub(super) kafka_problems: KafkaProblems,
    pub(super) provider: Option<IdentityProvider>,
    pub(super) certificates: TlsReloaders,
}

impl Pulse {
    fn signs(&self, clock_offset_ms: i64, now: Timestamp) -> ReplicaSigns {
        let certificates = self.certificates.certificates();
        let definitions = self.definitions.borrow();
        let proposed = match &definitions.pending {
            Some(PendingFiles::Apply(files)) => Some(digest(files)),
            Some(PendingFiles::Clear(_)) | None => None,
        };
        ReplicaSigns {
            clock_offset_ms,
            last_span_at: last_span_at(&self.metrics),
            definition_problems: definitions.problems.clone(),
            definitions_hash: proposed,
            rejected_senders: self.refused.sentences(),
            login_problems: self
                .provider
                .iter()
                .filter_map(IdentityProvider::problem)
                .collect(),
            kafka_problems: self.kafka_problems.borrow().clone(),
            certificates_expired: certificates_in(CertificateState::Expired, &certificates, now),
            certificates_expiring: certificates_in(
                CertificateState::ExpiresSoon,
                &certificates,
                now,
            ),
        }
    }

    /// Records that this replica is receiving and how far the clock of its machine is off, and
    /// returns the watermark of all replicas. From then on this replica uses the database's time.
    pub(super) async fn record_heartbeat(&self, now: Timestamp) -> anyhow::Result<Watermark> {
        let before = *self.last.borrow();
        self.last
            .send_replace(PulseEnd::Failed(before.committed_at()));
        let ahead_ms = self.read_clock().await?;
        let signs = self.signs(ahead_ms, now);
        let mut tx = self.store.begin("record a heartbeat").await?;
        let lost = self.examine_database(&mut tx, before, now).await?;
        let noted = tx.record_heartbeat(self.replica, now, &self.limits).await?;
        tx.note_signs(self.replica, &signs).await?;
        tx.commit().await?;
        self.last.send_replace(PulseEnd::Committed(now));
        if let Some(lost) = lost {
            tracing::warn!(
                "a standby of the database was promoted that lacks committed data: spans received from {} to {} are lost, so workflows that were open then do not time out",
                format::date_time(lost.from),
                format::date_time(lost.to)
            );
        }
        let as_of = noted.as_of(now);
        self.watermark.send_replace(as_of);
        self.metrics.watermark_timestamp.set(as_of.as_secs_f64());
        Ok(noted)
    }

    /// Checks the database after a failed heartbeat: it may now be another server.
    async fn examine_database(
        &self,
        tx: &mut Tx<'_>,
        before: PulseEnd,
        now: Timestamp,
    ) -> Result<Option<TimeRange>, StoreError> {
        if matches!(before, PulseEnd::Failed(_)) {
            tx.keep_database_identity().await?;
        }
        match before.committed_at() {
            Some(committed_at) => tx.note_lost_commits(self.replica, committed_at, now).await,
            None => Ok(None),
        }
    }

    /// Returns by how many milliseconds the machine's clock is ahead of the database's.
    async fn read_clock(&self) -> anyhow::Result<i64> {
        let asked_at = Instant::now();
        let database = self.store.now().await?;
        self.clock.keep_to(database, asked_at);
        let here = Clock::System.now() - asked_at.elapsed() / 2;
        let ahead_ms = here.micros_since(database) / 1_000;
        #[expect(clippy::cast_precision_loss, reason = "clocks are not millennia apart")]
        self.metrics.clock_skew.set(ahead_ms as f64 / 1e3);
        Ok(ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_called_by_its_address() {
        assert_eq!(
            service_name(Some("https://slo.example.com/")),
            "slo.example.com"
        );
        assert_eq!(service_name(None), "throughline");
    }
}
