//! One turn for one target: claim, send, settle.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::Instrument as _;

use super::{
    http::client::BuildClientError,
    sender::{Dispatch, Sender},
    settings::DeliverSettings,
};
use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{
            channels,
            delivery::{AttemptClass, plan::DeliveryPolicy},
        },
        slo::{Catalog, Target},
    },
    failpoint::{self, Failpoint},
    store::{Store, StoreError},
};

#[derive(Debug, thiserror::Error)]
pub enum StartDelivererError {
    #[error(
        "a lease of {lease:?} is too short: it must be at least {needed:?}, twice a timeout and 5 s"
    )]
    ShortLease { lease: Duration, needed: Duration },
    #[error(transparent)]
    Client(#[from] BuildClientError),
}

/// The delay before the deliveries to an undeclared target are cancelled: during a rollout of new
/// definitions, one replica may not yet know a target that another already uses.
const UNDECLARED_GRACE: Duration = Duration::from_mins(10);

/// Sends the due deliveries. Clones share everything.
#[derive(Clone, Debug)]
pub struct Deliverer {
    pub(super) store: Store,
    pub(super) catalog: watch::Receiver<Arc<Catalog>>,
    sender: Sender,
    pub(super) settings: Arc<DeliverSettings>,
}

/// The result of one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The kind of the target as in its definition; `None` if it is not declared.
    pub kind: Option<&'static str>,
    /// The result of each attempt.
    pub attempts: Vec<AttemptClass>,
    /// The result of each message that was sent, and how long it took; a digest covers several
    /// deliveries.
    pub messages: Vec<(AttemptClass, Duration)>,
    /// The delay of each delivery after the change of its alert.
    pub delivered_after: Vec<Duration>,
    /// Deliveries that failed permanently in this turn.
    pub dead: u64,
    /// Deliveries that were skipped because their alert resolved before they could be sent.
    pub collapsed: u64,
    /// Deliveries that were never attempted and are too old.
    pub expired: u64,
    /// Deliveries to a target that was removed.
    pub cancelled: u64,
    /// Deliveries that were sent although another replica owned them by then: the target may have
    /// received them twice.
    pub leases_lost: u64,
}

impl Deliverer {
    pub fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        settings: DeliverSettings,
    ) -> Result<Self, StartDelivererError> {
        let longest = settings.chat_timeout.max(settings.webhook_timeout);
        let needed = 2 * longest + Duration::from_secs(5);
        if settings.lease < needed {
            let lease = settings.lease;
            return Err(StartDelivererError::ShortLease { lease, needed });
        }
        let settings = Arc::new(settings);
        Ok(Self {
            store,
            catalog,
            sender: Sender::new(Arc::clone(&settings))?,
            settings,
        })
    }

    /// Returns the targets with due deliveries, declared or not.
    pub async fn due_targets(&self, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let mut tx = self.store.begin("find targets with due deliveries").await?;
        let targets = tx.due_targets(now).await?;
        tx.commit().await?;
        Ok(targets)
    }

    /// Claims the due deliveries to a target, sends them and records the results. An error means
    /// that the database was unavailable; the sent messages will be sent again.
    pub async fn deliver_due(
        &self,
        target: &Name,
        now: Timestamp,
    ) -> Result<DeliveryReport, StoreError> {
        let declared = self.catalog.borrow().targets.get(target).map(Arc::clone);
        let Some(declared) = declared else {
            return self.cancel(target, now).await;
        };
        let (dispatches, mut report) = self.claim(&declared, now).await?;
        let mut sending = JoinSet::new();
        for dispatch in dispatches {
            let (this, target) = (self.clone(), Arc::clone(&declared));
            let delivering = async move { this.deliver(&target, dispatch, now).await };
            sending.spawn(delivering.in_current_span());
        }
        let mut failure = None;
        while let Some(ended) = sending.join_next().await {
            match ended {
                Ok(Ok(one)) => report.add(one),
                Ok(Err(error)) => failure = Some(error),
                // The lease of the delivery expires, and it is attempted again.
                Err(panic) => tracing::error!(error = %panic, "a delivery was aborted"),
            }
        }
        failure.map_or(Ok(report), Err)
    }

    pub(super) fn policy(&self, target: &Target) -> DeliveryPolicy {
        let rate_limit = channels::rate_limit(&target.kind);
        DeliveryPolicy::of(target, rate_limit, self.settings.at_once)
    }

    /// Cancels the open deliveries to a removed target, and logs which of its alerts are still
    /// firing, since the target is not notified when they resolve.
    async fn cancel(&self, target: &Name, now: Timestamp) -> Result<DeliveryReport, StoreError> {
        let reason = format!("target `{target}` is not declared any more");
        let mut tx = self
            .store
            .begin("cancel deliveries to an undeclared target")
            .await?;
        let cancelled = tx
            .cancel_deliveries(target, now - UNDECLARED_GRACE, now, &reason)
            .await?;
        let still_firing = if cancelled > 0 {
            tx.firing_at(target).await?
        } else {
            Vec::new()
        };
        tx.commit().await?;
        if cancelled > 0 {
            tracing::error!(notify.target = %target, cancelled, "cancelled deliveries: {reason}");
        }
        for slo in still_firing {
            tracing::error!(
                notify.target = %target, slo.name = %slo,
                "target `{target}` was removed while `{slo}` fires: it is not notified when the alert resolves"
            );
        }
        Ok(DeliveryReport {
            cancelled,
            ..DeliveryReport::default()
        })
    }

    async fn deliver(
        &self,
        target: &Target,
        dispatch: Dispatch,
        now: Timestamp,
    ) -> Result<DeliveryReport, StoreError> {
        let started = Instant::now();
        let tried = tokio::select! {
            tried = self.sender.attempt(target, &dispatch, now) => tried,
            never = failpoint::wait_at(Failpoint::AnswerAwaited) => match never {},
        };
        failpoint::reach(Failpoint::DeliveryAnswered);
        let (took, class) = (started.elapsed(), tried.reaction.class);
        let mut report = self.settle(target, &dispatch, tried, now, took).await?;
        report.messages.push((class, took));
        Ok(report)
    }
}

impl DeliveryReport {
    pub(super) fn add(&mut self, other: Self) {
        self.attempts.extend(other.attempts);
        self.messages.extend(other.messages);
        self.delivered_after.extend(other.delivered_after);
        self.dead += other.dead;
        self.collapsed += other.collapsed;
        self.expired += other.expired;
        self.cancelled += other.cancelled;
        self.leases_lost += other.leases_lost;
    }
}
