//! Monitors the service itself: sends one notification for each problem, and a periodic heartbeat
//! as long as there is none.
//!
//! Every replica calls [`Watcher::tick`] every few seconds. It reads the state of all replicas,
//! targets and SLOs and checks it ([`self_check`](crate::domain::health)). A finding opens one
//! check and later resolves it, by compare-and-swap on the check's version as for alerts; the
//! notification is written in the same transaction and delivered through the outbox. Once per
//! interval the first replica writes a heartbeat into the outbox, unless there is a reason to
//! withhold it: its absence is then the alarm. Whether the database answers at all is not checked
//! here, where everything depends on it, but in `deliver/database_outage.rs`.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    domain::{
        health::{
            CheckAnnouncement, CheckState, Finding, Found, HealthInputs, HoldTimes, findings, step,
            why_withheld,
        },
        model::{ids::Name, time::Timestamp},
        notify::{
            Notification, PlatformNotification, PlatformNotificationKind, PlatformNotificationLink,
        },
        slo::{Catalog, Severity, TargetKind},
    },
    store::{HealthCheck, NewNotification, OpenCheck, Store, StoreError, Tx},
};

/// The hold times to resolve a check of any kind that is not found any more.
const AFTER_THE_END: HoldTimes = HoldTimes {
    before_open: Duration::ZERO,
    before_resolve: Duration::from_mins(1),
};

/// The recipients of notifications, and the settings that the inputs are compared with.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    pub evaluation_interval: Duration,
    pub catch_up: Duration,
    pub heartbeat: Option<HeartbeatSettings>,
    /// The target for notifications about problems.
    pub platform_target: Option<Name>,
    /// The additional target if the problem is with the platform target itself.
    pub emergency_target: Option<Name>,
    /// The base URL of the pages.
    pub page_base_url: Option<String>,
}

#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
    pub target: Name,
    pub every: Duration,
}

/// The actions and findings of one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchReport {
    pub opened: usize,
    pub resolved: usize,
    /// All open checks, including those that were already notified.
    pub open: Vec<OpenCheck>,
    /// `None` if it was another replica's turn, or if no heartbeat is configured.
    pub heartbeat: Option<HeartbeatResult>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeartbeatResult {
    Sent,
    Withheld(Vec<String>),
}

/// Runs the self-checks. Clones share everything.
#[derive(Clone, Debug)]
pub struct Watcher {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    settings: Arc<WatchSettings>,
}

