//! The lock on links, and the evidence that is not resolved yet.

use crate::store::{StoreError, Tx};

/// Key of the advisory lock that writers of links hold.
const LINK_LOCK: i64 = 0x0074_6872_6c69_6e6b;

impl Tx<'_> {
    /// Blocks other writers of links until the end of the transaction.
    pub(crate) async fn lock_links(&mut self) -> Result<(), StoreError> {
        let statement =
            sqlx::query("-- links.hold\nselect pg_advisory_xact_lock($1)").bind(LINK_LOCK);
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns whether unresolved evidence is left.
    pub async fn has_unresolved_evidence(&mut self) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "-- link_evidence.has_unresolved
             select exists (select 1 from link_evidence where is_unresolved)",
        )
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))
    }
}
