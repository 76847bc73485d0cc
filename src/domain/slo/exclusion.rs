//! Exclusions: planned work that must not spend budget. Events in its time ranges are left out of
//! sums. The counts themselves stay, so an exclusion can be revoked.

use std::collections::BTreeSet;

use crate::domain::model::{ids::Name, time::TimeRange};

/// The ranges in which the events of some SLOs are left out, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    pub name: Name,
    pub scope: ExclusionScope,
    pub reason: String,
    /// Every occurrence, in whole minutes, oldest first.
    pub ranges: Vec<TimeRange>,
}

/// The SLOs of an exclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExclusionScope {
    All,
    Only(BTreeSet<Name>),
}

impl ExclusionScope {
    pub fn covers(&self, slo: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(slo),
        }
    }
}

impl Exclusion {
    /// Returns the parts of it that lie in `range`.
    pub fn within(&self, range: TimeRange) -> impl Iterator<Item = TimeRange> {
        // All are of one length, so their ends are in order as well.
        let first = self
            .ranges
            .partition_point(|occurrence| occurrence.to <= range.from);
        let later = self.ranges.get(first..).unwrap_or_default();
        later
            .iter()
            .take_while(move |occurrence| occurrence.from < range.to)
            .map(move |occurrence| {
                TimeRange::new(occurrence.from.max(range.from), occurrence.to.min(range.to))
            })
    }
}

/// Returns the ranges in order, with overlapping and touching ones merged.
pub fn union(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_by_key(|occurrence| (occurrence.from, occurrence.to));
    let mut merged: Vec<TimeRange> = Vec::with_capacity(ranges.len());
    for occurrence in ranges {
        match merged.last_mut() {
            Some(last) if occurrence.from <= last.to => last.to = last.to.max(occurrence.to),
            _ => merged.push(occurrence),
        }
    }
    merged
}

/// Returns `range` without `excluded`, which is in order and without overlaps.
pub fn cut(range: TimeRange, excluded: &[TimeRange]) -> Vec<TimeRange> {
    let mut left = Vec::with_capacity(excluded.len() + 1);
    let mut from = range.from;
    for occurrence in excluded {
        left.push(TimeRange::new(from, occurrence.from.min(range.to)));
        from = from.max(occurrence.to);
    }
    left.push(TimeRange::new(from, range.to));
    left.retain(|piece| piece.from < piece.to);
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::model::time::Timestamp;

    fn minutes(from: i64, to: i64) -> TimeRange {
        TimeRange::new(
            Timestamp::from_secs(from * 60),
            Timestamp::from_secs(to * 60),
        )
    }

    fn exclusion(ranges: &[(i64, i64)]) -> Exclusion {
        Exclusion {
            name: "upgrade".parse().unwrap(),
            scope: ExclusionScope::All,
            reason: "database upgrade".to_owned(),
            ranges: ranges.iter().map(|&(from, to)| minutes(from, to)).collect(),
        }
    }

    #[test]
    fn what_is_excluded_is_cut_out_of_a_range() {
        let upgrade = exclusion(&[(10, 20), (30, 40), (50, 60)]);
        let range = minutes(15, 45);
        let excluded: Vec<_> = upgrade.within(range).collect();
        assert_eq!(excluded, [minutes(15, 20), minutes(30, 40)]);
        assert_eq!(cut(range, &excluded), [minutes(20, 30), minutes(40, 45)]);
        assert_eq!(cut(range, &[]), [range]);
        assert_eq!(cut(range, &[minutes(0, 99)]), []);
        assert_eq!(upgrade.within(minutes(20, 30)).count(), 0);
    }

    #[test]
    fn an_exclusion_covers_the_slos_that_it_names() {
        let name: Name = "orders".parse().unwrap();
        let only = ExclusionScope::Only(BTreeSet::from([name.clone()]));
        assert!(only.covers(&name) && ExclusionScope::All.covers(&name));
        assert!(!only.covers(&"payments".parse().unwrap()));
    }

    proptest! {
        /// A minute is counted exactly if it is in the range and in no excluded range.
        #[test]
        fn every_minute_is_either_left_or_excluded(
            ranges in proptest::collection::vec((0_i64..100, 1_i64..20), 0..8),
            from in 0_i64..60, length in 0_i64..60,
        ) {
            let range = minutes(from, from + length);
            let each: Vec<_> = ranges.iter().map(|&(at, long)| minutes(at, at + long)).collect();
            let within = each
                .iter()
                .flat_map(|occurrence| exclusion(&[]).with(*occurrence).within(range).collect::<Vec<_>>());
            let left = cut(range, &union(within.collect()));
            for minute in 0..130 {
                let at = Timestamp::from_secs(minute * 60);
                let is_left = left.iter().filter(|piece| piece.contains(at)).count();
                let is_excluded = each.iter().any(|occurrence| occurrence.contains(at));
                prop_assert_eq!(is_left, usize::from(range.contains(at) && !is_excluded));
            }
        }
    }

    impl Exclusion {
        fn with(mut self, occurrence: TimeRange) -> Self {
            self.ranges.push(occurrence);
            self
        }
    }
}