impl Watcher {
    pub fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        settings: WatchSettings,
    ) -> Self {
        Self {
            store,
            catalog,
            settings: Arc::new(settings),
        }
    }

    pub async fn tick(&self, now: Timestamp) -> Result<WatchReport, StoreError> {
        let catalog = Arc::clone(&*self.catalog.borrow());
        let signs = inputs::read(&self.store, &catalog, &self.settings, now).await?;
        let mut report = WatchReport::default();
        self.check(&signs, &catalog, &mut report).await?;
        if let Some(heartbeat) = &self.settings.heartbeat {
            report.heartbeat = self.send_heartbeat(heartbeat, &signs, &catalog).await?;
        }
        let mut tx = self.store.begin("read the open self-checks").await?;
        report.open = tx.open_checks().await?;
        tx.commit().await?;
        Ok(report)
    }

    /// Steps every check that is found now or was found before.
    async fn check(
        &self,
        signs: &HealthInputs,
        catalog: &Catalog,
        report: &mut WatchReport,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin("read the self-checks").await?;
        let mut kept = tx.health_checks().await?;
        tx.commit().await?;
        for finding in findings(signs) {
            let seen = kept.remove(&finding.key);
            let step = CheckStep {
                key: &finding.key,
                finding: Some(&finding),
                seen,
            };
            self.take(step, signs.now, catalog, report).await?;
        }
        for (key, seen) in kept {
            let step = CheckStep {
                key: &key,
                finding: None,
                seen: Some(seen),
            };
            self.take(step, signs.now, catalog, report).await?;
        }
        Ok(())
    }

    /// Writes a step and the notification that follows from it in one transaction.
    async fn take(
        &self,
        of: CheckStep<'_>,
        now: Timestamp,
        catalog: &Catalog,
        report: &mut WatchReport,
    ) -> Result<(), StoreError> {
        let state = of.seen.as_ref().map_or(CheckState::WELL, |seen| seen.state);
        let (found, hold_times) = of.finding.map_or((Found::No, AFTER_THE_END), |finding| {
            (Found::Yes, finding.hold_times)
        });
        let (next, announcement) = step(state, found, now, hold_times, Uuid::now_v7());
        if next == state {
            return Ok(());
        }
        let mut check = of.next(next);
        if matches!(announcement, Some(CheckAnnouncement::Opened { .. })) {
            check.notified_targets = self.recipients(of.finding, catalog);
        }
        let mut tx = self.store.begin("record a self-check's change").await?;
        if !tx
            .swap_health_check(of.key, state.version, &check, now)
            .await?
        {
            // Another replica was faster and sends the notification.
            return Ok(());
        }
        if let Some(announcement) = announcement {
            let notice = self.notice(&of, &check, announcement, now);
            enqueue(&mut tx, notice, &check, now).await?;
        }
        tx.commit().await?;
        report.count(announcement, of.key, &check);
        Ok(())
    }

    /// Returns the platform target, and also the emergency target if the platform target itself
    /// fails.
    fn recipients(&self, finding: Option<&Finding>, catalog: &Catalog) -> Vec<Name> {
        let platform = self.settings.platform_target.as_ref();
        let about = finding.and_then(|finding| finding.target.as_ref());
        let fails = platform.is_some_and(|platform| {
            about == Some(platform) || !catalog.targets.contains_key(platform)
        });
        let emergency = self.settings.emergency_target.as_ref().filter(|_| fails);
        let names = platform.into_iter().chain(emergency);
        let mut names: Vec<Name> = names
            .filter(|name| catalog.targets.contains_key(*name))
            .cloned()
            .collect();
        names.dedup();
        names
    }

    fn notice(
        &self,
        of: &CheckStep<'_>,
        check: &HealthCheck,
        announcement: CheckAnnouncement,
        now: Timestamp,
    ) -> PlatformNotification {
        let (kind, episode, since) = match announcement {
            CheckAnnouncement::Opened { episode } => {
                (PlatformNotificationKind::SelfCheckOpened, episode, now)
            }
            CheckAnnouncement::Resolved { episode, opened_at } => (
                PlatformNotificationKind::SelfCheckResolved,
                episode,
                opened_at,
            ),
        };
        PlatformNotification {
            kind,
            key: of.key.to_owned(),
            episode,
            severity: check.severity,
            title: check.title.clone(),
            lines: of
                .finding
                .map(|found| found.lines.clone())
                .unwrap_or_default(),
            links: self.links(),
            since,
            at: now,
        }
    }

    fn links(&self) -> Vec<PlatformNotificationLink> {
        let base = self.settings.page_base_url.as_deref();
        let link = |base: &str| PlatformNotificationLink {
            title: "Targets".to_owned(),
            url: format!("{}/targets", base.trim_end_matches('/')),
        };
        base.map(link).into_iter().collect()
    }

    /// Sends a heartbeat, or records why it is withheld.
    async fn send_heartbeat(
        &self,
        heartbeat: &HeartbeatSettings,
        signs: &HealthInputs,
        catalog: &Catalog,
    ) -> Result<Option<HeartbeatResult>, StoreError> {
        let now = signs.now;
        let mut tx = self.store.begin("send the heartbeat").await?;
        if !tx.claim_heartbeat(now, heartbeat.every).await? {
            return Ok(None);
        }
        tx.supersede_heartbeats(now).await?;
        let mut reasons = why_withheld(signs);
        reasons.extend(why_not_monitored(&heartbeat.target, catalog));
        tx.keep_heartbeat(now, &reasons).await?;
        let result = if reasons.is_empty() {
            let content = Notification::from(self.heartbeat(now));
            let notification = NewNotification {
                id: Uuid::now_v7(),
                content: &content,
                targets: std::slice::from_ref(&heartbeat.target),
                urgency: Severity::Ticket,
            };
            tx.enqueue_notification(notification, now).await?;
            HeartbeatResult::Sent
        } else {
            tracing::warn!("the heartbeat is withheld: {}", reasons.join("; "));
            HeartbeatResult::Withheld(reasons)
        };
        tx.forget_heartbeats(now).await?;
        tx.commit().await?;
        Ok(Some(result))
    }

    fn heartbeat(&self, now: Timestamp) -> PlatformNotification {
        PlatformNotification {
            kind: PlatformNotificationKind::Heartbeat,
            key: "throughline/heartbeat".to_owned(),
            episode: Uuid::nil(),
            severity: Severity::Ticket,
            title: "Throughline receives, evaluates and notifies".to_owned(),
            lines: Vec::new(),
            links: self.links(),
            since: now,
            at: now,
        }
    }
}

