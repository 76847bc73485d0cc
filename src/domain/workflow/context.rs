//! The inputs of verdicts other than evidence and definition: the state of ingest, and what the
//! received ends of an SLO show about their senders.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::model::{ids::SloId, sampling::EndSampling, time::Timestamp};

/// The inputs shared by the verdicts of one transaction.
#[derive(Clone, Debug)]
pub struct JudgingContext {
    /// The time at which the transaction began.
    pub now: Timestamp,
    /// The time until which ingest is known to have been healthy.
    pub watermark: Timestamp,
    /// The time that senders may take to deliver what they buffered while they could not send.
    pub catch_up: Duration,
    /// Observations for every SLO that has any.
    pub observed: BTreeMap<SloId, EndObservations>,
}

/// Observations of the ends of one SLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndObservations {
    /// Their sampling.
    pub sampling: EndSampling,
    /// `None` if none arrived late.
    pub delayed: Option<DelayedEnds>,
}

/// Ends that arrived more than `grace` after they occurred: their senders have a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayedEnds {
    /// The latest event time among them.
    pub newest_end_at: Timestamp,
    /// The time at which the last of them arrived.
    pub last_arrived_at: Timestamp,
}

impl JudgingContext {
    /// Makes a context without observations, at a moment until which ingest was healthy.
    pub const fn healthy(now: Timestamp) -> Self {
        Self {
            now,
            watermark: now,
            catch_up: Duration::ZERO,
            observed: BTreeMap::new(),
        }
    }

    /// Returns the watermark of one SLO. While its ends arrive late, their absence is known only up
    /// to the newest of them, until none has arrived late for the catch-up time. A queue that is
    /// stuck sends no ends, so it does not delay anything.
    pub fn watermark_of(&self, slo: SloId) -> Timestamp {
        let delayed = self.observed.get(&slo).and_then(|seen| seen.delayed);
        delayed
            .filter(|delayed| self.now < delayed.last_arrived_at + self.catch_up)
            .map_or(self.watermark, |delayed| {
                self.watermark.min(delayed.newest_end_at)
            })
    }

    /// Returns the SLOs whose watermark is behind that of ingest.
    pub fn behind(&self) -> impl Iterator<Item = (SloId, Timestamp)> + '_ {
        let each = self.observed.keys();
        each.map(|slo| (*slo, self.watermark_of(*slo)))
            .filter(|(_, up_to)| *up_to < self.watermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLO: SloId = SloId(1);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn context(now: i64) -> JudgingContext {
        let delayed = DelayedEnds {
            newest_end_at: at(400),
            last_arrived_at: at(1_000),
        };
        let seen = EndObservations {
            delayed: Some(delayed),
            ..EndObservations::default()
        };
        JudgingContext {
            catch_up: Duration::from_mins(5),
            observed: BTreeMap::from([(SLO, seen)]),
            ..JudgingContext::healthy(at(now))
        }
    }

    #[test]
    fn s32_while_ends_arrive_late_silence_is_known_up_to_the_newest_of_them() {
        assert_eq!(context(1_299).watermark_of(SLO), at(400));
        assert_eq!(context(1_300).watermark_of(SLO), at(1_300));
        let behind: Vec<_> = context(1_299).behind().collect();
        assert_eq!(behind, [(SLO, at(400))]);
    }

    #[test]
    fn s32_the_ends_of_one_slo_hold_up_no_other() {
        assert_eq!(context(1_299).watermark_of(SloId(2)), at(1_299));
    }
}
