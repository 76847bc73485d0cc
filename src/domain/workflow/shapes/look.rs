//! The limits of spans that are examined for the samples, so that a flood of spans costs little.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::model::{ids::SpanId, time::Timestamp};

/// The number of spans in a second that are all examined. A copy takes about ten microseconds.
const ALL_OF: i64 = 100;
/// Above that and up to this number, one in [`SOME`] is examined.
const SOME_OF: i64 = 10_000;
const SOME: i64 = 100;
/// Above that, one in this many: at half a million spans a second that is less than a hundredth of
/// one core.
const FEW: i64 = 1_000;
/// The number of spans in a second whose ids are read, which takes about a microsecond each: a
/// thousandth of one core.
const IDS_OF: i64 = 1_000;
/// The number of spans in a second that are copied although it is not known whether their traces belong to
/// the sample: a few thousandths of one core.
const WAITING_OF: i64 = 200;

/// The spans of the current second, shared by all requests. If two requests see a new second at
/// once, both may reset it, which admits slightly more.
#[derive(Debug, Default)]
pub(super) struct SecondCounter {
    second: AtomicI64,
    spans: AtomicI64,
}

impl SecondCounter {
    /// Returns how many spans the next one represents; `None` if it is not examined.
    pub(super) fn weight_of_next(&self, span: SpanId, now: Timestamp) -> Option<i64> {
        match self.count(now, SOME_OF) {
            ..ALL_OF => Some(1),
            // Drawn by its id: if kinds alternate, every hundredth span would always be of the same
            // kind.
            ALL_OF..SOME_OF => is_drawn(span, SOME).then_some(SOME),
            _ => is_drawn(span, FEW).then_some(FEW),
        }
    }

    /// Returns whether the ids of the next span are read.
    pub(super) fn reads_ids_of_next(&self, now: Timestamp) -> bool {
        self.count(now, IDS_OF) < IDS_OF
    }

    /// Returns whether the next span is copied to wait for the one that joins its trace to the sample.
    pub(super) fn lets_next_wait(&self, now: Timestamp) -> bool {
        self.count(now, WAITING_OF) < WAITING_OF
    }

    /// Counts one span and returns how many came before it in this second; not beyond `most`, so
    /// that requests do not wait for each other to write a number that changes nothing.
    fn count(&self, now: Timestamp, most: i64) -> i64 {
        let second = now.as_secs();
        if self.second.load(Ordering::Relaxed) != second {
            self.second.store(second, Ordering::Relaxed);
            self.spans.store(0, Ordering::Relaxed);
        }
        if self.spans.load(Ordering::Relaxed) >= most {
            return most;
        }
        self.spans.fetch_add(1, Ordering::Relaxed)
    }
}

/// Draws one in `every`. Ids may be in sequence, so their bits are mixed (Fibonacci hashing).
fn is_drawn(span: SpanId, every: i64) -> bool {
    let mixed = u64::from_be_bytes(*span.as_bytes()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32).is_multiple_of(every.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u64) -> SpanId {
        SpanId::from_slice(&id.to_be_bytes()).unwrap()
    }

    #[test]
    fn of_a_flood_few_spans_are_looked_at_and_stand_for_the_others() {
        let quota = SecondCounter::default();
        let now = Timestamp::from_secs(1_795_328_280);
        let weigh = |id: u64| quota.weight_of_next(span(id), now);
        let weights: Vec<(u64, i64)> = (1..=100_000)
            .filter_map(|id| Some((id, weigh(id)?)))
            .collect();
        let sum = |odd| {
            let of_kind = weights.iter().filter(|(id, _)| id % 2 == odd);
            of_kind.map(|(_, weight)| weight).sum::<i64>()
        };
        assert!(weights.len() < 400, "{}", weights.len());
        // Two kinds that alternate are both represented.
        assert!((40_000..60_000).contains(&sum(0)), "{}", sum(0));
        assert!((40_000..60_000).contains(&sum(1)), "{}", sum(1));
        let later = Timestamp::from_secs(1_795_328_281);
        assert_eq!(quota.weight_of_next(span(7), later), Some(1));
    }

    #[test]
    fn of_a_flood_the_ids_of_the_first_spans_of_each_second_are_read() {
        let quota = SecondCounter::default();
        let now = Timestamp::from_secs(1_795_328_280);
        let read = (0..10_000).filter(|_| quota.reads_ids_of_next(now)).count();
        assert_eq!(read, 1_000);
    }
}
