//! Small bars beside numbers: the budget left, a share, and the two windows of a rule.

use super::markup::{Markup, escaped, number};

/// Draws the budget left as a bar; an overspent budget extends to the left of zero.
pub(in crate::web) fn budget_bar(left: Option<f64>) -> Markup {
    const ZERO: f64 = 12.0;
    const WIDTH: f64 = 80.0;
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg class="bar" width="96" height="14" aria-hidden="true"><rect class="tk" x="{ZERO}" y="3" width="{WIDTH}" height="8" rx="1"/>"#
    ));
    if let Some(left) = left.filter(|left| left.is_finite()) {
        let length = left.clamp(-0.14, 1.0) * WIDTH;
        if length >= 0.0 {
            let class = if left < 0.25 { "fw" } else { "f1" };
            svg.add(format_args!(
                r#"<rect class="{class}" x="{ZERO}" y="3" width="{}" height="8" rx="1"/>"#,
                number(length.max(if left > 0.0 { 1.0 } else { 0.0 }))
            ));
        } else {
            svg.add(format_args!(
                r#"<rect class="fp" x="{}" y="3" width="{}" height="8"/>"#,
                number(ZERO + length),
                number(-length)
            ));
        }
    }
    svg.add(format_args!(r#"<path class="zt" d="M{ZERO} 1v12"/></svg>"#));
    svg
}

/// Draws a share as a bar.
pub(in crate::web) fn share_bar(share: f64) -> Markup {
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg class="bar" width="100%" height="12" aria-hidden="true"><rect class="tk" y="2" width="100%" height="8"/><rect class="late" y="2" width="{}%" height="8"/></svg>"#,
        number(share.clamp(0.0, 1.0) * 100.0)
    ));
    svg
}

/// Burn rates on a logarithmic scale from 0.1 to 100: the filled mark is the long window, the
/// hollow one the short window. The rule burns if both are right of the line.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct Bullet {
    pub(in crate::web) long: Option<f64>,
    pub(in crate::web) short: Option<f64>,
    pub(in crate::web) factor: f64,
}

impl Bullet {
    pub(in crate::web) fn draw(&self, sentence: &str) -> Markup {
        const WIDTH: f64 = 120.0;
        let x = |rate: f64| number(6.0 + place(rate) * (WIDTH - 12.0));
        let limit = 6.0 + place(self.factor) * (WIDTH - 12.0);
        let mut svg = Markup::default();
        svg.add(format_args!(
            r#"<svg class="bx" width="{WIDTH}" height="20" role="img" aria-label="{}"><rect class="tk" x="6" y="7" width="108" height="6"/><rect class="over" x="{}" y="7" width="{}" height="6"/><path class="gr2" d="M{} 6v8M{} 6v8"/><path class="lim" d="M{1} 2v16"/>"#,
            escaped(sentence),
            number(limit),
            number(WIDTH - 6.0 - limit),
            x(1.0),
            x(10.0),
        ));
        if let Some(short) = self.short {
            svg.add(format_args!(
                r#"<circle class="fk" cx="{}" cy="10" r="4.2"/>"#,
                x(short)
            ));
        }
        if let Some(long) = self.long {
            svg.add(format_args!(
                r#"<circle class="fi" cx="{}" cy="10" r="4.2"/>"#,
                x(long)
            ));
        }
        svg.add(format_args!("</svg>"));
        svg
    }
}

/// Returns the position: 0 for 0.1 and less, 1 for 100 and more.
fn place(rate: f64) -> f64 {
    ((rate.max(0.1).log10() + 1.0) / 3.0).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_logarithmic_and_keeps_what_is_beyond_at_its_ends() {
        assert!((place(1.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!((place(0.0)).abs() < 1e-12);
        assert!((place(1e9) - 1.0).abs() < 1e-12);
    }
}
