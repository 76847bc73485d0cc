//! The charts of an incident, drawn from its stored counts.

use crate::{
    domain::{
        alerting::{incident::IncidentSnapshot, snapshot::AlertSnapshot},
        model::format,
        slo::Severity,
    },
    web::chart::{self, BurnChart, BurnPoint, FactorLine, Figure},
};

/// The charts of one stored snapshot: bad events by reason, and burn rates.
pub(super) struct IncidentCharts {
    pub(super) title: &'static str,
    pub(super) reasons: Figure,
    /// `None` if the rule that fired is not on a burn rate.
    pub(super) burn: Option<Figure>,
    pub(super) windows: String,
}

impl IncidentCharts {
    pub(super) fn new(
        title: &'static str,
        incident_snapshot: &IncidentSnapshot,
        alert: &AlertSnapshot,
    ) -> Self {
        let counts = incident_snapshot.counts();
        let all = counts.sum(0, counts.len());
        let sentence = format!(
            "Bad events by reason: {} late, {} failed, {} never finished, of {}.",
            format::count(all.late),
            format::count(all.failed),
            format::count(all.timeout),
            format::count(all.total()),
        );
        let limit = alert.limit.as_ref();
        let is_on_budget = limit.is_none_or(|of| of.limit.is_on_budget());
        Self {
            title,
            reasons: chart::reasons(&counts, &sentence),
            burn: is_on_budget.then(|| burn(incident_snapshot, alert).draw()),
            windows: format!(
                "Thick: {} window; thin: {}.",
                format::window(incident_snapshot.long_secs),
                format::window(incident_snapshot.short_secs)
            ),
        }
    }
}

fn burn(incident_snapshot: &IncidentSnapshot, alert: &AlertSnapshot) -> BurnChart {
    let fired_at = alert.fired_at.unwrap_or(alert.evaluated_at);
    let points: Vec<BurnPoint> = incident_snapshot
        .burn()
        .map(|(at, long, short)| BurnPoint { at, long, short })
        .collect();
    let peak = points
        .iter()
        .filter_map(|point| point.long)
        .fold(None, |peak: Option<f64>, rate| {
            Some(peak.map_or(rate, |peak| peak.max(rate)))
        });
    let range = incident_snapshot.range();
    BurnChart {
        range,
        step: incident_snapshot.step(),
        points,
        thresholds: vec![FactorLine {
            factor: incident_snapshot.factor,
            severity: Severity::Page,
            label: format!("{} reacts", format::factor(incident_snapshot.factor)),
        }],
        budget_ratio: 1.0 - alert.objective,
        fired_at: Some(fired_at).filter(|at| *at < range.to),
        events: Vec::new(),
        sentence: format!(
            "Burn rate over {} and {}: at most {}, on a logarithmic scale.",
            format::window(incident_snapshot.long_secs),
            format::window(incident_snapshot.short_secs),
            format::burn_rate(peak, incident_snapshot.factor),
        ),
    }
}
