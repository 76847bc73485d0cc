//! One SLO in one row: in the overview, on top of the SLO page, and in the API.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::{backlog::Backlog, period::PeriodView};
use crate::{
    domain::{
        alerting::{
            alert::{AlertStatus, Recovery, firing},
            burn_rate::{BurnRate, budget_in_events},
            rule_status::{RuleStatus, WindowStatus, leading_rule},
            status::{LAST_HOUR, SloState, SloStatus},
            suppression::Suppression,
            threshold::{ThresholdState, ThresholdStatus},
        },
        counting::customers::CustomerTotal,
        model::{
            counts::{EventCounts, whole},
            format,
            ids::Name,
            objective::Objective,
            time::Timestamp,
            window::SloWindow,
        },
        slo::{Indicator, Limit, Severity, Slo},
    },
    store::SloRecord,
    web::chart::{self, Bullet, Markup},
};

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Summary {
    pub(crate) name: Name,
    pub(crate) display_name: String,
    pub(crate) description: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) objective_ratio: f64,
    /// For a calendar window, the longest possible period.
    pub(crate) window_seconds: u64,
    #[serde(rename = "calendar", skip_serializing_if = "Option::is_none")]
    pub(crate) period: Option<PeriodView>,
    /// The time limit of a workflow; `None` for a one-span SLI.
    pub(crate) within_seconds: Option<f64>,
    /// `None` before the first evaluation.
    pub(crate) state: Option<SloState>,
    /// The time at which the alert of the state fired.
    pub(crate) fired_at: Option<Timestamp>,
    /// The time at which the problem of that alert began, which people understand by "since".
    pub(crate) began_at: Option<Timestamp>,
    pub(crate) evaluated_at: Option<Timestamp>,
    pub(crate) achieved_ratio: Option<f64>,
    pub(crate) budget_remaining_ratio: Option<f64>,
    /// The same with unusable events counted as bad; `None` if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) budget_remaining_at_worst_ratio: Option<f64>,
    /// Bad events that the whole budget allows at this volume, and those that are left.
    pub(crate) budget_events: i64,
    pub(crate) budget_remaining_events: i64,
    pub(crate) budget_empty_in_seconds: Option<u64>,
    pub(crate) budget_empty_at: Option<Timestamp>,
    /// The burn rate and its bad events: over the long window of the rule that fired, as in
    /// messages, or over the last hour if none did.
    #[serde(rename = "leading_window")]
    pub(crate) pace: WindowStatus,
    /// The burn rate when the rule fired, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burn_rate_at_firing: Option<f64>,
    /// Set if an alert fires and no rule burns any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery: Option<Recovery>,
    pub(crate) burn_rate_last_hour: Option<f64>,
    pub(crate) last_hour: Counts,
    pub(crate) customers_affected_last_hour: Option<i64>,
    /// Customers with any event; `None` if none is affected.
    pub(crate) customers_total_last_hour: Option<CustomerTotal>,
    /// Workflows that have started and are not judged.
    pub(crate) in_flight: i64,
    /// The same by tenth of the time limit that they have used; the eleventh is past the deadline.
    pub(crate) in_flight_by_time_used: Vec<i64>,
    /// Workflows in flight past the deadline.
    pub(crate) overdue: i64,
    /// Workflows judged at their deadline that have still not finished.
    pub(crate) never_finished: Backlog,
    pub(crate) rules: Vec<RuleStatus>,
    /// Threshold rules.
    pub(crate) threshold_rules: Vec<ThresholdStatus>,
    /// Rules on data quality.
    pub(crate) quality_rules: Vec<ThresholdStatus>,
    pub(crate) alerts: Vec<AlertStatus>,
    /// For a group: severities whose alert does not begin because that of the whole SLO fires.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) inhibited: Vec<Severity>,
    /// The minimum of bad events in a rule's long window for a notification.
    #[serde(skip)]
    pub(crate) least_bad_events: u64,
    /// Counts of the window at the evaluation.
    pub(crate) evaluated_counts: Counts,
    #[serde(skip)]
    pub(crate) objective: Objective,
    #[serde(skip)]
    pub(crate) window: SloWindow,
}

/// Counts with their two sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub(crate) struct Counts {
    #[serde(flatten)]
    pub(crate) by_outcome: EventCounts,
    pub(crate) bad: i64,
    pub(crate) total: i64,
}

