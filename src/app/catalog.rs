//! Loads the definitions, and loads them again whenever a file changes.
//!
//! The active definitions are a numbered set in the database, the same for all replicas. A replica
//! whose files are valid and differ from it activates them if more than half of the live replicas
//! read the same files, since old and new files exist side by side during a rollout. If any file is
//! invalid, nothing is applied and the previous set stays active, also at startup: alerts by the
//! previous definitions are better than no alerts. A set without any SLO, or with a file that
//! became empty, is refused in the same way until a person confirms it (`throughline definitions
//! clear`). What the API wrote is kept in every set, and checked together with the files. So is
//! `--slo-selector`, which replicas agree on as they do on files.

use std::{collections::BTreeMap, error::Error as _, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::definitions::{self, Definitions};
use crate::{
    config::DefinitionsConfig,
    domain::{
        model::{
            ids::{Name, Revision},
            time::Timestamp,
        },
        slo::{
            Catalog, SloRevision, SloRevisions,
            definition::{DefinitionFile, Problem, digest, emptied, has_files, load, with_written},
        },
        workflow::{classify::Classifier, watermark::ReplicaId},
    },
    store::{DefinitionSet, Store},
    telemetry::metrics::Metrics,
    web::{DefinitionsStatus, PendingFiles},
};

/// The active definitions and what is derived from them, as channels for the parts that use them.
#[derive(Clone, Debug)]
pub struct InForce {
    pub catalog: watch::Receiver<Arc<Catalog>>,
    pub classifier: watch::Receiver<Arc<Classifier>>,
    pub status: watch::Receiver<Arc<DefinitionsStatus>>,
}

#[derive(Debug)]
pub struct CatalogKeeper {
    config: DefinitionsConfig,
    store: Store,
    metrics: Metrics,
    replica: ReplicaId,
    /// The result of the last read, valid or not: as long as it is unchanged, there is nothing to
    /// do.
    seen: Option<Result<Definitions, String>>,
    /// Whether another replica's files were activated after those were read.
    is_superseded: bool,
    /// `None` before the first set is activated.
    in_force: Option<DefinitionSet>,
    /// The revisions of every SLO in the stored sets.
    revisions: BTreeMap<Name, SloRevisions>,
    catalog: watch::Sender<Arc<Catalog>>,
    classifier: watch::Sender<Arc<Classifier>>,
    status: watch::Sender<Arc<DefinitionsStatus>>,
}

/// The result of a check of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Unchanged,
    InForce { slos: usize },
    Refused { problems: usize },
}

/// The reason for activating the files of this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The files changed: they are activated once more than half of the replicas have the same.
    IfMostAgree,
    /// A person requested it.
    Requested,
}

/// What other replicas have activated since the last check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FollowedSets {
    Nothing,
    /// The same files, and something else that the API wrote.
    Written,
    Files,
}

/// Three heartbeats: a replica that has just died does not block the others for longer.
const ALIVE: Duration = Duration::from_secs(3);

/// The problem that a replica reports if another replica's files were activated after its own were
/// read.
const SUPERSEDED: &str = "the files or `--slo-selector` differ from the active definitions, which another \
                          replica activated: they are activated when they change, or on SIGHUP";

