//! Laws of the language: printed selectors parse to the same tree, and no text causes a crash.

use proptest::prelude::*;

use super::{deploy, matches, printing};
use crate::domain::traceql::{Selector, SelectorContext, parse_attribute, parser};

proptest! {
    #[test]
    fn a_printed_tree_is_read_back_as_it_was(tree in printing::any_tree()) {
        let text = printing::print(&tree);
        let again = parser::parse(&text).map_err(|error| {
            TestCaseError::fail(format!("{text}: {error:?}"))
        })?;
        prop_assert_eq!(again, tree, "{}", text);
    }

    #[test]
    fn a_tree_of_any_types_is_refused_or_evaluated(tree in printing::any_tree()) {
        let text = printing::print(&tree);
        if let Ok(selector) = Selector::parse(&text) {
            selector.matches(&deploy(), SelectorContext::default());
        }
    }

    #[test]
    fn an_arbitrary_text_is_accepted_or_pointed_into(text in any::<String>()) {
        assert_harmless(&text);
        assert_harmless(&format!("{{ {text} }}"));
    }

    #[test]
    fn a_text_of_tokens_is_accepted_or_pointed_into(
        tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..30),
        glue in prop::sample::select(vec!["", " "]),
    ) {
        assert_harmless(&tokens.join(glue));
        assert_harmless(&format!("{{{}}}", tokens.join(glue)));
    }
}

const TOKENS: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "^",
    "=",
    "!=",
    "<",
    ">=",
    "=~",
    "!~",
    "&&",
    "||",
    "|",
    "~",
    ">>",
    ",",
    "name",
    "status",
    "error",
    "nil",
    "true",
    "span.",
    "span.a",
    ".b",
    "event:name",
    "event.n",
    "link.",
    "parent.x",
    "\"",
    "\"a\"",
    "`",
    "\\",
    "1",
    "1.5",
    "1e",
    "5m",
    "3é",
    "//",
    "/*",
    "*/",
    "\n",
    "é",
    "span:",
    "workflow:duration",
    "rootName",
];

fn assert_harmless(text: &str) {
    for error in [Selector::parse(text).err(), parse_attribute(text).err()]
        .into_iter()
        .flatten()
    {
        let pointed = text.get(error.span.clone());
        assert!(pointed.is_some(), "{text:?}: {error:?}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_the_end_of_the_stack() {
    for text in [
        "(".repeat(10_000),
        "!".repeat(10_000),
        "-".repeat(10_000),
        "2^".repeat(10_000),
        "1+".repeat(10_000) + "1",
        "1<".repeat(10_000) + "1",
        "true||true&&".repeat(2_000) + "true",
        "!(".repeat(10_000),
    ] {
        let error = Selector::parse(&format!("{{ {text} }}")).unwrap_err();
        assert!(error.message.contains("nests deeper than"), "{error:?}");
    }
}

#[test]
fn nesting_that_a_person_could_write_is_read() {
    let text = format!(
        "{{ {}name = \"deploy\"{} }}",
        "(".repeat(60),
        ")".repeat(60)
    );
    assert!(matches(&text, &deploy()));
}

#[test]
fn a_chain_may_be_as_long_as_the_text() {
    let names: Vec<_> = (0..1_500).map(|n| format!("name = \"{n}\"")).collect();
    let text = format!("{{ {} || name = \"deploy\" }}", names.join(" || "));
    assert!(matches(&text, &deploy()));
}

#[test]
fn a_text_beyond_all_measure_is_refused_unread() {
    let text = format!("{{ name = \"{}\" }}", "a".repeat(40_000));
    let error = Selector::parse(&text).unwrap_err();
    assert!(error.message.contains("at most 32768 bytes"), "{error}");
}

#[test]
fn numbers_and_durations_are_read_to_the_nanosecond() {
    for (written, nanos) in [
        ("100ms", "100000000"),
        ("1h30m", "5400000000000"),
        ("1.5s", "1500000000"),
        ("1.000000001s", "1000000001"),
        (".5us", "500"),
        ("2µs", "2000"),
        ("2d", "172800000000000"),
        ("1w", "604800000000000"),
        ("1e3", "1000"),
        ("1e-3 * 1000", "1"),
        ("1.", "1"),
        ("007", "7"),
    ] {
        assert!(
            matches(&format!("{{ {written} = {nanos} }}"), &deploy()),
            "{written}"
        );
    }
}

#[test]
fn comments_and_line_breaks_are_blanks() {
    let text =
        "{ // which\n name = \"deploy\" /* as the\n worker calls it */ &&\n\tkind = consumer }\n";
    assert!(matches(text, &deploy()));
}

#[test]
fn an_attribute_runs_on_until_a_blank_a_bracket_or_a_comparison() {
    let mut span = deploy();
    span.attributes.push(("a-b/c+d".to_owned(), 1.into()));
    assert!(matches("{ span.a-b/c+d=1 }", &span));
    assert!(matches("{(span.a-b/c+d)<2&&span.a-b/c+d>0}", &span));
}
