//! Counts of customers: those of an SLO in a time range, and those of them with a bad event.
//!
//! A customer's events are counted, not just marked, so that a correction subtracts exactly what
//! was added: a customer whose only bad event was corrected is not affected any more.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    counting::JudgedWorkflow,
    model::{
        format,
        ids::SloId,
        time::{Resolution, TimeRange, Timestamp, cover},
    },
    slo::exclusion::union,
};

/// The number of customers that one bucket of an SLO counts separately. Events of any others are
/// counted together, so that a customer per event cannot fill the database.
pub const MAX_PER_BUCKET: i64 = 10_000;

/// Customers are counted by hours for short ranges and by days for long ones.
pub const RESOLUTIONS: [Resolution; 2] = [Resolution::Hour, Resolution::Day];

/// The longest range that is counted from whole hours; longer ones from whole days.
pub const LONGEST_BY_HOURS: Duration = Duration::from_hours(7 * 24);

/// The events of one customer in one bucket, or a difference of such counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CustomerCounts {
    /// Good and bad.
    pub events: i64,
    pub bad: i64,
    /// Those of the bad ones that were judged by count: another customer of the same batch may have
    /// them.
    pub bad_by_count: i64,
}

/// One bucket of one SLO.
pub type CustomerBucket = (SloId, Resolution, Timestamp);

/// Differences of the counts of customers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerMoves(BTreeMap<(SloId, Timestamp, String), CustomerCounts>);

/// The number of customers with events, as far as they were counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct CustomerTotal {
    pub customers: i64,
    /// True if there were more than one bucket counts separately.
    pub is_lower_bound: bool,
    /// True if it is unknown which customers of a batch had bad events, so that the number of those
    /// affected is the largest possible one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub affected_is_upper_bound: bool,
}

impl CustomerCounts {
    const fn is_zero(self) -> bool {
        self.events == 0 && self.bad == 0 && self.bad_by_count == 0
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            bad: self.bad + other.bad,
            bad_by_count: self.bad_by_count + other.bad_by_count,
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            events: self.events - other.events,
            bad: self.bad - other.bad,
            bad_by_count: self.bad_by_count - other.bad_by_count,
        }
    }

    /// Returns one event with this verdict; zero if it is not an event.
    const fn of(judged: &JudgedWorkflow) -> Self {
        let counts = judged.verdict.outcome.counts();
        Self {
            events: counts.total(),
            bad: counts.bad(),
            bad_by_count: match judged.workflow.details.shared {
                Some(_) => counts.bad(),
                None => 0,
            },
        }
    }
}

impl CustomerMoves {
    /// Adds an event of `slo`. Its customer may change later: the smallest of several names is
    /// used.
    pub fn add_event(&mut self, slo: SloId, judged: &JudgedWorkflow) {
        if let Some((key, counts)) = counted(slo, judged) {
            let moved = self.0.entry(key).or_default();
            *moved = moved.plus(counts);
        }
    }

    /// Subtracts what [`CustomerMoves::add_event`] added.
    pub fn subtract_event(&mut self, slo: SloId, judged: &JudgedWorkflow) {
        if let Some((key, counts)) = counted(slo, judged) {
            let moved = self.0.entry(key).or_default();
            *moved = moved.minus(counts);
        }
    }

    /// Returns the differences at both resolutions, in the order in which rows are locked; none is
    /// zero.
    pub fn by_bucket(&self) -> BTreeMap<(CustomerBucket, &str), CustomerCounts> {
        let mut buckets: BTreeMap<_, CustomerCounts> = BTreeMap::new();
        for ((slo, hour, customer), counts) in &self.0 {
            for resolution in RESOLUTIONS {
                let bucket = (*slo, resolution, hour.floor_to(resolution.length()));
                let moved = buckets.entry((bucket, customer.as_str())).or_default();
                *moved = moved.plus(*counts);
            }
        }
        buckets.retain(|_, counts| !counts.is_zero());
        buckets
    }
}

/// Returns the key and counts of an event; `None` if it is not an event or names no customer.
fn counted(
    slo: SloId,
    judged: &JudgedWorkflow,
) -> Option<((SloId, Timestamp, String), CustomerCounts)> {
    let counts = CustomerCounts::of(judged);
    let at = judged.verdict.at.filter(|_| !counts.is_zero())?;
    let customer = judged.workflow.customer.clone()?;
    let hour = at.floor_to(Resolution::Hour.length());
    Some(((slo, hour, customer), counts))
}

impl CustomerTotal {
    /// Formats as `391`, or `at least 10,000`.
    pub fn text(&self) -> String {
        let count = format::count(self.customers);
        if self.is_lower_bound {
            format!("at least {count}")
        } else {
            count
        }
    }

    /// Formats `391 customers`.
    pub fn counted(&self) -> String {
        let plural = if self.customers == 1 { "" } else { "s" };
        format!("{} customer{plural}", self.text())
    }

    /// Formats `29 of 391 customers`; `29 customers` if the total is unknown; `up to 29` if it is
    /// unknown whose events were bad. `None` if no one is affected.
    pub fn people(affected: Option<i64>, total: Option<&Self>) -> Option<String> {
        let affected = affected.filter(|affected| *affected > 0)?;
        Some(match total {
            None => format::counted(affected, "customer"),
            Some(total) => format!("{} of {}", total.affected(affected), total.counted()),
        })
    }

    /// Formats `29`, or `up to 29`.
    pub fn affected(&self, customers: i64) -> String {
        let count = format::count(customers);
        if self.affected_is_upper_bound {
            up_to(&count)
        } else {
            count
        }
    }
}

/// Marks a number as the largest possible one.
pub fn up_to(number: &str) -> String {
    format!("up to {number}")
}

