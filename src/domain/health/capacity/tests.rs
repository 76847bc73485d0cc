//! Tests of the capacity model.

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
    let ([service, database], [from_kafka, _]) = (used(SMALL), of(|load| load.from_kafka = true));
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
fn kafka_gives_way_by_its_partitions_and_by_one_thread_of_each_replica() {
    let load = Workload {
        spans_per_second: 1e6,
        from_kafka: true,
        ..SMALL
    };
    let of = |load| {
        let sizing = size(load, SERVER).unwrap();
        let limits = sizing.limits.into_iter();
        let of_kafka = limits.filter(|limit| limit.part.contains("Kafka"));
        of_kafka.map(|limit| limit.times).collect::<Vec<_>>()
    };
    // Three replicas, each with a thread that is half busy by 385,000 spans a second.
    assert_eq!(size(load, SERVER).unwrap().replicas, 3);
    let limits = of(load);
    assert!((limits[0] - 3.462).abs() < 0.001, "{limits:?}");
    // Nine partitions, each for a replica of four cores, or with three transactions.
    assert!((5.0..6.0).contains(&limits[1]), "{limits:?}");
    assert!((53.0..54.0).contains(&limits[2]), "{limits:?}");
    let from_kafka = false;
    assert!(of(Workload { from_kafka, ..load }).is_empty());
}

#[test]
fn as_many_slos_as_a_number_can_be_are_computed_at_once() {
    let load = Workload {
        spans_per_second: 1e6,
        slos: u32::MAX,
        ..SMALL
    };
    let sizing = size(load, SERVER).unwrap();
    assert!(sizing.installations > 10_000, "{sizing:?}");
    assert!(sizing.disk_bytes <= SERVER.disk_bytes);
    let one_less = f64::from(sizing.installations - 1);
    assert!(load.disk_bytes(one_less) > SERVER.disk_bytes);
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
    assert_eq!(
        problem(|load| (load.spans_per_second, load.slos) = (1e300, u32::MAX)),
        "more than 1e12 spans a second are not computed"
    );
    assert!(problem(|load| load.slo_share = 1.1).contains("spans in SLOs is a number from 0 to 1"));
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
