//! Stages to scale: one below the other for the mean workflow, in a row for one workflow.

use super::markup::{Markup, escaped, number};
use crate::domain::counting::stages::StageKind;

/// The begin and the length of a bar, as shares of the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::web) struct Bar {
    pub(in crate::web) kind: StageKind,
    pub(in crate::web) begin: f64,
    pub(in crate::web) length: f64,
}

/// Draws one row of the waterfall: thick is bad, thin is good; waiting is hatched.
pub(in crate::web) fn waterfall(bad: Option<Bar>, good: Option<Bar>, deadline: f64) -> Markup {
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg class="bar" width="100%" height="20" aria-hidden="true">"#
    ));
    for (bar, y, height) in [(bad, 2, 9), (good, 14, 4)] {
        if let Some(bar) = bar {
            add(&mut svg, bar, y, height);
        }
    }
    add_deadline(&mut svg, deadline, 20);
    svg.add(format_args!("</svg>"));
    svg
}

/// Draws the stages of one workflow in a row; nothing if none are known.
pub(in crate::web) fn strip(bars: &[Bar], deadline: f64, sentence: &str) -> Markup {
    let mut svg = Markup::default();
    if bars.is_empty() {
        return svg;
    }
    svg.add(format_args!(
        r#"<svg class="bar strip" width="100%" height="14" role="img" aria-label="{}"><rect class="tk" y="2" width="100%" height="10"/>"#,
        escaped(sentence)
    ));
    for bar in bars {
        add(&mut svg, *bar, 2, 10);
    }
    add_deadline(&mut svg, deadline, 14);
    svg.add(format_args!("</svg>"));
    svg
}

/// Draws one row of a table whose rows share an axis. The row has the same values as text.
pub(in crate::web) fn track(bars: &[Bar], deadline: f64) -> Markup {
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg class="bar" width="100%" height="16" aria-hidden="true">"#
    ));
    for bar in bars {
        add(&mut svg, *bar, 3, 10);
    }
    add_deadline(&mut svg, deadline, 16);
    svg.add(format_args!("</svg>"));
    svg
}

fn add(svg: &mut Markup, bar: Bar, y: u8, height: u8) {
    let look = match bar.kind {
        // Set as an attribute: in a style sheet the URL would refer to the sheet.
        StageKind::Wait | StageKind::Delay => r#"fill="url(#i-hatch)""#,
        StageKind::Processing | StageKind::Declared => r#"class="f1""#,
        StageKind::Pause | StageKind::Other | StageKind::Unsampled => r#"class="rest""#,
    };
    let begin = bar.begin.clamp(0.0, 1.0);
    let length = bar.length.clamp(0.0, 1.0 - begin);
    // Every duration above zero gets a visible length.
    let length = if bar.length > 0.0 {
        length.max(0.002)
    } else {
        length
    };
    svg.add(format_args!(
        r#"<rect {look} x="{}%" y="{y}" width="{}%" height="{height}"/>"#,
        number(begin * 100.0),
        number(length * 100.0)
    ));
}

fn add_deadline(svg: &mut Markup, deadline: f64, height: u8) {
    if (0.0..=1.0).contains(&deadline) {
        svg.add(format_args!(
            r#"<rect class="fp" x="{}%" width="1.5" height="{height}"/>"#,
            number(deadline * 100.0)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bar_leaves_the_axis_and_a_deadline_beyond_it_is_not_drawn() {
        let bar = Bar {
            kind: StageKind::Wait,
            begin: 0.75,
            length: 3.0,
        };
        let svg = waterfall(Some(bar), None, 1.5).to_string();
        assert!(svg.contains(r#"x="75%" y="2" width="25%""#), "{svg}");
        assert!(!svg.contains("class=\"fp\""), "{svg}");
        let strip = strip(&[bar], 0.5, "a < b").to_string();
        assert!(
            strip.contains(r#"class="fp" x="50%""#) && strip.contains("a &lt; b"),
            "{strip}"
        );
    }
}
