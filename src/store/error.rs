//! Errors of the database, each with the operation that failed.

use sqlx::migrate::MigrateError;

/// The reason why this version cannot use the schema of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignSchema {
    /// This migration was applied to the database, and this version neither has it nor can use it.
    UnknownMigration(i64),
    /// This migration was applied to the database with another text than this version has.
    ChangedMigration(i64),
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The database could not be reached, was starting or stopping, or had no connection left.
    Unreachable,
    /// The database cancelled a statement that took too long.
    TooSlow,
    /// The database is read-only, or its disk is full.
    TakesNoWrites,
    /// The text contains a character that the database cannot store, such as NUL.
    UnfitText,
    /// Any other failure: a defect of this service.
    Fault,
}

/// A failed transaction or query. The transaction had no effect.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub struct StoreError {
    operation: &'static str,
    source: sqlx::Error,
}

/// The conflict of a transaction that locks nothing, and finds that what it has read has changed.
#[derive(Debug, thiserror::Error)]
#[error("a workflow has changed since it was read")]
pub(super) struct ChangedMeanwhile;

impl StoreError {
    pub(super) fn new(operation: &'static str, source: sqlx::Error) -> Self {
        Self { operation, source }
    }

    /// Makes the error for an operation whose response did not arrive within its time limit.
    pub fn no_answer(operation: &'static str) -> Self {
        let silence = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Self::new(operation, silence.into())
    }

    /// Returns whether another transaction was in the way, so that the same work can succeed if it
    /// is repeated at once from the start.
    pub fn is_conflict(&self) -> bool {
        if let sqlx::Error::Decode(source) = &self.source {
            return source.is::<ChangedMeanwhile>();
        }
        // 23505 unique_violation, 40001 serialization_failure, 40P01 deadlock_detected
        // (PostgreSQL documentation, appendix A)
        self.source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| matches!(&*code, "23505" | "40001" | "40P01"))
    }

    /// Returns whether the database rejected the data, so that the same work fails again even if
    /// the database is healthy. A conflict is no such error, however often it occurred.
    pub fn is_about_data(&self) -> bool {
        if self.is_conflict() {
            return false;
        }
        let Some(error) = self.source.as_database_error() else {
            return matches!(
                self.source,
                sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
            );
        };
        // 22 data exception, 23 integrity constraint violation (appendix A)
        error
            .code()
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }

    pub fn kind(&self) -> StoreErrorKind {
        if let sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed =
            self.source
        {
            return StoreErrorKind::Unreachable;
        }
        let code = self
            .source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        // PostgreSQL documentation, appendix A
        match code.as_deref().unwrap_or_default() {
            // too_many_connections
            "53300" => StoreErrorKind::Unreachable,
            // query_canceled
            "57014" => StoreErrorKind::TooSlow,
            // read_only_sql_transaction, disk_full
            "25006" | "53100" => StoreErrorKind::TakesNoWrites,
            // character_not_in_repertoire, untranslatable_character
            "22021" | "22P05" => StoreErrorKind::UnfitText,
            // connection exception, operator intervention: shutting down, starting up
            code if code.starts_with("08") || code.starts_with("57P") => {
                StoreErrorKind::Unreachable
            }
            _ => StoreErrorKind::Fault,
        }
    }

    /// Returns whether the database could not be reached, or was starting or stopping.
    pub fn is_connection(&self) -> bool {
        self.kind() == StoreErrorKind::Unreachable
    }

    /// Returns whether a pooler gives each statement another connection, so that there are no
    /// transactions.
    pub fn is_about_statement_pooling(&self) -> bool {
        refuses_transactions(&self.source)
    }

    /// Returns whether the database authenticated the user, who lacks the permission.
    pub fn is_forbidden(&self) -> bool {
        // 42501 insufficient_privilege (appendix A)
        self.source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code == "42501")
    }

    /// Returns the reason if migrating failed because the database has the schema of another
    /// version.
    pub fn foreign_schema(&self) -> Option<ForeignSchema> {
        let sqlx::Error::Migrate(error) = &self.source else {
            return None;
        };
        match **error {
            MigrateError::VersionMissing(version) => Some(ForeignSchema::UnknownMigration(version)),
            MigrateError::VersionMismatch(version) => {
                Some(ForeignSchema::ChangedMigration(version))
            }
            _ => None,
        }
    }

    /// Returns the whole chain of causes in one line.
    pub fn in_full(&self) -> String {
        format!("{self}: {}", self.source)
    }
}

/// Returns the database's own error if a migration failed: inside its wrapper it would not be
/// recognised as one.
pub(super) fn cause(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source,
        other => other.into(),
    }
}

/// Returns whether a pooler refuses transactions. `PgBouncer` uses the code of many other problems
/// for this.
pub(super) fn refuses_transactions(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.message().contains("statement pooling mode"))
}

pub(super) fn inconsistent(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
