//! The counts of spans that requests bring, which do not depend on verdicts.

use std::{collections::BTreeMap, ops::AddAssign};

use crate::{domain::workflow::classify::ClassifiedBatch, store::SpanCounts};

/// Returns the counts of spans, which do not depend on verdicts.
pub(super) fn span_counts(findings: &[&ClassifiedBatch]) -> SpanCounts {
    let losses = findings.iter().flat_map(|findings| &findings.losses);
    SpanCounts {
        discarded: sum(findings.iter().map(|findings| &findings.unusable)),
        losses: losses.copied().collect(),
        correlated: sum(findings.iter().map(|findings| &findings.correlated)),
        starts: sum(findings.iter().map(|findings| &findings.starts)),
        heard: None,
    }
}

fn sum<'a, K: Copy + Ord + 'a, V: Copy + Default + AddAssign + 'a>(
    counts: impl Iterator<Item = &'a BTreeMap<K, V>>,
) -> BTreeMap<K, V> {
    let mut sum = BTreeMap::new();
    for counts in counts {
        add(&mut sum, counts);
    }
    sum
}

/// Adds counts by key.
pub(super) fn add<K: Copy + Ord, V: Copy + Default + AddAssign>(
    sum: &mut BTreeMap<K, V>,
    counts: &BTreeMap<K, V>,
) {
    for (key, count) in counts {
        *sum.entry(*key).or_default() += *count;
    }
}
