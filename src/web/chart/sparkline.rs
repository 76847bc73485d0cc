//! The budget over the SLO's window in the space of a word. All of them have the same scale.

use super::markup::{Markup, escaped, number, path};

const HEIGHT: f64 = 30.0;
const TOP: f64 = 4.0;
/// Where the budget is gone.
const ZERO: f64 = 23.0;

/// `points` are shares of the budget from old to new, `None` where there was no event.
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

/// −35 % to 100 %; what is deeper stays at the lower edge.
fn y(left: f64) -> f64 {
    ZERO - left.clamp(-0.35, 1.0) * (ZERO - TOP)
}
