//! Sends the report of each month to the targets that ask for it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::loops::{Loops, periodic::Periodic};
use crate::{
    domain::{
        model::{
            ids::id_named_after,
            time::{TimeRange, Timestamp},
        },
        notify::{
            Notification, PlatformNotification, PlatformNotificationKind, PlatformNotificationLink,
        },
        slo::{Catalog, Severity},
    },
    store::{NewNotification, SentReport, Store, StoreError, TargetReportKey},
    web::{ReportMessage, report_message},
};

const INTERVAL: Duration = Duration::from_mins(1);

/// Writes reports into the outbox when they are due. Clones share their state.
#[derive(Clone, Debug)]
pub struct Reporter {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    /// The base URL of the pages.
    page_base_url: Option<String>,
}

impl Loops {
    pub(super) fn spawn_reports(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let public_url = self.config.evaluation.public_url.clone();
        let reporter = Reporter::new(
            self.store.clone(),
            self.in_force.catalog.clone(),
            public_url,
        );
        tasks.spawn(periodic.clone().run("reports", INTERVAL, move |now| {
            let reporter = reporter.clone();
            async move { Ok(reporter.tick(now).await?) }
        }));
    }
}

impl Reporter {
    pub const fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        page_base_url: Option<String>,
    ) -> Self {
        Self {
            store,
            catalog,
            page_base_url,
        }
    }

    /// Adds due reports to the outbox, and returns their number. Writes only if there is one, or if one
    /// is not declared any more.
    pub async fn tick(&self, now: Timestamp) -> Result<u64, StoreError> {
        let catalog = Arc::clone(&*self.catalog.borrow());
        let declared = catalog.targets.values().flat_map(|target| {
            let reports = target.reports.iter();
            reports.map(|report| (&target.name, report))
        });
        let declared: Vec<TargetReportKey<'_>> = declared.collect();
        let sent = self.sent(&declared).await?;
        let mut added = 0;
        for report in declared {
            let Some(month) = report.1.due_month(now) else {
                continue;
            };
            let is_sent = |one: &SentReport| one.is_of(report) && one.covers(month.from);
            if !sent.iter().any(is_sent) {
                added += self.send(&catalog, report, month, now).await?;
            }
        }
        Ok(added)
    }

    /// Returns the reports that were sent, and forgets those that are not declared any more.
    async fn sent(&self, declared: &[TargetReportKey<'_>]) -> Result<Vec<SentReport>, StoreError> {
        let mut tx = self.store.begin("read which reports were sent").await?;
        let sent = tx.sent_reports().await?;
        let is_declared = |one: &SentReport| declared.iter().any(|report| one.is_of(*report));
        if !sent.iter().all(is_declared) {
            tx.forget_reports(declared).await?;
        }
        tx.commit().await?;
        Ok(sent)
    }

    /// The claim and the deliveries are one transaction. The id is the same after a restored backup, so
    /// that receivers drop what they have.
    async fn send(
        &self,
        catalog: &Catalog,
        (target, schedule): TargetReportKey<'_>,
        month: TimeRange,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut tx = self.store.begin("send the report of a month").await?;
        let is_due = tx.claim_report((target, schedule), month.from).await?;
        let mut sent = 0;
        if is_due {
            let team = schedule.team.as_deref();
            let message = report_message(&mut tx, catalog, month, now, team).await?;
            let id = id_named_after(&format!("{target} {}", message.path));
            let content = Notification::from(self.notification(message, team, id, now));
            let notification = NewNotification {
                id,
                content: &content,
                targets: std::slice::from_ref(target),
                urgency: Severity::Ticket,
            };
            sent = tx.enqueue_notification(notification, now).await?;
        }
        tx.commit().await?;
        Ok(sent)
    }

    fn notification(
        &self,
        message: ReportMessage,
        team: Option<&str>,
        id: Uuid,
        now: Timestamp,
    ) -> PlatformNotification {
        let base = self.page_base_url.as_deref();
        let link = |base: &str| PlatformNotificationLink {
            title: "Report".to_owned(),
            url: format!("{}{}", base.trim_end_matches('/'), message.path),
        };
        PlatformNotification {
            kind: PlatformNotificationKind::Report,
            key: format!("throughline/report/{}", team.unwrap_or("all")),
            episode: id,
            severity: Severity::Ticket,
            title: message.title,
            lines: message.lines,
            links: base.map(link).into_iter().collect(),
            since: now,
            at: now,
        }
    }
}
