//! Metrics of SLOs, by their last evaluation.

use prometheus::GaugeVec;

use super::events::by_outcome;
use crate::{
    domain::{
        alerting::{
            rule_status::WindowStatus,
            threshold::{ThresholdState, ThresholdStatus},
        },
        counting::stages::HopWaits,
        model::window::SloWindow,
        slo::{Limit, Slo},
    },
    store::{GroupTally, SelectedSpans},
    telemetry::metric_builder::MetricBuilder,
    web::pages::summary::Summary,
};

/// Name, help and labels of every metric of an SLO.
mod names {
    pub(super) type Metric = (&'static str, &'static str, &'static [&'static str]);

    pub(super) const OBJECTIVE: Metric = (
        "throughline_slo_objective_ratio",
        "The objective: share of good events.",
        &["slo"],
    );
    pub(super) const BUDGET: Metric = (
        "throughline_slo_error_budget_remaining_ratio",
        "Share of the error budget not yet spent; below 0 if overspent. Absent without events.",
        &["slo"],
    );
    pub(super) const BURN: Metric = (
        "throughline_slo_burn_rate",
        "How many times too fast the budget was spent in a window of a rule. Absent without events.",
        &["slo", "rule", "window"],
    );
    // A metric has one unit, so each kind of threshold rule has its own.
    pub(super) const BUDGET_SPENT: Metric = (
        "throughline_slo_budget_spent_ratio",
        "Share of the error budget spent, of rules of kind `budgetSpent`. Absent without events.",
        &["slo", "rule"],
    );
    pub(super) const EXHAUSTION: Metric = (
        "throughline_slo_budget_exhaustion_seconds",
        "Time until the error budget is spent, of rules of kind `exhaustion`. Absent where the budget does not shrink.",
        &["slo", "rule"],
    );
    pub(super) const CUSTOMERS: Metric = (
        "throughline_slo_customers_affected",
        "Customers with a bad event, of rules of kind `customers`.",
        &["slo", "rule"],
    );
    pub(super) const AT_RISK: Metric = (
        "throughline_slo_workflows_at_risk",
        "Workflows in flight that have used so much of their time limit as a rule of kind `atRisk` names.",
        &["slo", "rule"],
    );
    pub(super) const REFERENCE_EVENTS: Metric = (
        "throughline_slo_reference_events",
        "Events in the same time a week ago, of rules of kind `absence`.",
        &["slo", "rule"],
    );
    pub(super) const EXCEEDED: Metric = (
        "throughline_slo_threshold_exceeded",
        "1 if the threshold of the rule is reached, else 0. Absent if unknown.",
        &["slo", "rule", "kind"],
    );
    pub(super) const EVENTS: Metric = (
        "throughline_slo_events_window",
        "Events of the SLO's window by outcome; good, late, failed and timeout are its total.",
        &["slo", "outcome"],
    );
    pub(super) const EVIDENCE: Metric = (
        "throughline_slo_evidence",
        "Spans that could not be used or that changed a verdict, by reason. The page of the SLO explains each reason.",
        &["slo", "reason"],
    );
    pub(super) const IN_FLIGHT: Metric = (
        "throughline_slo_workflows_in_flight",
        "Workflows started and not judged.",
        &["slo"],
    );
    pub(super) const OVERDUE: Metric = (
        "throughline_slo_workflows_overdue",
        "Workflows in flight past their deadline.",
        &["slo"],
    );
    pub(super) const EVALUATED: Metric = (
        "throughline_slo_last_evaluation_timestamp_seconds",
        "When the SLO was evaluated last, in seconds since the Unix epoch.",
        &["slo"],
    );
    pub(super) const GROUPS: Metric = (
        "throughline_slo_groups",
        "Groups of the SLO with budgets of their own. Absent where events are not grouped.",
        &["slo"],
    );
    pub(super) const GROUPS_BURNING: Metric = (
        "throughline_slo_groups_burning",
        "Groups of the SLO that page or have a ticket, also those whose alert is inhibited.",
        &["slo"],
    );
    pub(super) const SPANS: Metric = (
        "throughline_slo_spans_window",
        "Spans of the SLO's window that its selectors chose: `correlated`, or why they were not used.",
        &["slo", "reason"],
    );
    pub(super) const HOP_WAIT: Metric = (
        "throughline_slo_hop_wait_min_seconds",
        "Smallest wait of messages from one service to another in this hour and the one before; negative \
         if the sender's clock is ahead. At most 16 pairs of services an hour.",
        &["slo", "sender", "receiver"],
    );
    pub(super) const GROUPS_LEFT_OUT: Metric = (
        "throughline_slo_groups_left_out",
        "Groups of the SLO without series of their own, because there are more than \
         `--metrics-max-groups`. Absent where events are not grouped.",
        &["slo"],
    );
    pub(super) const CUSTOMERS_LAST_HOUR: Metric = (
        "throughline_slo_customers_affected_last_hour",
        "Customers with a bad event in the last hour. Absent where the SLO names no customers.",
        &["slo"],
    );
    pub(super) const INFO: Metric = (
        "throughline_slo_info",
        "1. The labels are from the definition: the service, the label `team`, the namespace, the objective and the window, \
         such as `28d` or `month`.",
        &["slo", "service", "team", "namespace", "objective", "window"],
    );
}