impl From<EventCounts> for Counts {
    fn from(by_outcome: EventCounts) -> Self {
        Self {
            by_outcome,
            bad: by_outcome.bad(),
            total: by_outcome.total(),
        }
    }
}

impl Summary {
    pub(crate) fn new(slo: &Slo, record: Option<&SloRecord>) -> Self {
        let status = record.and_then(|record| record.status.as_ref());
        let firing = status.and_then(|status| firing(&status.alerts));
        let window = status.map_or(EventCounts::ZERO, |status| status.window);
        let period = PeriodView::new(slo, status.and_then(|status| status.period));
        let budget_events =
            budget_in_events(volume(period.as_ref(), window.as_good()), slo.objective);
        let empty_in = status.and_then(|status| status.budget_empty_in_secs);
        Self {
            name: slo.name.clone(),
            display_name: slo.display_name.clone(),
            description: slo.description.clone(),
            service: slo.service.clone(),
            labels: slo.labels.clone(),
            objective_ratio: slo.objective.ratio(),
            window_seconds: slo.window.length().as_secs(),
            period,
            within_seconds: within(slo),
            state: status.map(|status| status.state),
            fired_at: firing.map(|alert| alert.since),
            began_at: firing.and_then(|alert| alert.began_at.or(Some(alert.since))),
            evaluated_at: status.map(|status| status.evaluated_at),
            achieved_ratio: window.good_ratio(),
            budget_remaining_ratio: status.and_then(|status| status.budget_remaining),
            budget_remaining_at_worst_ratio: status
                .and_then(|status| status.budget_remaining_at_worst),
            budget_events,
            budget_remaining_events: budget_events - whole(window.weighted_bad()),
            budget_empty_in_seconds: empty_in,
            budget_empty_at: status
                .zip(empty_in)
                .map(|(status, secs)| status.evaluated_at + Duration::from_secs(secs)),
            pace: status.map_or_else(
                || WindowStatus::new(LAST_HOUR.as_secs(), EventCounts::ZERO, None),
                SloStatus::pace,
            ),
            burn_rate_at_firing: None,
            recovery: firing.and_then(|alert| alert.progress.recovery),
            burn_rate_last_hour: status.and_then(|status| status.burn_rate),
            last_hour: status
                .map(|status| status.last_hour)
                .unwrap_or_default()
                .into(),
            customers_affected_last_hour: status.and_then(|status| status.customers_affected),
            customers_total_last_hour: status.and_then(|status| status.customers_total),
            in_flight: status.map_or(0, |status| status.time_used.in_flight()),
            in_flight_by_time_used: status.map_or_else(Vec::new, SloStatus::tenths_used),
            overdue: status.map_or(0, |status| status.overdue),
            never_finished: status.map(Backlog::new).unwrap_or_default(),
            rules: status.map_or_else(Vec::new, |status| status.rules.clone()),
            threshold_rules: status.map_or_else(Vec::new, |status| status.limits.clone()),
            quality_rules: status.map_or_else(Vec::new, |status| status.quality.clone()),
            alerts: status.map_or_else(Vec::new, |status| status.alerts.clone()),
            inhibited: status
                .map(|status| inhibited(&status.alerts))
                .unwrap_or_default(),
            least_bad_events: slo.alerting.guard.bad_events,
            evaluated_counts: window.into(),
            objective: slo.objective,
            window: slo.window,
        }
    }

    pub(crate) fn face(&self) -> StatusBadge {
        StatusBadge::of(self.state)
    }

    pub(crate) fn urgency(&self) -> (SloState, u64, i64) {
        SloState::urgency(
            self.state,
            self.budget_empty_in_seconds,
            self.budget_remaining_ratio,
        )
    }

    pub(crate) fn objective_text(&self) -> String {
        format::objective(self.objective_ratio)
    }

    /// Formats `28 d`, `this month`.
    pub(crate) fn window_text(&self) -> String {
        let rolling = || format::window(self.window_seconds);
        self.period.as_ref().map_or_else(rolling, PeriodView::this)
    }

    /// Formats `28 d`, `a calendar month`.
    pub(crate) fn whole_text(&self) -> String {
        let rolling = || format::window(self.window_seconds);
        self.period.as_ref().map_or_else(rolling, PeriodView::whole)
    }

