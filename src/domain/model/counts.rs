//! Good and bad events, counted by outcome.

use std::ops::{Add, AddAssign, Neg};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sampling::Weight;

/// Sums of events by outcome. Integers, so that a sum is the same in any order; signed, since a
/// correction subtracts an event from its old bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
pub struct EventCounts {
    pub good: i64,
    /// Bad: finished, but after the deadline.
    pub late: i64,
    /// Bad: ended in failure.
    pub failed: i64,
    /// Bad: the deadline passed without an end.
    pub timeout: i64,
    /// Not events: cancelled in time.
    pub cancelled: i64,
    /// Not events: evidence of an end whose start never arrived.
    pub orphan: i64,
    /// Not events: contradictory evidence, such as an end long before its start.
    pub invalid: i64,
    /// Not events: without an end, in a trace whose end a sampler would have dropped.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unobservable: i64,
    /// Not events: without an end, while evidence was lost that may have included it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub evidence_lost: i64,
    /// Not events: evidence that belongs to an unknown one of several workflows, and the workflows
    /// that it may belong to.
    #[serde(default, skip_serializing_if = "is_none")]
    pub ambiguous: i64,
    /// The good and bad events whose spans carry their sampling probability.
    #[serde(default, skip_serializing_if = "is_none")]
    pub sampled: i64,
    /// Additional good events that the observed ones represent, in millionths.
    #[serde(
        default,
        rename = "unseen_good_millionths",
        skip_serializing_if = "is_none"
    )]
    pub unseen_good: i64,
    /// Additional bad events that the observed ones represent, in millionths.
    #[serde(
        default,
        rename = "unseen_bad_millionths",
        skip_serializing_if = "is_none"
    )]
    pub unseen_bad: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_none(count: &i64) -> bool {
    *count == 0
}

impl EventCounts {
    pub const ZERO: Self = Self {
        good: 0,
        late: 0,
        failed: 0,
        timeout: 0,
        cancelled: 0,
        orphan: 0,
        invalid: 0,
        unobservable: 0,
        evidence_lost: 0,
        ambiguous: 0,
        sampled: 0,
        unseen_good: 0,
        unseen_bad: 0,
    };

    pub const fn bad(&self) -> i64 {
        self.late + self.failed + self.timeout
    }

    /// Returns the events of the SLO: good and bad. Cancelled, orphaned or invalid workflows are
    /// not events.
    pub const fn total(&self) -> i64 {
        self.good + self.bad()
    }

    pub const fn is_zero(&self) -> bool {
        self.good == 0
            && self.timeout == 0
            && self.late == 0
            && self.failed == 0
            && self.cancelled == 0
            && self.orphan == 0
            && self.invalid == 0
            && self.unobservable == 0
            && self.evidence_lost == 0
            && self.ambiguous == 0
            && self.sampled == 0
            && self.unseen_good == 0
            && self.unseen_bad == 0
    }

    /// Returns whether these counts are possible: none may be negative.
    pub const fn is_possible(&self) -> bool {
        self.good >= 0
            && self.late >= 0
            && self.failed >= 0
            && self.timeout >= 0
            && self.unseen_good >= 0
            && self.unseen_bad >= 0
    }

