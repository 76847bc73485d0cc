//! A transaction under its name, which labels its span, its duration and its errors.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{
    FromRow, Postgres,
    error::DatabaseError,
    postgres::{PgArguments, PgRow},
    query::{Query, QueryAs},
};
use tokio::time::Instant;
use tracing::{Span, field::Empty};

use super::{StoreError, connections::Session, error::ChangedMeanwhile};
use crate::telemetry::metrics::DatabaseMetrics;

/// A transaction; it is rolled back if it is dropped without [`Tx::commit`].
#[derive(Debug)]
pub struct Tx<'c> {
    pub(super) inner: Session<'c>,
    operation: Operation,
}

impl<'c> Tx<'c> {
    pub(super) fn new(inner: Session<'c>, operation: Operation) -> Self {
        operation.has_begun();
        Self { inner, operation }
    }
}

impl Tx<'_> {
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self {
            inner,
            mut operation,
        } = self;
        inner
            .commit()
            .await
            .map_err(|source| operation.failed(source))?;
        operation.is_committed = true;
        Ok(())
    }

    /// Runs a statement. Returns how many rows it inserted, changed or deleted.
    pub(super) async fn execute(
        &mut self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, StoreError> {
        match statement.execute(&mut self.inner).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(source) => Err(self.failed(source)),
        }
    }

    pub(super) async fn fetch_all<R: QueryRow>(
        &mut self,
        query: QueryAs<'_, Postgres, R, PgArguments>,
    ) -> Result<Vec<R>, StoreError> {
        let rows = query.fetch_all(&mut self.inner).await;
        rows.map_err(|source| self.failed(source))
    }

    /// Returns the first row; an error if there is none.
    pub(super) async fn fetch_one<R: QueryRow>(
        &mut self,
        query: QueryAs<'_, Postgres, R, PgArguments>,
    ) -> Result<R, StoreError> {
        let row = query.fetch_one(&mut self.inner).await;
        row.map_err(|source| self.failed(source))
    }

    pub(super) async fn fetch_optional<R: QueryRow>(
        &mut self,
        query: QueryAs<'_, Postgres, R, PgArguments>,
    ) -> Result<Option<R>, StoreError> {
        let row = query.fetch_optional(&mut self.inner).await;
        row.map_err(|source| self.failed(source))
    }

    /// Runs a statement made of constants and of numbers and dates of this service, since DDL takes
    /// no parameters.
    pub(super) async fn run_ddl(&mut self, statement: String) -> Result<(), StoreError> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Makes statements of this transaction fail soon if they wait for a lock. A statement that
    /// changes a table waits for every reader, such as a backup of an hour, and blocks everything
    /// that comes after it.
    pub async fn wait_briefly_for_locks(&mut self) -> Result<(), StoreError> {
        let sql = "-- transaction.wait_briefly_for_locks\nset local lock_timeout = '2s'";
        self.run_ddl(sql.to_owned()).await
    }

    /// Makes the error by which a transaction starts again, because what it has read without a lock
    /// may not be true any more.
    pub(crate) fn conflict(&self) -> StoreError {
        self.failed(sqlx::Error::Decode(ChangedMeanwhile.into()))
    }

    /// Adds the operation to an error of a query of this transaction.
    pub(super) fn failed(&self, source: sqlx::Error) -> StoreError {
        self.operation.failed(source)
    }
}

/// The progress of work that is done in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
}

impl Progress {
    /// The maximum number of rows that one statement of a step reads or deletes, which takes some
    /// hundred milliseconds.
    pub(super) const SLICE: i64 = 10_000;

    /// Returns the progress after a step that took `rows` of at most [`SLICE`](Self::SLICE).
    pub(super) const fn of_slice(rows: u64) -> Self {
        if rows < Self::SLICE.unsigned_abs() {
            Self::Done
        } else {
            Self::More
        }
    }
}

/// A type that a row of a query can be read as, tuples included.
pub(super) trait QueryRow: for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<R: for<'r> FromRow<'r, PgRow> + Send + Unpin> QueryRow for R {}

/// The purpose of a transaction, and its measurement from the request for a connection until it is
/// dropped.
#[derive(Debug)]
pub(super) struct Operation {
    name: &'static str,
    asked_at: Instant,
    metrics: Option<DatabaseMetrics>,
    span: Span,
    is_committed: bool,
    has_failed: AtomicBool,
}

impl Operation {
    pub(super) fn new(name: &'static str, metrics: Option<DatabaseMetrics>) -> Self {
        Self {
            name,
            asked_at: Instant::now(),
            metrics,
            span: span(name),
            is_committed: false,
            has_failed: AtomicBool::new(false),
        }
    }

    fn has_begun(&self) {
        if let Some(metrics) = &self.metrics {
            let waited = self.asked_at.elapsed().as_secs_f64();
            metrics.waits.observe(waited);
        }
    }

    pub(super) fn failed(&self, source: sqlx::Error) -> StoreError {
        self.has_failed.store(true, Ordering::Relaxed);
        self.span.record("otel.status_code", "ERROR");
        if let Some(code) = source.as_database_error().and_then(DatabaseError::code) {
            self.span.record("db.response.status_code", &*code);
        }
        StoreError::new(self.name, source)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let result = match (self.is_committed, self.has_failed.get_mut()) {
            (true, _) => "committed",
            (false, true) => "failed",
            (false, false) => "rolled_back",
        };
        if let Some(metrics) = &self.metrics {
            let seconds = metrics.transactions.with_label_values(&[self.name, result]);
            seconds.observe(self.asked_at.elapsed().as_secs_f64());
        }
    }
}

/// Makes the span of a transaction. It is disabled unless a request, a loop turn or a delivery is
/// traced around it. Receiving spans is not traced, nor are the transactions that record them: a
/// service that exports to itself would create a span for every export.
fn span(name: &'static str) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    tracing::debug_span!(
        "transaction",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.operation.name = name,
        db.response.status_code = Empty,
    )
}