    /// Formats `the last 28 d`, `this month`.
    pub(crate) fn reach_text(&self) -> String {
        let rolling = || format!("the last {}", format::window(self.window_seconds));
        self.period.as_ref().map_or_else(rolling, PeriodView::this)
    }

    /// Returns the number of events that the budget is a share of.
    pub(crate) fn budget_volume(&self) -> f64 {
        volume(
            self.period.as_ref(),
            self.evaluated_counts.by_outcome.as_good(),
        )
    }

    pub(crate) fn achieved_text(&self) -> String {
        format::achieved(self.achieved_ratio, self.objective_ratio)
    }

    /// Formats `82 %`, or `82 % (61 % at worst)` if some events are unusable.
    pub(crate) fn budget_text(&self) -> String {
        format::budget_range(
            self.budget_remaining_ratio,
            self.budget_remaining_at_worst_ratio,
        )
    }

    /// Returns the bad events that have used the budget, weighted where spans are sampled.
    pub(crate) fn budget_used_events(&self) -> i64 {
        self.budget_events - self.budget_remaining_events
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.budget_remaining_ratio.is_some_and(|left| left <= 0.0)
    }

    /// Formats the burn rate, compared with the most urgent rule, so that it is never rounded to
    /// its factor.
    pub(crate) fn burn_text(&self) -> String {
        let rule = self.leading_rule().map(|rule| rule.factor);
        format::burn_rate(self.pace.burn_rate, rule)
    }

    pub(crate) fn burn_text_at_firing(&self) -> Option<String> {
        let factor = self.fired_burn()?.factor;
        Some(format::burn_rate(self.burn_rate_at_firing?, factor))
    }

    /// Returns the same rate for a forecast.
    pub(crate) fn burn_rate(&self) -> Option<BurnRate> {
        BurnRate::of_value(self.pace.burn_rate?)
    }

    /// Formats the window of the burn rate: `1 h`.
    pub(crate) fn burn_window_text(&self) -> String {
        format::window(self.pace.secs)
    }

    /// Returns the rule that fired, if it is on a burn rate.
    pub(crate) fn fired_burn(&self) -> Option<&RuleStatus> {
        let name = self.fired_rule()?;
        self.rules.iter().find(|rule| rule.name == *name)
    }

    pub(crate) fn empty_in_text(&self) -> String {
        match self.budget_empty_in_seconds {
            _ if self.is_spent() => "spent".to_owned(),
            Some(secs) => format::lasting(Duration::from_secs(secs)),
            None => format::NONE.to_owned(),
        }
    }

    /// Formats `29 of 391 customers in the last hour`; `None` if no one is known to be affected.
    pub(crate) fn people_text(&self) -> Option<String> {
        let total = self.customers_total_last_hour.as_ref();
        let people = CustomerTotal::people(self.customers_affected_last_hour, total)?;
        Some(format!("{people} in the last hour"))
    }

    /// Formats `200 of 2,000 bad in the last 1 h`.
    pub(crate) fn bad_text(&self) -> String {
        self.pace.bad_sentence()
    }

    /// Formats the status of the rule that fired: `23× over 1 h and 29× over 5 min, limit 13.44×`.
    pub(crate) fn rule_text(&self) -> String {
        let burn = self.fired_burn().map(RuleStatus::sentence);
        let limit = self.fired_limit().map(ThresholdStatus::sentence);
        burn.or(limit).unwrap_or_else(|| self.burn_text())
    }

    pub(crate) fn in_flight_text(&self) -> String {
        format::count(self.in_flight)
    }

    pub(crate) fn overdue_text(&self) -> String {
        format::count(self.overdue)
    }

    pub(crate) fn never_finished_text(&self) -> String {
        format::count(self.never_finished.workflows)
    }

