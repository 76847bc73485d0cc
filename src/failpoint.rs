//! Steps at which a test aborts the process, to prove that it may crash at any of them.
//!
//! Does nothing unless `serve` was given a folder. A file in it with the name of a step requests
//! that one process aborts at this step: the first process that reaches the step removes the file
//! and aborts, so exactly one of several replicas dies per file. A test can create a file at any
//! time.

use std::{convert::Infallible, fs, path::PathBuf, sync::OnceLock, time::Duration};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The interval at which [`wait_at`] checks for the file.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// The alert's row is changed, its deliveries are not yet written, and nothing is committed.
    AlertSwapped,
    /// The alert's row and its deliveries are committed.
    TransitionCommitted,
    /// Deliveries are leased, and nothing is sent.
    DeliveriesClaimed,
    /// A request is sent to a target, and its response has not arrived.
    AnswerAwaited,
    /// A target has responded, and the result is not yet written.
    DeliveryAnswered,
    /// The result of the attempt is committed.
    DeliverySettled,
}

impl Failpoint {
    pub const ALL: [Self; 6] = [
        Self::AlertSwapped,
        Self::TransitionCommitted,
        Self::DeliveriesClaimed,
        Self::AnswerAwaited,
        Self::DeliveryAnswered,
        Self::DeliverySettled,
    ];

    /// Returns the name of the file that requests an abort at this step.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlertSwapped => "alert-swapped",
            Self::TransitionCommitted => "transition-committed",
            Self::DeliveriesClaimed => "deliveries-claimed",
            Self::AnswerAwaited => "answer-awaited",
            Self::DeliveryAnswered => "delivery-answered",
            Self::DeliverySettled => "delivery-settled",
        }
    }
}

/// Activates the failpoints, with files in `folder`. Later calls change nothing.
pub fn arm(folder: PathBuf) {
    FOLDER.get_or_init(|| folder);
}

/// Aborts the process if a file requests it for this step.
pub fn reach(step: Failpoint) {
    if let Some(folder) = FOLDER.get()
        && fs::remove_file(folder.join(step.name())).is_ok()
    {
        std::process::abort();
    }
}

/// Aborts the process as soon as a file requests it for this step, at which the process waits.
/// Never returns.
pub async fn wait_at(step: Failpoint) -> Infallible {
    if FOLDER.get().is_none() {
        return std::future::pending().await;
    }
    loop {
        reach(step);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
