//! Capacity model: the machines that a load needs, by measured costs.
//!
//! The work of the service is proportional to the spans that it scans, that of PostgreSQL to the workflows.
//! Installations share the SLOs, and each scans all spans: that part does not become smaller by more
//! of them. Half of every core stays free.

mod costs;

pub use self::costs::{COEFFICIENTS, CostCoefficient};
use self::costs::{
    COMMIT, COUNTS, EVALUATE, EVALUATE_IDLE, LINKED, RECEIVE, RECORD, SCAN, SCAN_KAFKA, SEARCH,
    UPDATE, WORKFLOW,
};

/// The largest measured number of workflows a second; more is extrapolated.
pub const MOST_MEASURED: f64 = 47_000.0;
/// The cores of a replica.
pub const REPLICA_CORES: f64 = 4.0;
/// The part of a core that is planned to be busy.
const BUSY: f64 = 0.5;
/// The minimum of replicas, so that one can fail.
const LEAST_REPLICAS: f64 = 2.0;
/// The default of `--database-connections`.
const CONNECTIONS: f64 = 12.0;
/// Transactions of spans that a replica has under way at once: a third of its connections, minus one.
const TRANSACTIONS: f64 = 3.0;
/// The limit of connections to a PostgreSQL server without a pooler.
const MOST_CONNECTIONS: f64 = 500.0;
/// Partitions per replica, so that replicas have nearly equal shares when their number changes.
const PARTITIONS_PER_REPLICA: f64 = 3.0;
/// Spans of a request, as those that were measured have them.
const SPANS_A_REQUEST: f64 = 512.0;
const EVALUATION_SECONDS: f64 = 5.0;
const DAY_SECONDS: f64 = 86_400.0;
const MICROS: f64 = 1e6;
/// A load that nobody has. Sums of more would not be exact.
const MOST_SPANS: f64 = 1e12;
/// Workflows that are kept while the partition before still is.
const HORIZONS_KEPT: f64 = 2.0;

/// The load, and how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    pub spans_per_second: f64,
    /// The share of the spans that an SLO selects.
    pub slo_share: f64,
    pub workflows_per_second: f64,
    /// The share of the workflows that only links identify.
    pub linked_share: f64,
    /// Whether spans come from Kafka and not over OTLP.
    pub from_kafka: bool,
    /// `--horizon`.
    pub horizon_days: f64,
    pub slos: u32,
}

/// The largest available database server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DatabaseServer {
    pub cores: f64,
    pub disk_bytes: f64,
}

/// The requirements of one of the installations that share the SLOs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    pub installations: u32,
    pub service_cores: f64,
    pub replicas: u32,
    pub database_cores: f64,
    pub connections: u32,
    pub disk_bytes: f64,
    /// Partitions of the topic that all installations read.
    pub partitions: u32,
    /// The limits of an installation, the smallest first.
    pub limits: Vec<PartLimit>,
}

/// How many times its load an installation bears before this part is full, if all of the load grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartLimit {
    pub part: &'static str,
    pub times: f64,
}

/// The error of an impossible load.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidWorkload {
    #[error("{0} must be a number above 0")]
    NotPositive(&'static str),
    #[error("more than {most:e} spans a second are not computed")]
    TooLarge { most: f64 },
    #[error("{0} is a number from 0 to 1, or a percentage")]
    Share(&'static str),
    #[error(
        "{workflows} workflows a second need at least as many spans of SLOs, but there are {spans}: raise \
         the share of spans in SLOs, or count fewer workflows"
    )]
    TooFewSpans { workflows: f64, spans: f64 },
    #[error(
        "{needed} installations are needed, but there are {slos} SLOs, and an SLO is judged by one \
         installation: name a larger database server, or shorten the horizon"
    )]
    TooFewSlos { needed: u32, slos: u32 },
}

