//! Files as documents, and the envelope around each.

use std::{ops::Range, path::Path};

use serde::de::DeserializeOwned;

use super::{
    super::{
        DefinitionFile, Problem,
        diagnostics::{Diagnostics, SourceSpan, is_secret_key},
        file::{API_VERSION, Document, Metadata},
        node::{self, NodeValue, YamlNode},
        read::{Field, read},
        suggest,
    },
    values,
};
use crate::domain::model::ids::Name;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    Slo,
    AlertPolicy,
    AlertNotificationTarget,
    Exclusion,
}

impl DocumentKind {
    const ALL: [Self; 4] = [
        Self::Slo,
        Self::AlertPolicy,
        Self::AlertNotificationTarget,
        Self::Exclusion,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Slo => "SLO",
            Self::AlertPolicy => "AlertPolicy",
            Self::AlertNotificationTarget => "AlertNotificationTarget",
            Self::Exclusion => "Exclusion",
        }
    }
}

/// One file: its documents that could be parsed, and what is found wrong.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    findings: Diagnostics<'a>,
    documents: Vec<(DocumentKind, Range<usize>, YamlNode)>,
}

/// A document of a known kind.
#[derive(Debug)]
pub(crate) struct Named<'a, S> {
    pub(crate) findings: &'a Diagnostics<'a>,
    pub(crate) range: Range<usize>,
    /// `None` if it has none or it is wrong, which is then among the findings.
    pub(crate) name: Option<(Name, SourceSpan)>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) spec: Field<S>,
}

impl<'a> Sheet<'a> {
    pub(crate) fn open(file: &'a DefinitionFile) -> Self {
        let mut findings = Diagnostics::new(file);
        let is_json = Path::new(&file.path)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let ranges = if is_json {
            std::iter::once(0..file.text.len()).collect()
        } else {
            node::documents(&file.text)
        };
        let nodes: Vec<_> = ranges
            .into_iter()
            .filter_map(|range| Some((range.clone(), node::parse(&mut findings, range)?)))
            .collect();
        for (_, node) in &nodes {
            mask_secrets(node, &mut findings);
        }
        let documents = nodes
            .into_iter()
            .filter_map(|(range, node)| Some((kind(&node, &findings)?, range, node)))
            .collect();
        Self {
            findings,
            documents,
        }
    }

    pub(crate) fn named<S: DeserializeOwned>(
        &'a self,
        wanted: DocumentKind,
    ) -> impl Iterator<Item = Named<'a, S>> {
        self.documents
            .iter()
            .filter(move |(kind, ..)| *kind == wanted)
            .filter_map(|(_, range, node)| {
                let document = read::<Document<S>>(node, &self.findings)?;
                let metadata =
                    values::required(&self.findings, document.metadata, node.place, "metadata");
                let (metadata, name) = match metadata {
                    Some((metadata, place)) => {
                        let name = values::name(&self.findings, &metadata.name, place);
                        (Some(metadata), name)
                    }
                    None => (None, None),
                };
                if document.spec.is_missing() {
                    self.findings.error(node.place, "missing field `spec`");
                }
                Some(Named {
                    findings: &self.findings,
                    range: range.clone(),
                    name,
                    metadata,
                    spec: document.spec,
                })
            })
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.findings.into_problems()
    }
}

/// What a document is; if nothing we know, that is noted.
fn kind(node: &YamlNode, findings: &Diagnostics<'_>) -> Option<DocumentKind> {
    if !matches!(node.value, NodeValue::Mapping(_)) {
        let message = format!("a definition is a group of fields, this is {}", node.noun());
        let help = "begin with `apiVersion`, `kind`, `metadata` and `spec`".to_owned();
        findings.error_with_help(node.place, message, help);
        return None;
    }
    let version = envelope_text(node, findings, "apiVersion", API_VERSION);
    let kind = envelope_text(node, findings, "kind", "SLO");
    let (version, version_place) = version?;
    if version == "openslo/v1" {
        findings.error_with_help(
            version_place,
            "not yet supported: documents of `openslo/v1`",
            format!("write it as `apiVersion: {API_VERSION}`"),
        );
        return None;
    }
    if version != API_VERSION {
        findings.error_with_help(
            version_place,
            format!("unknown apiVersion `{version}`"),
            format!("write `apiVersion: {API_VERSION}`"),
        );
    }
    let (kind, place) = kind?;
    let known = DocumentKind::ALL
        .into_iter()
        .find(|known| known.as_str() == kind);
    if known.is_none() {
        findings.error_with_help(
            place,
            format!("unknown kind `{kind}`"),
            suggest::did_you_mean(kind, DocumentKind::ALL.map(DocumentKind::as_str)),
        );
    }
    known
}

fn envelope_text<'a>(
    node: &'a YamlNode,
    findings: &Diagnostics<'_>,
    key: &str,
    example: &str,
) -> Option<(&'a str, SourceSpan)> {
    let Some(entry) = node.entry(key) else {
        findings.error_with_help(
            node.place,
            format!("missing field `{key}`"),
            format!("write `{key}: {example}`"),
        );
        return None;
    };
    let text = entry.value.text();
    if text.is_none() {
        let message = format!("text is expected here, this is {}", entry.value.noun());
        findings.error(entry.value.place, message);
    }
    Some((text?, entry.value.place))
}

/// Whatever stands where a secret belongs is not shown, unless it is a reference. In a target that is
/// everywhere but in its address.
fn mask_secrets(document: &YamlNode, findings: &mut Diagnostics<'_>) {
    let kind = document.entry("kind").and_then(|entry| entry.value.text());
    let is_target = kind.is_some_and(|kind| kind.to_lowercase().contains("target"));
    match document.entry("spec") {
        Some(spec) if is_target => mask_literals(&spec.value, findings),
        _ => mask_below_keys(document, findings),
    }
}

fn mask_below_keys(node: &YamlNode, findings: &mut Diagnostics<'_>) {
    match &node.value {
        NodeValue::Mapping(entries) => {
            for entry in entries {
                if is_secret_key(&entry.key) {
                    mask_literals(&entry.value, findings);
                } else {
                    mask_below_keys(&entry.value, findings);
                }
            }
        }
        NodeValue::Sequence(items) => {
            for item in items {
                mask_below_keys(item, findings);
            }
        }
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::Text(_) => {}
    }
}

fn mask_literals(node: &YamlNode, findings: &mut Diagnostics<'_>) {
    match &node.value {
        NodeValue::Mapping(entries) => {
            for entry in entries {
                let is_shown = match entry.key.as_str() {
                    "env" => entry.value.text().is_some_and(values::is_env_name),
                    "file" | "url" | "channel" | "fallback" | "latePolicy" => {
                        entry.value.text().is_some()
                    }
                    _ => false,
                };
                if !is_shown {
                    mask_literals(&entry.value, findings);
                }
            }
        }
        NodeValue::Sequence(items) => {
            for item in items {
                mask_literals(item, findings);
            }
        }
        NodeValue::Null => {}
        NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::Text(_) => {
            findings.mask(node.place.range());
        }
    }
}
