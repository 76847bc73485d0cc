//! The status of an SLO at one moment, as pages, API and alerts use it.

mod lasting;
mod measured;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use measured::{Measured, lookback_windows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    alert::{self, AlertState, AlertStatus, TickHistory},
    burn_rate::{BurnBounds, BurnContext, BurnRate},
    rule_status::{BurnCondition, RuleStatus, WindowStatus},
    rule_statuses::{RuleStatuses, windows_of},
    threshold::ThresholdStatus,
};
use crate::domain::{
    counting::{customers::CustomerTotal, time_used::TimeUsed},
    model::{counts::EventCounts, time::Timestamp},
    slo::{Severity, Slo},
};

/// One evaluation of one SLO. Stored as JSON in `slo_statuses`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloStatus {
    /// The moment the windows end at.
    pub evaluated_at: Timestamp,
    pub state: SloState,
    /// Over the SLO's own window; for a calendar period, over the part that has passed.
    pub window: EventCounts,
    /// Set for a calendar window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodStatus>,
    /// Share of the error budget not yet spent: 1 is all, below 0 is overspent. `None` without
    /// events. Unusable events count as good.
    pub budget_remaining: Option<f64>,
    /// The same with unusable events counted as bad; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_remaining_at_worst: Option<f64>,
    /// Seconds until the budget is exhausted at the rate of the long window of the rule that fired,
    /// or of the last hour if none did. `None` if it is exhausted already, or outlasts the
    /// forecast.
    pub budget_empty_in_secs: Option<u64>,
    /// Events of the last hour.
    pub last_hour: EventCounts,
    /// Burn rate of the last hour. `None` without events.
    pub burn_rate: Option<f64>,
    /// Rules on burn rates.
    pub rules: Vec<RuleStatus>,
    /// Rules on anything else.
    #[serde(default)]
    pub limits: Vec<ThresholdStatus>,
    /// Rules on data quality.
    #[serde(default)]
    pub quality: Vec<ThresholdStatus>,
    pub alerts: Vec<AlertStatus>,
    /// Events since the active incident began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_incident: Option<EventCounts>,
    /// Workflows that have started and are not judged, by the used share of their time limit.
    #[serde(default, rename = "in_flight_by_time_used")]
    pub time_used: TimeUsed,
    /// In flight past the deadline, still within the grace.
    pub overdue: i64,
    /// Distinct customers with a bad event in the last hour; `None` if the SLO names none.
    pub customers_affected: Option<i64>,
    /// Consecutive ticks that were on time, up to two.
    #[serde(default = "settled")]
    pub steady_ticks: u8,
    /// Customers with any event in the hours that the last hour touches; `None` if none is
    /// affected.
    #[serde(default)]
    pub customers_total: Option<CustomerTotal>,
}

/// The calendar period of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PeriodStatus {
    pub from: Timestamp,
    /// The time at which the budget is whole again.
    pub to: Timestamp,
    /// The events expected in all of it, by the usual traffic.
    pub expected_events: f64,
}

/// The state in one word, worst first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum SloState {
    Paging,
    Ticket,
    /// The short window of some rule is over its factor, the long one not yet.
    Rising,
    /// An alert is firing, but no rule burns any more.
    Recovering,
    /// No event in the whole window.
    NoData,
    /// So few events are expected that one bad one would spend the whole budget.
    TooFew,
    Ok,
}

/// The look-back of the "now" numbers.
pub const LAST_HOUR: Duration = Duration::from_hours(1);

impl SloState {
    /// Returns the sort key of an SLO, most urgent first: the state, then the time to exhaustion in
    /// seconds, then the ratio of the budget left.
    pub fn urgency(
        state: Option<Self>,
        budget_empty_in_seconds: Option<u64>,
        budget_remaining_ratio: Option<f64>,
    ) -> (Self, u64, i64) {
        #[expect(clippy::cast_possible_truncation, reason = "only an order")]
        let left = (budget_remaining_ratio.unwrap_or(f64::MAX).min(1e9) * 1e6) as i64;
        (
            state.unwrap_or(Self::NoData),
            budget_empty_in_seconds.unwrap_or(u64::MAX),
            left,
        )
    }

    /// Returns the name that it has in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paging => "paging",
            Self::Ticket => "ticket",
            Self::Rising => "rising",
            Self::Recovering => "recovering",
            Self::NoData => "no_data",
            Self::TooFew => "too_few",
            Self::Ok => "ok",
        }
    }

    /// Returns how long no other status need be kept for pages of earlier moments, as long as the state
    /// stays.
    pub const fn kept_every(self) -> Duration {
        match self {
            Self::Paging | Self::Ticket | Self::Rising | Self::Recovering => Duration::from_mins(1),
            Self::NoData | Self::TooFew | Self::Ok => Duration::from_hours(1),
        }
    }
}

