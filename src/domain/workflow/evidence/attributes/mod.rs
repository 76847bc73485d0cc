//! The attributes of one event, joined over its spans, so that order and duplicates do not matter.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::model::span::{AttributeScope, SpanView, Value};

/// The limit of attributes of one event: this many of its spans and this many of their resources.
const MOST_OF_SCOPE: usize = 16;
/// The limit of a name, and of a value, in bytes.
const MOST_BYTES: usize = 128;
/// Larger numbers are usually ids, sizes and times rather than something that events share.
const LARGEST_NUMBER: u64 = 999_999;
/// Text of hexadecimal digits that is at least this long is an id.
const ID_LENGTH: usize = 16;
/// Attributes of the SDK and the system are many, and rarely a cause.
const DULL_RESOURCE: [&str; 3] = ["telemetry.", "process.", "os."];

const SPAN: &str = "span.";
const RESOURCE: &str = "resource.";

/// The attributes of one event, named as in selectors: `span.region`.
///
/// Its spans may have several values for one name, such as a version of each service. If there are
/// too many, the first in alphabetical order are kept. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventAttributes(Arc<BTreeSet<(String, String)>>);

/// The completeness of the attributes kept of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    Whole,
    Cut,
}

impl EventAttributes {
    /// Returns the attributes of `span`. Values that are new with every event, and so not shared,
    /// are left out: ids, times, fractions, and `label`, the name of the event.
    pub fn of_span(span: &dyn SpanView, label: &str) -> (Self, Completeness) {
        let mut kept = KeptAttributes::default();
        span.each_attribute(&mut |scope, key, value| {
            let pairs = value.elements().iter().filter_map(|value| {
                let value = shared_value(value, label)?;
                Some((named(scope, key)?, value))
            });
            pairs.for_each(|(name, value)| kept.add(name, &value));
        });
        kept.keep_first();
        let completeness = if kept.is_cut {
            Completeness::Cut
        } else {
            Completeness::Whole
        };
        (Self(Arc::new(kept.pairs)), completeness)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds the attributes of `other`.
    pub fn join(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0 = Arc::clone(&other.0);
            return;
        }
        let own = Arc::make_mut(&mut self.0);
        own.extend(other.0.iter().cloned());
        keep_first(own);
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for EventAttributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        let pairs = all.into_iter();
        let mut attributes = pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        keep_first(&mut attributes);
        Self(Arc::new(attributes))
    }
}

impl Serialize for EventAttributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EventAttributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeSet::deserialize(deserializer).map(|attributes| Self(Arc::new(attributes)))
    }
}

/// Collects the attributes of a span.
#[derive(Default)]
struct KeptAttributes {
    pairs: BTreeSet<(String, String)>,
    is_cut: bool,
}

impl KeptAttributes {
    fn add(&mut self, name: String, value: &str) {
        if name.len() > MOST_BYTES {
            self.is_cut = true;
            return;
        }
        let end = value.floor_char_boundary(MOST_BYTES);
        self.is_cut |= end < value.len();
        let value = value.get(..end).unwrap_or_default();
        // Postgres stores no NUL in text.
        self.pairs.insert((clean(name), clean(value.to_owned())));
        if self.pairs.len() > 8 * MOST_OF_SCOPE {
            self.is_cut = true;
            self.keep_first();
        }
    }

    fn keep_first(&mut self) {
        self.is_cut |= keep_first(&mut self.pairs) > 0;
    }
}

/// Keeps the first of each scope. Returns how many were removed.
fn keep_first(attributes: &mut BTreeSet<(String, String)>) -> usize {
    let before = attributes.len();
    if before > MOST_OF_SCOPE {
        let (mut of_span, mut of_resource) = (0, 0);
        attributes.retain(|(name, _)| {
            let of_scope = if name.starts_with(RESOURCE) {
                &mut of_resource
            } else {
                &mut of_span
            };
            *of_scope += 1;
            *of_scope <= MOST_OF_SCOPE
        });
    }
    before - attributes.len()
}

fn clean(text: String) -> String {
    if text.contains('\0') {
        return text.replace('\0', "\u{fffd}");
    }
    text
}

fn named(scope: AttributeScope, key: &str) -> Option<String> {
    match scope {
        AttributeScope::Resource if DULL_RESOURCE.iter().any(|dull| key.starts_with(dull)) => None,
        AttributeScope::Resource => Some([RESOURCE, key].concat()),
        AttributeScope::Span => Some([SPAN, key].concat()),
        AttributeScope::Any | AttributeScope::Instrumentation => None,
    }
}

/// Returns the value as text, if several events can be expected to share it.
fn shared_value<'a>(value: &'a Value<'_>, label: &str) -> Option<Cow<'a, str>> {
    match value {
        Value::String(text) if text.is_empty() || text == label || is_id(text) => None,
        Value::String(text) => Some(text.as_ref().into()),
        Value::Bool(flag) => Some(if *flag { "true" } else { "false" }.into()),
        Value::Int(number) if number.unsigned_abs() <= LARGEST_NUMBER => {
            Some(number.to_string().into())
        }
        Value::Int(_) | Value::Double(_) | Value::Array(_) => None,
    }
}

fn is_id(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (digits && text.len() > 6) || (text.len() >= ID_LENGTH && text.bytes().all(hexadecimal))
}

#[cfg(test)]
mod tests;
