//! The results of test notifications, and totals of a target's deliveries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{FromRow, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{Attempt, DeliveryState},
    },
    store::{StoreError, Tx},
};

/// One message of a test, and its delivery attempts.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct TestDelivery {
    pub message: Uuid,
    pub state: DeliveryState,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// The waiting deliveries of a target, and its latest ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct TargetTraffic {
    pub waiting: i64,
    pub waiting_since: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    /// Deliveries that failed permanently within the last week, without tests and heartbeats.
    pub failed: i64,
}

impl Tx<'_> {
    /// Returns the messages of one test of a target, in the order in which they are sent.
    pub async fn test_deliveries(
        &mut self,
        target: &Name,
        test: Uuid,
    ) -> Result<Vec<TestDelivery>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.of_test
             select d.platform_notification_id, d.state, a.attempt, a.started_at, a.duration_ms, a.class,
                 a.http_status, a.excerpt, a.retry_at
             from platform_notifications n
             join deliveries d on d.platform_notification_id = n.id and d.target = $1
             left join delivery_attempts a on a.delivery_id = d.id
             where n.episode = $2 and n.kind = 'test'
             order by d.id, a.attempt",
        )
        .bind(target)
        .bind(test);
        let rows: Vec<TestRow> = self.fetch_all(query).await?;
        let mut tests: Vec<TestDelivery> = Vec::new();
        for row in rows {
            if tests.last().is_none_or(|last| last.message != row.message) {
                tests.push(TestDelivery {
                    message: row.message,
                    state: row.state,
                    attempts: Vec::new(),
                });
            }
            if let Some(last) = tests.last_mut() {
                last.attempts.extend(row.attempt);
            }
        }
        Ok(tests)
    }

    /// Returns when a test of a target last began.
    pub async fn last_test_at(&mut self, target: &Name) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query_as(
            "-- platform_notifications.last_test
             select max(n.at) from platform_notifications n
             join deliveries d on d.platform_notification_id = n.id and d.target = $1
             where n.kind = 'test'",
        )
        .bind(target);
        let (at,): (Option<Timestamp>,) = self.fetch_one(query).await?;
        Ok(at)
    }

    /// Returns the totals by target, whether or not it is still declared.
    pub async fn traffic(
        &mut self,
        now: Timestamp,
    ) -> Result<BTreeMap<Name, TargetTraffic>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.traffic
             select d.target,
                 count(*) filter (where d.state in ('pending', 'leased')) as waiting,
                 min(d.created_at) filter (where d.state in ('pending', 'leased')) as waiting_since,
                 max(d.settled_at) filter (where d.state = 'delivered') as delivered_at,
                 count(*) filter (where d.state = 'failed'
                     and d.settled_at > $1::timestamptz - interval '7 days'
                     and (n.kind is null or n.kind not in ('test', 'heartbeat'))) as failed
             from deliveries d
             left join platform_notifications n on n.id = d.platform_notification_id
             where d.state in ('pending', 'leased') or d.created_at > $1::timestamptz - interval '30 days'
             group by d.target",
        )
        .bind(now);
        let rows: Vec<TrafficRow> = self.fetch_all(query).await?;
        let by_target = rows.into_iter().map(|row| (row.target, row.traffic));
        Ok(by_target.collect())
    }
}

struct TestRow {
    message: Uuid,
    state: DeliveryState,
    /// `None` before the first.
    attempt: Option<Attempt>,
}

impl FromRow<'_, PgRow> for TestRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let number: Option<i32> = row.try_get("attempt")?;
        Ok(Self {
            message: row.try_get("platform_notification_id")?,
            state: row.try_get("state")?,
            attempt: number.map(|_| Attempt::from_row(row)).transpose()?,
        })
    }
}

struct TrafficRow {
    target: Name,
    traffic: TargetTraffic,
}

impl FromRow<'_, PgRow> for TrafficRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            target: row.try_get("target")?,
            traffic: TargetTraffic {
                waiting: row.try_get("waiting")?,
                waiting_since: row.try_get("waiting_since")?,
                delivered_at: row.try_get("delivered_at")?,
                failed: row.try_get("failed")?,
            },
        })
    }
}
