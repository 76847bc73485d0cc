//! The watermarks of replicas, each and combined.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        model::time::Timestamp,
        workflow::watermark::{OutageLimits, ReplicaId, Replicas, Watermark},
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Records that a replica is receiving at `now` and returns the combined watermark.
    pub async fn record_heartbeat(
        &mut self,
        replica: ReplicaId,
        now: Timestamp,
        limits: &OutageLimits,
    ) -> Result<Watermark, StoreError> {
        let known = self.lock_replicas(now).await?;
        let noted = known.clone().record_heartbeat(replica, now, limits);
        self.replace_replicas(&known, &noted).await?;
        Ok(noted.together)
    }

    /// Records that a replica has ended in order.
    pub async fn leave(
        &mut self,
        replica: ReplicaId,
        now: Timestamp,
        limits: &OutageLimits,
    ) -> Result<(), StoreError> {
        let known = self.lock_replicas(now).await?;
        let noted = known.clone().leave(replica, now, limits);
        self.replace_replicas(&known, &noted).await
    }

    /// Returns the combined watermark; `None` before the first heartbeat.
    pub async fn watermark(&mut self) -> Result<Option<Watermark>, StoreError> {
        let query = sqlx::query_as(concat!(
            "-- watermark.read\n",
            "select 0::bigint as id, complete_until, heartbeat_at, catch_up_until from ingest_watermark",
        ));
        let together: Option<Row> = self.fetch_optional(query).await?;
        Ok(together.map(|row| read(row).1))
    }

    /// Locks the single row that all replicas share, which also protects the rows of each.
    async fn lock_replicas(&mut self, now: Timestamp) -> Result<Replicas, StoreError> {
        let query = sqlx::query_as(concat!(
            "-- watermark.lock\n",
            "select 0::bigint as id, complete_until, heartbeat_at, catch_up_until from ingest_watermark ",
            "for update",
        ));
        let together: Option<Row> = self.fetch_optional(query).await?;
        let query = sqlx::query_as(concat!(
            "-- watermark.replicas\n",
            "select id, complete_until, heartbeat_at, catch_up_until from replicas",
        ));
        let each: Vec<Row> = self.fetch_all(query).await?;
        let log_up_to = self.log_up_to(now).await?;
        Ok(Replicas {
            log_up_to,
            together: together.map_or_else(|| Watermark::new(now), |row| read(row).1),
            each: each.into_iter().map(read).collect(),
        })
    }

    async fn replace_replicas(
        &mut self,
        known: &Replicas,
        noted: &Replicas,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(concat!(
            "-- watermark.set\n",
            "insert into ingest_watermark (complete_until, heartbeat_at, catch_up_until) ",
            "values ($1, $2, $3) on conflict (singleton) do update ",
            "set complete_until = excluded.complete_until, ",
            "heartbeat_at = excluded.heartbeat_at, catch_up_until = excluded.catch_up_until",
        ))
        .bind(noted.together.up_to.to_chrono())
        .bind(noted.together.heartbeat_at.to_chrono())
        .bind(noted.together.catching_up_until.to_chrono());
        self.execute(statement).await?;
        for (replica, watermark) in changed(known, noted) {
            self.set_replica(replica, watermark).await?;
        }
        let gone: Vec<i64> = missing(known, noted);
        if gone.is_empty() {
            return Ok(());
        }
        let statement = sqlx::query(
            "-- watermark.forget_replicas
             delete from replicas where id = any($1)",
        )
        .bind(gone);
        self.execute(statement).await.map(drop)
    }

    async fn set_replica(
        &mut self,
        replica: ReplicaId,
        watermark: Watermark,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(concat!(
            "-- watermark.set_replica\n",
            "insert into replicas (id, complete_until, heartbeat_at, catch_up_until) ",
            "values ($1, $2, $3, $4) on conflict (id) do update ",
            "set complete_until = excluded.complete_until, ",
            "heartbeat_at = excluded.heartbeat_at, catch_up_until = excluded.catch_up_until",
        ))
        .bind(replica.0)
        .bind(watermark.up_to.to_chrono())
        .bind(watermark.heartbeat_at.to_chrono())
        .bind(watermark.catching_up_until.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Returns the time until which ingest is known to have been healthy; `None` while nothing has
    /// ever been received.
    pub async fn ingest_healthy_until(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let until: Option<DateTime<Utc>> = sqlx::query_scalar(
            "-- watermark.healthy_until
             select complete_until from ingest_watermark",
        )
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(until.map(Timestamp::from))
    }
}

type Row = (i64, DateTime<Utc>, DateTime<Utc>, DateTime<Utc>);

fn read((id, complete_until, heartbeat_at, catch_up_until): Row) -> (ReplicaId, Watermark) {
    let watermark = Watermark {
        up_to: complete_until.into(),
        heartbeat_at: heartbeat_at.into(),
        catching_up_until: catch_up_until.into(),
    };
    (ReplicaId(id), watermark)
}

fn changed(known: &Replicas, noted: &Replicas) -> BTreeMap<ReplicaId, Watermark> {
    let each = noted.each.iter().map(|(id, watermark)| (*id, *watermark));
    each.filter(|(id, watermark)| known.each.get(id) != Some(watermark))
        .collect()
}

fn missing(known: &Replicas, noted: &Replicas) -> Vec<i64> {
    let ids = known.each.keys();
    ids.filter(|id| !noted.each.contains_key(id))
        .map(|id| id.0)
        .collect()
}
