//! One turn at one target: claim, send, settle.

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

/// A target that nobody declares is given up only after this long: while a new version of the
/// definitions is rolled out, one replica may not know yet what another does.
const UNDECLARED_GRACE: Duration = Duration::from_mins(10);

/// Sends what is due. Clones share everything.
#[derive(Clone, Debug)]
pub struct Deliverer {
    pub(super) store: Store,
    pub(super) catalog: watch::Receiver<Arc<Catalog>>,
    sender: Sender,
    pub(super) settings: Arc<DeliverSettings>,
}

/// What one turn did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// Of the target, as users write it; `None` if it is not declared.
    pub kind: Option<&'static str>,
    /// How each try ended.
    pub attempts: Vec<AttemptClass>,
    /// How each message that was sent ended, and how long that took; one may tell of many.
    pub messages: Vec<(AttemptClass, Duration)>,
    /// How long after its alert's change each was told.
    pub delivered_after: Vec<Duration>,
    /// Given up in this turn.
    pub dead: u64,
    /// Over before they could be told.
    pub collapsed: u64,
    /// Never tried and too old.
    pub expired: u64,
    /// Of a target that was removed.
    pub cancelled: u64,
    /// Sent, but somebody else owned the delivery by then: the target may have been told twice.
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

    /// Targets with something due, declared or not.
    pub async fn due_targets(&self, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let mut tx = self.store.begin("find targets with due deliveries").await?;
        let targets = tx.due_targets(now).await?;
        tx.commit().await?;
        Ok(targets)
    }

    /// Claims what is due at a target, sends it and records how that ended. An error means that the
    /// database was away; what had been sent will be sent again.
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
                // Its lease lapses and the delivery is tried again.
                Err(panic) => tracing::error!(error = %panic, "a delivery was cut short"),
            }
        }
        failure.map_or(Ok(report), Err)
    }

    pub(super) fn policy(&self, target: &Target) -> DeliveryPolicy {
        let rate_limit = channels::rate_limit(&target.kind);
        DeliveryPolicy::of(target, rate_limit, self.settings.at_once)
    }

    /// Ends what a removed target is still to be told, and says which alerts still fire there: nobody
    /// there will hear of their end.
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
        let mut report = self.settle(target, &dispatch, tried, (now, took)).await?;
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
