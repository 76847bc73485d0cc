//! The time at which each clean-up last had nothing left to remove.

use crate::{
    domain::{
        health::{CleanUp, CleanUpSign},
        model::time::Timestamp,
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    pub async fn note_clean_up(
        &mut self,
        clean_up: CleanUp,
        finished_at: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- clean_ups.note
             insert into clean_ups (name, finished_at) values ($1, $2)
             on conflict (name) do update set finished_at = excluded.finished_at",
        )
        .bind(clean_up.as_str())
        .bind(finished_at);
        self.execute(statement).await.map(drop)
    }

    /// Returns the clean-ups that have finished before.
    pub async fn clean_up_signs(&mut self) -> Result<Vec<CleanUpSign>, StoreError> {
        let query = sqlx::query_as(
            "-- clean_ups.all\nselect name, finished_at from clean_ups order by name",
        );
        let rows: Vec<(String, Timestamp)> = self.fetch_all(query).await?;
        let sign = |(name, finished_at): (String, Timestamp)| {
            Some(CleanUpSign {
                clean_up: CleanUp::from_name(&name)?,
                finished_at,
            })
        };
        Ok(rows.into_iter().filter_map(sign).collect())
    }
}
