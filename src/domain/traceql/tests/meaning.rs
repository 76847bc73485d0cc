//! Tests of which spans a selector matches.

use super::{START, bare, deploy, matches};
use crate::domain::{
    model::{
        ids::TraceId,
        span::{OwnedValue, Span},
    },
    traceql::{Selector, SelectorContext},
};

pub(super) fn assert_all(span: &Span, table: &[(&str, bool)]) {
    for (text, expected) in table {
        assert_eq!(matches(text, span), *expected, "{text}");
    }
}

#[test]
fn every_intrinsic_is_read_from_its_place() {
    assert_all(
        &deploy(),
        &[
            ("{}", true),
            ("{ true }", true),
            ("{ false }", false),
            ("{ name = \"deploy\" }", true),
            ("{ span:name = `deploy` }", true),
            ("{ \"deploy\" = name }", true),
            ("{ name = \"Deploy\" }", false),
            ("{ status = error }", true),
            ("{ span:status != error }", false),
            ("{ statusMessage =~ \"timeout.*\" }", true),
            ("{ span:statusMessage = \"\" }", false),
            ("{ kind = consumer }", true),
            ("{ span:kind = producer }", false),
            ("{ duration > 2s && duration < 3s }", true),
            ("{ span:duration = 2500ms }", true),
            ("{ duration = 2500000000 }", true),
            ("{ span:id = \"0101010101010101\" }", true),
            ("{ span:parentID = \"0f0f0f0f0f0f0f0f\" }", true),
            ("{ span:parentID = nil }", false),
            ("{ trace:id = \"abababababababababababababababab\" }", true),
            ("{ trace:id =~ \"ab.*\" }", true),
            ("{ event:name = \"retry\" }", true),
            ("{ event:timeSinceStart >= 2s }", true),
            ("{ event:timeSinceStart > 2s }", false),
            (
                "{ link:traceID = \"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\" }",
                true,
            ),
            ("{ link:spanID = \"0202020202020202\" }", true),
            ("{ instrumentation:name = \"tokio-queue\" }", true),
            ("{ instrumentation:version = \"1.2.0\" }", true),
            ("{ workflow:duration = 2.5s }", true),
        ],
    );
}

#[test]
fn attributes_are_looked_up_in_their_scope() {
    assert_all(
        &deploy(),
        &[
            ("{ span.customer.id = \"acme\" }", true),
            ("{ resource.customer.id = \"acme\" }", false),
            ("{ .customer.id = \"acme\" }", true),
            ("{ resource.service.name = \"api\" }", true),
            ("{ .region = \"eu\" }", true),
            ("{ span.region = \"eu\" }", false),
            ("{ .both = \"of the span\" }", true),
            ("{ .both = \"of the resource\" }", false),
            ("{ instrumentation.short_name = \"tq\" }", true),
            ("{ span.\"a b\" = \"quoted\" }", true),
            ("{ span.customer.\"id\" = \"acme\" }", true),
            ("{ span.messaging.destination.name=\"jobs\" }", true),
        ],
    );
}

#[test]
fn a_missing_attribute_satisfies_no_comparison_but_with_nil() {
    assert_all(
        &deploy(),
        &[
            ("{ span.none = nil }", true),
            ("{ nil = span.none }", true),
            ("{ span.none != nil }", false),
            ("{ span.attempts != nil }", true),
            ("{ span.blob = nil }", true),
            ("{ span.blob != nil }", false),
            ("{ .blob != \"a\" }", false),
            ("{ span.none = \"a\" }", false),
            ("{ span.none != \"a\" }", false),
            ("{ span.none !~ \"a\" }", false),
            ("{ span.none < 1 }", false),
            ("{ span.none = span.none }", false),
            ("{ span.none + 1 > 0 }", false),
            ("{ span.none }", false),
        ],
    );
}

#[test]
fn negation_turns_around_what_a_missing_attribute_made_false() {
    assert_all(
        &deploy(),
        &[
            ("{ !(span.none = \"a\") }", true),
            ("{ !(span.none != \"a\") }", true),
            ("{ !(span.none =~ \"a\") }", true),
            ("{ !(span.none = nil) }", false),
            ("{ !(!(span.none = \"a\")) }", false),
        ],
    );
}

#[test]
fn a_bare_attribute_is_a_flag_that_must_be_there_either_way() {
    assert_all(
        &deploy(),
        &[
            ("{ span.flag }", true),
            ("{ !span.flag }", false),
            ("{ span.off }", false),
            ("{ !span.off }", true),
            ("{ !span.none }", false),
            ("{ !!span.none }", false),
            ("{ !!span.flag }", true),
            ("{ span.customer.id }", false),
            ("{ !span.customer.id }", false),
            ("{ event.ready }", true),
        ],
    );
}

