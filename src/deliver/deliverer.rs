//! One turn at one target: claim, send, settle.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    classify::Reaction,
    client::BuildClientError,
    sender::{Errand, Sender, Tried},
    settings::DeliverSettings,
};
use crate::{
    domain::{
        definition::{Catalog, Target, TargetKind},
        delivery::{Attempt, AttemptClass},
        names::Name,
        notification::Telling,
        retry::{Attempts, Retry, RetryPolicy},
        time::Timestamp,
    },
    failpoint::{self, Step},
    store::{Claim, ClaimedDelivery, Lease, Settlement, Store, StoreError},
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

/// How often a target is tried that must be mended by somebody: seldom, but without being asked.
const BROKEN_FLOOR: Duration = Duration::from_mins(5);

/// An alert that fires again so soon after it was over is told where its last episode was.
const SAME_THREAD: Duration = Duration::from_mins(30);

/// Sends what is due. Clones share everything.
#[derive(Clone, Debug)]
pub struct Deliverer {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    sender: Sender,
    settings: Arc<DeliverSettings>,
}

/// What one turn did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// How each try ended.
    pub attempts: Vec<AttemptClass>,
    /// Given up in this turn.
    pub dead: u64,
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
            return self.bury(target, now).await;
        };
        let mut sending = JoinSet::new();
        for errand in self.claim(&declared, now).await? {
            let (this, target) = (self.clone(), Arc::clone(&declared));
            sending.spawn(async move { this.deliver(&target, errand, now).await });
        }
        let mut report = DeliveryReport::default();
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

    async fn bury(&self, target: &Name, now: Timestamp) -> Result<DeliveryReport, StoreError> {
        let reason = format!("target `{target}` is not declared any more");
        let mut tx = self
            .store
            .begin("give up deliveries to an undeclared target")
            .await?;
        let dead = tx
            .bury_deliveries(target, now - UNDECLARED_GRACE, now, &reason)
            .await?;
        tx.commit().await?;
        if dead > 0 {
            tracing::error!(notify.target = %target, dead, "gave up deliveries: {reason}");
        }
        Ok(DeliveryReport {
            dead,
            ..DeliveryReport::default()
        })
    }

    async fn claim(&self, target: &Target, now: Timestamp) -> Result<Vec<Errand>, StoreError> {
        // Slack allows one message a second, which is how often a turn comes.
        let limit = match target.kind {
            TargetKind::Slack { .. } | TargetKind::SlackBot { .. } => 1,
            TargetKind::PagerDuty { .. }
            | TargetKind::Webhook { .. }
            | TargetKind::Teams { .. }
            | TargetKind::Alertmanager { .. } => self.settings.at_once,
        };
        let mut tx = self.store.begin("claim deliveries").await?;
        let claimed = tx
            .claim_deliveries(Claim {
                target: &target.name,
                now,
                lease: self.settings.lease,
                limit,
            })
            .await?;
        let mut errands = Vec::with_capacity(claimed.len());
        for delivery in claimed {
            let before = tx
                .told_before(&target.name, delivery.message, SAME_THREAD)
                .await?;
            let telling = Telling {
                repeat: delivery.repeat,
                ..Telling::default()
            };
            errands.push(Errand {
                delivery,
                before,
                telling,
            });
        }
        tx.commit().await?;
        if !errands.is_empty() {
            failpoint::reach(Step::DeliveriesClaimed);
        }
        Ok(errands)
    }

    async fn deliver(
        &self,
        target: &Target,
        errand: Errand,
        now: Timestamp,
    ) -> Result<DeliveryReport, StoreError> {
        let started = Instant::now();
        let tried = tokio::select! {
            tried = self.sender.attempt(target, &errand, now) => tried,
            never = failpoint::wait_at(Step::AnswerAwaited) => match never {},
        };
        failpoint::reach(Step::DeliveryAnswered);
        let took = started.elapsed();
        self.settle(target, &errand.delivery, tried, (now, took))
            .await
    }

    async fn settle(
        &self,
        target: &Target,
        claimed: &ClaimedDelivery,
        tried: Tried,
        (started_at, took): (Timestamp, Duration),
    ) -> Result<DeliveryReport, StoreError> {
        let now = started_at + took;
        let class = tried.reaction.class;
        let settlement = settlement(claimed, tried.reaction, now);
        let attempt = Attempt {
            number: claimed.attempt,
            started_at,
            duration_ms: i32::try_from(took.as_millis()).unwrap_or(i32::MAX),
            class,
            http_status: tried.http_status.map(i32::from),
            excerpt: tried.excerpt,
            retry_at: match settlement {
                Settlement::Again(at) => Some(at),
                Settlement::Delivered(_) | Settlement::Dead(_) => None,
            },
        };
        log(target, claimed, &attempt);
        let mut tx = self.store.begin("settle a delivery").await?;
        tx.record_attempt(claimed.id, &attempt).await?;
        if class == AttemptClass::Delivered {
            tx.clear_target_failures(&target.name).await?;
        } else {
            tx.count_target_failure(&target.name).await?;
        }
        if let (Some(_), Settlement::Again(at)) = (tried.reaction.retry_after, settlement) {
            tx.hold_target(&target.name, at).await?;
        }
        if let (Some(reference), Some(content)) = (&tried.reference, &claimed.content) {
            tx.keep_target_reference(&target.name, content.episode(), reference, now)
                .await?;
        }
        let lease = tx
            .settle_delivery(claimed.id, claimed.lease_token, settlement)
            .await?;
        tx.commit().await?;
        failpoint::reach(Step::DeliverySettled);
        if lease == Lease::Lost {
            tracing::warn!(delivery.id = claimed.id, "lost the lease of a delivery");
        }
        Ok(DeliveryReport {
            attempts: vec![class],
            dead: u64::from(matches!(settlement, Settlement::Dead(_))),
            leases_lost: u64::from(lease == Lease::Lost),
        })
    }
}

