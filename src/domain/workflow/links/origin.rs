//! What identifies the workflow that a chain of links leads to.

use crate::domain::{
    model::{ids::TraceId, span::SpanRef},
    workflow::{EventKey, evidence::hash, trace_key},
};

/// Where a chain leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainOrigin {
    /// The start span that is furthest back.
    Start(SpanRef),
    /// A trace of which no start is known yet.
    Trace(TraceId),
    /// A trace with starts of several origins, none of which is on the chain: ambiguous.
    SeveralStarts(TraceId),
}

/// What may change where a chain leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// The edges of this span, or that it is a start.
    Span(SpanRef),
    /// One more start in this trace.
    StartIn(TraceId),
}

/// A span that took messages of several workflows, and the one through which work left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch {
    pub batch: SpanRef,
    pub by: SpanRef,
}

impl ChainOrigin {
    pub fn key(self) -> EventKey {
        match self {
            Self::Start(span) => {
                hash(&[b"start", span.trace_id.as_bytes(), span.span_id.as_bytes()])
            }
            Self::Trace(trace_id) => trace_key(trace_id),
            // Not that of the trace, so that evidence moves when the second start arrives.
            Self::SeveralStarts(trace_id) => hash(&[b"several starts", trace_id.as_bytes()]),
        }
    }

    /// What people read instead of the key. A start is written as in `traceparent`, since others may
    /// be in its trace.
    pub fn label(self) -> String {
        match self {
            Self::Start(span) => format!("{}-{}", span.trace_id, span.span_id),
            Self::Trace(trace_id) | Self::SeveralStarts(trace_id) => trace_id.to_string(),
        }
    }
}
