//! What of a target's deliveries is sent now: after what is over or too old has been ended, as many as
//! the target takes.

use super::{
    deliverer::{Deliverer, DeliveryReport},
    sender::Dispatch,
};
use crate::{
    domain::{
        model::time::Timestamp,
        notify::{
            Actions, DeliveryContext, LATE, MessageNote, Notification, RenderContext, SOON,
            TOLD_SINGLY,
            delivery::{
                circuit::{CircuitAllowance, TargetCondition},
                rate_limit::Pace,
            },
        },
        slo::{Severity, Target},
    },
    failpoint::{self, Failpoint},
    store::{Claim, ClaimedDelivery, StoreError, TargetState, Tx},
};
use std::collections::BTreeMap;

/// More are told in the next digest: each is settled by itself, and a message names only some.
const MOST_IN_DIGEST: u32 = 200;

impl Deliverer {
    /// Claims what may be sent. The report has what was ended instead.
    pub(super) async fn claim(
        &self,
        target: &Target,
        now: Timestamp,
    ) -> Result<(Vec<Dispatch>, DeliveryReport), StoreError> {
        let mut tx = self.store.begin("claim deliveries").await?;
        let mut state = tx.lock_target(&target.name).await?;
        let report = DeliveryReport {
            kind: Some(target.kind.as_str()),
            expired: tx.expire_deliveries(&target.name, now).await?,
            collapsed: tx
                .collapse_deliveries(&target.name, target.late, (now, LATE))
                .await?,
            ..DeliveryReport::default()
        };
        let limit = match tx.waiting_urgency(&target.name).await? {
            Some(urgency) => self.limit(target, &state, urgency, now),
            None => 0,
        };
        let (singly, rest) = if limit == 0 {
            (Vec::new(), Vec::new())
        } else {
            self.claim_some(&mut tx, (target, &mut state), limit, now)
                .await?
        };
        let mut dispatches = dispatches(&mut tx, target, singly, now).await?;
        for dispatch in &mut dispatches {
            dispatch.telling.actions = self.actions(&dispatch.delivery, now);
            dispatch.telling.chart = self.chart(&dispatch.delivery, now);
        }
        dispatches.extend(Dispatch::of_many(target, rest, now));
        tx.commit().await?;
        report.tell_of_ends(target);
        if !dispatches.is_empty() {
            failpoint::reach(Failpoint::DeliveriesClaimed);
        }
        Ok((dispatches, report))
    }

    fn actions(&self, delivery: &ClaimedDelivery, now: Timestamp) -> Actions {
        match (&self.settings.actions, &delivery.content) {
            (Some(addresses), Some(Notification::Alert(facts))) if !facts.is_test => {
                addresses.of(facts, now)
            }
            _ => Actions::default(),
        }
    }

    /// Where the picture of what is told can be fetched, if it has one.
    fn chart(&self, delivery: &ClaimedDelivery, now: Timestamp) -> Option<String> {
        let links = self.settings.chart_links.as_ref()?;
        match &delivery.content {
            Some(Notification::Alert(facts)) if facts.context.trend.is_some() => {
                Some(links.chart(delivery.message, now))
            }
            _ => None,
        }
    }

    fn limit(
        &self,
        target: &Target,
        state: &TargetState,
        urgency: Severity,
        now: Timestamp,
    ) -> u32 {
        let by_health = match state.health.admits(now, urgency) {
            CircuitAllowance::All => self.settings.at_once,
            CircuitAllowance::One => 1,
            CircuitAllowance::None => 0,
        };
        let pace = Pace::of(&target.kind);
        let by_pace = pace.map_or(u32::MAX, |pace| pace.allows(state.next_free_at, now));
        by_health.min(by_pace)
    }

    /// What is told singly, and what is told in one message because there is more than people can read.
    async fn claim_some(
        &self,
        tx: &mut Tx<'_>,
        (target, state): (&Target, &mut TargetState),
        limit: u32,
        now: Timestamp,
    ) -> Result<(Vec<ClaimedDelivery>, Vec<ClaimedDelivery>), StoreError> {
        let lease = self.settings.lease;
        let claim = |limit| Claim {
            target: &target.name,
            now,
            lease,
            limit,
        };
        let is_well = matches!(state.health.condition, TargetCondition::Closed { .. });
        let mut rest = if target.kind.is_chat() && is_well {
            tx.claim_beyond(claim(MOST_IN_DIGEST), TOLD_SINGLY).await?
        } else {
            Vec::new()
        };
        let left = limit - u32::from(!rest.is_empty());
        let mut singly = tx.claim_deliveries(claim(left)).await?;
        let count = singly.len() + usize::from(!rest.is_empty());
        if rest.len() == 1 {
            singly.append(&mut rest);
        }
        if count > 0 {
            state.health = state.health.probed(now + lease);
            if let Some(pace) = Pace::of(&target.kind) {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                state.next_free_at = pace.spend(state.next_free_at, now, count);
            }
            tx.keep_target(&target.name, state).await?;
        }
        Ok((singly, rest))
    }
}

async fn dispatches(
    tx: &mut Tx<'_>,
    target: &Target,
    claimed: Vec<ClaimedDelivery>,
    now: Timestamp,
) -> Result<Vec<Dispatch>, StoreError> {
    let ids: Vec<i64> = claimed.iter().map(|delivery| delivery.id).collect();
    let mut circumstances = tx.circumstances(&ids).await?;
    let mut dispatches = Vec::with_capacity(claimed.len());
    for delivery in claimed {
        let before = tx.told_before(&target.name, delivery.message, SOON).await?;
        dispatches.push(Dispatch {
            telling: telling(&delivery, &mut circumstances, now),
            delivery,
            before,
            with: Vec::new(),
            digest: None,
        });
    }
    Ok(dispatches)
}

fn telling(
    delivery: &ClaimedDelivery,
    circumstances: &mut BTreeMap<i64, DeliveryContext>,
    now: Timestamp,
) -> RenderContext {
    let circumstances = circumstances.remove(&delivery.id);
    let notes = match (&delivery.content, circumstances) {
        (Some(Notification::Alert(facts)), _) if facts.is_test => vec![MessageNote::Test],
        (Some(Notification::Alert(facts)), Some(circumstances)) => circumstances.notes(facts, now),
        _ => Vec::new(),
    };
    RenderContext {
        repeat: delivery.repeat,
        notes,
        ..RenderContext::default()
    }
}

impl DeliveryReport {
    /// What was not told is never so in silence.
    fn tell_of_ends(&self, target: &Target) {
        let name = &target.name;
        if self.expired > 0 {
            tracing::error!(
                notify.target = %name, expired = self.expired,
                "did not tell target `{name}` of what is too old to call anybody for: see /deliveries"
            );
        }
        if self.collapsed > 0 {
            tracing::warn!(
                notify.target = %name, collapsed = self.collapsed,
                "alerts were over before target `{name}` could be told of them"
            );
        }
    }
}
