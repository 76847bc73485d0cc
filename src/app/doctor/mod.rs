//! Examines an installation: its database, its definitions, its targets and the service itself. It changes
//! nothing and sends nothing.

mod kafka;

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::{database::running, definitions, ports::examine_certificates};
use crate::{
    clock::Clock,
    config::{
        DatabaseConfig, DefinitionsConfig, DeliveryConfig, Environment, KafkaConfig, TlsConfig,
    },
    deliver::{AddressPolicy, UnusableTarget, resolve_target},
    domain::{
        health::{
            CheckPhase,
            diagnosis::{
                Diagnosis, DiskSpace, Pooling, SchemaState, ServiceFacts, of_certificate,
                of_database, of_pooling, of_service,
            },
        },
        model::{format, time::Timestamp},
        slo::{Catalog, Target, definition::load},
    },
    server::tls::TlsError,
    store::{HealthCheck, Store, StoreError},
};

/// Enough for two transactions at once; a running service has its own connections.
const CONNECTIONS: u32 = 4;

/// The parts to examine.
#[derive(Clone, Copy, Debug)]
pub struct Examined<'a> {
    pub definitions: &'a DefinitionsConfig,
    pub database: &'a DatabaseConfig,
    pub kafka: &'a KafkaConfig,
    pub delivery: &'a DeliveryConfig,
    pub tls: &'a TlsConfig,
}

/// Returns a line for each check, in an order that is the same in every run.
pub async fn examine(examined: Examined<'_>) -> Vec<Diagnosis> {
    let mut found = examine_database(examined.database).await;
    if !examined.kafka.brokers.is_empty() {
        found.extend(kafka::examine(examined.kafka, examined.database).await);
    }
    let (catalog, diagnosis) = examine_definitions(examined.definitions);
    found.push(diagnosis);
    found.extend(certificates(examined.tls).await);
    let delivery = examined.delivery;
    let policy = AddressPolicy::new(delivery.private_ranges(), delivery.target_ports.clone());
    for target in catalog.iter().flat_map(|catalog| catalog.targets.values()) {
        found.push(examine_target(target, &policy).await);
    }
    found
}

async fn examine_database(config: &DatabaseConfig) -> Vec<Diagnosis> {
    let check = "database";
    let store = match open(config) {
        Ok(store) => store,
        Err(error) => {
            let advice = "use the same database settings as `throughline serve`";
            return vec![Diagnosis::fail(check, format!("{error:#}"), advice)];
        }
    };
    let examined = examine_store(&store, config.database_connections).await;
    let found = examined.unwrap_or_else(|error| {
        let advice = "check that it runs, and check user, password and address in `--database-url`";
        let text = format!("`{}`: {}", store.address(), error.in_full());
        vec![Diagnosis::fail(check, text, advice)]
    });
    store.close().await;
    found
}

/// Returns the database of these settings; connects later.
fn open(config: &DatabaseConfig) -> anyhow::Result<Store> {
    let url = match &config.url {
        Some(url) => url.clone(),
        None => running(config, &Environment::read())?.url(),
    };
    Ok(Store::at(&url, CONNECTIONS)?)
}

async fn examine_store(store: &Store, connections: u32) -> Result<Vec<Diagnosis>, StoreError> {
    let pooling = store.pooling().await?;
    if pooling == Pooling::Statement {
        return Ok(vec![of_pooling(pooling)]);
    }
    let mut tx = store.begin("examine the database").await?;
    let report = tx.database_report().await?;
    tx.commit().await?;
    let mut facts = report.facts;
    let asked_at = Clock::System.now();
    let now = store.now().await?;
    let here = asked_at + Clock::System.now().saturating_since(asked_at) / 2;
    facts.clock_offset_ms = here.micros_since(now) / 1_000;
    facts.address = store.address();
    facts.pooling = pooling;
    facts.disk = report.data_directory.as_deref().and_then(disk);
    // The service's tables exist only with its schema.
    let service = match facts.schema {
        SchemaState::Current | SchemaState::Newer => Some(service_facts(store, now).await?),
        SchemaState::Incomplete | SchemaState::Foreign => None,
    };
    let replicas = service
        .as_ref()
        .map_or(1, |service| service.replicas.max(1));
    let mut found = of_database(&facts, replicas * i64::from(connections));
    found.extend(service.iter().flat_map(of_service));
    Ok(found)
}

