//! Samples of workflows whose stages are known, of SLOs with more messages than are stored.
//!
//! The stage evidence that is stored in an hour is limited. SLOs that need less than an equal share
//! have all of theirs stored, and the others share what these leave. Of an SLO that needs more, a
//! workflow is in the sample or not as a whole, by its key: so every replica chooses the same ones,
//! and the sample of a higher level is a part of that of a lower one.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

use crate::domain::{
    model::{ids::SloId, time::Timestamp},
    workflow::{EventKey, Outcome},
};

/// Spans of messages of known workflows that all replicas store in an hour: 1,100 a second.
pub const STAGE_SPANS_AN_HOUR: i64 = 4_000_000;
const HOUR: Duration = Duration::from_hours(1);
/// What came in less time says little about the rest of the hour.
const AT_LEAST: Duration = Duration::from_mins(10);
/// The time in which all replicas have read the levels of an hour that has begun.
const READ_WITHIN: Duration = Duration::from_mins(1);

/// The size of a sample: one in 2 to the power of this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleLevel(pub i16);

/// The samples of one SLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageSampling {
    /// Of all its workflows.
    pub all: SampleLevel,
    /// Of the bad ones, which come first. What came before the verdict is stored as far as it is
    /// still in memory: nothing shows earlier which workflow will be bad.
    pub bad: SampleLevel,
}

/// The stage evidence of workflows of one SLO, whether or not they are in the sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageDemand {
    pub all: i64,
    /// The part of it that belongs to bad workflows outside of the sample.
    pub bad: i64,
}

/// One hour of an SLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampledHour {
    pub demand: StageDemand,
    pub sampling: StageSampling,
    /// What came before this, and belongs to workflows outside of the sample, was dropped from the
    /// memory of a replica.
    pub dropped_until: Option<Timestamp>,
}

/// The hours of one SLO, by their begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampledHours(pub BTreeMap<Timestamp, SampledHour>);

/// Where the stage evidence of a judged workflow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageCoverage {
    Stored,
    /// Replicas have it in memory, and store it if they are asked to.
    InMemory,
    /// At least a part of it is nowhere.
    Absent,
}

impl SampleLevel {
    pub const ALL: Self = Self(0);
    const MOST: i16 = 40;

    /// Returns whether a workflow is in the sample. Keys are hashes, so their first bits are random.
    pub fn includes(self, EventKey(key): EventKey) -> bool {
        i64::from(u128::from_be_bytes(key).leading_zeros()) >= i64::from(self.0)
    }

    /// Returns how many the sample has of so many.
    pub fn of(self, all: i64) -> i64 {
        all >> self.0.clamp(0, 62)
    }

    /// Returns how many there are if the sample has so many.
    pub fn represented_by(self, sampled: i64) -> i64 {
        sampled.saturating_mul(1 << self.0.clamp(0, 62))
    }

    /// Returns the largest sample that is not larger than `room`.
    fn fitting(expected: i64, room: i64) -> Self {
        let fits = |level: &i16| Self(*level).of(expected) <= room;
        Self((0..Self::MOST).find(fits).unwrap_or(Self::MOST))
    }
}

impl StageSampling {
    /// Returns the smaller sample of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            all: self.all.max(other.all),
            bad: self.bad.max(other.bad),
        }
    }
}

