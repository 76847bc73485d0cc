//! The origin of a chain of links, which identifies its workflow.

use crate::domain::{
    model::{ids::TraceId, span::SpanRef},
    workflow::{EventKey, evidence::hash, trace_key},
};

/// The origin that a chain leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainOrigin {
    /// The start span that is furthest back.
    Start(SpanRef),
    /// A trace without a known start.
    Trace(TraceId),
    /// A trace with starts of several origins, none of which is on the chain: ambiguous.
    SeveralStarts(TraceId),
}

/// An arrival that may change the origin of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// The edges of this span, or the information that it is a start.
    Span(SpanRef),
    /// One more start in this trace.
    StartIn(TraceId),
}

/// A span that received messages of several workflows, and the span through which work left it.
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
            // Differs from that of the trace, so that evidence moves when the second start arrives.
            Self::SeveralStarts(trace_id) => hash(&[b"several starts", trace_id.as_bytes()]),
        }
    }

    /// Returns the name that people read instead of the key. A start is written as in
    /// `traceparent`, since its trace may contain others.
    pub fn label(self) -> String {
        match self {
            Self::Start(span) => format!("{}-{}", span.trace_id, span.span_id),
            Self::Trace(trace_id) | Self::SeveralStarts(trace_id) => trace_id.to_string(),
        }
    }
}
