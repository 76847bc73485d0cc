//! Reads `ExportTraceServiceRequest` in place: one pass over the protobuf body, without building
//! messages.
//!
//! Almost all spans concern no SLO, and decoding them costs ten times as much as receiving them. So
//! only the fields of a span that the index of selectors needs are read at once. Everything else
//! stays slices of the body: an attribute is found and decoded when a selector needs it, and what
//! nothing needs is never decoded.
//!
//! So the scan is more tolerant than prost, which rejects a request for any fault in it. The
//! messages around spans must be well formed. A span whose fields cannot be separated is rejected
//! alone. A value that cannot be read is absent, text that is not UTF-8 is repaired, and both are
//! counted if they were needed.
//!
//! A resource may follow its spans and be split into several fields, so each `ResourceSpans` and
//! each `ScopeSpans` is scanned twice: first for what its spans share, then for the spans.

mod attributes;
mod details;
mod reader;
mod resource;
mod span;
#[cfg(test)]
pub(super) mod tests;

use self::{
    reader::{Reader, WireField},
    resource::{WireResource, WireScope},
    span::RawSpan,
};
use super::{Malformed, Rejection, unreadable::SpansWithFaults};
use crate::domain::model::span::SpanView;

/// Calls `each` with every span of the body, in order, or with the reason why it cannot be used.
/// Returns the number of spans with unreadable values.
///
/// # Errors
/// Why the whole request is rejected; everything that `each` received before must be discarded.
pub fn scan(
    body: &[u8],
    each: &mut dyn FnMut(Result<&dyn SpanView, Rejection>),
) -> Result<SpansWithFaults, Malformed> {
    let mut scan = Scan {
        span: RawSpan::default(),
        with_faults: SpansWithFaults::default(),
        each,
    };
    let mut request = Reader::new(body);
    while let Some((tag, field)) = request.field()? {
        match (tag, field) {
            (1, WireField::Bytes(bytes)) => scan.resource_spans(Reader::new(bytes))?,
            (1, _) => return Err(Malformed::WireType),
            (tag, field) => request.skip(tag, field)?,
        }
    }
    Ok(scan.with_faults)
}

struct Scan<'a, 'e> {
    /// The current span; reused for the capacity of its lists.
    span: RawSpan<'a>,
    with_faults: SpansWithFaults,
    each: &'e mut dyn FnMut(Result<&dyn SpanView, Rejection>),
}

impl<'a> Scan<'a, '_> {
    fn resource_spans(&mut self, message: Reader<'a>) -> Result<(), Malformed> {
        let mut resource = WireResource::default();
        let mut shared = message;
        while let Some((tag, field)) = shared.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => resource.merge(bytes),
                (2, WireField::Bytes(_)) => {}
                (1 | 2, _) => return Err(Malformed::WireType),
                (tag, field) => shared.skip(tag, field)?,
            }
        }
        let mut spans = message;
        while let Some((tag, field)) = spans.field()? {
            match (tag, field) {
                (2, WireField::Bytes(bytes)) => self.scope_spans(Reader::new(bytes), &resource)?,
                (tag, field) => spans.skip(tag, field)?,
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        message: Reader<'a>,
        resource: &WireResource<'a>,
    ) -> Result<(), Malformed> {
        let mut scope = WireScope::default();
        let mut shared = message;
        while let Some((tag, field)) = shared.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => scope.merge(bytes),
                (2, WireField::Bytes(_)) => {}
                (1 | 2, _) => return Err(Malformed::WireType),
                (tag, field) => shared.skip(tag, field)?,
            }
        }
        let mut spans = message;
        while let Some((tag, field)) = spans.field()? {
            match (tag, field) {
                (2, WireField::Bytes(bytes)) => self.span(bytes, resource, &scope),
                (tag, field) => spans.skip(tag, field)?,
            }
        }
        Ok(())
    }

    fn span(&mut self, bytes: &'a [u8], resource: &WireResource<'a>, scope: &WireScope<'a>) {
        if let Err(malformed) = self.span.read(bytes) {
            (self.each)(Err(Rejection::Malformed(malformed.to_string())));
            return;
        }
        match self.span.view(resource, scope) {
            Ok(span) => (self.each)(Ok(&span)),
            Err(refusal) => (self.each)(Err(refusal)),
        }
        let faults_of_parts = [&self.span.faults, &resource.faults, &scope.faults];
        self.with_faults.count(faults_of_parts);
    }
}
