//! Durations of events in exponential buckets.
//!
//! Histograms of any time add up to that of all of it, and an event whose verdict is corrected is
//! taken away from where it was. So quantiles are of all events and not of a sample.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::model::sampling::Weight;

/// Buckets for each doubling of the duration, as scale 2 of exponential histograms in OpenTelemetry
/// and schema 2 of native histograms in Prometheus: the limits of a bucket are 19 % apart, so a
/// quantile is off by at most 10 %.
const PER_DOUBLING: i16 = 4;
/// Where the buckets of one doubling end, of `2^31`: `2^(31 + k/4)` for k = 1, 2, 3. Integers, so that
/// every machine finds the same bucket and what is taken away is what was added.
const LIMITS: [u64; 3] = [2_553_802_834, 3_037_000_500, 3_611_622_603];
/// The bucket of everything below one microsecond.
const BELOW: i16 = -1;

/// Events by duration, as often as each counts, in millionths of an event.
///
/// As JSON it is a map from the number of a bucket to the events in it. Bucket `n` has durations of
/// `2^(n/4)` microseconds and more, but less than `2^((n+1)/4)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationHistogram(BTreeMap<i16, i64>);

/// Events with a duration from one limit up to the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DurationBucket {
    #[serde(skip)]
    pub number: i16,
    pub from_seconds: f64,
    /// Excluded.
    pub to_seconds: f64,
    /// An estimate if spans are sampled.
    pub events: f64,
}

impl DurationHistogram {
    /// Adds an event, or with a `sign` of −1 takes it away.
    pub fn add(&mut self, micros: i64, weight: Weight, sign: i64) {
        self.add_to(bucket_of(micros), sign.saturating_mul(weight.millionths()));
    }

    pub fn merge(&mut self, other: &Self) {
        for (bucket, events) in &other.0 {
            self.add_to(*bucket, *events);
        }
    }

    fn add_to(&mut self, bucket: i16, events: i64) {
        let known = self.0.entry(bucket).or_default();
        *known = known.saturating_add(events);
        if *known == 0 {
            self.0.remove(&bucket);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of all events.
    pub fn events(&self) -> f64 {
        self.buckets().map(|bucket| bucket.events).sum()
    }

    /// Returns the buckets with events, from the shortest duration to the longest.
    pub fn buckets(&self) -> impl Iterator<Item = DurationBucket> {
        let with_events = self.0.iter().filter(|(_, events)| **events > 0);
        with_events.map(|(bucket, events)| DurationBucket {
            number: *bucket,
            from_seconds: lower_limit(*bucket),
            to_seconds: lower_limit(*bucket + 1),
            events: whole(*events),
        })
    }

    /// Returns the number of events in the bucket of this number.
    pub fn events_in(&self, bucket: i16) -> f64 {
        whole(self.0.get(&bucket).copied().unwrap_or(0))
    }

    /// Returns the duration in seconds that the share `q` of the events does not exceed; `None`
    /// without events. Within a bucket the events are taken to be spread evenly over the logarithm of
    /// the duration, as Prometheus does for native histograms.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q * self.events();
        let mut below = 0.0;
        let mut last = None;
        for bucket in self.buckets() {
            let share = ((rank - below) / bucket.events).clamp(0.0, 1.0);
            let from = bucket.from_seconds.max(1e-6);
            last = Some(from * (bucket.to_seconds / from).powf(share));
            below += bucket.events;
            if below >= rank {
                break;
            }
        }
        last
    }
}

fn bucket_of(micros: i64) -> i16 {
    let Some(micros) = u64::try_from(micros).ok().filter(|micros| *micros > 0) else {
        return BELOW;
    };
    let doublings = micros.ilog2();
    let scaled = if doublings > 31 {
        micros >> (doublings - 31)
    } else {
        micros << (31 - doublings)
    };
    let within = LIMITS.iter().filter(|limit| scaled >= **limit).count();
    let within = i16::try_from(within).unwrap_or(0);
    i16::try_from(doublings).unwrap_or(0) * PER_DOUBLING + within
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate beyond 2^53 millionths"
)]
fn whole(millionths: i64) -> f64 {
    millionths as f64 / 1e6
}

/// Returns the least duration of a bucket in seconds.
fn lower_limit(bucket: i16) -> f64 {
    if bucket == BELOW {
        0.0
    } else {
        (f64::from(bucket) / f64::from(PER_DOUBLING)).exp2() / 1e6
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn of(micros: &[i64]) -> DurationHistogram {
        let mut histogram = DurationHistogram::default();
        for one in micros {
            histogram.add(*one, Weight::ONE, 1);
        }
        histogram
    }

    #[test]
    fn a_bucket_has_what_is_between_its_limits() {
        for (micros, bucket) in [(0, -1), (1, 0), (2, 4), (3, 6), (1_000_000, 79)] {
            assert_eq!(bucket_of(micros), bucket, "{micros} us");
        }
        assert_eq!(bucket_of(-5), -1);
        assert_eq!(bucket_of(i64::MAX), 251);
    }

    #[test]
    fn the_json_is_a_map_of_buckets() {
        let json = serde_json::to_string(&of(&[0, 2, 2])).unwrap();
        assert_eq!(json, r#"{"-1":1000000,"4":2000000}"#);
        let again: DurationHistogram = serde_json::from_str(&json).unwrap();
        assert_eq!(again, of(&[0, 2, 2]));
    }

    #[test]
    fn without_events_there_is_no_quantile() {
        assert_eq!(DurationHistogram::default().quantile(0.5), None);
        assert_eq!(
            of(&[0]).quantile(0.5).map(f64::to_bits),
            Some(1e-6_f64.to_bits())
        );
    }

    proptest! {
        #[test]
        fn every_duration_is_between_the_limits_of_its_bucket(micros in 1_i64..1 << 50) {
            let bucket = bucket_of(micros);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let secs = micros as f64 / 1e6;
            prop_assert!(lower_limit(bucket) <= secs * (1.0 + 1e-9));
            prop_assert!(secs < lower_limit(bucket + 1) * (1.0 + 1e-9));
        }

        #[test]
        fn what_is_taken_away_leaves_nothing_behind(
            kept in vec(0_i64..1 << 40, 0..30),
            corrected in vec((0_i64..1 << 40, 1_u32..50), 0..30),
        ) {
            let mut histogram = of(&kept);
            let weight = |times: u32| Weight::from_millionths(i64::from(times) * 1_000_000);
            for (micros, times) in &corrected {
                histogram.add(*micros, weight(*times), 1);
            }
            for (micros, times) in corrected.iter().rev() {
                histogram.add(*micros, weight(*times), -1);
            }
            prop_assert_eq!(histogram, of(&kept));
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_durations_but_for_the_width_of_a_bucket(
            mut micros in vec(1_i64..1 << 40, 1..200),
            q in 0.01_f64..1.0,
        ) {
            let found = of(&micros).quantile(q).unwrap();
            micros.sort_unstable();
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few hundred durations below 2^53"
            )]
            let exact = micros[((q * micros.len() as f64).ceil() as usize).max(1) - 1] as f64 / 1e6;
            prop_assert!((0.84..=1.19).contains(&(found / exact)), "{} for {}", found, exact);
        }

        #[test]
        fn parts_add_up_to_the_whole(
            left in vec(0_i64..1 << 40, 0..50),
            right in vec(0_i64..1 << 40, 0..50),
        ) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            let all: Vec<i64> = left.iter().chain(&right).copied().collect();
            prop_assert_eq!(merged, of(&all));
        }
    }
}
