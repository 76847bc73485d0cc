//! HTML that needs no escaping.

use std::fmt;

use askama::filters::HtmlSafe;

/// HTML that templates print unchanged. Only this folder makes it: from numbers, its own literals
/// and [`escaped`] text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Markup(String);

impl Markup {
    pub(super) fn add(&mut self, part: fmt::Arguments<'_>) {
        fmt::Write::write_fmt(&mut self.0, part).unwrap_or_default();
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

/// Escapes text for an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Formats text in which backticks enclose names, as messages and the command line show it: on a
/// page these are set as code.
pub(in crate::web) fn prose(text: impl AsRef<str>) -> Markup {
    let text = text.as_ref();
    let mut markup = Markup::default();
    if text.matches('`').count() % 2 == 1 {
        // A backtick without a counterpart is printed as it is.
        markup.add(format_args!("{}", escaped(text)));
        return markup;
    }
    for (nth, part) in text.split('`').enumerate() {
        let part = escaped(part);
        match nth % 2 {
            0 => markup.add(format_args!("{part}")),
            _ => markup.add(format_args!("<code>{part}</code>")),
        }
    }
    markup
}

/// Formats with one decimal, or none if it is zero: a tenth of a pixel is the smallest visible
/// step.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0").unwrap_or(&text) {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

/// Draws a line through the points, interrupted where there is none. The first point of a part is
/// absolute and the others relative, which is shorter.
pub(super) fn path(points: impl IntoIterator<Item = Option<(f64, f64)>>) -> String {
    let mut out = String::new();
    let mut last: Option<(f64, f64)> = None;
    for point in points {
        let Some((x, y)) = point.map(|(x, y)| (tenth(x), tenth(y))) else {
            last = None;
            continue;
        };
        match last {
            None => out.extend(["M", &number(x), " ", &number(y)]),
            Some((x0, y0)) => out.extend(["l", &number(x - x0), " ", &number(y - y0)]),
        }
        last = Some((x, y));
    }
    out
}

/// Rounds before differences are taken, so that errors do not add up along the line.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_and_breaks_at_gaps() {
        let points = [
            Some((0.0, 10.0)),
            Some((2.5, 9.96)),
            None,
            Some((7.0, 1.0)),
            Some((8.0, 1.0)),
        ];
        assert_eq!(path(points), "M0 10l2.5 0M7 1l1 0");
    }

    #[test]
    fn p16_what_stands_between_backticks_is_code_and_cannot_be_markup() {
        let markup = prose("lengthen `grace <b>` & wait");
        assert_eq!(
            markup.to_string(),
            "lengthen <code>grace &lt;b&gt;</code> &amp; wait"
        );
    }

    #[test]
    fn foreign_text_cannot_leave_its_attribute() {
        assert_eq!(escaped(r#"a"><b>'&"#), "a&quot;&gt;&lt;b&gt;&#39;&amp;");
    }
}
