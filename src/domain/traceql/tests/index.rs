//! Tests that the index misses no match, and returns few selectors that do not match.

use std::sync::Arc;

use proptest::prelude::*;

use super::{bare, deploy};
use crate::domain::{
    model::span::{OwnedValue, Span, SpanKind},
    traceql::{Selector, SelectorContext, SelectorIndex},
};

fn found<T: Copy + Ord>(index: &SelectorIndex<T>, span: &Span) -> Vec<T> {
    let mut found = Vec::new();
    index.candidates(span, |value| found.push(value));
    found.sort_unstable();
    found
}

fn index_of(texts: &[String]) -> (Vec<Selector>, SelectorIndex<usize>) {
    let selectors: Vec<_> = texts
        .iter()
        .map(|text| Selector::parse(text).unwrap())
        .collect();
    let index = SelectorIndex::build(selectors.iter().zip(0..));
    (selectors, index)
}

/// Makes comparisons with few values, so that they often hold.
fn any_comparison() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "name",
        "resource.service.name",
        ".service.name",
        "span.service.name",
        "span.messaging.destination.name",
        ".messaging.destination.name",
    ]);
    let sign = prop::sample::select(vec!["=", "=", "=", "!=", "=~"]);
    let value = prop::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        6 => (field, sign, value).prop_map(|(field, sign, value)| format!("{field} {sign} \"{value}\"")),
        1 => prop::sample::select(vec![
            "kind = consumer", "producer = kind", "kind != server", "\"a\" = name", "status = error",
            ".service.name = 1", "span.messaging.destination.name = nil", "true", "false", "span.flag",
            "(name = \"a\") = false", "event:name = \"a\"",
        ]).prop_map(str::to_owned),
    ]
}

fn any_selector() -> impl Strategy<Value = String> {
    any_comparison()
        .prop_recursive(3, 12, 3, |inner| {
            let parts = prop::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                parts
                    .clone()
                    .prop_map(|parts| format!("({})", parts.join(" && "))),
                parts.prop_map(|parts| format!("({})", parts.join(" || "))),
                inner.prop_map(|inner| format!("!({inner})")),
            ]
        })
        .prop_map(|condition| format!("{{ {condition} }}"))
}

fn any_span() -> impl Strategy<Value = Span> {
    let text = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let value = || {
        prop::option::of(prop_oneof![
            8 => text().prop_map(OwnedValue::from),
            1 => Just(OwnedValue::Int(1)),
            2 => prop::collection::vec(text(), 0..4).prop_map(OwnedValue::from),
        ])
    };
    let kind = prop::sample::select(vec![
        SpanKind::Consumer,
        SpanKind::Producer,
        SpanKind::Server,
    ]);
    (text(), kind, [value(), value(), value(), value()]).prop_map(|(name, kind, values)| {
        let [service, own_service, destination, resource_destination] = values;
        let pairs = |pairs: [(&str, Option<OwnedValue>); 2]| {
            let present = pairs
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)));
            present.collect::<Vec<_>>()
        };
        Span {
            name: name.to_owned(),
            kind,
            attributes: pairs([
                ("service.name", own_service),
                ("messaging.destination.name", destination),
            ]),
            resource: Arc::new(pairs([
                ("service.name", service),
                ("messaging.destination.name", resource_destination),
            ])),
            ..deploy()
        }
    })
}

proptest! {
    #[test]
    fn every_match_is_a_candidate_and_none_is_found_twice(
        texts in prop::collection::vec(any_selector(), 1..12),
        spans in prop::collection::vec(any_span(), 1..12),
    ) {
        let (selectors, index) = index_of(&texts);
        for span in &spans {
            let found = found(&index, span);
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", found);
            for (place, selector) in selectors.iter().enumerate() {
                let is_match = selector.matches(span, SelectorContext::default());
                prop_assert!(!is_match || found.contains(&place), "{} {:?}", selector.text(), span);
            }
        }
    }
}

