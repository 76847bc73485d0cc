//! The chart of the error budget over the SLO's whole window, with three forecasts.

use std::time::Duration;

use super::{
    ChartTable, EventMark, Figure, event_marks,
    markup::{Markup, number, path},
    plot::{Frame, PlotParts, PlotReading, WIDTH, readings, scale},
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

const HEIGHT: f64 = 250.0;
/// The height below the plot for two rows of ticks: pages and tickets.
const ALERTS: f64 = 38.0;
/// The lowest drawn value: an overspent budget is shown down to here.
const DEEPEST: f64 = -1.0;

#[derive(Clone, Debug)]
pub(in crate::web) struct BudgetChart {
    pub(in crate::web) now: Timestamp,
    /// The range of the chart: past and future.
    pub(in crate::web) range: TimeRange,
    /// The distance between points.
    pub(in crate::web) step: Duration,
    /// The budget left at each time, oldest first; the last point is now.
    pub(in crate::web) points: Vec<(Timestamp, Option<f64>)>,
    pub(in crate::web) futures: Vec<Future>,
    pub(in crate::web) alerts: Vec<AlertTick>,
    pub(in crate::web) events: Vec<EventMark>,
    pub(in crate::web) sentence: String,
}

/// One forecast.
#[derive(Clone, Debug)]
pub(in crate::web) struct Future {
    /// `A`, `B` or `C`, and the class of the line.
    pub(in crate::web) letter: &'static str,
    pub(in crate::web) class: &'static str,
    pub(in crate::web) points: Vec<(Timestamp, f64)>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct AlertTick {
    pub(in crate::web) at: Timestamp,
    pub(in crate::web) severity: Severity,
}

impl BudgetChart {
    pub(in crate::web) fn draw(&self) -> Figure {
        let frame = Frame {
            range: self.range,
            height: HEIGHT,
        };
        let lowest = self.lowest();
        let y = |left: f64| (1.0 - left) / (1.0 - lowest) * (HEIGHT - ALERTS);
        let mut labels: Vec<(f64, String, &str)> = scale_values(lowest)
            .map(|percent| {
                (
                    y(f64::from(percent) / 100.0),
                    format!("{percent} %").replace('-', "−"),
                    "",
                )
            })
            .collect();
        labels.push((HEIGHT - ALERTS + 14.0, "pages".to_owned(), "tp"));
        labels.push((HEIGHT - ALERTS + 28.0, "tickets".to_owned(), "tw"));
        Figure {
            scale: scale(HEIGHT, &labels),
            plot: frame.plot(&PlotParts {
                id: "budget",
                sentence: &event_marks::with_events(&self.sentence, &frame, &self.events),
                lines: self.lines(&frame, &y, lowest),
                marks: self.marks(&frame, &y, lowest),
            }),
            data: self.readings(&frame),
            table: self.table(),
        }
    }

    /// Returns a round value below everything that is drawn.
    fn lowest(&self) -> f64 {
        let deepest = self
            .points
            .iter()
            .filter_map(|point| point.1)
            .fold(0.0_f64, f64::min);
        if deepest < 0.0 {
            ((deepest * 4.0).floor() / 4.0).max(DEEPEST)
        } else {
            0.0
        }
    }

    fn lines(&self, frame: &Frame, y: &impl Fn(f64) -> f64, lowest: f64) -> Markup {
        let place = |at: Timestamp, left: f64| (frame.x(at), y(left.max(lowest)));
        let past: Vec<_> = self
            .points
            .iter()
            .map(|&(at, left)| left.map(|left| place(at, left)))
            .collect();
        let mut svg = Markup::default();
        for percent in scale_values(lowest) {
            svg.add(format_args!(
                r#"<path class="n gr" d="M0 {}h1000"/>"#,
                number(y(f64::from(percent) / 100.0))
            ));
        }
        let zero = number(y(0.0));
        svg.add(format_args!(
            r#"<rect class="neg" y="{zero}" width="1000" height="{}"/>"#,
            number(HEIGHT - y(0.0))
        ));
        if let (Some(first), Some(last)) =
            (past.iter().flatten().next(), past.iter().flatten().last())
        {
            let known = past.iter().flatten().map(|point| Some(*point));
            svg.add(format_args!(
                r#"<path class="area" d="{}L{} {zero}L{} {zero}z"/>"#,
                path(known),
                number(last.0),
                number(first.0),
            ));
        }
        svg.add(format_args!(r#"<path class="n ax" d="M0 {zero}h1000"/>"#));
        svg.add(format_args!(
            r#"<path class="n l1" d="{}"/>"#,
            path(past.iter().copied())
        ));
        let from = past.last().copied().flatten();
        for future in &self.futures {
            let ahead = until_gone(&future.points, lowest)
                .map(|(at, left)| Some((frame.x(at).min(WIDTH), y(left))));
            svg.add(format_args!(
                r#"<path class="n {}" d="{}"/>"#,
                future.class,
                path(std::iter::once(from).chain(ahead))
            ));
        }
        for alert in self.visible_alerts(frame) {
            let (class, row) = match alert.severity {
                Severity::Page => ("tkp", 9.0),
                Severity::Ticket => ("tkt", 23.0),
            };
            svg.add(format_args!(
                r#"<path class="n {class}" d="M{} {}v10"/>"#,
                number(frame.x(alert.at)),
                number(HEIGHT - ALERTS + row)
            ));
        }
        svg.add(format_args!(
            r#"<path class="n now" d="M{} 0v{HEIGHT}"/>"#,
            number(frame.x(self.now))
        ));
        svg
    }

    fn marks(&self, frame: &Frame, y: &impl Fn(f64) -> f64, lowest: f64) -> Markup {
        let mut svg = event_marks::triangles(frame, &self.events, y(0.0));
        svg.add(format_args!(
            r#"<text class="e ti" x="{}%" dx="-5" y="10">now</text>"#,
            number(frame.fraction(self.now) * 100.0)
        ));
        // A is the steepest, so left of its end it cannot cover the others.
        for future in &self.futures {
            let letter = future.letter;
            let dx = if letter == "B" { 5 } else { -14 };
            let Some((at, left)) = until_gone(&future.points, lowest).last() else {
                continue;
            };
            svg.add(format_args!(
                r#"<text class="ti b" x="{}%" dx="{dx}" y="{}">{letter}</text>"#,
                number((frame.fraction(at) * 100.0).min(100.0)),
                number(y(left) - 6.0),
            ));
        }
        svg
    }

    fn visible_alerts<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = &'a AlertTick> {
        self.alerts
            .iter()
            .filter(|alert| frame.range.contains(alert.at))
    }

    fn readings(&self, frame: &Frame) -> Markup {
        let text = |point: &(Timestamp, Option<f64>)| match point.1 {
            Some(_) => format::budget(point.1),
            None => String::new(),
        };
        let v = self.points.iter().map(text).collect();
        readings(
            "budget",
            frame,
            self.step,
            vec![PlotReading { n: "left", v }],
        )
    }

    fn table(&self) -> ChartTable {
        let every = (self.points.len() / 28).max(1);
        let row = |point: &(Timestamp, Option<f64>)| {
            vec![times::moment(point.0, self.now), format::budget(point.1)]
        };
        ChartTable {
            caption: "Error budget left".to_owned(),
            head: vec![times::heading("At"), "Left".to_owned()],
            rows: self.points.iter().rev().step_by(every).map(row).collect(),
        }
    }
}

/// Returns 100 %, 75 % and so on, down to the lowest.
fn scale_values(lowest: f64) -> impl Iterator<Item = i32> {
    (-4..=4)
        .rev()
        .map(|quarter| quarter * 25)
        .filter(move |percent| f64::from(*percent) >= lowest * 100.0 - 1e-9)
}

/// Returns the points until the budget is exhausted.
fn until_gone(points: &[(Timestamp, f64)], lowest: f64) -> impl Iterator<Item = (Timestamp, f64)> {
    let floor = lowest.min(0.0);
    let last = points
        .iter()
        .position(|point| point.1 <= floor)
        .unwrap_or(points.len());
    points
        .iter()
        .take(last + 1)
        .map(move |&(at, left)| (at, left.max(floor)))
}
