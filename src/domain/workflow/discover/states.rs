//! Attributes that hold a state, and which of their values mean success.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    graph::SpanGraph,
    message::{equality, span_attribute},
};
use crate::domain::{
    model::span::{AttributeScope, SpanStatus, SpanView as _, Value},
    workflow::shapes::{StoredSpan, last_word},
};

/// The last words of the names of attributes with a state.
const STATE_WORDS: [&str; 5] = ["state", "status", "outcome", "result", "disposition"];
const SUCCEEDED: [&str; 8] = [
    "success",
    "succeeded",
    "successful",
    "completed",
    "complete",
    "finished",
    "done",
    "ok",
];
/// The minimum number of successful spans.
const LEAST_SPANS: usize = 3;

/// The state of a step's successful spans. Some libraries do not mark failed or retried attempts as
/// errors, and report them only by a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SuccessStates {
    pub(super) key: String,
    values: BTreeSet<String>,
}

impl SuccessStates {
    /// Returns the state that every span of the step without an error has; `None` if there is none,
    /// or no value of it means success.
    pub(super) fn of_step(graph: &SpanGraph<'_>, step: usize) -> Option<Self> {
        let nodes = graph.nodes.iter().filter(|node| node.step == step);
        let nodes = nodes.filter(|node| node.stored.span().status != SpanStatus::Error);
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut spans = 0;
        for node in nodes {
            spans += 1;
            for (key, value) in states_of(node.stored) {
                seen.entry(key).or_default().push(value);
            }
        }
        let of_all = seen.into_iter().filter(|(_, seen)| seen.len() == spans);
        let succeeded = of_all.map(|(key, mut seen)| {
            seen.retain(|value| is_one_of(&SUCCEEDED, value));
            (key, seen)
        });
        let (key, values) = succeeded.max_by_key(|(_, values)| values.len())?;
        (values.len() >= LEAST_SPANS).then(|| Self {
            key,
            values: values.into_iter().collect(),
        })
    }

    pub(super) fn has(&self, stored: &StoredSpan) -> bool {
        let mut states = states_of(stored);
        states.any(|(key, value)| key == self.key && self.values.contains(&value))
    }

    /// Returns the condition of a selector.
    pub(super) fn condition(&self) -> String {
        let name = span_attribute(&self.key);
        let values = self.values.iter().map(|value| equality(&name, value));
        match values.collect::<Vec<_>>().as_slice() {
            [only] => only.clone(),
            several => format!("({})", several.join(" || ")),
        }
    }
}

pub(super) fn states_of(stored: &StoredSpan) -> impl Iterator<Item = (String, String)> {
    let keys = stored.keys().filter(|key| is_state_key(key));
    keys.filter_map(
        |key| match stored.span().attribute(AttributeScope::Span, key)? {
            Value::String(value) => Some((key.to_owned(), value.into_owned())),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Array(_) => None,
        },
    )
}

pub(super) fn is_one_of(words: &[&str], value: &str) -> bool {
    words.contains(&value.to_lowercase().as_str())
}

/// Returns whether an attribute with this key probably holds a state.
fn is_state_key(key: &str) -> bool {
    last_word(key).is_some_and(|word| STATE_WORDS.contains(&word.as_str()))
}
