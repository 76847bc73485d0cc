//! Splits files into documents, and reads the envelope around each.

use std::{collections::BTreeMap, ops::Range, path::Path};

use super::{
    super::{
        DefinitionFile, Problem,
        diagnostics::{Diagnostics, SourceSpan, is_secret_key},
        fields::Fields,
        openslo::{ConvertedDocument, OPENSLO_VERSION},
        shape::Shape,
        suggest,
        value::{Checked, YamlValue},
        yaml::{self, NodeValue, YamlNode},
    },
    foreign, values,
};
use crate::domain::{model::ids::Name, slo::Slo};

pub(crate) const API_VERSION: &str = "throughline/v1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    Slo,
    AlertPolicy,
    AlertNotificationTarget,
    Exclusion,
}

impl DocumentKind {
    pub(crate) const ALL: [Self; 4] = [
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

    const fn about(self) -> &'static str {
        match self {
            Self::Slo => "An objective for the share of good events.",
            Self::AlertPolicy => "When an alert fires.",
            Self::AlertNotificationTarget => "Where notifications are sent.",
            Self::Exclusion => "Planned work whose events do not count.",
        }
    }
}

/// A name with its position.
pub(crate) type NamePlace = (Name, SourceSpan);

/// A function that reads the `spec` of a document; the name is `None` if it is invalid.
pub(crate) type ReadSpec<'r, S> =
    &'r dyn for<'v> Fn(YamlValue<'v>, Option<&NamePlace>) -> Checked<S>;

/// One file: its documents that could be parsed, and its problems.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    pub(crate) findings: Diagnostics<'a>,
    /// Collects what follows from a problem that was reported.
    ignored: Diagnostics<'a>,
    documents: Vec<SheetDocument>,
    /// Documents of OpenSLO v1.
    pub(crate) openslo: Vec<(Range<usize>, YamlNode)>,
}

/// A document of ours, or one that was converted.
#[derive(Debug)]
pub(crate) struct SheetDocument {
    kind: DocumentKind,
    range: Range<usize>,
    node: YamlNode,
    /// Whether it lacks a part that could not be converted, which was reported.
    is_partial: bool,
}

/// The parts of a document other than its `spec`.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// `Err` if it is invalid, which is then reported.
    pub(crate) name: Checked<NamePlace>,
    pub(crate) display_name: Checked<Option<String>>,
    /// Including the namespace, as the label that Prometheus has.
    pub(crate) labels: Checked<BTreeMap<String, String>>,
    pub(crate) annotations: Checked<BTreeMap<String, String>>,
}

