//! Durations of events in exponential buckets.
//!
//! Histograms can be added, and an event whose verdict is corrected is subtracted from its old
//! bucket. So quantiles are those of all events, not of a sample.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::model::{ids::Name, sampling::Weight};

/// Buckets per doubling of the duration, as scale 2 of exponential histograms in OpenTelemetry and
/// schema 2 of native histograms in Prometheus: the limits of a bucket are 19 % apart, so a
/// quantile is off by at most 10 %.
const PER_DOUBLING: i16 = 4;
/// `2^(k/4)` for k = 0 to 3, in units of `2^-62`. Integers, so that every machine finds the same
/// bucket and exactly what was added is subtracted.
const ROOTS: [u128; 4] = [
    4_611_686_018_427_387_904,
    5_484_249_825_272_419_511,
    6_521_908_912_666_391_106,
    7_755_900_482_342_532_474,
];
/// The bucket of the shortest durations: its upper limit is `2^-20` seconds, less than a
/// microsecond.
const SHORTEST: i16 = -80;

/// Events by duration, weighted, in millionths of an event.
///
/// As JSON it is a map from the number of a bucket to the events in it. Bucket `n` has durations of
/// more than `2^((n-1)/4)` seconds and at most `2^(n/4)`, as in OpenTelemetry and Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationHistogram(BTreeMap<i16, i64>);

/// Events with a duration from one limit up to the other.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
pub struct DurationBucket {
    #[serde(skip)]
    pub number: i16,
    /// Exclusive, except for the bucket that begins at 0.
    pub from_seconds: f64,
    pub to_seconds: f64,
    /// An estimate if spans are sampled.
    pub events: f64,
}

/// Durations, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurationTotals {
    pub histogram: DurationHistogram,
    /// The weighted sum of the durations.
    pub micros: i64,
}

/// Durations by SLO and whether the verdict is bad.
pub type JudgedDurations = BTreeMap<(Name, bool), DurationTotals>;

/// Durations of workflows that this process has judged since its start. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SharedDurations(Arc<Mutex<JudgedDurations>>);

impl SharedDurations {
    pub fn add(&self, judged: JudgedDurations) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, durations) in judged {
            all.entry(key).or_default().merge(&durations);
        }
    }

    /// Returns those of one SLO with good or with bad verdicts.
    pub fn of(&self, key: &(Name, bool)) -> DurationTotals {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).cloned().unwrap_or_default()
    }
}

impl DurationTotals {
    pub fn add(&mut self, micros: i64, weight: Weight) {
        self.histogram.add(micros, weight, 1);
        self.micros = self.micros.saturating_add(weight.times(micros));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an estimate beyond 2^53 microseconds"
    )]
    pub fn seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }

    pub fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.micros = self.micros.saturating_add(other.micros);
    }
}

impl DurationHistogram {
    /// The upper limit of the shortest durations: less than a microsecond.
    pub const ZERO_UP_TO_SECONDS: f64 = 1.0 / 1_048_576.0;

    /// Adds an event, or with a `sign` of −1 subtracts it.
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
            from_seconds: match *bucket {
                SHORTEST => 0.0,
                bucket => upper_limit(bucket - 1),
            },
            to_seconds: upper_limit(*bucket),
            events: whole(*events),
        })
    }

    /// Returns the number of events of at most `2^doublings` seconds, which is the limit of a bucket.
    pub fn events_up_to(&self, doublings: i16) -> f64 {
        let up_to = self.0.range(..=doublings * PER_DOUBLING);
        whole(up_to.map(|(_, events)| events).sum())
    }

    /// Returns the number of events with the shortest durations.
    pub fn events_without_time(&self) -> f64 {
        self.events_in(SHORTEST)
    }

    /// Returns the number of events in the bucket of this number.
    pub fn events_in(&self, bucket: i16) -> f64 {
        whole(self.0.get(&bucket).copied().unwrap_or(0))
    }

    /// Returns the duration in seconds that the share `q` of the events does not exceed; `None`
    /// without events. Within a bucket the events are assumed to be spread evenly over the
    /// logarithm of the duration, as Prometheus does for native histograms.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q * self.events();
        let mut below = 0.0;
        let mut last = None;
        for bucket in self.buckets() {
            let share = ((rank - below) / bucket.events).clamp(0.0, 1.0);
            let from = upper_limit(bucket.number - 1);
            last = Some(from * (bucket.to_seconds / from).powf(share));
            below += bucket.events;
            if below >= rank {
                break;
            }
        }
        last
    }
}

