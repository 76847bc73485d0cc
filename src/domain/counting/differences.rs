//! Differences between bad events and good ones: attributes whose share differs most.

use std::{cmp::Ordering, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::workflow::attributes::EventAttributes;

/// With fewer events on either side, differences are mostly chance.
const FEWEST_EVENTS: usize = 5;
/// An attribute that fewer of the bad events have explains nothing.
const LEAST_SUPPORT: f64 = 0.05;
/// Smaller differences do not help to find a cause.
const LEAST_DIFFERENCE: f64 = 0.05;
/// The minimum of a difference in standard errors: of many attributes some differ by chance.
const STANDARD_ERRORS: f64 = 3.0;

/// An attribute that bad events have more often than good ones.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Difference {
    /// As in selectors: `resource.service.version`.
    pub attribute: String,
    pub value: String,
    /// The share of the sampled bad events that have it.
    pub bad_ratio: f64,
    /// The share of the sampled good events that have it.
    pub good_ratio: f64,
}

/// Returns whether there are enough events of each side for a comparison.
pub const fn are_comparable(bad: usize, good: usize) -> bool {
    bad >= FEWEST_EVENTS && good >= FEWEST_EVENTS
}

/// Returns the share of `events` that have the attribute of `difference`; `None` if they are too
/// few.
pub fn share_with(difference: &Difference, events: &[EventAttributes]) -> Option<f64> {
    if events.len() < FEWEST_EVENTS {
        return None;
    }
    let pair = (difference.attribute.as_str(), difference.value.as_str());
    let having = events
        .iter()
        .filter(|event| event.iter().any(|own| own == pair));
    Some(share(having.count(), events.len()))
}

/// Returns at most `most` differences, the largest first and equal ones by name.
///
/// A difference is the share among bad events minus the share among good ones. Empty if none is
/// significant, or if there are too few events.
pub fn differences(
    bad: &[EventAttributes],
    good: &[EventAttributes],
    most: usize,
) -> Vec<Difference> {
    if !are_comparable(bad.len(), good.len()) {
        return Vec::new();
    }
    let (of_bad, of_good) = (counted(bad), counted(good));
    let difference = |((attribute, value), count): (&(&str, &str), &usize)| {
        let of_good = of_good.get(&(*attribute, *value)).copied().unwrap_or(0);
        Difference {
            attribute: (*attribute).to_owned(),
            value: (*value).to_owned(),
            bad_ratio: share(*count, bad.len()),
            good_ratio: share(of_good, good.len()),
        }
    };
    let mut all: Vec<Difference> = of_bad
        .iter()
        .map(difference)
        .filter(|one| one.stands_out(bad.len(), good.len()))
        .collect();
    all.sort_by(Difference::order);
    all.truncate(most);
    all
}

impl Difference {
    fn size(&self) -> f64 {
        self.bad_ratio - self.good_ratio
    }

    fn stands_out(&self, bad: usize, good: usize) -> bool {
        // With one more event with the attribute and one without, so that no share is certain.
        let chance = |ratio: f64, events: usize| {
            let ratio = ratio.mul_add(share(events, 1), 1.0) / share(events + 2, 1);
            ratio * (1.0 - ratio) / share(events, 1)
        };
        let error = (chance(self.bad_ratio, bad) + chance(self.good_ratio, good)).sqrt();
        self.bad_ratio >= LEAST_SUPPORT
            && self.size() >= LEAST_DIFFERENCE
            && self.size() >= STANDARD_ERRORS * error
    }

    fn order(&self, other: &Self) -> Ordering {
        let by_name = || (&self.attribute, &self.value).cmp(&(&other.attribute, &other.value));
        other.size().total_cmp(&self.size()).then_with(by_name)
    }
}

fn counted(events: &[EventAttributes]) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    for pair in events.iter().flat_map(EventAttributes::iter) {
        *counts.entry(pair).or_insert(0) += 1;
    }
    counts
}

