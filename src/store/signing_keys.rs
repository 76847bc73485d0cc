//! The one key that all replicas sign addresses with.

use super::{StoreError, Tx};
use crate::domain::{model::time::Timestamp, notify::signed_links::signing::SigningKey};

impl Tx<'_> {
    /// The key of this database: `candidate` if it has none yet.
    pub async fn signing_key(
        &mut self,
        candidate: &SigningKey,
        now: Timestamp,
    ) -> Result<SigningKey, StoreError> {
        sqlx::query(
            "-- signing_keys.insert
            insert into signing_keys (key, created_at) values ($1, $2)
            on conflict (single) do nothing",
        )
        .bind(candidate.as_bytes())
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let key: [u8; SigningKey::LENGTH] =
            sqlx::query_scalar("-- signing_keys.read\nselect key from signing_keys")
                .fetch_one(&mut *self.inner)
                .await
                .map_err(|source| self.failed(source))?;
        Ok(SigningKey::new(key))
    }
}
