//! Restored backups: noticed because the database is another one than the service last ran on.

use std::time::Duration;

use crate::{
    domain::model::time::{TimeRange, Timestamp},
    store::{StoreError, Tx},
};

/// What was due this long before the backup has been judged in it.
const JUDGED_WITHIN: Duration = Duration::from_secs(10);

impl Tx<'_> {
    /// Compares the database with the one that the service last ran on. If it is another one, a backup
    /// was restored: records and returns the time from which evidence is lost.
    pub async fn note_restore(&mut self, now: Timestamp) -> Result<Option<TimeRange>, StoreError> {
        let query = sqlx::query_as(
            "-- service_state.lock_identity
             select database_identity from service_state for update",
        );
        let (before,): (Option<String>,) = self.fetch_one(query).await?;
        let identity = self.keep_database_identity().await?;
        let watermark = self.watermark().await?;
        let is_restored = before.is_some_and(|before| before != identity);
        let Some(watermark) = watermark.filter(|_| is_restored) else {
            return Ok(None);
        };
        let judged_until = watermark.up_to.min(watermark.heartbeat_at);
        let lost = TimeRange::new(judged_until.min(now) - JUDGED_WITHIN, now);
        let statement = sqlx::query(
            "-- evidence_gaps.add_restore
             insert into evidence_gaps (lost_from, lost_until) values ($1, $2)
             on conflict (lost_until) do update
             set lost_from = least(evidence_gaps.lost_from, excluded.lost_from)",
        )
        .bind(lost.from.to_chrono())
        .bind(lost.to.to_chrono());
        self.execute(statement).await?;
        Ok(Some(lost))
    }

    /// Records the database that the service runs on: after a failover it has another history, and was
    /// not restored.
    pub async fn keep_database_identity(&mut self) -> Result<String, StoreError> {
        let query = sqlx::query_as(
            "-- database.may_be_identified
             select has_function_privilege('pg_control_system()', 'execute')
                 and has_function_privilege('pg_control_checkpoint()', 'execute')",
        );
        let (may_ask,): (bool,) = self.fetch_one(query).await?;
        let query = sqlx::query_as(if may_ask {
            "-- database.identity
             select concat_ws('/', s.system_identifier, c.timeline_id, d.oid)
             from pg_control_system() s, pg_control_checkpoint() c, pg_database d
             where d.datname = current_database()"
        } else {
            "-- database.oid
             select d.oid::text from pg_database d where d.datname = current_database()"
        });
        let (identity,): (String,) = self.fetch_one(query).await?;
        let statement = sqlx::query(
            "-- service_state.keep_identity
             update service_state set database_identity = $1
             where database_identity is distinct from $1",
        )
        .bind(&identity);
        self.execute(statement).await?;
        Ok(identity)
    }
}
