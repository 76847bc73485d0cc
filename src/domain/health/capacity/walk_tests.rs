//! Loads from a thousand to ten million spans a second: whether the answers of the model agree with each
//! other and with a simulation.

use proptest::prelude::*;

use super::{
    simulation::{Machines, Simulated, simulate},
    *,
};

const SERVER: DatabaseServer = DatabaseServer {
    cores: 32.0,
    disk_bytes: 8e12,
};
/// How far what is busy in a simulation may be from what is computed.
const TOLERANCE: f64 = 0.03;
/// A tenth of a core is not looked at more closely: chance is more than that.
const LEAST_CORES: f64 = 0.1;

fn over_otlp(spans_per_second: f64) -> Workload {
    Workload {
        spans_per_second,
        slo_share: 0.01,
        workflows_per_second: spans_per_second * 0.005,
        linked_share: 0.0,
        from_kafka: false,
        horizon_days: 1.0,
        slos: 1_000,
    }
}

fn over_kafka(load: Workload) -> Workload {
    Workload {
        from_kafka: true,
        ..load
    }
}

/// The load in which all has grown, as a limit is meant.
fn grown(load: Workload, times: f64) -> Workload {
    Workload {
        spans_per_second: load.spans_per_second * times,
        workflows_per_second: load.workflows_per_second * times,
        ..load
    }
}

fn limit(sizing: &Sizing, part: &str) -> f64 {
    let mut limits = sizing.limits.iter();
    limits
        .find(|limit| limit.part.starts_with(part))
        .unwrap()
        .times
}

fn machines(sizing: &Sizing) -> Machines {
    Machines {
        installations: sizing.installations,
        replicas: sizing.replicas,
        replica_cores: whole(REPLICA_CORES),
        database_cores: whole(SERVER.cores),
    }
}

#[test]
fn what_is_computed_is_busy_in_a_simulation_and_nobody_waits_long() {
    for spans in [1e3, 1e4, 1e5, 1e6, 1e7] {
        for load in [over_otlp(spans), over_kafka(over_otlp(spans))] {
            let sizing = size(load, SERVER).unwrap();
            let simulated = simulate(load, machines(&sizing));
            let Simulated {
                service, database, ..
            } = simulated;
            for (computed, simulated) in [
                (sizing.service_cores, service),
                (sizing.database_cores, database),
            ] {
                let computed = computed * BUSY;
                let difference = (simulated - computed).abs();
                assert!(
                    difference <= computed.max(LEAST_CORES) * TOLERANCE,
                    "{load:?}: {computed} computed, {simulated} simulated"
                );
            }
            assert!(simulated.p99 < 0.1, "{load:?}: {simulated:?}");
        }
    }
}

const LARGE: DatabaseServer = DatabaseServer {
    cores: 64.0,
    disk_bytes: 1e15,
};

