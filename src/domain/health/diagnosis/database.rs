//! Checks of the database: whether its version, settings, permissions and space suit the service.

use std::time::Duration;

use super::Diagnosis;
use crate::domain::{health::findings::CLOCKS_APART, model::format};

/// The oldest supported version, as `server_version_num`.
const OLDEST_VERSION: i32 = 150_000;
/// Settings without which a crash loses acknowledged data.
const DURABLE: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];
/// Settings that should be on.
pub const EXPECTED_ON: [&str; 5] = [
    "autovacuum",
    "track_counts",
    DURABLE[0],
    DURABLE[1],
    DURABLE[2],
];
/// The service's own longest statements take some seconds; a clean-up may take longer.
const SHORTEST_TIMEOUT: Duration = Duration::from_mins(1);
const LITTLE_SPACE: f64 = 0.2;
const TOO_LITTLE_SPACE: f64 = 0.05;

/// The facts about the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Without a password.
    pub address: String,
    pub pooling: Pooling,
    pub version: String,
    pub version_number: i32,
    /// It is not a standby, and transactions are not read-only by default.
    pub takes_writes: bool,
    /// The user may create tables in the schema.
    pub may_create: bool,
    pub schema: SchemaState,
    /// The number of connections that ordinary users may have together.
    pub max_connections: i64,
    /// The number of connections that other clients have.
    pub others_connections: i64,
    /// Settings that cancel statements, with their values; only those that are on.
    pub timeouts: Vec<(String, Duration)>,
    /// Those of [`EXPECTED_ON`] that are off.
    pub settings_off: Vec<String>,
    pub size_bytes: i64,
    /// `None` if it cannot be read from this machine.
    pub disk: Option<DiskSpace>,
    /// The milliseconds by which the clock of this machine is ahead; negative if it is behind.
    pub clock_offset_ms: i64,
}

/// The schema of the database, compared with that of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    Current,
    /// The service creates or completes it at its start.
    Incomplete,
    /// Of a newer version, and this one can use it.
    Newer,
    /// Of another version, and this one cannot use it.
    Foreign,
}

/// The way in which a pooler in front of the database shares its connections among clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// There is no pooler.
    None,
    /// A client keeps its connection until it disconnects.
    Session,
    /// A client keeps its connection for one transaction.
    Transaction,
    /// A client keeps its connection for one statement, so there are no transactions.
    Statement,
}

/// The file system of the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// Examines the facts. `connections` is the number that all replicas together may open.
pub fn of_database(facts: &DatabaseFacts, connections: i64) -> Vec<Diagnosis> {
    vec![
        Diagnosis::ok("database", format!("`{}` answers", facts.address)),
        of_pooling(facts.pooling),
        version(facts),
        writes(facts),
        permissions(facts),
        schema(facts),
        enough_connections(facts, connections),
        timeouts(facts),
        autovacuum(facts),
        durability(facts),
        space(facts),
        clock(facts),
    ]
}

/// Returns whether the service works with connections that are shared in this way.
pub fn of_pooling(pooling: Pooling) -> Diagnosis {
    let check = "database pooler";
    match pooling {
        Pooling::None => Diagnosis::ok(check, "none: connections are the service's own"),
        Pooling::Transaction => Diagnosis::ok(
            check,
            "a pooler in transaction mode: statements are not prepared, which costs some CPU",
        ),
        Pooling::Session => Diagnosis::warn(
            check,
            "a pooler in session mode",
            "set `pool_mode = transaction` for this database, or connect to the server itself: the \
             service has a pool of its own, and keeps its connections open",
        ),
        Pooling::Statement => Diagnosis::fail(
            check,
            "a pooler in statement mode, which has no transactions",
            "set `pool_mode = transaction` for this database, or connect to the server itself",
        ),
    }
}

fn version(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database version";
    let text = format!("PostgreSQL {}", facts.version);
    if facts.version_number < OLDEST_VERSION {
        Diagnosis::fail(check, text, "upgrade it to version 15 or newer")
    } else {
        Diagnosis::ok(check, text)
    }
}

fn writes(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database writes";
    if facts.takes_writes {
        Diagnosis::ok(check, "it accepts writes")
    } else {
        Diagnosis::fail(
            check,
            "it is read-only, or a standby",
            "name the primary server in `--database-url`, or add `target_session_attrs=read-write`",
        )
    }
}