/// The gauges of one scrape.
pub(super) struct SloGauges {
    objective: GaugeVec,
    budget: GaugeVec,
    burn: GaugeVec,
    budget_spent: GaugeVec,
    exhaustion: GaugeVec,
    customers: GaugeVec,
    at_risk: GaugeVec,
    reference_events: GaugeVec,
    exceeded: GaugeVec,
    events: GaugeVec,
    evidence: GaugeVec,
    in_flight: GaugeVec,
    overdue: GaugeVec,
    evaluated: GaugeVec,
    groups: GaugeVec,
    groups_burning: GaugeVec,
    spans: GaugeVec,
    hop_wait: GaugeVec,
    groups_left_out: GaugeVec,
    customers_last_hour: GaugeVec,
    info: GaugeVec,
}

impl SloGauges {
    pub(super) fn new(builder: &MetricBuilder) -> Result<Self, prometheus::Error> {
        let gauge = |(name, help, labels): names::Metric| builder.gauges(name, help, labels);
        Ok(Self {
            objective: gauge(names::OBJECTIVE)?,
            budget: gauge(names::BUDGET)?,
            burn: gauge(names::BURN)?,
            budget_spent: gauge(names::BUDGET_SPENT)?,
            exhaustion: gauge(names::EXHAUSTION)?,
            customers: gauge(names::CUSTOMERS)?,
            at_risk: gauge(names::AT_RISK)?,
            reference_events: gauge(names::REFERENCE_EVENTS)?,
            exceeded: gauge(names::EXCEEDED)?,
            events: gauge(names::EVENTS)?,
            evidence: gauge(names::EVIDENCE)?,
            in_flight: gauge(names::IN_FLIGHT)?,
            overdue: gauge(names::OVERDUE)?,
            evaluated: gauge(names::EVALUATED)?,
            groups: gauge(names::GROUPS)?,
            groups_burning: gauge(names::GROUPS_BURNING)?,
            spans: gauge(names::SPANS)?,
            hop_wait: gauge(names::HOP_WAIT)?,
            groups_left_out: gauge(names::GROUPS_LEFT_OUT)?,
            customers_last_hour: gauge(names::CUSTOMERS_LAST_HOUR)?,
            info: gauge(names::INFO)?,
        })
    }

    fn set_burn(&self, slo: &str, rule: &str, window: &WindowStatus) {
        if let Some(rate) = window.burn_rate {
            let labels = [slo, rule, &window_label(window.secs)];
            self.burn.with_label_values(&labels).set(rate);
        }
    }

    fn set_threshold_rule(&self, slo: &str, rule: &ThresholdStatus) {
        let (kind, gauge) = match rule.limit {
            Limit::BudgetSpent { .. } => ("budget_spent", &self.budget_spent),
            Limit::Exhaustion { .. } => ("exhaustion", &self.exhaustion),
            Limit::Customers { .. } => ("customers", &self.customers),
            Limit::Absence { .. } => ("absence", &self.reference_events),
            Limit::AtRisk { .. } => ("at_risk", &self.at_risk),
            Limit::NeverEnded | Limit::Unusable { .. } | Limit::Uncorrelated { .. } => return,
        };
        let name = rule.name.as_str();
        if let Some(value) = rule.value {
            gauge.with_label_values(&[slo, name]).set(value);
        }
        let exceeded = match rule.state {
            ThresholdState::Over => 1.0,
            ThresholdState::Near | ThresholdState::TooFew | ThresholdState::Under => 0.0,
            ThresholdState::Unknown | ThresholdState::InDoubt => return,
        };
        let labels = [slo, name, kind];
        self.exceeded.with_label_values(&labels).set(exceeded);
    }