    /// Returns by how much these exceed `other`, by outcome.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        let more = self + -other;
        Self {
            good: more.good.max(0),
            late: more.late.max(0),
            failed: more.failed.max(0),
            timeout: more.timeout.max(0),
            cancelled: more.cancelled.max(0),
            orphan: more.orphan.max(0),
            invalid: more.invalid.max(0),
            unobservable: more.unobservable.max(0),
            evidence_lost: more.evidence_lost.max(0),
            ambiguous: more.ambiguous.max(0),
            sampled: more.sampled.max(0),
            unseen_good: more.unseen_good.max(0),
            unseen_bad: more.unseen_bad.max(0),
        }
    }

    /// Returns the same events, each with this sampling weight.
    #[must_use]
    pub const fn standing_for(self, weight: Option<Weight>) -> Self {
        let Some(weight) = weight else { return self };
        Self {
            sampled: self.total(),
            unseen_good: self.good.saturating_mul(weight.unseen()),
            unseen_bad: self.bad().saturating_mul(weight.unseen()),
            ..self
        }
    }

    /// Returns whether these events represent unobserved ones.
    pub const fn has_unseen(&self) -> bool {
        self.unseen_good != 0 || self.unseen_bad != 0
    }

    /// Returns the bad events, observed and unobserved, from which ratios and budgets are computed.
    pub fn weighted_bad(&self) -> f64 {
        weighted(self.bad(), self.unseen_bad)
    }

    /// Returns the workflows that are neither good nor bad for lack of usable evidence.
    pub const fn unusable(&self) -> i64 {
        self.invalid + self.ambiguous + self.evidence_lost
    }

    /// Returns the best possible case: invalid and ambiguous workflows count as good, as they have
    /// an end, and those whose end may be lost are left out. Of the invalid ones only the few with
    /// more pauses or legs than are stored may lack an end.
    #[must_use]
    pub const fn as_good(self) -> Self {
        Self {
            good: self.good + self.invalid + self.ambiguous,
            invalid: 0,
            ambiguous: 0,
            evidence_lost: 0,
            ..self
        }
    }

    /// Returns the worst possible case: everything unusable counts as bad.
    #[must_use]
    pub const fn as_bad(self) -> Self {
        Self {
            failed: self.failed + self.unusable(),
            invalid: 0,
            ambiguous: 0,
            evidence_lost: 0,
            ..self
        }
    }

    /// Returns the good and bad events, observed and unobserved.
    pub fn weighted_total(&self) -> f64 {
        weighted(
            self.total(),
            self.unseen_good.saturating_add(self.unseen_bad),
        )
    }

    /// Returns the share of events that were bad, in [0, 1]; `None` without events.
    pub fn bad_ratio(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.weighted_bad() / self.weighted_total())
    }

    /// Returns the share of events that were good, in [0, 1]; `None` without events.
    pub fn good_ratio(&self) -> Option<f64> {
        self.bad_ratio().map(|bad| 1.0 - bad)
    }
}

/// Spans that start workflows of an SLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartSpans {
    /// Spans that identify the workflow they start.
    pub correlated: i64,
    /// Spans that do not, so their workflows are not monitored.
    pub uncorrelated: i64,
}

impl AddAssign for StartSpans {
    fn add_assign(&mut self, rhs: Self) {
        self.correlated += rhs.correlated;
        self.uncorrelated += rhs.uncorrelated;
    }
}

/// Rounds an estimate of events to a whole number.
#[expect(clippy::cast_possible_truncation, reason = "far below 2^53")]
pub fn whole(events: f64) -> i64 {
    events.round() as i64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts stay far below 2^53, and estimates are no more exact"
)]
fn weighted(seen: i64, unseen_millionths: i64) -> f64 {
    seen as f64 + unseen_millionths as f64 / 1e6
}

impl Add for EventCounts {
    type Output = Self;

    fn add(self, rhs: Self) -> Self {
        Self {
            good: self.good + rhs.good,
            late: self.late + rhs.late,
            failed: self.failed + rhs.failed,
            timeout: self.timeout + rhs.timeout,
            cancelled: self.cancelled + rhs.cancelled,
            orphan: self.orphan + rhs.orphan,
            invalid: self.invalid + rhs.invalid,
            unobservable: self.unobservable + rhs.unobservable,
            evidence_lost: self.evidence_lost + rhs.evidence_lost,
            ambiguous: self.ambiguous + rhs.ambiguous,
            sampled: self.sampled + rhs.sampled,
            // Nine million events of the highest weight reach the limit: it is an estimate by then.
            unseen_good: self.unseen_good.saturating_add(rhs.unseen_good),
            unseen_bad: self.unseen_bad.saturating_add(rhs.unseen_bad),
        }
    }
}

impl AddAssign for EventCounts {
    fn add_assign(&mut self, rhs: Self) {
        *self = *self + rhs;
    }
}

impl Neg for EventCounts {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            good: -self.good,
            late: -self.late,
            failed: -self.failed,
            timeout: -self.timeout,
            cancelled: -self.cancelled,
            orphan: -self.orphan,
            invalid: -self.invalid,
            unobservable: -self.unobservable,
            evidence_lost: -self.evidence_lost,
            ambiguous: -self.ambiguous,
            sampled: -self.sampled,
            unseen_good: self.unseen_good.saturating_neg(),
            unseen_bad: self.unseen_bad.saturating_neg(),
        }
    }
}

impl std::iter::Sum for EventCounts {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}
