//! Thousands of transitions while half of the targets are broken: what waits is bounded, in rows and in
//! memory, and all of it is told when they are mended.
//!
//! The suite has a short one; `SOAK_TRANSITIONS=10000` makes it as long as one likes.

use std::{env::current_exe, fs, process::Command, time::Duration};

use throughline::{
    deliver::Dispatcher,
    domain::{
        alerting::snapshot::AlertSnapshot,
        model::{
            counts::EventCounts,
            ids::{Name, SloId},
            time::{TimeRange, Timestamp},
        },
        notify::delivery::alert_key,
        slo::Severity,
    },
    store::{AlertTransition, NewDeliveries, TransitionsOf},
};
use uuid::Uuid;

use super::{
    crowd::Crowd,
    sink::{Conduct, Sink},
};

const TARGETS: usize = 20;
const ALERTS: usize = 100;
const IN_THE_SUITE: &str = "2000";
const BATCH: usize = 50;
const STEP: Duration = Duration::from_secs(10);

/// Says to a test that is started again that it is to do the work, in a process that does nothing else.
const ROLE: &str = "THROUGHLINE_TEST_SOAK_OF";

/// More than one turn of every target needs, and a tenth of what keeping what waits would.
const MOST_GROWTH_KIB: i64 = 24 * 1_024;