/// A document of a known kind.
#[derive(Debug)]
pub(crate) struct Named<'a, S> {
    pub(crate) findings: &'a Diagnostics<'a>,
    pub(crate) range: Range<usize>,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Checked<S>,
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
            yaml::documents(&file.text)
        };
        if file.is_blank() {
            findings.warn(
                SourceSpan::default(),
                "the file declares nothing",
                "delete it, or restore what was in it".to_owned(),
            );
        }
        let nodes: Vec<_> = ranges
            .into_iter()
            .filter_map(|range| Some((range.clone(), yaml::parse(&mut findings, range)?)))
            .collect();
        for (_, node) in &nodes {
            mask_secrets(node, &mut findings);
        }
        let (openslo, ours): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|(_, node)| {
            let version = node.entry("apiVersion");
            version.and_then(|entry| entry.value.text()) == Some(OPENSLO_VERSION)
        });
        let document = |(range, node)| {
            Some(SheetDocument {
                kind: kind(&node, &findings)?,
                range,
                node,
                is_partial: false,
            })
        };
        let documents = ours.into_iter().filter_map(document).collect();
        Self {
            findings,
            ignored: Diagnostics::new(file),
            documents,
            openslo,
        }
    }

    /// Returns a converted document of this sheet.
    pub(crate) fn converted(&self, one: &ConvertedDocument<'_>) -> Option<SheetDocument> {
        let at = one.origin.node.place.0;
        let mut ranges = self.openslo.iter().map(|(range, _)| range);
        let node = one.node();
        Some(SheetDocument {
            kind: kind(&node, &self.findings)?,
            range: ranges.find(|range| range.contains(&at))?.clone(),
            node,
            is_partial: one.is_partial,
        })
    }

    /// Adds converted documents.
    pub(crate) fn add(&mut self, documents: Vec<SheetDocument>) {
        self.documents.extend(documents);
        self.documents.sort_by_key(|document| document.range.start);
    }

    pub(crate) fn named<S>(
        &'a self,
        wanted: DocumentKind,
        spec: ReadSpec<'_, S>,
    ) -> impl Iterator<Item = Named<'a, S>> {
        self.documents
            .iter()
            .filter(move |document| document.kind == wanted)
            .filter_map(move |document| {
                let findings = if document.is_partial {
                    &self.ignored
                } else {
                    &self.findings
                };
                let value = YamlValue::of(findings, &document.node);
                let (metadata, spec) = read(value, wanted, spec).ok()?;
                Some(Named {
                    findings,
                    range: document.range.clone(),
                    metadata,
                    spec,
                })
            })
    }

    /// Returns kind, name and line of each document, valid or not; the name is `None` if it is not
    /// a text.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (DocumentKind, Option<&str>, usize)> {
        self.documents.iter().map(|document| {
            let metadata = document.node.entry("metadata");
            let name = metadata.and_then(|entry| entry.value.entry("name")?.value.text());
            let line = self.findings.line_of(document.range.start);
            (document.kind, name, line)
        })
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.findings.into_problems()
    }
}

/// Reads the envelope around every definition, and its contents.
pub(crate) fn read<S>(
    document: YamlValue<'_>,
    kind: DocumentKind,
    spec: ReadSpec<'_, S>,
) -> Checked<(Metadata, Checked<S>)> {
    document.group(kind.as_str(), kind.about(), |fields| {
        // Both are checked before the kind is known.
        let _version = fields.required("apiVersion", "", |value| {
            value.accept(Shape::Constant(API_VERSION)).map(drop)
        });
        let _kind = fields.required("kind", "", |value| {
            value.accept(Shape::Constant(kind.as_str())).map(drop)
        });
        let metadata = metadata(fields).unwrap_or_else(|reported| Metadata {
            name: Err(reported),
            display_name: Err(reported),
            labels: Err(reported),
            annotations: Err(reported),
        });
        let spec = fields.required("spec", "", |value| spec(value, metadata.name.as_ref().ok()));
        Ok((metadata, spec))
    })
}

pub(crate) fn metadata(fields: &Fields<'_>) -> Checked<Metadata> {
    fields.required("metadata", "", |value| {
        let about = "What the definition is called.";
        value.group("Metadata", about, |fields| {
            Ok(Metadata {
                name: fields.required(
                    "name",
                    "Identifies the definition. Unique per kind over all files.",
                    |value| Ok((values::name(value)?, value.place())),
                ),
                display_name: fields.optional(
                    "displayName",
                    "Title on pages and in messages. Defaults to the name.",
                    values::text,
                ),
                labels: labels(fields),
                annotations: text_by_key(
                    fields,
                    "annotations",
                    "Key-value pairs for people and tools. The page of the SLO and the API show them.",
                ),
            })
        })
    })
}

