//! The chart of burn rates on a logarithmic scale, with the factors at which rules fire.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    ChartTable, EventMark, Figure, event_marks,
    markup::{Markup, number, path},
    plot::{Frame, PlotParts, PlotReading, readings, scale},
};
use crate::{
    domain::{
        model::{
            format,
            time::{TimeRange, Timestamp},
        },
        slo::Severity,
    },
    web::reader::times,
};

const HEIGHT: f64 = 230.0;
const FLOOR: f64 = 0.1;

#[derive(Clone, Debug)]
pub(in crate::web) struct BurnChart {
    pub(in crate::web) range: TimeRange,
    pub(in crate::web) step: Duration,
    pub(in crate::web) points: Vec<BurnPoint>,
    pub(in crate::web) thresholds: Vec<FactorLine>,
    /// The share of events that may be bad.
    pub(in crate::web) budget_ratio: f64,
    /// The time at which the firing alert fired, if one does.
    pub(in crate::web) fired_at: Option<Timestamp>,
    pub(in crate::web) events: Vec<EventMark>,
    pub(in crate::web) sentence: String,
}

#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(in crate::web) struct BurnPoint {
    pub(in crate::web) at: Timestamp,
    #[serde(rename = "burn_rate_long")]
    pub(in crate::web) long: Option<f64>,
    #[serde(rename = "burn_rate_short")]
    pub(in crate::web) short: Option<f64>,
}

#[derive(Clone, Debug)]
pub(in crate::web) struct FactorLine {
    pub(in crate::web) factor: f64,
    pub(in crate::web) severity: Severity,
    pub(in crate::web) label: String,
}

impl BurnChart {
    pub(in crate::web) fn draw(&self) -> Figure {
        let frame = Frame {
            range: self.range,
            height: HEIGHT,
        };
        let decades = self.decades();
        let y = |rate: f64| {
            let place = (rate.max(FLOOR).log10() + 1.0) / f64::from(decades + 1);
            HEIGHT - place.clamp(0.0, 1.0) * HEIGHT
        };
        let labels: Vec<(f64, String, &str)> = (-1..=decades)
            .map(|power| 10f64.powi(power))
            .map(|rate| (y(rate).clamp(5.0, HEIGHT - 3.0), format!("{rate}×"), ""))
            .collect();
        Figure {
            scale: scale(HEIGHT, &labels),
            plot: frame.plot(&PlotParts {
                id: "burn",
                sentence: &event_marks::with_events(&self.sentence, &frame, &self.events),
                lines: self.lines(&frame, &y, decades),
                marks: self.marks(&frame, &y),
            }),
            data: self.readings(&frame),
            table: self.table(),
        }
    }

    /// Returns the power of ten at the top: at least 100, and at least the rate if all events are
    /// bad. It does not depend on the data, so the axis does not change.
    fn decades(&self) -> i32 {
        let most = 1.0 / self.budget_ratio.max(f64::MIN_POSITIVE);
        (2..5)
            .find(|&power| most <= 10f64.powi(power) * (1.0 + 1e-9))
            .unwrap_or(5)
    }