#[test]
fn different_types_are_never_equal_and_never_unequal() {
    assert_all(
        &deploy(),
        &[
            ("{ span.attempts = \"4\" }", false),
            ("{ span.attempts != \"4\" }", false),
            ("{ span.customer.id = 4 }", false),
            ("{ span.customer.id != 4 }", false),
            ("{ span.customer.id != true }", false),
            ("{ span.attempts =~ \"4\" }", false),
            ("{ span.nan = span.nan }", false),
            ("{ span.nan != 1 }", false),
        ],
    );
}

#[test]
fn numbers_and_durations_compare_and_reckon_as_numbers() {
    assert_all(
        &deploy(),
        &[
            ("{ span.attempts = 4.0 }", true),
            ("{ span.attempts > 3.5 }", true),
            ("{ span.ratio < 1 }", true),
            ("{ span.attempts = 4ns }", true),
            ("{ span.attempts > -1 }", true),
            ("{ -span.attempts = -4 }", true),
            ("{ span.attempts + 1 = 5 }", true),
            ("{ span.attempts - 1 = 3 }", true),
            ("{ span.attempts * 2 = 8 }", true),
            ("{ span.attempts / 3 = 1 }", true),
            ("{ span.attempts / 8.0 = 0.5 }", true),
            ("{ span.attempts % 3 = 1 }", true),
            ("{ span.attempts ^ 2 = 16 }", true),
            ("{ span.attempts ^ -1 = 0.25 }", true),
            ("{ span.attempts / 0 = 0 }", false),
            ("{ span.attempts % 0 = 0 }", false),
            ("{ duration / 1s = 2.5 }", true),
            ("{ duration - 500ms = 2s }", true),
            ("{ duration * 2 = 5s }", true),
            ("{ 9223372036854775807 + 1 > 0 }", true),
            ("{ span.customer.id + 1 > 0 }", false),
        ],
    );
}

#[test]
fn operators_bind_as_in_traceql() {
    assert_all(
        &bare(),
        &[
            ("{ 1 + 2 * 3 = 7 }", true),
            ("{ (1 + 2) * 3 = 9 }", true),
            ("{ 2 ^ 3 ^ 2 = 512 }", true),
            ("{ 10 - 3 - 2 = 5 }", true),
            ("{ -2 ^ 2 = -4 }", true),
            ("{ 2 * -3 + 10 = 4 }", true),
            ("{ true || false && false }", false),
            ("{ true || (false && false) }", true),
            ("{ false && false || true }", true),
            ("{ 1 < 2 = true }", true),
            ("{ !true = false }", true),
            ("{ !(1 = 2) && true }", true),
        ],
    );
}

#[test]
fn strings_compare_by_bytes_and_patterns_match_the_whole() {
    assert_all(
        &deploy(),
        &[
            ("{ name > \"delete\" }", true),
            ("{ name <= \"deploy\" }", true),
            ("{ name =~ \"dep\" }", false),
            ("{ name =~ \"dep.*\" }", true),
            ("{ name =~ \"x|deploy\" }", true),
            ("{ name =~ \"deploy|x\" }", true),
            ("{ name !~ \"dep\" }", true),
            ("{ name !~ \"d.*y\" }", false),
            ("{ statusMessage =~ `timeout.*retry` }", true),
            ("{ statusMessage = \"timeout after 2 s\\nno retry\" }", true),
            ("{ span.customer.id =~ `\\w{4}` }", true),
            ("{ name =~ `[\\w.-]{1,63}` }", true),
            ("{ name = \"\\x64\\145\\u0070loy\" }", true),
        ],
    );
}

#[test]
fn one_event_and_one_link_must_satisfy_all_that_is_asked_of_them() {
    assert_all(
        &deploy(),
        &[
            ("{ event.n = 1 }", true),
            ("{ event.n = 2 }", true),
            ("{ event.n = 1 && event.n = 2 }", false),
            ("{ event:name = \"exception\" && event.n = 2 }", true),
            ("{ event:name = \"retry\" && event.n = 2 }", false),
            ("{ event:name = \"retry\" && event.limit = nil }", true),
            ("{ event:name = \"exception\" && event.limit = nil }", false),
            ("{ event:name = \"exception\" && event.limit != nil }", true),
            ("{ event:name = \"exception\" && !(event.n = 1) }", true),
            ("{ event.n = 3 || event.limit = 2 }", true),
            ("{ event.n != 1 }", true),
            ("{ event.n > 2 }", false),
            ("{ event.n = event.limit }", true),
            ("{ event.limit != nil }", true),
            ("{ event.n + 1 = 3 }", true),
            ("{ link.queue = \"jobs\" }", true),
            ("{ link.queue = span.messaging.destination.name }", true),
            ("{ event.n = 2 && link.queue != nil }", true),
            ("{ event.n = link.queue }", false),
            ("{ (event.n = 2) = true }", true),
            ("{ name = \"deploy\" || event.n = 3 }", true),
        ],
    );
}

