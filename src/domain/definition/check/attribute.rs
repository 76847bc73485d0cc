//! A scoped attribute as TraceQL writes it.

use super::super::AttributeName;
use crate::domain::{selector::SelectorError, span::AttributeScope};

/// Reads `span.order.id`, `resource.x`, `.x`, and `span."a b"` where the key has other characters.
pub(super) fn parse_attribute(text: &str) -> Result<AttributeName, SelectorError> {
    let scopes = [
        ("span.", AttributeScope::Span),
        ("resource.", AttributeScope::Resource),
        ("instrumentation.", AttributeScope::Instrumentation),
        (".", AttributeScope::Any),
    ];
    let found = scopes
        .iter()
        .find_map(|(prefix, scope)| Some((*scope, text.strip_prefix(prefix)?)));
    let Some((scope, key)) = found else {
        return Err(wrong(
            0..text.len(),
            format!("`{text}` does not say whose attribute it is"),
            format!("write `span.{text}` or `resource.{text}`"),
        ));
    };
    let start = text.len() - key.len();
    let quoted = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .filter(|key| !key.is_empty() && !key.contains(['"', '\\']));
    if let Some(key) = quoted {
        return Ok(AttributeName {
            scope,
            key: key.to_owned(),
        });
    }
    let is_plain = |c: char| c.is_alphanumeric() || "._-/:@".contains(c);
    match key.char_indices().find(|(_, c)| !is_plain(*c)) {
        None if !key.is_empty() => Ok(AttributeName {
            scope,
            key: key.to_owned(),
        }),
        None => Err(wrong(
            0..text.len(),
            format!("`{text}` names no attribute"),
            "write the attribute behind the point, such as `span.order.id`".to_owned(),
        )),
        Some((at, c)) => Err(wrong(
            start + at..start + at + c.len_utf8(),
            format!("`{c}` cannot stand in the plain name of an attribute"),
            "put the name in double quotes: `span.\"a b\"`".to_owned(),
        )),
    }
}

fn wrong(span: std::ops::Range<usize>, message: String, help: String) -> SelectorError {
    SelectorError {
        span,
        message,
        help: Some(help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_and_key_are_told_apart() {
        for (text, scope, key) in [
            ("span.order.id", AttributeScope::Span, "order.id"),
            (
                "resource.service.name",
                AttributeScope::Resource,
                "service.name",
            ),
            (".order_id", AttributeScope::Any, "order_id"),
            ("span.\"a b\"", AttributeScope::Span, "a b"),
        ] {
            let name = parse_attribute(text).unwrap();
            assert_eq!((name.scope, name.key.as_str()), (scope, key), "{text}");
        }
        for text in ["order.id", "span.", "span.a b", "", "span.\"a"] {
            assert!(parse_attribute(text).is_err(), "{text}");
        }
    }
}
