//! The common parts of all plots over time: the frame, the axis and the data of the crosshair.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::markup::{Markup, escaped, number};
use crate::{
    domain::model::time::{TimeRange, Timestamp},
    web::reader::times,
};

/// The width of the stretched drawing; the number does not matter.
pub(super) const WIDTH: f64 = 1_000.0;
/// The height below the plot for the labels of the time axis.
const AXIS_HEIGHT: f64 = 20.0;

/// The area of a plot: time from left to right, and a height in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) range: TimeRange,
    pub(super) height: f64,
}

impl Frame {
    /// Returns the horizontal position: 0 at the left edge, 1 at the right one.
    pub(super) fn fraction(&self, at: Timestamp) -> f64 {
        let length = self.range.length().as_secs_f64().max(1e-6);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a few years")]
        let offset = at.micros_since(self.range.from) as f64 / 1e6;
        offset / length
    }

    pub(super) fn x(&self, at: Timestamp) -> f64 {
        self.fraction(at) * WIDTH
    }

    /// Draws the whole plot: `lines` is stretched, `marks` are not.
    pub(super) fn plot(&self, parts: &PlotParts<'_>) -> Markup {
        let mut svg = Markup::default();
        svg.add(format_args!(
            r#"<svg class="p" height="{}" data-h="{}" data-j="{}-data" role="img" aria-label="{}"><svg width="100%" height="{1}" viewBox="0 0 1000 {1}" preserveAspectRatio="none">{}</svg>{}"#,
            number(self.height + AXIS_HEIGHT),
            number(self.height),
            parts.id,
            escaped(parts.sentence),
            parts.lines,
            parts.marks,
        ));
        for (at, label) in ticks(self.range) {
            let place = self.fraction(at) * 100.0;
            let anchor = match place {
                ..2.0 => "",
                99.0.. => "e",
                _ => "c",
            };
            svg.add(format_args!(
                r#"<text class="{anchor}" x="{}%" y="{}">{label}</text>"#,
                number(place),
                number(self.height + 15.0),
            ));
        }
        svg.add(format_args!("</svg>"));
        svg
    }
}

pub(super) struct PlotParts<'a> {
    pub(super) id: &'a str,
    /// The chart in one sentence.
    pub(super) sentence: &'a str,
    pub(super) lines: Markup,
    pub(super) marks: Markup,
}

/// Draws labels to the left of the plot, each at its height.
pub(super) fn scale(height: f64, labels: &[(f64, String, &str)]) -> Markup {
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg width="46" height="{}" aria-hidden="true">"#,
        number(height + AXIS_HEIGHT)
    ));
    for (y, label, class) in labels {
        svg.add(format_args!(
            r#"<text class="e {class}" x="40" y="{}">{}</text>"#,
            number(y + 4.0),
            escaped(label)
        ));
    }
    svg.add(format_args!("</svg>"));
    svg
}

/// The values that the crosshair shows: equal steps from `t0` on.
#[derive(JsonSchema, Serialize)]
pub(super) struct Readings<'a> {
    /// Seconds: the time of the left edge, and the length of the whole width.
    pub(super) t0: i64,
    pub(super) w: f64,
    pub(super) dt: f64,
    pub(super) n: usize,
    pub(super) s: Vec<PlotReading<'a>>,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct PlotReading<'a> {
    pub(super) n: &'a str,
    /// Formatted values; empty where there is none.
    pub(super) v: Vec<String>,
}

pub(super) fn readings(
    id: &str,
    frame: &Frame,
    step: Duration,
    series: Vec<PlotReading<'_>>,
) -> Markup {
    let readings = Readings {
        t0: frame.range.from.as_secs(),
        w: frame.range.length().as_secs_f64(),
        dt: step.as_secs_f64(),
        n: series.first().map_or(0, |series| series.v.len()),
        s: series,
    };
    let json = serde_json::to_string(&readings)
        .unwrap_or_default()
        .replace('<', "\\u003c");
    let mut data = Markup::default();
    data.add(format_args!(
        r#"<script type="application/json" id="{id}-data">{json}</script>"#
    ));
    data
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
const TICK_STEPS: [u64; 18] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
];

/// Returns at most seven round times, with the shortest possible labels.
fn ticks(range: TimeRange) -> Vec<(Timestamp, String)> {
    let length = range.length().as_secs();
    let step = TICK_STEPS
        .into_iter()
        .find(|step| length / step <= 6)
        .unwrap_or(length.div_ceil(6 * DAY).max(1) * DAY);
    let label = if step >= DAY {
        times::short_day
    } else {
        times::minute
    };
    let step = Duration::from_secs(step);
    let first = times::ceil_to(range.from, step);
    std::iter::successors(Some(first), |at| Some(*at + step))
        .take_while(|at| *at <= range.to)
        .map(|at| (at, label(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_axis_has_few_round_labels_at_any_length() {
        for secs in [
            60,
            3_600,
            21_600,
            86_400,
            604_800,
            35 * 86_400,
            365 * 86_400,
        ] {
            let to = Timestamp::parse_rfc3339("2026-11-22T10:08:04Z").unwrap();
            let labels = ticks(TimeRange::ending_at(to, Duration::from_secs(secs)));
            assert!((1..=7).contains(&labels.len()), "{secs}: {labels:?}");
        }
    }
}
