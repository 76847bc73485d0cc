//! Requests whose commit takes longer than their senders wait.
//!
//! A sender that gets 503 sends the same body again. The commit of the first copy continues, and
//! the repetition gets its result instead of being committed once more. So a slow request succeeds
//! at its second or third attempt, even if the database is very slow.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, time::Instant};

use crate::{
    domain::access::AllowedServices,
    ingest::{failure::Failure, reply::Rejections},
};

/// Longer than the Collector waits between attempts, unless it has failed for a while.
const KEPT_FOR: Duration = Duration::from_mins(1);
/// The maximum number; the oldest are dropped, and their repetitions are committed once more.
const MOST_KEPT: usize = 1_024;
/// The minimum duration of a request for measuring: shorter ones measure the transaction, not the
/// spans.
const MEASURED_FROM: Duration = Duration::from_millis(500);

/// The result of a slow commit; `None` while it is unknown.
pub(crate) type SlowCommitOutcome = watch::Receiver<Option<Result<Rejections, Failure>>>;

/// Slow commits. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlowCommits {
    by_body: Arc<Mutex<BTreeMap<[u8; 32], SlowCommit>>>,
    /// Spans a second in the last slow commit; 0 before the first.
    pace: Arc<AtomicU64>,
}

#[derive(Debug)]
struct SlowCommit {
    outcome: SlowCommitOutcome,
    answered_at: Instant,
}

impl SlowCommits {
    /// Keeps a request whose sender was answered 503 at `answered_at`.
    pub(crate) fn keep(
        &self,
        body: &[u8],
        services: &AllowedServices,
        outcome: SlowCommitOutcome,
        answered_at: Instant,
    ) {
        let request = SlowCommit {
            outcome,
            answered_at,
        };
        let mut kept = self.by_body.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, late| late.answered_at + KEPT_FOR > answered_at);
        if kept.len() >= MOST_KEPT {
            let oldest = kept.iter().min_by_key(|(_, late)| late.answered_at);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                kept.remove(&oldest);
            }
        }
        kept.insert(digest(body, services), request);
    }

    /// Returns the result of the first copy of `body`, if that was late and has not failed, and its
    /// sender was allowed the same services.
    pub(crate) fn find(
        &self,
        body: &[u8],
        services: &AllowedServices,
    ) -> Option<SlowCommitOutcome> {
        let mut kept = self.by_body.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            return None;
        }
        let digest = digest(body, services);
        let outcome = kept.get(&digest)?.outcome.clone();
        let has_failed = match &*outcome.borrow() {
            Some(result) => result.is_err(),
            None => outcome.has_changed().is_err(),
        };
        if has_failed {
            kept.remove(&digest);
            return None;
        }
        Some(outcome)
    }

    /// Records how long the commit of this number of spans took.
    pub(crate) fn measure(&self, spans: usize, took: Duration) {
        if took >= MEASURED_FROM {
            let pace = u128::try_from(spans).unwrap_or_default() * 1_000 / took.as_millis();
            let pace = u64::try_from(pace).unwrap_or(u64::MAX);
            self.pace.store(pace, Ordering::Relaxed);
        }
    }

    /// Returns how many spans of one request are committed within half of `within`, rounded down to
    /// a hundred.
    pub(crate) fn advised_spans(&self, within: Duration) -> Option<u64> {
        let half = u64::try_from(within.as_millis() / 2).unwrap_or(u64::MAX);
        let spans = self.pace.load(Ordering::Relaxed).saturating_mul(half) / 1_000;
        (spans > 0).then(|| (spans / 100 * 100).max(100))
    }
}

fn digest(body: &[u8], services: &AllowedServices) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(body);
    if let AllowedServices::Only(names) = services {
        for name in names {
            digest.update([0]);
            digest.update(name);
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::MalformedProtobuf;

    const ALL: AllowedServices = AllowedServices::All;

    #[test]
    fn r4_a_late_request_is_found_by_its_body_until_it_fails_or_is_old() {
        let (late, now) = (SlowCommits::default(), Instant::now());
        let (first, outcome) = watch::channel(None);
        assert!(late.find(b"spans", &ALL).is_none());
        late.keep(b"spans", &ALL, outcome, now);
        assert!(late.find(b"other spans", &ALL).is_none());
        assert!(late.find(b"spans", &ALL).is_some());
        let shop = AllowedServices::Only(["shop".to_owned()].into());
        assert!(
            late.find(b"spans", &shop).is_none(),
            "its result would be another"
        );
        first.send_replace(Some(Ok(Rejections::default())));
        let known = late.find(b"spans", &ALL).unwrap();
        assert_eq!(*known.borrow(), Some(Ok(Rejections::default())));
        late.keep(b"other spans", &ALL, watch::channel(None).1, now + KEPT_FOR);
        assert!(late.find(b"spans", &ALL).is_none(), "it is old");
        assert!(
            late.find(b"other spans", &ALL).is_none(),
            "nobody commits it"
        );
        let failed = watch::channel(Some(Err(Failure::Malformed(
            MalformedProtobuf::Truncated.into(),
        ))))
        .1;
        late.keep(b"spans", &ALL, failed, now + KEPT_FOR);
        assert!(late.find(b"spans", &ALL).is_none(), "it has failed");
    }

    #[test]
    fn r4_only_so_many_are_kept() {
        let (late, now) = (SlowCommits::default(), Instant::now());
        let senders: Vec<_> = (0..=MOST_KEPT).map(|_| watch::channel(None)).collect();
        for (index, (_, outcome)) in senders.iter().enumerate() {
            let at = now + Duration::from_micros(index as u64);
            late.keep(&index.to_be_bytes(), &ALL, outcome.clone(), at);
        }
        assert!(late.find(&0_usize.to_be_bytes(), &ALL).is_none());
        assert!(late.find(&1_usize.to_be_bytes(), &ALL).is_some());
    }

    #[test]
    fn r4_the_advised_size_is_what_half_the_time_takes() {
        let late = SlowCommits::default();
        let within = Duration::from_secs(2);
        assert_eq!(late.advised_spans(within), None);
        late.measure(10, Duration::from_millis(20));
        assert_eq!(late.advised_spans(within), None, "too short to tell");
        late.measure(32_768, Duration::from_secs(8));
        assert_eq!(late.advised_spans(within), Some(4_000));
        late.measure(10, Duration::from_secs(8));
        assert_eq!(late.advised_spans(within), Some(100));
    }
}
