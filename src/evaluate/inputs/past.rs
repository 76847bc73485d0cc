//! Counts of days that are over, kept in memory from one evaluation to the next.
//!
//! They hold for a minute, after which windows begin a minute later, and until something is counted
//! in such a day. So most evaluations read little more than the counts of today, however long the
//! windows are.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::Subject;
use crate::{
    domain::{
        alerting::burn_rate::Ageing,
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

/// The counts of past days of one SLO or group.
#[derive(Clone, Debug, Default)]
struct PastCounts {
    /// The hash of the rows that were read; it was read before them.
    hash: i64,
    sums: HashMap<TimeRange, EventCounts>,
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
    /// Makes the reader of the next tick, which knows what still holds of its `subjects`.
    pub(super) fn next(mut self, subjects: &[Subject], now: Timestamp) -> Self {
        let minute = Resolution::Minute.length();
        if self.now.floor_to(minute) != now.floor_to(minute) {
            self.known.clear();
        }
        let known = subjects.iter().map(|subject| {
            let hash = subject.due.past_hash;
            let known = self.known.remove(&subject.due.id);
            let holds = known.filter(|known| known.hash == hash);
            let counts = holds.unwrap_or_else(|| PastCounts {
                hash,
                ..PastCounts::default()
            });
            (subject.due.id, counts)
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
        let today = self.today();
        let parts_of = |(slo, ranges): &(SloId, Vec<TimeRange>)| -> Vec<(SloId, TimeRange)> {
            let parts = ranges.iter().flat_map(|range| divided(*range, today));
            parts.map(|part| (*slo, part)).collect()
        };
        let mut read: HashMap<(SloId, TimeRange), EventCounts> = HashMap::new();
        let mut unknown = Vec::new();
        for part in sets.iter().flat_map(parts_of) {
            if self.known(part).is_none() && read.insert(part, EventCounts::ZERO).is_none() {
                unknown.push(part);
            }
        }
        let sums = tx.sums(&unknown).await?;
        read.extend(unknown.into_iter().zip(sums));
        let sum_of = |part| self.known(part).or_else(|| read.get(&part).copied());
        let sums = sets
            .iter()
            .map(|set| parts_of(set).into_iter().filter_map(sum_of).sum())
            .collect();
        for ((slo, range), sum) in read {
            if range.to <= today
                && let Some(known) = self.known.get_mut(&slo)
            {
                known.sums.insert(range, sum);
            }
        }
        Ok(sums)
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
        let is_past = range.to <= self.today();
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

    fn known(&self, (slo, range): (SloId, TimeRange)) -> Option<EventCounts> {
        self.known.get(&slo)?.sums.get(&range).copied()
    }

    fn today(&self) -> Timestamp {
        self.now.floor_to(Resolution::Day.length())
    }
}

/// Returns the parts of `range` before `today` and from then on.
fn divided(range: TimeRange, today: Timestamp) -> impl Iterator<Item = TimeRange> {
    let past = TimeRange::new(range.from, range.to.min(today));
    let lately = TimeRange::new(range.from.max(today), range.to);
    [past, lately].into_iter().filter(|part| !part.is_empty())
}
