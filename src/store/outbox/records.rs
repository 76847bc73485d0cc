//! Deliveries one by one as people look at them: what they tell, how each try ended, and trying again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, types::Json};

use super::deliveries::severity_of;
use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{
            Notification,
            delivery::{Attempt, AttemptClass, DeliveryState},
        },
        slo::Severity,
    },
    store::{StoreError, Tx},
};

/// One delivery.
#[derive(Clone, Debug)]
pub struct DeliveryRecord {
    pub id: i64,
    pub target: Name,
    pub state: DeliveryState,
    pub priority: Severity,
    pub attempts: i32,
    /// When somebody was to be told.
    pub due_since: Timestamp,
    pub settled_at: Option<Timestamp>,
    /// Of one that is open.
    pub next_attempt_at: Timestamp,
    pub fallback_for: Option<Name>,
    /// When the fallback of its target was made to tell it as well.
    pub escalated_at: Option<Timestamp>,
    /// `None` if this version of the service cannot read it.
    pub content: Option<Notification>,
}

/// Which deliveries are looked at.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    pub target: Option<Name>,
    /// Older than this one.
    pub before: Option<i64>,
}

/// What came of the wish to try a delivery again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// So many are on their way: it, and what was to follow it.
    OnItsWay(u64),
    NoSuchDelivery,
    /// Nothing is to be repeated of one in this state.
    Not(DeliveryState),
    /// The target has been told what came after it: told now, it would show what is over.
    Overtaken,
}

