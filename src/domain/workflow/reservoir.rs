//! The sample of events whose attributes are kept: for every SLO and hour those with the smallest
//! keys.
//!
//! A key is a hash, so the smallest are a fair sample, and the same one in any order and on any
//! replica. A filter admits a key while it is among the smallest that its replica has seen in that
//! hour. What one replica has seen is a subset of all, so no filter ever rejects an event of the
//! final sample; what was admitted too early is deleted later (`store/counts/samples.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::domain::{
    model::{
        ids::SloId,
        span::SpanView,
        time::{Resolution, Timestamp},
    },
    workflow::{
        EventId, EventKey, EvidenceByEvent,
        attributes::{Completeness, EventAttributes},
    },
};

/// The number of events of an SLO and hour whose attributes are compared, for each of bad and good
/// ones.
pub const OF_EACH_SIDE: usize = 200;
/// The number of events that are undecided when their first spans arrive: large enough to include
/// bad ones when an alert would fire.
const OF_UNDECIDED: usize = 4_096;
/// The number of hours that are tracked at once: spans are late by minutes. The limits of earlier
/// hours stay fixed.
const OPEN_HOURS: usize = 3;
/// The time for which a limit is kept; later evidence of its hour is not sampled.
pub const REMEMBERED: Duration = Duration::from_hours(24);

/// The verdict of an event as far as its evidence decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleSide {
    Good,
    Bad,
    Undecided,
}

type ReservoirKey = (SloId, SampleSide, Timestamp);

/// The limits of keys at the moment it was made. The default admits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReservoirFilter {
    limits: Arc<BTreeMap<ReservoirKey, u128>>,
    /// Evidence before this time is not sampled.
    floor: Option<Timestamp>,
}

/// The attributes from one request of events that may belong to the sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampledAttributes {
    filter: ReservoirFilter,
    attributes: Vec<(EventId, EventAttributes)>,
    admitted: Vec<(ReservoirKey, u128)>,
}

/// The smallest keys that a replica has seen.
#[derive(Debug, Default)]
pub struct ReservoirMinima {
    smallest: BTreeMap<ReservoirKey, BTreeSet<u128>>,
    limits: Arc<BTreeMap<ReservoirKey, u128>>,
    floor: Option<Timestamp>,
}

impl SampleSide {
    const fn most(self) -> usize {
        match self {
            Self::Good | Self::Bad => OF_EACH_SIDE,
            Self::Undecided => OF_UNDECIDED,
        }
    }
}

impl ReservoirFilter {
    fn admits(&self, (slo, side, hour): ReservoirKey, key: u128) -> bool {
        if self.floor.is_some_and(|floor| hour < floor) {
            return false;
        }
        let limit = |hour| self.limits.get(&(slo, side, hour)).copied();
        let before = match side {
            // A workflow that began in the hour before and was admitted then stays admitted to its
            // end.
            SampleSide::Undecided => limit(hour - Resolution::Hour.length()),
            SampleSide::Good | SampleSide::Bad => None,
        };
        limit(hour).is_none_or(|limit| key <= limit || before.is_some_and(|before| key <= before))
    }
}

impl SampledAttributes {
    pub fn behind(filter: ReservoirFilter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// Adds the attributes of `span` for an event with this `label`, if it may belong to the
    /// sample.
    pub fn offer(
        &mut self,
        (slo, key): EventId,
        side: SampleSide,
        span: &dyn SpanView,
        label: &str,
    ) -> Completeness {
        let at = Timestamp::from_unix_nanos(span.end_unix_nano());
        let reservoir = (slo, side, at.floor_to(Resolution::Hour.length()));
        let number = number(key);
        if !self.filter.admits(reservoir, number) {
            return Completeness::Whole;
        }
        let (attributes, completeness) = EventAttributes::of_span(span, label);
        self.attributes.push(((slo, key), attributes));
        self.admitted.push((reservoir, number));
        completeness
    }

    /// Adds the attributes to the evidence of the same request.
    pub fn add_to(&self, gathered: &mut EvidenceByEvent) {
        for (event, attributes) in &self.attributes {
            if let Some(workflow) = gathered.get_mut(event) {
                let known = workflow.details.attributes.get_or_insert_default();
                known.join(attributes);
            }
        }
    }
}

impl ReservoirMinima {
    /// Updates the limits with the keys that requests admitted, once they are committed.
    pub fn note<'s>(
        &mut self,
        committed: impl IntoIterator<Item = &'s SampledAttributes>,
        now: Timestamp,
    ) {
        let mut has_changed = self.forget(now);
        for (reservoir, key) in committed.into_iter().flat_map(|one| &one.admitted) {
            has_changed |= self.note_one(*reservoir, *key);
        }
        if has_changed {
            self.publish();
        }
    }

    pub fn filter(&self) -> ReservoirFilter {
        ReservoirFilter {
            limits: Arc::clone(&self.limits),
            floor: self.floor,
        }
    }

    /// Returns whether a limit was lowered or added.
    fn note_one(&mut self, reservoir: ReservoirKey, key: u128) -> bool {
        if self.floor.is_some_and(|floor| reservoir.2 < floor) {
            return false;
        }
        let is_closed =
            self.limits.contains_key(&reservoir) && !self.smallest.contains_key(&reservoir);
        if is_closed {
            return false;
        }
        let most = reservoir.1.most();
        let keys = self.smallest.entry(reservoir).or_default();
        if keys.len() == most && keys.last().is_some_and(|last| key >= *last) {
            return false;
        }
        let is_new = keys.insert(key);
        if keys.len() > most {
            keys.pop_last();
        }
        is_new && keys.len() == most
    }

