//! The counts around an incident, drawn from what was kept with it.

use crate::{
    domain::{
        alerting::{incident::IncidentSnapshot, snapshot::AlertSnapshot},
        model::format,
        slo::Severity,
    },
    web::chart::{self, BurnChart, BurnPoint, FactorLine, Figure},
};

/// One kept moment: bad events by reason, and burn rates.
pub(super) struct IncidentCharts {
    pub(super) title: &'static str,
    pub(super) reasons: Figure,
    pub(super) burn: Figure,
    pub(super) windows: String,
}

impl IncidentCharts {
    pub(super) fn new(
        title: &'static str,
        picture: &IncidentSnapshot,
        alert: &AlertSnapshot,
    ) -> Self {
        let counts = picture.counts();
        let all = counts.sum(0, counts.len());
        let sentence = format!(
            "Bad events by reason: {} late, {} failed, {} never finished, of {}.",
            format::count(all.late),
            format::count(all.failed),
            format::count(all.timeout),
            format::count(all.total()),
        );
        Self {
            title,
            reasons: chart::reasons(&counts, &sentence),
            burn: burn(picture, alert).draw(),
            windows: format!(
                "Thick: {} window; thin: {}.",
                format::window(picture.long_secs),
                format::window(picture.short_secs)
            ),
        }
    }
}

fn burn(picture: &IncidentSnapshot, alert: &AlertSnapshot) -> BurnChart {
    let fired_at = alert.fired_at.unwrap_or(alert.evaluated_at);
    let points: Vec<BurnPoint> = picture
        .burn()
        .map(|(at, long, short)| BurnPoint { at, long, short })
        .collect();
    let peak = points
        .iter()
        .filter_map(|point| point.long)
        .fold(None, |peak: Option<f64>, rate| {
            Some(peak.map_or(rate, |peak| peak.max(rate)))
        });
    let range = picture.range();
    BurnChart {
        range,
        step: picture.step(),
        points,
        thresholds: vec![FactorLine {
            factor: picture.factor,
            severity: Severity::Page,
            label: format!("{} reacts", format::factor(picture.factor)),
        }],
        budget_ratio: 1.0 - alert.objective,
        fired_at: Some(fired_at).filter(|at| *at < range.to),
        events: Vec::new(),
        sentence: format!(
            "Burn rate over {} and {}: at most {}, on a logarithmic scale.",
            format::window(picture.long_secs),
            format::window(picture.short_secs),
            format::burn_rate(peak, picture.factor),
        ),
    }
}
