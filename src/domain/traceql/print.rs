//! Formats values in a selector's syntax.

use crate::domain::model::span::{AttributeName, AttributeScope};

/// Returns the text as a string of a selector.
pub fn quoted_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns the attribute in a selector's syntax, with its key in quotes if needed.
pub fn quoted_attribute(name: &AttributeName) -> String {
    let scope = match name.scope {
        AttributeScope::Span => "span",
        AttributeScope::Resource => "resource",
        AttributeScope::Any => "",
        AttributeScope::Instrumentation => "instrumentation",
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if !name.key.is_empty() && name.key.chars().all(is_plain) {
        format!("{scope}.{}", name.key)
    } else {
        let escaped = name.key.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{scope}.\"{escaped}\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::traceql::{Selector, parse_attribute};

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(key in ".{1,20}", text in ".*") {
            let name = AttributeName { scope: AttributeScope::Span, key };
            let written = quoted_attribute(&name);
            prop_assert_eq!(parse_attribute(&written).ok(), Some(name));
            let selector = format!("{{ {written} = {} }}", quoted_text(&text));
            prop_assert!(Selector::parse(&selector).is_ok(), "{}", selector);
        }
    }
}
