//! Calls a tick periodically until shutdown, and records its duration and result.

use std::{fmt, future::Future, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, field::Empty};

use crate::{
    clock::Clock, domain::model::time::Timestamp, store::Progress, telemetry::metrics::Metrics,
};

/// The time limit of a tick. One that takes longer probably waits for a database that has
/// disappeared; the next may reach it. What the tick had committed until then is kept.
const LONGEST_TICK: Duration = Duration::from_secs(30);

/// The pause between two steps of the same work, during which other work takes precedence.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);
const AFTER_A_FAILURE: Duration = Duration::from_mins(1);

/// The dependencies that all loops share.
#[derive(Clone, Debug)]
pub struct Periodic {
    pub clock: Clock,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
}

impl Periodic {
    /// Runs `tick` every `interval`, the first time at once. A failed tick is logged and counted;
    /// the next one is its retry. A tick that takes longer than the interval delays the next.
    pub async fn run<F, R>(
        self,
        name: &'static str,
        interval: Duration,
        mut tick: impl FnMut(Timestamp) -> F,
    ) where
        F: Future<Output = anyhow::Result<R>>,
        R: fmt::Debug,
    {
        let mut timer = tokio::time::interval(interval);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = self.shutdown.cancelled() => return,
            }
            let now = self.clock.now();
            let result = self.measure(name, within_its_time(tick(now))).await;
            self.note(name, now, result);
        }
    }

    /// Runs `tick` as [`run`](Self::run) does, and also whenever `watched` changes.
    pub async fn run_on_change<T, F, R>(
        self,
        name: &'static str,
        interval: Duration,
        mut watched: watch::Receiver<T>,
        mut tick: impl FnMut(Timestamp) -> F,
    ) where
        T: Send + Sync,
        F: Future<Output = anyhow::Result<R>>,
        R: fmt::Debug,
    {
        loop {
            let now = self.clock.now();
            let result = self.measure(name, within_its_time(tick(now))).await;
            self.note(name, now, result);
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                Ok(()) = watched.changed() => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// Takes steps until there is nothing left to do, and starts again every `interval`, the first
    /// time at once. A failed step is logged, counted and repeated a minute later.
    pub async fn run_in_steps<F>(
        self,
        name: &'static str,
        interval: Duration,
        mut step: impl FnMut(Timestamp) -> F,
    ) where
        F: Future<Output = anyhow::Result<Progress>>,
    {
        loop {
            let now = self.clock.now();
            let result = self.measure(name, within_its_time(step(now))).await;
            let pause = match &result {
                Ok(Progress::More) => BETWEEN_STEPS,
                Ok(Progress::Done) => interval,
                Err(_) => AFTER_A_FAILURE,
            };
            self.note(name, now, result);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// Runs one turn of a loop in a span, and measures it.
    pub(super) async fn measure<R>(
        &self,
        name: &'static str,
        turn: impl Future<Output = anyhow::Result<R>>,
    ) -> anyhow::Result<R> {
        let span = tracing::debug_span!(
            "turn",
            otel.name = name,
            otel.status_code = Empty,
            otel.status_description = Empty,
            throughline.loop.name = name,
        );
        let began = Instant::now();
        let result = turn.instrument(span.clone()).await;
        let label = match &result {
            Ok(_) => "ok",
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                span.record("otel.status_description", format!("{error:#}"));
                "failed"
            }
        };
        let seconds = self.metrics.loop_turns.with_label_values(&[name, label]);
        seconds.observe(began.elapsed().as_secs_f64());
        result
    }

    fn note<R: fmt::Debug>(&self, name: &'static str, now: Timestamp, result: anyhow::Result<R>) {
        match result {
            Ok(report) => {
                tracing::debug!("loop" = name, ?report, "tick");
                let last = self.metrics.last_tick_timestamp.with_label_values(&[name]);
                last.set(now.as_secs_f64());
            }
            Err(error) => {
                tracing::error!("loop" = name, error = %format!("{error:#}"), "tick failed");
            }
        }
    }
}

async fn within_its_time<R>(turn: impl Future<Output = anyhow::Result<R>>) -> anyhow::Result<R> {
    tokio::time::timeout(LONGEST_TICK, turn)
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("it was aborted after {LONGEST_TICK:?}")))
}
