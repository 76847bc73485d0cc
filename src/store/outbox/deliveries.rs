//! The outbox: who is to be told of which transition or notice, and how every try ended.
//!
//! A delivery is written in the transaction of what it tells. Any replica may claim it; of one
//! target and ordering key only the oldest open delivery can be claimed, so a resolve never overtakes
//! its trigger. A claim is a lease that lapses, and settling names the lease's token: who has lost
//! the lease changes nothing.

use std::{cmp::Reverse, time::Duration};

use sqlx::{FromRow, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{
            Notification,
            delivery::{Attempt, AttemptClass, Redelivery},
        },
        slo::Severity,
    },
    store::{StoreError, Tx},
};

/// A transition and everybody who is to be told of it.
#[derive(Clone, Copy, Debug)]
pub struct NewDeliveries<'a> {
    pub transition: Uuid,
    pub targets: &'a [Name],
    /// [`alert_key`](crate::domain::notify::delivery::alert_key): never coarser than the row whose
    /// compare-and-swap orders the transitions.
    pub ordering_key: &'a str,
    pub severity: Severity,
}

/// What is to be claimed, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub target: &'a Name,
    pub now: Timestamp,
    pub lease: Duration,
    pub limit: u32,
}

/// A delivery that is ours until its lease lapses.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    pub id: i64,
    /// The transition or notice that is told: the same for all targets.
    pub message: Uuid,
    pub priority: Severity,
    /// Counted from 1: the try that begins now.
    pub attempt: i32,
    pub lease_token: i64,
    /// When the present round of tries began.
    pub retries_since: Timestamp,
    /// `None` if this version of the service cannot read it.
    pub content: Option<Notification>,
    pub repeat: Redelivery,
}

/// What becomes of a claimed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Delivered(Timestamp),
    /// To be tried again at this time.
    Again(Timestamp),
    Failed(Timestamp),
}

/// Whether the lease was still ours when we settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    Held,
    /// It lapsed and somebody else owns the delivery now; nothing was changed.
    Lost,
}

impl Tx<'_> {
    /// Writes the duty to tell each target of a transition. A second call changes nothing. Returns
    /// how many were new.
    pub async fn enqueue_deliveries(
        &mut self,
        news: NewDeliveries<'_>,
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
        .bind(news.transition)
        .bind(news.targets)
        .bind(news.ordering_key)
        .bind(priority_number(news.severity))
        .bind(now);
        self.execute(statement).await
    }

    /// Leases what is due at a target, pages first, at most one delivery of an ordering key.
    pub async fn claim_deliveries(
        &mut self,
        claim: Claim<'_>,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.claim_beyond(claim, 0).await
    }

    /// The same, but leaves the `first` most urgent to be claimed by themselves. In their order.
    pub async fn claim_beyond(
        &mut self,
        claim: Claim<'_>,
        first: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.claim
            with due as (
                select d.id, coalesce(
                    n.content,
                    jsonb_build_object('alert', t.snapshot)) as content
                from deliveries d
                left join alert_transitions t on t.id = d.transition_id
                left join platform_notifications n on n.id = d.platform_notification_id
                where d.target = $1
                    and d.state in ('pending', 'leased')
                    and d.next_attempt_at <= $2
                    and (d.state = 'pending' or d.lease_until <= $2)
                    and not exists (
                        select from target_states held
                        where held.target = d.target and held.not_before > $2)
                    and not exists (
                        select from deliveries older
                        where older.target = d.target and older.ordering_key = d.ordering_key
                            and older.id < d.id and older.state in ('pending', 'leased'))
                order by d.priority, d.next_attempt_at, d.id
                for update of d skip locked
                offset $5 limit $4
            )
            update deliveries d
            set state = 'leased', lease_until = $3, lease_token = d.lease_token + 1,
                attempts = d.attempts + 1
            from due
            where d.id = due.id
            returning d.id, coalesce(d.transition_id, d.platform_notification_id) as message, d.priority,
                d.attempts, d.lease_token, d.retries_since, due.content,
                d.attempts - 1 > (
                    select count(*) from delivery_attempts a where a.delivery_id = d.id)
                or exists (
                    select from delivery_attempts a
                    where a.delivery_id = d.id and a.class in ('timeout', 'network'))
                as repeat_possible",
        )
        .bind(claim.target)
        .bind(claim.now)
        .bind(claim.now + claim.lease)
        .bind(i64::from(claim.limit))
        .bind(i64::from(first));
        let mut claimed: Vec<ClaimedDelivery> = self.fetch_all(query).await?;
        claimed.sort_by_key(|delivery| (Reverse(delivery.priority), delivery.id));
        Ok(claimed)
    }

    /// Ends a lease. `Lost` means that another owns the delivery by now.
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

    /// Keeps how one try ended; also that of one whose lease was lost.
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

    /// Cancels the open deliveries of a target that nobody declares, if their tries began before
    /// `before`. Returns how many.
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

/// How urgency is kept, so that pages sort first.
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
            repeat: if row.try_get("repeat_possible")? {
                Redelivery::Possible
            } else {
                Redelivery::No
            },
        })
    }
}
