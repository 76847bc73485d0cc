//! The key with which all replicas sign URLs.

use crate::{
    domain::{model::time::Timestamp, notify::signed_links::signing::SigningKey},
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Returns the key of this database: `candidate` if it has none yet.
    pub async fn signing_key(
        &mut self,
        candidate: &SigningKey,
        now: Timestamp,
    ) -> Result<SigningKey, StoreError> {
        let statement = sqlx::query(
            "-- signing_key.insert
            insert into signing_key (key, created_at) values ($1, $2)
            on conflict (singleton) do nothing",
        )
        .bind(candidate.as_bytes())
        .bind(now.to_chrono());
        self.execute(statement).await?;
        let key: [u8; SigningKey::LENGTH] =
            sqlx::query_scalar("-- signing_key.read\nselect key from signing_key")
                .fetch_one(&mut self.inner)
                .await
                .map_err(|source| self.failed(source))?;
        Ok(SigningKey::new(key))
    }
}
