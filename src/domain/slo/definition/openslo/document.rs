//! Documents of either format as trees, and the reported problems.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::{Map, Value};

use super::PREFIX;
use crate::domain::{
    model::ids::Name,
    slo::definition::{
        DefinitionFile, Problem,
        diagnostics::{Diagnostics, SourceSpan},
        suggest,
        yaml::{self, Entry, NodeValue, YamlNode},
    },
};

/// The key of the namespace, which OpenSLO does not have.
pub(super) const NAMESPACE: &str = "namespace";

/// One file.
#[derive(Debug)]
pub(super) struct SourceSheet<'a> {
    findings: Diagnostics<'a>,
    nodes: Vec<YamlNode>,
}

/// A document, or an inline object of another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceDocument<'a> {
    pub(crate) findings: &'a Diagnostics<'a>,
    pub(crate) node: &'a YamlNode,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

/// All documents, to find references.
#[derive(Debug)]
pub(super) struct Library<'a> {
    documents: Vec<SourceDocument<'a>>,
    our_policies: BTreeSet<&'a str>,
    used: RefCell<BTreeSet<(&'a str, &'a str)>>,
}

impl<'a> SourceSheet<'a> {
    pub(super) fn open(file: &'a DefinitionFile) -> Self {
        let mut findings = Diagnostics::new(file);
        let ranges = yaml::documents(&file.text).into_iter();
        let nodes = ranges
            .filter_map(|range| yaml::parse(&mut findings, range))
            .collect();
        Self { findings, nodes }
    }

    /// Returns the documents of these kinds. Others are reported.
    pub(super) fn documents(
        &'a self,
        version: &str,
        kinds: &[&str],
    ) -> impl Iterator<Item = SourceDocument<'a>> {
        self.nodes
            .iter()
            .filter_map(move |node| document(&self.findings, node, version, kinds))
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.findings.into_problems()
    }
}

pub(super) fn document<'a>(
    findings: &'a Diagnostics<'a>,
    node: &'a YamlNode,
    version: &str,
    kinds: &[&str],
) -> Option<SourceDocument<'a>> {
    let envelope = |key: &str| {
        let entry = node.entry(key);
        let text = entry.and_then(|entry| Some((entry.value.text()?, entry.value.place)));
        if text.is_none() {
            findings.error(node.place, format!("there is no text in `{key}`"));
        }
        text
    };
    let (found, place) = envelope("apiVersion")?;
    if found != version {
        let message = format!("`{found}` is not `{version}`, so this is not converted");
        findings.error(place, message);
        return None;
    }
    let (kind, place) = envelope("kind")?;
    if !kinds.contains(&kind) {
        let advice = suggest::did_you_mean(kind, kinds.iter().copied());
        findings.error_with_help(place, format!("unknown kind `{kind}`"), advice);
        return None;
    }
    let name = at(node, &["metadata", "name"]).and_then(|entry| entry.value.text());
    if name.is_none() {
        findings.error(node.place, format!("a {kind} without a name"));
    }
    Some(SourceDocument {
        findings,
        node,
        kind,
        name: name?,
    })
}

/// Returns the entry below `node` at `path`.
pub(super) fn at<'a>(node: &'a YamlNode, path: &[&str]) -> Option<&'a Entry> {
    let (last, groups) = path.split_last()?;
    let group = groups
        .iter()
        .try_fold(node, |node, key| Some(&node.entry(key)?.value))?;
    group.entry(last)
}

pub(super) fn items(node: &YamlNode) -> &[YamlNode] {
    match &node.value {
        NodeValue::Sequence(items) => items,
        NodeValue::Null
        | NodeValue::Bool
        | NodeValue::Number(_)
        | NodeValue::Text(_)
        | NodeValue::Mapping(_) => std::slice::from_ref(node),
    }
}

impl<'a> SourceDocument<'a> {
    /// Returns an inline object of `kind`, or `None` if it has no name.
    pub(super) fn inside(&self, node: &'a YamlNode, kind: &'a str) -> Option<Self> {
        let name = at(node, &["metadata", "name"])?.value.text()?;
        Some(Self {
            node,
            kind,
            name,
            ..*self
        })
    }

