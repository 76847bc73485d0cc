//! The reference of selectors: fields, operators, rules, and the differences from Tempo that remain.

use schemars::JsonSchema;
use serde::Serialize;

use super::intrinsics;
use crate::domain::traceql::tree::Intrinsic;

/// The syntax of selectors.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct SelectorReference {
    /// Intrinsics, then the scopes of attributes.
    pub fields: Vec<SelectorSyntax>,
    pub operators: Vec<SelectorSyntax>,
    pub values: Vec<SelectorSyntax>,
    pub rules: &'static [&'static str],
    pub differences: &'static [TempoDifference],
}

/// One piece of syntax, and its meaning.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct SelectorSyntax {
    /// Equivalent spellings.
    pub syntax: Vec<&'static str>,
    pub about: &'static str,
}

/// A selector with another meaning in Grafana Tempo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct TempoDifference {
    pub here: &'static str,
    pub in_tempo: &'static str,
    pub reason: &'static str,
}

pub fn reference() -> SelectorReference {
    let syntax = |(syntax, about): &(&[&'static str], &'static str)| SelectorSyntax {
        syntax: syntax.to_vec(),
        about,
    };
    let mut fields: Vec<SelectorSyntax> = Vec::new();
    for (word, intrinsic) in intrinsics() {
        let about = about(intrinsic);
        match fields.iter_mut().find(|field| field.about == about) {
            Some(field) => field.syntax.push(word),
            None => fields.push(SelectorSyntax {
                syntax: vec![word],
                about,
            }),
        }
    }
    fields.extend(ATTRIBUTES.iter().map(syntax));
    SelectorReference {
        fields,
        operators: OPERATORS.iter().map(syntax).collect(),
        values: VALUES.iter().map(syntax).collect(),
        rules: &RULES,
        differences: &DIFFERENCES,
    }
}

const fn about(intrinsic: Intrinsic) -> &'static str {
    match intrinsic {
        Intrinsic::Name => "Name of the span.",
        Intrinsic::Status => "Status of the span: `ok`, `error` or `unset`.",
        Intrinsic::StatusMessage => "Text that came with the status.",
        Intrinsic::Kind => "Kind of the span, such as `producer` or `consumer`.",
        Intrinsic::Duration => "Time from the start of the span to its end.",
        Intrinsic::SpanId => "Id of the span, 16 hexadecimal digits.",
        Intrinsic::ParentId => "Id of the parent span; `nil` for a root span.",
        Intrinsic::TraceId => "Id of the trace, 32 hexadecimal digits.",
        Intrinsic::EventName => "Name of an event of the span.",
        Intrinsic::EventTimeSinceStart => "Time from the start of the span to an event.",
        Intrinsic::LinkTraceId => "Trace id of a link of the span.",
        Intrinsic::LinkSpanId => "Span id of a link of the span.",
        Intrinsic::InstrumentationName => "Name of the instrumentation scope.",
        Intrinsic::InstrumentationVersion => "Version of the instrumentation scope.",
        Intrinsic::WorkflowDuration => {
            "Time from the start of the workflow to the end of the span; only in `finish`, `fail` and `cancel`."
        }
    }
}

const ATTRIBUTES: [(&[&str], &str); 6] = [
    (
        &["span.x", "span.\"x y\""],
        "Attribute `x` of the span. A name with other characters is quoted.",
    ),
    (
        &["resource.x"],
        "Attribute of the resource, such as `resource.service.name`.",
    ),
    (
        &["instrumentation.x"],
        "Attribute of the instrumentation scope.",
    ),
    (&["event.x"], "Attribute of an event of the span."),
    (&["link.x"], "Attribute of a link of the span."),
    (
        &[".x"],
        "Attribute of the span or else of the resource or else of the instrumentation scope.",
    ),
];

const OPERATORS: [(&[&str], &str); 6] = [
    (
        &["=", "!="],
        "Equal, and present but not equal. `= nil` holds if the field is absent, `!= nil` if it is present.",
    ),
    (
        &["<", "<=", ">", ">="],
        "Order of numbers, durations and text.",
    ),
    (
        &["=~", "!~"],
        "Matches a regular expression (RE2) as a whole, and is present but does not match.",
    ),
    (
        &["&&", "||"],
        "Both, and one of both. They have the same precedence and group from the left.",
    ),
    (
        &["!"],
        "Not. It also turns a comparison with an absent field around.",
    ),
    (
        &["+", "-", "*", "/", "%", "^"],
        "Arithmetic with numbers and durations.",
    ),
];

