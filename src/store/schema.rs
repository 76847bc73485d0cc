//! The schema: its migrations, and whether this version can use those that a database has.

use std::{collections::BTreeMap, sync::LazyLock};

use sqlx::{
    PgConnection,
    migrate::{MigrateError, Migrator},
};
use sqlx_macros::FromRow;

use crate::domain::health::diagnosis::SchemaState;

/// All migrations, in order. They are edited in place until the first release; from then on only
/// added, which `tests/fixtures/migrations.released` enforces.
pub(super) static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx_macros::migrate!("./migrations");
    // Its lock belongs to a session, which clients of a pooler do not own.
    migrator.set_locking(false);
    // Those of newer versions, which `unknown_migrations` judges.
    migrator.set_ignore_missing(true);
    migrator
});

/// Whether a database has the tables of [`APPLIED`].
pub(super) const TABLES: &str = "-- schema.tables
    select to_regclass('_sqlx_migrations') is not null as has_migrations,
        to_regclass('schema_compatibility') is not null as has_compatibility";

const APPLIED: &str = "-- schema.applied
    select m.version, m.checksum, c.compatible_from
    from _sqlx_migrations m left join schema_compatibility c on c.version = m.version
    where m.success order by m.version";

/// The same where no migration says which versions can use it.
const APPLIED_BEFORE: &str = "-- schema.applied_before_compatibility
    select version, checksum, null::bigint as compatible_from
    from _sqlx_migrations where success order by version";

#[derive(Clone, Copy, Debug, FromRow)]
pub(super) struct SchemaTables {
    has_migrations: bool,
    has_compatibility: bool,
}

/// A migration that was applied to a database.
#[derive(Clone, Debug, FromRow)]
pub(super) struct StoredMigration {
    version: i64,
    checksum: Vec<u8>,
    /// The last migration that a version must have to use this one without having it.
    compatible_from: Option<i64>,
}

impl SchemaTables {
    /// Returns the query of the applied migrations; `None` if there are none.
    pub(super) const fn applied(self) -> Option<&'static str> {
        match self {
            Self {
                has_migrations: false,
                ..
            } => None,
            Self {
                has_compatibility: false,
                ..
            } => Some(APPLIED_BEFORE),
            _ => Some(APPLIED),
        }
    }
}

/// Checks that this version can use the migrations that it does not have, and returns them.
///
/// # Errors
/// If it cannot use one of them, or if the database does not answer.
pub(super) async fn unknown_migrations(
    connection: &mut PgConnection,
) -> Result<Vec<i64>, MigrateError> {
    let tables: SchemaTables = sqlx::query_as(TABLES).fetch_one(&mut *connection).await?;
    let Some(query) = tables.applied() else {
        return Ok(Vec::new());
    };
    let applied: Vec<StoredMigration> = sqlx::query_as(query).fetch_all(connection).await?;
    let own = own();
    if let Some(migration) = applied.iter().find(|one| is_refused(one, &own)) {
        return Err(MigrateError::VersionMissing(migration.version));
    }
    let versions = applied.iter().map(|migration| migration.version);
    Ok(versions
        .filter(|version| !own.contains_key(version))
        .collect())
}

/// Returns the state of a schema with these migrations.
pub(super) fn schema_state(applied: &[StoredMigration]) -> SchemaState {
    let own = own();
    let is_changed = |migration: &StoredMigration| {
        let known = own.get(&migration.version);
        known.is_some_and(|checksum| *checksum != migration.checksum)
    };
    let known = applied
        .iter()
        .filter(|migration| own.contains_key(&migration.version));
    if applied
        .iter()
        .any(|one| is_refused(one, &own) || is_changed(one))
    {
        SchemaState::Foreign
    } else if known.count() < own.len() {
        SchemaState::Incomplete
    } else if applied.len() > own.len() {
        SchemaState::Newer
    } else {
        SchemaState::Current
    }
}

/// The checksums of this version's migrations.
fn own() -> BTreeMap<i64, &'static [u8]> {
    MIGRATOR
        .iter()
        .map(|migration| (migration.version, &*migration.checksum))
        .collect()
}

/// Returns whether it is neither one of this version nor a newer one that this version can use.
fn is_refused(migration: &StoredMigration, own: &BTreeMap<i64, &[u8]>) -> bool {
    let last = own.keys().next_back().copied().unwrap_or_default();
    let is_compatible = migration.compatible_from.is_some_and(|from| from <= last);
    let is_newer = migration.version > last;
    let can_use = own.contains_key(&migration.version) || is_newer && is_compatible;
    !can_use
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(added: &[(i64, Option<i64>)]) -> SchemaState {
        let mut applied: Vec<StoredMigration> = own()
            .into_iter()
            .map(|(version, checksum)| StoredMigration {
                version,
                checksum: checksum.to_vec(),
                compatible_from: None,
            })
            .collect();
        applied.extend(
            added
                .iter()
                .map(|&(version, compatible_from)| StoredMigration {
                    version,
                    checksum: Vec::new(),
                    compatible_from,
                }),
        );
        schema_state(&applied)
    }

    #[test]
    fn a_newer_migration_is_used_if_it_says_that_this_version_can() {
        let last = own().into_keys().next_back().unwrap();
        assert_eq!(with(&[]), SchemaState::Current);
        assert_eq!(with(&[(last + 1, Some(last))]), SchemaState::Newer);
        let two = [(last + 1, Some(last)), (last + 2, Some(last - 1))];
        assert_eq!(with(&two), SchemaState::Newer);
        assert_eq!(with(&[(last + 1, None)]), SchemaState::Foreign);
        let contracted = [(last + 1, Some(last)), (last + 2, Some(last + 1))];
        assert_eq!(with(&contracted), SchemaState::Foreign);
        assert_eq!(with(&[(-1, Some(-2))]), SchemaState::Foreign, "it is older");
        assert_eq!(schema_state(&[]), SchemaState::Incomplete);
    }
}