    fn lines(&self, frame: &Frame, y: &impl Fn(f64) -> f64, decades: i32) -> Markup {
        let mut svg = Markup::default();
        for power in 0..decades {
            svg.add(format_args!(
                r#"<path class="n {}" d="M0 {}h1000"/>"#,
                if power == 0 { "one" } else { "gr" },
                number(y(10f64.powi(power)))
            ));
        }
        svg.add(format_args!(r#"<path class="n ax" d="M0 {HEIGHT}h1000"/>"#));
        if let Some(since) = self.fired_at {
            let x = frame.x(since).max(0.0);
            svg.add(format_args!(
                r#"<rect class="band" x="{}" width="{}" height="{HEIGHT}"/>"#,
                number(x),
                number((1_000.0 - x).max(0.0))
            ));
        }
        for threshold in &self.thresholds {
            let class = class(threshold.severity);
            svg.add(format_args!(
                r#"<path class="n thr {class}" d="M0 {}h1000"/>"#,
                number(y(threshold.factor))
            ));
        }
        let line = |value: fn(&BurnPoint) -> Option<f64>| {
            path(
                self.points
                    .iter()
                    .map(|point| value(point).map(|rate| (frame.x(point.at), y(rate)))),
            )
        };
        svg.add(format_args!(
            r#"<path class="n l2" d="{}"/>"#,
            line(|point| point.short)
        ));
        svg.add(format_args!(
            r#"<path class="n l1" d="{}"/>"#,
            line(|point| point.long)
        ));
        svg
    }

    fn marks(&self, frame: &Frame, y: &impl Fn(f64) -> f64) -> Markup {
        let mut svg = event_marks::triangles(frame, &self.events, HEIGHT);
        let mut used = vec![y(1.0) + 13.0];
        svg.add(format_args!(
            r#"<text x="4" y="{}">1× spends exactly the budget</text>"#,
            number(y(1.0) + 13.0)
        ));
        for threshold in &self.thresholds {
            let height = y(threshold.factor) - 4.0;
            // Labels of close lines would overlap; the table of rules names them all.
            if used.iter().any(|other| (other - height).abs() < 12.0) {
                continue;
            }
            used.push(height);
            svg.add(format_args!(
                r#"<text class="{}" x="4" y="{}">{}</text>"#,
                class(threshold.severity),
                number(height),
                super::markup::escaped(&threshold.label)
            ));
        }
        if let Some(since) = self.fired_at.filter(|since| frame.range.contains(*since)) {
            let place = frame.fraction(since) * 100.0;
            let (anchor, dx) = if place > 50.0 { ("e", -5) } else { ("", 5) };
            svg.add(format_args!(
                r#"<text class="{anchor} tp" x="{}%" dx="{dx}" y="11">fired {}</text>"#,
                number(place),
                times::moment(since, self.range.to)
            ));
        }
        svg
    }

    fn readings(&self, frame: &Frame) -> Markup {
        let text = |rate: Option<f64>| match rate {
            Some(_) => format::burn_rate(rate, None),
            None => String::new(),
        };
        readings(
            "burn",
            frame,
            self.step,
            vec![
                PlotReading {
                    n: "long",
                    v: self.points.iter().map(|point| text(point.long)).collect(),
                },
                PlotReading {
                    n: "short",
                    v: self.points.iter().map(|point| text(point.short)).collect(),
                },
            ],
        )
    }

    fn table(&self) -> ChartTable {
        let every = (self.points.len() / 24).max(1);
        let row = |point: &BurnPoint| {
            vec![
                times::moment(point.at, self.range.to),
                format::burn_rate(point.long, None),
                format::burn_rate(point.short, None),
            ]
        };
        ChartTable {
            caption: "Burn rate".to_owned(),
            head: [&times::heading("At"), "Long window", "Short window"]
                .map(str::to_owned)
                .to_vec(),
            rows: self.points.iter().rev().step_by(every).map(row).collect(),
        }
    }
}

fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "tp",
        Severity::Ticket => "tw",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn p18_the_axis_is_the_same_however_fast_it_burns() {
        let to = Timestamp::from_secs(1_795_328_700);
        let chart = |rate| BurnChart {
            range: TimeRange::ending_at(to, Duration::from_hours(1)),
            step: Duration::from_mins(1),
            points: vec![BurnPoint {
                at: to,
                long: Some(rate),
                short: None,
            }],
            thresholds: Vec::new(),
            budget_ratio: 0.005,
            fired_at: None,
            events: Vec::new(),
            sentence: String::new(),
        };
        let calm = chart(0.2).draw().scale;
        assert_eq!(calm, chart(190.0).draw().scale);
        assert!(calm.to_string().contains("1000×"), "{calm}");
    }
}
