//! The queue of one target: read as the input of [`plan`](crate::domain::notify::delivery::plan),
//! and changed by its actions, while the target is [locked](Tx::lock_target).

use std::time::Duration;

use sqlx::{FromRow, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{deliveries::severity_of, records::attempt_class};
use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{
            DeliveryState, TargetState,
            plan::{DeliveryQueue, DeliverySubject, ESCALATES_WITHIN, QueuedDelivery},
        },
    },
    store::{ClaimedDelivery, StoreError, Tx},
};

/// The limit of alerts considered at a time. It is more than a target accepts in any turn; alerts
/// beyond it are less urgent, and are considered when these are done.
const MOST_KEYS: i64 = 1_000;

/// The target, its fallback, and for each episode the delivery to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Escalation<'a> {
    pub target: &'a Name,
    pub fallback: &'a Name,
    pub episodes: &'a [Uuid],
    pub from: &'a [i64],
}

impl Tx<'_> {
    /// Returns the alerts of a target whose oldest open delivery is due, most urgent first, and
    /// then the others with an open delivery.
    pub async fn due_queue(
        &mut self,
        target: &Name,
        now: Timestamp,
    ) -> Result<DeliveryQueue, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.due_keys
            select ordering_key from (
                select distinct on (ordering_key) *
                from deliveries
                where target = $1 and state in ('pending', 'leased')
                order by ordering_key, id
            ) head
            order by greatest(next_attempt_at, lease_until) > $2, priority, next_attempt_at, id
            limit $3",
        );
        let keys = self
            .fetch_all(query.bind(target).bind(now).bind(MOST_KEYS))
            .await?;
        self.queue(target, keys, now).await
    }

    /// Returns the alerts of a target that its fallback may have to be notified of: those with a
    /// delivery that has just failed, then those with an open one, most urgent first.
    ///
    /// Locks the target first; returns `None`, with nothing locked, if there are none.
    pub async fn lock_unescalated(
        &mut self,
        target: &Name,
        now: Timestamp,
    ) -> Result<Option<(TargetState, DeliveryQueue)>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.unescalated_keys
            select ordering_key from deliveries
            where target = $1 and escalated_at is null and fallback_for is null
                and transition_id is not null
                and (state in ('pending', 'leased') or state = 'failed' and settled_at > $2)
            group by ordering_key
            order by bool_or(state = 'failed') desc, min(priority), min(id)
            limit $3",
        );
        let query = query
            .bind(target)
            .bind(now - ESCALATES_WITHIN)
            .bind(MOST_KEYS);
        let keys = self.fetch_all(query).await?;
        if keys.is_empty() {
            return Ok(None);
        }
        let state = self.lock_target(target).await?;
        Ok(Some((state, self.queue(target, keys, now).await?)))
    }

    /// Loads the deliveries under these keys that are open or have just failed, and the other
    /// deliveries of their episodes.
    async fn queue(
        &mut self,
        target: &Name,
        keys: Vec<(String,)>,
        now: Timestamp,
    ) -> Result<DeliveryQueue, StoreError> {
        let keys: Vec<String> = keys.into_iter().map(|(key,)| key).collect();
        let query = sqlx::query_as(
            "-- deliveries.queue
            with undecided as materialized (
                select d.id, t.episode
                from deliveries d
                left join alert_transitions t on t.id = d.transition_id
                where d.target = $1 and d.ordering_key = any ($2)
                    and (d.state in ('pending', 'leased') or d.state = 'failed' and d.settled_at > $3)
            ), known as (
                select id from undecided
                union
                select d.id
                from (select distinct episode from undecided) episodes
                join alert_transitions t on t.episode = episodes.episode
                join deliveries d on d.transition_id = t.id and d.target = $1
            )
            select d.*, t.episode, t.kind = 'resolved' as is_end, n.kind as platform_kind,
                (select count(*)::integer from delivery_attempts a where a.delivery_id = d.id)
                    as recorded_attempts,
                array(select distinct class from delivery_attempts a where a.delivery_id = d.id)
                    as results
            from known
            join deliveries d on d.id = known.id
            left join alert_transitions t on t.id = d.transition_id
            left join platform_notifications n on n.id = d.platform_notification_id",
        );
        let query = query.bind(target).bind(&keys).bind(now - ESCALATES_WITHIN);
        let deliveries: Vec<QueuedDelivery> = self.fetch_all(query).await?;
        let others = sqlx::query_as(
            "-- deliveries.urgency_of_others
            select min(priority) from deliveries
            where target = $1 and state in ('pending', 'leased') and ordering_key <> all ($2)",
        );
        let (urgency,): (Option<i16>,) = self.fetch_one(others.bind(target).bind(&keys)).await?;
        Ok(DeliveryQueue {
            deliveries,
            urgency_of_others: urgency.map(severity_of),
        })
    }

    /// Ends deliveries that will not be sent, with `state`. Returns how many.
    pub async fn end_deliveries(
        &mut self,
        deliveries: &[i64],
        state: DeliveryState,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- deliveries.end
            update deliveries
            set state = $2, settled_at = $3, lease_until = null, lease_token = lease_token + 1
            where id = any ($1) and (state = 'pending' or state = 'leased' and lease_until <= $3)",
        );
        self.execute(statement.bind(deliveries).bind(state).bind(now))
            .await
    }

    /// Leases deliveries for one attempt each, the most urgent first.
    pub async fn lease_deliveries(
        &mut self,
        deliveries: &[i64],
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.lease
            with leased as (
                update deliveries
                set state = 'leased', lease_until = $3, lease_token = lease_token + 1,
                    attempts = attempts + 1
                where id = any ($1) and (state = 'pending' or state = 'leased' and lease_until <= $2)
                returning *
            )
            select leased.*, coalesce(t.id, n.id) as message,
                coalesce(n.content, jsonb_build_object('alert', t.snapshot)) as content,
                (
                    select min(other.target) from deliveries other
                    where other.transition_id = leased.transition_id
                        and other.fallback_for = leased.target and other.state = 'delivered'
                ) as delivered_meanwhile
            from leased
            left join alert_transitions t on t.id = leased.transition_id
            left join platform_notifications n on n.id = leased.platform_notification_id
            order by leased.priority, leased.id",
        );
        let query = query.bind(deliveries).bind(now).bind(now + lease);
        self.fetch_all(query).await
    }

    /// Sends episodes to the fallback as well. Later deliveries of an episode are included, so that
    /// the fallback never receives a beginning without its end. A fallback that is itself a target
    /// of an episode receives nothing twice. Returns how many deliveries were new.
    pub async fn escalate(
        &mut self,
        escalation: Escalation<'_>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.lock_alerts(escalation.episodes).await?;
        let statement = sqlx::query(
            "-- deliveries.escalate
            with marked as (
                update deliveries d set escalated_at = $5
                from unnest($3::uuid[], $4::bigint[]) as overdue (episode, from_id)
                join alert_transitions t on t.episode = overdue.episode
                where d.transition_id = t.id and d.id >= overdue.from_id
                    and d.target = $1 and d.escalated_at is null
                    and d.state in ('pending', 'leased', 'delivered', 'failed')
                returning d.*, overdue.episode
            )
            insert into deliveries
                (transition_id, target, ordering_key, priority, state, next_attempt_at, created_at,
                    retries_since, fallback_for)
            select m.transition_id, $2, m.ordering_key, m.priority, 'pending', $5, m.created_at, $5, $1
            from marked m
            where not exists (
                select from deliveries own
                join alert_transitions t on t.id = own.transition_id
                where own.target = $2 and own.fallback_for is null and t.episode = m.episode)
            order by m.id
            on conflict (transition_id, target) do nothing",
        );
        let statement = statement
            .bind(escalation.target)
            .bind(escalation.fallback)
            .bind(escalation.episodes)
            .bind(escalation.from)
            .bind(now);
        self.execute(statement).await
    }

    /// Locks alerts: an evaluation writes the deliveries of an alert under this lock, so none can
    /// be inserted at the same time, and the ids of one ordering key are committed in order.
    async fn lock_alerts(&mut self, episodes: &[Uuid]) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- alerts.lock
            select from alerts
            where (slo_id, severity) in (
                select slo_id, severity from alert_transitions where episode = any ($1))
            order by slo_id, severity
            for update",
        );
        self.execute(statement.bind(episodes)).await.map(drop)
    }
}

