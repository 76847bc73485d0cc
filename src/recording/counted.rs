//! What a transaction counts besides verdicts: spans, and workflows by what became of them.

use std::{collections::BTreeMap, ops::AddAssign};

use crate::{domain::workflow::classify::ClassifiedBatch, store::SpanCounts};

/// The workflows that evidence came for, by what it changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedWorkflows {
    pub new: usize,
    pub changed: usize,
    /// All of the evidence was there.
    pub unchanged: usize,
    /// They are older than evidence may be.
    pub removed: usize,
    /// How often the transaction began again because another replica was first.
    pub conflicts: usize,
}

impl AddAssign for RecordedWorkflows {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.removed += other.removed;
        self.conflicts += other.conflicts;
    }
}

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
