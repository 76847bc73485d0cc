//! Single deliveries, for people: content, attempts, and retries on request.

use std::collections::BTreeMap;

use sqlx::{FromRow, Row as _, postgres::PgRow, types::Json};

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
    pub due_since: Timestamp,
    pub settled_at: Option<Timestamp>,
    /// Set for an open delivery.
    pub next_attempt_at: Timestamp,
    pub fallback_for: Option<Name>,
    /// The time at which it was also sent to the target's fallback.
    pub escalated_at: Option<Timestamp>,
    /// `None` if this version of the service cannot read it.
    pub content: Option<Notification>,
}

/// The filter of a list of deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    pub target: Option<Name>,
    /// The id that all results are lower than, for paging.
    pub before: Option<i64>,
}

/// The result of a request for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// The number of deliveries that are pending now: this one, and the later ones of its episode.
    OnItsWay(u64),
    NoSuchDelivery,
    /// Deliveries in this state are not repeated.
    Not(DeliveryState),
    /// The target has received a later delivery of the same alert, so this one would be outdated.
    Overtaken,
}

impl Tx<'_> {
    /// Returns deliveries, newest first.
    pub async fn delivery_records(
        &mut self,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.records
            select d.*, coalesce(n.content, jsonb_build_object('alert', t.snapshot)) as content
            from deliveries d
            left join alert_transitions t on t.id = d.transition_id
            left join platform_notifications n on n.id = d.platform_notification_id
            where ($1::text is null or d.state = $1) and ($2::text is null or d.target = $2)
                and ($3::bigint is null or d.id < $3)
            order by d.id desc
            limit $4",
        );
        let query = query
            .bind(filter.state)
            .bind(filter.target.as_ref())
            .bind(filter.before)
            .bind(i64::from(limit));
        self.fetch_all(query).await
    }

    pub async fn delivery_record(&mut self, id: i64) -> Result<Option<DeliveryRecord>, StoreError> {
        let filter = DeliveryFilter {
            before: id.checked_add(1),
            ..DeliveryFilter::default()
        };
        let newest = self.delivery_records(&filter, 1).await?;
        Ok(newest.into_iter().find(|record| record.id == id))
    }

    /// Returns all attempts of these deliveries, oldest first.
    pub async fn attempts_at(
        &mut self,
        deliveries: &[i64],
    ) -> Result<BTreeMap<i64, Vec<Attempt>>, StoreError> {
        let query = sqlx::query_as(
            "-- delivery_attempts.of_deliveries
            select * from delivery_attempts where delivery_id = any ($1)
            order by delivery_id, attempt",
        );
        let rows: Vec<AttemptRow> = self.fetch_all(query.bind(deliveries)).await?;
        let mut attempts: BTreeMap<i64, Vec<Attempt>> = BTreeMap::new();
        for row in rows {
            attempts.entry(row.delivery).or_default().push(row.attempt);
        }
        Ok(attempts)
    }

    /// Puts a delivery that ended without being delivered back into the queue, and with it the
    /// later ones of its episode that ended in the same way, so that no target receives a beginning
    /// without its end. The target is probed at once, in any state of its circuit breaker.
    pub async fn retry_delivery(&mut self, id: i64, now: Timestamp) -> Result<Retried, StoreError> {
        // The target of a delivery never changes, and is locked before its deliveries, as
        // everywhere.
        let find =
            sqlx::query_as("-- deliveries.find\nselect target from deliveries where id = $1");
        let Some((target,)) = self.fetch_optional::<(Name,)>(find.bind(id)).await? else {
            return Ok(Retried::NoSuchDelivery);
        };
        let mut known = self.lock_target(&target).await?;
        let query = sqlx::query_as(
            "-- deliveries.retryable
            select d.state, exists (
                select from deliveries later
                where later.target = d.target and later.ordering_key = d.ordering_key
                    and later.id > d.id and later.state = 'delivered')
            from deliveries d where d.id = $1 for update",
        );
        let (state, is_overtaken): (DeliveryState, bool) = self.fetch_one(query.bind(id)).await?;
        match state {
            DeliveryState::Failed | DeliveryState::Expired | DeliveryState::Cancelled => {}
            DeliveryState::Pending
            | DeliveryState::Leased
            | DeliveryState::Delivered
            | DeliveryState::Collapsed => return Ok(Retried::Not(state)),
        }
        if is_overtaken {
            return Ok(Retried::Overtaken);
        }
        known.health = known.health.asked_to_probe();
        self.keep_target(&target, &known).await?;
        self.requeue(id, now).await.map(Retried::OnItsWay)
    }

    async fn requeue(&mut self, id: i64, now: Timestamp) -> Result<u64, StoreError> {
        let statement = sqlx::query(
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
        );
        self.execute(statement.bind(id).bind(now)).await
    }

    /// Returns how many deliveries failed permanently, by target.
    pub async fn failed_deliveries(&mut self) -> Result<Vec<(Name, i64)>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.failed
            select target, count(*) from deliveries where state = 'failed'
            group by target order by target",
        );
        self.fetch_all(query).await
    }

    /// Returns the time since when the oldest open delivery of each severity waits.
    pub async fn oldest_waiting(&mut self) -> Result<BTreeMap<Severity, Timestamp>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.oldest_waiting
            select priority, min(created_at) from deliveries
            where state in ('pending', 'leased') group by priority",
        );
        let rows: Vec<(i16, Timestamp)> = self.fetch_all(query).await?;
        let known = rows.into_iter();
        Ok(known
            .map(|(priority, at)| (severity_of(priority), at))
            .collect())
    }
}

impl FromRow<'_, PgRow> for DeliveryRecord {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let content: Json<serde_json::Value> = row.try_get("content")?;
        Ok(Self {
            id: row.try_get("id")?,
            target: row.try_get("target")?,
            state: row.try_get("state")?,
            priority: severity_of(row.try_get("priority")?),
            attempts: row.try_get("attempts")?,
            due_since: row.try_get("created_at")?,
            settled_at: row.try_get("settled_at")?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            fallback_for: row.try_get("fallback_for")?,
            escalated_at: row.try_get("escalated_at")?,
            content: serde_json::from_value(content.0).ok(),
        })
    }
}

struct AttemptRow {
    delivery: i64,
    attempt: Attempt,
}

impl FromRow<'_, PgRow> for AttemptRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            delivery: row.try_get("delivery_id")?,
            attempt: Attempt::from_row(row)?,
        })
    }
}

impl FromRow<'_, PgRow> for Attempt {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("attempt")?,
            started_at: row.try_get("started_at")?,
            duration_ms: row.try_get("duration_ms")?,
            class: attempt_class(row.try_get("class")?),
            http_status: row.try_get("http_status")?,
            excerpt: row.try_get("excerpt")?,
            retry_at: row.try_get("retry_at")?,
        })
    }
}

/// Reads an attempt's class. A newer version wrote a class that this one does not know; such a
/// response counts as unreadable.
pub(super) fn attempt_class(text: &str) -> AttemptClass {
    AttemptClass::parse(text).unwrap_or(AttemptClass::Unreadable)
}
