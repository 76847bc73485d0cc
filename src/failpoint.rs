//! Steps at which a test ends the process as a power cut would, to prove that it may die at any.
//!
//! Nothing happens unless `serve` was given a folder. A file in it that bears the name of a step is
//! the wish that one process dies there: whoever gets there first takes the file away and aborts, so
//! that of several replicas exactly one dies, once for each wish, and a test can wish at any time.

use std::{convert::Infallible, fs, path::PathBuf, sync::OnceLock, time::Duration};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// How often a wish is looked for while nothing else happens.
const GLANCE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// The alert's row is changed, the duty to tell is not written, nothing is committed.
    AlertSwapped,
    /// Both are committed.
    TransitionCommitted,
    /// Deliveries are leased, nothing is sent.
    DeliveriesClaimed,
    /// A target has been asked and has not answered.
    AnswerAwaited,
    /// A target has answered, which nobody but us knows.
    DeliveryAnswered,
    /// How the try ended is committed.
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

    /// The name of the file that wishes for it.
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

/// From now on wishes are looked for in `folder`. The first call holds.
pub fn arm(folder: PathBuf) {
    FOLDER.get_or_init(|| folder);
}

/// Ends the process here if somebody wishes so.
pub fn reach(step: Failpoint) {
    if let Some(folder) = FOLDER.get()
        && fs::remove_file(folder.join(step.name())).is_ok()
    {
        std::process::abort();
    }
}

/// Ends the process as soon as somebody wishes so, for a step at which one waits. Never returns.
pub async fn wait_at(step: Failpoint) -> Infallible {
    if FOLDER.get().is_none() {
        return std::future::pending().await;
    }
    loop {
        reach(step);
        tokio::time::sleep(GLANCE).await;
    }
}
