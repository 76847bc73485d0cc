//! The limit of spans that are looked at for the sample, so that a flood of spans costs little.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::model::time::Timestamp;

/// The number of spans in a second that are all looked at; of further ones, one in [`EVERY`].
const ALL_OF: i64 = 100;
const EVERY: i64 = 100;

/// The spans of the current second, shared by all requests. If two requests see a new second at
/// once, both may reset it, which admits slightly more.
#[derive(Debug, Default)]
pub struct LookQuota {
    second: AtomicI64,
    spans: AtomicI64,
}

impl LookQuota {
    /// Returns how many spans the next one stands for; `None` if it is not looked at.
    pub fn next(&self, now: Timestamp) -> Option<i64> {
        let second = now.as_secs();
        if self.second.load(Ordering::Relaxed) != second {
            self.second.store(second, Ordering::Relaxed);
            self.spans.store(0, Ordering::Relaxed);
        }
        let before = self.spans.fetch_add(1, Ordering::Relaxed);
        match before {
            ..ALL_OF => Some(1),
            _ => (before % EVERY == 0).then_some(EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_few_spans_are_looked_at_and_stand_for_the_others() {
        let quota = LookQuota::default();
        let now = Timestamp::from_secs(1_795_328_280);
        let weights: Vec<i64> = (0..10_000).filter_map(|_| quota.next(now)).collect();
        assert_eq!(weights.len(), 199);
        assert_eq!(weights.iter().sum::<i64>(), 10_000);
        let later = Timestamp::from_secs(1_795_328_281);
        assert_eq!(quota.next(later), Some(1));
    }
}
