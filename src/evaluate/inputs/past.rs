//! Counts of hours that are over, kept in memory from one evaluation to the next.
//!
//! They hold for a minute, after which windows begin a minute later, and until something is counted
//! in such an hour. So most evaluations read the counts of less than an hour, however long the windows
//! are.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::ClaimedSlo;
use crate::{
    domain::{
        alerting::burn_rate::Ageing,
        counting::segments::Segments,
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp},
        },
        slo::Slo,
    },
    store::{StoreError, Tx},
};

/// Reads counts for the evaluations of one tick.
#[derive(Clone, Debug)]
pub(in crate::evaluate) struct CountReader {
    pub(super) now: Timestamp,
    known: HashMap<SloId, PastCounts>,
}

/// The counts of past hours of one SLO or group.
#[derive(Clone, Debug, Default)]
struct PastCounts {
    /// The hash of the rows that were read; it was read before them.
    hash: i64,
    segments: Segments,
    ageing: Option<PastAgeing>,
}

#[derive(Clone, Debug)]
struct PastAgeing {
    range: TimeRange,
    /// The parts of the range that do not count.
    excluded: Vec<TimeRange>,
    ageing: Ageing,
}

impl Default for CountReader {
    /// Makes one that knows nothing.
    fn default() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            known: HashMap::new(),
        }
    }
}

impl CountReader {
    /// Makes the reader of the next tick, which knows what still holds of its `claimed_slos`.
    pub(super) fn next(mut self, claimed_slos: &[ClaimedSlo], now: Timestamp) -> Self {
        let minute = Resolution::Minute.length();
        if self.now.floor_to(minute) != now.floor_to(minute) {
            self.known.clear();
        }
        let known = claimed_slos.iter().map(|claimed| {
            let hash = claimed.due.past_hash;
            let known = self.known.remove(&claimed.due.id);
            let holds = known.filter(|known| known.hash == hash);
            let counts = holds.unwrap_or_else(|| PastCounts {
                hash,
                ..PastCounts::default()
            });
            (claimed.due.id, counts)
        });
        Self {
            now,
            known: known.collect(),
        }
    }

    /// Returns the sum of all ranges of each set, in the order of the sets.
    pub(super) async fn sums_of_sets(
        &mut self,
        tx: &mut Tx<'_>,
        sets: &[(SloId, Vec<TimeRange>)],
    ) -> Result<Vec<EventCounts>, StoreError> {
        let mut segments = self.segments(sets);
        let unread: Vec<(SloId, TimeRange)> = segments
            .iter()
            .flat_map(|(slo, of_slo)| of_slo.unread().map(|segment| (*slo, segment)))
            .collect();
        let mut read = tx.sums(&unread).await?.into_iter();
        for of_slo in segments.values_mut() {
            of_slo.put(read.by_ref());
        }
        let sum_of = |(slo, ranges): &(SloId, Vec<TimeRange>)| {
            let of_slo = segments.get(slo);
            let sums = ranges.iter().filter_map(|range| Some(of_slo?.sum(*range)));
            sums.sum()
        };
        let sums = sets.iter().map(sum_of).collect();
        let this_hour = self.this_hour();
        for (slo, of_slo) in segments {
            if let Some(known) = self.known.get_mut(&slo) {
                known.segments = of_slo.before(this_hour);
            }
        }
        Ok(sums)
    }

    /// Returns the segments of the sets of each SLO, with what is known of them.
    fn segments(&self, sets: &[(SloId, Vec<TimeRange>)]) -> BTreeMap<SloId, Segments> {
        let mut ranges: BTreeMap<SloId, Vec<TimeRange>> = BTreeMap::new();
        for (slo, of_set) in sets {
            ranges.entry(*slo).or_default().extend(of_set);
        }
        let segments = |(slo, ranges): (SloId, Vec<TimeRange>)| {
            let mut of_slo = Segments::of(&ranges, self.this_hour());
            if let Some(known) = self.known.get(&slo) {
                of_slo.take_over(&known.segments);
            }
            (slo, of_slo)
        };
        ranges.into_iter().map(segments).collect()
    }

    /// Returns the counts that leave the windows of these SLOs next, which are all of this length.
    pub(super) async fn ageing(
        &mut self,
        tx: &mut Tx<'_>,
        slos: &[(SloId, &Slo)],
        window: Duration,
    ) -> Result<BTreeMap<SloId, Ageing>, StoreError> {
        let range = Ageing::range(window, self.now);
        let mut ageing = BTreeMap::new();
        let mut unknown = Vec::new();
        for (id, slo) in slos {
            let known = self.known.get(id).and_then(|known| known.ageing.as_ref());
            match known
                .filter(|known| known.range == range && known.excluded == slo.excluded(range))
            {
                Some(known) => drop(ageing.insert(*id, known.ageing.clone())),
                None => unknown.push((*id, *slo)),
            }
        }
        if unknown.is_empty() {
            return Ok(ageing);
        }
        let read = tx.ageing(&unknown, window, self.now).await?;
        let is_past = range.to <= self.this_hour();
        for (id, slo) in unknown.into_iter().filter(|_| is_past) {
            if let (Some(known), Some(ageing)) = (self.known.get_mut(&id), read.get(&id)) {
                known.ageing = Some(PastAgeing {
                    range,
                    excluded: slo.excluded(range),
                    ageing: ageing.clone(),
                });
            }
        }
        ageing.extend(read);
        Ok(ageing)
    }

    fn this_hour(&self) -> Timestamp {
        self.now.floor_to(Resolution::Hour.length())
    }
}
