//! One turn for one target: claims the deliveries to send now, as [`plan`] decides, sends them, and
//! settles them.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::Instrument as _;

use super::{
    sender::{Dispatch, Sender},
    settings::{DeliverSettings, StartDelivererError},
};
use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{
            Actions, DeliveryContext, MessageNote, Notification, RenderContext, SOON, channels,
            delivery::{
                AttemptClass, DeliveryState, TargetState,
                plan::{DeliveryAction, DeliveryPolicy, DeliveryQueue, plan},
                rate_limit::RateLimit,
            },
        },
        slo::{Catalog, Target},
    },
    failpoint::{self, Failpoint},
    store::{ClaimedDelivery, EarlierMessage, Store, StoreError},
};

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

/// The actions of a plan, grouped by kind.
#[derive(Default)]
struct PlannedTurn {
    expired: Vec<i64>,
    collapsed: Vec<i64>,
    singly: Vec<i64>,
    digest: Vec<i64>,
}

impl PlannedTurn {
    fn new(target: &Target, actions: Vec<DeliveryAction>) -> Self {
        let mut turn = Self::default();
        for action in actions {
            match action {
                DeliveryAction::Expire(id) => turn.expired.push(id),
                DeliveryAction::Collapse(id) => turn.collapsed.push(id),
                DeliveryAction::Send(id) => turn.singly.push(id),
                DeliveryAction::Digest(ids) => turn.digest.extend(ids),
                // `escalate` handles these, also at times when nothing is due.
                DeliveryAction::Fallback { .. } => {}
                DeliveryAction::Wait {
                    delivery,
                    until,
                    reason,
                } => tracing::trace!(
                    notify.target = %target.name, delivery.id = delivery, %until, ?reason,
                    "a delivery waits"
                ),
            }
        }
        turn
    }

    fn singles(&self) -> u32 {
        u32::try_from(self.singly.len()).unwrap_or(u32::MAX)
    }

    fn messages(&self) -> u32 {
        self.singles() + u32::from(!self.digest.is_empty())
    }
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

    /// Claims the deliveries to send. The report contains what was ended instead.
    async fn claim(
        &self,
        target: &Target,
        now: Timestamp,
    ) -> Result<(Vec<Dispatch>, DeliveryReport), StoreError> {
        let mut tx = self.store.begin("claim deliveries").await?;
        let state = tx.lock_target(&target.name).await?;
        let queue = tx.due_queue(&target.name, now).await?;
        let policy = self.policy(target);
        let turn = PlannedTurn::new(target, plan(&queue, &state, &policy, now));
        let report = DeliveryReport {
            kind: Some(target.kind.as_str()),
            expired: tx
                .end_deliveries(&turn.expired, DeliveryState::Expired, now)
                .await?,
            collapsed: tx
                .end_deliveries(&turn.collapsed, DeliveryState::Collapsed, now)
                .await?,
            ..DeliveryReport::default()
        };
        let lease = self.settings.lease;
        let singly = tx.lease_deliveries(&turn.singly, now, lease).await?;
        let digest = tx.lease_deliveries(&turn.digest, now, lease).await?;
        if turn.messages() > 0 {
            let spent = |limit: RateLimit| limit.spend(state.next_free_at, now, turn.messages());
            let (singles, has_digest) = (turn.singles(), !turn.digest.is_empty());
            let state = TargetState {
                health: state.health.probed(now + lease),
                next_free_at: policy.rate_limit.map_or(state.next_free_at, spent),
                chat_pace: state.chat_pace.spent(now, singles, u32::from(has_digest)),
                ..state
            };
            tx.keep_target(&target.name, &state).await?;
        }
        let mut dispatches = Vec::with_capacity(singly.len() + 1);
        for delivery in singly {
            let before = tx
                .earlier_message(&target.name, delivery.message, SOON)
                .await?;
            dispatches.push(self.dispatch(delivery, before, &queue, now));
        }
        dispatches.extend(Dispatch::of_many(target, &queue, digest, now));
        tx.commit().await?;
        report.log_ended(target);
        if !dispatches.is_empty() {
            failpoint::reach(Failpoint::DeliveriesClaimed);
        }
        Ok((dispatches, report))
    }

    fn dispatch(
        &self,
        delivery: ClaimedDelivery,
        before: Option<EarlierMessage>,
        queue: &DeliveryQueue,
        now: Timestamp,
    ) -> Dispatch {
        let context = RenderContext {
            repeat: queue.redelivery(delivery.id),
            notes: notes(&delivery, queue, now),
            actions: self.actions(&delivery, now),
            chart: self.chart(&delivery, now),
        };
        Dispatch {
            delivery,
            before,
            context,
            with: Vec::new(),
            digest: None,
        }
    }

    fn actions(&self, delivery: &ClaimedDelivery, now: Timestamp) -> Actions {
        match (&self.settings.actions, &delivery.content) {
            (Some(addresses), Some(Notification::Alert(facts))) if !facts.is_test => {
                addresses.of(facts, now)
            }
            _ => Actions::default(),
        }
    }

    /// Returns the signed URL of the delivery's chart, if it has one.
    fn chart(&self, delivery: &ClaimedDelivery, now: Timestamp) -> Option<String> {
        let links = self.settings.chart_links.as_ref()?;
        match &delivery.content {
            Some(Notification::Alert(facts)) if facts.context.trend.is_some() => {
                Some(links.chart(delivery.message, now))
            }
            _ => None,
        }
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

fn notes(delivery: &ClaimedDelivery, queue: &DeliveryQueue, now: Timestamp) -> Vec<MessageNote> {
    match &delivery.content {
        Some(Notification::Alert(facts)) if facts.is_test => vec![MessageNote::Test],
        Some(Notification::Alert(facts)) => {
            let context = DeliveryContext {
                due_since: delivery.due_since,
                stands_in_for: delivery.fallback_for.clone(),
                meanwhile: delivery.delivered_meanwhile.clone(),
                is_unheard: !queue.has_delivered_other(delivery.id),
            };
            context.notes(facts, now)
        }
        Some(Notification::Platform(_)) | None => Vec::new(),
    }
}

impl DeliveryReport {
    /// Logs what was ended: no delivery is skipped silently.
    fn log_ended(&self, target: &Target) {
        let name = &target.name;
        if self.expired > 0 {
            tracing::error!(
                notify.target = %name, expired = self.expired,
                "skipped deliveries to target `{name}`: too old before the first attempt, see /deliveries"
            );
        }
        if self.collapsed > 0 {
            tracing::warn!(
                notify.target = %name, collapsed = self.collapsed,
                "skipped deliveries to target `{name}`: resolved before they could be delivered"
            );
        }
    }

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
