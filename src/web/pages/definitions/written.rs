//! Definitions that are written by the API instead of a file.
//!
//! They are part of the active numbered set of definitions, so they reach every replica as files do
//! and are checked together with them. A write replaces the newest set under its lock; `If-Match`
//! makes it conditional on the definition that the client has read.

use axum::{
    body::Bytes,
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::Response,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::DefinitionError;
use crate::{
    domain::{
        model::{
            ids::{Name, Revision},
            time::Timestamp,
        },
        slo::{
            Catalog,
            definition::{
                DefinitionFile, Problem, ProblemSeverity, WrittenDefinition, check_written, load,
                with_replaced, written,
            },
        },
    },
    store::{DefinitionSet, Tx},
    web::{
        access::error::AccessError,
        error::WebError,
        page::{Negotiation, fingerprint},
        query::{NoParameters, Parameters, Params},
        state::WebState,
    },
};

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct WrittenView {
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// YAML or JSON, as it was sent.
    definition: String,
    /// False if a file declares the same kind and name.
    pub(super) in_force: bool,
    /// The file and line that declare the same.
    pub(super) overridden_by: Option<String>,
}

/// One definition, and the set that it is part of.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct WrittenAnswer {
    #[serde(flatten)]
    written: WrittenView,
    /// The number of the set of definitions that contains it.
    revision: Revision,
    /// The time at which that set is activated.
    in_force_from: Timestamp,
    /// Set in the response to a write: the warnings about all definitions, as `throughline
    /// validate` reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<Problem>>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct DeletedAnswer {
    name: String,
    revision: Revision,
    in_force_from: Timestamp,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WriteQuery {
    /// Check and answer without changing anything.
    #[serde(rename = "dryRun", default)]
    dry_run: bool,
}

impl Parameters for WriteQuery {
    const NAMES: &'static [&'static str] = &["dryRun"];
}

impl WrittenView {
    pub(super) fn all(set: &DefinitionSet) -> Vec<Self> {
        written(&set.files).into_iter().map(Self::new).collect()
    }

    /// Returns the `ETag` of the definition, which changes with it and with a file that overrides
    /// it, but not with other definitions.
    fn tag(&self) -> String {
        let file = self.overridden_by.as_deref().unwrap_or_default();
        let content = format!("{file}\n{}", self.definition);
        format!("\"{}\"", fingerprint(content.as_bytes()))
    }

    /// Returns whether the caller may see it: everyone may see policies and exclusions.
    pub(super) fn is_seen(&self, state: &WebState) -> bool {
        let is_own = |name| self.kind == "SLO" && state.catalog.borrow().declared(&name).is_some();
        !state.is_restricted() || self.name.parse().is_ok_and(is_own)
    }

    fn new(written: WrittenDefinition) -> Self {
        Self {
            name: written.name,
            kind: written.kind,
            definition: written.text,
            in_force: written.overridden_by.is_none(),
            overridden_by: written.overridden_by,
        }
    }
}

pub(crate) async fn one(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    Params(NoParameters {}): Params<NoParameters>,
) -> Response {
    let read = async {
        let mut tx = state.store.begin("read a definition").await?;
        let set = tx.newest_definitions().await?;
        let answer = answer(set, &name, None)?;
        if answer.written.is_seen(&state) {
            Ok(answer)
        } else {
            Err(DefinitionError::Unknown { name }.into())
        }
    };
    let read = read.await;
    let tag = read.as_ref().map(|answer| answer.written.tag());
    let tag = tag.unwrap_or_default();
    asked.tagged(&state, read, &tag)
}

pub(crate) async fn put(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    Params(query): Params<WriteQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let done = async {
        let bad_name = || DefinitionError::BadName { name: name.clone() };
        let name: Name = name.parse().map_err(|_| bad_name())?;
        let text = String::from_utf8(body.to_vec())
            .map_err(|_| WebError::Unreadable("the definition is not UTF-8".to_owned()))?;
        let file = DefinitionFile::written(&name, text);
        let change = DefinitionChange::begin(&state, &headers, name.as_str()).await?;
        let files = with_replaced(&change.files, file.clone());
        let (declared, warnings) = checked(&files, check_written(&file, &name))
            .map_err(|problems| change.own(&file, problems))
            .map_err(DefinitionError::NotValid)?;
        let written = declared.declared(&name);
        let written = written.filter(|slo| slo.source.file == file.path);
        state.check_definition(&name, written.map(|slo| &**slo))?;
        let mut warnings = change.own(&file, warnings);
        warnings.extend(left_to_others(&declared, &name, &file));
        let status = if change.is_known {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        let set = change.activate(&state, &files, &query).await?;
        Ok((status, answer(Some(set), name.as_str(), Some(warnings))?))
    };
    respond(&asked, &state, done.await)
}

pub(crate) async fn delete(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    Params(query): Params<WriteQuery>,
    headers: HeaderMap,
) -> Response {
    let done = async {
        let change = DefinitionChange::begin(&state, &headers, &name).await?;
        if !change.is_known {
            return Err(DefinitionError::Unknown { name }.into());
        }
        let mut files = change.files.clone();
        files.retain(|file| file.written_name() != Some(&name));
        checked(&files, Vec::new()).map_err(DefinitionError::NotValid)?;
        let set = change.activate(&state, &files, &query).await?;
        let (revision, in_force_from) = (set.number, set.in_force_from);
        Ok((
            StatusCode::OK,
            DeletedAnswer {
                name,
                revision,
                in_force_from,
            },
        ))
    };
    respond(&asked, &state, done.await)
}

fn respond(
    asked: &Negotiation,
    state: &WebState,
    done: Result<(StatusCode, impl Serialize), WebError>,
) -> Response {
    match done {
        Ok((status, answer)) => asked.json(state, status, Ok(answer)),
        Err(error) => asked.refuse(state, &error),
    }
}

/// Returns the set with its warnings, or all errors in it and in the written definition.
fn checked(
    files: &[DefinitionFile],
    own: Vec<Problem>,
) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
    match load(files) {
        Ok((catalog, warnings)) if own.is_empty() => Ok((catalog, warnings)),
        Ok((_, mut problems)) | Err(mut problems) => {
            problems.extend(own);
            Err(problems)
        }
    }
}

