//! Restored backups and promoted standbys: detected because the database is not the one that the
//! service last used, or lacks what the service committed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        model::time::{TimeRange, Timestamp},
        workflow::watermark::ReplicaId,
    },
    store::{StoreError, Tx},
};

/// Workflows that were due this long before the backup were already judged in it.
const JUDGED_WITHIN: Duration = Duration::from_secs(10);

impl Tx<'_> {
    /// Compares the database with the one that the service last ran on. If it is another one, a backup
    /// was restored: records and returns the time from which evidence is lost. A standby that was promoted
    /// lost nothing if commits waited for it.
    pub async fn note_restore(&mut self, now: Timestamp) -> Result<Option<TimeRange>, StoreError> {
        let query = sqlx::query_as(
            "-- service_state.lock_identity
             select database_identity, commits_are_synchronous
                 and not exists (select from pg_settings
                     where name in ('recovery_target', 'recovery_target_lsn', 'recovery_target_name',
                         'recovery_target_time', 'recovery_target_xid') and setting <> '')
             from service_state for update",
        );
        let (before, has_all): (Option<String>, bool) = self.fetch_one(query).await?;
        let identity = self.keep_database_identity().await?;
        let is_restored = before.is_some_and(|before| {
            before != identity && !(has_all && is_promoted(&before, &identity))
        });
        if is_restored {
            self.note_lost_until(now).await
        } else {
            Ok(None)
        }
    }

    /// Checks that the last heartbeat that this replica committed is in the database. If it is not,
    /// a standby was promoted that lacked it and what was received with it: records and returns the
    /// time from which evidence is lost.
    pub async fn note_lost_commits(
        &mut self,
        replica: ReplicaId,
        committed_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<TimeRange>, StoreError> {
        let query = sqlx::query_as(
            "-- watermark.of_replica\nselect heartbeat_at from replicas where id = $1",
        )
        .bind(replica.0);
        let kept: Option<(DateTime<Utc>,)> = self.fetch_optional(query).await?;
        match kept {
            Some((kept,)) if Timestamp::from(kept) < committed_at => {
                self.note_lost_until(now).await
            }
            _ => Ok(None),
        }
    }

    /// Records that evidence is lost which was received after the last heartbeat that is there.
    async fn note_lost_until(&mut self, now: Timestamp) -> Result<Option<TimeRange>, StoreError> {
        let Some(watermark) = self.watermark().await? else {
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

    /// Records the database that the service runs on, and whether its commits wait for a standby: after a
    /// failover it has another history, and was not restored.
    pub async fn keep_database_identity(&mut self) -> Result<String, StoreError> {
        let identity = self.database_identity().await?;
        let statement = sqlx::query(
            "-- service_state.keep_identity
             update service_state set database_identity = $1, commits_are_synchronous = s.is_on
             from (select current_setting('synchronous_standby_names') <> ''
                 and current_setting('synchronous_commit') not in ('off', 'local') as is_on) s
             where database_identity is distinct from $1 or commits_are_synchronous <> s.is_on",
        )
        .bind(&identity);
        self.execute(statement).await?;
        Ok(identity)
    }

    /// Returns what distinguishes the database, and its history since the last promotion if the user
    /// may ask for that.
    pub async fn database_identity(&mut self) -> Result<String, StoreError> {
        let query = sqlx::query_as(
            "-- database.may_be_identified
             select has_function_privilege('pg_control_system()', 'execute')
                 and has_function_privilege('pg_control_checkpoint()', 'execute')",
        );
        let (may_ask,): (bool,) = self.fetch_one(query).await?;
        // The history of the last checkpoint is that before a promotion, for as long as the next takes.
        let query = sqlx::query_as(if may_ask {
            "-- database.identity
             select concat_ws('/', s.system_identifier,
                 ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer, d.oid)
             from pg_control_system() s, pg_database d
             where d.datname = current_database()"
        } else {
            "-- database.oid
             select d.oid::text from pg_database d where d.datname = current_database()"
        });
        let (identity,): (String,) = self.fetch_one(query).await?;
        Ok(identity)
    }
}

/// Returns whether both are the same database of the same server, with a later history: it was promoted, or
/// recovered from its log.
fn is_promoted(before: &str, now: &str) -> bool {
    let parts = |identity: &str| -> Option<(String, u32, String)> {
        let mut parts = identity.split('/');
        let (server, history) = (parts.next()?, parts.next()?.parse().ok()?);
        Some((server.to_owned(), history, parts.next()?.to_owned()))
    };
    match (parts(before), parts(now)) {
        (Some(before), Some(now)) => (&before.0, &before.2) == (&now.0, &now.2) && before.1 < now.1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_history_of_the_same_database_is_a_promotion() {
        assert!(is_promoted("71/1/5", "71/2/5"));
        assert!(is_promoted("71/9/5", "71/10/5"));
        for other in ["71/1/5", "72/2/5", "71/2/6", "5", ""] {
            assert!(!is_promoted("71/1/5", other), "{other}");
        }
        assert!(!is_promoted("71/2/5", "71/1/5"), "an older history");
        assert!(!is_promoted("of the backup", "71/1/5"));
    }
}