/// Returns the labels and, under the name that Prometheus has for it, the namespace.
fn labels(fields: &Fields<'_>) -> Checked<BTreeMap<String, String>> {
    let about = "Key-value pairs. Silences can match them.";
    let labels = text_by_key(fields, "labels", about);
    let about = "As in Kubernetes. The same as the label `namespace`.";
    let namespace = fields.optional("namespace", about, values::name);
    let (mut labels, namespace) = (labels?, namespace?);
    let Some(namespace) = namespace else {
        return Ok(labels);
    };
    let namespace = namespace.to_string();
    match labels.insert(Slo::NAMESPACE.to_owned(), namespace.clone()) {
        Some(other) if other != namespace => Err(fields.error_with_help(
            "namespace",
            format!("the namespace is `{namespace}`, but the label `namespace` is `{other}`"),
            "delete the label: the namespace is shown as one",
        )),
        _ => Ok(labels),
    }
}

fn text_by_key(
    fields: &Fields<'_>,
    key: &'static str,
    about: &'static str,
) -> Checked<BTreeMap<String, String>> {
    let pairs = fields.optional(key, about, |value| {
        value.text_by_key().map(BTreeMap::from_iter)
    });
    pairs.map(Option::unwrap_or_default)
}

/// Returns the kind of a document; an unknown one is reported.
fn kind(node: &YamlNode, findings: &Diagnostics<'_>) -> Option<DocumentKind> {
    if !matches!(node.value, NodeValue::Mapping(_)) {
        let message = format!("a definition is a group of fields, this is {}", node.noun());
        let help = "begin with `apiVersion`, `kind`, `metadata` and `spec`".to_owned();
        findings.error_with_help(node.place, message, help);
        return None;
    }
    if let Some((place, origin)) = foreign::origin(node) {
        let message = format!(
            "this is a definition of {}, which is not read here",
            origin.name
        );
        let help = format!("write it as `apiVersion: {API_VERSION}`: {}", origin.help);
        findings.error_with_help(place, message, help);
        return None;
    }
    let version = envelope_text(node, findings, "apiVersion", API_VERSION);
    let kind = envelope_text(node, findings, "kind", "SLO");
    let (version, version_place) = version?;
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

/// Masks the values of fields for secrets in excerpts, unless they are references. In a target
/// these are all fields, except the URLs of kinds whose URL is not secret.
fn mask_secrets(document: &YamlNode, findings: &mut Diagnostics<'_>) {
    let kind = document.entry("kind").and_then(|entry| entry.value.text());
    let is_target = kind.is_some_and(|kind| kind.to_lowercase().contains("target"));
    match document.entry("spec") {
        Some(spec) if is_target => mask_literals(&spec.value, "", findings),
        _ => mask_below_keys(document, findings),
    }
}

fn mask_below_keys(node: &YamlNode, findings: &mut Diagnostics<'_>) {
    match &node.value {
        NodeValue::Mapping(entries) => {
            for entry in entries {
                if is_secret_key(&entry.key) {
                    mask_literals(&entry.value, "", findings);
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
        NodeValue::Null | NodeValue::Bool | NodeValue::Number(_) | NodeValue::Text(_) => {}
    }
}

/// Masks literal values. `group` is the key whose value `node` is.
fn mask_literals(node: &YamlNode, group: &str, findings: &mut Diagnostics<'_>) {
    match &node.value {
        NodeValue::Mapping(entries) => {
            for entry in entries {
                let text = entry.value.text();
                let is_shown = match entry.key.as_str() {
                    "env" => text.is_some_and(values::is_env_name),
                    // The URL of a webhook of Slack or Teams is secret as a whole.
                    "url" => text.is_some() && !matches!(group, "slack" | "teams"),
                    "file" | "channel" | "fallback" | "previousName" | "latePolicy" | "target"
                    | "description" | "team" | "time" | "timeZone" => text.is_some(),
                    "day" => true,
                    _ => false,
                };
                if !is_shown {
                    mask_literals(&entry.value, &entry.key, findings);
                }
            }
        }
        NodeValue::Sequence(items) => {
            for item in items {
                mask_literals(item, group, findings);
            }
        }
        NodeValue::Null => {}
        NodeValue::Bool | NodeValue::Number(_) | NodeValue::Text(_) => {
            findings.mask(node.place.range());
        }
    }
}