    #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
    pub(super) fn set_groups(&self, slo: &str, tally: GroupTally, shown: usize) {
        let groups = self.groups.with_label_values(&[slo]);
        groups.set(tally.groups as f64);
        let burning = self.groups_burning.with_label_values(&[slo]);
        burning.set(tally.burning as f64);
        let left_out = self.groups_left_out.with_label_values(&[slo]);
        left_out.set((tally.groups as f64 - shown as f64).max(0.0));
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn set_evidence(&self, slo: &str, reason: &str, count: i64) {
        self.evidence
            .with_label_values(&[slo, reason])
            .set(count as f64);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and times stay far below 2^53"
    )]
    pub(super) fn set(&self, slo: &Summary) {
        let name = slo.name.as_str();
        self.objective
            .with_label_values(&[name])
            .set(slo.objective_ratio);
        let Some(evaluated_at) = slo.evaluated_at else {
            return;
        };
        self.evaluated
            .with_label_values(&[name])
            .set(evaluated_at.as_micros() as f64 / 1e6);
        if let Some(left) = slo.budget_remaining_ratio {
            self.budget.with_label_values(&[name]).set(left);
        }
        for rule in &slo.rules {
            for window in [&rule.long, &rule.short] {
                self.set_burn(name, rule.name.as_str(), window);
            }
        }
        for rule in &slo.threshold_rules {
            self.set_threshold_rule(name, rule);
        }
        for (outcome, n) in by_outcome(&slo.evaluated_counts.by_outcome) {
            self.events
                .with_label_values(&[name, outcome])
                .set(n as f64);
        }
        self.in_flight
            .with_label_values(&[name])
            .set(slo.in_flight as f64);
        self.overdue
            .with_label_values(&[name])
            .set(slo.overdue as f64);
    }
}

impl SloGauges {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 microseconds")]
    pub(super) fn set_hop_waits(&self, name: &str, waits: &HopWaits) {
        for (pair, wait) in &waits.0 {
            let labels = [name, &pair.sender, &pair.receiver];
            let gauge = self.hop_wait.with_label_values(&labels);
            gauge.set(wait.least_micros as f64 / 1e6);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn set_spans(&self, name: &str, spans: &SelectedSpans) {
        let unusable = spans.unusable.iter();
        let counts = unusable.map(|(reason, count)| (reason.as_str(), *count));
        for (reason, count) in counts.chain([("correlated", spans.correlated)]) {
            let gauge = self.spans.with_label_values(&[name, reason]);
            gauge.set(count as f64);
        }
    }
}

impl SloGauges {
    /// Sets the values of the definition, also before the first evaluation.
    pub(super) fn set_info(&self, slo: &Slo) {
        let window = match slo.window {
            SloWindow::Rolling(length) => window_label(length.as_secs()),
            SloWindow::Calendar(calendar) => calendar.unit.as_str().to_owned(),
        };
        let labels = [
            slo.name.as_str(),
            slo.service.as_deref().unwrap_or_default(),
            slo.labels.get(Slo::TEAM).map_or("", String::as_str),
            slo.labels.get(Slo::NAMESPACE).map_or("", String::as_str),
            &slo.objective.to_string(),
            &window,
        ];
        self.info.with_label_values(&labels).set(1.0);
    }

    /// Sets the customers of the last hour, if the SLO names any.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn set_customers(&self, slo: &Slo, affected: Option<i64>) {
        if slo.customer.is_some() {
            let labels = [slo.name.as_str()];
            let customers = self.customers_last_hour.with_label_values(&labels);
            customers.set(affected.unwrap_or(0) as f64);
        }
    }
}

/// Formats a duration as Prometheus does: `5m`, `6h`, `3d`.
fn window_label(secs: u64) -> String {
    match secs {
        secs if secs.is_multiple_of(86_400) => format!("{}d", secs / 86_400),
        secs if secs.is_multiple_of(3_600) => format!("{}h", secs / 3_600),
        secs if secs.is_multiple_of(60) => format!("{}m", secs / 60),
        secs => format!("{secs}s"),
    }
}
