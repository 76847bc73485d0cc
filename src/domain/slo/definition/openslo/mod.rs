//! Converts definitions from and to OpenSLO v1. Anything without a counterpart is a problem with
//! its name and its line.
//!
//! Fields that only our format has go into annotations with a prefix of our own, so that converting
//! back gives the same definitions.

mod alerting;
mod converted;
mod document;
mod slo;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;

use serde_json::Value;

use self::{alerting::Policies, document::SourceSheet};
use super::{DefinitionFile, Diagnostics, Problem, yaml::YamlNode};

pub(super) use self::{
    converted::ConvertedDocument, document::SourceDocument, write::write_openslo,
};

pub(super) const OPENSLO_VERSION: &str = "openslo/v1";
const PREFIX: &str = "throughline.dev/";
const KINDS: [&str; 7] = [
    "SLO",
    "SLI",
    "Service",
    "DataSource",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
];

/// Converted definitions, and what was not converted.
#[derive(Clone, Debug)]
pub struct Conversion {
    pub documents: Vec<Value>,
    pub problems: Vec<Problem>,
}

/// Adds documents that are not there yet: several may need the same policy or service.
fn add(documents: &mut Vec<Value>, more: Vec<Value>) {
    for document in more {
        if !documents.contains(&document) {
            documents.push(document);
        }
    }
}

/// Converts files of OpenSLO v1. References may cross files.
pub fn from_openslo(files: &[DefinitionFile]) -> Conversion {
    let sheets: Vec<SourceSheet<'_>> = files.iter().map(SourceSheet::open).collect();
    let all = sheets
        .iter()
        .flat_map(|sheet| sheet.documents(OPENSLO_VERSION, &KINDS));
    let converted = convert(all.collect(), BTreeSet::new());
    let documents = converted.into_iter().map(|document| document.value);
    let documents = documents.collect();
    let problems = sheets.into_iter().flat_map(SourceSheet::into_problems);
    Conversion {
        documents,
        problems: problems.collect(),
    }
}

/// Returns `node` as a document of OpenSLO v1, if its envelope is that of one.
pub(super) fn document<'a>(
    findings: &'a Diagnostics<'a>,
    node: &'a YamlNode,
) -> Option<SourceDocument<'a>> {
    document::document(findings, node, OPENSLO_VERSION, &KINDS)
}

/// Converts documents of OpenSLO v1, which may refer to each other and to policies of ours.
pub(super) fn convert<'a>(
    documents: Vec<SourceDocument<'a>>,
    our_policies: BTreeSet<&'a str>,
) -> Vec<ConvertedDocument<'a>> {
    let library = document::Library::new(documents, our_policies);
    let policies = Policies::new(&library);
    let mut all: Vec<ConvertedDocument<'a>> = Vec::new();
    for document in library.all() {
        let converted = match document.kind {
            "SLO" => slo::read(document, &library, &policies),
            "AlertPolicy" => policies.written_by(document.name),
            "AlertNotificationTarget" => alerting::target(document).into_iter().collect(),
            _ => Vec::new(),
        };
        for one in converted {
            if all.iter().all(|known| known.value != one.value) {
                all.push(one);
            }
        }
    }
    library.report_unused();
    all
}