    pub(super) fn spec(&self, key: &str) -> Option<&'a Entry> {
        at(self.node, &["spec", key])
    }

    /// Reports the fields of `node` that are not `known`.
    pub(super) fn expect_fields(&self, node: &YamlNode, known: &[&str]) {
        let entries = node.entries().unwrap_or_default().iter();
        for entry in entries.filter(|entry| !known.contains(&entry.key.as_str())) {
            let advice = suggest::did_you_mean(&entry.key, known.iter().copied());
            self.lost(entry, &advice.unwrap_or_default());
        }
    }

    /// Reports a field that has no counterpart.
    pub(super) fn lost(&self, entry: &Entry, why: &str) {
        let message = format!(
            "{} `{}`: `{}` has no effect here",
            self.kind, self.name, entry.key
        );
        self.findings.warn(entry.key_place, message, why.to_owned());
    }

    /// Reports a value without which the result would mean something else.
    pub(super) fn unsupported(&self, entry: &Entry, why: &str) {
        let what = format!(
            "`{}: {}` is not supported",
            entry.key,
            self.scalar(&entry.value)
        );
        self.error(entry.value.place, &what, why);
    }

    /// Reports what is converted with another meaning, or not at all.
    pub(super) fn warn(&self, place: SourceSpan, what: &str, why: &str) {
        let message = format!("{} `{}`: {what}", self.kind, self.name);
        self.findings.warn(place, message, why.to_owned());
    }

    /// Reports a problem that makes the result incomplete.
    pub(super) fn error(&self, place: SourceSpan, what: &str, help: &str) {
        let message = format!("{} `{}`: {what}", self.kind, self.name);
        self.findings
            .error_with_help(place, message, help.to_owned());
    }

    /// Returns a scalar as it is written, without quotes.
    pub(super) fn scalar(&self, node: &YamlNode) -> String {
        match &node.value {
            NodeValue::Text(text) | NodeValue::Number(text) => text.clone(),
            NodeValue::Bool => {
                let written = self.findings.text().get(node.place.range());
                written.unwrap_or_default().trim().to_owned()
            }
            NodeValue::Null | NodeValue::Sequence(_) | NodeValue::Mapping(_) => String::new(),
        }
    }

    pub(super) fn is_true(&self, entry: Option<&Entry>) -> bool {
        entry.is_some_and(|entry| self.scalar(&entry.value) == "true")
    }

    pub(super) fn json(&self, node: &YamlNode) -> Value {
        match &node.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool => Value::Bool(self.scalar(node) == "true"),
            NodeValue::Number(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            NodeValue::Text(text) => Value::String(text.clone()),
            NodeValue::Sequence(items) => items.iter().map(|item| self.json(item)).collect(),
            NodeValue::Mapping(entries) => {
                let entry = |entry: &Entry| (entry.key.clone(), self.json(&entry.value));
                Value::Object(entries.iter().map(entry).collect())
            }
        }
    }

    /// Returns the name, changed and reported if it is not valid here.
    pub(super) fn our_name(&self) -> String {
        let name = renamed(self.name);
        if name != self.name {
            let place = at(self.node, &["metadata", "name"]).map(|entry| entry.value.place);
            self.warn(
                place.unwrap_or(self.node.place),
                &format!("it is called `{name}` here"),
                "names are lower case letters, digits and `-`, at most 63 characters",
            );
        }
        name
    }

    /// Returns the metadata, and the annotations of our own without their prefix.
    pub(super) fn metadata(&self) -> (Map<String, Value>, Map<String, Value>) {
        const FIELDS: &[&str] = &["name", "displayName", "namespace", "labels", "annotations"];
        let mut metadata = Map::new();
        let mut own = Map::new();
        metadata.insert("name".to_owned(), self.our_name().into());
        let Some(node) = self.node.entry("metadata").map(|entry| &entry.value) else {
            return (metadata, own);
        };
        self.expect_fields(node, FIELDS);
        for key in ["displayName", NAMESPACE] {
            if let Some(entry) = node.entry(key) {
                metadata.insert(key.to_owned(), self.scalar(&entry.value).into());
            }
        }
        let labels = node.entry("labels").and_then(|entry| entry.value.entries());
        let labels = labels.unwrap_or_default().iter();
        let labels: Map<String, Value> = labels.map(|label| self.label(label)).collect();
        if !labels.is_empty() {
            metadata.insert("labels".to_owned(), labels.into());
        }
        let annotations = node.entry("annotations");
        let annotations = annotations.and_then(|entry| entry.value.entries());
        let mut others = Map::new();
        for annotation in annotations.unwrap_or_default() {
            let text = self.scalar(&annotation.value);
            match annotation.key.strip_prefix(PREFIX) {
                Some(NAMESPACE) => drop(metadata.insert(NAMESPACE.to_owned(), text.into())),
                Some(key) => drop(own.insert(key.to_owned(), from_annotation(text))),
                None => drop(others.insert(annotation.key.clone(), text.into())),
            }
        }
        if !others.is_empty() {
            metadata.insert("annotations".to_owned(), others.into());
        }
        (metadata, own)
    }

    fn label(&self, label: &Entry) -> (String, Value) {
        let values: Vec<String> = items(&label.value)
            .iter()
            .map(|value| self.scalar(value))
            .collect();
        if values.len() > 1 {
            self.warn(
                label.value.place,
                &format!("the values of label `{}` become one text", label.key),
                "a label has one value here",
            );
        }
        (label.key.clone(), values.join(",").into())
    }
}

