//! Charts in the size of a word: the budget over the SLO's window, and the workflows in flight by
//! the share of their time limit that they have used.

use super::markup::{Markup, escaped, number, path};
use crate::domain::model::format;

const HEIGHT: f64 = 30.0;
const TOP: f64 = 4.0;
/// The height at which the budget is exhausted.
const ZERO: f64 = 23.0;

/// Draws the shares of the budget, oldest first; `None` where there was no event.
pub(in crate::web) fn sparkline(points: &[Option<f64>], sentence: &str) -> Markup {
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg class="spark" width="120" height="{HEIGHT}" role="img" aria-label="{}"><path class="gr" d="M0 {TOP}h112"/><path class="ax" d="M0 {ZERO}h112"/>"#,
        escaped(sentence)
    ));
    #[expect(clippy::cast_precision_loss, reason = "a few dozen points")]
    let place = |(index, left): (usize, &Option<f64>)| {
        left.map(|left| {
            (
                index as f64 * 112.0 / (points.len().max(2) - 1) as f64,
                y(left),
            )
        })
    };
    let line: Vec<_> = points.iter().enumerate().map(place).collect();
    if line.iter().flatten().count() > 1 {
        svg.add(format_args!(
            r#"<path class="n l1" d="{}"/>"#,
            path(line.iter().copied())
        ));
    }
    if let Some((x, y)) = line.last().copied().flatten() {
        let class = if y > ZERO { "fp" } else { "f1" };
        svg.add(format_args!(
            r#"<circle class="{class}" cx="{}" cy="{}" r="2.6"/>"#,
            number(x),
            number(y)
        ));
    }
    svg.add(format_args!("</svg>"));
    svg
}

/// The tenth from which a workflow is drawn as close to its deadline.
const LATE: usize = 8;
/// The height of the tallest bar.
const TALLEST: f64 = 24.0;

/// Draws the number of workflows by tenth of the time limit used; the last is past the deadline.
pub(in crate::web) fn time_used_bars(tenths: &[i64]) -> Markup {
    let mut svg = Markup::default();
    let most = tenths.iter().copied().max().unwrap_or(0);
    if most <= 0 {
        return svg;
    }
    let from = |first: usize| tenths.iter().skip(first).sum();
    svg.add(format_args!(
        r#"<svg class="spark" width="120" height="{HEIGHT}" role="img" aria-label="{} in flight: {} with 80 % or more of their time limit used, {} past their deadline"><path class="ax" d="M0 28h109"/>"#,
        format::count(from(0)),
        format::count(from(LATE)),
        format::count(from(tenths.len() - 1)),
    ));
    #[expect(clippy::cast_precision_loss, reason = "a bar has few pixels")]
    for (index, workflows) in tenths.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (*workflows as f64 / most as f64 * TALLEST).max(1.0);
        let class = match index {
            _ if index + 1 == tenths.len() => "fp",
            LATE.. => "fw",
            _ => "f1",
        };
        svg.add(format_args!(
            r#"<rect class="{class}" x="{}" y="{}" width="8" height="{}"/>"#,
            index * 10,
            number(28.0 - height),
            number(height)
        ));
    }
    svg.add(format_args!("</svg>"));
    svg
}

/// Returns the height of a share from −35 % to 100 %; lower values are drawn at the lower edge.
fn y(left: f64) -> f64 {
    ZERO - left.clamp(-0.35, 1.0) * (ZERO - TOP)
}