impl FromRow<'_, PgRow> for QueuedDelivery {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let episode: Option<Uuid> = row.try_get("episode")?;
        let is_end: Option<bool> = row.try_get("is_end")?;
        let platform_kind: Option<&str> = row.try_get("platform_kind")?;
        let fallback_for: Option<Name> = row.try_get("fallback_for")?;
        let escalated_at: Option<Timestamp> = row.try_get("escalated_at")?;
        let results: Vec<String> = row.try_get("results")?;
        Ok(Self {
            id: row.try_get("id")?,
            ordering_key: row.try_get("ordering_key")?,
            subject: match (episode.zip(is_end), platform_kind) {
                (Some((episode, is_end)), _) => DeliverySubject::Alert { episode, is_end },
                (None, Some("health_check")) => DeliverySubject::HealthCheck,
                (None, _) => DeliverySubject::Other,
            },
            priority: severity_of(row.try_get("priority")?),
            state: row.try_get("state")?,
            attempts: row.try_get("attempts")?,
            recorded_attempts: row.try_get("recorded_attempts")?,
            results: results.iter().map(|class| attempt_class(class)).collect(),
            due_since: row.try_get("created_at")?,
            retries_since: row.try_get("retries_since")?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            lease_until: row.try_get("lease_until")?,
            settled_at: row.try_get("settled_at")?,
            is_fallback: fallback_for.is_some(),
            is_escalated: escalated_at.is_some(),
        })
    }
}
