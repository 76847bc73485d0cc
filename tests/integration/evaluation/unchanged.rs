//! SLOs that nothing has changed: they are not evaluated again before the next minute, and what is known of
//! them is what an evaluation would find.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use sqlx::Acquire as _;
use throughline::{
    domain::{
        alerting::{alert::TransitionKind, status::SloStatus},
        model::{counts::EventCounts, time::TimeRange},
    },
    evaluate::EvaluationReport,
    store::Writer,
};
use tokio::runtime::Runtime;

use crate::support::{
    app::{HOUR, MINUTE, ORDERS, SECOND, TestApp, add_events, good, slo, timeouts},
    span::span,
};

const INTERVAL: std::time::Duration = SECOND.saturating_mul(5);

/// After two days of ten good workflows a minute, evaluated every five seconds from a second after ten.
async fn orders() -> TestApp {
    app(ORDERS).await
}

async fn app(definition: &str) -> TestApp {
    let app = TestApp::new().slo(definition).history(HOUR * 48, good(10));
    let app = app.with(|settings| settings.evaluator.interval = INTERVAL);
    let app = app.await;
    app.advance(SECOND);
    app
}

impl TestApp {
    /// Evaluates now; the next time is an interval later.
    async fn evaluate_next(&self) -> EvaluationReport {
        let report = self.evaluate().await;
        self.advance(INTERVAL);
        report
    }

    /// Evaluates so often, and returns how often the SLO was found unchanged.
    async fn unchanged_in(&self, ticks: u32) -> usize {
        let mut unchanged = 0;
        for _ in 0..ticks {
            let report = self.evaluate_next().await;
            assert_eq!(report.evaluated, 1);
            unchanged += report.unchanged;
        }
        unchanged
    }

    /// The minute that is so many before the present one.
    fn minute_ago(&self, minutes: u32) -> TimeRange {
        let from = self.clock.now().floor_to(MINUTE) - MINUTE * minutes;
        TimeRange::new(from, from + MINUTE)
    }

    async fn now_counts(&self, events: EventCounts) {
        self.fill_range(self.only(), self.minute_ago(0), events)
            .await;
    }
}

#[tokio::test]
async fn an_slo_without_news_is_evaluated_once_a_minute_and_known_until_now() {
    let app = orders().await;
    assert_eq!(app.unchanged_in(1).await, 0);
    assert_eq!(app.unchanged_in(11).await, 11);
    assert_eq!(app.status().await.evaluated_at, app.clock.now() - INTERVAL);
    assert_eq!(app.unchanged_in(12).await, 11);
    assert_eq!(app.unchanged_in(12).await, 11);
}

#[tokio::test]
async fn what_is_counted_is_evaluated_in_the_next_tick_without_a_gap_before_it() {
    let app = orders().await;
    assert_eq!(app.unchanged_in(11).await, 10);
    app.now_counts(timeouts(200)).await;
    assert_eq!(app.evaluate_next().await.fired, 1);
    // While it fires, every tick counts.
    assert_eq!(app.unchanged_in(3).await, 0);
}

#[tokio::test]
async fn what_is_committed_late_is_evaluated_when_it_is_committed() {
    let app = orders().await;
    let mut connection = app.database.connect().await;
    let mut writing = connection.begin().await.unwrap();
    let bad = (app.only(), app.minute_ago(0));
    add_events(&mut writing, Writer(7), bad, timeouts(200)).await;
    // Others begin later, commit before and are evaluated.
    app.now_counts(good(1)).await;
    assert_eq!(app.unchanged_in(1).await, 0);
    assert_eq!(app.unchanged_in(5).await, 5);
    writing.commit().await.unwrap();
    assert_eq!(app.evaluate_next().await.fired, 1);
}

#[tokio::test]
async fn another_replica_finds_unchanged_what_one_has_evaluated() {
    let app = orders().await;
    let other = app.replica();
    assert_eq!(app.unchanged_in(1).await, 0);
    assert_eq!(other.evaluate().await.unchanged, 1);
    app.advance(INTERVAL);
    app.now_counts(timeouts(200)).await;
    assert_eq!(other.evaluate().await.fired, 1);
}

#[tokio::test]
async fn other_definitions_are_evaluated_at_once() {
    let app = orders().await;
    assert_eq!(app.unchanged_in(2).await, 1);
    app.define([slo(&ORDERS.replace("99%", "95%"))]).await;
    assert_eq!(app.unchanged_in(2).await, 1);
}

