//! Simulation of one installation, event by event: requests arrive at random, replicas scan them, commit
//! those with spans of SLOs in groups, and PostgreSQL works them off beside the evaluations. It shows what
//! the closed form leaves out: waiting, groups and chance.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{
    COMMIT, EVALUATE, EVALUATE_IDLE, EVALUATION_SECONDS, LINKED, MICROS, RECEIVE, RECORD, SCAN,
    SCAN_KAFKA, SEARCH, SPANS_A_REQUEST, TRANSACTIONS, UPDATE, Workload, whole,
};

/// As the recorder has them.
const REQUESTS_PER_COMMIT: usize = 64;
const EVIDENCE_PER_COMMIT: f64 = 8_192.0;
const GATHER_SECONDS: f64 = 0.005;
const LEAST_REQUESTS: f64 = 20_000.0;
const LEAST_SECONDS: f64 = 10.0;

/// What one of `installations` has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machines {
    pub(super) installations: u32,
    pub(super) replicas: u32,
    pub(super) replica_cores: u32,
    pub(super) database_cores: u32,
}

/// What was busy, in cores, and how long requests waited for their commit, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Simulated {
    pub(super) service: f64,
    pub(super) database: f64,
    /// The wait that one request in a hundred exceeds.
    pub(super) p99: f64,
    /// The mean wait of the last hundredth: it grows with the time that is simulated if a part cannot
    /// keep up.
    pub(super) last: f64,
    pub(super) seconds: f64,
}

/// Servers with one queue.
struct Station {
    free_at: Vec<f64>,
    busy: f64,
}

impl Station {
    fn new(servers: u32) -> Self {
        Self {
            free_at: vec![0.0; servers as usize],
            busy: 0.0,
        }
    }

    /// Returns the end of work that takes `micros` and could begin at `at`.
    fn work(&mut self, at: f64, micros: f64) -> f64 {
        let earliest = |one: &&mut f64, other: &&mut f64| one.total_cmp(other);
        let seconds = micros / MICROS;
        self.busy += seconds;
        self.free_at
            .iter_mut()
            .min_by(earliest)
            .map_or(at, |free_at| {
                *free_at = free_at.max(at) + seconds;
                *free_at
            })
    }
}

/// A request that was scanned, and waits for its commit.
struct Scanned {
    arrived_at: f64,
    ready_at: f64,
    slo_spans: f64,
}

/// A replica: its threads, and what it has to commit.
struct SimulatedReplica {
    receiver: Station,
    cores: Station,
    scanned: Vec<Scanned>,
    next: usize,
    commits: Station,
}

impl SimulatedReplica {
    /// Returns when its next transaction begins.
    fn begins_at(&self) -> Option<f64> {
        let free_at = self.commits.free_at.iter().copied();
        let free_at = free_at.min_by(f64::total_cmp)?;
        let ready_at = self.scanned.get(self.next)?.ready_at;
        Some(free_at.max(ready_at + GATHER_SECONDS))
    }

    fn take(&mut self, at: f64) -> &[Scanned] {
        let from = self.next;
        let mut evidence = 0.0;
        let waiting = &self.scanned[from..];
        let ready = waiting.iter().take_while(|one| {
            let fits = evidence < EVIDENCE_PER_COMMIT;
            evidence += one.slo_spans;
            fits && one.ready_at <= at
        });
        self.next += ready.take(REQUESTS_PER_COMMIT).count();
        &self.scanned[from..self.next]
    }
}

/// Random numbers that are the same in every run.
struct SeededDraws(u64);

impl SeededDraws {
    /// Returns a number above 0 and below 1, by splitmix64.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap();
        (f64::from(bits) + 0.5) / f64::from(u32::MAX).next_up()
    }

    /// Returns a number from 0 on that is less than `end`.
    fn below(&mut self, end: u32) -> usize {
        let drawn = whole(self.uniform() * f64::from(end));
        usize::try_from(drawn.clamp(1, end) - 1).unwrap()
    }

    /// Returns how many spans of a request an SLO selects, each with the chance `share` of at most a half.
    fn selected(&mut self, share: f64) -> f64 {
        let mut left = self.uniform();
        let mut chance = (1.0 - share).powf(SPANS_A_REQUEST);
        let mut selected = 0.0;
        while left > chance && selected < SPANS_A_REQUEST {
            left -= chance;
            chance *= (SPANS_A_REQUEST - selected) / (selected + 1.0) * share / (1.0 - share);
            selected += 1.0;
        }
        selected
    }
}

pub(super) fn simulate(load: Workload, machines: Machines) -> Simulated {
    let requests = load.spans_per_second / SPANS_A_REQUEST;
    let seconds = (LEAST_REQUESTS / requests).max(LEAST_SECONDS);
    let mut replicas = scan(load, machines, seconds);
    let mut database = Station::new(machines.database_cores);
    let mut waits = commit(load, machines, seconds, &mut replicas, &mut database);
    let last = waits.len() / 100;
    let last =
        waits[waits.len() - last..].iter().sum::<f64>() / f64::from(u32::try_from(last).unwrap());
    waits.sort_by(f64::total_cmp);
    let service = replicas
        .iter()
        .map(|one| one.receiver.busy + one.cores.busy);
    Simulated {
        service: service.sum::<f64>() / seconds,
        database: database.busy / seconds,
        p99: waits[waits.len() * 99 / 100],
        last,
        seconds,
    }
}

