//! Reads selectors and attributes within a document: errors are reported at their position in the
//! text.

use std::ops::Range;

use super::super::{
    diagnostics::{Reported, SourceSpan},
    shape::Shape,
    value::{Checked, YamlValue},
    yaml::{Entry, NodeValue, YamlNode},
};
use crate::domain::{
    model::span::AttributeName,
    traceql::{Selector, SelectorError, parse_attribute},
};

/// Reads a selector where the start of a workflow is not known.
pub(crate) fn selector(value: YamlValue<'_>) -> Checked<Selector> {
    let selector = selector_with_duration(value)?;
    if !selector.uses_workflow_duration() {
        return Ok(selector);
    }
    let text = selector.text();
    let place = within(
        value.findings.text(),
        value.place(),
        text,
        workflow_duration_in(text),
    );
    Err(value.findings.error_with_help(
        place,
        "`workflow:duration` is not known here",
        "it is allowed only in `good` of a `span` indicator; `duration` is that of the span itself"
            .to_owned(),
    ))
}

/// Reads a selector where the start of a workflow is known, so that `workflow:duration` has a
/// value.
pub(crate) fn selector_with_duration(value: YamlValue<'_>) -> Checked<Selector> {
    let node = value.accept(Shape::Selector)?;
    if let Some(quoted) = quoted(value, node) {
        let message = "a selector without quotes is a group of fields to YAML";
        return Err(value.error_with_help(message, format!("put it in quotes: `{quoted}`")));
    }
    let text = value.text()?;
    Selector::parse(text).map_err(|error| report(value, text, error))
}

/// Returns an unquoted selector of the file, with quotes. In YAML its braces are those of a group,
/// and the parts between commas are keys without values.
fn quoted(value: YamlValue<'_>, node: &YamlNode) -> Option<String> {
    let entries = node.entries()?;
    let is_null = |entry: &Entry| matches!(entry.value.value, NodeValue::Null);
    let first = entries.first().filter(|_| entries.iter().all(is_null))?;
    let text = value.findings.text();
    let start = text.get(..first.key_place.0)?.rfind('{')?;
    let line = text.get(start..)?.lines().next()?;
    let end = line.rfind('}')? + 1;
    Some(format!("'{}'", line.get(..end)?.replace('\'', "''")))
}

pub(crate) fn attribute(value: YamlValue<'_>) -> Checked<AttributeName> {
    let text = value.text_as(Shape::Attribute)?;
    parse_attribute(text).map_err(|error| report(value, text, error))
}

fn report(value: YamlValue<'_>, text: &str, error: SelectorError) -> Reported {
    let place = within(value.findings.text(), value.place(), text, error.span);
    value
        .findings
        .error_with_help(place, error.message, error.help)
}

/// Returns the position of `workflow:duration` in a selector. An earlier occurrence in a string is
/// returned instead, which is near enough.
fn workflow_duration_in(text: &str) -> Range<usize> {
    const INTRINSIC: &str = "workflow:duration";
    text.find(INTRINSIC)
        .map_or(0..text.len(), |at| at..at + INTRINSIC.len())
}

/// Returns the position in the file of a part of a scalar's value. For a scalar of several lines or
/// an alias, this is its beginning.
fn within(file: &str, scalar: SourceSpan, value: &str, span: Range<usize>) -> SourceSpan {
    let source = file.get(scalar.range()).unwrap_or_default();
    let start_of_scalar = || {
        let first_line = source.lines().next().unwrap_or_default();
        SourceSpan(scalar.0, scalar.0 + first_line.len().max(1))
    };
    if source.contains('\n') {
        return start_of_scalar();
    }
    let Some(offsets) = offsets_in_source(source, value) else {
        return start_of_scalar();
    };
    let at = |offset: usize| {
        offsets
            .iter()
            .find(|(in_value, _)| *in_value >= offset)
            .or(offsets.last())
            .map_or(0, |(_, in_source)| *in_source)
    };
    let (start, end) = (at(span.start), at(span.end));
    SourceSpan(scalar.0 + start, scalar.0 + end.max(start + 1))
}

/// Returns, for every character of the value and for its end, the offset in the value and in the
/// source. `None` if the source does not read as the value.
fn offsets_in_source(source: &str, value: &str) -> Option<Vec<(usize, usize)>> {
    let quote = source.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut at = usize::from(quote.is_some());
    let mut offsets = Vec::with_capacity(value.len() + 1);
    for (in_value, c) in value.char_indices() {
        offsets.push((in_value, at));
        let rest = source.get(at..)?;
        at += match quote {
            Some('\'') if c == '\'' => rest.starts_with("''").then_some(2)?,
            Some('"') if rest.starts_with('\\') => escape_length(rest)?,
            _ => rest.starts_with(c).then_some(c.len_utf8())?,
        };
    }
    offsets.push((value.len(), at));
    Some(offsets)
}

/// Returns the length of the YAML escape at the beginning of `source`.
fn escape_length(source: &str) -> Option<usize> {
    let letter = source.chars().nth(1)?;
    Some(match letter {
        'x' => 4,
        'u' => 6,
        'U' => 10,
        other => 1 + other.len_utf8(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointed_at(source: &str, value: &str, wanted: &str) -> String {
        let file = format!("match: {source}");
        let start = value.find(wanted).unwrap();
        let span = start..start + wanted.len();
        let place = within(&file, SourceSpan(7, 7 + source.len()), value, span);
        file.get(place.range()).unwrap().to_owned()
    }

    #[test]
    fn the_character_at_fault_is_found_through_quotes_and_escapes() {
        let value = r#"{ name = "it's é" && kin = 1 }"#;
        for source in [
            r#"{ name = "it's é" && kin = 1 }"#,
            r#"'{ name = "it''s é" && kin = 1 }'"#,
            r#""{ name = \"it's \u00e9\" && kin = 1 }""#,
        ] {
            assert_eq!(pointed_at(source, value, "kin"), "kin", "{source}");
        }
    }

    #[test]
    fn the_end_of_a_value_can_be_pointed_at() {
        let place = within("'{ a'", SourceSpan(0, 5), "{ a", 3..3);
        assert_eq!(place, SourceSpan(4, 5));
    }

    #[test]
    fn where_lines_are_folded_the_beginning_has_to_do() {
        assert_eq!(pointed_at("\"{ a\n  b }\"", "{ a b }", "b"), "\"{ a");
    }
}