impl Tx<'_> {
    /// Newest first.
    pub async fn delivery_records(
        &mut self,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let rows: Vec<RecordRow> = sqlx::query_as(
            "-- deliveries.records
            select d.id, d.target, d.state, d.priority, d.attempts, d.created_at, d.settled_at,
                d.next_attempt_at, d.fallback_for, d.escalated_at,
                coalesce(n.content, jsonb_build_object('alert', t.snapshot)) as content
            from deliveries d
            left join alert_transitions t on t.id = d.transition_id
            left join platform_notifications n on n.id = d.platform_notification_id
            where ($1::text is null or d.state = $1) and ($2::text is null or d.target = $2)
                and ($3::bigint is null or d.id < $3)
            order by d.id desc
            limit $4",
        )
        .bind(filter.state.map(DeliveryState::as_str))
        .bind(filter.target.as_ref().map(Name::as_str))
        .bind(filter.before)
        .bind(i64::from(limit))
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        rows.into_iter().map(|row| self.record(row)).collect()
    }

    pub async fn delivery_record(&mut self, id: i64) -> Result<Option<DeliveryRecord>, StoreError> {
        let filter = DeliveryFilter {
            before: id.checked_add(1),
            ..DeliveryFilter::default()
        };
        let newest = self.delivery_records(&filter, 1).await?;
        Ok(newest.into_iter().find(|record| record.id == id))
    }

    /// Every try at these deliveries, oldest first.
    pub async fn attempts_at(
        &mut self,
        deliveries: &[i64],
    ) -> Result<BTreeMap<i64, Vec<Attempt>>, StoreError> {
        let rows: Vec<AttemptRow> = sqlx::query_as(
            "-- delivery_attempts.of_deliveries
            select delivery_id, attempt, started_at, duration_ms, class, http_status, excerpt, retry_at
            from delivery_attempts where delivery_id = any ($1) order by delivery_id, attempt",
        )
        .bind(deliveries)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut attempts: BTreeMap<i64, Vec<Attempt>> = BTreeMap::new();
        for row in rows {
            let id = row.delivery_id;
            attempts.entry(id).or_default().push(row.into());
        }
        Ok(attempts)
    }

    /// Puts a delivery that ended untold on its way again, and with it what followed it in the same
    /// episode and ended untold as well, so that no beginning is told alone. Its target is asked at
    /// once, whatever is known of it.
    pub async fn retry_delivery(&mut self, id: i64, now: Timestamp) -> Result<Retried, StoreError> {
        let found: Option<(String, String, String)> = sqlx::query_as(
            "-- deliveries.find
            select target, ordering_key, state from deliveries where id = $1 for update",
        )
        .bind(id)
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let Some((target, ordering_key, state)) = found else {
            return Ok(Retried::NoSuchDelivery);
        };
        let target = self.name(&target)?;
        let state = self.state(&state)?;
        match state {
            DeliveryState::Failed | DeliveryState::Expired | DeliveryState::Cancelled => {}
            DeliveryState::Pending
            | DeliveryState::Leased
            | DeliveryState::Delivered
            | DeliveryState::Collapsed => return Ok(Retried::Not(state)),
        }
        if self.is_overtaken(id, &target, &ordering_key).await? {
            return Ok(Retried::Overtaken);
        }
        let mut known = self.lock_target(&target).await?;
        known.health = known.health.asked_to_probe();
        self.keep_target(&target, &known).await?;
        self.requeue(id, now).await.map(Retried::OnItsWay)
    }

    async fn is_overtaken(
        &mut self,
        id: i64,
        target: &Name,
        ordering_key: &str,
    ) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "-- deliveries.is_overtaken
            select exists (
                select from deliveries
                where target = $2 and ordering_key = $3 and id > $1 and state = 'delivered')",
        )
        .bind(id)
        .bind(target.as_str())
        .bind(ordering_key)
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    async fn requeue(&mut self, id: i64, now: Timestamp) -> Result<u64, StoreError> {
        let result = sqlx::query(
            "-- deliveries.requeue
            update deliveries d
            set state = 'pending', next_attempt_at = $2, retries_since = $2, settled_at = null
            from deliveries this
            left join alert_transitions t on t.id = this.transition_id
            where this.id = $1 and d.state in ('failed', 'expired', 'cancelled')
                and (d.id = this.id
                    or d.target = this.target and d.ordering_key = this.ordering_key and d.id > this.id
                        and exists (
                            select from alert_transitions later
                            where later.id = d.transition_id and later.episode = t.episode))",
        )
        .bind(id)
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }

    /// How many were given up, by target.
    pub async fn failed_deliveries(&mut self) -> Result<Vec<(Name, i64)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "-- deliveries.dead
            select target, count(*) from deliveries where state = 'failed'
            group by target order by target",
        )
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let named = rows
            .into_iter()
            .map(|(target, count)| Ok((self.name(&target)?, count)));
        named.collect()
    }

    /// Since when the oldest open delivery of each urgency waits.
    pub async fn oldest_waiting(&mut self) -> Result<BTreeMap<Severity, Timestamp>, StoreError> {
        let rows: Vec<(i16, DateTime<Utc>)> = sqlx::query_as(
            "-- deliveries.oldest_waiting
            select priority, min(created_at) from deliveries
            where state in ('pending', 'leased') group by priority",
        )
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let known = rows.into_iter();
        Ok(known
            .map(|(priority, at)| (severity_of(priority), at.into()))
            .collect())
    }

    fn record(&self, row: RecordRow) -> Result<DeliveryRecord, StoreError> {
        let fallback_for = row.fallback_for.map(|name| self.name(&name)).transpose()?;
        Ok(DeliveryRecord {
            id: row.id,
            target: self.name(&row.target)?,
            state: self.state(&row.state)?,
            priority: severity_of(row.priority),
            attempts: row.attempts,
            due_since: row.created_at.into(),
            settled_at: row.settled_at.map(Timestamp::from),
            next_attempt_at: row.next_attempt_at.into(),
            fallback_for,
            escalated_at: row.escalated_at.map(Timestamp::from),
            content: serde_json::from_value(row.content.0).ok(),
        })
    }

    fn state(&self, text: &str) -> Result<DeliveryState, StoreError> {
        // Another version of the service wrote it.
        let unknown = || format!("`{text}` is no value of `deliveries.state`");
        DeliveryState::parse(text).ok_or_else(|| self.failed(sqlx::Error::Decode(unknown().into())))
    }
}

#[derive(FromRow)]
struct RecordRow {
    id: i64,
    target: String,
    state: String,
    priority: i16,
    attempts: i32,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    next_attempt_at: DateTime<Utc>,
    fallback_for: Option<String>,
    escalated_at: Option<DateTime<Utc>>,
    content: Json<serde_json::Value>,
}

#[derive(FromRow)]
struct AttemptRow {
    delivery_id: i64,
    attempt: i32,
    started_at: DateTime<Utc>,
    duration_ms: i32,
    class: String,
    http_status: Option<i32>,
    excerpt: Option<String>,
    retry_at: Option<DateTime<Utc>>,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            number: row.attempt,
            started_at: row.started_at.into(),
            duration_ms: row.duration_ms,
            // A class that this version does not know is of a newer one, whose answer we cannot read.
            class: AttemptClass::parse(&row.class).unwrap_or(AttemptClass::Unreadable),
            http_status: row.http_status,
            excerpt: row.excerpt,
            retry_at: row.retry_at.map(Timestamp::from),
        }
    }
}
