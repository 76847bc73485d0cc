//! What all replicas know of a target: whether it takes what it is sent, and how much of it.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::circuit::{TargetCircuit, TargetCondition},
    },
    store::{StoreError, Tx},
};

/// One target's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetState {
    pub health: TargetCircuit,
    /// Until when it asked to be left alone.
    pub not_before: Timestamp,
    /// Of [`Pace`](crate::domain::notify::delivery::rate_limit::Pace).
    pub next_free_at: Timestamp,
}

impl Tx<'_> {
    /// What is known of a target, locked until the end of the transaction: who claims and who settles
    /// take turns.
    pub async fn lock_target(&mut self, target: &Name) -> Result<TargetState, StoreError> {
        sqlx::query(
            "-- target_states.insert
             insert into target_states (target) values ($1) on conflict do nothing",
        )
        .bind(target.as_str())
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let row: StateRow = sqlx::query_as(
            "-- target_states.lock
             select target, state, since, failed_at, failures, openings, probing_until,
                 greatest(not_before, 'epoch') as not_before,
                 greatest(next_free_at, 'epoch') as next_free_at
             from target_states where target = $1 for update",
        )
        .bind(target.as_str())
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        row.decode().map_err(|source| self.failed(source))
    }

    /// Writes what [`lock_target`](Self::lock_target) read, as it is by now.
    pub async fn keep_target(
        &mut self,
        target: &Name,
        state: &TargetState,
    ) -> Result<(), StoreError> {
        let columns = CircuitColumns::of(state.health.condition);
        let result = sqlx::query(
            "-- target_states.keep
             update target_states
             set state = $2, since = $3, failed_at = $4, failures = $5, openings = $6,
                 probing_until = $7, not_before = $8, next_free_at = $9
             where target = $1",
        )
        .bind(target.as_str())
        .bind(state.health.condition.as_str())
        .bind(columns.since.map(Timestamp::to_chrono))
        .bind(columns.failed_at.map(Timestamp::to_chrono))
        .bind(columns.failures)
        .bind(columns.openings)
        .bind(state.health.probing_until.map(Timestamp::to_chrono))
        .bind(state.not_before.to_chrono())
        .bind(state.next_free_at.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result.map(drop).map_err(|source| self.failed(source))
    }

    /// What is known of every target that was ever sent to, in the order of their names.
    pub async fn target_states(&mut self) -> Result<Vec<(Name, TargetState)>, StoreError> {
        let rows: Vec<StateRow> = sqlx::query_as(
            "-- target_states.all
             select target, state, since, failed_at, failures, openings, probing_until,
                 greatest(not_before, 'epoch') as not_before,
                 greatest(next_free_at, 'epoch') as next_free_at
             from target_states order by target",
        )
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let decoded = rows.into_iter().map(|row| {
            let name = self.name(&row.target)?;
            let state = row.decode().map_err(|source| self.failed(source))?;
            Ok((name, state))
        });
        decoded.collect()
    }
}

/// A condition, taken apart.
#[derive(Default)]
struct CircuitColumns {
    since: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    failures: i32,
    openings: i32,
}

impl CircuitColumns {
    fn of(condition: TargetCondition) -> Self {
        let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        match condition {
            TargetCondition::Closed { failures } => Self {
                failures: count(failures),
                ..Self::default()
            },
            TargetCondition::Open {
                since,
                failed_at,
                openings,
            } => Self {
                since: Some(since),
                failed_at: Some(failed_at),
                openings: count(openings),
                ..Self::default()
            },
            TargetCondition::Misconfigured { since, failed_at } => Self {
                since: Some(since),
                failed_at: Some(failed_at),
                ..Self::default()
            },
        }
    }
}

#[derive(FromRow)]
struct StateRow {
    target: String,
    state: String,
    since: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    failures: i32,
    openings: i32,
    probing_until: Option<DateTime<Utc>>,
    not_before: DateTime<Utc>,
    next_free_at: DateTime<Utc>,
}

impl StateRow {
    fn decode(&self) -> Result<TargetState, sqlx::Error> {
        Ok(TargetState {
            health: TargetCircuit {
                condition: self.condition()?,
                probing_until: self.probing_until.map(Timestamp::from),
            },
            not_before: self.not_before.into(),
            next_free_at: self.next_free_at.into(),
        })
    }

    fn condition(&self) -> Result<TargetCondition, sqlx::Error> {
        let times = self.since.zip(self.failed_at);
        let times = times.map(|(since, failed_at)| (since.into(), failed_at.into()));
        match (self.state.as_str(), times) {
            ("closed", _) => Ok(TargetCondition::Closed {
                failures: self.failures.unsigned_abs(),
            }),
            ("open", Some((since, failed_at))) => Ok(TargetCondition::Open {
                since,
                failed_at,
                openings: self.openings.unsigned_abs(),
            }),
            ("misconfigured", Some((since, failed_at))) => {
                Ok(TargetCondition::Misconfigured { since, failed_at })
            }
            (state, _) => {
                let message = format!("`{state}` is no state of target `{}`", self.target);
                Err(sqlx::Error::Decode(message.into()))
            }
        }
    }
}