fn permissions(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database permissions";
    if facts.may_create {
        Diagnosis::ok(check, "the user may create tables")
    } else {
        Diagnosis::fail(
            check,
            "the user may not create tables, and the service needs a new partition every few days",
            "make the user the owner of the database, or `grant create on schema public to` it",
        )
    }
}

fn schema(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database schema";
    match facts.schema {
        SchemaState::Current => Diagnosis::ok(check, "the schema is of this version"),
        SchemaState::Newer => Diagnosis::ok(
            check,
            "the schema is of a newer version, which this one can use",
        ),
        SchemaState::Incomplete => Diagnosis::warn(
            check,
            "tables of this version are missing",
            "the service creates them when it starts",
        ),
        SchemaState::Foreign => Diagnosis::fail(
            check,
            "the schema is of another version, which this one cannot use",
            "run the version that created it, or use an empty database",
        ),
    }
}

fn enough_connections(facts: &DatabaseFacts, needed: i64) -> Diagnosis {
    let check = "database connections";
    let left = facts.max_connections - facts.others_connections;
    let text = format!(
        "the replicas need up to {}; PostgreSQL allows {}, and other clients use {}",
        format::count(needed),
        format::count(facts.max_connections),
        format::count(facts.others_connections)
    );
    if left < needed {
        Diagnosis::warn(
            check,
            text,
            "raise `max_connections` of PostgreSQL, or lower `--database-connections`",
        )
    } else {
        Diagnosis::ok(check, text)
    }
}

fn timeouts(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database timeouts";
    let short: Vec<String> = facts
        .timeouts
        .iter()
        .filter(|(_, after)| *after < SHORTEST_TIMEOUT)
        .map(|(name, after)| format!("`{name}` is {}", format::duration(*after)))
        .collect();
    if short.is_empty() {
        return Diagnosis::ok(check, "none that is shorter than a minute");
    }
    Diagnosis::warn(
        check,
        format!("{}: clean-ups may be cancelled", short.join(", ")),
        "set it to 0 for the user of the service, by `alter role ... set`: the service has limits of \
         its own",
    )
}

fn autovacuum(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database autovacuum";
    let mut off = facts.settings_off.iter();
    if off.any(|setting| !DURABLE.contains(&setting.as_str())) {
        Diagnosis::warn(
            check,
            "it is off, so tables that change often grow without limit",
            "turn on `autovacuum` and `track_counts`",
        )
    } else {
        Diagnosis::ok(check, "it is on")
    }
}

fn durability(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database durability";
    let off = facts.settings_off.iter();
    let off = off.filter(|setting| DURABLE.contains(&setting.as_str()));
    let off: Vec<String> = off.map(|setting| format!("`{setting} = off`")).collect();
    if off.is_empty() {
        return Diagnosis::ok(check, "what is committed survives a crash");
    }
    Diagnosis::warn(
        check,
        format!(
            "with {} a crash loses spans that senders take for stored",
            off.join(" and ")
        ),
        "turn it on",
    )
}

fn space(facts: &DatabaseFacts) -> Diagnosis {
    let check = "database space";
    let size = format!(
        "the database has {}",
        gigabytes(facts.size_bytes.unsigned_abs())
    );
    let Some(disk) = facts.disk else {
        return Diagnosis::ok(check, format!("{size}; free space is unknown"));
    };
    let text = format!(
        "{size}; {} of {} are free",
        gigabytes(disk.free_bytes),
        gigabytes(disk.total_bytes)
    );
    let advice = "make room: the database stops when the disk is full. OPERATING lists what is kept, \
                  and for how long";
    match share(disk) {
        share if share < TOO_LITTLE_SPACE => Diagnosis::fail(check, text, advice),
        share if share < LITTLE_SPACE => Diagnosis::warn(check, text, advice),
        _ => Diagnosis::ok(check, text),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a disk")]
fn share(disk: DiskSpace) -> f64 {
    disk.free_bytes as f64 / disk.total_bytes.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

fn clock(facts: &DatabaseFacts) -> Diagnosis {
    let check = "clocks";
    let apart = Duration::from_millis(facts.clock_offset_ms.unsigned_abs());
    let text = format!(
        "this machine and the database differ by {}",
        format::duration(apart)
    );
    if apart > CLOCKS_APART {
        Diagnosis::warn(
            check,
            text,
            "synchronise both by NTP: the service uses the database's clock, and senders their own",
        )
    } else {
        Diagnosis::ok(check, text)
    }
}
