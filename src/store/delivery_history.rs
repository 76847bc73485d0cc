//! What pages, the API and the metrics want to know of deliveries.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{StoreError, Tx, deliveries::severity_of};
use crate::domain::{
    definition::Severity,
    delivery::{Attempt, AttemptClass, Delivery, DeliveryState},
    names::Name,
    time::Timestamp,
};

macro_rules! select_deliveries {
    ($noun:literal, $rest:literal) => {
        concat!(
            "-- ",
            $noun,
            "\nselect id, transition_id, target, ordering_key, priority, state, attempts, ",
            "next_attempt_at, created_at, settled_at from deliveries ",
            $rest
        )
    };
}

impl Tx<'_> {
    /// The targets that a transition was, or is to be, told to.
    pub async fn targets_told(&mut self, transition: Uuid) -> Result<Vec<Name>, StoreError> {
        let targets: Vec<String> = sqlx::query_scalar(
            "-- deliveries.targets_told
             select target from deliveries where transition_id = $1 order by id",
        )
        .bind(transition)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        targets.iter().map(|target| self.name(target)).collect()
    }

    /// Everybody who is to be told of a transition, in the order of their names.
    pub async fn deliveries_of(&mut self, transition: Uuid) -> Result<Vec<Delivery>, StoreError> {
        let rows: Result<Vec<DeliveryRow>, _> = sqlx::query_as(select_deliveries!(
            "deliveries.of_transition",
            "where transition_id = $1 order by target"
        ))
        .bind(transition)
        .fetch_all(&mut *self.inner)
        .await;
        self.read_all(rows)
    }

    /// The newest deliveries in a state.
    pub async fn deliveries_in(
        &mut self,
        state: DeliveryState,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows: Result<Vec<DeliveryRow>, _> = sqlx::query_as(select_deliveries!(
            "deliveries.in_state",
            "where state = $1 order by id desc limit $2"
        ))
        .bind(state.as_str())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.inner)
        .await;
        self.read_all(rows)
    }

    /// How many deliveries are in a state.
    pub async fn count_deliveries(&mut self, state: DeliveryState) -> Result<i64, StoreError> {
        let count: Result<i64, _> = sqlx::query_scalar(
            "-- deliveries.count
            select count(*) from deliveries where state = $1",
        )
        .bind(state.as_str())
        .fetch_one(&mut *self.inner)
        .await;
        count.map_err(|source| self.failed(source))
    }

    /// One delivery and all tries at it, oldest first.
    pub async fn delivery(
        &mut self,
        id: i64,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError> {
        let row: Result<Option<DeliveryRow>, _> =
            sqlx::query_as(select_deliveries!("deliveries.find", "where id = $1"))
                .bind(id)
                .fetch_optional(&mut *self.inner)
                .await;
        let Some(row) = row.map_err(|source| self.failed(source))? else {
            return Ok(None);
        };
        let delivery = row.try_into().map_err(|source| self.failed(source))?;
        Ok(Some((delivery, self.attempts_at(id).await?)))
    }

    async fn attempts_at(&mut self, delivery: i64) -> Result<Vec<Attempt>, StoreError> {
        let rows: Result<Vec<AttemptRow>, _> = sqlx::query_as(
            "-- delivery_attempts.of_delivery
            select attempt, started_at, duration_ms, class, http_status, excerpt, retry_at
            from delivery_attempts where delivery_id = $1 order by attempt",
        )
        .bind(delivery)
        .fetch_all(&mut *self.inner)
        .await;
        self.read_all(rows)
    }

    /// Targets with something to claim, whether or not they are still declared.
    pub async fn due_targets(&mut self, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let names: Result<Vec<String>, _> = sqlx::query_scalar(
            "-- deliveries.due_targets
            select distinct target from deliveries
            where state in ('pending', 'leased') and next_attempt_at <= $1
            order by target",
        )
        .bind(now.to_chrono())
        .fetch_all(&mut *self.inner)
        .await;
        self.read_all(names.map(|names| names.into_iter().map(TargetName).collect()))
    }

    /// Since when the oldest open delivery of an urgency waits.
    pub async fn oldest_open_delivery(
        &mut self,
        severity: Severity,
    ) -> Result<Option<Timestamp>, StoreError> {
        let oldest: Result<Option<DateTime<Utc>>, _> = sqlx::query_scalar(
            "-- deliveries.oldest_open
            select min(created_at) from deliveries
            where state in ('pending', 'leased') and priority = $1",
        )
        .bind(super::deliveries::priority_number(severity))
        .fetch_one(&mut *self.inner)
        .await;
        oldest
            .map(|at| at.map(Timestamp::from))
            .map_err(|source| self.failed(source))
    }

    fn read_all<R, T>(&self, rows: Result<Vec<R>, sqlx::Error>) -> Result<Vec<T>, StoreError>
    where
        T: TryFrom<R, Error = sqlx::Error>,
    {
        rows.and_then(|rows| rows.into_iter().map(T::try_from).collect())
            .map_err(|source| self.failed(source))
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: i64,
    transition_id: Uuid,
    target: String,
    ordering_key: String,
    priority: i16,
    state: String,
    attempts: i32,
    next_attempt_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = sqlx::Error;

    fn try_from(row: DeliveryRow) -> Result<Self, Self::Error> {
        Ok(Self {
            id: row.id,
            transition: row.transition_id,
            target: TargetName(row.target).try_into()?,
            ordering_key: row.ordering_key,
            priority: severity_of(row.priority),
            state: DeliveryState::parse(&row.state)
                .ok_or_else(|| unknown("deliveries.state", &row.state))?,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at.into(),
            created_at: row.created_at.into(),
            settled_at: row.settled_at.map(Timestamp::from),
        })
    }
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    attempt: i32,
    started_at: DateTime<Utc>,
    duration_ms: i32,
    class: String,
    http_status: Option<i32>,
    excerpt: Option<String>,
    retry_at: Option<DateTime<Utc>>,
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = sqlx::Error;

    fn try_from(row: AttemptRow) -> Result<Self, Self::Error> {
        Ok(Self {
            number: row.attempt,
            started_at: row.started_at.into(),
            duration_ms: row.duration_ms,
            class: AttemptClass::parse(&row.class)
                .ok_or_else(|| unknown("delivery_attempts.class", &row.class))?,
            http_status: row.http_status,
            excerpt: row.excerpt,
            retry_at: row.retry_at.map(Timestamp::from),
        })
    }
}

struct TargetName(String);

impl TryFrom<TargetName> for Name {
    type Error = sqlx::Error;

    fn try_from(name: TargetName) -> Result<Self, Self::Error> {
        let parsed = name.0.parse();
        parsed.map_err(|_| unknown("deliveries.target", &name.0))
    }
}

/// Another version of the service wrote it.
fn unknown(column: &str, value: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("`{value}` is no value of `{column}`").into())
}
