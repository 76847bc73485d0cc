//! Reads `ExportTraceServiceRequest` in place: one pass over the protobuf body, no messages built.
//!
//! Almost all spans concern nobody, and decoding them costs ten times what receiving them costs. So
//! a span is slices of the body until some SLO wants it. The whole body is checked all the same, and
//! is refused exactly where prost would refuse it, with one difference that is on purpose: text that
//! is not UTF-8 spoils its own span only (or all spans below it, if a resource or scope says it),
//! not the spans of everybody else in the batch.
//!
//! A resource may stand behind its spans and be given in parts, so each `ResourceSpans` and each
//! `ScopeSpans` is gone through twice: first what its spans share, then the spans.

mod attributes;
mod details;
mod notes;
mod reader;
mod resource;
mod span;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Once;

use self::{
    notes::Notes,
    reader::{Reader, WireField},
    resource::{Resource, WireScope},
    span::RawSpan,
};
use super::{Malformed, Rejection};
use crate::domain::model::span::SpanView;

/// Calls `each` with every span of the body, in order, or with why it can not be used.
///
/// On `Err` the request as a whole is refused, and what `each` was given before must be forgotten.
pub fn scan(
    body: &[u8],
    each: &mut dyn FnMut(Result<&dyn SpanView, Rejection>),
) -> Result<(), Malformed> {
    let mut scan = Scan {
        span: RawSpan::default(),
        string_index: false,
        each,
    };
    let mut request = Reader::new(body);
    while let Some((tag, field)) = request.field()? {
        match (tag, field) {
            (1, WireField::Bytes(bytes)) => scan.resource_spans(request.open(bytes)?)?,
            (1, _) => return Err(Malformed::WireType),
            (tag, field) => request.skip(tag, field)?,
        }
    }
    if scan.string_index {
        warn_of_string_indexes();
    }
    Ok(())
}

/// Once: who does so does it in every request.
fn warn_of_string_indexes() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!("a sender gives strings in spans as indexes, which only profiles have");
    });
}

struct Scan<'a, 'e> {
    /// The span at hand; kept for the capacity of its lists.
    span: RawSpan<'a>,
    string_index: bool,
    each: &'e mut dyn FnMut(Result<&dyn SpanView, Rejection>),
}

impl<'a> Scan<'a, '_> {
    fn resource_spans(&mut self, message: Reader<'a>) -> Result<(), Malformed> {
        let mut resource = Resource::default();
        let mut shared = message;
        while let Some((tag, field)) = shared.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => resource.merge(shared.open(bytes)?)?,
                (2, WireField::Bytes(_)) => {}
                (3, WireField::Bytes(bytes)) => _ = resource.notes.text(bytes, "a schema URL"),
                (1..=3, _) => return Err(Malformed::WireType),
                (tag, field) => shared.skip(tag, field)?,
            }
        }
        self.remark(resource.notes);
        let mut spans = message;
        while let Some((tag, field)) = spans.field()? {
            match (tag, field) {
                (2, WireField::Bytes(bytes)) => self.scope_spans(spans.open(bytes)?, &resource)?,
                (tag, field) => spans.skip(tag, field)?,
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        message: Reader<'a>,
        resource: &Resource<'a>,
    ) -> Result<(), Malformed> {
        let mut scope = WireScope::default();
        let mut shared = message;
        while let Some((tag, field)) = shared.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => scope.merge(shared.open(bytes)?)?,
                (2, WireField::Bytes(_)) => {}
                (3, WireField::Bytes(bytes)) => _ = scope.notes.text(bytes, "a schema URL"),
                (1..=3, _) => return Err(Malformed::WireType),
                (tag, field) => shared.skip(tag, field)?,
            }
        }
        self.remark(scope.notes);
        let mut spans = message;
        while let Some((tag, field)) = spans.field()? {
            match (tag, field) {
                (2, WireField::Bytes(bytes)) => {
                    self.span.read(spans.open(bytes)?)?;
                    self.remark(self.span.notes);
                    match self.span.view(resource, &scope) {
                        Ok(span) => (self.each)(Ok(&span)),
                        Err(refusal) => (self.each)(Err(refusal)),
                    }
                }
                (tag, field) => spans.skip(tag, field)?,
            }
        }
        Ok(())
    }

    fn remark(&mut self, notes: Notes) {
        self.string_index |= notes.string_index;
    }
}
