//! Senders whose whole requests are rejected: counted by kind, logged at a limited rate, and
//! remembered, so that a self-check can name them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::failure::Failure;
use crate::telemetry::metrics::RequestMetrics;

/// Senders whose requests are currently rejected. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RejectedSenders(Arc<Mutex<HashMap<(IpAddr, &'static str), RejectedSender>>>);

#[derive(Debug)]
struct RejectedSender {
    reason: String,
    requests: u64,
    last_at: Instant,
    logged_at: Instant,
}

impl RejectedSenders {
    /// The duration after its last rejection for which a sender is named.
    const NAMED_FOR: Duration = Duration::from_mins(10);
    /// Fewer rejections may be a person's experiment.
    const NAMED_FROM: u64 = 3;
    const LOGGED_EVERY: Duration = Duration::from_mins(1);
    /// The limit of remembered senders, so that memory is bounded.
    const MOST: usize = 1_000;

    /// Records a rejection. Returns whether to log it: one line a minute for each peer and kind.
    fn note(&self, peer: IpAddr, failure: &Failure, now: Instant) -> bool {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (peer, failure.as_label());
        if senders.len() >= Self::MOST && !senders.contains_key(&key) {
            senders.retain(|_, sender| now - sender.last_at < Self::NAMED_FOR);
        }
        if let Some(sender) = senders.get_mut(&key) {
            sender.requests += 1;
            sender.last_at = now;
            let is_due = now - sender.logged_at >= Self::LOGGED_EVERY;
            if is_due {
                sender.logged_at = now;
                sender.reason = failure.to_string();
            }
            return is_due;
        }
        if senders.len() >= Self::MOST {
            return false;
        }
        let sender = RejectedSender {
            reason: failure.to_string(),
            requests: 1,
            last_at: now,
            logged_at: now,
        };
        senders.insert(key, sender);
        true
    }

    /// Returns one sentence for each sender and kind of rejection of the last ten minutes.
    pub fn sentences(&self) -> Vec<String> {
        self.sentences_at(Instant::now())
    }

    fn sentences_at(&self, now: Instant) -> Vec<String> {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|_, sender| now - sender.last_at < Self::NAMED_FOR);
        let named = senders
            .iter()
            .filter(|(_, sender)| sender.requests >= Self::NAMED_FROM);
        let mut sentences: Vec<_> = named
            .map(|((peer, _), sender)| format!("{peer}: {}.", sender.reason))
            .collect();
        sentences.sort();
        sentences
    }
}

/// Collects the results of requests from both servers. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestResults {
    pub(super) metrics: Option<RequestMetrics>,
    pub(super) refused: RejectedSenders,
}

impl RequestResults {
    pub(super) fn count(&self, result: &str) {
        if let Some(metrics) = &self.metrics {
            metrics.ingest(result, 1);
        }
    }

    pub(super) fn failed(&self, failure: &Failure, peer: Option<IpAddr>) {
        self.count(failure.as_label());
        if !failure.is_of_sender() {
            return;
        }
        if let Some(peer) = peer
            && self.refused.note(peer, failure, Instant::now())
        {
            tracing::warn!(%peer, kind = failure.as_label(), "refused a request: {failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn too_large() -> Failure {
        Failure::TooLarge { limit: 8 }
    }

    #[test]
    fn a_refusal_is_logged_once_a_minute_for_each_peer_and_kind() {
        let (senders, now) = (RejectedSenders::default(), Instant::now());
        assert!(senders.note(PEER, &too_large(), now));
        assert!(!senders.note(PEER, &too_large(), now));
        assert!(senders.note(PEER, &Failure::MediaType, now));
        assert!(senders.note(PEER, &too_large(), now + RejectedSenders::LOGGED_EVERY));
    }

    #[test]
    fn a_sender_is_named_from_its_third_refusal_until_ten_minutes_after_its_last() {
        let (senders, now) = (RejectedSenders::default(), Instant::now());
        for _ in 0..2 {
            senders.note(PEER, &too_large(), now);
        }
        assert_eq!(senders.sentences_at(now).len(), 0);
        senders.note(PEER, &too_large(), now);
        assert_eq!(
            senders.sentences_at(now),
            ["127.0.0.1: the body is larger than the limit of 8 bytes."]
        );
        assert_eq!(
            senders.sentences_at(now + RejectedSenders::NAMED_FOR).len(),
            0
        );
    }

    #[test]
    fn no_number_of_peers_fills_the_memory() {
        let (senders, now) = (RejectedSenders::default(), Instant::now());
        for number in 0..2_000_u32 {
            senders.note(IpAddr::V4(number.into()), &too_large(), now);
        }
        assert_eq!(senders.0.lock().unwrap().len(), RejectedSenders::MOST);
        assert!(senders.note(PEER, &too_large(), now + RejectedSenders::NAMED_FOR));
    }
}
