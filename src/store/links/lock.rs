//! The lock on what links have resolved.

use crate::store::{StoreError, Tx};

/// Key of the advisory lock that those hold who move evidence.
const LINK_LOCK: i64 = 0x0074_6872_6c69_6e6b;

impl Tx<'_> {
    /// Blocks others who move evidence until the end of the transaction, which is then as durable as
    /// any.
    pub(crate) async fn lock_links(&mut self) -> Result<(), StoreError> {
        let sql = format!(
            "-- links.hold\nset local synchronous_commit to default; \
             select pg_advisory_xact_lock({LINK_LOCK})"
        );
        self.run_ddl(sql).await
    }
}
