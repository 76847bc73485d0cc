//! Keeps the definitions in force: reads their folder, and again whenever a file changes.
//!
//! A set with an error is refused whole and the old one stays in force; it is also what the service
//! starts with if the files have errors then, since alerts for yesterday's promises are better than
//! none. A set without any SLO, or with a file that became empty, is refused in the same way until
//! somebody confirms it (`throughline definitions clear`), which writes it to the database: what all
//! replicas accepted last is what the files are compared with.

use std::{error::Error as _, path::PathBuf, sync::Arc};

use tokio::sync::watch;

use super::definitions::{self, Definitions};
use crate::{
    domain::{
        model::time::Timestamp,
        slo::{
            Catalog,
            definition::{DefinitionFile, Problem, emptied, load},
        },
        workflow::classify::Classifier,
    },
    store::Store,
    telemetry::metrics::Metrics,
    web::DefinitionsStatus,
};

/// What follows from the definitions, for whoever works by them.
#[derive(Clone, Debug)]
pub struct InForce {
    pub catalog: watch::Receiver<Arc<Catalog>>,
    pub classifier: watch::Receiver<Arc<Classifier>>,
    pub status: watch::Receiver<Arc<DefinitionsStatus>>,
}

#[derive(Debug)]
pub struct CatalogKeeper {
    folder: PathBuf,
    store: Store,
    metrics: Metrics,
    /// What was read last, with errors or without: nothing is done while it stays the same.
    seen: Option<Result<Definitions, String>>,
    catalog: watch::Sender<Arc<Catalog>>,
    classifier: watch::Sender<Arc<Classifier>>,
    status: watch::Sender<Arc<DefinitionsStatus>>,
}

/// How a look at the folder went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Unchanged,
    InForce { slos: usize },
    Refused { problems: usize },
}

/// Whether the files were the same at the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Before,
    Never,
}

impl CatalogKeeper {
    pub fn new(folder: PathBuf, store: Store, metrics: Metrics) -> (Self, InForce) {
        let (catalog, catalog_in_force) = watch::channel(Arc::default());
        let empty = Classifier::new(&Catalog::default(), &std::collections::BTreeMap::new());
        let (classifier, classifier_in_force) = watch::channel(Arc::new(empty));
        let status = DefinitionsStatus {
            folder: folder.display().to_string(),
            ..DefinitionsStatus::default()
        };
        let (status, status_in_force) = watch::channel(Arc::new(status));
        let keeper = Self {
            folder,
            store,
            metrics,
            seen: None,
            catalog,
            classifier,
            status,
        };
        let in_force = InForce {
            catalog: catalog_in_force,
            classifier: classifier_in_force,
            status: status_in_force,
        };
        (keeper, in_force)
    }

    /// The first look. If the files have errors, the last good ones come into force instead.
    ///
    /// # Errors
    /// If there are no last good ones either: all problems, rendered.
    pub async fn start(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if !matches!(self.look(now).await?, Look::Refused { .. }) {
            return Ok(());
        }
        let mut tx = self.store.begin("read the last good definitions").await?;
        let kept = tx.kept_definitions().await?;
        tx.commit().await?;
        let kept = kept.and_then(|(files, loaded_at)| Some((load(&files).ok()?.0, loaded_at)));
        let Some((catalog, loaded_at)) = kept else {
            let problems = self.problems().join("\n  ");
            anyhow::bail!(
                "the definitions in `{}` are refused, and there are none from an earlier run:\n  \
                 {problems}",
                self.folder.display()
            );
        };
        for problem in self.problems() {
            tracing::error!("definitions are refused: {problem}");
        }
        tracing::warn!("starting with the last definitions that had no errors");
        self.bring_into_force(catalog).await?;
        self.status
            .send_modify(|status| Arc::make_mut(status).loaded_at = Some(loaded_at));
        Ok(())
    }

