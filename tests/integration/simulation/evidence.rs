//! What single spans say, for the oracle.

use throughline::domain::model::span::{Link, OwnedValue, Span, SpanStatus};

use super::contract::{Contract, Identity, Opening};

/// The role of a span, as it is called in its name.
pub(super) fn role<'a>(contract: &Contract, span: &'a Span) -> Option<&'a str> {
    let role = span.name.strip_prefix(contract.name)?.strip_prefix(' ')?;
    match role {
        "finish" if contract.identity == Identity::Span => Some(role),
        // An attempt that failed ends nothing: another one may follow.
        "finish" => (span.status != SpanStatus::Error).then_some(role),
        "pause" => (start(span) < end(span)).then_some(role),
        "step" => (contract.opening == Opening::Steps).then_some(role),
        "start" | "dead letter" | "cancel" => Some(role),
        _ => None,
    }
}

pub(super) fn start(span: &Span) -> i64 {
    i64::try_from(span.start_unix_nano / 1_000).unwrap()
}

pub(super) fn end(span: &Span) -> i64 {
    i64::try_from(span.end_unix_nano / 1_000).unwrap()
}

pub(super) fn text(span: &Span, key: &str) -> Option<String> {
    find(&span.attributes, key)
}

pub(super) fn text_on_link(link: &Link, key: &str) -> Option<String> {
    find(&link.attributes, key)
}

fn find(attributes: &[(String, OwnedValue)], key: &str) -> Option<String> {
    attributes.iter().find_map(|(name, value)| match value {
        OwnedValue::String(text) if name == key => Some(text.clone()),
        _ => None,
    })
}

pub(super) fn number(span: &Span, key: &str) -> Option<usize> {
    let numbers = span.attributes.iter().filter(|(name, _)| name == key);
    numbers
        .map(|(_, value)| value)
        .find_map(|value| match value {
            OwnedValue::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        })
}

/// Whether the span ended workflows in time that it had no room to name.
pub(super) fn hides_ends(contract: &Contract, span: &Span) -> bool {
    let is_told_by_links = match contract.identity {
        Identity::Order => text(span, "order.id").is_none(),
        Identity::Links | Identity::Message => true,
        Identity::Trace | Identity::Span => false,
    };
    let role = role(contract, span);
    is_told_by_links && span.dropped_links_count > 0 && matches!(role, Some("finish" | "cancel"))
}

/// Of so many spans like this one was kept, none if it does not say.
pub(super) fn kept_one_of(span: &Span) -> Option<i64> {
    match span.trace_state.as_str() {
        "ot=th:8" => Some(2),
        "ot=th:c" => Some(4),
        _ => None,
    }
}

/// Whether the sampler of ends keeps a quarter of all traces, and this one.
pub(super) fn end_is_kept(span: &Span) -> bool {
    span.trace_id.as_bytes()[9] >= 0xc0
}
