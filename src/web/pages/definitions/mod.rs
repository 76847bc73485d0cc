//! `/definitions`: what is declared, in which file, and the problems of the files. Through the API
//! a user can confirm that files without any SLO are intended, and write definitions that are in no
//! file ([`written`]).

mod declared;
mod error;
mod written;

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{exclusions::ExclusionView, targets::kind_text};
use crate::{
    domain::{
        model::{format, ids::Name, time::Timestamp},
        slo::definition::{DefinitionFile, load, with_written},
    },
    store::DefinitionSet,
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        reader::times,
        state::{DefinitionsStatus, PendingFiles, WebState},
        write::body::ParsedBody,
    },
};
use declared::{DeclaredSlo, ProblemView};
pub(in crate::web) use error::DefinitionError;
use written::WrittenView;
pub(in crate::web) use written::{DeletedAnswer, WrittenAnswer};
pub(crate) use written::{WriteQuery, delete, one, put};

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct DefinitionsView {
    folder: String,
    loaded_at: Option<Timestamp>,
    problems: Vec<String>,
    /// Errors and warnings in the files, as `throughline validate` reports them.
    findings: Vec<ProblemView>,
    slos: Vec<DeclaredSlo>,
    /// Which SLOs are judged here, as in `--slo-selector`; `null` if all.
    slo_selector: Option<String>,
    /// Names of the SLOs that are left to other installations.
    other_slos: Vec<Name>,
    /// The definitions that the API wrote.
    written: Vec<WrittenView>,
    targets: Vec<DeclaredTarget>,
}

/// Without addresses and keys, which may be secrets.
#[derive(Debug, JsonSchema, Serialize)]
struct DeclaredTarget {
    name: Name,
    kind: &'static str,
}

pub(crate) async fn get(asked: Negotiation, state: WebState) -> Response {
    let view = view(&state).await;
    asked.reply(&state, view, |view| {
        let mut layout = Layout::new(&state, Section::Definitions, "Definitions · Throughline");
        layout.json = Some("/api/v1/definitions".to_owned());
        DefinitionsPage {
            layout,
            now: state.clock.now(),
            view,
        }
    })
}

/// An empty object: there is nothing to choose.
#[derive(Debug, Default, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyRequest {}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct ApplyResponse {
    /// The files that every replica activates within a second.
    files: Vec<String>,
}

/// Accepts files that are refused because they remove active definitions.
pub(crate) async fn clear(
    asked: Negotiation,
    state: WebState,
    written: ParsedBody<ApplyRequest>,
) -> Response {
    let status = Arc::clone(&state.definitions.borrow());
    let files = match &status.pending {
        Some(PendingFiles::Clear(files)) => Ok(&**files),
        Some(PendingFiles::Apply(_)) | None => {
            let reason = why_not_cleared(&status, state.catalog.borrow().slos.len());
            Err(WebError::NothingToClear(reason))
        }
    };
    respond(
        &asked,
        &state,
        bring_into_force(&state, &written, files).await,
    )
}

/// Activates the files of this replica, although most replicas have others.
pub(crate) async fn apply(
    asked: Negotiation,
    state: WebState,
    written: ParsedBody<ApplyRequest>,
) -> Response {
    let status = Arc::clone(&state.definitions.borrow());
    let files = match &status.pending {
        Some(PendingFiles::Apply(files)) => Ok(&**files),
        Some(PendingFiles::Clear(_)) | None => {
            Err(WebError::NothingToApply(why_not_applied(&status)))
        }
    };
    respond(
        &asked,
        &state,
        bring_into_force(&state, &written, files).await,
    )
}

fn respond(asked: &Negotiation, state: &WebState, answer: Result<Value, WebError>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => asked.refuse(state, &error),
    }
}

async fn bring_into_force(
    state: &WebState,
    written: &ParsedBody<ApplyRequest>,
    files: Result<&[DefinitionFile], WebError>,
) -> Result<Value, WebError> {
    let now = state.clock.now();
    let mut tx = state.store.begin("bring definitions into force").await?;
    if let Some(answer) = written.once.answered(&mut tx, now).await? {
        return Ok(answer);
    }
    let files = files?;
    let newest = tx.lock_definitions().await?;
    let before = newest.map(|set| set.files).unwrap_or_default();
    let all = with_written(files, &before);
    load(&all).map_err(DefinitionError::NotValid)?;
    tx.put_definitions_in_force(&all, now).await?;
    let files = files.iter().map(|file| file.path.clone()).collect();
    let answer = serde_json::to_value(ApplyResponse { files }).unwrap_or_default();
    written.once.keep(&mut tx, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

fn why_not_applied(status: &DefinitionsStatus) -> String {
    let folder = &status.folder;
    if status.problems.is_empty() {
        format!("the files in `{folder}` are in force")
    } else {
        format!(
            "the files in `{folder}` have errors, or would remove definitions that are in force"
        )
    }
}

fn why_not_cleared(status: &DefinitionsStatus, slos: usize) -> String {
    let folder = &status.folder;
    match (slos, status.problems.len()) {
        (_, 1..) => format!("the files in `{folder}` have errors"),
        (0, 0) => "no SLO is in force".to_owned(),
        (1.., 0) => format!("the files in `{folder}` declare SLOs"),
    }
}

async fn view(state: &WebState) -> Result<DefinitionsView, WebError> {
    let catalog = Arc::clone(&state.catalog.borrow());
    let status = Arc::clone(&state.definitions.borrow());
    let now = state.clock.now();
    let slos = catalog.slos.values();
    let slos = slos.map(|slo| DeclaredSlo::new(slo, now));
    let targets = catalog.targets.values().map(|target| DeclaredTarget {
        name: target.name.clone(),
        kind: kind_text(&target.kind),
    });
    let mut tx = state.reads().begin("read the definitions").await?;
    let set: Option<DefinitionSet> = tx.newest_definitions().await?;
    drop(tx);
    let mut written = set.map(|set| WrittenView::all(&set)).unwrap_or_default();
    written.retain(|one| one.is_seen(state));
    Ok(DefinitionsView {
        folder: status.folder.clone(),
        loaded_at: status.loaded_at,
        problems: status.problems.clone(),
        findings: status.findings.iter().cloned().map(ProblemView).collect(),
        slos: slos.collect(),
        slo_selector: catalog.selector.as_ref().map(ToString::to_string),
        other_slos: catalog.other_slos.keys().cloned().collect(),
        written,
        targets: targets.collect(),
    })
}

#[derive(Template)]
#[template(path = "definitions.html", config = "src/web/askama.toml")]
struct DefinitionsPage {
    layout: Layout,
    now: Timestamp,
    view: DefinitionsView,
}

impl DefinitionsPage {
    fn time_text(&self, exclusion: &ExclusionView) -> String {
        exclusion.time_text(self.now)
    }

    fn others_text(&self) -> String {
        let others = i64::try_from(self.view.other_slos.len()).unwrap_or(i64::MAX);
        format::counted(others, "SLO")
    }

    fn loaded_text(&self) -> String {
        self.view.loaded_at.map_or_else(
            || "not read yet".to_owned(),
            |at| {
                format!(
                    "in force since {} {}",
                    times::moment_in_words(at, self.now),
                    times::zone_after(at)
                )
            },
        )
    }
}