/// Returns a valid name.
pub(super) fn renamed(name: &str) -> String {
    if name.parse::<Name>().is_ok() {
        return name.to_owned();
    }
    suggest::suggested_name(name).unwrap_or_else(|| name.to_owned())
}

/// Formats texts as they are, and everything else as JSON.
pub(super) fn to_annotation(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn from_annotation(text: String) -> Value {
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if !value.is_string() && !value.is_null() => value,
        _ => text.into(),
    }
}

impl<'a> Library<'a> {
    pub(super) fn new(documents: Vec<SourceDocument<'a>>, our_policies: BTreeSet<&'a str>) -> Self {
        Self {
            documents,
            our_policies,
            used: RefCell::default(),
        }
    }

    pub(super) fn all(&self) -> &[SourceDocument<'a>] {
        &self.documents
    }

    /// Returns whether a policy of ours has this name.
    pub(super) fn has_our_policy(&self, name: &str) -> bool {
        self.our_policies.contains(name)
    }

    /// Finds the object of a reference.
    pub(super) fn find(&self, kind: &str, name: &str) -> Option<SourceDocument<'a>> {
        let mut all = self.documents.iter();
        let found = all.find(|document| document.kind == kind && document.name == name)?;
        self.used.borrow_mut().insert((found.kind, found.name));
        Some(*found)
    }

    /// Reports documents that have no counterpart here, and that nothing refers to.
    pub(super) fn report_unused(&self) {
        let used = self.used.borrow();
        for document in &self.documents {
            let is_used = used.contains(&(document.kind, document.name));
            let why = match document.kind {
                "DataSource" => "there are no data sources here: spans are received",
                "SLI" | "AlertCondition" if !is_used => "nothing refers to it",
                "Service" if !is_used => "no SLO is of this service",
                "Service" => {
                    report_service(document);
                    continue;
                }
                _ => continue,
            };
            document.warn(document.node.place, "it has no effect here", why);
        }
    }
}

/// Reports a service: its name is in the SLOs that belong to it.
fn report_service(service: &SourceDocument<'_>) {
    let why = "a service is a name in SLOs here";
    let metadata = service.node.entry("metadata").map(|entry| &entry.value);
    for entry in metadata.and_then(YamlNode::entries).unwrap_or_default() {
        if entry.key != "name" {
            service.lost(entry, why);
        }
    }
    if let Some(description) = service.spec("description") {
        service.lost(description, why);
    }
}