impl DeliveryReport {
    fn add(&mut self, other: Self) {
        self.attempts.extend(other.attempts);
        self.dead += other.dead;
        self.leases_lost += other.leases_lost;
    }
}

fn settlement(claimed: &ClaimedDelivery, reaction: Reaction, now: Timestamp) -> Settlement {
    let floor = match reaction.class {
        AttemptClass::Delivered => return Settlement::Delivered(now),
        AttemptClass::Rejected | AttemptClass::Undeclared => return Settlement::Dead(now),
        AttemptClass::Broken | AttemptClass::Forbidden => Some(BROKEN_FLOOR),
        AttemptClass::RateLimited
        | AttemptClass::Unavailable
        | AttemptClass::Timeout
        | AttemptClass::Dns
        | AttemptClass::Tls
        | AttemptClass::Connect
        | AttemptClass::Network
        | AttemptClass::SecretMissing
        | AttemptClass::Unreadable => reaction.retry_after,
    };
    let attempts = Attempts {
        made: claimed.attempt.unsigned_abs(),
        since: claimed.retries_since,
    };
    let jitter = rand::random_range(-1.0..=1.0);
    match RetryPolicy::of(claimed.priority).next(attempts, now, floor, jitter) {
        Retry::At(at) => Settlement::Again(at),
        Retry::GiveUp => Settlement::Dead(now),
    }
}

fn log(target: &Target, claimed: &ClaimedDelivery, attempt: &Attempt) {
    let (name, id, class) = (&target.name, claimed.id, attempt.class);
    let excerpt = attempt.excerpt.as_deref().unwrap_or("");
    match (class, attempt.retry_at) {
        (AttemptClass::Delivered, _) => {
            tracing::info!(notify.target = %name, delivery.id = id, "told target `{name}`");
        }
        (_, Some(at)) => tracing::warn!(
            notify.target = %name, delivery.id = id, class = %class,
            "cannot tell target `{name}` now, next try at {at}: {class}: {excerpt}"
        ),
        (_, None) => tracing::error!(
            notify.target = %name, delivery.id = id, class = %class,
            "gave up telling target `{name}`: {class}: {excerpt}"
        ),
    }
}
