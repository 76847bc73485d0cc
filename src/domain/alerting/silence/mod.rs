//! Silences, which suppress the notifications of some alerts for a while.
//!
//! A silence only suppresses notifications: evaluation, budget and pages are unaffected. It never
//! suppresses the end of an alert whose beginning was notified, and if it ends while the alert is
//! still firing, the alert is notified at once. [`plan`] validates new silences, [`matcher`]
//! decides which alerts a silence matches.

pub mod labels;
pub mod matcher;
pub mod plan;

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

pub use labels::AlertLabels;
pub use matcher::{MatchOperator, Matcher, ParseMatcherError};
pub use plan::{Draft, DraftError, Force, SilenceRecurrence};

use crate::domain::{
    model::{
        text::label_name,
        time::{TimeRange, Timestamp},
    },
    slo::{Severity, Slo},
};

/// The minimum length of a long silence, which is highlighted in lists: it may have been forgotten.
pub const LONG: Duration = Duration::from_hours(7 * 24);

/// The alerts, the times and the reason of a silence.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceTerms {
    /// All must match; at least one requires a value.
    pub matchers: Vec<Matcher>,
    /// Oldest first, all of one length; one unless it repeats.
    pub ranges: Vec<TimeRange>,
    pub repeat: Option<SilenceRecurrence>,
    pub reason: String,
    /// The author, if their identity is known.
    pub created_by: Option<String>,
}

/// A silence that was created.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    pub id: Uuid,
    pub terms: SilenceTerms,
    pub created_at: Timestamp,
    /// Set if it was ended early.
    pub ended: Option<Ended>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ended {
    pub at: Timestamp,
    pub by: Option<String>,
}

/// The state of a silence, as in Alertmanager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    /// It suppresses nothing now, but will later.
    Pending,
    Active,
    Expired,
}

impl Silence {
    pub fn state(&self, now: Timestamp) -> SilenceState {
        match self.range_at_or_after(now) {
            None => SilenceState::Expired,
            Some(range) if range.contains(now) => SilenceState::Active,
            Some(_) => SilenceState::Pending,
        }
    }

    /// Returns until when it suppresses notifications; `None` if it does not now.
    pub fn mutes_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.range_at_or_after(now)
            .filter(|range| range.contains(now))
            .map(|range| range.to)
    }

    /// Returns the current range, or the next.
    pub fn range_at_or_after(&self, now: Timestamp) -> Option<TimeRange> {
        if self.ended.as_ref().is_some_and(|ended| ended.at <= now) {
            return None;
        }
        let ranges = &self.terms.ranges;
        let next = ranges.partition_point(|range| range.to <= now);
        ranges.get(next).copied()
    }

    /// Returns when it ends for good.
    pub fn ends_at(&self) -> Timestamp {
        let last = self.terms.ends_at();
        self.ended.as_ref().map_or(last, |ended| ended.at.min(last))
    }

    pub fn matches(&self, labels: &AlertLabels) -> bool {
        self.terms.matches(labels)
    }
}

impl SilenceTerms {
    pub fn matches(&self, labels: &AlertLabels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Returns whether it could match an alert of `slo`, of any severity and group.
    pub fn may_match(&self, slo: &Slo) -> bool {
        let labels = AlertLabels::of_slo(slo, None, Severity::Page);
        let attributes = slo.group_by.iter().flat_map(|group| &group.attributes);
        let differs = |name: &str| {
            let mut attributes = attributes.clone();
            matches!(name, "severity" | "group")
                || attributes
                    .any(|one| name == one.key.as_ref() as &str || name == label_name(&one.key))
        };
        let mut matchers = self.matchers.iter();
        matchers.all(|matcher| differs(matcher.name()) || matcher.matches(&labels))
    }

    /// Returns the values of its matchers by name, by which Alertmanager's API filters silences.
    pub fn values(&self) -> AlertLabels {
        let matchers = self.matchers.iter();
        matchers
            .map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned()))
            .collect()
    }

    pub fn starts_at(&self) -> Timestamp {
        self.ranges
            .first()
            .map_or(Timestamp::UNIX_EPOCH, |first| first.from)
    }

    /// Returns the end of the last range.
    pub fn ends_at(&self) -> Timestamp {
        self.ranges
            .last()
            .map_or(Timestamp::UNIX_EPOCH, |last| last.to)
    }

    /// Returns the total time that it is active, over all its ranges.
    pub fn muted_time(&self) -> Duration {
        self.ranges.iter().map(TimeRange::length).sum()
    }

    /// Returns whether it is active so long that it may be forgotten.
    pub fn is_long(&self) -> bool {
        self.muted_time() > LONG
    }
}

/// Returns the one of `silences` that suppresses an alert longest, and until when.
pub fn muting<'a>(
    silences: &'a [Silence],
    labels: &AlertLabels,
    now: Timestamp,
) -> Option<(&'a Silence, Timestamp)> {
    silences
        .iter()
        .filter(|silence| silence.matches(labels))
        .filter_map(|silence| Some((silence, silence.mutes_until(now)?)))
        .max_by_key(|(silence, until)| (*until, silence.id))
}