async fn service_facts(store: &Store, now: Timestamp) -> Result<ServiceFacts, StoreError> {
    let mut tx = store.begin("examine the service").await?;
    let replicas = tx.replica_signs().await?.len();
    let checks = tx.health_checks().await?.into_values();
    let open = checks.filter(is_open);
    let facts = ServiceFacts {
        now,
        replicas: i64::try_from(replicas).unwrap_or(i64::MAX),
        last_span_at: tx.last_span_at().await?,
        open_checks: open.map(|check| (check.severity, check.title)).collect(),
    };
    tx.commit().await?;
    Ok(facts)
}

const fn is_open(check: &HealthCheck) -> bool {
    match check.state.phase {
        CheckPhase::Open { .. } | CheckPhase::Recovering { .. } => true,
        CheckPhase::Well | CheckPhase::Suspect { .. } => false,
    }
}

/// Returns `None` if the folder is not on this machine, or is not readable.
fn disk(folder: &str) -> Option<DiskSpace> {
    let space = statvfs(Path::new(folder)).ok()?;
    let size = space.fragment_size();
    Some(DiskSpace {
        free_bytes: bytes(space.blocks_available(), size),
        total_bytes: bytes(space.blocks(), size),
    })
}

/// Multiplies both numbers, whose types depend on the operating system.
fn bytes(blocks: impl Into<u64>, size: impl Into<u64>) -> u64 {
    blocks.into() * size.into()
}

/// Returns the catalog if the definitions are valid.
fn examine_definitions(config: &DefinitionsConfig) -> (Option<Catalog>, Diagnosis) {
    let check = "definitions";
    let shown = config.folder.display();
    let read = match definitions::read_selected(config) {
        Ok(read) => read,
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            let advice = "name the folder with `--definitions`";
            return (None, Diagnosis::fail(check, text, advice));
        }
    };
    let advice = format!("`throughline validate {shown}` shows each with its line");
    let loaded = match load(&read.files) {
        Ok(loaded) if read.problems.is_empty() => loaded,
        Ok(_) => {
            return (
                None,
                refused(read.problems.len(), &shown.to_string(), advice),
            );
        }
        Err(problems) => {
            let errors = problems.iter().filter(|problem| problem.is_error()).count();
            let errors = errors + read.problems.len();
            return (None, refused(errors, &shown.to_string(), advice));
        }
    };
    let (catalog, warnings) = loaded;
    let declared = catalog.slos.len() + catalog.other_slos.len();
    let mut text = format!(
        "`{shown}` declares {} and {}",
        format::counted(count(declared), "SLO"),
        format::counted(count(catalog.targets.len()), "target")
    );
    if let Some(selector) = &catalog.selector {
        let others = count(catalog.other_slos.len());
        text =
            format!("{text}; `--slo-selector {selector}` leaves {others} to other installations");
    }
    let diagnosis = if catalog.slos.is_empty() {
        Diagnosis::warn(check, text, "without an SLO nothing is measured")
    } else if warnings.is_empty() {
        Diagnosis::ok(check, text)
    } else {
        let warned = format::counted(count(warnings.len()), "warning");
        Diagnosis::warn(check, format!("{text}, with {warned}"), advice)
    };
    (Some(catalog), diagnosis)
}

fn refused(errors: usize, folder: &str, advice: String) -> Diagnosis {
    let errors = format::counted(count(errors), "error");
    let text = format!("`{folder}` has {errors}, so the service refuses it");
    Diagnosis::fail("definitions", text, advice)
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Examines the certificates of the service's own ports, by the clock of this machine.
async fn certificates(config: &TlsConfig) -> Vec<Diagnosis> {
    let now = Clock::System.now();
    let examined = examine_certificates(config).await.into_iter();
    let diagnosis = |(port, certificate)| match certificate {
        Ok(certificate) => Some(of_certificate(&certificate?, now)),
        Err(error) => {
            let advice =
                "the service does not start with it, and keeps the previous one if it runs";
            let check = format!("certificate {port}");
            Some(Diagnosis::fail(check, TlsError::to_string(&error), advice))
        }
    };
    examined.filter_map(diagnosis).collect()
}

async fn examine_target(target: &Target, policy: &AddressPolicy) -> Diagnosis {
    let check = format!("target {}", target.name);
    match resolve_target(target, policy).await {
        Ok(hosts) => {
            let hosts: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
            Diagnosis::ok(
                check,
                format!("{} resolves; nothing was sent", hosts.join(", ")),
            )
        }
        Err(missing @ UnusableTarget::Secret(_)) => Diagnosis::warn(
            check,
            missing.to_string(),
            "set it for the service; if it is set there, run this with the same environment",
        ),
        Err(unusable @ UnusableTarget::Address(_)) => Diagnosis::fail(
            check,
            unusable.to_string(),
            "correct the address in the definitions, or the resolver of this machine",
        ),
    }
}
