//! Calls a tick again and again until shutdown, and keeps account.

use std::{fmt, future::Future, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, domain::model::time::Timestamp, telemetry::metrics::Metrics};

/// A tick that takes longer waits for a database that is gone without a word: the next may reach it.
/// What a tick had committed until then stays done.
const LONGEST_TICK: Duration = Duration::from_secs(30);

/// What all loops share.
#[derive(Clone, Debug)]
pub struct Periodic {
    pub clock: Clock,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
}

impl Periodic {
    /// Runs `tick` every `interval`, at once for the first time. A failed tick is logged and counted;
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
            let began = Instant::now();
            let now = self.clock.now();
            let result = tokio::time::timeout(LONGEST_TICK, tick(now)).await;
            let result = result
                .unwrap_or_else(|_| Err(anyhow::anyhow!("it was given up after {LONGEST_TICK:?}")));
            self.note(name, now, result);
            let seconds = self.metrics.tick_duration.with_label_values(&[name]);
            seconds.observe(began.elapsed().as_secs_f64());
        }
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
                self.metrics.tick_failures.with_label_values(&[name]).inc();
            }
        }
    }
}