#[tokio::test]
async fn open_workflows_and_starts_are_news() {
    let app = orders().await;
    assert_eq!(app.unchanged_in(2).await, 1);
    app.send([span("order").trace(1).at(0.0)]).await;
    assert_eq!(app.unchanged_in(2).await, 0);
    assert_eq!(app.status().await.time_used.in_flight(), 1);
    app.send([span("order complete").trace(1).at(3.0)]).await;
    assert_eq!(app.unchanged_in(2).await, 1);
    assert_eq!(app.status().await.time_used.in_flight(), 0);
}

#[tokio::test]
async fn an_event_that_only_moves_within_its_day_is_news() {
    let app = orders().await;
    let at = |name, secs| span(name).trace(1).at(secs);
    app.send([at("order", -120.0), at("order complete", 0.5)])
        .await;
    assert_eq!(app.unchanged_in(2).await, 1);
    app.send([at("order complete", -30.0)]).await;
    assert_eq!(app.unchanged_in(2).await, 1);
}

#[tokio::test]
async fn an_event_that_only_moves_within_an_hour_that_is_over_is_news() {
    let app = orders().await;
    let at = |name, secs| span(name).trace(1).at(secs);
    app.send([at("order", -2_400.0), at("order complete", -60.0)])
        .await;
    app.advance(MINUTE * 24);
    app.evaluate_next().await;
    assert_eq!(app.status().await.last_hour.late, 1);
    // It ended in time, before the last hour begins.
    app.send([at("order complete", -2_280.0)]).await;
    app.evaluate_next().await;
    assert_eq!(app.status().await.last_hour.late, 0);
}

#[tokio::test]
async fn nothing_is_unchanged_while_spans_may_be_missing() {
    let app = orders().await;
    assert_eq!(app.unchanged_in(2).await, 1);
    app.ingest_ends(app.clock.now() - MINUTE * 2).await;
    assert_eq!(app.unchanged_in(2).await, 0);
    // What was found meanwhile lasts no longer than that.
    app.ingest_ends(app.clock.now()).await;
    assert_eq!(app.unchanged_in(2).await, 1);
}

/// What may happen between two evaluations.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Nothing, for so many evaluations.
    Pass(u32),
    Count(Events),
    /// Events whose transaction is open for so many evaluations.
    CountLate(Events, u32),
    /// A workflow begins, and ends so many evaluations later.
    Workflow(u32),
}

#[derive(Clone, Copy, Debug)]
struct Events {
    minutes_ago: u32,
    good: i64,
    bad: i64,
}

fn op() -> impl Strategy<Value = Op> {
    let bad = prop_oneof![4 => Just(0_i64), 1 => 1_i64..4, 1 => 50_i64..200];
    let minutes_ago = prop_oneof![3 => 0_u32..3, 1 => 3_u32..10_000];
    let events = (minutes_ago, 0_i64..30, bad).prop_map(|(minutes_ago, good, bad)| Events {
        minutes_ago,
        good,
        bad,
    });
    let events = events.boxed();
    prop_oneof![
        4 => (1_u32..16).prop_map(Op::Pass),
        2 => events.clone().prop_map(Op::Count),
        2 => (events, 1_u32..6).prop_map(|(events, ticks)| Op::CountLate(events, ticks)),
        1 => (0_u32..20).prop_map(Op::Workflow),
    ]
}

/// An app, and what is under way in it.
struct Side {
    app: TestApp,
    /// Whether every SLO is evaluated in every tick, from the sums of all its minutes.
    evaluates_always: bool,
    late: Vec<(u32, sqlx::Transaction<'static, sqlx::Postgres>)>,
    ends: Vec<(u32, u64)>,
    writers: i16,
    workflows: u64,
    unchanged: usize,
}

impl Side {
    async fn new() -> Self {
        // A week, so that all of it may still change.
        let week = ORDERS.replace("window: 28d", "window: 7d");
        Self {
            app: app(&week).await,
            evaluates_always: false,
            late: Vec::new(),
            ends: Vec::new(),
            writers: 0,
            workflows: 0,
            unchanged: 0,
        }
    }

    fn counts(&self, events: Events) -> (TimeRange, EventCounts) {
        let counts = EventCounts {
            good: events.good,
            failed: events.bad,
            ..EventCounts::ZERO
        };
        (self.app.minute_ago(events.minutes_ago), counts)
    }

