//! Opens the database: the one that the settings name, or an embedded PostgreSQL.

pub(super) mod read_replica;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;

use crate::{
    config::{DatabaseConfig, Environment},
    postgres::{Connection, DataDir, Durability, EmbeddedServer, PostgresSettings},
    store::{ForeignSchema, Store, StoreError},
};

const PAUSE: Duration = Duration::from_secs(1);

/// The store, and the embedded server behind it, if there is one to stop.
#[derive(Debug)]
pub struct Database {
    pub store: Store,
    /// The replica that pages may read from.
    pub replica: Option<Store>,
    server: Option<EmbeddedServer>,
}

impl Database {
    /// Opens the database and brings its schema up to date.
    pub async fn open(config: &DatabaseConfig, environment: &Environment) -> anyhow::Result<Self> {
        let (url, server) = if let Some(url) = &config.url {
            (url.clone(), None)
        } else {
            let server = EmbeddedServer::start(&settings(config, environment)?).await?;
            (server.connection_url(), Some(server))
        };
        let store = Store::at(&url, config.database_connections)?;
        migrate_patiently(&store, config.database_startup_timeout)
            .await
            .map_err(|error| advise(error, &store.address()))?;
        let replica = config.read_url.as_deref();
        let replica = replica.map(|url| Store::of_replica(url, config.database_connections));
        Ok(Self {
            store,
            replica: replica.transpose().context("`--database-read-url`")?,
            server,
        })
    }

    /// Opens the database of a service, which may be running at the same time.
    pub async fn of_service(
        config: &DatabaseConfig,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        if config.url.is_some() {
            return Self::open(config, environment).await;
        }
        let url = running(config, environment)?.url();
        let store = Store::at(&url, config.database_connections)?;
        migrate_patiently(&store, Duration::ZERO)
            .await
            .map_err(|error| advise(error, &store.address()))?;
        Ok(Self {
            store,
            replica: None,
            server: None,
        })
    }

    /// Opens a database that is deleted when it is closed.
    pub async fn throwaway(environment: &Environment, connections: u32) -> anyhow::Result<Self> {
        let settings = PostgresSettings {
            search_path: environment.path.clone(),
            ..PostgresSettings::throwaway()
        };
        let server = EmbeddedServer::start(&settings).await?;
        let store = Store::at(&server.connection_url(), connections)?;
        store.migrate().await?;
        Ok(Self {
            store,
            replica: None,
            server: Some(server),
        })
    }

    pub async fn close(self) -> anyhow::Result<()> {
        self.store.close().await;
        if let Some(replica) = self.replica {
            replica.close().await;
        }
        if let Some(server) = self.server {
            server
                .stop()
                .await
                .context("cannot stop the embedded PostgreSQL")?;
        }
        Ok(())
    }
}

/// Returns how to connect to the embedded PostgreSQL of a service that runs.
pub(super) fn running(
    config: &DatabaseConfig,
    environment: &Environment,
) -> anyhow::Result<Connection> {
    let folder = data_dir(config, environment)?;
    Connection::running(&folder).with_context(|| {
        format!(
            "no PostgreSQL of the service runs in `{}`: start `throughline serve` first, run this as \
             the user who runs it, or name a database with `--database-url` or `--data-dir`",
            folder.display()
        )
    })
}

fn data_dir(config: &DatabaseConfig, environment: &Environment) -> anyhow::Result<PathBuf> {
    let chosen = config.data_dir.clone();
    chosen
        .or_else(|| environment.default_data_dir.clone())
        .context("there is no home folder to keep data in: set `--data-dir`, or `--database-url`")
}

fn settings(
    config: &DatabaseConfig,
    environment: &Environment,
) -> anyhow::Result<PostgresSettings> {
    Ok(PostgresSettings {
        data_dir: DataDir::Keep(data_dir(config, environment)?),
        durability: Durability::Durable,
        search_path: environment.path.clone(),
        ..PostgresSettings::throwaway()
    })
}

async fn migrate_patiently(store: &Store, patience: Duration) -> Result<(), StoreError> {
    let given_up_at = Instant::now() + patience;
    loop {
        match store.migrate().await {
            Err(error)
                if error.is_connection()
                    && !error.is_about_statement_pooling()
                    && Instant::now() < given_up_at =>
            {
                tracing::warn!(error = %error.in_full(), "the database does not answer; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

fn advise(error: StoreError, address: &str) -> anyhow::Error {
    if let Some(schema) = error.foreign_schema() {
        return refuse(schema, address);
    }
    let advice = if error.is_about_statement_pooling() {
        format!(
            "the pooler of `{address}` is in statement mode, in which there are no transactions: set \
             `pool_mode = transaction` for this database"
        )
    } else if error.is_connection() {
        format!(
            "the database `{address}` does not answer: start it, or name another with `--database-url`"
        )
    } else if error.is_forbidden() {
        format!("the user of the database `{address}` must own it, or be allowed to create in it")
    } else {
        format!("cannot use the database `{address}`")
    };
    anyhow::Error::new(error).context(advice)
}

/// Describes a schema of another version. The error of the database adds nothing, so it is left
/// out.
fn refuse(schema: ForeignSchema, address: &str) -> anyhow::Error {
    let why = match schema {
        ForeignSchema::UnknownMigration(version) => {
            format!(
                "it has migration {version}, which this version does not know, and which is not marked \
                 as compatible with it"
            )
        }
        ForeignSchema::ChangedMigration(version) => {
            format!("the checksum of its migration {version} differs from this version's")
        }
    };
    anyhow::anyhow!(
        "the database `{address}` has the schema of another version of throughline, which this \
         version cannot use or upgrade ({why}): start the version that made it, or restore a backup \
         of before; before the first release schemas are not upgraded: \
         use an empty database, with `--database-url` or `--data-dir`"
    )
}
