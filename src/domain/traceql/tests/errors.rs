//! Tests of the errors for invalid selectors, and their positions.

use crate::domain::{
    model::span::AttributeScope,
    traceql::{Selector, SelectorError, parse_attribute},
};

/// Text, the part of it that the error points at, and words of its message and help.
type Case = (&'static str, &'static str, &'static str, &'static str);

fn assert_all(table: &[Case], parse: impl Fn(&str) -> Option<SelectorError>) {
    for (text, pointed, message, help) in table {
        let Some(error) = parse(text) else {
            panic!("{text} is accepted");
        };
        assert_eq!(&text[error.span.clone()], *pointed, "{text}: {error:?}");
        assert!(error.message.contains(message), "{text}: {error:?}");
        let said = error.help.clone().unwrap_or_default();
        assert!(said.contains(help), "{text}: {error:?}");
        assert_eq!(said.is_empty(), help.is_empty(), "{text}: {error:?}");
    }
}

fn error_of(text: &str) -> Option<SelectorError> {
    Selector::parse(text).err()
}

const UNREADABLE: &[Case] = &[
    ("", "", "begins with `{`", "name = \"deploy\""),
    ("name = \"a\"", "name", "begins with `{`", "{ }"),
    (
        "{ name = \"a\"",
        "{",
        "this `{` is never closed",
        "add a `}`",
    ),
    (
        "{ (name = \"a\" }",
        "}",
        "expected an operator or `)` before `}`",
        "",
    ),
    ("{ name = }", "}", "expected a value before `}`", ""),
    ("{ name = ", "", "ends where a value is expected", ""),
    ("{ name == \"a\" }", "==", "`==` is not an operator", "`=`"),
    (
        "{ name = 'a' }",
        "'",
        "`'` has no meaning here",
        "double quotes",
    ),
    (
        "{ name = \"a\" & kind = server }",
        "&",
        "`&` has no meaning",
        "`&&`",
    ),
    (
        "{ name = \"a\" and kind = server }",
        "and",
        "before `and`",
        "`&&`",
    ),
    (
        "{ name = \"a\" | kind = server }",
        "|",
        "`|` is not an operator",
        "`||`",
    ),
    ("{ name = \"a }", "\"a }", "never closed", ""),
    ("{ name = `a }", "`a }", "never closed", ""),
    (
        "{ name = \"a\\.b\" }",
        "\\.",
        "`\\.` is not an escape",
        "`\\\\.`",
    ),
    ("{ name = \"\\xff\" }", "\"\\xff\"", "not UTF-8", ""),
    (
        "{ name = \"\\ud800\" }",
        "\\u",
        "hexadecimal digits of a character",
        "",
    ),
    (
        "{ span. = 1 }",
        "span.",
        "name of the attribute is missing",
        "",
    ),
    (
        "{ span.\"a = 1 }",
        "\"a = 1 }",
        "this quote is never closed",
        "",
    ),
    (
        "{ duration > 5min }",
        "5min",
        "neither a number nor a duration",
        "`5m`",
    ),
    ("{ duration > 300y }", "300y", "292 years", ""),
    (
        "{ span.a > 9223372036854775808 }",
        "9223372036854775808",
        "64 bits",
        "",
    ),
    ("{ span.a > 1e999 }", "1e999", "larger than any number", ""),
    ("{ } { }", "{ }", "nothing may follow", ""),
    ("{ /* open }", "/* open }", "comment is never closed", ""),
    ("{ name = \"é\" ; }", ";", "`;` has no meaning", ""),
];

#[test]
fn a_text_that_does_not_parse_is_pointed_at() {
    assert_all(UNREADABLE, error_of);
}

