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
/// The limit of connections to a PostgreSQL server without a pooler.
const MOST_CONNECTIONS: f64 = 500.0;
/// Partitions per replica, so that replicas have nearly equal shares when their number changes.
const PARTITIONS_PER_REPLICA: f64 = 3.0;
/// Spans of a request, as those that were measured have them.
const SPANS_A_REQUEST: f64 = 512.0;
const EVALUATION_SECONDS: f64 = 5.0;
const DAY_SECONDS: f64 = 86_400.0;
const MICROS: f64 = 1e6;
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
        let needed = self.service_cores(installations) / REPLICA_CORES;
        needed.ceil().max(LEAST_REPLICAS)
    }

    fn database_cores(&self, installations: f64) -> f64 {
        let record = RECORD.value + self.linked_share * (LINKED.value - RECORD.value);
        let workflows = self.workflows_per_second * (record + SEARCH.value);
        let further = self.further_spans() * UPDATE.value;
        // Every event is of another SLO, in the worst case.
        let slos = f64::from(self.slos);
        let active = slos.min(self.slo_spans() * EVALUATION_SECONDS);
        let evaluated = active * EVALUATE.value + (slos - active) * EVALUATE_IDLE.value;
        let evaluations = evaluated / EVALUATION_SECONDS;
        (workflows + further + evaluations) / installations / MICROS / BUSY
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
    // Fewer replicas write fewer counts, so fewer installations than that may suffice, never more.
    let installations = (1..=needed.min(load.slos)).find(|number| fits(*number));
    let slos = load.slos;
    let installations = installations.ok_or(InvalidWorkload::TooFewSlos { needed, slos })?;
    let of = f64::from(installations);
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
            times: most_replicas * REPLICA_CORES / load.service_cores(of),
        },
    ];
    limits.sort_by(|one, other| one.times.total_cmp(&other.times));
    Ok(Sizing {
        installations,
        service_cores: load.service_cores(of),
        replicas: whole(load.replicas(of)),
        database_cores: load.database_cores(of),
        connections: whole(load.replicas(of) * CONNECTIONS),
        disk_bytes: load.disk_bytes(of),
        partitions: whole(load.replicas(of) * PARTITIONS_PER_REPLICA),
        limits,
    })
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
mod tests {
    use super::*;

    const SERVER: DatabaseServer = DatabaseServer {
        cores: 32.0,
        disk_bytes: 8e12,
    };

    const SMALL: Workload = Workload {
        spans_per_second: 10_000.0,
        slo_share: 0.01,
        workflows_per_second: 50.0,
        linked_share: 0.0,
        from_kafka: false,
        horizon_days: 7.0,
        slos: 100,
    };

    /// In all installations.
    fn needs(sizing: &Sizing) -> [f64; 5] {
        let of = f64::from(sizing.installations);
        [
            sizing.service_cores * of,
            f64::from(sizing.replicas) * of,
            sizing.database_cores * of,
            f64::from(sizing.connections) * of,
            sizing.disk_bytes * of,
        ]
    }

    #[test]
    fn a_small_load_needs_one_installation_that_adds_up() {
        let sizing = size(SMALL, SERVER).unwrap();
        assert_eq!((sizing.installations, sizing.replicas), (1, 2));
        assert_eq!((sizing.connections, sizing.partitions), (24, 6));
        // 10,000 times 1.4 us, 19.4 requests of 20 times 250 us, and 100 times 12 us, half busy.
        assert!((sizing.service_cores - 0.0401).abs() < 1e-4, "{sizing:?}");
        // 50 times 76 us and 20 evaluations of 2.1 ms, half busy.
        assert!((sizing.database_cores - 0.0916).abs() < 1e-9, "{sizing:?}");
        // 50 a second in 14 days, and counts of 100 SLOs by two replicas.
        let expected = 50.0 * 86_400.0 * 14.0 * 491.0 + 100.0 * 2.0 * 13e6;
        assert!((sizing.disk_bytes - expected).abs() < 1.0, "{sizing:?}");
    }

    /// CPU in all, without what is planned to stay free.
    fn used(load: Workload) -> [f64; 2] {
        [load.service_cores(1.0), load.database_cores(1.0)].map(|cores| cores * BUSY)
    }

    /// Some of the coefficients were taken from these runs, the others are checked by them.
    #[test]
    fn measured_runs_used_between_half_of_what_is_computed_and_all_of_it() {
        // `consuming`: a million spans of 500,000 workflows, at random partitions.
        let consumed = Workload {
            slo_share: 1.0,
            spans_per_second: 1e6,
            workflows_per_second: 5e5,
            slos: 1,
            ..SMALL
        };
        // `serving`: workflows that only begin, as many as two cores take with those who send them.
        let served = Workload {
            slo_share: 1.0,
            spans_per_second: 35_400.0,
            workflows_per_second: 35_400.0,
            slos: 200,
            ..SMALL
        };
        // `receiving`: a million spans over HTTP, one in a hundred of an SLO; over gRPC.
        let received = Workload {
            spans_per_second: 1e6,
            ..SMALL
        };
        // `evaluating -- idle`, PostgreSQL and evaluations.
        let idle = Workload {
            slo_share: 0.0,
            workflows_per_second: 0.0,
            slos: 1_000,
            ..SMALL
        };
        let [_, consuming] = used(consumed);
        let serving: f64 = used(served).into_iter().sum();
        let ([receiving, _], [_, idling]) = (used(received), used(idle));
        for (run, computed, measured) in [
            ("consuming", consuming, 31.0),
            ("serving", serving, 2.0),
            ("receiving over HTTP", receiving, 1.213),
            ("receiving over gRPC", receiving, 1.722),
            ("evaluating", idling, 0.0109),
        ] {
            let times = computed / measured;
            assert!((1.0..=2.0).contains(&times), "{run}: {times:.2}");
        }
    }

