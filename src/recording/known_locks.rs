//! Decides which transactions lock the known workflows before they change them, and repeats those that
//! came second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::store::StoreError;

/// The time limit of a commit. A slower one is aborted and its connection closed; its senders were
/// asked to retry long before.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// The number of times a transaction starts again because another replica was first.
const CONFLICTS: usize = 10;
/// The number of transactions that take locks after a conflict.
const AFTER_A_CONFLICT: usize = 32;

/// How a transaction gets the known workflows that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownRows {
    /// It locks them until its end.
    Locked,
    /// It reads them, and ends with a conflict if one has changed when it is updated.
    Read,
}

/// The transactions that take locks: few do, except where replicas write the same workflows at once. There
/// one conflict follows another, and each costs a whole transaction. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct KnownLocks(Arc<AtomicUsize>);

impl KnownLocks {
    /// Returns what the next transaction does, and counts it.
    pub(super) fn next(&self) -> KnownRows {
        let one_less = |left: usize| left.checked_sub(1);
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        counted.map_or(KnownRows::Read, |_| KnownRows::Locked)
    }

    pub(super) fn note_conflict(&self) {
        self.0.store(AFTER_A_CONFLICT, Ordering::Relaxed);
    }
}

/// Repeats a transaction while another replica is first; `attempt` takes how often it has begun again.
/// Returns its result, and how often it began again in all.
pub(super) async fn repeat<T, F>(
    mut attempt: impl FnMut(usize) -> F,
) -> Result<(T, usize), StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut conflicts = 0;
    loop {
        let result = tokio::time::timeout(COMMIT_WITHIN, attempt(conflicts)).await;
        match result.unwrap_or_else(|_| Err(StoreError::no_answer("record evidence"))) {
            Err(error) if error.is_conflict() && conflicts < CONFLICTS => conflicts += 1,
            result => return result.map(|done| (done, conflicts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_conflict_the_next_transactions_take_locks_and_then_no_more() {
        let locks = KnownLocks::default();
        assert_eq!(locks.next(), KnownRows::Read);
        locks.clone().note_conflict();
        let next = (0..100).map(|_| locks.next());
        let locked = next.filter(|next| *next == KnownRows::Locked);
        assert_eq!(locked.count(), AFTER_A_CONFLICT);
    }
}
