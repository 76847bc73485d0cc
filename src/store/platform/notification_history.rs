//! What became of the tests of a target, and what its deliveries are like as a whole.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{Attempt, AttemptClass, DeliveryState},
    },
    store::{StoreError, Tx},
};

/// One message of a test, and the tries at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestDelivery {
    pub message: Uuid,
    pub state: DeliveryState,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// What waits for a target and what it was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetTraffic {
    pub waiting: i64,
    pub waiting_since: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    /// Given up within the last week, tests and heartbeats aside.
    pub failed: i64,
}

impl Tx<'_> {
    /// The messages of one test of a target, in the order in which they are told.
    pub async fn test_deliveries(
        &mut self,
        target: &Name,
        test: Uuid,
    ) -> Result<Vec<TestDelivery>, StoreError> {
        let rows: Vec<TestRow> = sqlx::query_as(
            "-- deliveries.of_test
             select d.platform_notification_id, d.state, a.attempt, a.started_at, a.duration_ms, a.class,
                 a.http_status, a.excerpt, a.retry_at
             from platform_notifications n
             join deliveries d on d.platform_notification_id = n.id and d.target = $1
             left join delivery_attempts a on a.delivery_id = d.id
             where n.episode = $2 and n.kind = 'test'
             order by d.id, a.attempt",
        )
        .bind(target.as_str())
        .bind(test)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut tests: Vec<TestDelivery> = Vec::new();
        for row in rows {
            if tests
                .last()
                .is_none_or(|last| last.message != row.platform_notification_id)
            {
                tests.push(TestDelivery {
                    message: row.platform_notification_id,
                    state: row.state().map_err(|source| self.failed(source))?,
                    attempts: Vec::new(),
                });
            }
            let attempt = row.attempt().map_err(|source| self.failed(source))?;
            if let Some(last) = tests.last_mut() {
                last.attempts.extend(attempt);
            }
        }
        Ok(tests)
    }

    /// By target, whether or not it is still declared.
    pub async fn traffic(
        &mut self,
        now: Timestamp,
    ) -> Result<BTreeMap<Name, TargetTraffic>, StoreError> {
        let rows: Vec<TrafficRow> = sqlx::query_as(
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
        .bind(now.to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        rows.into_iter()
            .map(|row| Ok((self.name(&row.target)?, row.traffic())))
            .collect()
    }
}

#[derive(FromRow)]
struct TestRow {
    platform_notification_id: Uuid,
    state: String,
    attempt: Option<i32>,
    started_at: Option<DateTime<Utc>>,
    duration_ms: Option<i32>,
    class: Option<String>,
    http_status: Option<i32>,
    excerpt: Option<String>,
    retry_at: Option<DateTime<Utc>>,
}

impl TestRow {
    fn state(&self) -> Result<DeliveryState, sqlx::Error> {
        DeliveryState::parse(&self.state).ok_or_else(|| unknown("state", &self.state))
    }

    /// `None` before the first.
    fn attempt(&self) -> Result<Option<Attempt>, sqlx::Error> {
        let (Some(number), Some(started_at), Some(class)) =
            (self.attempt, self.started_at, &self.class)
        else {
            return Ok(None);
        };
        let class: AttemptClass =
            serde_json::from_value(class.as_str().into()).map_err(|_| unknown("class", class))?;
        Ok(Some(Attempt {
            number,
            started_at: started_at.into(),
            duration_ms: self.duration_ms.unwrap_or_default(),
            class,
            http_status: self.http_status,
            excerpt: self.excerpt.clone(),
            retry_at: self.retry_at.map(Timestamp::from),
        }))
    }
}

/// Another version of the service wrote it.
fn unknown(column: &str, text: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("`{text}` is no value of `{column}`").into())
}

#[derive(FromRow)]
struct TrafficRow {
    target: String,
    waiting: i64,
    waiting_since: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    failed: i64,
}

impl TrafficRow {
    fn traffic(&self) -> TargetTraffic {
        TargetTraffic {
            waiting: self.waiting,
            waiting_since: self.waiting_since.map(Timestamp::from),
            delivered_at: self.delivered_at.map(Timestamp::from),
            failed: self.failed,
        }
    }
}
