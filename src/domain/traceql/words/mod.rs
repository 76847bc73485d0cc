//! The bare words and scoped intrinsics of the language, and the errors for any other.

pub(super) mod reference;
pub(super) mod unsupported;

use std::ops::Range;

use super::{
    SelectorError,
    tree::{Expr, Intrinsic, Literal, SelectorField},
};
use crate::domain::model::{
    span::{SpanKind, SpanStatus},
    text::nearest,
};

const WORDS: [(&str, Word); 32] = [
    ("name", Word::Field(Intrinsic::Name)),
    ("span:name", Word::Field(Intrinsic::Name)),
    ("status", Word::Field(Intrinsic::Status)),
    ("span:status", Word::Field(Intrinsic::Status)),
    ("statusMessage", Word::Field(Intrinsic::StatusMessage)),
    ("span:statusMessage", Word::Field(Intrinsic::StatusMessage)),
    ("kind", Word::Field(Intrinsic::Kind)),
    ("span:kind", Word::Field(Intrinsic::Kind)),
    ("duration", Word::Field(Intrinsic::Duration)),
    ("span:duration", Word::Field(Intrinsic::Duration)),
    ("span:id", Word::Field(Intrinsic::SpanId)),
    ("span:parentID", Word::Field(Intrinsic::ParentId)),
    ("trace:id", Word::Field(Intrinsic::TraceId)),
    ("event:name", Word::Field(Intrinsic::EventName)),
    (
        "event:timeSinceStart",
        Word::Field(Intrinsic::EventTimeSinceStart),
    ),
    ("link:traceID", Word::Field(Intrinsic::LinkTraceId)),
    ("link:spanID", Word::Field(Intrinsic::LinkSpanId)),
    (
        "instrumentation:name",
        Word::Field(Intrinsic::InstrumentationName),
    ),
    (
        "instrumentation:version",
        Word::Field(Intrinsic::InstrumentationVersion),
    ),
    (
        "workflow:duration",
        Word::Field(Intrinsic::WorkflowDuration),
    ),
    ("true", Word::Bool(true)),
    ("false", Word::Bool(false)),
    ("nil", Word::Nil),
    ("ok", Word::Status(SpanStatus::Ok)),
    ("error", Word::Status(SpanStatus::Error)),
    ("unset", Word::Status(SpanStatus::Unset)),
    ("unspecified", Word::Kind(SpanKind::Unspecified)),
    ("internal", Word::Kind(SpanKind::Internal)),
    ("server", Word::Kind(SpanKind::Server)),
    ("client", Word::Kind(SpanKind::Client)),
    ("producer", Word::Kind(SpanKind::Producer)),
    ("consumer", Word::Kind(SpanKind::Consumer)),
];

/// Returns the words for intrinsics.
pub(super) fn intrinsics() -> impl Iterator<Item = (&'static str, Intrinsic)> {
    WORDS.iter().filter_map(|(word, meaning)| match meaning {
        Word::Field(intrinsic) => Some((*word, *intrinsic)),
        Word::Bool(_) | Word::Nil | Word::Status(_) | Word::Kind(_) => None,
    })
}

#[derive(Clone, Copy)]
enum Word {
    Field(Intrinsic),
    Bool(bool),
    Nil,
    Status(SpanStatus),
    Kind(SpanKind),
}

/// Returns the meaning of `word`.
pub(super) fn meaning(word: &str) -> Option<Expr> {
    let (_, meaning) = WORDS.iter().find(|(known, _)| *known == word)?;
    Some(match *meaning {
        Word::Field(intrinsic) => Expr::Field(SelectorField::Intrinsic(intrinsic)),
        Word::Bool(value) => Expr::Literal(Literal::Bool(value)),
        Word::Nil => Expr::Literal(Literal::Nil),
        Word::Status(status) => Expr::Literal(Literal::Status(status)),
        Word::Kind(kind) => Expr::Literal(Literal::Kind(kind)),
    })
}

/// Makes the error for an unknown `word`; `compared_with` is the other side of the comparison, if
/// any.
pub(super) fn unknown(
    word: &str,
    compared_with: Option<&str>,
    span: Range<usize>,
) -> SelectorError {
    let (what, help) = match compared_with {
        Some("status" | "span:status") => (
            "a status",
            "a status is `ok`, `error` or `unset`".to_owned(),
        ),
        Some("kind" | "span:kind") => ("a span kind", KINDS.to_owned()),
        _ if word.contains(':') => (
            "an intrinsic",
            "attributes are written with a dot, as `span.x`".to_owned(),
        ),
        Some(_) => (
            "a value",
            format!("put text in quotes, `\"{word}\"`; an attribute has a scope, `span.{word}`"),
        ),
        None => (
            "an intrinsic",
            format!("an attribute is written with its scope, as `span.{word}` or `.{word}`"),
        ),
    };
    let help = match nearest(word, WORDS.iter().map(|(known, _)| *known)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => help,
    };
    SelectorError::new(span, format!("`{word}` is not {what}")).with_help(help)
}

const KINDS: &str =
    "a kind is `unspecified`, `internal`, `server`, `client`, `producer` or `consumer`";
