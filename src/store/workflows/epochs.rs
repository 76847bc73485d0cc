//! Epochs of workflows: one is opened before the last is too old, and dropped step by step when no
//! more evidence for its workflows is accepted.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::purged::{NextWorkflows, PagesAStep};
use crate::{
    domain::model::{ids::Revision, time::Timestamp},
    store::{Progress, StoreError, Tx},
};

/// Key of the advisory lock that all transactions share that judge workflows. Opening an epoch
/// excludes them, and a transaction that must be sure that they have ended waits for it.
pub(crate) const EPOCH_LOCK: i64 = 0x0074_6872_6f75_6768;

/// The tables with a partition per epoch, in addition to the workflows themselves.
const PARTITIONED_LIKE_WORKFLOWS: [&str; 7] = [
    "bad_workflows",
    "sampled_workflows",
    "span_edges",
    "link_evidence",
    "pending_spans",
    "batch_messages",
    "workflow_search",
];

/// The table of keys, whose partition is dropped later.
const KEYS: &str = "purged_workflows";

/// The oldest epoch, if no other transaction is dropping it.
struct OldestEpoch {
    epoch: i32,
    /// The time at which the next one was opened.
    closed_at: Timestamp,
    /// Those of its pages whose workflows are not needed, from the first on.
    purged_pages: i64,
}

/// The state that stays the same during a transaction that judges workflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerState {
    pub definitions: Revision,
    /// The partition that new rows are inserted into.
    pub(crate) epoch: i32,
}

/// Returns the statements that make a transaction one that judges workflows. They take the lock that all
/// of them share, so that the partition for new rows stays the same; others may wait for them.
///
/// The transaction touches few rows of many: a plan that scans a partition is always wrong here, but
/// the planner cannot know this while statistics are missing. The time-out is as long as a commit may
/// take: after it no one waits for the result, and the statement would only hold its locks.
pub(crate) fn share_ledger() -> String {
    format!(
        "; -- ledger.share\nselect pg_advisory_xact_lock_shared({EPOCH_LOCK}); \
         set local enable_seqscan = off; set local enable_hashjoin = off; \
         set local enable_mergejoin = off; set local statement_timeout = '10s'"
    )
}