    /// Drops the keys of all but the newest hours, and old limits.
    fn forget(&mut self, now: Timestamp) -> bool {
        let hour = Resolution::Hour.length();
        let floor = now.floor_to(hour) - REMEMBERED;
        if self.floor == Some(floor) {
            return false;
        }
        self.publish();
        self.floor = Some(floor);
        let hours: BTreeSet<Timestamp> =
            self.smallest.keys().map(|reservoir| reservoir.2).collect();
        if let Some(oldest) = hours.iter().rev().nth(OPEN_HOURS - 1) {
            self.smallest.retain(|reservoir, _| reservoir.2 >= *oldest);
        }
        self.smallest.retain(|reservoir, _| reservoir.2 >= floor);
        true
    }

    fn publish(&mut self) {
        let mut limits = BTreeMap::clone(&self.limits);
        limits.retain(|reservoir, _| self.floor.is_none_or(|floor| reservoir.2 >= floor));
        for (reservoir, keys) in &self.smallest {
            if let Some(last) = keys.last().filter(|_| keys.len() == reservoir.1.most()) {
                limits.insert(*reservoir, *last);
            }
        }
        self.limits = Arc::new(limits);
    }
}

/// Returns the key as a number, in the order in which the database sorts keys.
const fn number(key: EventKey) -> u128 {
    u128::from_be_bytes(key.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLO: SloId = SloId(1);
    const NOW: Timestamp = Timestamp::from_secs(1_795_328_280);

    fn hour() -> Timestamp {
        NOW.floor_to(Resolution::Hour.length())
    }

    fn noted(
        seen: &mut ReservoirMinima,
        reservoir: ReservoirKey,
        keys: impl IntoIterator<Item = u128>,
    ) {
        for key in keys {
            let sampling = SampledAttributes {
                filter: seen.filter(),
                ..SampledAttributes::default()
            };
            if sampling.filter.admits(reservoir, key) {
                let admitted = vec![(reservoir, key)];
                let sampling = SampledAttributes {
                    admitted,
                    ..sampling
                };
                seen.note([&sampling], NOW);
            }
        }
    }

    #[test]
    fn a_gate_closes_when_an_hour_has_its_sample_and_opens_with_the_next() {
        let mut seen = ReservoirMinima::default();
        let reservoir = (SLO, SampleSide::Bad, hour());
        noted(&mut seen, reservoir, 0..200);
        let filter = seen.filter();
        assert!(filter.admits(reservoir, 199));
        assert!(!filter.admits(reservoir, 200));
        assert!(filter.admits((SLO, SampleSide::Good, hour()), 200));
        assert!(filter.admits((SloId(2), SampleSide::Bad, hour()), 200));
        let next = hour() + Resolution::Hour.length();
        assert!(filter.admits((SLO, SampleSide::Bad, next), 200));
    }

    #[test]
    fn a_workflow_that_was_admitted_at_its_start_is_so_at_its_end_in_the_next_hour() {
        let mut seen = ReservoirMinima::default();
        let next = hour() + Resolution::Hour.length();
        noted(
            &mut seen,
            (SLO, SampleSide::Undecided, hour()),
            1_000..5_096,
        );
        noted(&mut seen, (SLO, SampleSide::Undecided, next), 0..4_096);
        let filter = seen.filter();
        assert!(filter.admits((SLO, SampleSide::Undecided, next), 5_095));
        assert!(!filter.admits((SLO, SampleSide::Undecided, next), 5_096));
    }

    #[test]
    fn what_is_remembered_is_bounded_however_long_it_runs() {
        let mut seen = ReservoirMinima::default();
        let mut now = NOW;
        for _ in 0..100 {
            let at = now.floor_to(Resolution::Hour.length());
            let admitted = (0..300)
                .map(|key| ((SLO, SampleSide::Good, at), key))
                .collect();
            let sampling = SampledAttributes {
                admitted,
                ..SampledAttributes::default()
            };
            seen.note([&sampling], now);
            now = now + Resolution::Hour.length();
        }
        assert!(seen.smallest.len() <= OPEN_HOURS + 1);
        assert!(seen.limits.len() <= 26);
        assert!(
            !seen.filter().admits((SLO, SampleSide::Good, NOW), 0),
            "too long ago"
        );
    }

    proptest! {
        /// The law that makes the sample the same everywhere.
        #[test]
        fn no_order_turns_away_what_is_among_the_smallest_of_all(
            keys in proptest::collection::hash_set(any::<u128>(), 0..400).prop_map(Vec::from_iter),
            split in 0_usize..400,
        ) {
            let reservoir = (SLO, SampleSide::Bad, hour());
            let mut smallest = keys.clone();
            smallest.sort_unstable();
            smallest.truncate(OF_EACH_SIDE);
            let (one, other) = keys.split_at(split.min(keys.len()));
            for part in [one, other] {
                let mut seen = ReservoirMinima::default();
                noted(&mut seen, reservoir, part.iter().copied());
                let filter = seen.filter();
                for key in part.iter().filter(|key| smallest.contains(key)) {
                    prop_assert!(filter.admits(reservoir, *key));
                    prop_assert!(seen.smallest[&reservoir].contains(key));
                }
            }
        }
    }
}
