//! The legs of a workflow that fans out, and their ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{
    model::time::Timestamp,
    slo::{Completion, MAX_LEGS},
};

/// The identity of a leg within its workflow: the first 8 bytes of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LegId(pub i64);

/// All evidence about the legs. [`Legs::join`] keeps the first success and the first failure of
/// each leg; beyond [`MAX_LEGS`] legs it keeps only that there are too many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, from = "StoredLegs", into = "StoredLegs")]
pub struct Legs {
    /// The largest expected number of legs.
    expected: Option<u32>,
    /// The first success of any leg: it is known even if there are too many.
    first_success: Option<Timestamp>,
    /// Empty if there are too many.
    ends: BTreeMap<LegId, LegEnds>,
    are_too_many: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LegEnds {
    success: Option<Timestamp>,
    failure: Option<Timestamp>,
}

/// The progress of the legs, by the terms of their workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::workflow) enum LegsProgress {
    Completed(Timestamp),
    /// Not enough legs can still succeed.
    Failed(Timestamp),
    Unfinished,
    /// Some have succeeded, and the number of legs is unknown.
    UnknownNumber,
    TooMany,
}

impl Legs {
    pub fn expecting(number: u32) -> Self {
        Self {
            expected: Some(number),
            ..Self::default()
        }
    }

    pub fn succeeded(leg: LegId, at: Timestamp) -> Self {
        let ends = LegEnds {
            success: Some(at),
            failure: None,
        };
        Self {
            first_success: Some(at),
            ends: BTreeMap::from([(leg, ends)]),
            ..Self::default()
        }
    }

