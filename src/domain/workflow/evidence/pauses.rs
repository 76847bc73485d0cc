//! The pauses of a workflow, in which it waited for something that does not count towards its time
//! limit.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::Intervals;
use crate::domain::model::time::{TimeRange, Timestamp};

/// The pauses as they were reported. [`Pauses::join`] is the union; beyond [`Pauses::MOST`] there
/// is only one value: too many.
///
/// They are stored separately although only their union counts: a limit on the union would depend
/// on the order of arrival, since a later pause may merge others into a single interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pauses {
    /// Empty if there are too many.
    #[serde(rename = "all")]
    reported: BTreeSet<(i64, i64)>,
    #[serde(rename = "tooMany", skip_serializing_if = "std::ops::Not::not")]
    are_too_many: bool,
}

impl Pauses {
    /// A workflow with more is not judged: the limit of a row must not depend on what senders
    /// write.
    pub const MOST: usize = 128;

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Self) {
        self.reported.extend(&other.reported);
        self.are_too_many |= other.are_too_many || self.reported.len() > Self::MOST;
        if self.are_too_many {
            self.reported.clear();
        }
    }

    /// Returns the times at which it was paused, with nested and overlapping pauses merged. `None`
    /// if there are too many.
    pub fn union(&self) -> Option<Intervals> {
        if self.are_too_many {
            return None;
        }
        let mut union = Intervals::default();
        for (from, to) in &self.reported {
            let range = TimeRange::new(Timestamp::from_micros(*from), Timestamp::from_micros(*to));
            union.join(&range.into());
        }
        Some(union)
    }

    /// Returns the earliest end of a pause.
    pub fn first_end(&self) -> Option<Timestamp> {
        let ends = self.reported.iter().map(|(_, to)| *to);
        ends.min().map(Timestamp::from_micros)
    }
}

impl From<TimeRange> for Pauses {
    fn from(range: TimeRange) -> Self {
        Self {
            reported: BTreeSet::from([(range.from.as_micros(), range.to.as_micros())]),
            are_too_many: false,
        }
    }
}

impl Intervals {
    /// Returns the last instant until which no more than `length` has passed since `start`, not
    /// counting what is covered.
    ///
    /// The last and not the first: these differ only if an interval begins exactly when `length`
    /// has passed, and so "by the deadline" means the same as "within the time limit".
    pub fn deadline(&self, start: Timestamp, length: Duration) -> Timestamp {
        let mut deadline = start + length;
        for interval in self.iter() {
            if interval.from > deadline {
                break;
            }
            let counted_from = interval.from.max(start);
            deadline = deadline + interval.to.saturating_since(counted_from);
        }
        deadline
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange::new(Timestamp::from_micros(from), Timestamp::from_micros(to))
    }

    fn pauses(pairs: impl IntoIterator<Item = (i64, i64)>) -> Pauses {
        let mut all = Pauses::default();
        for (from, to) in pairs {
            all.join(&range(from, to).into());
        }
        all
    }

    fn joined(a: &Pauses, b: &Pauses) -> Pauses {
        let mut a = a.clone();
        a.join(b);
        a
    }

    #[test]
    fn as_many_as_are_kept_are_judged_and_one_more_is_too_many_for_good() {
        let most = i64::try_from(Pauses::MOST).unwrap();
        let full = pauses((0..most).map(|at| (at * 10, at * 10 + 1)));
        assert_eq!(full.union().unwrap().len(), Pauses::MOST);
        assert_eq!(joined(&full, &full), full);
        // It covers all others, and is still one more.
        let over = joined(&full, &pauses([(0, most * 10)]));
        assert_eq!(over.union(), None);
        assert_eq!(joined(&over, &full), over);
        assert_eq!(joined(&full, &over), over);
    }

    #[test]
    fn they_read_back_as_they_were_written() {
        let over = pauses((0..200).map(|at| (at * 10, at * 10 + 1)));
        for pauses in [pauses([]), pauses([(1, 5), (3, 9)]), over] {
            let text = serde_json::to_string(&pauses).unwrap();
            assert_eq!(serde_json::from_str::<Pauses>(&text).unwrap(), pauses);
        }
    }

    fn pairs() -> impl Strategy<Value = Vec<(i64, i64)>> {
        proptest::collection::vec((0_i64..60, 0_i64..60), 0..6)
    }

    proptest! {
        #[test]
        fn the_deadline_is_the_last_instant_within_the_time_limit(
            pairs in pairs(),
            start in 0_i64..60,
            length in 0_i64..40,
        ) {
            let union = pauses(pairs.iter().copied()).union().unwrap();
            let start_at = Timestamp::from_micros(start);
            let length_of = Duration::from_micros(length.cast_unsigned());
            let deadline = union.deadline(start_at, length_of).as_micros();
            let net = |to: i64| {
                (start..to)
                    .filter(|at| !pairs.iter().any(|(from, to)| from <= at && at < to))
                    .count()
            };
            prop_assert_eq!(net(deadline), usize::try_from(length).unwrap());
            prop_assert!(net(deadline + 1) > usize::try_from(length).unwrap());
        }

        #[test]
        fn joining_is_associative_commutative_and_idempotent_up_to_too_many(
            sizes in (0_i64..90, 0_i64..90, 0_i64..90),
            shifts in (0_i64..90, 0_i64..90, 0_i64..90),
        ) {
            let of = |size: i64, shift: i64| pauses((shift..shift + size).map(|at| (at * 3, at * 3 + 2)));
            let (a, b, c) = (of(sizes.0, shifts.0), of(sizes.1, shifts.1), of(sizes.2, shifts.2));
            prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
            prop_assert_eq!(joined(&a, &b), joined(&b, &a));
            prop_assert_eq!(joined(&a, &a), a);
        }
    }
}
