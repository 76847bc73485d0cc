//! Splits text into documents, and parses each to a tree whose nodes have positions.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Spanned, UserMessageFormatter};

use super::diagnostics::{Diagnostics, SourceSpan};

/// One value of a document. Numbers keep the text they were written as.
#[derive(Clone, Debug)]
pub(super) struct YamlNode {
    pub(super) place: SourceSpan,
    pub(super) value: NodeValue,
}

#[derive(Clone, Debug)]
pub(super) enum NodeValue {
    Null,
    Bool,
    Number(String),
    Text(String),
    Sequence(Vec<YamlNode>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: SourceSpan,
    pub(super) value: YamlNode,
}

impl YamlNode {
    /// Makes a number if `text` is one, otherwise text.
    pub(super) fn scalar(text: &str, place: SourceSpan) -> Self {
        let value = match text.parse::<f64>() {
            Ok(_) => NodeValue::Number(text.to_owned()),
            Err(_) => NodeValue::Text(text.to_owned()),
        };
        Self { place, value }
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    pub(super) fn entries(&self) -> Option<&[Entry]> {
        if let NodeValue::Mapping(entries) = &self.value {
            Some(entries)
        } else {
            None
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let NodeValue::Text(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// Returns a number as it was written.
    pub(super) fn number(&self) -> Option<&str> {
        if let NodeValue::Number(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// Returns the kind of value, for people.
    pub(super) fn noun(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "nothing",
            NodeValue::Bool => "a boolean",
            NodeValue::Number(_) => "a number",
            NodeValue::Text(_) => "text",
            NodeValue::Sequence(_) => "a list",
            NodeValue::Mapping(_) => "a group of fields",
        }
    }
}

/// Returns the ranges of a file that are documents. A marker at the start of a line cannot be part
/// of any value, so documents are separated without parsing them, and one that cannot be parsed
/// does not hide the problems of the next.
pub(super) fn documents(text: &str) -> Vec<Range<usize>> {
    let mut documents = Vec::new();
    let mut start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let next = offset + line.len();
        let bare = line.trim_end();
        if bare == "---" || line.starts_with("--- ") || line.starts_with("---\t") {
            // Directives belong to the document that the marker begins.
            if !is_prologue(text.get(start..offset).unwrap_or_default()) {
                documents.push(start..offset.max(start));
                start = offset;
            }
        } else if bare == "..." {
            documents.push(start..offset);
            start = next;
        }
        offset = next;
    }
    documents.push(start..text.len().max(start));
    documents
}

/// Returns whether these lines are directives such as `%YAML 1.2`, with comments between them.
fn is_prologue(lines: &str) -> bool {
    let mut lines = lines.lines().filter(|line| !line.trim().is_empty());
    let all = lines.clone().all(|line| line.starts_with(['%', '#']));
    all && lines.any(|line| line.starts_with('%'))
}

/// Returns the tree of one document; `None` if it is empty or invalid, which is then reported.
pub(super) fn parse(findings: &mut Diagnostics<'_>, document: Range<usize>) -> Option<YamlNode> {
    let text = findings.text().get(document.clone())?;
    match serde_saphyr::from_str_with_options::<Spanned<YamlScalar>>(text, options()) {
        Ok(raw) => {
            let node = node(raw, text, document.start);
            (!matches!(node.value, NodeValue::Null)).then_some(node)
        }
        Err(error) => {
            if text.contains("NotificationTarget") {
                findings.mask_values(document.clone());
            }
            report(findings, &error, text, document.start);
            None
        }
    }
}

/// Limits far above what a person writes, and far below what would do harm.
fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    options.strict_booleans = true;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = 32;
        budget.max_nodes = 20_000;
        budget.max_aliases = 200;
    }
    options
}

fn report(findings: &Diagnostics<'_>, error: &serde_saphyr::Error, text: &str, base: usize) {
    let place = error.location().map_or(SourceSpan(base, base), |location| {
        place(text, base, &location.span())
    });
    let error = innermost(error);
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().unwrap_or("?");
        findings.error_with_help(
            place,
            format!("`{key}` is written twice"),
            "keep one of them: it is not clear which one was meant".to_owned(),
        );
    } else if is_over_budget(error) {
        findings.error_with_help(
            place,
            "the document is too large or too deeply nested to be read",
            "at most 32 levels, 20000 values and 200 aliases: split it into several documents"
                .to_owned(),
        );
    } else {
        let message = error.render_with_formatter(&UserMessageFormatter);
        // The position is shown beside the line itself.
        let message = message.split(" at line ").next().unwrap_or_default();
        findings.error(place, format!("this is not YAML: {message}"));
    }
}

fn is_over_budget(error: &serde_saphyr::Error) -> bool {
    matches!(
        error,
        serde_saphyr::Error::Budget { .. }
            | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
            | serde_saphyr::Error::AliasExpansionLimitExceeded { .. }
            | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. }
    )
}

/// Returns the innermost error: a problem behind an alias is reported where it is used.
fn innermost(error: &serde_saphyr::Error) -> &serde_saphyr::Error {
    let error = error.without_snippet();
    if let serde_saphyr::Error::AliasError { error, .. } = error {
        innermost(error)
    } else {
        error
    }
}

fn node(raw: Spanned<YamlScalar>, text: &str, base: usize) -> YamlNode {
    let place = place(text, base, &raw.referenced.span());
    let value = match raw.value {
        YamlScalar::Null => NodeValue::Null,
        YamlScalar::Bool => NodeValue::Bool,
        YamlScalar::Number(value) => {
            NodeValue::Number(number_as_written(text, base, place).map_or(value, ToOwned::to_owned))
        }
        YamlScalar::Text(value) => NodeValue::Text(value),
        YamlScalar::Sequence(items) => NodeValue::Sequence(
            items
                .into_iter()
                .map(|item| node(item, text, base))
                .collect(),
        ),
        YamlScalar::Mapping(entries) => NodeValue::Mapping(
            entries
                .into_iter()
                .map(|(key, value)| entry(key, value, text, base))
                .collect(),
        ),
    };
    // A group has no extent of its own, so its first key gives its position.
    let mut node = YamlNode { place, value };
    if let Some(first) = node.entries().and_then(<[Entry]>::first) {
        node.place = first.key_place;
    }
    node
}

fn entry(key: Spanned<String>, value: Spanned<YamlScalar>, text: &str, base: usize) -> Entry {
    let key_place = place(text, base, &key.referenced.span());
    let mut value = node(value, text, base);
    if matches!(
        value.value,
        NodeValue::Mapping(_) | NodeValue::Sequence(_) | NodeValue::Null
    ) {
        value.place = key_place;
    }
    Entry {
        key: key.value,
        key_place,
        value,
    }
}

/// Returns a number as it is written; `None` if the position is that of an alias.
fn number_as_written(text: &str, base: usize, place: SourceSpan) -> Option<&str> {
    let written = text.get(place.0 - base..place.1 - base)?;
    written.parse::<f64>().is_ok().then_some(written)
}

fn place(text: &str, base: usize, span: &serde_saphyr::Span) -> SourceSpan {
    let as_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    // Syntax errors give positions in characters only.
    let in_bytes = |chars: u64| {
        text.char_indices()
            .nth(as_usize(chars))
            .map_or(text.len(), |(offset, _)| offset)
    };
    let start = span
        .byte_offset()
        .map_or_else(|| in_bytes(span.offset()), as_usize);
    let length = span.byte_len().unwrap_or_else(|| span.len());
    let start = start.min(text.len());
    let end = start.saturating_add(as_usize(length)).min(text.len());
    SourceSpan(base + start, base + end)
}

enum YamlScalar {
    Null,
    Bool,
    Number(String),
    Text(String),
    Sequence(Vec<Spanned<YamlScalar>>),
    Mapping(Vec<(Spanned<String>, Spanned<YamlScalar>)>),
}

impl<'de> Deserialize<'de> for YamlScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = YamlScalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<YamlScalar, E> {
        Ok(YamlScalar::Null)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<YamlScalar, E> {
        Ok(YamlScalar::Bool)
    }

    fn visit_i64<E>(self, value: i64) -> Result<YamlScalar, E> {
        Ok(YamlScalar::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<YamlScalar, E> {
        Ok(YamlScalar::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<YamlScalar, E> {
        Ok(YamlScalar::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<YamlScalar, E> {
        Ok(YamlScalar::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<YamlScalar, A::Error> {
        let mut sequence = Vec::new();
        while let Some(item) = items.next_element()? {
            sequence.push(item);
        }
        Ok(YamlScalar::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<YamlScalar, A::Error> {
        let mut mapping = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            mapping.push(entry);
        }
        Ok(YamlScalar::Mapping(mapping))
    }
}
