//! Signals: the first one drains, the second one aborts.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` at the first SIGTERM or SIGINT, and ends the process at the second. Returns
/// only if signals cannot be received.
pub async fn abort_on_second_signal(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Awaited outside the log macro, which does not evaluate its arguments if the filter drops the
    // event.
    let first = next(&mut terminate, &mut interrupt).await;
    tracing::info!(
        signal = first,
        "shutting down: accepted requests are finished first"
    );
    shutdown.cancel();
    let second = next(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = second, "a second signal: stopping at once");
    // 128 + 2, as a shell reports an interrupted command.
    std::process::exit(130);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No log filter is set in this test: this alone must not count as a signal.
    #[tokio::test]
    async fn without_a_signal_it_waits_however_little_is_logged() {
        let shutdown = CancellationToken::new();
        tokio::select! {
            biased;
            _ = abort_on_second_signal(&shutdown) => panic!("it did not wait"),
            () = std::future::ready(()) => {}
        }
        assert!(!shutdown.is_cancelled());
    }
}