impl Tx<'_> {
    /// Returns the definitions in force and the newest partition, as they are while this transaction
    /// shares the lock.
    pub(crate) async fn ledger_state(&mut self) -> Result<LedgerState, StoreError> {
        let query = sqlx::query_as(
            "-- ledger.state
             select coalesce((select max(number) from definition_sets), 0), max(epoch) from epochs",
        );
        let (definitions, epoch): (i32, i32) = self.fetch_one(query).await?;
        Ok(LedgerState {
            definitions: Revision(definitions),
            epoch,
        })
    }

    /// Opens a new epoch of workflows if there is none, or if the newest was opened `length` ago.
    pub async fn ensure_epoch(
        &mut self,
        now: Timestamp,
        length: Duration,
    ) -> Result<(), StoreError> {
        if self
            .newest_epoch()
            .await?
            .is_some_and(|(_, opened)| now < opened + length)
        {
            return Ok(());
        }
        self.exclude_writers().await?;
        let newest = self.newest_epoch().await?;
        let epoch = match newest {
            Some((_, opened)) if now < opened + length => return Ok(()),
            Some((epoch, _)) => epoch + 1,
            None => 0,
        };
        // Open workflows are updated in place: free space on the page keeps the new versions there.
        self.run_ddl(format!(
            "-- epoch.create_partition\ncreate table workflows_{epoch} partition of workflows \
             for values in ({epoch}) with (fillfactor = 80)"
        ))
        .await?;
        for parent in PARTITIONED_LIKE_WORKFLOWS.into_iter().chain([KEYS]) {
            self.run_ddl(format!(
                "-- epoch.create_partition\ncreate table {parent}_{epoch} partition of {parent} \
                 for values in ({epoch})"
            ))
            .await?;
        }
        let statement =
            sqlx::query("-- epoch.insert\ninsert into epochs (epoch, opened_at) values ($1, $2)")
                .bind(epoch)
                .bind(now.to_chrono());
        self.execute(statement).await?;
        Ok(())
    }

    /// Waits until no transaction judges workflows, and blocks others until the end of this one.
    async fn exclude_writers(&mut self) -> Result<(), StoreError> {
        let statement = sqlx::query("-- epoch.exclude_writers\nselect pg_advisory_xact_lock($1)")
            .bind(EPOCH_LOCK);
        self.execute(statement).await.map(drop)
    }

    async fn newest_epoch(&mut self) -> Result<Option<(i32, Timestamp)>, StoreError> {
        let query = sqlx::query_as(
            "-- epoch.newest\nselect epoch, opened_at from epochs order by epoch desc limit 1",
        );
        let newest: Option<(i32, DateTime<Utc>)> = self.fetch_optional(query).await?;
        Ok(newest.map(|(epoch, opened)| (epoch, opened.into())))
    }

    /// Takes one step towards dropping the oldest epoch, if no evidence for its workflows is
    /// accepted any more: all are judged, and evidence as old as they are would be rejected as too
    /// late. Each step looks at the workflows of some pages and copies those keys that are needed
    /// later; the next one begins after them.
    pub async fn drop_oldest_epoch(
        &mut self,
        now: Timestamp,
        horizon: Duration,
        pages: PagesAStep,
    ) -> Result<Progress, StoreError> {
        let floor = now - horizon;
        let Some(oldest) = self.oldest_epoch().await? else {
            return Ok(Progress::Done);
        };
        let epoch = oldest.epoch;
        if oldest.closed_at > floor || self.has_open_workflows(epoch).await? {
            return Ok(Progress::Done);
        }
        let first = oldest.purged_pages;
        match self.purge_next(epoch, first, pages, floor).await? {
            NextWorkflows::Needed => return Ok(Progress::Done),
            NextWorkflows::Purged => return Ok(Progress::More),
            NextWorkflows::None => {}
        }
        self.wait_briefly_for_locks().await?;
        // Tables of links and workflows are locked in various orders by those who judge.
        self.exclude_writers().await?;
        if self.has_open_workflows(epoch).await? || self.has_bad_since(epoch, floor).await? {
            // A verdict has changed after its page was looked at, so all are looked at again.
            self.purge_from_start(epoch).await?;
            return Ok(Progress::Done);
        }
        self.drop_epoch(epoch, now).await?;
        Ok(Progress::More)
    }

    /// Returns the oldest epoch. `None` also while there is only one, which is in use.
    async fn oldest_epoch(&mut self) -> Result<Option<OldestEpoch>, StoreError> {
        let query = sqlx::query_as(
            "-- epoch.lock_oldest
             select epoch, (select min(opened_at) from epochs later where later.epoch > oldest.epoch),
                 purged_pages
             from epochs oldest
             where epoch = (select min(epoch) from epochs where purged_at is null)
             for update skip locked",
        );
        let row: Option<(i32, Option<DateTime<Utc>>, i64)> = self.fetch_optional(query).await?;
        Ok(row.and_then(|(epoch, closed_at, purged_pages)| {
            Some(OldestEpoch {
                epoch,
                closed_at: closed_at?.into(),
                purged_pages,
            })
        }))
    }

    async fn has_open_workflows(&mut self, epoch: i32) -> Result<bool, StoreError> {
        let query = sqlx::query_as(
            "-- epoch.has_open
             select exists (
                 select 1 from deadlines d cross join lateral unnest(d.keys) as k (key)
                 join workflows w on w.epoch = d.epoch and w.slo_id = d.slo_id and w.key = k.key
                 where d.epoch = $1 and w.outcome = 0)",
        );
        let (has_open,): (bool,) = self.fetch_one(query.bind(epoch)).await?;
        Ok(has_open)
    }

    /// Returns true if a workflow of the epoch is bad since `floor`, as its list says.
    async fn has_bad_since(&mut self, epoch: i32, floor: Timestamp) -> Result<bool, StoreError> {
        let query = sqlx::query_as(
            "-- epoch.has_bad_since
             select exists (
                 select 1 from slos s cross join lateral (
                     select 1 from bad_workflows b
                     where b.epoch = $1 and b.slo_id = s.id and b.judged_at >= $2 limit 1) as bad)",
        );
        let (has_bad,): (bool,) = self.fetch_one(query.bind(epoch).bind(floor)).await?;
        Ok(has_bad)
    }

    async fn purge_from_start(&mut self, epoch: i32) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- epoch.purge_from_start\nupdate epochs set purged_pages = 0 where epoch = $1",
        );
        self.execute(statement.bind(epoch)).await.map(drop)
    }

    /// Drops the partitions of an epoch. No transaction that judges workflows is under way.
    async fn drop_epoch(&mut self, epoch: i32, now: Timestamp) -> Result<(), StoreError> {
        for sql in [
            "-- deadlines.delete_epoch\ndelete from deadlines where epoch = $1",
            "-- stage_queue.delete_epoch\ndelete from stage_queue where epoch = $1",
        ] {
            self.execute(sqlx::query(sql).bind(epoch)).await?;
        }
        for parent in ["workflows"].into_iter().chain(PARTITIONED_LIKE_WORKFLOWS) {
            self.run_ddl(format!(
                "-- epoch.drop_partition\ndrop table if exists {parent}_{epoch}"
            ))
            .await?;
        }
        let statement =
            sqlx::query("-- epoch.purged\nupdate epochs set purged_at = $2 where epoch = $1");
        self.execute(statement.bind(epoch).bind(now)).await?;
        Ok(())
    }
}