#[test]
fn what_is_excluded_is_excluded_of_all_events_and_links() {
    assert_all(
        &deploy(),
        &[
            ("{ event.limit = nil }", false),
            ("{ event.none = nil }", true),
            ("{ !(event.n = 3) }", true),
            ("{ !(event.n = 2) }", false),
            ("{ !(event:name = \"exception\") }", false),
            ("{ !(event:name = \"retry\" && event.n = 2) }", true),
            ("{ link.none = nil && link.queue = \"jobs\" }", true),
        ],
    );
    assert_all(
        &bare(),
        &[
            ("{ event:name = nil }", true),
            ("{ event:name != \"x\" }", false),
            ("{ !(event:name = \"x\") }", true),
            ("{ link:spanID = nil }", true),
            ("{ link.queue != \"x\" }", false),
            ("{ event.n = 1 || kind = unspecified }", true),
        ],
    );
}

#[test]
fn an_id_may_be_written_without_its_leading_zeros_as_tempo_shows_it() {
    let mut bytes = [0; 16];
    bytes[15] = 0xab;
    let span = Span {
        trace_id: TraceId::from_slice(&bytes).unwrap(),
        ..deploy()
    };
    assert_all(
        &span,
        &[
            ("{ trace:id = \"ab\" }", true),
            ("{ trace:id = \"000000000000000000000000000000AB\" }", true),
            ("{ trace:id != \"ab\" }", false),
            ("{ span:id = \"101010101010101\" }", true),
            ("{ trace:id = \"abab\" }", false),
        ],
    );
}

#[test]
fn an_unscoped_attribute_is_looked_for_in_the_instrumentation_scope_last() {
    assert!(matches("{ .short_name = \"tq\" }", &deploy()));
}

#[test]
fn a_scope_that_was_not_named_has_no_name() {
    let mut span = deploy();
    span.instrumentation = std::sync::Arc::default();
    assert_all(
        &span,
        &[
            ("{ instrumentation:name != \"x\" }", false),
            ("{ instrumentation:name = nil }", true),
            ("{ instrumentation:version !~ \"1.*\" }", false),
        ],
    );
}

#[test]
fn a_root_is_a_span_without_a_parent() {
    assert!(matches("{ span:parentID = nil }", &bare()));
    assert!(!matches("{ span:parentID = \"\" }", &bare()));
}

#[test]
fn a_span_that_ends_before_it_starts_has_a_negative_duration() {
    let span = Span {
        end_unix_nano: START - 1_000,
        ..deploy()
    };
    assert!(matches("{ duration = -1us }", &span));
    let span = Span {
        start_unix_nano: 0,
        end_unix_nano: u64::MAX,
        ..deploy()
    };
    assert!(matches("{ duration = 9223372036854775807 }", &span));
}

#[test]
fn the_duration_of_the_workflow_is_told_by_the_caller() {
    let selector = Selector::parse("{ workflow:duration > 1m }").unwrap();
    let minutes = |n: i64| SelectorContext {
        workflow_duration_ns: Some(n * 60_000_000_000),
    };
    assert!(selector.matches(&deploy(), minutes(2)));
    assert!(!selector.matches(&deploy(), minutes(1)));
    assert!(!selector.matches(&deploy(), SelectorContext::default()));
    assert!(selector.uses_workflow_duration());
    assert!(
        !Selector::parse("{ duration > 1m }")
            .unwrap()
            .uses_workflow_duration()
    );
}

#[test]
fn of_duplicate_keys_the_last_one_counts() {
    let mut span = deploy();
    span.attributes
        .push(("attempts".to_owned(), OwnedValue::Int(9)));
    assert!(matches("{ span.attempts = 9 }", &span));
    assert!(!matches("{ span.attempts = 4 }", &span));
}

#[test]
fn what_is_always_there_is_never_nil() {
    assert_all(
        &bare(),
        &[("{ name != nil }", true), ("{ nil != kind }", true)],
    );
}