    pub fn failed(leg: LegId, at: Timestamp) -> Self {
        let ends = LegEnds {
            success: None,
            failure: Some(at),
        };
        Self {
            ends: BTreeMap::from([(leg, ends)]),
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub const fn are_too_many(&self) -> bool {
        self.are_too_many
    }

    pub const fn expected(&self) -> Option<u32> {
        self.expected
    }

    /// Returns each leg with its first success and its first failure.
    pub fn ends(&self) -> impl Iterator<Item = (LegId, Option<Timestamp>, Option<Timestamp>)> {
        let ends = self.ends.iter();
        ends.map(|(leg, ends)| (*leg, ends.success, ends.failure))
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Self) {
        self.expected = self.expected.max(other.expected);
        self.first_success = earliest(self.first_success, other.first_success);
        for (leg, theirs) in &other.ends {
            let ours = self.ends.entry(*leg).or_default();
            ours.success = earliest(ours.success, theirs.success);
            ours.failure = earliest(ours.failure, theirs.failure);
        }
        self.are_too_many |= other.are_too_many || self.ends.len() > MAX_LEGS;
        if self.are_too_many {
            self.ends.clear();
        }
    }

    /// Returns the earliest end of a leg.
    pub fn first_end(&self) -> Option<Timestamp> {
        let failures = self.ends.values().filter_map(|ends| ends.failure);
        earliest(self.first_success, failures.min())
    }

    /// Returns the latest known end of a leg.
    pub fn last_end(&self) -> Option<Timestamp> {
        let ends = self
            .ends
            .values()
            .map(|ends| ends.success.max(ends.failure));
        ends.flatten().max().max(self.first_success)
    }

    /// Returns the progress. Each leg counts by its first success, and as failed only without one:
    /// a retry may follow a failure.
    pub(in crate::domain::workflow) fn progress(
        &self,
        complete: Completion,
        start: Timestamp,
    ) -> LegsProgress {
        if let (Completion::Any, Some(at)) = (complete, self.first_success) {
            return LegsProgress::Completed(at);
        }
        if self.are_too_many {
            return match complete {
                Completion::Any => LegsProgress::Unfinished,
                Completion::All | Completion::AtLeast(_) => LegsProgress::TooMany,
            };
        }
        let mut successes: Vec<_> = self.ends.values().filter_map(|e| e.success).collect();
        successes.sort_unstable();
        match self.completed_at(complete, &successes, start) {
            Some(at) => LegsProgress::Completed(at),
            None => self.without_completion(complete, &successes),
        }
    }

    /// Returns when the legs were complete. `successes` are sorted. With `all` the last leg
    /// decides, and there may be more than expected; a batch of none is complete when it starts.
    fn completed_at(
        &self,
        complete: Completion,
        successes: &[Timestamp],
        start: Timestamp,
    ) -> Option<Timestamp> {
        match complete {
            Completion::Any => successes.first().copied(),
            Completion::AtLeast(needed) => successes.get(index(needed).checked_sub(1)?).copied(),
            Completion::All => {
                let are_all = self.expected.is_some_and(|n| successes.len() >= index(n));
                are_all.then(|| successes.last().copied().unwrap_or(start))
            }
        }
    }

    fn without_completion(&self, complete: Completion, successes: &[Timestamp]) -> LegsProgress {
        let mut failures: Vec<_> = self.ends.values().filter_map(LegEnds::lost_at).collect();
        failures.sort_unstable();
        // This many may fail before the next failure makes completion impossible.
        let spare = match (complete, self.expected) {
            (Completion::All, _) => Some(0),
            (Completion::Any, Some(n)) => Some(index(n).saturating_sub(1)),
            (Completion::AtLeast(needed), Some(n)) => Some(index(n).saturating_sub(index(needed))),
            (Completion::Any | Completion::AtLeast(_), None) => None,
        };
        match spare.and_then(|spare| failures.get(spare)) {
            Some(at) => LegsProgress::Failed(*at),
            None if complete == Completion::All
                && self.expected.is_none()
                && !successes.is_empty() =>
            {
                LegsProgress::UnknownNumber
            }
            None => LegsProgress::Unfinished,
        }
    }
}

impl LegEnds {
    fn lost_at(&self) -> Option<Timestamp> {
        self.failure.filter(|_| self.success.is_none())
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The stored form: a thousand legs in some 40 kB.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StoredLegs {
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<u32>,
    /// In microseconds since the epoch, as all times here.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_success: Option<i64>,
    /// Leg, success, failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ends: Vec<(LegId, Option<i64>, Option<i64>)>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    too_many: bool,
}

impl From<Legs> for StoredLegs {
    fn from(legs: Legs) -> Self {
        let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
        Self {
            expected: legs.expected,
            first_success: micros(legs.first_success),
            ends: legs
                .ends
                .into_iter()
                .map(|(leg, ends)| (leg, micros(ends.success), micros(ends.failure)))
                .collect(),
            too_many: legs.are_too_many,
        }
    }
}

impl From<StoredLegs> for Legs {
    fn from(written: StoredLegs) -> Self {
        let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        let ends = |(leg, success, failure)| {
            let ends = LegEnds {
                success: time(success),
                failure: time(failure),
            };
            (leg, ends)
        };
        Self {
            expected: written.expected,
            first_success: time(written.first_success),
            ends: written.ends.into_iter().map(ends).collect(),
            are_too_many: written.too_many,
        }
    }
}

/// Returns the earlier of two that may be unknown.
pub(in crate::domain::workflow) fn earliest<T: Ord + Copy>(
    a: Option<T>,
    b: Option<T>,
) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn joined(all: impl IntoIterator<Item = Legs>) -> Legs {
        all.into_iter().fold(Legs::default(), |mut legs, more| {
            legs.join(&more);
            legs
        })
    }

    fn many(number: usize) -> Legs {
        let legs = (0_i64..).take(number);
        joined(legs.map(|leg| Legs::succeeded(LegId(leg), at(leg + 10))))
    }

    #[test]
    fn beyond_the_bound_nothing_is_kept_but_the_first_success() {
        let full = joined([many(MAX_LEGS), Legs::expecting(1_000)]);
        assert_eq!(
            full.progress(Completion::All, at(0)),
            LegsProgress::Completed(at(1_009))
        );
        let over = joined([full.clone(), Legs::failed(LegId(-1), at(5))]);
        assert_eq!(over.progress(Completion::All, at(0)), LegsProgress::TooMany);
        assert_eq!(
            over.progress(Completion::Any, at(0)),
            LegsProgress::Completed(at(10))
        );
        assert_eq!(joined([full, over.clone()]), over);
        assert!(serde_json::to_string(&over).unwrap().len() < 100);
    }

    #[test]
    fn a_thousand_legs_take_tens_of_kilobytes_and_read_back() {
        let full = many(MAX_LEGS);
        let text = serde_json::to_string(&full).unwrap();
        assert!(text.len() < 50_000, "{}", text.len());
        assert_eq!(serde_json::from_str::<Legs>(&text).unwrap(), full);
    }

    #[test]
    fn more_than_are_expected_in_all_can_never_succeed() {
        let legs = joined([Legs::expecting(1), Legs::failed(LegId(1), at(7))]);
        assert_eq!(
            legs.progress(Completion::AtLeast(3), at(0)),
            LegsProgress::Failed(at(7))
        );
    }

    fn legs() -> impl Strategy<Value = Legs> {
        let leg = (0_i64..5, 0_i64..100);
        let one = prop_oneof![
            leg.clone()
                .prop_map(|(leg, t)| Legs::succeeded(LegId(leg), at(t))),
            leg.prop_map(|(leg, t)| Legs::failed(LegId(leg), at(t))),
            (0_u32..6).prop_map(Legs::expecting),
            (990_usize..1_003).prop_map(many),
        ];
        proptest::collection::vec(one, 0..4).prop_map(joined)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn joining_is_associative_commutative_and_idempotent(a in legs(), b in legs(), c in legs()) {
            let join = |x: &Legs, y: &Legs| joined([x.clone(), y.clone()]);
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&a, &a), a);
        }
    }
}