const UNKNOWN_WORDS: &[Case] = &[
    (
        "{ nmae = \"a\" }",
        "nmae",
        "not an intrinsic",
        "did you mean `name`?",
    ),
    (
        "{ Duration > 1s }",
        "Duration",
        "not an intrinsic",
        "did you mean `duration`?",
    ),
    (
        "{ span:parentId = nil }",
        "span:parentId",
        "not an intrinsic",
        "`span:parentID`",
    ),
    (
        "{ status = eror }",
        "eror",
        "not a status",
        "did you mean `error`?",
    ),
    (
        "{ status = failed }",
        "failed",
        "not a status",
        "`ok`, `error` or `unset`",
    ),
    (
        "{ kind = prodcuer }",
        "prodcuer",
        "not a span kind",
        "did you mean `producer`?",
    ),
    ("{ kind = queue }", "queue", "not a span kind", "`consumer`"),
    ("{ name = deploy }", "deploy", "not a value", "\"deploy\""),
    (
        "{ customer = \"a\" }",
        "customer",
        "not an intrinsic",
        "`span.customer`",
    ),
    (
        "{ resorce.x = \"a\" }",
        "resorce",
        "not a scope",
        "did you mean `resource.x`?",
    ),
    (
        "{ order.id = \"a\" }",
        "order",
        "not a scope",
        "`span.order.id`",
    ),
];

#[test]
fn an_unknown_word_is_answered_with_the_nearest_known_one() {
    assert_all(UNKNOWN_WORDS, error_of);
}

const TYPE_ERRORS: &[Case] = &[
    (
        "{ status = \"error\" }",
        "status = \"error\"",
        "a status and `\"error\"` is a string",
        "write `error` without quotes",
    ),
    (
        "{ kind != \"server\" }",
        "kind != \"server\"",
        "cannot be compared",
        "write `server` without quotes",
    ),
    (
        "{ duration > \"5s\" }",
        "duration > \"5s\"",
        "cannot be compared",
        "write `5s` without quotes",
    ),
    (
        "{ name = 4 }",
        "name = 4",
        "a string and `4` is a number",
        "",
    ),
    (
        "{ name = error }",
        "name = error",
        "cannot be compared",
        "`\"error\"`",
    ),
    (
        "{ span.x = error }",
        "span.x = error",
        "an attribute and `error` is a status",
        "`\"error\"`",
    ),
    ("{ status > ok }", "status > ok", "has no order", ""),
    ("{ span.x > true }", "span.x > true", "has no order", ""),
    (
        "{ !name = \"a\" }",
        "name",
        "`!` turns a condition around",
        "`name != ...`",
    ),
    ("{ -name = 1 }", "name", "is a string, not a number", ""),
    (
        "{ (name + 1) > 2 }",
        "name",
        "is a string, not a number",
        "",
    ),
    (
        "{ name }",
        "name",
        "is a string, where a condition is needed",
        "name = ",
    ),
    (
        "{ 1 + 2 }",
        "1 + 2",
        "is a number, where a condition",
        "compare it",
    ),
    (
        "{ name = \"a\" && duration }",
        "duration",
        "is a duration, where a condition",
        "compare it",
    ),
    (
        "{ name = nil }",
        "name = nil",
        "`name` is never missing, so this holds for no span",
        "",
    ),
    (
        "{ nil = nil }",
        "nil = nil",
        "only fields can be missing",
        "",
    ),
    ("{ span.x > nil }", "span.x > nil", "only `=` and `!=`", ""),
    (
        "{ span.x =~ nil }",
        "span.x =~ nil",
        "only `=` and `!=`",
        "",
    ),
    (
        "{ duration =~ \"1.*\" }",
        "duration",
        "match strings only",
        "",
    ),
    (
        "{ name =~ span.x }",
        "span.x",
        "not a regular expression",
        "as a string",
    ),
    ("{ name =~ \"a(\" }", "\"a(\"", "unclosed group", ""),
    ("{ name =~ \"a)|(b\" }", "\"a)|(b\"", "unopened group", ""),
    (
        "{ name =~ \"(a{1000}){1000}\" }",
        "\"(a{1000}){1000}\"",
        "too large",
        "smaller repetitions",
    ),
];

#[test]
fn a_type_error_that_the_text_shows_is_an_error() {
    assert_all(TYPE_ERRORS, error_of);
}

