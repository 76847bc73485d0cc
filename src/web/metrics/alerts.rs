//! Metrics of alerts: their state, and the rule that fired.

use prometheus::GaugeVec;

use crate::{
    domain::{
        alerting::alert::{AlertState, AlertStatus},
        model::ids::Name,
        slo::{Severity, Slo},
    },
    telemetry::metric_builder::MetricBuilder,
};

const STATES: [AlertState; 4] = [
    AlertState::Inactive,
    AlertState::Pending,
    AlertState::Firing,
    AlertState::Recovering,
];

/// The gauges of one scrape.
pub(super) struct AlertGauges {
    firing: GaugeVec,
    state: GaugeVec,
    rule_firing: GaugeVec,
}

impl AlertGauges {
    pub(super) fn new(builder: &MetricBuilder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            firing: builder.gauges(
                "throughline_alert_firing",
                "1 while the alert fires or recovers, else 0.",
                &["slo", "severity"],
            )?,
            state: builder.gauges(
                "throughline_alert_state",
                "1 for the state of the alert (inactive, pending, firing or recovering), 0 for the others.",
                &["slo", "severity", "state"],
            )?,
            rule_firing: builder.gauges(
                "throughline_alert_rule_firing",
                "1 for the rule by which the alert fires or recovers, 0 for the other rules.",
                &["slo", "severity", "rule"],
            )?,
        })
    }

    /// Sets the gauges of one SLO; alerts without a status are inactive.
    pub(super) fn set(&self, slo: &Slo, alerts: &[AlertStatus]) {
        for severity in [Severity::Page, Severity::Ticket] {
            let alert = alerts.iter().find(|alert| alert.severity == severity);
            self.set_alert(slo, severity, alert);
        }
    }

    fn set_alert(&self, slo: &Slo, severity: Severity, alert: Option<&AlertStatus>) {
        let labels = [slo.name.as_str(), severity.as_str()];
        let now = alert.map_or(AlertState::Inactive, |alert| alert.state);
        let firing = self.firing.with_label_values(&labels);
        firing.set(f64::from(u8::from(now.fires())));
        let [slo_label, severity_label] = labels;
        for state in STATES {
            let labels = [slo_label, severity_label, state.as_str()];
            let is = f64::from(u8::from(state == now));
            self.state.with_label_values(&labels).set(is);
        }
        let fired = alert.filter(|alert| alert.state.fires());
        let fired = fired.and_then(|alert| alert.rule.as_ref());
        // The rule that fired may no longer be declared.
        for rule in rules(slo, severity).chain(fired) {
            let labels = [slo_label, severity_label, rule.as_str()];
            let is = f64::from(u8::from(fired == Some(rule)));
            self.rule_firing.with_label_values(&labels).set(is);
        }
    }
}

fn rules(slo: &Slo, severity: Severity) -> impl Iterator<Item = &Name> {
    let burn_rates = slo.alerting.rules.iter();
    let limits = slo.alerting.limits.iter();
    burn_rates
        .map(|rule| (rule.severity, &rule.name))
        .chain(limits.map(|rule| (rule.severity, &rule.name)))
        .filter(move |(of, _)| *of == severity)
        .map(|(_, name)| name)
}
