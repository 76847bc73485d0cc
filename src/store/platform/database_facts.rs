//! Facts about the database: version, settings, permissions, size, schema.

use std::time::Duration;

use sqlx_macros::FromRow;

use crate::{
    domain::health::diagnosis::{DatabaseFacts, EXPECTED_ON, Pooling, SchemaState},
    store::{
        StoreError, Tx,
        schema::{SchemaTables, TABLES, schema_state},
    },
};

/// The facts, and the data to complete them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseReport {
    /// Without address, pooler, disk and clock, which the caller knows.
    pub facts: DatabaseFacts,
    /// The data folder on the machine of the database; `None` if the user may not know it.
    pub data_directory: Option<String>,
}

impl Tx<'_> {
    pub async fn database_report(&mut self) -> Result<DatabaseReport, StoreError> {
        let query = sqlx::query_as(
            "-- database.facts
             select current_setting('server_version') as version,
                 current_setting('server_version_num')::integer as version_number,
                 not pg_is_in_recovery() and not current_setting('transaction_read_only')::boolean
                     as takes_writes,
                 coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
                 current_setting('max_connections')::bigint
                     - current_setting('superuser_reserved_connections')::bigint
                     - coalesce(current_setting('reserved_connections', true)::bigint, 0)
                     as max_connections,
                 (select count(*) from pg_stat_activity
                  where backend_type = 'client backend'
                      and (datname is distinct from current_database()
                          or application_name <> 'throughline')) as others_connections,
                 (select coalesce(array_agg(name order by name), '{}') from pg_settings
                  where name = any($1) and setting = 'off') as settings_off,
                 pg_database_size(current_database()) as size_bytes,
                 case when pg_has_role('pg_read_all_settings', 'usage')
                     then current_setting('data_directory') end as data_directory",
        )
        .bind(EXPECTED_ON.as_slice());
        let row: FactsRow = self.fetch_one(query).await?;
        let facts = DatabaseFacts {
            address: String::new(),
            pooling: Pooling::None,
            version: row.version,
            version_number: row.version_number,
            takes_writes: row.takes_writes,
            may_create: row.may_create,
            schema: self.schema_state().await?,
            max_connections: row.max_connections,
            others_connections: row.others_connections,
            timeouts: self.timeouts().await?,
            settings_off: row.settings_off,
            size_bytes: row.size_bytes,
            disk: None,
            clock_offset_ms: 0,
        };
        Ok(DatabaseReport {
            facts,
            data_directory: row.data_directory,
        })
    }

    /// Returns the settings that cancel statements of the user, those that are on.
    async fn timeouts(&mut self) -> Result<Vec<(String, Duration)>, StoreError> {
        let query = sqlx::query_as(
            "-- database.timeouts
             select name, setting::bigint from pg_settings
             where case when name in ('statement_timeout', 'transaction_timeout', 'lock_timeout')
                 then setting::bigint > 0 else false end
             order by name",
        );
        let rows: Vec<(String, i64)> = self.fetch_all(query).await?;
        let timeout =
            |(name, millis): (String, i64)| (name, Duration::from_millis(millis.unsigned_abs()));
        Ok(rows.into_iter().map(timeout).collect())
    }

    async fn schema_state(&mut self) -> Result<SchemaState, StoreError> {
        let tables: SchemaTables = self.fetch_one(sqlx::query_as(TABLES)).await?;
        let Some(query) = tables.applied() else {
            return Ok(SchemaState::Incomplete);
        };
        Ok(schema_state(&self.fetch_all(sqlx::query_as(query)).await?))
    }
}

#[derive(FromRow)]
struct FactsRow {
    version: String,
    version_number: i32,
    takes_writes: bool,
    may_create: bool,
    max_connections: i64,
    others_connections: i64,
    settings_off: Vec<String>,
    size_bytes: i64,
    data_directory: Option<String>,
}
