//! Measured costs, each with the benchmark that it comes from.

/// A measured cost, and where it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostCoefficient {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub source: &'static str,
}

pub(super) const SCAN: CostCoefficient = CostCoefficient {
    name: "service, per span that is scanned",
    value: 1.4,
    unit: "us of CPU",
    source: "`receiving -- plain none`: OTLP over HTTP without compression, 100 SLOs: 0.6, 1.0 and 1.4 in three runs; gRPC 1.0; with `stages: auto` 1.9 to 2.4, and 1.0 since its evidence is compact; gzip 2.6 more",
};
pub(super) const SCAN_KAFKA: CostCoefficient = CostCoefficient {
    name: "service, per span that is read from Kafka",
    value: 2.7,
    unit: "us of CPU",
    source: "`receiving --features kafka -- plain none`: 2.2 to 2.7, without compression",
};
pub(super) const COMMIT: CostCoefficient = CostCoefficient {
    name: "service, per request of 512 spans with some of an SLO",
    value: 250.0,
    unit: "us of CPU",
    source: "`receiving -- onepercent`: one span in a hundred adds 0.4 us to 0.8 us to each span, less the next row",
};
pub(super) const RECEIVE: CostCoefficient = CostCoefficient {
    name: "service, per span of an SLO besides",
    value: 12.0,
    unit: "us of CPU",
    source: "8 for a start, 16 for a finish; measured before `receiving` had `stages: none`",
};
pub(super) const RECORD: CostCoefficient = CostCoefficient {
    name: "PostgreSQL, per workflow with a start and a finish",
    value: 60.0,
    unit: "us of CPU",
    source: "`recording -- workflows`: 33,600/s by two connections on two cores, what the service does for them included",
};
pub(super) const LINKED: CostCoefficient = CostCoefficient {
    name: "PostgreSQL, per workflow that only links identify",
    value: 340.0,
    unit: "us of CPU",
    source: "`recording -- links`: 5,850/s by two connections on two cores, likewise (4,250/s by one)",
};
pub(super) const SEARCH: CostCoefficient = CostCoefficient {
    name: "PostgreSQL, per workflow for the search",
    value: 16.0,
    unit: "us of CPU",
    source: "`recording -- workflows`: 15.5 and 16.3; 21 beside other builds",
};
pub(super) const UPDATE: CostCoefficient = CostCoefficient {
    name: "PostgreSQL, per further span of an SLO",
    value: 25.0,
    unit: "us of CPU",
    source: "half of what the lock takes of a workflow, and the update: by the shares in CONTRIBUTING 41 % of 60",
};
pub(super) const EVALUATE: CostCoefficient = CostCoefficient {
    name: "PostgreSQL, per evaluation of an SLO with new events, every 5 s",
    value: 2_100.0,
    unit: "us of CPU",
    source: "`evaluating -- history`: mean tick of 83 ms for 40 SLOs with 90 days (median 41 ms), the service's part included",
};
pub(super) const EVALUATE_IDLE: CostCoefficient = CostCoefficient {
    name: "PostgreSQL, per SLO without new events, every 5 s",
    value: 55.0,
    unit: "us of CPU",
    source: "`evaluating -- idle`: 0.011 of a core for 1,000 SLOs; 345 while an SLO is younger than three days",
};
pub(super) const WORKFLOW: CostCoefficient = CostCoefficient {
    name: "disk, per workflow with its search",
    value: 491.0,
    unit: "bytes",
    source: "the table of sizes: 280 and 211, kept for up to twice the horizon",
};
pub(super) const COUNTS: CostCoefficient = CostCoefficient {
    name: "disk, counts per SLO and replica",
    value: 13_000_000.0,
    unit: "bytes",
    source: "the table of sizes: by minute for 33 days, by hour for 400, events in every minute",
};

/// All costs, in the order of the documentation.
pub const COEFFICIENTS: [CostCoefficient; 12] = [
    SCAN,
    SCAN_KAFKA,
    COMMIT,
    RECEIVE,
    RECORD,
    LINKED,
    SEARCH,
    UPDATE,
    EVALUATE,
    EVALUATE_IDLE,
    WORKFLOW,
    COUNTS,
];