impl Workload {
    fn check(&self, server: DatabaseServer) -> Result<(), InvalidWorkload> {
        let positive = [
            ("the number of spans", self.spans_per_second),
            ("the horizon", self.horizon_days),
            ("the number of SLOs", f64::from(self.slos)),
            ("the number of cores", server.cores),
            ("the size of the disk", server.disk_bytes),
        ];
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| !is_positive(*value)) {
            return Err(InvalidWorkload::NotPositive(name));
        }
        if self.spans_per_second > MOST_SPANS {
            let most = MOST_SPANS;
            return Err(InvalidWorkload::TooLarge { most });
        }
        let shares = [
            ("the share of spans in SLOs", self.slo_share),
            ("the share of linked workflows", self.linked_share),
        ];
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if let Some((name, _)) = shares.into_iter().find(|(_, share)| !is_share(*share)) {
            return Err(InvalidWorkload::Share(name));
        }
        let (workflows, spans) = (self.workflows_per_second, self.slo_spans());
        if !workflows.is_finite() || workflows < 0.0 {
            return Err(InvalidWorkload::NotPositive("the number of workflows"));
        }
        // Multiplied shares are not exact.
        if workflows > spans * (1.0 + 1e-9) {
            return Err(InvalidWorkload::TooFewSpans { workflows, spans });
        }
        Ok(())
    }

    /// Returns the spans of SLOs a second.
    fn slo_spans(&self) -> f64 {
        self.spans_per_second * self.slo_share
    }

    /// Returns the spans other than a start and a finish of each workflow.
    fn further_spans(&self) -> f64 {
        (self.slo_spans() - 2.0 * self.workflows_per_second).max(0.0)
    }

    fn service_cores(&self, installations: f64) -> f64 {
        let scan = if self.from_kafka { SCAN_KAFKA } else { SCAN };
        let scanned = self.spans_per_second * scan.value;
        let share = self.slo_share / installations;
        let with_some = 1.0 - (1.0 - share).powf(SPANS_A_REQUEST);
        let committed = self.spans_per_second / SPANS_A_REQUEST * with_some * COMMIT.value;
        let received = self.spans_per_second * share * RECEIVE.value;
        (scanned + committed + received) / MICROS / BUSY
    }

    fn replicas(&self, installations: f64) -> f64 {
        let needed = self.needed_replicas(installations);
        needed.ceil().max(LEAST_REPLICAS)
    }

    /// Returns how many replicas are busy as planned, by their cores, by the transactions that each has under
    /// way, or by the thread of each.
    fn needed_replicas(&self, installations: f64) -> f64 {
        let by_cores = self.service_cores(installations) / REPLICA_CORES;
        let by_transactions = self.recording_cores(installations) / TRANSACTIONS;
        by_cores.max(by_transactions).max(self.kafka_threads())
    }

    /// Returns what transactions of spans take of the cores of PostgreSQL. Each works on one.
    fn recording_cores(&self, installations: f64) -> f64 {
        let record = RECORD.value + self.linked_share * (LINKED.value - RECORD.value);
        let workflows = self.workflows_per_second * record;
        let further = self.further_spans() * UPDATE.value;
        (workflows + further) / installations / MICROS / BUSY
    }

    fn database_cores(&self, installations: f64) -> f64 {
        let searched = self.workflows_per_second * SEARCH.value;
        // Every event is of another SLO, in the worst case.
        let slos = f64::from(self.slos);
        let active = slos.min(self.slo_spans() * EVALUATION_SECONDS);
        let evaluated = active * EVALUATE.value + (slos - active) * EVALUATE_IDLE.value;
        let evaluations = evaluated / EVALUATION_SECONDS;
        let others = (searched + evaluations) / installations / MICROS / BUSY;
        self.recording_cores(installations) + others
    }

    /// Returns the threads that receive messages, of which a replica has one. Their work is at most what
    /// Kafka costs more than OTLP.
    fn kafka_threads(&self) -> f64 {
        let cost = if self.from_kafka {
            SCAN_KAFKA.value - SCAN.value
        } else {
            0.0
        };
        self.spans_per_second * cost / MICROS / BUSY
    }

    /// Returns up to when there is a partition for each replica that is needed for its cores, its transactions,
    /// or its thread.
    fn kafka_limits(&self, installations: f64, partitions: u32) -> [PartLimit; 3] {
        [
            PartLimit {
                part: "transactions of replicas, one a partition of Kafka",
                times: f64::from(partitions) * TRANSACTIONS / self.recording_cores(installations),
            },
            PartLimit {
                part: "cores of replicas, one a partition of Kafka",
                times: f64::from(partitions) * REPLICA_CORES / self.service_cores(installations),
            },
            PartLimit {
                part: "threads that receive from Kafka, one a partition",
                times: f64::from(partitions) / self.kafka_threads(),
            },
        ]
    }

    fn disk_bytes(&self, installations: f64) -> f64 {
        let kept = self.workflows_per_second * self.horizon_days * DAY_SECONDS * HORIZONS_KEPT;
        let counts = f64::from(self.slos) * self.replicas(installations) * COUNTS.value;
        (kept * WORKFLOW.value + counts) / installations
    }
}

/// Returns the smallest number of installations, and what each needs.
pub fn size(load: Workload, server: DatabaseServer) -> Result<Sizing, InvalidWorkload> {
    load.check(server)?;
    let fits = |installations: u32| {
        let of = f64::from(installations);
        load.database_cores(of) <= server.cores && load.disk_bytes(of) <= server.disk_bytes
    };
    let by_cores = load.database_cores(1.0) / server.cores;
    let by_disk = load.disk_bytes(1.0) / server.disk_bytes;
    let needed = whole(by_cores.max(by_disk)).max(1);
    let slos = load.slos;
    let installations = least(needed.min(slos), fits);
    let installations = installations.ok_or(InvalidWorkload::TooFewSlos { needed, slos })?;
    let of = f64::from(installations);
    let partitions = whole(load.replicas(of) * PARTITIONS_PER_REPLICA);
    let most_replicas = (MOST_CONNECTIONS / CONNECTIONS).floor();
    let mut limits = vec![
        PartLimit {
            part: "cores of PostgreSQL",
            times: server.cores / load.database_cores(of),
        },
        PartLimit {
            part: "disk of PostgreSQL",
            times: server.disk_bytes / load.disk_bytes(of),
        },
        PartLimit {
            part: "connections to PostgreSQL",
            times: most_replicas / load.needed_replicas(of),
        },
    ];
    if load.from_kafka {
        limits.extend(load.kafka_limits(of, partitions));
    }
    limits.retain(|limit| limit.times.is_finite());
    limits.sort_by(|one, other| one.times.total_cmp(&other.times));
    Ok(Sizing {
        installations,
        service_cores: load.service_cores(of),
        replicas: whole(load.replicas(of)),
        database_cores: load.database_cores(of),
        connections: whole(load.replicas(of) * CONNECTIONS),
        disk_bytes: load.disk_bytes(of),
        partitions,
        limits,
    })
}

/// Returns the smallest number of installations that fits, up to `most`. Fewer replicas write fewer counts, so
/// fewer than that may suffice; more always fit better.
fn least(most: u32, fits: impl Fn(u32) -> bool) -> Option<u32> {
    if !fits(most) {
        return None;
    }
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(high)
}

/// Rounded up.
fn whole(number: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked, and the cast saturates"
    )]
    let whole = number.ceil() as u32;
    whole
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;