/// Returns the buckets from which customers in `ranges`, which are in order, are counted. Each
/// range is widened to whole hours or, if together they are long, to whole days, since old hours
/// are not kept.
pub fn buckets_of(ranges: &[TimeRange]) -> Vec<(Resolution, TimeRange)> {
    let grain = if reach(ranges) <= LONGEST_BY_HOURS {
        Resolution::Hour.length()
    } else {
        Resolution::Day.length()
    };
    let whole =
        |range: &TimeRange| TimeRange::new(range.from.floor_to(grain), range.to.ceil_to(grain));
    let widened = union(ranges.iter().map(whole).collect());
    widened.into_iter().flat_map(cover).collect()
}

/// Returns the time from the beginning of the first of `ranges` to the end of the last.
pub fn reach(ranges: &[TimeRange]) -> Duration {
    match (ranges.first(), ranges.last()) {
        (Some(first), Some(last)) => TimeRange::new(first.from, last.to).length(),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        model::ids::{Revision, TraceId},
        workflow::{Details, Outcome, SharedEnd, TraceRef, Verdict, Workflow},
    };

    const SLO: SloId = SloId(1);

    fn judged(customer: Option<&str>, outcome: Outcome, secs: i64) -> JudgedWorkflow {
        JudgedWorkflow {
            workflow: Workflow {
                revision: Revision::default(),
                label: "order-1".to_owned(),
                start: None,
                success: None,
                failure: None,
                late: None,
                cancelled: None,
                trace: TraceRef::Other(TraceId::from_slice(&[1; 16]).unwrap()),
                customer: customer.map(str::to_owned),
                first_evidence_at: None,
                details: Details::default(),
            },
            verdict: Verdict {
                outcome,
                at: (outcome != Outcome::Open).then(|| Timestamp::from_secs(secs)),
                due: None,
            },
            weight: None,
        }
    }

    #[test]
    fn a_corrected_event_takes_its_customer_out_of_the_old_bucket() {
        let mut moves = CustomerMoves::default();
        let timeout = judged(Some("acme"), Outcome::Timeout, 3_601);
        moves.add_event(SLO, &timeout);
        moves.subtract_event(SLO, &timeout);
        moves.add_event(SLO, &judged(Some("acme"), Outcome::Good, 3_599));
        let buckets = moves.by_bucket();
        let good = CustomerCounts {
            events: 1,
            ..CustomerCounts::default()
        };
        let at = |resolution| ((SLO, resolution, Timestamp::from_secs(0)), "acme");
        assert_eq!(
            buckets.into_iter().collect::<Vec<_>>(),
            [(at(Resolution::Hour), good), (at(Resolution::Day), good)]
        );
    }

    #[test]
    fn what_is_no_event_or_names_nobody_has_no_customer() {
        let mut moves = CustomerMoves::default();
        for outcome in [Outcome::Open, Outcome::Cancelled, Outcome::Orphan] {
            moves.add_event(SLO, &judged(Some("acme"), outcome, 5));
        }
        moves.add_event(SLO, &judged(None, Outcome::Late, 5));
        assert!(moves.by_bucket().is_empty());
    }

    #[test]
    fn people_are_told_out_of_how_many() {
        let total = |customers, is_lower_bound| CustomerTotal {
            customers,
            is_lower_bound,
            affected_is_upper_bound: false,
        };
        let people = |affected, total: Option<CustomerTotal>| {
            CustomerTotal::people(Some(affected), total.as_ref())
        };
        assert_eq!(people(0, Some(total(391, false))), None);
        assert_eq!(people(29, None).unwrap(), "29 customers");
        assert_eq!(
            people(29, Some(total(391, false))).unwrap(),
            "29 of 391 customers"
        );
        assert_eq!(people(1, Some(total(1, false))).unwrap(), "1 of 1 customer");
        assert_eq!(
            people(412, Some(total(10_000, true))).unwrap(),
            "412 of at least 10,000 customers"
        );
        let unknown = CustomerTotal {
            affected_is_upper_bound: true,
            ..total(391, false)
        };
        assert_eq!(
            people(29, Some(unknown)).unwrap(),
            "up to 29 of 391 customers"
        );
    }

    #[test]
    fn s33_whose_event_was_bad_is_unknown_in_a_batch_that_is_judged_by_count() {
        let mut lost = judged(Some("acme"), Outcome::Timeout, 3_601);
        lost.workflow.details.shared = Some(SharedEnd::None);
        let mut moves = CustomerMoves::default();
        moves.add_event(SLO, &lost);
        moves.add_event(SLO, &judged(Some("acme"), Outcome::Timeout, 3_602));
        let expected = CustomerCounts {
            events: 2,
            bad: 2,
            bad_by_count: 1,
        };
        assert!(
            moves
                .by_bucket()
                .into_values()
                .all(|counts| counts == expected)
        );
    }

    proptest! {
        #[test]
        fn the_buckets_of_a_range_hold_it_in_whole_hours_or_days(
            from in 0_i64..10_000_000, length in 1_i64..4_000_000,
        ) {
            let range = TimeRange::new(Timestamp::from_secs(from), Timestamp::from_secs(from + length));
            let parts = buckets_of(&[range]);
            let (first, last) = (parts[0].1.from, parts[parts.len() - 1].1.to);
            prop_assert!(first <= range.from && range.to <= last);
            let widest = if range.length() <= LONGEST_BY_HOURS { 3_600 } else { 86_400 };
            prop_assert!(range.from.saturating_since(first) < Duration::from_secs(widest));
            prop_assert!(last.saturating_since(range.to) < Duration::from_secs(widest));
            prop_assert!(parts.iter().all(|(resolution, _)| RESOLUTIONS.contains(resolution)));
        }
    }
}
