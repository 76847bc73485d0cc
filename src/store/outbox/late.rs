//! Deliveries that came too late: what is over before it was told, what is too old to call anybody
//! for, and what a reader must know of the way that the others took.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{DeliveryContext, delivery::expires_after},
        slo::{LatePolicy, Severity},
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Ends deliveries that were never tried and are too old by now. The end of an alert never
    /// expires where its beginning was told: nobody is left with an open page. Returns how many.
    pub async fn expire_deliveries(
        &mut self,
        target: &Name,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let result = sqlx::query(
            "-- deliveries.expire
            update deliveries d
            set state = 'expired', settled_at = $2
            from deliveries this
            left join alert_transitions t on t.id = this.transition_id
            left join platform_notifications n on n.id = this.platform_notification_id
            where this.id = d.id and d.target = $1 and d.state = 'pending' and d.attempts = 0
                and d.retries_since <= case when d.priority = 0 then $3 else $4 end
                and n.kind is distinct from 'health_check'
                and not coalesce(t.kind = 'resolved' and exists (
                    select from deliveries told
                    join alert_transitions earlier on earlier.id = told.transition_id
                    where told.target = d.target and earlier.episode = t.episode
                        and told.id < d.id and told.attempts > 0), false)",
        )
        .bind(target.as_str())
        .bind(now.to_chrono())
        .bind((now - expires_after(Severity::Page)).to_chrono())
        .bind((now - expires_after(Severity::Ticket)).to_chrono())
        .execute(&mut *self.inner)
        .await;
        result
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }

    /// Ends what an alert's end has overtaken, by the target's policy: what stands before a waiting
    /// end of the same episode, if it was tried in vain or has waited for longer than `patience`. The
    /// end itself is told, unless the policy is quiet and the target cannot have heard anything of
    /// the episode. Returns how many.
    ///
    /// Nothing of the target may be claimed meanwhile: call it with the target
    /// [locked](Self::lock_target).
    pub async fn collapse_deliveries(
        &mut self,
        target: &Name,
        policy: LatePolicy,
        (now, patience): (Timestamp, Duration),
    ) -> Result<u64, StoreError> {
        let is_quiet = match policy {
            LatePolicy::Deliver => return Ok(0),
            LatePolicy::Collapse => false,
            LatePolicy::CollapseQuiet => true,
        };
        let result = sqlx::query(
            "-- deliveries.collapse
            with ended as (
                select d.id, d.ordering_key, t.episode
                from deliveries d
                join alert_transitions t on t.id = d.transition_id
                where d.target = $1 and d.state = 'pending' and t.kind = 'resolved'
            ), of_episode as (
                select ended.id as end_id, d.id, d.state, d.lease_until, d.attempts, d.created_at,
                    d.state = 'delivered'
                    or d.attempts > (
                        select count(*) from delivery_attempts a where a.delivery_id = d.id)
                    or exists (
                        select from delivery_attempts a
                        where a.delivery_id = d.id and a.class in ('timeout', 'network'))
                    as may_be_known
                from ended
                join deliveries d on d.target = $1 and d.ordering_key = ended.ordering_key
                    and d.id < ended.id
                join alert_transitions t on t.id = d.transition_id and t.episode = ended.episode
            ), overtaken as (
                select end_id, bool_or(may_be_known) as may_be_known
                from of_episode
                group by end_id
                having bool_and(state <> 'leased' or lease_until <= $2)
                    and bool_or(state in ('pending', 'leased')
                        and (attempts > 0 or created_at <= $3))
            )
            update deliveries d
            set state = 'collapsed', settled_at = $2, lease_until = null,
                lease_token = lease_token + 1
            from overtaken
            where d.state in ('pending', 'leased') and (
                d.id in (
                    select id from of_episode where of_episode.end_id = overtaken.end_id)
                or ($4 and d.id = overtaken.end_id and not overtaken.may_be_known))",
        )
        .bind(target.as_str())
        .bind(now.to_chrono())
        .bind((now - patience).to_chrono())
        .bind(is_quiet)
        .execute(&mut *self.inner)
        .await;
        result
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }

    /// How urgent the most urgent open delivery of a target is; `None` if there is none.
    pub async fn waiting_urgency(&mut self, target: &Name) -> Result<Option<Severity>, StoreError> {
        let priority: Option<i16> = sqlx::query_scalar(
            "-- deliveries.waiting_urgency
            select min(priority) from deliveries
            where target = $1 and state in ('pending', 'leased')",
        )
        .bind(target.as_str())
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(priority.map(super::deliveries::severity_of))
    }

    /// Lets everything that waits for its next try be tried now: the target answers again.
    pub async fn wake_deliveries(
        &mut self,
        target: &Name,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let result = sqlx::query(
            "-- deliveries.wake
            update deliveries set next_attempt_at = $2
            where target = $1 and state = 'pending' and next_attempt_at > $2",
        )
        .bind(target.as_str())
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result.map(drop).map_err(|source| self.failed(source))
    }

    /// What is to be said of how these deliveries came, by their ids. What tells of no alert is not
    /// among them.
    pub async fn circumstances(
        &mut self,
        deliveries: &[i64],
    ) -> Result<BTreeMap<i64, DeliveryContext>, StoreError> {
        let rows: Vec<CircumstancesRow> = sqlx::query_as(
            "-- deliveries.circumstances
            select d.id, d.created_at, d.fallback_for,
                (
                    select min(other.target) from deliveries other
                    where other.transition_id = d.transition_id and other.fallback_for = d.target
                        and other.state = 'delivered'
                ) as meanwhile,
                not exists (
                    select from deliveries told
                    join alert_transitions earlier on earlier.id = told.transition_id
                    where told.target = d.target and earlier.episode = t.episode
                        and told.id <> d.id and told.state = 'delivered'
                ) as is_unheard
            from deliveries d
            join alert_transitions t on t.id = d.transition_id
            where d.id = any ($1)",
        )
        .bind(deliveries)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let decoded = rows.into_iter().map(|row| {
            let name = |name: Option<String>| name.map(|name| self.name(&name)).transpose();
            let circumstances = DeliveryContext {
                due_since: row.created_at.into(),
                stands_in_for: name(row.fallback_for)?,
                meanwhile: name(row.meanwhile)?,
                is_unheard: row.is_unheard,
            };
            Ok((row.id, circumstances))
        });
        decoded.collect()
    }
}

#[derive(FromRow)]
struct CircumstancesRow {
    id: i64,
    created_at: DateTime<Utc>,
    fallback_for: Option<String>,
    meanwhile: Option<String>,
    is_unheard: bool,
}
