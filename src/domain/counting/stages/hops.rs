//! The time from sending to receiving a message between two services: a message that is received
//! before it was sent shows that clocks differ, and the minimum difference.

use std::collections::{BTreeMap, BTreeSet};

use super::{StageEvidence, StageEvidenceKind};

/// The maximum of service pairs per SLO and hour; further ones are ignored.
pub const MAX_SERVICE_PAIRS: usize = 16;

/// The sender and the receiver of messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePair {
    pub sender: String,
    pub receiver: String,
}

/// The waits of messages of one pair of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopWait {
    /// Messages of workflows that are aggregated for the first time.
    pub hops: i64,
    /// The minimum; negative if a message was received before it was sent.
    pub least_micros: i64,
}

/// Waits by pair of services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HopWaits(pub BTreeMap<ServicePair, HopWait>);

impl HopWaits {
    /// Adds the messages of one workflow. Each counts as `hops`: 0 if the workflow was aggregated
    /// before.
    ///
    /// A wait is used only if the workflow has sent exactly one message to the queue, without an
    /// intended delay: the first receiver's wait is then that of this message.
    pub fn add(&mut self, pieces: &[StageEvidence], hops: i64) {
        let pieces: BTreeSet<&StageEvidence> = pieces.iter().collect();
        let of = |kind| pieces.iter().filter(move |piece| piece.kind == kind);
        let mut sent: BTreeMap<&str, Vec<&StageEvidence>> = BTreeMap::new();
        for message in of(StageEvidenceKind::Producer) {
            sent.entry(&message.name).or_default().push(message);
        }
        for (queue, messages) in sent {
            let taken = of(StageEvidenceKind::Consumer).filter(|piece| piece.name == queue);
            let first = taken.min_by_key(|piece| piece.from);
            if let ([message], Some(first)) = (messages.as_slice(), first)
                && message.deliver_at.is_none()
            {
                self.add_hop(message, first, hops);
            }
        }
    }

    fn add_hop(&mut self, sent: &StageEvidence, taken: &StageEvidence, hops: i64) {
        if sent.service.is_empty() || taken.service.is_empty() {
            return;
        }
        let pair = ServicePair {
            sender: sent.service.clone(),
            receiver: taken.service.clone(),
        };
        let wait = taken.from.micros_since(sent.from);
        let of_pair = self.0.entry(pair).or_insert(HopWait {
            hops: 0,
            least_micros: wait,
        });
        of_pair.hops += hops;
        of_pair.least_micros = of_pair.least_micros.min(wait);
    }

    /// Removes pairs beyond the limit, in addition to those that are `known`.
    pub fn limit(&mut self, known: &BTreeSet<ServicePair>) {
        let mut room = MAX_SERVICE_PAIRS.saturating_sub(known.len());
        self.0.retain(|pair, _| {
            if known.contains(pair) {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::model::{ids::TraceId, time::Timestamp};

    fn message(kind: StageEvidenceKind, service: &str, secs: f64) -> StageEvidence {
        let noon = Timestamp::from_secs(1_795_320_000);
        let from = noon + Duration::from_secs_f64(secs);
        StageEvidence {
            kind,
            from,
            to: from,
            name: "orders".to_owned(),
            service: service.to_owned(),
            deliver_at: None,
            trace_id: TraceId::from_slice(&[7; 16]).unwrap(),
            is_error: false,
        }
    }

    fn sent(secs: f64) -> StageEvidence {
        message(StageEvidenceKind::Producer, "checkout", secs)
    }

    fn taken(secs: f64) -> StageEvidence {
        message(StageEvidenceKind::Consumer, "mailer", secs)
    }

    /// Returns the number of messages and the smallest wait, in milliseconds.
    fn waits(workflows: &[&[StageEvidence]]) -> Option<(i64, i64)> {
        let mut waits = HopWaits::default();
        for pieces in workflows {
            waits.add(pieces, 1);
        }
        let of_pair = waits.0.values().next()?;
        Some((of_pair.hops, of_pair.least_micros / 1_000))
    }

    #[test]
    fn s31_a_message_that_is_taken_before_it_was_sent_shows_clocks_that_differ() {
        let far = [sent(5.0), taken(4.0)];
        let near = [sent(2.0), taken(0.5)];
        assert_eq!(waits(&[&far, &near]), Some((2, -1_500)));
        assert_eq!(waits(&[&[sent(0.0), taken(0.2)]]), Some((1, 200)));
    }

    #[test]
    fn s31_the_first_delivery_has_waited() {
        assert_eq!(
            waits(&[&[sent(0.0), taken(9.0), taken(1.0)]]),
            Some((1, 1_000))
        );
    }

    #[test]
    fn s31_of_several_messages_in_one_queue_nobody_knows_which_was_taken() {
        assert_eq!(waits(&[&[sent(0.0), sent(5.0), taken(4.0)]]), None);
        // A duplicate is not a second message.
        assert_eq!(
            waits(&[&[sent(5.0), sent(5.0), taken(4.0)]]),
            Some((1, -1_000))
        );
    }

    #[test]
    fn s31_an_intended_delay_says_nothing_of_clocks() {
        let mut delayed = sent(0.0);
        delayed.deliver_at = Some(delayed.from + Duration::from_mins(1));
        assert_eq!(waits(&[&[delayed, taken(61.0)]]), None);
    }

    #[test]
    fn s31_no_more_pairs_of_services_are_kept_than_there_is_room_for() {
        let mut many = HopWaits::default();
        for nth in 0..40 {
            let receiver = message(StageEvidenceKind::Consumer, &format!("s{nth:02}"), 1.0);
            many.add(&[sent(0.0), receiver], 1);
        }
        let known = ServicePair {
            sender: "checkout".to_owned(),
            receiver: "s39".to_owned(),
        };
        many.limit(&BTreeSet::from([known.clone()]));
        assert_eq!(many.0.len(), MAX_SERVICE_PAIRS);
        assert!(many.0.contains_key(&known));
    }
}