    /// Reads the folder and brings it into force if it has changed and has no errors.
    pub async fn look(&mut self, now: Timestamp) -> anyhow::Result<Look> {
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || definitions::read(&folder)).await?;
        let found = read.map_err(|error| explain(&error));
        let seen = if self.seen.as_ref() == Some(&found) {
            Seen::Before
        } else {
            Seen::Never
        };
        if seen == Seen::Before && self.status.borrow().awaiting_clear.is_none() {
            return Ok(Look::Unchanged);
        }
        let look = match &found {
            Err(problem) => self.refuse(vec![problem.clone()], None),
            Ok(definitions) => self.judge(definitions, seen, now).await?,
        };
        self.seen = Some(found);
        Ok(look)
    }

    /// What is to be done with files that were read. If they have been seen before, they wait to be
    /// cleared.
    async fn judge(
        &self,
        definitions: &Definitions,
        seen: Seen,
        now: Timestamp,
    ) -> anyhow::Result<Look> {
        let (catalog, warnings) = match check(definitions) {
            Ok(loaded) => loaded,
            Err(problems) => {
                let errors = problems.iter().filter(|problem| problem.is_error());
                return Ok(self.refuse(errors.map(line).collect(), None));
            }
        };
        let losses = self.losses(&definitions.files).await?;
        if losses.is_empty() {
            for warning in &warnings {
                tracing::warn!("{}", line(warning));
            }
            return self.accept(catalog, &definitions.files, now).await;
        }
        if seen == Seen::Before {
            return Ok(Look::Unchanged);
        }
        Ok(self.refuse(losses, Some(definitions.files.as_slice().into())))
    }

    /// What of the last accepted set would go without anybody having asked for it.
    async fn losses(&self, files: &[DefinitionFile]) -> anyhow::Result<Vec<String>> {
        let mut tx = self
            .store
            .begin("compare with the last definitions")
            .await?;
        let kept = tx.kept_definitions().await?;
        tx.commit().await?;
        Ok(kept.map_or_else(Vec::new, |(before, _)| emptied(&before, files)))
    }

    async fn accept(
        &self,
        catalog: Catalog,
        files: &[DefinitionFile],
        now: Timestamp,
    ) -> anyhow::Result<Look> {
        let slos = catalog.slos.len();
        self.bring_into_force(catalog).await?;
        let mut tx = self.store.begin("keep the definitions").await?;
        tx.keep_definitions(files, now).await?;
        tx.commit().await?;
        self.status.send_modify(|status| {
            let status = Arc::make_mut(status);
            status.loaded_at = Some(now);
            status.problems.clear();
            status.awaiting_clear = None;
        });
        self.metrics.definitions_last_reload_successful.set(1.0);
        tracing::info!(slos, "definitions are in force");
        Ok(Look::InForce { slos })
    }

    async fn bring_into_force(&self, catalog: Catalog) -> anyhow::Result<()> {
        let names: Vec<_> = catalog.slos.keys().cloned().collect();
        let mut tx = self.store.begin("declare the SLOs").await?;
        let ids = tx.declare(&names).await?;
        tx.declare_groups(&catalog.groupings(&ids)).await?;
        tx.commit().await?;
        self.classifier
            .send_replace(Arc::new(Classifier::new(&catalog, &ids)));
        self.catalog.send_replace(Arc::new(catalog));
        Ok(())
    }

    /// `valid` has the files if they are refused only for what they would take away.
    fn refuse(&self, problems: Vec<String>, valid: Option<Arc<[DefinitionFile]>>) -> Look {
        let count = problems.len();
        self.status.send_modify(|status| {
            let status = Arc::make_mut(status);
            status.problems = problems;
            status.awaiting_clear = valid;
        });
        self.metrics.definitions_last_reload_successful.set(0.0);
        Look::Refused { problems: count }
    }

    /// Why the files are refused, a line each; empty if they are in force.
    pub fn problems(&self) -> Vec<String> {
        self.status.borrow().problems.clone()
    }
}

fn explain(error: &definitions::ReadError) -> String {
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    format!("{error}{cause}; name another folder with `--definitions`")
}

/// Files that could not be read are problems like those of what was read.
fn check(found: &Definitions) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
    match (load(&found.files), found.problems.as_slice()) {
        (Ok(loaded), []) => Ok(loaded),
        (Ok(_), unread) => Err(unread.to_vec()),
        (Err(problems), unread) => Err([unread, &problems].concat()),
    }
}

fn line(problem: &Problem) -> String {
    let Problem {
        file,
        line,
        column,
        message,
        ..
    } = problem;
    let help = problem
        .help
        .as_deref()
        .map(|help| format!(": {help}"))
        .unwrap_or_default();
    format!("{file}:{line}:{column} {message}{help}")
}
