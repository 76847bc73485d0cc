//! The time in one stage over time, as a small chart beside those of other stages.

use crate::web::chart::markup::{Markup, escaped, number, path};

const HEIGHT: f64 = 44.0;
const TOP: f64 = 3.0;
const FLOOR: f64 = 41.0;
const WIDTH: f64 = 240.0;

/// The median and the 95th percentile of the durations, in seconds; `None` without workflows.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::web) struct MultiplePoint {
    pub(in crate::web) half: Option<f64>,
    pub(in crate::web) most: Option<f64>,
}

/// Draws the points, oldest first; `longest` is the upper edge, the same for all stages.
pub(in crate::web) fn multiple(points: &[MultiplePoint], longest: f64, sentence: &str) -> Markup {
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg class="spark" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{}"><path class="ax" d="M0 {FLOOR}h{WIDTH}"/>"#,
        escaped(sentence)
    ));
    #[expect(clippy::cast_precision_loss, reason = "a few dozen points")]
    let x = |index: usize| index as f64 * WIDTH / (points.len().max(2) - 1) as f64;
    let y = |secs: f64| FLOOR - (secs / longest.max(1e-6)).min(1.0) * (FLOOR - TOP);
    for (class, of) in [
        (
            "n l2",
            (|point| point.most) as fn(&MultiplePoint) -> Option<f64>,
        ),
        ("n l1", |point| point.half),
    ] {
        let line = points.iter().enumerate();
        let line = line.map(|(index, point)| of(point).map(|secs| (x(index), y(secs))));
        svg.add(format_args!(
            r#"<path class="{class}" d="{}"/>"#,
            path(line)
        ));
    }
    let newest = points.iter().enumerate().rev();
    let mut newest = newest.filter_map(|(index, point)| Some((x(index), y(point.most?))));
    if let Some((x, y)) = newest.next() {
        svg.add(format_args!(
            r#"<circle class="f1" cx="{}" cy="{}" r="2.2"/>"#,
            number(x.min(WIDTH - 3.0)),
            number(y)
        ));
    }
    svg.add(format_args!("</svg>"));
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_share_one_scale_so_that_a_short_one_is_low() {
        let of = |secs: f64| {
            let point = MultiplePoint {
                half: Some(secs),
                most: Some(secs),
            };
            multiple(&[point; 2], 10.0, "Wait in cards.").to_string()
        };
        assert!(of(10.0).contains(r#"cy="3""#), "{}", of(10.0));
        assert!(of(0.0).contains(r#"cy="41""#), "{}", of(0.0));
    }
}