impl AddAssign for StageDemand {
    fn add_assign(&mut self, other: Self) {
        self.all = self.all.saturating_add(other.all);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

impl SampledHours {
    /// Returns where the evidence of a workflow is. The sizes of samples change by the hour, so it must
    /// be in the smallest one since its start.
    ///
    /// `clock_skew` is how far the clock of its senders may be ahead.
    pub fn coverage(
        &self,
        key: EventKey,
        started_at: Timestamp,
        clock_skew: Duration,
        outcome: Option<Outcome>,
    ) -> StageCoverage {
        let is_bad = outcome.is_some_and(Outcome::is_bad);
        let from = (started_at - READ_WITHIN).floor_to(HOUR);
        let (mut sampling, mut dropped_until) = (StageSampling::default(), None);
        for hour in self.0.range(from..).map(|(_, hour)| hour) {
            sampling = sampling.max(hour.sampling);
            dropped_until = dropped_until.max(hour.dropped_until);
        }
        let is_dropped = dropped_until.is_some_and(|until| started_at <= until + clock_skew);
        if sampling.all.includes(key) {
            StageCoverage::Stored
        } else if is_bad && sampling.bad.includes(key) && !is_dropped {
            StageCoverage::InMemory
        } else {
            StageCoverage::Absent
        }
    }

    fn at(&self, begin: Timestamp) -> SampledHour {
        self.0.get(&begin).copied().unwrap_or_default()
    }

    /// Returns what is needed in this hour: as much as in the last one, or more if it began so.
    fn expected(&self, now: Timestamp) -> StageDemand {
        let hour = now.floor_to(HOUR);
        let (last, current) = (self.at(hour - HOUR).demand, self.at(hour).demand);
        let elapsed = now.micros_since(hour).max(micros(AT_LEAST));
        let whole = |so_far: i64| {
            let whole = i128::from(so_far) * i128::from(micros(HOUR)) / i128::from(elapsed);
            i64::try_from(whole).unwrap_or(i64::MAX)
        };
        let all = last.all.max(whole(current.all));
        StageDemand {
            all,
            bad: last.bad.max(whole(current.bad)).min(all),
        }
    }
}

/// Returns the samples at `now` of the SLOs whose evidence does not fit into `total` an hour. Within an
/// hour a sample never grows.
pub fn samples(
    total: i64,
    slos: &BTreeMap<SloId, SampledHours>,
    now: Timestamp,
) -> BTreeMap<SloId, StageSampling> {
    let expected = slos.iter().map(|(id, hours)| (*id, hours.expected(now)));
    let expected: BTreeMap<SloId, StageDemand> = expected.collect();
    let share = fair_share(total, expected.values().map(|demand| demand.all));
    let sampled = slos.iter().filter_map(|(id, hours)| {
        let so_far = hours.at(now.floor_to(HOUR)).sampling;
        let needed = expected.get(id).copied().unwrap_or_default();
        let sampling = so_far.max(sampling(needed, share));
        (sampling != StageSampling::default()).then_some((*id, sampling))
    });
    sampled.collect()
}

/// Returns the samples of an SLO that may have `share` of what it needs. A part of it is left for
/// workflows that are not bad, since the two are compared.
fn sampling(needed: StageDemand, share: i64) -> StageSampling {
    const FOR_ALL: i64 = 8;
    if needed.all <= share {
        return StageSampling::default();
    }
    let least = share / FOR_ALL;
    let bad = SampleLevel::fitting(needed.bad, share - least);
    let room = (share - bad.of(needed.bad)).max(least);
    StageSampling {
        all: SampleLevel::fitting(needed.all, room),
        bad,
    }
}

/// Returns how much each may have at most, so that all together have at most `total`: those that need
/// less leave the rest to the others.
fn fair_share(total: i64, needed: impl Iterator<Item = i64>) -> i64 {
    let mut needed: Vec<i64> = needed.collect();
    needed.sort_unstable();
    let (mut rest, mut sharing) = (total, i64::try_from(needed.len()).unwrap_or(i64::MAX));
    for one in needed {
        let share = rest / sharing;
        if one > share {
            return share;
        }
        rest -= one;
        sharing -= 1;
    }
    i64::MAX
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp::from_secs(1_795_348_800);

    fn hour(all: i64, bad: i64) -> SampledHour {
        SampledHour {
            demand: StageDemand { all, bad },
            ..SampledHour::default()
        }
    }

    /// An SLO that needed so much in the last hour.
    fn needing(all: i64, bad: i64) -> SampledHours {
        SampledHours(BTreeMap::from([(NOON - HOUR, hour(all, bad))]))
    }

    fn sampled(total: i64, needed: &[(i64, i64)]) -> BTreeMap<SloId, StageSampling> {
        let slos = (1..).zip(needed);
        let slos = slos.map(|(id, (all, bad))| (SloId(id), needing(*all, *bad)));
        samples(total, &slos.collect(), NOON)
    }

    fn key(first: u8, rest: u8) -> EventKey {
        let mut key = [rest; 16];
        key[0] = first;
        EventKey(key)
    }

    #[test]
    fn the_small_one_is_whole_and_the_large_one_has_the_rest() {
        let levels = |all, bad| StageSampling {
            all: SampleLevel(all),
            bad: SampleLevel(bad),
        };
        let found = sampled(1_000, &[(100, 0), (10_000, 0)]);
        assert_eq!(found, BTreeMap::from([(SloId(2), levels(4, 0))]));
        // Bad ones first: 600 of 900, then 1 in 64 of all.
        let found = sampled(1_000, &[(100, 0), (10_000, 600)]);
        assert_eq!(found, BTreeMap::from([(SloId(2), levels(6, 0))]));
        // More bad ones than there is room for.
        let found = sampled(1_000, &[(100, 0), (10_000, 10_000)]);
        assert_eq!(found, BTreeMap::from([(SloId(2), levels(6, 4))]));
        assert_eq!(sampled(1_000, &[(500, 500), (500, 0)]), BTreeMap::new());
    }

    #[test]
    fn a_flood_is_noticed_within_the_hour_and_lasts_until_the_next() {
        let hours = |current| {
            let hours = SampledHours(BTreeMap::from([(NOON, hour(current, 0))]));
            BTreeMap::from([(SloId(1), hours)])
        };
        let level = |current, after: Duration| {
            let found = samples(6_000, &hours(current), NOON + after);
            found.get(&SloId(1)).map(|sampling| sampling.all)
        };
        assert_eq!(level(1_000, Duration::from_secs(1)), None);
        assert_eq!(level(1_001, Duration::from_secs(1)), Some(SampleLevel(1)));
        assert_eq!(level(6_000, Duration::from_mins(59)), Some(SampleLevel(1)));
        assert_eq!(level(3_000, Duration::from_mins(31)), None);

        let mut slos = hours(0);
        for one in slos.values_mut().flat_map(|hours| hours.0.values_mut()) {
            one.sampling.all = SampleLevel(5);
        }
        let at = |now| samples(6_000, &slos, now).contains_key(&SloId(1));
        assert!(at(NOON + Duration::from_mins(59)));
        assert!(!at(NOON + HOUR));
    }

    #[test]
    fn a_workflow_must_be_in_every_sample_since_its_start() {
        let mut hours = SampledHours::default();
        for (nth, (all, bad)) in [(1, 0), (3, 2), (0, 0)].into_iter().enumerate() {
            let sampling = StageSampling {
                all: SampleLevel(all),
                bad: SampleLevel(bad),
            };
            let begin = NOON + HOUR * u32::try_from(nth).unwrap();
            hours.0.insert(
                begin,
                SampledHour {
                    sampling,
                    ..hour(0, 0)
                },
            );
        }
        let of = |first: u8, started_at, is_bad: bool| {
            let outcome = is_bad.then_some(Outcome::Timeout);
            hours.coverage(key(first, 7), started_at, Duration::from_secs(5), outcome)
        };
        let (first, last) = (NOON, NOON + HOUR * 2 + READ_WITHIN);
        assert_eq!(of(0b0001_0000, first, false), StageCoverage::Stored);
        assert_eq!(of(0b0010_0000, first, false), StageCoverage::Absent);
        assert_eq!(of(0b0010_0000, first, true), StageCoverage::InMemory);
        assert_eq!(of(0b0100_0000, first, true), StageCoverage::Absent);
        assert_eq!(of(0b1000_0000, last, false), StageCoverage::Stored);
        // Replicas may not have read the sizes of the new hour.
        let begin = last - Duration::from_secs(1);
        assert_eq!(of(0b1000_0000, begin, false), StageCoverage::Absent);

        let begin = NOON + HOUR;
        let dropped = hours.0.get_mut(&begin).unwrap();
        dropped.dropped_until = Some(begin);
        let of = |secs| {
            let started_at = begin + Duration::from_secs(secs);
            hours.coverage(
                key(0b0010_0000, 7),
                started_at,
                Duration::from_secs(5),
                Some(Outcome::Timeout),
            )
        };
        assert_eq!(of(5), StageCoverage::Absent);
        assert_eq!(of(6), StageCoverage::InMemory);
    }

    proptest! {
        #[test]
        fn nobody_has_less_than_an_equal_share_and_all_together_fit(
            total in 100_i64..10_000,
            needed in prop::collection::vec((0_i64..20_000, 0.0..=1.0_f64), 1..8),
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a part")]
            let part = |all: i64, share: f64| (all as f64 * share) as i64;
            let needed: Vec<_> = needed.iter().map(|(all, bad)| (*all, part(*all, *bad))).collect();
            let found = sampled(total, &needed);
            let equal = total / i64::try_from(needed.len()).unwrap();
            let mut stored = 0;
            for (id, (all, bad)) in (1..).zip(&needed) {
                let sampling = found.get(&SloId(id)).copied().unwrap_or_default();
                let own = sampling.all.of(*all) + sampling.bad.of(*bad);
                if sampling == StageSampling::default() {
                    stored += all;
                } else {
                    prop_assert!(*all > equal, "{all} of {equal}");
                    // A level is one half, so at least a half of what there is room for is used.
                    prop_assert!(own * 2 >= equal / 8 - 2, "{own} of {equal}");
                    stored += own;
                }
            }
            prop_assert!(stored <= total, "{stored} of {total}");
        }

        #[test]
        fn a_sample_of_a_higher_level_is_a_part_of_a_lower_one(
            key in any::<[u8; 16]>(), low in 0_i16..20, more in 0_i16..20,
        ) {
            let (low, high) = (SampleLevel(low), SampleLevel(low + more));
            prop_assert!(low.includes(EventKey(key)) || !high.includes(EventKey(key)));
            prop_assert!(SampleLevel::ALL.includes(EventKey(key)));
        }
    }
}
