//! The outbox: the deliveries of each transition or platform notification to its targets, and the
//! result of every attempt.
//!
//! A delivery is written in the transaction of what it reports. Any replica may claim it; of one
//! target and ordering key only the oldest open delivery can be claimed, so a resolve never
//! overtakes its trigger. A claim is a lease that expires, and settling names the lease's token: a
//! replica that has lost the lease changes nothing.

use sqlx::{FromRow, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{
            Notification,
            delivery::{Attempt, AttemptClass, Settlement},
        },
        slo::Severity,
    },
    store::{StoreError, Tx},
};

/// A transition and all targets to be notified of it.
#[derive(Clone, Copy, Debug)]
pub struct NewDeliveries<'a> {
    pub transition: Uuid,
    pub targets: &'a [Name],
    /// [`alert_key`](crate::domain::notify::delivery::alert_key): never coarser than the row whose
    /// compare-and-swap orders the transitions.
    pub ordering_key: &'a str,
    pub severity: Severity,
}

/// A delivery that this replica owns until its lease expires.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    pub id: i64,
    /// The id of the transition or platform notification: the same for all targets.
    pub message: Uuid,
    pub priority: Severity,
    /// The number of the attempt that begins now, from 1.
    pub attempt: i32,
    pub lease_token: i64,
    /// The time of the first attempt of the current round.
    pub retries_since: Timestamp,
    /// `None` if this version of the service cannot read it.
    pub content: Option<Notification>,
    pub due_since: Timestamp,
    /// The target that it was meant for, if this one is that target's fallback.
    pub fallback_for: Option<Name>,
    /// The fallback of this target, if the fallback has already received it.
    pub delivered_meanwhile: Option<Name>,
}

/// The state of a lease when its delivery was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    Held,
    /// It expired and another replica owns the delivery now; nothing was changed.
    Lost,
}

impl Tx<'_> {
    /// Writes a delivery of a transition for each target. A second call changes nothing. Returns
    /// how many were new.
    pub async fn enqueue_deliveries(
        &mut self,
        new: NewDeliveries<'_>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- deliveries.enqueue
            insert into deliveries
                (transition_id, target, ordering_key, priority, state, next_attempt_at, created_at, retries_since)
            select distinct $1, target, $3, $4::smallint, 'pending', $5::timestamptz, $5, $5
            from unnest($2::text[]) as target
            on conflict (transition_id, target) do nothing",
        )
        .bind(new.transition)
        .bind(new.targets)
        .bind(new.ordering_key)
        .bind(priority_number(new.severity))
        .bind(now);
        self.execute(statement).await
    }

    /// Records the result of a delivery and ends its lease. `Lost` means that another replica owns
    /// the delivery by now.
    pub async fn settle_delivery(
        &mut self,
        delivery: i64,
        lease_token: i64,
        settlement: Settlement,
    ) -> Result<Lease, StoreError> {
        let (state, settled_at, next_attempt_at) = match settlement {
            Settlement::Delivered(at) => ("delivered", Some(at), None),
            Settlement::Failed(at) => ("failed", Some(at), None),
            Settlement::Again(at) => ("pending", None, Some(at)),
        };
        let statement = sqlx::query(
            "-- deliveries.settle
            update deliveries
            set state = $3, settled_at = $4, lease_until = null,
                next_attempt_at = coalesce($5, next_attempt_at)
            where id = $1 and lease_token = $2 and state = 'leased'",
        )
        .bind(delivery)
        .bind(lease_token)
        .bind(state)
        .bind(settled_at)
        .bind(next_attempt_at);
        Ok(match self.execute(statement).await? {
            1 => Lease::Held,
            _ => Lease::Lost,
        })
    }

    /// Records the result of one attempt, even if its lease was lost.
    pub async fn record_attempt(
        &mut self,
        delivery: i64,
        attempt: &Attempt,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- delivery_attempts.record
            insert into delivery_attempts
                (delivery_id, attempt, started_at, duration_ms, class, http_status, excerpt, retry_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict (delivery_id, attempt) do nothing",
        )
        .bind(delivery)
        .bind(attempt.number)
        .bind(attempt.started_at)
        .bind(attempt.duration_ms)
        .bind(attempt.class.as_str())
        .bind(attempt.http_status)
        .bind(attempt.excerpt.as_deref())
        .bind(attempt.retry_at);
        self.execute(statement).await.map(drop)
    }

    /// Makes all pending deliveries of a target due, since the target responds again.
    pub async fn make_deliveries_due(
        &mut self,
        target: &Name,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- deliveries.wake
            update deliveries set next_attempt_at = $2
            where target = $1 and state = 'pending' and next_attempt_at > $2",
        );
        self.execute(statement.bind(target).bind(now))
            .await
            .map(drop)
    }

    /// Cancels the open deliveries of a target that is not declared any more, if their first
    /// attempt was before `before`. Returns how many.
    pub async fn cancel_deliveries(
        &mut self,
        target: &Name,
        before: Timestamp,
        now: Timestamp,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- deliveries.cancel
            with cancelled as (
                update deliveries
                set state = 'cancelled', settled_at = $3, lease_until = null, attempts = attempts + 1,
                    lease_token = lease_token + 1
                where target = $1 and retries_since <= $2
                    and (state = 'pending' or (state = 'leased' and lease_until <= $3))
                returning id, attempts
            )
            insert into delivery_attempts
                (delivery_id, attempt, started_at, duration_ms, class, excerpt)
            select id, attempts, $3, 0, $4, $5 from cancelled",
        )
        .bind(target)
        .bind(before)
        .bind(now)
        .bind(AttemptClass::Undeclared.as_str())
        .bind(reason);
        self.execute(statement).await
    }
}

/// Returns the stored form of an urgency, by which pages sort first.
pub(crate) const fn priority_number(severity: Severity) -> i16 {
    match severity {
        Severity::Page => 0,
        Severity::Ticket => 1,
    }
}

pub(crate) const fn severity_of(priority: i16) -> Severity {
    match priority {
        0 => Severity::Page,
        _ => Severity::Ticket,
    }
}

impl FromRow<'_, PgRow> for ClaimedDelivery {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let content: Json<serde_json::Value> = row.try_get("content")?;
        Ok(Self {
            id: row.try_get("id")?,
            message: row.try_get("message")?,
            priority: severity_of(row.try_get("priority")?),
            attempt: row.try_get("attempts")?,
            lease_token: row.try_get("lease_token")?,
            retries_since: row.try_get("retries_since")?,
            content: serde_json::from_value(content.0).ok(),
            due_since: row.try_get("created_at")?,
            fallback_for: row.try_get("fallback_for")?,
            delivered_meanwhile: row.try_get("delivered_meanwhile")?,
        })
    }
}
