//! Claims the deliveries to send to one target now, as [`plan`] decides.

use super::{
    deliverer::{Deliverer, DeliveryReport},
    sender::Dispatch,
};
use crate::{
    domain::{
        model::time::Timestamp,
        notify::{
            Actions, DeliveryContext, MessageNote, Notification, RenderContext, SOON,
            delivery::{
                DeliveryState, TargetState,
                plan::{DeliveryAction, DeliveryQueue, plan},
                rate_limit::RateLimit,
            },
        },
        slo::Target,
    },
    failpoint::{self, Failpoint},
    store::{ClaimedDelivery, EarlierMessage, StoreError},
};

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
    /// Claims the deliveries to send. The report contains what was ended instead.
    pub(super) async fn claim(
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
}