    #[test]
    fn links_kafka_and_events_cost_more() {
        let of = |change: fn(&mut Workload)| {
            let mut load = SMALL;
            change(&mut load);
            used(load)
        };
        let ([service, database], [from_kafka, _]) =
            (used(SMALL), of(|load| load.from_kafka = true));
        assert!((from_kafka - service - 10_000.0 * 1.3e-6).abs() < 1e-9);
        let [_, linked] = of(|load| load.linked_share = 1.0);
        assert!((linked - database - 50.0 * 280e-6).abs() < 1e-9);
        let [_, idle] = of(|load| (load.slo_share, load.workflows_per_second) = (0.0, 0.0));
        assert!((idle - 20.0 * 55e-6).abs() < 1e-9);
    }

    #[test]
    fn more_of_anything_never_needs_less() {
        let loads = |factor: f64| {
            let more = |change: fn(&mut Workload, f64)| {
                let mut load = SMALL;
                change(&mut load, factor);
                load
            };
            [
                more(|load, factor| load.spans_per_second *= factor),
                more(|load, factor| load.slo_share *= factor),
                more(|load, factor| load.workflows_per_second *= factor / 50.0),
                more(|load, factor| load.horizon_days *= factor),
                more(|load, factor| load.slos *= whole(factor)),
            ]
        };
        let small = DatabaseServer {
            cores: 1.0,
            disk_bytes: 2e11,
        };
        for step in 0..7 {
            let (less, more) = (f64::from(1 << step), f64::from(2 << step));
            let less = loads(less.min(50.0));
            let more = loads(more.min(50.0));
            for (less, more) in less.into_iter().zip(more) {
                let (one, other) = (size(less, small).unwrap(), size(more, small).unwrap());
                assert!(one.installations <= other.installations, "{more:?}");
                let mut pairs = needs(&one).into_iter().zip(needs(&other));
                let is_less = pairs.all(|(one, other)| one <= other * (1.0 + 1e-9));
                assert!(is_less, "{less:?} {more:?}");
            }
        }
    }

    #[test]
    fn ten_million_spans_a_second_are_shared_by_installations_that_all_scan_them() {
        let load = Workload {
            spans_per_second: 1e7,
            slo_share: 0.01,
            workflows_per_second: 50_000.0,
            slos: 1_000,
            ..SMALL
        };
        let sizing = size(load, SERVER).unwrap();
        assert_eq!(sizing.installations, 4, "{sizing:?}");
        assert_eq!(sizing.limits[0].part, "disk of PostgreSQL");
        assert!(sizing.service_cores > 28.0, "each scans all: {sizing:?}");
        assert!(sizing.disk_bytes <= SERVER.disk_bytes);
        assert!(sizing.limits.iter().take(2).all(|limit| limit.times >= 1.0));
        let shorter = Workload {
            horizon_days: 1.0,
            ..load
        };
        assert_eq!(size(shorter, SERVER).unwrap().installations, 1);
    }

    #[test]
    fn a_load_that_cannot_be_is_refused() {
        let problem = |change: fn(&mut Workload)| {
            let mut load = SMALL;
            change(&mut load);
            size(load, SERVER).unwrap_err().to_string()
        };
        assert_eq!(
            problem(|load| load.spans_per_second = 0.0),
            "the number of spans must be a number above 0"
        );
        assert!(problem(|load| load.horizon_days = f64::NAN).contains("the horizon"));
        assert!(
            problem(|load| load.slo_share = 1.1).contains("spans in SLOs is a number from 0 to 1")
        );
        assert!(problem(|load| load.linked_share = -0.1).contains("linked workflows"));
        assert!(problem(|load| load.workflows_per_second = 101.0).contains("there are 100"));
        let one = |load: &mut Workload| {
            (load.spans_per_second, load.slo_share, load.slos) = (1e7, 0.1, 1);
            load.workflows_per_second = 1e5;
        };
        assert!(problem(one).contains("an SLO is judged by one installation"));
        let all = Workload {
            slo_share: 1.0,
            workflows_per_second: 10_000.0,
            ..SMALL
        };
        assert!(size(all, SERVER).is_ok(), "every span a workflow");
        let none = Workload {
            slo_share: 0.0,
            workflows_per_second: 0.0,
            ..SMALL
        };
        assert!(size(none, SERVER).is_ok());
    }

    #[test]
    fn the_documentation_has_the_same_coefficients() {
        let documentation = include_str!("../../../../.github/OPERATING.md");
        for CostCoefficient {
            name,
            value,
            unit,
            source,
        } in COEFFICIENTS
        {
            let row = format!("| {name} | {value} {unit} | {source} |");
            assert!(documentation.contains(&row), "{row}");
        }
    }
}
