//! What customers and workers wrote down, and what it makes of each piece of work.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tempfile::TempDir;
use throughline::domain::{model::counts::EventCounts, workflow::Outcome};

use super::WITHIN_SECS;

#[derive(Debug)]
pub(super) struct Journal {
    _home: TempDir,
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Line {
    work: String,
    kind: String,
    did: String,
    at: f64,
}

/// One piece of work by the word of who did it.
#[derive(Debug)]
pub(super) struct Work {
    kind: String,
    published_at: f64,
    pub(super) end: Option<(Ending, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Succeeded,
    Failed,
}

impl Journal {
    pub(super) fn create() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("journal");
        fs::write(&path, "").unwrap();
        Self { _home: home, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    pub(super) fn works(&self) -> BTreeMap<String, Work> {
        let mut works = BTreeMap::new();
        for line in self.text().lines() {
            let line: Line = serde_json::from_str(line).expect("a line of the journal");
            if line.did == "ready" {
                continue;
            }
            let work = works.entry(line.work).or_insert_with(|| Work {
                kind: line.kind,
                published_at: line.at,
                end: None,
            });
            let ending = match line.did.as_str() {
                "succeeded" => Ending::Succeeded,
                "failed" => Ending::Failed,
                _ => continue,
            };
            assert_eq!(work.end, None, "work ends once");
            work.end = Some((ending, line.at));
        }
        works
    }

    /// Every piece of work of a kind, in the order of their names, and what became of it.
    pub(super) fn verdicts(&self, kind: &str) -> Vec<(String, i16)> {
        let works = self.works().into_iter();
        works
            .filter(|(_, work)| work.kind == kind)
            .map(|(name, work)| (name, work.outcome().as_code()))
            .collect()
    }

    pub(super) fn counts(&self, kind: &str) -> EventCounts {
        let mut counts = EventCounts::ZERO;
        for work in self.works().values().filter(|work| work.kind == kind) {
            match work.outcome() {
                Outcome::Good => counts.good += 1,
                Outcome::Late => counts.late += 1,
                Outcome::Failed => counts.failed += 1,
                _ => counts.timeout += 1,
            }
        }
        counts
    }
}

impl Work {
    fn outcome(&self) -> Outcome {
        match self.end {
            None => Outcome::Timeout,
            Some((Ending::Failed, _)) => Outcome::Failed,
            Some((Ending::Succeeded, at)) if at - self.published_at <= WITHIN_SECS => Outcome::Good,
            Some((Ending::Succeeded, _)) => Outcome::Late,
        }
    }
}