const VALUES: [(&[&str], &str); 6] = [
    (
        &["\"text\"", "`text`"],
        "Text. Backslashes are literal between backticks.",
    ),
    (&["42", "-1.5"], "A number."),
    (&["250ms", "1m30s"], "A duration."),
    (&["true", "false", "nil"], "Boolean values, and no value."),
    (&["ok", "error", "unset"], "A status."),
    (
        &[
            "unspecified",
            "internal",
            "server",
            "client",
            "producer",
            "consumer",
        ],
        "A kind of span.",
    ),
];

const RULES: [&str; 7] = [
    "A selector is one spanset filter `{ ... }` and is decided from one span.",
    "A comparison with an absent attribute is false, also with `!=`. `{ !(span.x = \"a\") }` also selects spans without `x`.",
    "An attribute that is an array matches if any element matches; with `!=` and `!~`, if no element does. An array with one value is that value. At most 1,024 elements are compared.",
    "An empty array, bytes, key-value lists and an attribute without a value are `nil`.",
    "All conditions on events in one selector apply to the same event, and all conditions on links to the same link.",
    "If the only conditions on events are `event.x = nil` or stand in `!(...)`, no event may break them.",
    "Regular expressions are those of Go (RE2) and match the whole text. `\\d`, `\\w` and `\\s` are ASCII.",
];

const DIFFERENCES: [TempoDifference; 10] = [
    TempoDifference {
        here: "`span:parentID = nil` selects root spans",
        in_tempo: "an error; write `nestedSetParent < 0`",
        reason: "spans arrive one by one, so the position in the trace is not known, but a root has no parent",
    },
    TempoDifference {
        here: "conditions on the trace, such as `rootName`, and on several spans are errors",
        in_tempo: "allowed",
        reason: "a selector is decided from one span",
    },
    TempoDifference {
        here: "`.x` is looked up in the span, the resource and the instrumentation scope",
        in_tempo: "also in events and links",
        reason: "a span has several of them",
    },
    TempoDifference {
        here: "`event.x = nil` alone: no event has `x`",
        in_tempo: "the documentation says the same; in fact one event without `x` is enough",
        reason: "the documented meaning",
    },
    TempoDifference {
        here: "arrays of mixed types: elements of the right type are compared",
        in_tempo: "`nil`",
        reason: "OpenTelemetry allows such arrays since 2025",
    },
    TempoDifference {
        here: "an array with one value is that value, also in arithmetic",
        in_tempo: "arithmetic with arrays is an error",
        reason: "captured headers are arrays by convention",
    },
    TempoDifference {
        here: "`workflow:duration`",
        in_tempo: "does not exist",
        reason: "the time since the start of the workflow",
    },
    TempoDifference {
        here: "`-span.name` of a text, or a division by zero, makes the comparison false",
        in_tempo: "an error",
        reason: "a selector must not fail on a span",
    },
    TempoDifference {
        here: "`\\B` in regular expressions is an error",
        in_tempo: "allowed",
        reason: "there is no ASCII form of it here",
    },
    TempoDifference {
        here: "an attribute compared with a status or kind, such as `span.x = server`, is an error",
        in_tempo: "false",
        reason: "it can never be true: put the text in quotes",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::traceql::Selector;

    #[test]
    fn every_field_of_the_reference_can_be_selected() {
        let fields = reference().fields.into_iter();
        for field in fields.flat_map(|field| field.syntax) {
            let selector = format!("{{ {field} != nil }}");
            assert!(Selector::parse(&selector).is_ok(), "{selector}");
        }
    }

    #[test]
    fn every_value_of_the_reference_can_be_compared() {
        let values = reference().values.into_iter();
        for value in values.flat_map(|value| value.syntax) {
            let field = match value {
                "ok" | "error" | "unset" => "status",
                "unspecified" | "internal" | "server" | "client" | "producer" | "consumer" => {
                    "kind"
                }
                _ => "span.x",
            };
            let selector = format!("{{ {field} = {value} }}");
            assert!(Selector::parse(&selector).is_ok(), "{selector}");
        }
    }
}