/// Loads with a part that gives way, and machines that have plenty of all others.
fn one_part_each() -> [(Workload, &'static str, Machines); 6] {
    let few = over_otlp(1e6);
    let many = Workload {
        slo_share: 0.4,
        workflows_per_second: 200_000.0,
        slos: 10,
        ..few
    };
    let (few_kafka, many_kafka) = (over_kafka(few), over_kafka(many));
    let ample = Machines {
        installations: 1,
        replicas: 200,
        replica_cores: 64,
        database_cores: 500,
    };
    let of_replicas = |replicas| Machines { replicas, ..ample };
    let of_partitions = |load| of_replicas(size(load, LARGE).unwrap().partitions);
    let (database, cores) = (
        Machines {
            database_cores: 64,
            ..ample
        },
        Machines {
            replica_cores: 4,
            ..of_replicas(41)
        },
    );
    [
        (many, "cores of PostgreSQL", database),
        // By the cores of replicas, by their transactions, and by the thread of each.
        (few, "connections", cores),
        (many, "connections", of_replicas(41)),
        (few_kafka, "connections", of_replicas(41)),
        (few_kafka, "threads that receive", of_partitions(few_kafka)),
        (
            many_kafka,
            "transactions of replicas",
            of_partitions(many_kafka),
        ),
    ]
}

/// At the named times of a load a part is half busy, so at twice that it is full. Requests wait longer and
/// longer if the load is a little above that, and do not a little below.
#[test]
fn each_part_gives_way_in_a_simulation_where_the_model_says() {
    for (load, part, machines) in one_part_each() {
        let sizing = size(load, LARGE).unwrap();
        assert_eq!(sizing.installations, 1);
        let full = limit(&sizing, part) / BUSY;
        let below = simulate(grown(load, full * 0.85), machines);
        assert!(below.last < below.seconds * 0.04, "{part}: {below:?}");
        let above = simulate(grown(load, full * 1.15), machines);
        assert!(above.last > above.seconds * 0.08, "{part}: {above:?}");
    }
}

/// An epoch is open for a horizon, and dropped a horizon later.
#[test]
fn workflows_are_kept_in_two_partitions_for_twice_the_horizon() {
    for days in [1_u32, 7] {
        let hours = days * 24;
        let mut epochs: Vec<(u32, u32)> = Vec::new();
        let mut most = 0;
        for hour in 0..hours * 10 {
            if hour % hours == 0 {
                epochs.push((hour, 0));
            }
            // The loop that drops them runs every hour.
            epochs.retain(|(opened, _)| hour <= opened + 2 * hours);
            epochs.last_mut().unwrap().1 += 1;
            most = most.max(epochs.iter().map(|(_, workflows)| workflows).sum());
        }
        let kept = f64::from(most) / f64::from(hours);
        assert!((kept / HORIZONS_KEPT - 1.0).abs() < TOLERANCE, "{kept}");
    }
}

fn loads() -> impl Strategy<Value = Workload> {
    let share = prop_oneof![Just(0.0), 1e-4..1.0];
    (
        3.0..7.0,
        share,
        0.0..0.5,
        0.0..1.0,
        any::<bool>(),
        0.5..14.0,
        1_u32..10_000,
    )
        .prop_map(
            |(magnitude, slo_share, workflows, linked_share, from_kafka, horizon_days, slos)| {
                let spans_per_second = 10_f64.powf(magnitude);
                Workload {
                    spans_per_second,
                    slo_share,
                    workflows_per_second: spans_per_second * slo_share * workflows,
                    linked_share,
                    from_kafka,
                    horizon_days,
                    slos,
                }
            },
        )
}

/// Returns how much of each limited part a load takes of an installation that was sized for another one.
fn taken(load: Workload, sizing: &Sizing) -> Vec<(&'static str, f64)> {
    let of = f64::from(sizing.installations);
    let replicas = load.needed_replicas(of);
    let partitions = f64::from(sizing.partitions);
    let all = [
        (
            "cores of PostgreSQL",
            load.database_cores(of) / SERVER.cores,
        ),
        (
            "disk of PostgreSQL",
            load.disk_bytes(of) / SERVER.disk_bytes,
        ),
        (
            "connections",
            replicas / (MOST_CONNECTIONS / CONNECTIONS).floor(),
        ),
        (
            "cores of replicas",
            load.service_cores(of) / REPLICA_CORES / partitions,
        ),
        (
            "transactions of replicas",
            load.recording_cores(of) / TRANSACTIONS / partitions,
        ),
        ("threads that receive", load.kafka_threads() / partitions),
    ];
    let parts = if load.from_kafka { 6 } else { 3 };
    let all = all.into_iter().take(parts);
    // What a load does not use has no limit.
    all.filter(|(_, taken)| *taken > 0.0).collect()
}

proptest! {
    #[test]
    fn a_part_that_is_exceeded_is_named_and_no_part_is_named_too_late(load in loads(), times in 1.0..1e3_f64) {
        let Ok(sizing) = size(load, SERVER) else {
            return Ok(());
        };
        prop_assert!(sizing.limits.is_sorted_by(|one, other| one.times <= other.times));
        let parts = taken(load, &sizing);
        prop_assert_eq!(parts.len(), sizing.limits.len());
        for (part, taken_now) in &parts {
            // Below its limit, or above it.
            prop_assert_eq!(*taken_now > 1.0 + 1e-9, limit(&sizing, part) < 1.0 - 1e-9);
        }
        for (part, taken) in taken(grown(load, times), &sizing) {
            if taken > 1.03 {
                prop_assert!(limit(&sizing, part) < times, "{}: {} at {} times", part, taken, times);
            }
        }
    }

    #[test]
    fn a_larger_load_never_needs_less(load in loads(), times in 1.0..100.0_f64) {
        let (less, more) = (size(load, SERVER), size(grown(load, times), SERVER));
        let (Ok(less), Ok(more)) = (&less, &more) else {
            prop_assert!(less.is_ok() || more.is_err(), "the smaller one is refused");
            return Ok(());
        };
        let of_all = |sizing: &Sizing| {
            let of = f64::from(sizing.installations);
            [
                sizing.service_cores * of,
                sizing.database_cores * of,
                f64::from(sizing.replicas) * of,
                f64::from(sizing.connections) * of,
                sizing.disk_bytes * of,
                of,
            ]
        };
        for (less, more) in of_all(less).into_iter().zip(of_all(more)) {
            prop_assert!(less <= more * (1.0 + 1e-9), "{} and {}", less, more);
        }
    }
}