/// Lets requests arrive at random replicas, which scan them.
fn scan(load: Workload, machines: Machines, seconds: f64) -> Vec<SimulatedReplica> {
    let replica = |_| SimulatedReplica {
        receiver: Station::new(1),
        cores: Station::new(machines.replica_cores),
        scanned: Vec::new(),
        next: 0,
        commits: Station::new(whole(TRANSACTIONS)),
    };
    let mut replicas: Vec<_> = (0..machines.replicas).map(replica).collect();
    let mut draws = SeededDraws(7);
    let share = load.slo_share / f64::from(machines.installations);
    let mut at = 0.0;
    loop {
        at -= draws.uniform().ln() * SPANS_A_REQUEST / load.spans_per_second;
        if at > seconds {
            break;
        }
        let slo_spans = draws.selected(share);
        let of = draws.below(machines.replicas);
        let replica = &mut replicas[of];
        let received_at = if load.from_kafka {
            let micros = SPANS_A_REQUEST * (SCAN_KAFKA.value - SCAN.value);
            replica.receiver.work(at, micros)
        } else {
            at
        };
        let committed = if slo_spans > 0.0 { COMMIT.value } else { 0.0 };
        let micros = SPANS_A_REQUEST * SCAN.value + committed + slo_spans * RECEIVE.value;
        let scanned = Scanned {
            arrived_at: at,
            ready_at: replica.cores.work(received_at, micros),
            slo_spans,
        };
        replica.scanned.push(scanned);
    }
    for replica in &mut replicas {
        let ready = |one: &Scanned, other: &Scanned| one.ready_at.total_cmp(&other.ready_at);
        replica.scanned.sort_by(ready);
    }
    replicas
}

/// Commits what was scanned, beside the evaluations. Returns how long requests waited, the first to be
/// committed first.
fn commit(
    load: Workload,
    machines: Machines,
    seconds: f64,
    replicas: &mut [SimulatedReplica],
    database: &mut Station,
) -> Vec<f64> {
    let record = RECORD.value + load.linked_share * (LINKED.value - RECORD.value);
    let workflows = load.workflows_per_second * record;
    let further = load.further_spans() * UPDATE.value;
    let recorded = (workflows + further) / load.slo_spans();
    let searched = load.workflows_per_second * SEARCH.value / load.slo_spans();
    let mut evaluations = Evaluations::new(load.slos / machines.installations);
    let mut waits = Vec::new();
    let mut indexing = Later::default();
    loop {
        let begins = replicas.iter().enumerate();
        let begins = begins.filter_map(|(of, one)| Some((one.begins_at()?, of)));
        let first = begins.min_by(|one, other| one.0.total_cmp(&other.0));
        let at = first.map_or(seconds, |(at, _)| at);
        while evaluations.at <= at.min(seconds) {
            let (at, micros) = evaluations.next();
            indexing.work_until(at, database);
            database.work(at, micros);
        }
        indexing.work_until(at, database);
        let Some((at, of)) = first else {
            return waits;
        };
        let replica = &mut replicas[of];
        let taken = replica.take(at);
        let slo_spans: f64 = taken.iter().map(|one| one.slo_spans).sum();
        let arrived: Vec<f64> = taken.iter().map(|one| one.arrived_at).collect();
        let ended_at = if slo_spans > 0.0 {
            let ended_at = database.work(at, slo_spans * recorded);
            replica.commits.work(at, (ended_at - at) * MICROS);
            indexing.add(ended_at, slo_spans * searched);
            ended_at
        } else {
            at
        };
        evaluations.count(slo_spans);
        waits.extend(arrived.iter().map(|arrived_at| ended_at - arrived_at));
    }
}

/// Work that follows from other work, taken in the order of time.
#[derive(Default)]
struct Later(BinaryHeap<Reverse<(Duration, Duration)>>);

impl Later {
    fn add(&mut self, at: f64, micros: f64) {
        let work = Duration::from_secs_f64(micros / MICROS);
        self.0.push(Reverse((Duration::from_secs_f64(at), work)));
    }

    fn work_until(&mut self, until: f64, station: &mut Station) {
        let until = Duration::from_secs_f64(until);
        while let Some(Reverse((at, work))) = self.0.peek().copied()
            && at <= until
        {
            self.0.pop();
            station.work(at.as_secs_f64(), work.as_secs_f64() * MICROS);
        }
    }
}

/// The evaluations of SLOs one after the other, each every few seconds. Every event is of the next SLO, as
/// the closed form assumes.
struct Evaluations {
    slos: u32,
    at: f64,
    next: usize,
    counted: f64,
    /// The events of all SLOs when each was evaluated last.
    seen: Vec<f64>,
}

impl Evaluations {
    fn new(slos: u32) -> Self {
        Self {
            slos,
            at: 0.0,
            next: 0,
            counted: 0.0,
            seen: vec![0.0; slos as usize],
        }
    }

    fn count(&mut self, events: f64) {
        self.counted += events;
    }

    /// Returns when the next one begins, and its cost.
    fn next(&mut self) -> (f64, f64) {
        let (at, slos) = (self.at, f64::from(self.slos));
        let of = f64::from(u32::try_from(self.next).unwrap());
        // Its events are those with a number that is the SLO's modulo the number of SLOs.
        let rounds = |counted: f64| ((counted - of) / slos).ceil().max(0.0);
        let has_new = rounds(self.counted) > rounds(self.seen[self.next]);
        self.seen[self.next] = self.counted;
        self.next = (self.next + 1) % self.seen.len();
        self.at += EVALUATION_SECONDS / slos;
        let cost = if has_new { EVALUATE } else { EVALUATE_IDLE };
        (at, cost.value)
    }
}
