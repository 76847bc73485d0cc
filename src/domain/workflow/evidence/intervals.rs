//! A set of instants, stored as intervals that neither touch nor overlap.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::model::time::{TimeRange, Timestamp};

/// Sorted and disjoint intervals, so that equal sets are equal values. [`Intervals::join`] is the
/// union.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Intervals(Vec<(i64, i64)>);

impl Intervals {
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let mut all: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        self.0.clear();
        for (from, to) in all {
            match self.0.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => self.0.push((from, to)),
            }
        }
    }

    /// Returns how much of `range` is covered.
    pub fn covered(&self, range: TimeRange) -> Duration {
        let (lower, upper) = (range.from.as_micros(), range.to.as_micros());
        let micros: i64 = self
            .0
            .iter()
            .map(|(from, to)| (*to).min(upper) - (*from).max(lower))
            .filter(|micros| *micros > 0)
            .sum();
        Duration::from_micros(micros.cast_unsigned())
    }

    pub fn iter(&self) -> impl Iterator<Item = TimeRange> {
        let range = |(from, to): &(i64, i64)| {
            TimeRange::new(Timestamp::from_micros(*from), Timestamp::from_micros(*to))
        };
        self.0.iter().map(range)
    }
}

impl From<TimeRange> for Intervals {
    /// Makes the interval of a range; empty if the range is.
    fn from(range: TimeRange) -> Self {
        if range.is_empty() {
            return Self::default();
        }
        Self(vec![(range.from.as_micros(), range.to.as_micros())])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn intervals(pairs: &[(i64, i64)]) -> Intervals {
        let mut all = Intervals::default();
        for (from, to) in pairs {
            all.join(&range(*from, *to).into());
        }
        all
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange::new(Timestamp::from_micros(from), Timestamp::from_micros(to))
    }

    #[test]
    fn what_overlaps_or_touches_becomes_one() {
        assert_eq!(intervals(&[(5, 9), (1, 3), (3, 6)]), intervals(&[(1, 9)]));
        assert_eq!(intervals(&[(1, 3), (4, 6)]).len(), 2);
    }

    #[test]
    fn an_interval_that_ends_before_it_starts_is_none() {
        assert!(intervals(&[(3, 3), (5, 4)]).is_empty());
    }

    proptest! {
        #[test]
        fn it_covers_what_a_count_of_instants_covers(
            pairs in proptest::collection::vec((0_i64..40, 0_i64..40), 0..6),
            (lower, upper) in (0_i64..40, 0_i64..40),
        ) {
            let covered = intervals(&pairs).covered(range(lower, upper));
            let counted = (lower..upper)
                .filter(|at| pairs.iter().any(|(from, to)| from <= at && at < to))
                .count();
            prop_assert_eq!(covered.as_micros(), counted as u128);
        }

        #[test]
        fn the_union_is_associative_commutative_and_idempotent(
            a in proptest::collection::vec((0_i64..40, 0_i64..40), 0..4),
            b in proptest::collection::vec((0_i64..40, 0_i64..40), 0..4),
            c in proptest::collection::vec((0_i64..40, 0_i64..40), 0..4),
        ) {
            let join = |x: &Intervals, y: &Intervals| { let mut x = x.clone(); x.join(y); x };
            let [a, b, c] = [a, b, c].map(|pairs| intervals(&pairs));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&a, &a), a);
        }
    }
}
