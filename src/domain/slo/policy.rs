//! When people are told, and who.

use std::time::Duration;

use crate::domain::model::ids::Name;

/// When people are told: rules of all policies of an SLO.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerting {
    /// On burn rates.
    pub rules: Vec<AlertRule>,
    /// On anything else.
    pub limits: Vec<LimitRule>,
    pub guard: Guard,
    pub burn: BurnKind,
    /// Quiet this long before an alert resolves.
    pub resolve_after: Duration,
}

/// A burn rate that must be reached in a long and in a short window: the long one tells that it
/// matters, the short one that it still goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    pub name: Name,
    pub severity: Severity,
    /// The burn rate at which the rule reacts; at least 1 and at most `Objective::max_burn_rate`.
    pub factor: f64,
    pub long: Duration,
    pub short: Duration,
    /// For how long both must burn before people are told.
    pub pending_for: Duration,
}

/// A rule on one number that has a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRule {
    pub name: Name,
    pub severity: Severity,
    pub limit: Limit,
    /// For how long it must be reached before people are told.
    pub pending_for: Duration,
}

/// What has a limit, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// This share of the budget of the SLO's window is spent, in (0, 1].
    BudgetSpent { over: f64 },
    /// The budget is gone within this time at the pace of the last quarter of it.
    Exhaustion {
        #[serde(rename = "within_seconds", with = "whole_seconds")]
        within: Duration,
    },
    /// So many different customers had a bad event in the last `length`.
    Customers {
        affected: u32,
        #[serde(rename = "in_seconds", with = "whole_seconds")]
        length: Duration,
    },
    /// No event at all for `length`, at a time that had some a week ago.
    Absence {
        #[serde(rename = "for_seconds", with = "whole_seconds")]
        length: Duration,
    },
    /// No end was ever joined with a start, so every timeout may be due to a selector or an id. Of every
    /// SLO; no file declares it.
    NeverEnded,
    /// More than this share of the events of the last hour cannot be used, or a page is in doubt because
    /// of them. Of every SLO; no file declares it.
    Unusable { over: f64, page_in_doubt: bool },
    /// More than this share of the start spans of the last hour do not name their workflow. Of every
    /// SLO; no file declares it.
    Uncorrelated { over: f64 },
}

/// Lengths as JSON has them everywhere: a number of seconds.
pub mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(length.as_secs())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

/// How urgently people are told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ticket,
    Page,
}

/// The floor against low traffic: nothing fires on fewer bad events in the long window. Rules on
/// customers and on absence are not held by it: they count something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub bad_events: u64,
}

/// How a burn rate is computed from counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurnKind {
    /// Weighed by volume: the share of the budget that was really spent.
    Budget,
    /// The plain ratio of bad events.
    Ratio,
}

/// Who is told, by severity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    pub page: Vec<Name>,
    pub ticket: Vec<Name>,
}

/// How much messages reveal of the affected customers. Pages and API always name them; messages reach
/// more people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CustomerDetails {
    /// Not even how many.
    None,
    #[default]
    Counts,
    /// By stable pseudonyms.
    Hashed,
    Names,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

impl Alerting {
    /// Whether an alert of this severity can fire. Tickets can wherever there are rules, because of data
    /// quality.
    pub fn may_fire(&self, severity: Severity) -> bool {
        let has_rules = !self.rules.is_empty() || !self.limits.is_empty();
        self.declares(severity) || (severity == Severity::Ticket && has_rules)
    }

    /// Whether any rule tells with this urgency.
    pub fn declares(&self, severity: Severity) -> bool {
        let of_rules = self.rules.iter().map(|rule| rule.severity);
        let mut all = of_rules.chain(self.limits.iter().map(|rule| rule.severity));
        all.any(|declared| declared == severity)
    }
}

impl Default for Alerting {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            limits: Vec::new(),
            guard: Guard { bad_events: 5 },
            burn: BurnKind::Budget,
            resolve_after: Duration::from_mins(5),
        }
    }
}
