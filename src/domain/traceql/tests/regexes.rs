//! Tests that regular expressions have Go's meaning, or are rejected with an alternative.

use super::{bare, matches};
use crate::domain::{model::span::Span, traceql::Selector};

fn is_match(pattern: &str, name: &str) -> bool {
    let span = Span {
        name: name.to_owned(),
        ..bare()
    };
    matches(&format!("{{ name =~ `{pattern}` }}"), &span)
}

#[test]
fn what_go_and_rust_read_differently_is_read_as_in_go() {
    for (pattern, matching, other) in [
        // A brace that repeats nothing is a character.
        (r"/orders/{id}", "/orders/{id}", "/orders/7"),
        (r"{id}", "{id}", "id"),
        (r"a{,3}", "a{,3}", "aaa"),
        (r"a{2}", "aa", "a{2}"),
        (r"a{2,}", "aaa", "a"),
        (r"a{1,2}b}", "aab}", "aab"),
        (r"\Qa.b[c\E.", "a.b[cx", "axb[cx"),
        (r"\Qa+", "a+", "aa"),
        (r"\101\0", "A\0", "101"),
        (r"[\101-\103]", "B", "D"),
        // In brackets these are characters, not set operations.
        (r"[a&&b]", "&", "c"),
        (r"[a&&b]", "a", "z"),
        (r"[a~~b]", "~", "c"),
        (r"[+--]", ",", "a"),
        (r"[[a]+", "[a[", "b"),
        (r"[]a]+", "]a", "b"),
        (r"[^]a]", "b", "]"),
        (r"[a-]+", "a-", "b"),
        (r"[\w-a]+", "a-", "`"),
        (r"[a-c-e]+", "b-e", "d"),
        (r"[[:alpha:]-]+", "a-", "1"),
        // Perl's classes contain ASCII only.
        (r"\d", "7", "\u{664}"),
        (r"\w+", "a_1", "é"),
        (r"[\w.-]+", "a.b-c", "é"),
        (r"\W", "é", "e"),
        (r"[^\D]", "7", "x"),
        (r"a\sb", "a b", "a\u{a0}b"),
        (r"\S", "\u{a0}", " "),
        (r"caf.\b.*", "cafe au lait", "cafes"),
        // Escaped punctuation is that character.
        (r"\<a\>", "<a>", "a"),
        (r"\_\-\%", "_-%", "x"),
        (r"\x41\x{42}\pL", "ABé", "AB1"),
        (r"\p{Greek}+", "αβ", "ab"),
        (r"(?i)straße", "STRAßE", "strasse"),
        (r"(?P<x>a)(?:b)", "ab", "a"),
    ] {
        assert!(is_match(pattern, matching), "{pattern} {matching:?}");
        assert!(!is_match(pattern, other), "{pattern} {other:?}");
    }
}

#[test]
fn what_has_no_equal_is_refused_with_what_to_write_instead() {
    for (pattern, message, help) in [
        (
            r"a\B",
            r"`a\B`: `\B` is not supported",
            r"match the neighbouring characters instead, as `\w`",
        ),
        (
            r"[\Qa]",
            r"`[\Qa]`: `\Q` has no meaning in brackets",
            r"escape single characters, as `[\]\\]`",
        ),
    ] {
        let error = Selector::parse(&format!("{{ name =~ `{pattern}` }}")).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.help.as_deref()),
            (message, Some(help))
        );
    }
    for pattern in [r"\1", "(a", "a)|(b", "[a", "*a", r"\q", "(?=a)"] {
        let error = Selector::parse(&format!("{{ name =~ `{pattern}` }}")).unwrap_err();
        assert!(
            error.message.contains("is not a regular expression"),
            "{pattern}"
        );
    }
}
