//! Two shares on one scale from 0 to 100 %, connected by a line.

use super::markup::{Markup, escaped, number};

const WIDTH: f64 = 120.0;
/// The space at both ends for half a mark.
const EDGE: f64 = 6.0;

/// Draws the share among bad events as a filled mark, the one among good events as a hollow mark.
pub(in crate::web) fn dumbbell(bad: f64, good: f64, sentence: &str) -> Markup {
    let x = |share: f64| EDGE + share.clamp(0.0, 1.0) * (WIDTH - 2.0 * EDGE);
    let (bad, good) = (x(bad), x(good));
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg class="bx" width="{WIDTH}" height="16" role="img" aria-label="{}"><rect class="tk" x="{EDGE}" y="6" width="{}" height="4"/><path class="db" d="M{} 8H{}"/><circle class="fk" cx="{}" cy="8" r="4.2"/><circle class="late" cx="{}" cy="8" r="4.8"/></svg>"#,
        escaped(sentence),
        number(WIDTH - 2.0 * EDGE),
        number(good),
        number(bad),
        number(good),
        number(bad),
    ));
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_between_the_ends_of_the_track() {
        let svg = dumbbell(1.0, 0.0, r#"a "b""#).to_string();
        assert!(svg.contains(r#"<circle class="fk" cx="6""#), "{svg}");
        assert!(svg.contains(r#"<circle class="late" cx="114""#), "{svg}");
        assert!(svg.contains("a &quot;b&quot;"), "{svg}");
        assert_eq!(dumbbell(7.0, -3.0, r#"a "b""#).to_string(), svg);
    }
}