impl SloStatus {
    /// Makes the status of `slo` by what was `measured`, with its rules and alerts as they are
    /// after this evaluation.
    pub fn new(
        slo: &Slo,
        measured: &Measured,
        statuses: RuleStatuses,
        alerts: Vec<AlertStatus>,
    ) -> Self {
        let BurnBounds {
            as_good: burn,
            as_bad,
        } = measured.burn_bounds(slo);
        let fired = alert::firing(&alerts).and_then(|alert| alert.rule.as_ref());
        let lasts = measured.budget_lasts(slo, &statuses, fired);
        let window = measured.budgeted(slo);
        let last_hour = measured.counted(LAST_HOUR);
        let pace = measured.pace(&burn);
        let RuleStatuses {
            rules,
            limits,
            quality,
        } = statuses;
        Self {
            evaluated_at: measured.at,
            state: slo_state(&burn, &rules, &alerts),
            window,
            period: measured.period_status(slo, &burn),
            budget_remaining: burn.budget_remaining(),
            budget_remaining_at_worst: (window.unusable() > 0)
                .then(|| as_bad.budget_remaining())
                .flatten(),
            budget_empty_in_secs: lasts.map(|lasts| lasts.as_secs()),
            last_hour,
            burn_rate: pace.map(BurnRate::value),
            rules,
            limits,
            quality,
            in_incident: measured
                .in_incident
                .filter(|_| alert::firing(&alerts).is_some()),
            alerts,
            time_used: measured.time_used.clone(),
            overdue: measured.overdue,
            customers_affected: slo.customer.as_ref().map(|_| measured.customers_affected),
            steady_ticks: settled(),
            customers_total: slo.customer.as_ref().and(measured.customers_total),
        }
    }

    /// Returns the burn rate and its events: over the long window of the rule that fired, as in
    /// messages, or over the last hour if none did.
    pub fn pace(&self) -> WindowStatus {
        let fired = alert::firing(&self.alerts).and_then(|alert| alert.rule.as_ref());
        let of_fired =
            fired.and_then(|fired| windows_of(&self.rules, [&self.limits, &self.quality], fired));
        of_fired.map_or_else(
            || WindowStatus::new(LAST_HOUR.as_secs(), self.last_hour, self.burn_rate),
            |rule| rule.long.clone(),
        )
    }

    /// Returns the most recent rate: over the short window of the burn-rate rule that fired, or of
    /// the first rule.
    pub fn lately(&self) -> WindowStatus {
        let fired = alert::firing(&self.alerts).and_then(|alert| alert.rule.as_ref());
        let of_fired = self.rules.iter().find(|rule| Some(&rule.name) == fired);
        of_fired.or(self.rules.first()).map_or_else(
            || WindowStatus::new(LAST_HOUR.as_secs(), self.last_hour, self.burn_rate),
            |rule| rule.short.clone(),
        )
    }

    /// Returns the workflows in flight by used tenth of their time limit; the eleventh is past the
    /// deadline.
    pub fn tenths_used(&self) -> Vec<i64> {
        self.time_used.tenths()
    }

    /// Returns the status at the time at which the SLO was last found unchanged, if that is later.
    #[must_use]
    pub fn found_unchanged_at(mut self, at: Option<Timestamp>) -> Self {
        self.evaluated_at = at.map_or(self.evaluated_at, |at| at.max(self.evaluated_at));
        self
    }

    /// Returns the same status with this tick history.
    #[must_use]
    pub const fn after_ticks(mut self, ticks: TickHistory) -> Self {
        self.steady_ticks = ticks.steady_ticks;
        self
    }
}

/// Returns the default for a status without the field, which was written by a version that
/// evaluated without gaps.
const fn settled() -> u8 {
    TickHistory::first(Timestamp::UNIX_EPOCH).steady_ticks
}

/// Returns whether a rule burns and has not fired: it waits until it has burned for a while, or
/// until the SLO is old enough.
fn is_rising(rule: &RuleStatus) -> bool {
    let is_over = || rule.short.burn_rate.is_some_and(|rate| rate >= rule.factor);
    match rule.condition {
        BurnCondition::Rising | BurnCondition::Burning => true,
        BurnCondition::TooYoung => is_over(),
        BurnCondition::Recovering
        | BurnCondition::InDoubt
        | BurnCondition::TooFew
        | BurnCondition::Quiet
        | BurnCondition::NoData => false,
    }
}

/// Returns the worst state that applies, in the order of [`SloState`].
fn slo_state(burn: &BurnContext, rules: &[RuleStatus], alerts: &[AlertStatus]) -> SloState {
    let fires = |severity| {
        let mut alerts = alerts.iter();
        alerts.any(|alert| alert.severity == severity && alert.state == AlertState::Firing)
    };
    if fires(Severity::Page) {
        SloState::Paging
    } else if fires(Severity::Ticket) {
        SloState::Ticket
    } else if rules.iter().any(is_rising) {
        SloState::Rising
    } else if alerts
        .iter()
        .any(|alert| alert.state == AlertState::Recovering)
    {
        SloState::Recovering
    } else if burn.in_window.total() <= 0 {
        SloState::NoData
    } else if burn.has_too_few_events() {
        SloState::TooFew
    } else {
        SloState::Ok
    }
}