/// A check before its step, and its current finding.
struct CheckStep<'a> {
    key: &'a str,
    finding: Option<&'a Finding>,
    seen: Option<HealthCheck>,
}

impl CheckStep<'_> {
    /// Returns the check as it is after the step; its texts are from the last time it was found.
    fn next(&self, state: CheckState) -> HealthCheck {
        let seen = self.seen.as_ref();
        let notified_targets = seen
            .map(|seen| seen.notified_targets.clone())
            .unwrap_or_default();
        match (self.finding, seen) {
            (Some(finding), _) => HealthCheck {
                state,
                severity: finding.severity,
                title: finding.title.clone(),
                notified_targets,
            },
            (None, seen) => HealthCheck {
                state,
                severity: seen.map_or(Severity::Ticket, |seen| seen.severity),
                title: seen.map(|seen| seen.title.clone()).unwrap_or_default(),
                notified_targets,
            },
        }
    }
}

async fn enqueue(
    tx: &mut Tx<'_>,
    notice: PlatformNotification,
    check: &HealthCheck,
    now: Timestamp,
) -> Result<(), StoreError> {
    let content = Notification::from(notice);
    let notification = NewNotification {
        id: Uuid::now_v7(),
        content: &content,
        targets: &check.notified_targets,
        urgency: check.severity,
    };
    tx.enqueue_notification(notification, now).await.map(drop)
}

/// Returns why `target` would not notice missing heartbeats; `None` if it would.
fn why_not_monitored(target: &Name, catalog: &Catalog) -> Option<String> {
    let Some(declared) = catalog.targets.get(target) else {
        return Some(format!("its target `{target}` is not declared"));
    };
    match declared.kind {
        TargetKind::Webhook { .. } | TargetKind::Alertmanager { .. } => None,
        TargetKind::Slack { .. }
        | TargetKind::SlackBot { .. }
        | TargetKind::PagerDuty { .. }
        | TargetKind::Teams { .. } => Some(format!(
            "its target `{target}` is neither a webhook nor an Alertmanager, so it would not notice missing heartbeats"
        )),
    }
}

impl WatchReport {
    fn count(&mut self, announcement: Option<CheckAnnouncement>, key: &str, check: &HealthCheck) {
        let title = &check.title;
        match announcement {
            None => {}
            Some(CheckAnnouncement::Opened { .. }) => {
                self.opened += 1;
                tracing::warn!(check = key, notified = ?check.notified_targets, "self-check: {title}");
            }
            Some(CheckAnnouncement::Resolved { .. }) => {
                self.resolved += 1;
                tracing::info!(check = key, notified = ?check.notified_targets, "self-check is healthy again: {title}");
            }
        }
    }
}

mod inputs;