#[test]
fn half_of_the_targets_broken_costs_neither_memory_nor_rows_that_stay() {
    let transitions = std::env::var_os("SOAK_TRANSITIONS");
    let transitions = transitions.unwrap_or_else(|| IN_THE_SUITE.into());
    let status = Command::new(current_exe().unwrap())
        .args(["--exact", "never_lost::soak::in_a_process_of_its_own"])
        .arg("--nocapture")
        .env(ROLE, transitions)
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_process_of_its_own() {
    let Some(transitions) = std::env::var_os(ROLE) else {
        return;
    };
    let transitions: usize = transitions.to_str().unwrap().parse().unwrap();
    let mut soak = Soak::begin().await;
    soak.run(transitions).await;
    soak.end(transitions).await;
}

struct Soak {
    crowd: Crowd,
    dispatcher: Dispatcher,
    now: Timestamp,
    /// Kept when all lines are warm.
    rss_kib: Option<i64>,
    most_open: i64,
    most_growth_kib: i64,
    alerts: Vec<(Name, SloId)>,
    /// Of a page that the evaluator has told of; the others are like it.
    facts: AlertSnapshot,
}

fn name(nth: usize) -> String {
    format!("target-{nth:02}")
}

impl Soak {
    async fn begin() -> Self {
        let broken = [
            Conduct::Away,
            Conduct::Silent,
            Conduct::Limited,
            Conduct::Gone,
            Conduct::Flaky,
        ];
        let mut sinks = Vec::new();
        for nth in 0..TARGETS {
            let conduct = match nth % 2 {
                0 => Conduct::Fine,
                _ => broken[nth / 2 % broken.len()],
            };
            sinks.push((name(nth), Sink::start(conduct, 2).await));
        }
        let names: Vec<_> = (0..ALERTS).map(|alert| name(alert % TARGETS)).collect();
        let notify: Vec<_> = names.iter().map(|name| vec![name.as_str()]).collect();
        let mut crowd = Crowd::gather(sinks, &notify).await;
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        let facts = first_facts(&mut crowd, now).await;
        Self {
            dispatcher: crowd.dispatcher(),
            alerts: crowd.slos.clone().into_iter().collect(),
            crowd,
            now,
            rss_kib: None,
            most_open: 0,
            most_growth_kib: 0,
            facts,
        }
    }

    async fn run(&mut self, transitions: usize) {
        for from in (0..transitions).step_by(BATCH) {
            self.add(from, (from + BATCH).min(transitions)).await;
            self.dispatcher.tick(self.now).await.unwrap();
            self.dispatcher.drain().await;
            self.now = self.now + STEP;
            self.most_open = self.most_open.max(self.crowd.open().await);
            let rss_kib = rss_kib();
            if from >= transitions / 10 {
                let first = *self.rss_kib.get_or_insert(rss_kib);
                self.most_growth_kib = self.most_growth_kib.max(rss_kib - first);
            }
        }
    }

    /// Transitions of one alert after the other, each with the duty to tell.
    async fn add(&self, from: usize, to: usize) {
        let mut tx = self.crowd.app.store.begin("add").await.unwrap();
        for nth in from..to {
            let alert = nth % ALERTS;
            let (slo, id) = &self.alerts[alert];
            let transition = AlertTransition {
                id: Uuid::now_v7(),
                slo: *id,
                at: self.now,
                facts: AlertSnapshot {
                    slo: slo.clone(),
                    // The evaluator has made the first.
                    version: i64::try_from(nth / ALERTS + 2).unwrap(),
                    evaluated_at: self.now,
                    ..self.facts.clone()
                },
                suppression: None,
            };
            tx.insert_transition(&transition).await.unwrap();
            let queued = NewDeliveries {
                transition: transition.id,
                targets: &[name(alert % TARGETS).parse().unwrap()],
                ordering_key: &alert_key(slo, None, Severity::Page),
                severity: Severity::Page,
            };
            tx.enqueue_deliveries(queued, self.now).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    #[expect(clippy::print_stdout, reason = "the figures of a longer run")]
    async fn end(self, transitions: usize) {
        let Self { crowd, now, .. } = self;
        let waiting = crowd.open().await;
        for (_, sink) in &crowd.sinks {
            sink.behave(Conduct::Fine);
        }
        let ended = crowd.finish(now).await;
        let (mut told, mut tries, mut repeats) = (0, 0, 0);
        for (name, _) in &crowd.sinks {
            let account = crowd.account(name).await;
            told += account.told;
            tries += account.tries;
            repeats += account.repeats;
        }
        let kib = "select pg_total_relation_size('deliveries') / 1024";
        let (deliveries_kib, growth) = (crowd.count(kib).await, self.most_growth_kib);
        println!(
            "{transitions} transitions, {told} told in {tries} tries, {repeats} repeats; at most {} \
             waited, {waiting} in the end, for {} s; memory grew by {growth} KiB, deliveries are \
             {deliveries_kib} KiB",
            self.most_open,
            ended.saturating_since(now).as_secs(),
        );
        // And the one that the evaluator has made.
        assert_eq!(told, transitions + 1);
        assert!(growth < MOST_GROWTH_KIB, "memory grew by {growth} KiB");
        // What is tried does not grow with what waits: a target is asked for the oldest of each alert.
        let most = i64::try_from(told * 2).unwrap();
        assert!(tries < most, "{tries} tries for {told} notifications");
        drop(crowd.app);
        crowd.server.stop().await.unwrap();
    }
}

/// What the evaluator tells of the first SLO.
async fn first_facts(crowd: &mut Crowd, now: Timestamp) -> AlertSnapshot {
    let bad = EventCounts {
        failed: 20,
        ..EventCounts::ZERO
    };
    let slo = *crowd.slos.values().next().unwrap();
    let range = TimeRange::ending_at(now, Duration::from_mins(10));
    crowd.app.fill_range(slo, range, bad).await;
    let evaluator = crowd.evaluator(STEP);
    evaluator.tick(now).await.unwrap();
    let mut tx = crowd.app.store.begin("look").await.unwrap();
    let ever = TimeRange::new(Timestamp::UNIX_EPOCH, now);
    let told = tx.transitions(TransitionsOf::One(slo), ever, 1).await;
    told.unwrap().remove(0).facts
}

/// Memory of this process.
fn rss_kib() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.unwrap().split_whitespace().next().unwrap();
    words.parse().unwrap()
}
