//! Alert policies: when to notify, and whom.

use std::time::Duration;

use crate::domain::model::ids::Name;

/// The rules of all policies of an SLO.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerting {
    /// Rules on burn rates.
    pub rules: Vec<AlertRule>,
    /// Rules on anything else.
    pub limits: Vec<ThresholdRule>,
    pub guard: Guard,
    pub burn: BurnKind,
    /// The time for which all rules must be clear before an alert resolves.
    pub resolve_after: Duration,
}

/// A rule on a burn rate in a long and in a short window: the long one shows that it is
/// significant, the short one that it continues.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    pub name: Name,
    pub severity: Severity,
    /// The burn rate at which the rule fires; at least 1 and at most `Objective::max_burn_rate`.
    pub factor: f64,
    pub long: Duration,
    pub short: Duration,
    /// The time for which both must burn before a notification.
    pub pending_for: Duration,
}

/// A rule on one number that has a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct ThresholdRule {
    pub name: Name,
    pub severity: Severity,
    pub limit: Limit,
    /// The time for which it must be reached before a notification.
    pub pending_for: Duration,
}

/// The steps of the time limit that a rule on workflows at risk may name, each of 5 %.
pub const TIME_LIMIT_STEPS: u8 = 20;

/// A quantity and its limit.
#[derive(
    Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// This share of the budget of the SLO's window is spent, in (0, 1].
    BudgetSpent { over: f64 },
    /// The budget will be exhausted within this time at the pace of the last quarter of it.
    Exhaustion {
        #[serde(rename = "within_seconds", with = "whole_seconds")]
        #[schemars(with = "u64")]
        within: Duration,
    },
    /// At least this many distinct customers had a bad event in the last `length`.
    Customers {
        affected: u32,
        #[serde(rename = "in_seconds", with = "whole_seconds")]
        #[schemars(with = "u64")]
        length: Duration,
    },
    /// No event at all for `length`, at a time that had some a week ago.
    Absence {
        #[serde(rename = "for_seconds", with = "whole_seconds")]
        #[schemars(with = "u64")]
        length: Duration,
    },
    /// At least this many workflows in flight have used this share of their time limit, in steps of
    /// 5 %.
    AtRisk { used: f64, workflows: u32 },
    /// No end was ever joined with a start, so every timeout may be due to a wrong selector or id.
    /// Every SLO has this rule; no file declares it.
    NeverEnded,
    /// More than this share of the events of the last hour cannot be used, or a page is in doubt
    /// because of them. Every SLO has this rule; no file declares it.
    Unusable { over: f64, page_in_doubt: bool },
    /// More than this share of the start spans of the last hour do not name their workflow. Every
    /// SLO has this rule; no file declares it.
    Uncorrelated { over: f64 },
}

impl Limit {
    /// Returns whether its alert begins when the budget begins to fall, since it depends on bad
    /// events.
    pub const fn is_on_budget(&self) -> bool {
        match self {
            Self::BudgetSpent { .. }
            | Self::Exhaustion { .. }
            | Self::Customers { .. }
            | Self::NeverEnded => true,
            Self::Absence { .. }
            | Self::AtRisk { .. }
            | Self::Unusable { .. }
            | Self::Uncorrelated { .. } => false,
        }
    }
}

/// Durations in their usual JSON form: a number of seconds.
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

/// The urgency of a notification.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ticket,
    Page,
}

/// The minimum of bad events in the long window below which no rule fires, against low traffic. It
/// does not apply to rules on customers and on absence, which count something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub bad_events: u64,
}

/// The computation of a burn rate from counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurnKind {
    /// Weighted by volume: the share of the budget that was really spent.
    Budget,
    /// The plain ratio of bad events.
    Ratio,
}

/// The targets to notify, by severity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    pub page: Vec<Name>,
    pub ticket: Vec<Name>,
}

/// The details of affected customers in messages, which reach more people than pages and API: these
/// name them to roles that may see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CustomerDetails {
    /// Not even their number.
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
    /// Returns whether an alert of this severity can fire. Tickets can if there are any rules,
    /// because of data quality.
    pub fn may_fire(&self, severity: Severity) -> bool {
        let has_rules = !self.rules.is_empty() || !self.limits.is_empty();
        self.declares(severity) || (severity == Severity::Ticket && has_rules)
    }

    /// Returns whether any rule has this severity.
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