/// Returns the number of the first bucket whose upper limit is not exceeded.
fn bucket_of(micros: i64) -> i16 {
    let Some(micros) = u64::try_from(micros).ok().filter(|micros| *micros > 0) else {
        return SHORTEST;
    };
    // A second is less than 2^20 microseconds, so no bucket below this one is long enough.
    let doublings = i16::try_from(micros.ilog2()).unwrap_or(0) - 20;
    let mut buckets = doublings * PER_DOUBLING..;
    let found = buckets.find(|bucket| u128::from(micros) <= limit_in_micros(*bucket));
    found.unwrap_or(SHORTEST)
}

/// Returns the upper limit of a bucket in microseconds, rounded down.
fn limit_in_micros(bucket: i16) -> u128 {
    let root = usize::try_from(bucket.rem_euclid(PER_DOUBLING)).unwrap_or(0);
    let root = ROOTS.get(root).copied().unwrap_or(0);
    (root * 1_000_000) >> (62 - bucket.div_euclid(PER_DOUBLING))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate beyond 2^53 millionths"
)]
fn whole(millionths: i64) -> f64 {
    millionths as f64 / 1e6
}

/// Returns the upper limit of a bucket in seconds.
fn upper_limit(bucket: i16) -> f64 {
    (f64::from(bucket) / f64::from(PER_DOUBLING)).exp2()
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
        for (micros, bucket) in [
            (0, SHORTEST),
            (1, -79),
            (500_000, -4),
            (1_000_000, 0),
            (1_000_001, 1),
            (1_189_207, 1),
            (1_189_208, 2),
            (3_600_000_000, 48),
        ] {
            assert_eq!(bucket_of(micros), bucket, "{micros} us");
        }
        assert_eq!(bucket_of(-5), SHORTEST);
        assert_eq!(bucket_of(i64::MAX), 173);
    }

    #[test]
    fn the_json_is_a_map_of_buckets() {
        let json = serde_json::to_string(&of(&[0, 2, 2])).unwrap();
        assert_eq!(json, r#"{"-80":1000000,"-75":2000000}"#);
        let again: DurationHistogram = serde_json::from_str(&json).unwrap();
        assert_eq!(again, of(&[0, 2, 2]));
    }

    #[test]
    fn events_are_counted_up_to_a_limit() {
        let histogram = of(&[0, 250_000, 1_000_000, 1_000_001, 4_000_000]);
        let up_to = |doublings| histogram.events_up_to(doublings).to_string();
        assert_eq!(["1", "2", "3", "5"], [-20, -2, 0, 2].map(up_to));
        assert_eq!(histogram.events_without_time().to_string(), "1");
    }

    #[test]
    fn without_events_there_is_no_quantile() {
        assert_eq!(DurationHistogram::default().quantile(0.5), None);
        assert!(of(&[0]).quantile(0.5) < Some(1e-6));
    }

    proptest! {
        #[test]
        fn every_duration_is_between_the_limits_of_its_bucket(micros in 1_i64..1 << 50) {
            let bucket = bucket_of(micros);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let secs = micros as f64 / 1e6;
            prop_assert!(upper_limit(bucket - 1) < secs * (1.0 + 1e-9));
            prop_assert!(secs <= upper_limit(bucket) * (1.0 + 1e-9));
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