#[test]
fn a_span_that_concerns_nobody_has_no_candidates_among_a_thousand() {
    let texts: Vec<_> = (0..1_000)
        .map(|n| match n % 4 {
            0 => format!("{{ name = \"step {n}\" && duration > 1s }}"),
            1 => format!("{{ resource.service.name = \"service {n}\" && kind = consumer }}"),
            2 => format!("{{ span.messaging.destination.name = \"queue {n}\" }}"),
            _ => format!("{{ name = \"step {n}\" || name = \"other {n}\" }}"),
        })
        .collect();
    let (_, index) = index_of(&texts);
    assert!(found(&index, &deploy()).is_empty());
    assert!(found(&index, &bare()).is_empty());
    let named = |name: &str| Span {
        name: name.to_owned(),
        ..deploy()
    };
    assert_eq!(found(&index, &named("step 8")), [8]);
    assert_eq!(found(&index, &named("other 7")), [7]);
}

#[test]
fn a_selector_that_asks_for_an_attribute_of_its_own_is_found_by_its_key() {
    let texts: Vec<_> = (0..1_000)
        .map(|n| match n % 4 {
            0 => format!("{{ span.step_{n}.state = \"failed\" }}"),
            1 => format!("{{ kind = consumer && .step_{n}.state =~ \"fail.*\" }}"),
            2 => format!("{{ span.step_{n}.state = \"a\" || span.step_{n}.state != \"b\" }}"),
            _ => format!("{{ duration > 1s && resource.step_{n}.count >= 1 }}"),
        })
        .collect();
    let (_, index) = index_of(&texts);
    assert!(found(&index, &deploy()).is_empty());
    let pair = |key: &str| (key.to_owned(), "x".into());
    let span = Span {
        attributes: vec![
            pair("step_4.state"),
            pair("step_4.state"),
            pair("step_5.state"),
        ],
        resource: Arc::new(vec![
            pair("step_5.state"),
            pair("step_6.state"),
            pair("step_7.count"),
        ]),
        ..deploy()
    };
    assert_eq!(found(&index, &span), [4, 5, 7]);
}

#[test]
fn selectors_of_one_name_are_told_apart_by_their_destination() {
    let texts: Vec<_> = (0..1_000)
        .map(|n| {
            format!("{{ name = \"process\" && span.messaging.destination.name = \"queue {n}\" }}")
        })
        .collect();
    let (_, index) = index_of(&texts);
    let span = Span {
        name: "process".to_owned(),
        attributes: vec![("messaging.destination.name".to_owned(), "queue 77".into())],
        ..deploy()
    };
    assert_eq!(found(&index, &span), [77]);
}

#[test]
fn a_selector_that_demands_nothing_is_always_a_candidate() {
    let texts = [
        "{}",
        "{ duration > 1s }",
        "{ !(name = \"deploy\") }",
        "{ name = \"x\" || duration > 1s }",
        "{ name =~ \"x\" }",
    ];
    let (_, index) = index_of(&texts.map(str::to_owned));
    assert_eq!(found(&index, &bare()), [0, 1, 2, 3, 4]);
}

#[test]
fn a_selector_that_can_never_hold_is_never_a_candidate() {
    let texts = ["{ false }", "{ name = \"deploy\" && name = \"other\" }"];
    let (_, index) = index_of(&texts.map(str::to_owned));
    assert!(found(&index, &deploy()).is_empty());
}

#[test]
fn many_alternatives_cost_places_and_no_matches() {
    let alternatives = |field: &str| {
        let all: Vec<_> = (0..100).map(|n| format!("{field} = \"{n}\"")).collect();
        format!("({})", all.join(" || "))
    };
    let text = format!(
        "{{ {} && {} }}",
        alternatives("name"),
        alternatives("resource.service.name")
    );
    let (_, index) = index_of(&[text]);
    let span = Span {
        name: "42".to_owned(),
        resource: Arc::new(vec![("service.name".to_owned(), "7".into())]),
        ..deploy()
    };
    assert_eq!(found(&index, &span), [0]);
    assert!(found(&index, &deploy()).is_empty());
}