impl CatalogKeeper {
    pub fn new(
        config: DefinitionsConfig,
        store: Store,
        metrics: Metrics,
        replica: ReplicaId,
    ) -> (Self, InForce) {
        let (catalog, catalog_in_force) = watch::channel(Arc::default());
        let empty = Classifier::with_revisions(Revision::default(), BTreeMap::new());
        let (classifier, classifier_in_force) = watch::channel(Arc::new(empty));
        let status = DefinitionsStatus {
            folder: config.folder.display().to_string(),
            ..DefinitionsStatus::default()
        };
        let (status, status_in_force) = watch::channel(Arc::new(status));
        let keeper = Self {
            config,
            store,
            metrics,
            replica,
            seen: None,
            is_superseded: false,
            in_force: None,
            revisions: BTreeMap::new(),
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

    /// Performs the first check of the folder. Until its files are activated, the stored set is
    /// used.
    ///
    /// # Errors
    /// All problems, rendered, if the files have errors and there is no stored set.
    pub async fn start(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.look(now, Change::IfMostAgree).await?;
        if self.in_force.is_none() {
            let problems = self.problems().join("\n  ");
            anyhow::bail!(
                "the definitions in `{}` are refused, and there are none from an earlier run:\n  \
                 {problems}",
                self.config.folder.display()
            );
        }
        let problems = self.problems();
        for problem in &problems {
            tracing::error!("definitions are refused: {problem}");
        }
        if !problems.is_empty() {
            tracing::warn!("starting with the definitions that were active before");
        }
        Ok(())
    }

    /// Loads the sets that a service has activated, and reads no files.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn follow_service(&mut self) -> anyhow::Result<()> {
        self.follow().await.map(drop)
    }

    /// Loads sets that other replicas have activated, then reads the folder.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn look(&mut self, now: Timestamp, change: Change) -> anyhow::Result<Look> {
        let followed = self.follow().await?;
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || definitions::read_selected(&config)).await?;
        let found = read.map_err(|error| explain(&error));
        let is_known = self.seen.as_ref() == Some(&found);
        let is_requested = change == Change::Requested;
        let is_pending = self.status.borrow().pending.is_some();
        if is_known && followed == FollowedSets::Nothing && !is_requested && !is_pending {
            return Ok(Look::Unchanged);
        }
        // Otherwise replicas that still have old files would revert what a person has applied.
        let is_overtaken = self.is_superseded || followed == FollowedSets::Files;
        let has_in_force = |found: &Definitions| self.has_in_force(&found.files);
        self.is_superseded = is_known
            && is_overtaken
            && !is_requested
            && found.as_ref().is_ok_and(|found| !has_in_force(found));
        let look = match &found {
            Err(problem) => self.refuse(vec![problem.clone()], None),
            Ok(_) if self.is_superseded => self.refuse(vec![SUPERSEDED.to_owned()], None),
            Ok(definitions) => self.judge(definitions, now, change).await?,
        };
        let is_new = !is_known || matches!(look, Look::InForce { .. });
        self.seen = Some(found);
        Ok(if is_new { look } else { Look::Unchanged })
    }

    /// Validates files that were read and activates them if nothing prevents it.
    async fn judge(
        &mut self,
        definitions: &Definitions,
        now: Timestamp,
        change: Change,
    ) -> anyhow::Result<Look> {
        let (catalog, warnings) = match check(definitions, self.files_in_force()) {
            Ok(checked) => checked,
            Err(problems) => return Ok(self.refuse_invalid(&problems)),
        };
        self.find(&warnings);
        let files = &definitions.files;
        while !self.has_in_force(files) {
            if let Some((problems, pending)) = self.why_not(files, now, change).await? {
                return Ok(self.refuse(problems, Some(pending)));
            }
            for warning in &warnings {
                tracing::warn!("{}", line(warning));
            }
            self.warn_of_lost_targets(&catalog).await?;
            if let Err(problems) = self.bring_into_force(files, now).await? {
                return Ok(self.refuse_invalid(&problems));
            }
        }
        Ok(self.accept())
    }

    fn refuse_invalid(&self, problems: &[Problem]) -> Look {
        self.find(problems);
        let errors = problems.iter().filter(|problem| problem.is_error());
        self.refuse(errors.map(line).collect(), None)
    }

    async fn warn_of_lost_targets(&self, catalog: &Catalog) -> anyhow::Result<()> {
        let before = Arc::clone(&*self.catalog.borrow());
        let mut tx = self.store.begin("find alerts of removed targets").await?;
        for target in catalog.lost_targets(&before) {
            for slo in tx.firing_at(target).await? {
                tracing::warn!(
                    notify.target = %target, slo.name = %slo,
                    "target `{target}` is removed while `{slo}` fires there, and is not notified when the \
                     alert resolves: if another target takes its place, write `previousName: {target}` there"
                );
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Activates the files together with what the API wrote, some of which may be newer than what
    /// was checked.
    async fn bring_into_force(
        &mut self,
        files: &[DefinitionFile],
        now: Timestamp,
    ) -> anyhow::Result<Result<(), Vec<Problem>>> {
        let mut tx = self.store.begin("activate definitions").await?;
        let newest = tx.lock_definitions().await?;
        let before = newest.map(|set| set.files).unwrap_or_default();
        let all = with_written(files, &before);
        if let Err(problems) = load(&all) {
            return Ok(Err(problems));
        }
        tx.put_definitions_in_force(&all, now).await?;
        tx.commit().await?;
        self.follow().await?;
        Ok(Ok(()))
    }

    /// Returns why valid files must not be activated; `None` if they may.
    async fn why_not(
        &self,
        files: &[DefinitionFile],
        now: Timestamp,
        change: Change,
    ) -> anyhow::Result<Option<(Vec<String>, PendingFiles)>> {
        let Some(before) = &self.in_force else {
            return Ok(None);
        };
        let losses = emptied(&before.files, &with_written(files, &before.files));
        if !losses.is_empty() {
            return Ok(Some((losses, PendingFiles::Clear(files.into()))));
        }
        if change == Change::Requested {
            return Ok(None);
        }
        let mut tx = self.store.begin("compare the files of replicas").await?;
        let others = tx
            .replicas_with(self.replica, digest(files), now - ALIVE)
            .await?;
        tx.commit().await?;
        let (same, all) = (others.same + 1, others.all + 1);
        Ok((same * 2 <= all).then(|| {
            let problem = format!(
                "the files or `--slo-selector` differ from the active definitions: {same} of {all} \
                 replicas have them, and they are activated when more than half do, or by `throughline definitions apply`"
            );
            (vec![problem], PendingFiles::Apply(files.into()))
        }))
    }

    fn has_in_force(&self, files: &[DefinitionFile]) -> bool {
        let set = self.in_force.as_ref();
        set.is_some_and(|set| has_files(&set.files, files))
    }

    fn files_in_force(&self) -> &[DefinitionFile] {
        self.in_force.as_ref().map_or(&[], |set| &set.files)
    }

    /// Loads sets that were activated since the last check.
    async fn follow(&mut self) -> anyhow::Result<FollowedSets> {
        let known = self.in_force.as_ref().map(|set| set.number);
        let mut tx = self.store.begin("read new definitions").await?;
        let new_sets = tx.definition_sets_after(known.unwrap_or_default()).await?;
        let mut revisions = self.revisions.clone();
        let mut newest = None;
        let mut before = Arc::clone(&*self.catalog.borrow());
        for set in new_sets {
            // A set that an earlier version accepted may be invalid for this one: it is skipped.
            match load(&set.files) {
                Ok((catalog, _)) => {
                    before = Arc::new(catalog.after(&before));
                    add(&mut revisions, &set, &before);
                    newest = Some((set, Arc::clone(&before)));
                }
                Err(problems) => {
                    let problem = problems.first().map(line).unwrap_or_default();
                    tracing::error!(set = set.number.0, "cannot use definitions: {problem}");
                }
            }
        }
        let Some((set, catalog)) = newest else {
            tx.commit().await?;
            return Ok(FollowedSets::Nothing);
        };
        let names: Vec<_> = catalog.slos.keys().cloned().collect();
        let ids = tx.declare(&names).await?;
        tx.declare_groups(&catalog.groupings(&ids)).await?;
        tx.declare_finishes(&catalog.finishes(&ids), set.in_force_from)
            .await?;
        tx.commit().await?;
        let of_slo = |(name, id)| Some((id, revisions.get(&name)?.clone()));
        let by_id = ids.into_iter().filter_map(of_slo).collect();
        self.status
            .send_modify(|status| Arc::make_mut(status).loaded_at = Some(set.in_force_from));
        self.classifier
            .send_replace(Arc::new(Classifier::with_revisions(set.number, by_id)));
        self.catalog.send_replace(catalog);
        let has_same_files = has_files(self.files_in_force(), &set.files);
        let is_first = self.in_force.is_none();
        (self.in_force, self.revisions) = (Some(set), revisions);
        Ok(if has_same_files && !is_first {
            FollowedSets::Written
        } else {
            FollowedSets::Files
        })
    }

    fn accept(&self) -> Look {
        self.note(Vec::new(), None);
        self.metrics.definitions_last_reload_successful.set(1.0);
        let catalog = self.catalog.borrow();
        let slos = catalog.slos.len();
        match &catalog.selector {
            None => tracing::info!(slos, "definitions are active"),
            Some(selector) => tracing::info!(
                slos,
                other_slos = catalog.other_slos.len(),
                "definitions are active: `--slo-selector {selector}` leaves the other SLOs to other installations"
            ),
        }
        Look::InForce { slos }
    }

    fn refuse(&self, problems: Vec<String>, pending: Option<PendingFiles>) -> Look {
        let count = problems.len();
        self.note(problems, pending);
        self.metrics.definitions_last_reload_successful.set(0.0);
        Look::Refused { problems: count }
    }

    /// Stores the problems that `throughline validate` would print.
    fn find(&self, problems: &[Problem]) {
        self.status
            .send_modify(|status| Arc::make_mut(status).findings = problems.to_vec());
    }

    fn note(&self, problems: Vec<String>, pending: Option<PendingFiles>) {
        self.status.send_modify(|status| {
            let status = Arc::make_mut(status);
            (status.problems, status.pending) = (problems, pending);
        });
    }

    /// Returns why the files are refused, one line per problem; empty if they are active.
    pub fn problems(&self) -> Vec<String> {
        self.status.borrow().problems.clone()
    }
}

/// Adds the SLOs of `set` to the revisions of every SLO, and removes revisions that are no longer
/// stored.
fn add(revisions: &mut BTreeMap<Name, SloRevisions>, set: &DefinitionSet, catalog: &Catalog) {
    for name in catalog.slos.keys() {
        revisions.entry(name.clone()).or_default();
    }
    for (name, of_slo) in &mut *revisions {
        of_slo.push(SloRevision {
            number: set.number,
            in_force_from: set.in_force_from,
            slo: catalog.slos.get(name).cloned(),
        });
        of_slo.forget_before(set.oldest_kept());
    }
    revisions.retain(|_, of_slo| of_slo.oldest().is_some());
}

fn explain(error: &definitions::ReadError) -> String {
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    format!("{error}{cause}; name another folder with `--definitions`")
}

/// Validates the files together with what the API wrote; a file that could not be read is also a
/// problem.
fn check(
    found: &Definitions,
    in_force: &[DefinitionFile],
) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
    let all = with_written(&found.files, in_force);
    match (load(&all), found.problems.as_slice()) {
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
