//! Which workflow a span speaks of.

use sha2::{Digest as _, Sha256};

use crate::domain::{
    definition::{AttributeName, Correlator},
    span::{SpanView, Value},
    workflow::EventKey,
};

/// Labels and customers are cut to this many bytes, so that no row grows with what senders write.
const MAX_TEXT: usize = 256;

/// Which workflow a span speaks of.
pub(super) struct Identity {
    pub(super) key: EventKey,
    pub(super) label: String,
}

impl Identity {
    /// Trace and span id alone are not enough: client and server share them in some systems, and so
    /// do retries in others (Zipkin-style clients, eBPF instrumentations).
    pub(super) fn of_span(span: &dyn SpanView) -> Self {
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        let key = hash(&[
            b"span",
            trace_id.as_bytes(),
            span_id.as_bytes(),
            &[span.kind() as u8],
            &span.start_unix_nano().to_be_bytes(),
        ]);
        Self {
            key,
            label: span_id.to_string(),
        }
    }
}

/// The first correlator that is present decides.
pub(super) fn correlate(correlators: &[Correlator], span: &dyn SpanView) -> Option<Identity> {
    correlators.iter().find_map(|correlator| match correlator {
        Correlator::Trace => {
            let trace_id = span.trace_id();
            let key = hash(&[b"trace", trace_id.as_bytes()]);
            Some(Identity {
                key,
                label: trace_id.to_string(),
            })
        }
        Correlator::Attribute { attribute, run } => {
            let value = text_of(attribute, span)?;
            let run = run
                .as_ref()
                .map(|run| text_of(run, span))
                .map_or(Some(None), |run| run.map(Some))?;
            let key = hash(&[
                b"attribute",
                attribute.key.as_bytes(),
                value.as_bytes(),
                run.as_deref().unwrap_or_default().as_bytes(),
            ]);
            let label = run.map_or_else(|| value.clone(), |run| format!("{value} / {run}"));
            Some(Identity {
                key,
                label: cut(label),
            })
        }
    })
}

/// The attribute as text; empty text and what has no text count as absent, since they would join
/// strangers.
pub(super) fn text_of(attribute: &AttributeName, span: &dyn SpanView) -> Option<String> {
    let text = match span.attribute(attribute.scope, &attribute.key)? {
        Value::String(text) => text.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Other => return None,
    };
    // Postgres keeps no NUL in text.
    let text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    (!text.is_empty()).then_some(text)
}

pub(super) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// Each part is preceded by its length, so that no two lists of parts read alike.
pub(super) fn hash(parts: &[&[u8]]) -> EventKey {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    EventKey(key)
}
