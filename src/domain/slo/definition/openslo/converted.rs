//! A definition of ours that is made of a document of OpenSLO.

use serde_json::{Map, Value, json};

use super::{
    PREFIX,
    document::{SourceDocument, at},
};
use crate::domain::slo::definition::{
    diagnostics::SourceSpan,
    yaml::{Entry, NodeValue, YamlNode},
};

/// A definition of ours, and the document that it comes from.
#[derive(Clone, Debug)]
pub(crate) struct ConvertedDocument<'a> {
    pub(crate) value: Value,
    pub(crate) origin: SourceDocument<'a>,
    /// Whether a part is missing, which was reported.
    pub(crate) is_partial: bool,
    /// The indicator, as it is written there.
    pub(super) indicator: Option<&'a YamlNode>,
}

impl<'a> ConvertedDocument<'a> {
    pub(super) fn new(
        origin: &SourceDocument<'a>,
        metadata: &Map<String, Value>,
        spec: impl Into<Value>,
    ) -> Self {
        let spec: Value = spec.into();
        Self {
            value: json!({
                "apiVersion": "throughline/v1",
                "kind": origin.kind,
                "metadata": metadata,
                "spec": spec,
            }),
            origin: *origin,
            is_partial: false,
            indicator: None,
        }
    }

    /// Returns the definition as a tree, whose places are those of the fields that it comes from.
    pub(crate) fn node(&self) -> YamlNode {
        let name = at(self.origin.node, &["metadata", "name"]);
        let name = name.map_or(self.origin.node.place, |entry| entry.value.place);
        let mut node = tree(&self.value, &|_| name);
        let metadata = |key: &str| self.place(&["metadata", key]).unwrap_or(name);
        let spec = |key: &str| self.place_of_spec(key).unwrap_or(name);
        for (group, places) in [
            ("metadata", &metadata as &dyn Fn(&str) -> SourceSpan),
            ("spec", &spec),
        ] {
            let entry = entry_mut(&mut node, group);
            if let (Some(entry), Some(value)) = (entry, self.value.get(group)) {
                entry.value = tree(value, places);
                entry.value.place = name;
            }
        }
        let written = entry_mut(&mut node, "spec");
        let written = written.and_then(|spec| entry_mut(&mut spec.value, "indicator"));
        if let (Some(entry), Some(indicator)) = (written, self.indicator) {
            entry.value = indicator.clone();
        }
        node
    }

    fn place(&self, path: &[&str]) -> Option<SourceSpan> {
        at(self.origin.node, path).map(|entry| entry.value.place)
    }

    /// Where a field of ours is written: under another name, or in an annotation.
    fn place_of_spec(&self, key: &str) -> Option<SourceSpan> {
        let theirs = match key {
            "objective" => "objectives",
            "window" => "timeWindow",
            "notify" => "alertPolicies",
            _ => key,
        };
        let annotation = format!("{PREFIX}{key}");
        self.place(&["spec", theirs])
            .or_else(|| self.place(&["metadata", "annotations", &annotation]))
    }
}

fn entry_mut<'n>(node: &'n mut YamlNode, key: &str) -> Option<&'n mut Entry> {
    match &mut node.value {
        NodeValue::Mapping(entries) => entries.iter_mut().find(|entry| entry.key == key),
        NodeValue::Null
        | NodeValue::Bool
        | NodeValue::Number(_)
        | NodeValue::Text(_)
        | NodeValue::Sequence(_) => None,
    }
}

/// Makes a tree in which all below a key has the place of that key.
fn tree(value: &Value, place: &dyn Fn(&str) -> SourceSpan) -> YamlNode {
    let node = match value {
        Value::Null => NodeValue::Null,
        Value::Bool(_) => NodeValue::Bool,
        Value::Number(number) => NodeValue::Number(number.to_string()),
        Value::String(text) => NodeValue::Text(text.clone()),
        Value::Array(items) => {
            NodeValue::Sequence(items.iter().map(|item| tree(item, place)).collect())
        }
        Value::Object(fields) => {
            let entry = |(key, value): (&String, &Value)| {
                let place = place(key);
                Entry {
                    key: key.clone(),
                    key_place: place,
                    value: tree(value, &|_| place),
                }
            };
            NodeValue::Mapping(fields.iter().map(entry).collect())
        }
    };
    YamlNode {
        place: place(""),
        value: node,
    }
}
