//! Selectors and attributes within a document: what is wrong in them is pointed at within the text
//! that they are written in.

use std::ops::Range;

use super::super::diagnostics::{Diagnostics, SourceSpan};
use crate::domain::{
    model::span::AttributeName,
    traceql::{Selector, SelectorError, parse_attribute},
};

/// Whether the start of a workflow is known where a selector is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkflowDuration {
    Known,
    Unknown,
}

pub(crate) fn selector(
    findings: &Diagnostics<'_>,
    text: &str,
    place: SourceSpan,
    workflow_duration: WorkflowDuration,
) -> Option<Selector> {
    let selector = match Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            report(findings, text, place, error);
            return None;
        }
    };
    if workflow_duration == WorkflowDuration::Known || !selector.uses_workflow_duration() {
        return Some(selector);
    }
    findings.error_with_help(
        within(findings.text(), place, text, workflow_duration_in(text)),
        "`workflow:duration` is not known here",
        "it stands only in `good` of a `span` indicator; `duration` is that of the span itself"
            .to_owned(),
    );
    None
}

pub(crate) fn attribute(
    findings: &Diagnostics<'_>,
    text: &str,
    place: SourceSpan,
) -> Option<AttributeName> {
    match parse_attribute(text) {
        Ok(name) => Some(name),
        Err(error) => {
            report(findings, text, place, error);
            None
        }
    }
}

fn report(findings: &Diagnostics<'_>, text: &str, place: SourceSpan, error: SelectorError) {
    let place = within(findings.text(), place, text, error.span);
    findings.error_with_help(place, error.message, error.help);
}

/// Where `workflow:duration` stands in a selector that has it. One in a string before it is taken for
/// it, which is near enough to be found.
fn workflow_duration_in(text: &str) -> Range<usize> {
    const INTRINSIC: &str = "workflow:duration";
    text.find(INTRINSIC)
        .map_or(0..text.len(), |at| at..at + INTRINSIC.len())
}

/// The place in the file of a stretch of a scalar's value. Where a scalar spans lines or is an alias,
/// its beginning has to do.
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

/// For every character of the value, and its end: the offset in the value and that in the source.
/// `None` if the source does not read as the value.
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

/// The length of the YAML escape that `source` begins with.
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
