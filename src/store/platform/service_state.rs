//! The heartbeat of the service: which replica sends it, and whether it was sent.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::model::time::Timestamp,
    store::{StoreError, Tx},
};

/// The retention of heartbeats: each is worthless once the next is sent, and some are kept for
/// troubleshooting.
const KEPT: Duration = Duration::from_hours(1);

/// The last heartbeat that the service sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct LastHeartbeat {
    pub sent_at: Option<Timestamp>,
    /// The reasons why none was sent at the last attempt.
    pub withheld: Vec<String>,
}

impl Tx<'_> {
    /// Claims the heartbeat. Returns true for one replica in each interval. The write itself is
    /// part of the check that the service works.
    pub async fn claim_heartbeat(
        &mut self,
        now: Timestamp,
        interval: Duration,
    ) -> Result<bool, StoreError> {
        // The 0.9 lets a tick that runs slightly early find the previous claim expired. A claim in
        // the future was made by a clock far ahead, and is void.
        let statement = sqlx::query(
            "-- service_state.claim_heartbeat
             update service_state set heartbeat_claimed_at = $1
             where heartbeat_claimed_at <= $2 or heartbeat_claimed_at > $3",
        )
        .bind(now.to_chrono())
        .bind((now - interval.mul_f64(0.9)).to_chrono())
        .bind((now + interval).to_chrono());
        let result = self.execute(statement).await?;
        Ok(result == 1)
    }

    /// Records that it was sent at `now`, or why not.
    pub async fn keep_heartbeat(
        &mut self,
        now: Timestamp,
        withheld: &[String],
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- service_state.keep_heartbeat
             update service_state
             set heartbeat_withheld_reasons = $2,
                 heartbeat_sent_at = case when $2 = '{}'::text[] then $1 else heartbeat_sent_at end",
        )
        .bind(now.to_chrono())
        .bind(withheld);
        self.execute(statement).await.map(drop)
    }

    pub async fn last_heartbeat(&mut self) -> Result<LastHeartbeat, StoreError> {
        let (sent_at, withheld): (Option<DateTime<Utc>>, Vec<String>) = sqlx::query_as(concat!(
            "-- service_state.last_heartbeat\n",
            "select heartbeat_sent_at, heartbeat_withheld_reasons from service_state",
        ))
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(LastHeartbeat {
            sent_at: sent_at.map(Timestamp::from),
            withheld,
        })
    }

    /// Expires heartbeats that are still pending: the next one replaces them.
    pub async fn supersede_heartbeats(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- platform_notifications.supersede_heartbeats
             update deliveries d set state = 'expired', settled_at = $1
             from platform_notifications n
             where n.id = d.platform_notification_id and n.kind = 'heartbeat' and d.state = 'pending'",
        )
        .bind(now.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Deletes heartbeats that were settled long ago, since one per minute accumulates.
    pub async fn forget_heartbeats(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- platform_notifications.delete_old_heartbeats
             with old as (
                 select n.id from platform_notifications n
                 where n.kind = 'heartbeat' and n.at < $1
                     and not exists (
                         select from deliveries d
                         where d.platform_notification_id = n.id and d.state in ('pending', 'leased'))
             ), attempts as (
                 delete from delivery_attempts a using deliveries d
                 where d.id = a.delivery_id and d.platform_notification_id in (select id from old)
             ), deleted as (
                 delete from deliveries where platform_notification_id in (select id from old)
             )
             delete from platform_notifications where id in (select id from old)",
        )
        .bind((now - KEPT).to_chrono());
        self.execute(statement).await.map(drop)
    }
}
