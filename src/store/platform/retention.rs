//! Partitions of counts: created before they are needed, dropped when they are not needed any more.

use std::time::Duration;

use crate::{
    domain::model::time::{TimeRange, Timestamp},
    store::{StoreError, Tx},
};

const MINUTES: &str = "event_counts_minute";
/// The time range of one partition of minutes, and of one partition of hours.
const MINUTES_PARTITION: Duration = Duration::from_hours(168);
const HOURS_PARTITION: Duration = Duration::from_hours(2184);

/// The retention of each kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Minutes are kept for the longest window of any SLO and a little longer.
    pub minutes: Duration,
    pub hours: Duration,
}

impl Tx<'_> {
    /// Creates the partitions for counts in `range`.
    pub async fn ensure_count_partitions(&mut self, range: TimeRange) -> Result<(), StoreError> {
        for (parent, length) in [
            (MINUTES, MINUTES_PARTITION),
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
        // Checked first, since creating a partition locks its parent even if it already exists.
        let exists: bool =
            sqlx::query_scalar("-- partition.exists\nselect to_regclass($1) is not null")
                .bind(&name)
                .fetch_one(&mut self.inner)
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

    /// Drops partitions of counts that end before the retention. Returns their names.
    pub async fn drop_old_counts(
        &mut self,
        now: Timestamp,
        retention: &Retention,
    ) -> Result<Vec<String>, StoreError> {
        let mut dropped = Vec::new();
        for (parent, length, kept) in [
            (MINUTES, MINUTES_PARTITION, retention.minutes),
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
            .fetch_all(&mut self.inner)
            .await
            .map_err(|source| self.failed(source))?;
            if names.is_empty() {
                continue;
            }
            self.wait_briefly_for_locks().await?;
            for name in names {
                self.run_ddl(format!("-- partition.drop\ndrop table if exists {name}"))
                    .await?;
                dropped.push(name);
            }
            if parent == MINUTES {
                // Without minutes nothing can be counted in these days any more.
                self.close_days(newest_to_go + length).await?;
            }
        }
        Ok(dropped)
    }
}
