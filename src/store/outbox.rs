//! The duty to tell: deliveries written in the transaction of the transition they are about.

use uuid::Uuid;

use super::{StoreError, Tx};
use crate::domain::{names::Name, time::Timestamp};

impl Tx<'_> {
    /// One delivery per target, due at once. Ids rise in commit order per `ordering_key`, since the
    /// caller holds the row of the alert that the key names.
    #[expect(
        clippy::too_many_arguments,
        reason = "the columns of a row, each of another type"
    )]
    pub async fn enqueue_deliveries(
        &mut self,
        transition_id: Uuid,
        targets: &[Name],
        ordering_key: &str,
        priority: i16,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let targets: Vec<&str> = targets.iter().map(Name::as_str).collect();
        sqlx::query(
            "-- deliveries.enqueue
             insert into deliveries
                 (transition_id, target, ordering_key, priority, state, next_attempt_at)
             select $1, target, $3, $4, 'pending', $5
             from unnest($2::text[]) as told (target)
             on conflict (transition_id, target) do nothing",
        )
        .bind(transition_id)
        .bind(targets)
        .bind(ordering_key)
        .bind(priority)
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// The targets that a transition was, or is to be, told to.
    pub async fn targets_told(&mut self, transition_id: Uuid) -> Result<Vec<Name>, StoreError> {
        let targets: Vec<String> = sqlx::query_scalar(
            "-- deliveries.targets_told
             select target from deliveries where transition_id = $1 order by id",
        )
        .bind(transition_id)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        targets.iter().map(|target| self.name(target)).collect()
    }
}
