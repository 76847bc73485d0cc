//! Tests of selectors, by subject.

use std::sync::Arc;

use super::{Selector, SelectorContext};
use crate::domain::model::{
    ids::{SpanId, TraceId},
    span::{Event, Instrumentation, Link, OwnedValue, Span, SpanKind, SpanStatus},
};

mod arrays;
mod errors;
mod index;
mod language;
mod meaning;
mod printing;
mod regexes;

const START: u64 = 1_760_000_000_000_000_000;

fn attributes<const N: usize>(pairs: [(&str, OwnedValue); N]) -> Vec<(String, OwnedValue)> {
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Makes a failed `deploy` of 2.5 s that has every kind of field.
fn deploy() -> Span {
    Span {
        trace_id: TraceId::from_slice(&[0xab; 16]).unwrap(),
        span_id: SpanId::from_slice(&[0x01; 8]).unwrap(),
        parent_span_id: SpanId::from_slice(&[0x0f; 8]),
        name: "deploy".to_owned(),
        kind: SpanKind::Consumer,
        status: SpanStatus::Error,
        status_message: "timeout after 2 s\nno retry".to_owned(),
        start_unix_nano: START,
        end_unix_nano: START + 2_500_000_000,
        trace_state: String::new(),
        attributes: attributes([
            ("attempts", 4.into()),
            ("ratio", 0.5.into()),
            ("flag", true.into()),
            ("off", false.into()),
            ("customer.id", "acme".into()),
            ("a b", "quoted".into()),
            ("both", "of the span".into()),
            ("blob", OwnedValue::Other),
            ("tags", vec!["eu", "vip"].into()),
            ("ports", vec![80, 443].into()),
            ("retries", vec![3].into()),
            ("empty", OwnedValue::Array(Vec::new())),
            ("nan", f64::NAN.into()),
            ("messaging.destination.name", "jobs".into()),
        ]),
        resource: Arc::new(attributes([
            ("service.name", "api".into()),
            ("region", "eu".into()),
            ("both", "of the resource".into()),
        ])),
        instrumentation: Arc::new(Instrumentation {
            name: "tokio-queue".to_owned(),
            version: "1.2.0".to_owned(),
            attributes: attributes([("short_name", "tq".into())]),
        }),
        events: vec![
            Event {
                name: "retry".to_owned(),
                time_unix_nano: START + 100_000_000,
                attributes: attributes([("n", 1.into()), ("ready", true.into())]),
            },
            Event {
                name: "exception".to_owned(),
                time_unix_nano: START + 2_000_000_000,
                attributes: attributes([("n", 2.into()), ("limit", 2.into())]),
            },
        ],
        dropped_links_count: 0,
        flags: 0,
        links: vec![Link {
            trace_id: TraceId::from_slice(&[0xcd; 16]),
            span_id: SpanId::from_slice(&[0x02; 8]),
            trace_state: String::new(),
            attributes: attributes([("queue", "jobs".into())]),
        }],
    }
}

/// Makes a root span with a minimum of fields.
fn bare() -> Span {
    Span {
        parent_span_id: None,
        name: String::new(),
        kind: SpanKind::Unspecified,
        status: SpanStatus::Unset,
        status_message: String::new(),
        end_unix_nano: START,
        attributes: Vec::new(),
        resource: Arc::default(),
        instrumentation: Arc::default(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_links_count: 0,
        flags: 0,
        ..deploy()
    }
}

fn matches(text: &str, span: &Span) -> bool {
    let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    selector.matches(span, SelectorContext::default())
}
