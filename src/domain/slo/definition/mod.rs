//! Definitions of a user: SLOs, alert policies and notification targets, checked and compiled.
//!
//! A [`Catalog`](crate::domain::slo::Catalog) is made from all files at once and is valid as a
//! whole; all code that uses it may rely on that. A text becomes a tree of nodes with their
//! positions ([`yaml`]), which the functions of [`check`] read. Each function of a
//! [`value::YamlValue`] does three things at once: it reads and checks, it describes the JSON
//! Schema ([`schema`]) and the schema of Kubernetes ([`crd`]), and it describes the reference of
//! all fields ([`mod@reference`]).
//!
//! To add a field: read it in the function of its group in `check/`, with a sentence for the
//! reference, and put a file with each possible mistake into `tests/fixtures/definitions/bad/`.

mod check;
mod crd;
mod diagnostics;
mod emptied;
mod fields;
pub mod openslo;
mod reference;
mod schema;
mod shape;
mod suggest;
#[cfg(test)]
mod tests;
mod value;
mod yaml;

pub use self::{
    check::{
        WrittenDefinition, check_written, has_files, load, load_beside, with_replaced,
        with_written, written,
    },
    diagnostics::{
        DefinitionFile, Diagnostics, Excerpt, Problem, ProblemSeverity, Reported, SourceSpan,
    },
    emptied::{digest, emptied},
    reference::{FieldReference, GroupReference, TypeWord, reference},
    suggest::did_you_mean,
};

/// Converts our definitions to OpenSLO.
///
/// # Errors
/// All problems of the definitions, if they are not valid.
pub fn to_openslo(files: &[DefinitionFile]) -> Result<openslo::Conversion, Vec<Problem>> {
    load(files)?;
    let version = check::document::API_VERSION;
    Ok(openslo::write_openslo(files, version, &check::kinds()))
}

/// Returns the JSON Schema of all kinds, for editors.
pub fn json_schema() -> serde_json::Value {
    schema::json_schema(&check::kinds(), &check::shapes())
}

/// Returns the `CustomResourceDefinition` of SLOs, for Kubernetes.
pub fn custom_resource_definition() -> serde_json::Value {
    crd::custom_resource_definition(&check::shapes())
}
