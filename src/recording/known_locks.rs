//! Decides which transactions lock the known workflows before they change them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

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
