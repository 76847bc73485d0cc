//! Partitions: made before they are needed, dropped when nothing needs them any more.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    domain::model::time::{TimeRange, Timestamp},
    store::{StoreError, Tx},
};

/// Key of the advisory lock that all share who judge workflows. The opening of an epoch excludes them,
/// and who must be sure that they have ended waits for it.
pub(crate) const EPOCH_LOCK: i64 = 0x0074_6872_6f75_6768;

/// What has a partition per epoch besides the workflows themselves.
const PARTITIONED_LIKE_WORKFLOWS: [&str; 4] = [
    "span_edges",
    "link_evidence",
    "pending_spans",
    "batch_messages",
];

/// How far one partition of minutes, and one of hours, reaches.
const MINUTES_PARTITION: Duration = Duration::from_hours(168);
const HOURS_PARTITION: Duration = Duration::from_hours(2184);

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Minutes are kept for the longest window of any SLO and a little more.
    pub minutes: Duration,
    pub hours: Duration,
}

impl Tx<'_> {
    /// Makes the partitions that counts in `range` go to.
    pub async fn ensure_count_partitions(&mut self, range: TimeRange) -> Result<(), StoreError> {
        for (parent, length) in [
            ("event_counts_minute", MINUTES_PARTITION),
            ("event_counts_hour", HOURS_PARTITION),
        ] {
            let mut from = range.from.floor_to(length);
            while from < range.to {
                self.ensure_count_partition(parent, TimeRange::new(from, from + length))
                    .await?;
                from = from + length;
            }
        }
        Ok(())
    }

    async fn ensure_count_partition(
        &mut self,
        parent: &str,
        range: TimeRange,
    ) -> Result<(), StoreError> {
        let name = format!("{parent}_{}", range.from.to_chrono().format("%Y%m%d"));
        // Asked first, since creating a partition locks its parent even where it exists already.
        let exists: bool =
            sqlx::query_scalar("-- partition.exists\nselect to_regclass($1) is not null")
                .bind(&name)
                .fetch_one(&mut *self.inner)
                .await
                .map_err(|source| self.failed(source))?;
        if exists {
            return Ok(());
        }
        self.run_ddl(format!(
            "-- partition.create\ncreate table if not exists {name} partition of {parent} \
             for values from ('{}') to ('{}')",
            range.from.to_rfc3339(),
            range.to.to_rfc3339()
        ))
        .await
    }

    /// Opens a new epoch of workflows if there is none, or the newest was opened `length` ago.
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
        let statement = sqlx::query("-- epoch.exclude_writers\nselect pg_advisory_xact_lock($1)")
            .bind(EPOCH_LOCK);
        self.execute(statement).await?;
        let newest = self.newest_epoch().await?;
        let epoch = match newest {
            Some((_, opened)) if now < opened + length => return Ok(()),
            Some((epoch, _)) => epoch + 1,
            None => 0,
        };
        // Rows of open workflows are updated in place: room on the page keeps them there.
        self.run_ddl(format!(
            "-- epoch.create_partition\ncreate table workflows_{epoch} partition of workflows \
             for values in ({epoch}) with (fillfactor = 80)"
        ))
        .await?;
        for parent in PARTITIONED_LIKE_WORKFLOWS {
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

    async fn newest_epoch(&mut self) -> Result<Option<(i32, Timestamp)>, StoreError> {
        let query = sqlx::query_as(
            "-- epoch.newest\nselect epoch, opened_at from epochs order by epoch desc limit 1",
        );
        let newest: Option<(i32, DateTime<Utc>)> = self.fetch_optional(query).await?;
        Ok(newest.map(|(epoch, opened)| (epoch, opened.into())))
    }

    /// Drops the oldest epoch if none of its workflows can be spoken of any more: all are judged,
    /// and evidence of their time would be refused as too late. Returns whether it did.
    pub async fn drop_oldest_epoch(
        &mut self,
        now: Timestamp,
        horizon: Duration,
    ) -> Result<bool, StoreError> {
        let floor = now - horizon;
        let query = sqlx::query_as(
            "-- epoch.two_oldest\nselect epoch, opened_at from epochs order by epoch limit 2",
        );
        let epochs: Vec<(i32, DateTime<Utc>)> = self.fetch_all(query).await?;
        let [(oldest, _), (_, closed_at)] = epochs.as_slice() else {
            return Ok(false);
        };
        if Timestamp::from(*closed_at) > floor {
            return Ok(false);
        }
        let is_needed: bool = sqlx::query_scalar(concat!(
            "-- epoch.is_needed\n",
            "select exists (select 1 from workflows where epoch = $1 and (outcome = 0 ",
            "or judged_at >= $2 ",
            "or started_at + coalesce(within_us, 0) * interval '1 microsecond' >= $2))",
        ))
        .bind(oldest)
        .bind(floor.to_chrono())
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        if is_needed {
            return Ok(false);
        }
        self.remember_epoch(*oldest, now, horizon * 2).await?;
        // Tables of links and workflows are locked in several orders under this lock.
        self.hold_links().await?;
        self.run_ddl(format!(
            "-- epoch.drop_partition\ndrop table if exists workflows_{oldest}"
        ))
        .await?;
        for parent in PARTITIONED_LIKE_WORKFLOWS {
            self.run_ddl(format!(
                "-- epoch.drop_partition\ndrop table if exists {parent}_{oldest}"
            ))
            .await?;
        }
        let statement =
            sqlx::query("-- epoch.delete\ndelete from epochs where epoch = $1").bind(oldest);
        self.execute(statement).await?;
        Ok(true)
    }

    /// Drops partitions of counts that end before what is kept. Returns their names.
    pub async fn drop_old_counts(
        &mut self,
        now: Timestamp,
        retention: &Retention,
    ) -> Result<Vec<String>, StoreError> {
        let mut dropped = Vec::new();
        for (parent, length, kept) in [
            ("event_counts_minute", MINUTES_PARTITION, retention.minutes),
            ("event_counts_hour", HOURS_PARTITION, retention.hours),
        ] {
            let newest_to_go = (now - kept - length).floor_to(length);
            let last = format!("{parent}_{}", newest_to_go.to_chrono().format("%Y%m%d"));
            let names: Vec<String> = sqlx::query_scalar(concat!(
                "-- partition.list_old\n",
                "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid ",
                "where i.inhparent = to_regclass($1) and c.relname::text <= $2 order by 1",
            ))
            .bind(parent)
            .bind(&last)
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
            for name in names {
                self.run_ddl(format!("-- partition.drop\ndrop table if exists {name}"))
                    .await?;
                dropped.push(name);
            }
        }
        Ok(dropped)
    }

    /// Runs a statement made of constants, numbers and dates of ours; DDL takes no parameters.
    async fn run_ddl(&mut self, statement: String) -> Result<(), StoreError> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(())
    }
}
