//! Partitions of counts: created before they are needed, dropped when they are not needed any more.

use std::time::Duration;

use crate::{
    domain::model::time::{TimeRange, Timestamp},
    store::{Progress, StoreError, Tx},
};

const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(168);
const QUARTER: Duration = Duration::from_hours(2184);

const MINUTES: TimePartitions = TimePartitions("event_counts_minute", WEEK);
const HOURS: TimePartitions = TimePartitions("event_counts_hour", QUARTER);
/// Those of hours, and those of days.
const CUSTOMERS: [[TimePartitions; 2]; 2] = [
    [
        TimePartitions("customer_counts_hour", DAY),
        TimePartitions("customer_buckets_hour", DAY),
    ],
    [
        TimePartitions("customer_counts_day", WEEK),
        TimePartitions("customer_buckets_day", WEEK),
    ],
];

/// A table that is partitioned by its bucket, and the time range of one partition.
#[derive(Clone, Copy, Debug)]
struct TimePartitions(&'static str, Duration);

/// The retention of each kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Minutes are kept for the longest window of any SLO and a little longer.
    pub minutes: Duration,
    pub hours: Duration,
}

impl TimePartitions {
    /// Returns the name of the partition that begins at `from`.
    fn name(self, from: Timestamp) -> String {
        format!("{}_{}", self.0, from.to_chrono().format("%Y%m%d"))
    }

    /// Returns the beginning of the newest partition that ends before `kept_from`.
    fn newest_before(self, kept_from: Timestamp) -> Timestamp {
        (kept_from - self.1).floor_to(self.1)
    }
}

impl Tx<'_> {
    /// Creates the partitions for counts in `range`.
    pub async fn ensure_count_partitions(&mut self, range: TimeRange) -> Result<(), StoreError> {
        let customers = CUSTOMERS.into_iter().flatten();
        for table in [MINUTES, HOURS].into_iter().chain(customers) {
            let mut from = range.from.floor_to(table.1);
            while from < range.to {
                self.ensure_partition(table, from).await?;
                from = from + table.1;
            }
        }
        Ok(())
    }

    /// Attaches the partition, which nobody who reads or writes the table waits for.
    async fn ensure_partition(
        &mut self,
        table: TimePartitions,
        from: Timestamp,
    ) -> Result<(), StoreError> {
        let (TimePartitions(parent, length), name) = (table, table.name(from));
        if self.has_table(&name).await? {
            return Ok(());
        }
        self.run_ddl(format!(
            "-- partition.lock_parent\nlock table {parent} in share update exclusive mode"
        ))
        .await?;
        // Another replica may have been faster.
        if self.has_table(&name).await? {
            return Ok(());
        }
        self.run_ddl(format!(
            "-- partition.create\ncreate table {name} (like {parent} including all); \
             alter table {parent} attach partition {name} for values from ('{}') to ('{}')",
            from.to_rfc3339(),
            (from + length).to_rfc3339()
        ))
        .await
    }

    async fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        sqlx::query_scalar("-- partition.exists\nselect to_regclass($1) is not null")
            .bind(name)
            .fetch_one(&mut self.inner)
            .await
            .map_err(|source| self.failed(source))
    }

    /// Drops partitions of counts that end before the retention. Returns their names.
    pub async fn drop_old_counts(
        &mut self,
        now: Timestamp,
        retention: &Retention,
    ) -> Result<Vec<String>, StoreError> {
        let kept_from = now - retention.minutes;
        let mut dropped = self.drop_partitions(MINUTES, kept_from).await?;
        if !dropped.is_empty() {
            // Without minutes nothing can be counted in these days any more.
            let until = MINUTES.newest_before(kept_from) + MINUTES.1;
            self.close_days(until).await?;
        }
        dropped.extend(self.drop_partitions(HOURS, now - retention.hours).await?);
        Ok(dropped)
    }

    /// Drops the partitions of one table of customers that end before `hours`, or before `days`. One
    /// table per transaction, since others lock these tables in various orders.
    pub async fn drop_old_customers(
        &mut self,
        hours: Timestamp,
        days: Timestamp,
    ) -> Result<Progress, StoreError> {
        let tables = CUSTOMERS.into_iter().zip([hours, days]);
        let tables = tables.flat_map(|(tables, kept_from)| tables.map(|table| (table, kept_from)));
        for (table, kept_from) in tables {
            let dropped = self.drop_partitions(table, kept_from).await?;
            if !dropped.is_empty() {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    async fn drop_partitions(
        &mut self,
        table: TimePartitions,
        kept_from: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(concat!(
            "-- partition.list_old\n",
            "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid ",
            "where i.inhparent = to_regclass($1) and c.relname::text <= $2 order by 1",
        ))
        .bind(table.0)
        .bind(table.name(table.newest_before(kept_from)))
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        if !names.is_empty() {
            self.wait_briefly_for_locks().await?;
        }
        for name in &names {
            self.run_ddl(format!("-- partition.drop\ndrop table if exists {name}"))
                .await?;
        }
        Ok(names)
    }
}