/// The warning that this installation does not judge what is written.
fn left_to_others(catalog: &Catalog, name: &Name, file: &DefinitionFile) -> Option<Problem> {
    let selector = catalog.selector.as_ref()?;
    let slo = catalog.other_slos.get(name)?;
    let message = format!(
        "the labels of `{name}` do not match `--slo-selector {selector}`: it is left to other installations"
    );
    (slo.source.file == file.path).then(|| Problem {
        severity: ProblemSeverity::Warning,
        ..Problem::of_file(&file.path, message, None)
    })
}

fn answer(
    set: Option<DefinitionSet>,
    name: &str,
    warnings: Option<Vec<Problem>>,
) -> Result<WrittenAnswer, WebError> {
    let unknown = || DefinitionError::Unknown {
        name: name.to_owned(),
    };
    let set = set.ok_or_else(unknown)?;
    let mut written = WrittenView::all(&set).into_iter();
    Ok(WrittenAnswer {
        written: written.find(|one| one.name == name).ok_or_else(unknown)?,
        revision: set.number,
        in_force_from: set.in_force_from,
        warnings,
    })
}

/// A change of the newest set, made under its lock.
struct DefinitionChange {
    tx: Tx<'static>,
    /// True if the caller sees all definitions.
    sees_all: bool,
    files: Vec<DefinitionFile>,
    /// True if the API wrote this name before.
    is_known: bool,
}

impl DefinitionChange {
    async fn begin(state: &WebState, headers: &HeaderMap, name: &str) -> Result<Self, WebError> {
        let mut tx = state.store.begin("write a definition").await?;
        let set = tx.lock_definitions().await?;
        let mut written = set.iter().flat_map(WrittenView::all);
        let known = written.find(|one| one.name == name);
        if known.as_ref().is_some_and(|known| !known.is_seen(state)) {
            return Err(AccessError::NameOfOthers(name.to_owned()).into());
        }
        if !is_expected(headers, known.as_ref()) {
            let name = name.to_owned();
            return Err(DefinitionError::Changed { name }.into());
        }
        Ok(Self {
            tx,
            sees_all: !state.is_restricted(),
            is_known: known.is_some(),
            files: set.map(|set| set.files).unwrap_or_default(),
        })
    }

    /// Returns the problems that the caller, who writes `file`, may see.
    fn own(&self, file: &DefinitionFile, mut problems: Vec<Problem>) -> Vec<Problem> {
        problems.retain(|problem| self.sees_all || problem.file == file.path);
        problems
    }

    /// Returns the set that is then active, or would be.
    async fn activate(
        mut self,
        state: &WebState,
        files: &[DefinitionFile],
        query: &WriteQuery,
    ) -> Result<DefinitionSet, WebError> {
        let now = state.clock.now();
        self.tx.put_definitions_in_force(files, now).await?;
        let set = self.tx.newest_definitions().await?;
        if !query.dry_run {
            self.tx.commit().await?;
        }
        Ok(set.unwrap_or_else(|| DefinitionSet {
            number: Revision::default(),
            in_force_from: now,
            files: files.to_vec(),
        }))
    }
}

/// Checks the preconditions of RFC 9110: the definition that the client has read, or that there is
/// none yet.
fn is_expected(headers: &HeaderMap, known: Option<&WrittenView>) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_match = text(header::IF_MATCH).is_none_or(|tags| match tags.trim() {
        "*" => known.is_some(),
        tags => {
            let mut tags = tags.split(',').map(str::trim);
            // A proxy that compresses makes the tag a weak one.
            known.is_some_and(|known| tags.any(|one| one.trim_start_matches("W/") == known.tag()))
        }
    });
    let is_none =
        text(header::IF_NONE_MATCH).is_none_or(|tags| tags.trim() != "*" || known.is_none());
    is_match && is_none
}
