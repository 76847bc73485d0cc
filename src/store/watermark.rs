//! The watermark that all replicas share.

use chrono::{DateTime, Utc};

use super::{StoreError, Tx};
use crate::domain::{
    time::Timestamp,
    watermark::{OutageLimits, Watermark},
};

impl Tx<'_> {
    /// Notes that ingest works at `now` and returns where the watermark stands.
    pub async fn beat(
        &mut self,
        now: Timestamp,
        limits: &OutageLimits,
    ) -> Result<Watermark, StoreError> {
        let known: Option<(DateTime<Utc>, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(concat!(
            "-- watermark.lock\n",
            "select up_to, beat_at, catching_up_until from ingest_watermark for update",
        ))
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let watermark = match known {
            None => Watermark::new(now),
            Some((up_to, beat_at, catching_up_until)) => Watermark {
                up_to: up_to.into(),
                beat_at: beat_at.into(),
                catching_up_until: catching_up_until.into(),
            }
            .beat(now, limits),
        };
        sqlx::query(concat!(
            "-- watermark.set\n",
            "insert into ingest_watermark (up_to, beat_at, catching_up_until) values ($1, $2, $3) ",
            "on conflict (only_row) do update set up_to = excluded.up_to, ",
            "beat_at = excluded.beat_at, catching_up_until = excluded.catching_up_until",
        ))
        .bind(watermark.up_to.to_chrono())
        .bind(watermark.beat_at.to_chrono())
        .bind(watermark.catching_up_until.to_chrono())
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(watermark)
    }

    /// Whether ingest is known to have been healthy until `since`; `None` while nothing has ever
    /// been received.
    pub async fn ingest_was_healthy(
        &mut self,
        since: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        sqlx::query_scalar(
            "-- watermark.was_healthy
             select up_to >= $1 from ingest_watermark",
        )
        .bind(since.to_chrono())
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }
}