#[expect(clippy::cast_precision_loss, reason = "samples are hundreds of events")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(n: usize, of: impl Fn(usize) -> Vec<(&'static str, String)>) -> Vec<EventAttributes> {
        (0..n).map(|i| of(i).into_iter().collect()).collect()
    }

    fn one_of(parts: usize, i: usize) -> String {
        (i % parts).to_string()
    }

    #[test]
    fn what_bad_events_share_and_good_ones_do_not_comes_first() {
        let bad = events(100, |i| {
            let version = if i < 99 { "2.41.0" } else { "2.40.3" };
            vec![
                ("resource.service.version", version.to_owned()),
                ("span.kind", one_of(4, i)),
                ("span.partition", if i < 60 { "7" } else { "3" }.to_owned()),
            ]
        });
        let good = events(200, |i| {
            let version = if i < 68 { "2.41.0" } else { "2.40.3" };
            vec![
                ("resource.service.version", version.to_owned()),
                ("span.kind", one_of(4, i)),
                ("span.partition", one_of(8, i)),
            ]
        });
        let found: Vec<String> = differences(&bad, &good, 8)
            .iter()
            .map(|d| {
                format!(
                    "{}={} {:.2} {:.2}",
                    d.attribute, d.value, d.bad_ratio, d.good_ratio
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "resource.service.version=2.41.0 0.99 0.34",
                "span.partition=7 0.60 0.12",
                "span.partition=3 0.40 0.12",
            ]
        );
    }

    #[test]
    fn equal_differences_are_sorted_by_name() {
        let bad = events(50, |_| {
            vec![("span.b", "x".to_owned()), ("span.a", "y".to_owned())]
        });
        let good = events(50, |_| Vec::new());
        let found = differences(&bad, &good, 8);
        let names: Vec<&str> = found.iter().map(|one| one.attribute.as_str()).collect();
        assert_eq!(names, ["span.a", "span.b"]);
        assert_eq!(differences(&bad, &good, 1).len(), 1);
    }

    #[test]
    fn values_that_are_new_with_every_event_never_stand_out() {
        let bad = events(200, |i| vec![("span.order", format!("b{i}"))]);
        let good = events(200, |i| vec![("span.order", format!("g{i}"))]);
        assert_eq!(differences(&bad, &good, 8), []);
    }

    #[test]
    fn a_handful_of_events_tells_nothing() {
        let bad = events(4, |_| vec![("span.a", "x".to_owned())]);
        let good = events(200, |_| Vec::new());
        assert_eq!(differences(&bad, &good, 8), []);
        // Three of eight could be chance.
        let some = |n: usize| {
            events(8, move |i| {
                let has = i < n;
                has.then(|| ("span.a", "x".to_owned()))
                    .into_iter()
                    .collect()
            })
        };
        assert_eq!(differences(&some(3), &some(1), 8), []);
        assert_eq!(differences(&some(8), &some(0), 8).len(), 1);
    }

    fn sample() -> impl Strategy<Value = Vec<EventAttributes>> {
        let event = proptest::collection::vec((0_u8..3, 0_u8..3), 0..4).prop_map(|pairs| {
            let named = |(name, value): (u8, u8)| (format!("span.{name}"), value.to_string());
            pairs.into_iter().map(named).collect::<EventAttributes>()
        });
        proptest::collection::vec(event, 0..60)
    }

    proptest! {
        #[test]
        fn shares_are_shares_and_the_order_of_events_does_not_matter(
            bad in sample(), good in sample(), most in 0_usize..6,
        ) {
            let found = differences(&bad, &good, most);
            prop_assert!(found.len() <= most);
            for one in &found {
                prop_assert!((0.0..=1.0).contains(&one.good_ratio));
                prop_assert!((LEAST_SUPPORT..=1.0).contains(&one.bad_ratio));
            }
            prop_assert!(found.is_sorted_by(|a, b| a.order(b).is_lt()));
            let reversed = |events: &[EventAttributes]| events.iter().rev().cloned().collect::<Vec<_>>();
            prop_assert_eq!(differences(&reversed(&bad), &reversed(&good), most), found);
        }

        #[test]
        fn what_is_common_to_both_sides_alike_is_no_difference(events in sample()) {
            prop_assert_eq!(differences(&events, &events, 9), []);
        }
    }
}