impl SilenceState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for SilenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{model::group::Group, slo::Severity};

    fn minute(at: i64) -> Timestamp {
        Timestamp::from_secs(at * 60)
    }

    fn silence(id: u128, matcher: &str, ranges: &[(i64, i64)]) -> Silence {
        let range = |&(from, to): &(i64, i64)| TimeRange::new(minute(from), minute(to));
        Silence {
            id: Uuid::from_u128(id),
            terms: SilenceTerms {
                matchers: vec![matcher.parse().unwrap()],
                ranges: ranges.iter().map(range).collect(),
                repeat: None,
                reason: "upgrade".to_owned(),
                created_by: None,
            },
            created_at: minute(0),
            ended: None,
        }
    }

    fn orders() -> AlertLabels {
        AlertLabels::new(
            &"orders".parse().unwrap(),
            None,
            Severity::Page,
            Some("checkout"),
            [("team", "shop")],
        )
    }

    #[test]
    fn it_mutes_from_its_start_until_its_end_and_not_a_moment_longer() {
        let repeating = silence(1, "slo=orders", &[(10, 20), (30, 40)]);
        let states = [9, 10, 19, 20, 29, 30, 40].map(|at| repeating.state(minute(at)));
        assert_eq!(
            states.map(SilenceState::as_str),
            [
                "pending", "active", "active", "pending", "pending", "active", "expired"
            ]
        );
        assert_eq!(repeating.mutes_until(minute(12)), Some(minute(20)));
        assert_eq!(repeating.mutes_until(minute(20)), None);
        assert_eq!(repeating.ends_at(), minute(40));
    }

    #[test]
    fn one_that_was_ended_mutes_nothing_although_it_had_time_left() {
        let mut ended = silence(1, "slo=orders", &[(10, 20)]);
        ended.ended = Some(Ended {
            at: minute(15),
            by: None,
        });
        assert_eq!(ended.state(minute(14)), SilenceState::Active);
        assert_eq!(ended.state(minute(15)), SilenceState::Expired);
        assert_eq!(ended.ends_at(), minute(15));
    }

    #[test]
    fn of_several_that_mute_the_one_that_ends_last_is_told() {
        let all = [
            silence(1, "slo=orders", &[(0, 30)]),
            silence(2, "team=shop", &[(0, 60)]),
            silence(3, "team=shop", &[(50, 90)]),
            silence(4, "team=billing", &[(0, 99)]),
        ];
        let (mutes, until) = muting(&all, &orders(), minute(20)).unwrap();
        assert_eq!((mutes.id, until), (Uuid::from_u128(2), minute(60)));
        assert_eq!(muting(&all[3..], &orders(), minute(20)), None);
    }

    #[test]
    fn a_group_is_matched_by_its_values_as_well() {
        let group = Group {
            by: vec!["span.deployment.kind".to_owned()],
            values: Some(vec![Some("rollback".to_owned())]),
        };
        let of_group = AlertLabels::new(
            &"orders".parse().unwrap(),
            Some(&group),
            Severity::Ticket,
            None,
            [("slo", "a label never hides what the alert is of")],
        );
        for (matcher, expected) in [
            ("deployment.kind=rollback", true),
            ("group=rollback", true),
            ("slo=orders", true),
            ("severity=~page|ticket", true),
            ("service=", true),
            ("group=", false),
            ("alertname=orders", true),
            ("deployment_kind=rollback", true),
        ] {
            let matcher: Matcher = matcher.parse().unwrap();
            assert_eq!(matcher.matches(&of_group), expected, "{matcher}");
        }
    }

    #[test]
    fn prometheus_sees_the_labels_that_have_a_value_under_names_that_it_knows() {
        let labels = AlertLabels::new(
            &"orders".parse().unwrap(),
            None,
            Severity::Page,
            None,
            [("service.name", "shop"), ("empty", "")],
        );
        let expected = [
            ("alertname", "orders"),
            ("service_name", "shop"),
            ("severity", "page"),
            ("slo", "orders"),
        ];
        assert_eq!(
            labels.of_prometheus().into_iter().collect::<Vec<_>>(),
            expected
        );
    }

    proptest! {
        /// The same, computed in the slowest and simplest way.
        #[test]
        fn it_mutes_exactly_in_its_ranges(
            lengths in proptest::collection::vec((1_i64..9, 1_i64..9), 1..6),
            ended_at in proptest::option::of(0_i64..60), at in 0_i64..90,
        ) {
            let mut from = 0;
            let ranges: Vec<(i64, i64)> = lengths
                .iter()
                .map(|(pause, length)| {
                    let range = (from + pause, from + pause + length);
                    from = range.1;
                    range
                })
                .collect();
            let mut silence = silence(1, "slo=orders", &ranges);
            silence.ended = ended_at.map(|at| Ended { at: minute(at), by: None });
            let is_in_one = ranges.iter().any(|(from, to)| *from <= at && at < *to);
            let is_muted = is_in_one && ended_at.is_none_or(|ended_at| at < ended_at);
            prop_assert_eq!(silence.mutes_until(minute(at)).is_some(), is_muted);
            prop_assert_eq!(silence.state(minute(at)) == SilenceState::Active, is_muted);
        }
    }
}
