//! Reads `ExportTraceServiceRequest` in place: one pass over the protobuf body, without building
//! messages.
//!
//! Almost all spans concern no SLO, and decoding them costs ten times as much as receiving them. So
//! a span is read in two steps. The first one reads only what the index of selectors needs of every
//! span: a few fields, and the attributes whose keys it asks for. It keeps the positions of
//! everything else. The second one, for spans that a selector may match, decodes further values
//! when they are asked for.
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
    reader::{BYTES, Reader, WireField},
    resource::{WireResource, WireScope},
    span::RawSpan,
};
use super::{MalformedProtobuf, Rejection, unreadable::SpansWithFaults};
use crate::domain::{model::span::SpanView, traceql::KeyFilter};

/// Calls `each` with every span of the body, in order, or with the reason why it cannot be used.
/// Returns the number of spans with unreadable values.
///
/// `asked_keys` are those of the attributes that every span is asked for. Others are found too, but
/// slower.
///
/// # Errors
/// Why the whole request is rejected; everything that `each` received before must be discarded.
pub fn scan(
    body: &[u8],
    asked_keys: &KeyFilter,
    each: &mut dyn FnMut(Result<&dyn SpanView, Rejection>),
) -> Result<SpansWithFaults, MalformedProtobuf> {
    let mut scan = Scan {
        span: RawSpan::default(),
        asked_keys,
        with_faults: SpansWithFaults::default(),
        each,
    };
    let mut request = Reader::new(body);
    while let Some((tag, field)) = request.field()? {
        match (tag, field) {
            (1, WireField::Bytes(bytes)) => scan.resource_spans(Reader::new(bytes))?,
            (1, _) => return Err(MalformedProtobuf::WireType),
            (tag, field) => request.skip(tag, field)?,
        }
    }
    Ok(scan.with_faults)
}

/// In a `ResourceSpans` the resource, in a `ScopeSpans` the scope.
const SHARED: u32 = reader::key(1, BYTES);
/// In a `ResourceSpans` each `ScopeSpans`, in a `ScopeSpans` each span.
const INNER: u32 = reader::key(2, BYTES);

struct Scan<'a, 'e> {
    /// The current span; reused for the capacity of its lists.
    span: RawSpan<'a>,
    asked_keys: &'e KeyFilter,
    with_faults: SpansWithFaults,
    each: &'e mut dyn FnMut(Result<&dyn SpanView, Rejection>),
}

impl<'a> Scan<'a, '_> {
    fn resource_spans(&mut self, message: Reader<'a>) -> Result<(), MalformedProtobuf> {
        let mut resource = WireResource::default();
        let mut shared = message;
        while let Some(key) = shared.key()? {
            match key {
                SHARED => resource.merge(shared.bytes()?, self.asked_keys),
                INNER => drop(shared.bytes()?),
                key => pass_over(key, &mut shared)?,
            }
        }
        let mut scopes = message.each(INNER);
        scopes.try_for_each(|bytes| self.scope_spans(Reader::new(bytes), &resource))
    }

    fn scope_spans(
        &mut self,
        message: Reader<'a>,
        resource: &WireResource<'a>,
    ) -> Result<(), MalformedProtobuf> {
        let mut scope = WireScope::default();
        let mut shared = message;
        while let Some(key) = shared.key()? {
            match key {
                SHARED => scope.merge(shared.bytes()?, self.asked_keys),
                INNER => drop(shared.bytes()?),
                key => pass_over(key, &mut shared)?,
            }
        }
        let spans = message.each(INNER);
        spans.for_each(|bytes| self.span(bytes, resource, &scope));
        Ok(())
    }

    fn span(&mut self, bytes: &'a [u8], resource: &WireResource<'a>, scope: &WireScope<'a>) {
        if let Err(malformed) = self.span.read(bytes, self.asked_keys) {
            (self.each)(Err(Rejection::Malformed(malformed.to_string())));
            return;
        }
        match self.span.view(resource, scope, self.asked_keys) {
            Ok(span) => (self.each)(Ok(&span)),
            Err(refusal) => (self.each)(Err(refusal)),
        }
        let faults_of_parts = [&self.span.faults, &resource.faults, &scope.faults];
        self.with_faults.count(faults_of_parts);
    }
}

/// Skips an unused field of a message around spans.
fn pass_over(key: u32, message: &mut Reader<'_>) -> Result<(), MalformedProtobuf> {
    match message.value(key)? {
        (1 | 2, _) => Err(MalformedProtobuf::WireType),
        (tag, field) => message.skip(tag, field),
    }
}