    /// Does it, and returns how many evaluations follow.
    async fn step(&mut self, op: Op) -> u32 {
        match op {
            Op::Pass(ticks) => return ticks,
            Op::Count(events) => {
                let (range, counts) = self.counts(events);
                self.app.fill_range(self.app.only(), range, counts).await;
            }
            Op::CountLate(events, ticks) => {
                let (range, counts) = self.counts(events);
                self.writers += 1;
                let pool = sqlx::PgPool::connect_lazy_with(self.app.database.options.clone());
                let mut writing = pool.begin().await.unwrap();
                let of = (self.app.only(), range);
                add_events(&mut writing, Writer(self.writers), of, counts).await;
                self.late.push((ticks, writing));
            }
            Op::Workflow(ticks) => {
                self.workflows += 1;
                self.send("order", self.workflows).await;
                self.ends.push((ticks, self.workflows));
            }
        }
        1
    }

    async fn send(&self, name: &str, trace: u64) {
        let at = self.app.clock.now().saturating_since(self.app.began);
        let at = at.as_secs_f64();
        self.app.send([span(name).trace(trace).at(at)]).await;
    }

    /// An evaluation; what was waiting for it follows.
    async fn tick(&mut self) -> Found {
        if self.evaluates_always {
            self.app
                .execute("update slos set unchanged_until = null")
                .await;
        }
        self.app.judge().await;
        if self.evaluates_always {
            // One that remembers nothing.
            self.app.restart();
        }
        self.unchanged += self.app.evaluate_next().await.unchanged;
        let found = (self.app.status().await, self.app.kinds().await);
        for waiting in self.late.iter_mut().map(|late| &mut late.0) {
            *waiting -= 1;
        }
        let (done, late) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.0 == 0);
        self.late = late;
        let done: Vec<_> = done;
        for (_, writing) in done {
            writing.commit().await.unwrap();
        }
        let (done, ends): (Vec<_>, _) = std::mem::take(&mut self.ends)
            .into_iter()
            .partition(|(ticks, _)| *ticks == 0);
        self.ends = ends;
        for (ticks, _) in &mut self.ends {
            *ticks -= 1;
        }
        for (_, trace) in done {
            self.send("order complete", trace).await;
        }
        found
    }
}

type Found = (SloStatus, Vec<TransitionKind>);

/// Runs the schedule with evaluations that are left out where nothing has changed, and with all of them.
async fn run(schedule: &[Op]) -> Result<usize, TestCaseError> {
    let mut lasting = Side::new().await;
    let mut naive = Side {
        evaluates_always: true,
        ..Side::new().await
    };
    let schedule = std::iter::once(&Op::Pass(6)).chain(schedule);
    for (nth, op) in schedule.enumerate() {
        let ticks = lasting.step(*op).await;
        naive.step(*op).await;
        for tick in 0..ticks {
            let (found, expected) = (lasting.tick().await, naive.tick().await);
            prop_assert_eq!(found, expected, "{:?}, step {}, tick {}", op, nth, tick);
        }
    }
    prop_assert_eq!(naive.unchanged, 0);
    Ok(lasting.unchanged)
}

#[test]
fn statuses_and_alerts_are_those_of_evaluations_of_every_slo_in_every_tick() {
    let runtime = Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 4,
        failure_persistence: None,
        max_shrink_iters: 32,
        ..Config::default()
    });
    let unchanged = std::cell::Cell::new(0);
    runner
        .run(&vec(op(), 5..16), |schedule| {
            let of_one = runtime.block_on(run(&schedule))?;
            unchanged.set(unchanged.get() + of_one);
            Ok(())
        })
        .unwrap();
    assert!(unchanged.get() >= 20, "{} ticks", unchanged.get());
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_noticed_and_gone_on_from() {
    let app = orders().await;
    assert_eq!(app.unchanged_in(3).await, 2);
    app.clock.set(app.began - MINUTE * 5 + SECOND * 2);
    let report = app.evaluate_next().await;
    assert_eq!((report.unchanged, report.clock_went_back), (0, 1));
    for unchanged in [0, 0, 1] {
        let report = app.evaluate_next().await;
        assert_eq!((report.unchanged, report.clock_went_back), (unchanged, 0));
    }
}
