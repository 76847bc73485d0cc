//! The first signal drains, the second aborts.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` at the first SIGTERM or SIGINT, and ends the process at the second. Returns only
/// if signals cannot be listened for.
pub async fn abort_on_second_signal(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let first = next(&mut terminate, &mut interrupt).await;
    tracing::info!(
        signal = first,
        "shutting down: what was taken is finished first"
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