    pub(crate) fn labels_text(&self) -> Vec<String> {
        self.labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    /// Draws a bar for each tenth of the time limit; empty if nothing is in flight.
    pub(crate) fn time_used_bars(&self) -> Markup {
        chart::time_used_bars(&self.in_flight_by_time_used)
    }

    pub(crate) fn budget_bar(&self) -> Markup {
        chart::budget_bar(self.budget_remaining_ratio)
    }

    /// Draws the most urgent rule; empty before the first evaluation.
    pub(crate) fn burn_track(&self) -> Markup {
        self.leading_rule().map(rule_track).unwrap_or_default()
    }

    pub(crate) fn leading_rule(&self) -> Option<&RuleStatus> {
        leading_rule(&self.rules, self.fired_rule())
    }

    /// Returns the rule that fired, if it is a threshold rule.
    pub(crate) fn fired_limit(&self) -> Option<&ThresholdStatus> {
        let name = self.fired_rule()?;
        let mut limits = self.threshold_rules.iter().chain(&self.quality_rules);
        limits.find(|limit| limit.name == *name)
    }

    /// Returns whether a rule burns although no end was ever joined with a start.
    pub(crate) fn has_never_ended(&self) -> bool {
        let mut quality = self.quality_rules.iter();
        quality.any(|rule| rule.limit == Limit::NeverEnded)
    }

    fn fired_rule(&self) -> Option<&Name> {
        firing(&self.alerts)?.rule.as_ref()
    }
}

/// Draws a mark on the scale of its limit; none for an absence, which has no scale.
pub(crate) fn limit_track(limit: &ThresholdStatus) -> Markup {
    let at = match (limit.share_of_limit(), limit.state) {
        (None, ThresholdState::Over) => Some(1.0),
        (share, _) => share,
    };
    Bullet {
        long: at,
        short: None,
        factor: 1.0,
    }
    .draw(&limit.sentence())
}

pub(crate) fn rule_track(rule: &RuleStatus) -> Markup {
    let rate = |rate| format::burn_rate(rate, rule.factor);
    let sentence = format!(
        "Burn rate {} over {} and {} over {}, against {}",
        rate(rule.long.burn_rate),
        rule.long.text(),
        rate(rule.short.burn_rate),
        rule.short.text(),
        format::factor(rule.factor),
    );
    Bullet {
        long: rule.long.burn_rate,
        short: rule.short.burn_rate,
        factor: rule.factor,
    }
    .draw(&sentence)
}

fn volume(period: Option<&PeriodView>, in_window: EventCounts) -> f64 {
    let status = period.and_then(|period| period.status);
    status.map_or_else(
        || in_window.weighted_total(),
        |status| status.expected_events,
    )
}

fn within(slo: &Slo) -> Option<f64> {
    match &slo.indicator {
        Indicator::Workflow(workflow) => Some(workflow.within.as_secs_f64()),
        Indicator::Span(_) => None,
    }
}

/// Returns the severities whose alert fires and is inhibited.
fn inhibited(alerts: &[AlertStatus]) -> Vec<Severity> {
    let held = alerts
        .iter()
        .filter(|alert| matches!(alert.progress.muted, Some(Suppression::Inhibited { .. })));
    held.map(|alert| alert.severity).collect()
}

/// The look of a state: a shape, a word and a colour, so that it is readable without one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusBadge {
    /// `#i-<icon>` in the layout.
    pub(crate) icon: &'static str,
    pub(crate) word: &'static str,
    pub(crate) class: &'static str,
}

impl StatusBadge {
    pub(crate) fn of(state: Option<SloState>) -> Self {
        let (icon, word, class) = match state {
            Some(SloState::Paging) => ("page", "Paging", "page"),
            Some(SloState::Ticket) => ("ticket", "Ticket", "ticket"),
            Some(SloState::Rising) => ("up", "Rising", "rising"),
            Some(SloState::Recovering) => ("down", "Recovering", "recovering"),
            Some(SloState::NoData) => ("low", "No data", "mut"),
            Some(SloState::TooFew) => ("low", "Too few", "mut"),
            Some(SloState::Ok) => ("ok", "OK", "ok"),
            None => ("low", "New", "mut"),
        };
        Self { icon, word, class }
    }

    /// Returns the severity as a word.
    pub(crate) const fn severity_text(severity: Severity) -> &'static str {
        match severity {
            Severity::Page => "Page",
            Severity::Ticket => "Ticket",
        }
    }

    pub(crate) fn of_severity(severity: Severity) -> Self {
        match severity {
            Severity::Page => Self::of(Some(SloState::Paging)),
            Severity::Ticket => Self::of(Some(SloState::Ticket)),
        }
    }

    /// Returns the icon of the browser tab.
    pub(crate) fn favicon(&self) -> &'static str {
        match self.icon {
            "page" => "page",
            "ticket" => "ticket",
            _ => "ok",
        }
    }
}
