//! The circuit breaker and the rate limit of each target, shared by all replicas.

use sqlx::{FromRow, Row as _, postgres::PgRow};

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{
            TargetState,
            chat_pace::ChatPace,
            circuit::{TargetCircuit, TargetCondition},
        },
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Returns the state of a target, locked until the end of the transaction: replicas that claim
    /// and replicas that settle deliveries take turns.
    pub async fn lock_target(&mut self, target: &Name) -> Result<TargetState, StoreError> {
        let insert = sqlx::query(
            "-- target_states.insert
            insert into target_states (target) values ($1) on conflict do nothing",
        );
        self.execute(insert.bind(target)).await?;
        let lock = sqlx::query_as(
            "-- target_states.lock
            select * from target_states where target = $1 for update",
        );
        let row: StateRow = self.fetch_one(lock.bind(target)).await?;
        Ok(row.state)
    }

    /// Stores the new state of a target that [`lock_target`](Self::lock_target) has read.
    pub async fn keep_target(
        &mut self,
        target: &Name,
        state: &TargetState,
    ) -> Result<(), StoreError> {
        let columns = CircuitColumns::of(state.health.condition);
        let statement = sqlx::query(
            "-- target_states.keep
            update target_states
            set state = $2, since = $3, failed_at = $4, failures = $5, openings = $6,
                probing_until = $7, not_before = $8, next_free_at = $9,
                singles_free_at = $10, digest_free_at = $11
            where target = $1",
        );
        let statement = statement
            .bind(target)
            .bind(state.health.condition.as_str())
            .bind(columns.since)
            .bind(columns.failed_at)
            .bind(columns.failures)
            .bind(columns.openings)
            .bind(state.health.probing_until)
            .bind(state.not_before)
            .bind(state.next_free_at)
            .bind(state.chat_pace.singles_free_at)
            .bind(state.chat_pace.digest_free_at);
        self.execute(statement).await.map(drop)
    }

    /// Returns the state of every target that any delivery was sent to, in the order of their
    /// names.
    pub async fn target_states(&mut self) -> Result<Vec<(Name, TargetState)>, StoreError> {
        let query = sqlx::query_as(
            "-- target_states.all
            select * from target_states order by target",
        );
        let rows: Vec<StateRow> = self.fetch_all(query).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.target, row.state))
            .collect())
    }
}

/// A condition by column.
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

    /// Returns the condition; `None` if another version of the service wrote `state`.
    fn condition(&self, state: &str) -> Option<TargetCondition> {
        let times = self.since.zip(self.failed_at);
        match (state, times) {
            ("closed", _) => Some(TargetCondition::Closed {
                failures: self.failures.unsigned_abs(),
            }),
            ("open", Some((since, failed_at))) => Some(TargetCondition::Open {
                since,
                failed_at,
                openings: self.openings.unsigned_abs(),
            }),
            ("misconfigured", Some((since, failed_at))) => {
                Some(TargetCondition::Misconfigured { since, failed_at })
            }
            _ => None,
        }
    }
}

struct StateRow {
    target: Name,
    state: TargetState,
}

impl FromRow<'_, PgRow> for StateRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let columns = CircuitColumns {
            since: row.try_get("since")?,
            failed_at: row.try_get("failed_at")?,
            failures: row.try_get("failures")?,
            openings: row.try_get("openings")?,
        };
        let state: &str = row.try_get("state")?;
        let condition = columns.condition(state);
        let unknown = || sqlx::Error::Decode(format!("`{state}` is no state of a target").into());
        Ok(Self {
            target: row.try_get("target")?,
            state: TargetState {
                health: TargetCircuit {
                    condition: condition.ok_or_else(unknown)?,
                    probing_until: row.try_get("probing_until")?,
                },
                not_before: row.try_get("not_before")?,
                next_free_at: row.try_get("next_free_at")?,
                chat_pace: ChatPace {
                    singles_free_at: row.try_get("singles_free_at")?,
                    digest_free_at: row.try_get("digest_free_at")?,
                },
            },
        })
    }
}