const BEYOND_ONE_SPAN: &[Case] = &[
    (
        "{ trace:duration > 1s }",
        "trace:duration",
        "one span",
        "workflow:duration",
    ),
    (
        "{ traceDuration > 1s }",
        "traceDuration",
        "one span",
        "workflow:duration",
    ),
    (
        "{ rootName = \"a\" }",
        "rootName",
        "may not have arrived",
        "span:parentID = nil",
    ),
    (
        "{ rootServiceName = \"a\" }",
        "rootServiceName",
        "may not have arrived",
        "resource.service.name",
    ),
    (
        "{ trace:rootService = \"a\" }",
        "trace:rootService",
        "may not have arrived",
        "resource.service.name",
    ),
    (
        "{ parent.x = 1 }",
        "parent.x",
        "parent are not supported",
        "the span itself",
    ),
    (
        "{ parent = nil }",
        "parent",
        "may not have arrived",
        "the span itself",
    ),
    (
        "{ span:childCount > 1 }",
        "span:childCount",
        "children arrive",
        "",
    ),
    (
        "{ nestedSetParent < 0 }",
        "nestedSetParent",
        "shape of a trace",
        "span:parentID = nil",
    ),
    (
        "{ name = \"a\" } >> { }",
        ">>",
        "structural operators",
        "one filter",
    ),
    ("{ } > { }", ">", "structural operators", "one filter"),
    ("{ } ~ { }", "~", "structural operators", "one filter"),
    ("{ } !~ { }", "!~", "structural operators", "one filter"),
    ("{ } &>> { }", "&>>", "structural operators", "one filter"),
    (
        "{ } && { }",
        "&&",
        "spansets cannot be combined",
        "{ a && b }",
    ),
    (
        "{ } | count() > 2",
        "| count() > 2",
        "pipelines",
        "after its `}`",
    ),
    (
        "{ } | select(span.x) ",
        "| select(span.x)",
        "`select`",
        "after its `}`",
    ),
    (
        "{ } | rate() by (resource.service.name)",
        "| rate() by (resource.service.name)",
        "metrics",
        "after its `}`",
    ),
    (
        "{ } with (most_recent=true)",
        "with (most_recent=true)",
        "nothing may follow",
        "",
    ),
];

#[test]
fn what_one_span_cannot_answer_is_refused_with_the_reason() {
    assert_all(BEYOND_ONE_SPAN, error_of);
}

#[test]
fn a_lone_attribute_is_read_with_its_scope() {
    let table = [
        ("span.order.id", AttributeScope::Span, "order.id"),
        (" resource.x ", AttributeScope::Resource, "x"),
        (".x", AttributeScope::Any, "x"),
        ("span.\"a b\"", AttributeScope::Span, "a b"),
        ("span.\"a\\\"b\\\\\".c", AttributeScope::Span, "a\"b\\.c"),
        ("instrumentation.x", AttributeScope::Instrumentation, "x"),
    ];
    for (text, scope, key) in table {
        let name = parse_attribute(text).unwrap();
        assert_eq!((name.scope, name.key.as_str()), (scope, key), "{text}");
    }
}

#[test]
fn what_is_not_one_value_of_a_span_is_no_lone_attribute() {
    let table = [
        ("", "", "is not one attribute", "span.order.id"),
        ("order", "order", "is not an attribute", "span.order.id"),
        ("name", "name", "is not an attribute", "span.order.id"),
        (
            "\"span.x\"",
            "\"span.x\"",
            "is not an attribute",
            "span.order.id",
        ),
        (
            "span.a = 1",
            "span.a = 1",
            "is not one attribute",
            "span.order.id",
        ),
        (
            "event.x",
            "event.x",
            "any number of events and links",
            "of the span",
        ),
        (
            "link.x",
            "link.x",
            "any number of events and links",
            "of the span",
        ),
        (
            "parent.x",
            "parent.x",
            "may not have arrived",
            "the span itself",
        ),
        ("spam.x", "spam", "not a scope", "did you mean `span.x`?"),
    ];
    assert_all(&table, |text| parse_attribute(text).err());
}
