//! Tests of attributes that are arrays, which compare as in Tempo since vParquet4.

use proptest::prelude::*;

use super::{bare, deploy, matches, meaning::assert_all};
use crate::domain::model::span::{OwnedValue, Span};

#[test]
fn any_element_satisfies_a_comparison_and_none_may_equal_what_is_excluded() {
    assert_all(
        &deploy(),
        &[
            ("{ span.tags = \"vip\" }", true),
            ("{ \"vip\" = span.tags }", true),
            ("{ span.tags = \"eu\" && span.tags = \"vip\" }", true),
            ("{ span.tags = \"us\" }", false),
            ("{ span.tags != \"us\" }", true),
            ("{ span.tags != \"vip\" }", false),
            ("{ span.tags =~ \"v.*\" }", true),
            ("{ span.tags =~ \"x.*\" }", false),
            ("{ span.tags !~ \"v.*\" }", false),
            ("{ span.tags !~ \"x.*\" }", true),
            ("{ span.tags > \"f\" }", true),
            ("{ span.ports > 400 }", true),
            ("{ span.ports < 100 }", true),
            ("{ 400 < span.ports }", true),
            ("{ span.ports > 443 }", false),
            ("{ span.ports = 80.0 }", true),
            ("{ .tags = \"vip\" }", true),
            ("{ !(span.tags = \"vip\") }", false),
        ],
    );
}

#[test]
fn an_array_is_not_nil_unless_it_is_empty() {
    assert_all(
        &deploy(),
        &[
            ("{ span.tags != nil }", true),
            ("{ span.tags = nil }", false),
            ("{ span.empty = nil }", true),
            ("{ span.empty != nil }", false),
            ("{ span.empty != \"a\" }", false),
        ],
    );
}

#[test]
fn an_array_of_one_is_its_element() {
    assert_all(
        &deploy(),
        &[
            ("{ span.retries = 3 }", true),
            ("{ span.retries + 1 = 4 }", true),
            ("{ span.retries != 3 }", false),
        ],
    );
}

#[test]
fn elements_of_other_types_and_two_arrays_do_not_compare() {
    assert_all(
        &deploy(),
        &[
            ("{ span.tags = 80 }", false),
            ("{ span.tags != 80 }", false),
            ("{ span.ports =~ \"80\" }", false),
            ("{ span.ports !~ \"x\" }", false),
            ("{ span.tags = span.tags }", false),
            ("{ span.tags != span.ports }", false),
            ("{ span.ports + 1 = 81 }", false),
            ("{ span.tags }", false),
        ],
    );
}

fn scalar() -> impl Strategy<Value = OwnedValue> {
    prop_oneof![
        (0_i64..4).prop_map(OwnedValue::from),
        prop::sample::select(vec!["a", "b", "c"]).prop_map(OwnedValue::from),
    ]
}

fn with_x(value: OwnedValue) -> Span {
    Span {
        attributes: vec![("x".to_owned(), value)],
        ..bare()
    }
}

proptest! {
    #[test]
    fn an_array_matches_as_any_of_its_elements_would_and_excludes_as_all_would(
        elements in prop::collection::vec(scalar(), 1..5),
        operator in prop::sample::select(vec!["=", "!=", "<", "<=", ">", ">=", "=~", "!~"]),
        literal in prop::sample::select(vec!["\"a\"", "\"b\"", "1", "2"]),
    ) {
        let is_regex = operator.ends_with('~');
        prop_assume!(!is_regex || literal.starts_with('"'));
        let holds = |operator: &str, value: &OwnedValue| {
            matches(&format!("{{ span.x {operator} {literal} }}"), &with_x(value.clone()))
        };
        let any = |operator: &str| elements.iter().any(|element| holds(operator, element));
        let expected = match operator {
            "!=" => any("!=") && !any("="),
            "!~" => any("!~") && !any("=~"),
            _ => any(operator),
        };
        prop_assert_eq!(holds(operator, &OwnedValue::Array(elements.clone())), expected);
    }
}
