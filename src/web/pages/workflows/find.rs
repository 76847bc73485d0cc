//! Executes a search: reads candidates from one index after another, and keeps those that meet all
//! conditions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    FoundView,
    query::{SearchCursor, WorkflowSearch},
};
use crate::{
    domain::{
        model::{
            ids::{Name, SloId},
            time::{TimeRange, Timestamp},
        },
        slo::Slo,
        workflow::{
            Outcome,
            search::{FilteredWorkflow, WorkflowFilter},
        },
    },
    store::{SearchBy, SearchCandidate, SearchPosition, StoreError, Tx, WorkflowRecord},
    web::{
        error::WebError,
        pages::slo::{OwnStages, WorkflowView, of_workflows},
        state::WebState,
    },
};

/// The maximum number of candidates per request, for filters that reject most: about 50 ms of
/// reading at ten million workflows. The next request continues.
const MOST_CANDIDATES: usize = 250;
/// The maximum time from the start of a workflow to its verdict.
const LONGEST: Duration = Duration::from_hours(24 * 400);
/// The maximum number of candidates whose stage is computed, which is the slowest part.
const MOST_STAGES: usize = 100;
/// The minimum number of candidates per statement.
const LEAST_CHUNK: usize = 50;

/// The workflows that were found, and the position to continue from.
#[derive(Debug)]
pub(in crate::web::pages) struct FoundWorkflows {
    pub(in crate::web::pages) workflows: Vec<FoundView>,
    pub(in crate::web::pages) next: Option<String>,
}

pub(in crate::web::pages) async fn find(
    tx: &mut Tx<'_>,
    state: &WebState,
    search: &WorkflowSearch,
) -> Result<FoundWorkflows, WebError> {
    let names: BTreeMap<SloId, Name> = tx
        .slos()
        .await?
        .into_iter()
        .filter(|record| state.sees(&record.name))
        .map(|record| (record.id, record.name))
        .collect();
    let mut finder = Finder {
        state,
        search,
        filter: filter(search, &names)?,
        names,
        now: state.clock.now(),
        seen: BTreeSet::new(),
        left: match search.stage {
            Some(_) => MOST_STAGES,
            None => MOST_CANDIDATES,
        }
        .max(search.rows + 1),
        found: FoundWorkflows {
            workflows: Vec::new(),
            next: None,
        },
    };
    finder.run(tx).await?;
    Ok(finder.found)
}

fn filter(
    search: &WorkflowSearch,
    names: &BTreeMap<SloId, Name>,
) -> Result<WorkflowFilter, WebError> {
    let is_meant = |name: &Name| search.slo.as_ref().is_none_or(|slo| slo == name);
    let slos = names.iter().filter(|(_, name)| is_meant(name));
    let slos: Vec<SloId> = slos.map(|(id, _)| *id).collect();
    match &search.slo {
        Some(slo) if slos.is_empty() => Err(WebError::NoSuchSlo {
            name: slo.to_string(),
            did_you_mean: None,
        }),
        _ => Ok(WorkflowFilter {
            slos,
            outcomes: match (&search.stage, search.outcomes.is_empty()) {
                // Only an open workflow is in a stage.
                (Some(_), true) => vec![Outcome::Open],
                _ => search.outcomes.clone(),
            },
            started: search.has_range.then_some(search.started),
            least_seconds: search.least_seconds,
            most_seconds: search.most_seconds,
        }),
    }
}

struct Finder<'a> {
    state: &'a WebState,
    search: &'a WorkflowSearch,
    filter: WorkflowFilter,
    names: BTreeMap<SloId, Name>,
    now: Timestamp,
    /// Prevents duplicates: a workflow may be found in several ways.
    seen: BTreeSet<(SloId, [u8; 16])>,
    /// The number of candidates that may still be examined.
    left: usize,
    found: FoundWorkflows,
}

impl Finder<'_> {
    async fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let begin = self.search.after.as_ref().map_or(0, |after| after.way);
        let mut after = self.search.after.clone().map(|after| after.position);
        for (way, by) in self.ways().iter().enumerate().skip(begin) {
            let stopped_after = if self.is_full() || self.left == 0 {
                Some(by.beginning())
            } else {
                self.follow(tx, by, after.take()).await?
            };
            if let Some(position) = stopped_after {
                self.found.next = Some(SearchCursor { way, position }.text());
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads candidates in one way. Returns the position of the last one if the response is full,
    /// or if no more may be examined.
    async fn follow(
        &mut self,
        tx: &mut Tx<'_>,
        by: &SearchBy,
        mut after: Option<SearchPosition>,
    ) -> Result<Option<SearchPosition>, StoreError> {
        loop {
            let limit = self.left.min(self.search.rows.max(LEAST_CHUNK) + 1);
            let size = u32::try_from(limit).unwrap_or(u32::MAX);
            let chunk = tx.search_candidates(by, after.as_ref(), size).await?;
            let is_last = chunk.len() < limit;
            self.left -= chunk.len();
            let stages = self.stages(tx, &chunk).await?;
            let looked_at = chunk.len();
            let mut chunk = chunk.into_iter();
            while !self.is_full()
                && let Some(candidate) = chunk.next()
            {
                after = Some(candidate.position.clone());
                self.take(candidate, by, &stages);
            }
            let is_stopped = chunk.len() > 0 || (self.left == 0 && looked_at == limit);
            match (is_stopped, is_last) {
                (true, _) => return Ok(after),
                (false, true) => return Ok(None),
                (false, false) => {}
            }
        }
    }

    const fn is_full(&self) -> bool {
        self.found.workflows.len() == self.search.rows
    }

    /// Returns the ways to find what is requested, the most selective first.
    fn ways(&self) -> Vec<SearchBy> {
        let (slos, range) = (self.filter.slos.clone(), self.search.started);
        if let Some(text) = &self.search.text {
            let trace = text.trace_prefix().map(|_| SearchBy::Trace(text.clone()));
            let customer = SearchBy::Customer(text.as_str().to_owned());
            let all = [Some(SearchBy::Label(text.clone())), trace, Some(customer)];
            return all.into_iter().flatten().collect();
        }
        if let Some(customer) = &self.search.customer {
            return vec![SearchBy::Customer(customer.clone())];
        }
        let outcomes = &self.filter.outcomes;
        vec![match outcomes.as_slice() {
            [Outcome::Open] => SearchBy::Open(slos, range),
            [] => SearchBy::Recent(slos, range),
            bad if bad.iter().all(|outcome| outcome.is_bad()) => {
                // A workflow that was judged in the range may have started before it, but not after
                // it.
                let judged = TimeRange::new(range.from, self.now.max(range.to) + LONGEST);
                SearchBy::Bad(slos, judged)
            }
            _ => SearchBy::Recent(slos, range),
        }]
    }

    /// Returns the stages of the open workflows among the candidates.
    async fn stages(
        &self,
        tx: &mut Tx<'_>,
        chunk: &[SearchCandidate],
    ) -> Result<BTreeMap<(SloId, [u8; 16]), OwnStages>, StoreError> {
        let mut open: BTreeMap<SloId, Vec<&WorkflowRecord>> = BTreeMap::new();
        for candidate in chunk {
            let record = candidate.record.as_ref();
            let record = record.filter(|record| record.outcome == Outcome::Open);
            if let Some(record) = record {
                open.entry(candidate.position.slo).or_default().push(record);
            }
        }
        let mut all = BTreeMap::new();
        for (id, records) in open {
            let Some(slo) = self.slo(id) else { continue };
            let own = of_workflows(tx, id, &slo, records.into_iter(), self.now).await?;
            all.extend(own.into_iter().map(|(key, stages)| ((id, key.0), stages)));
        }
        Ok(all)
    }

    fn slo(&self, id: SloId) -> Option<Arc<Slo>> {
        let name = self.names.get(&id)?;
        self.state.catalog.borrow().slos.get(name).cloned()
    }

    fn take(
        &mut self,
        candidate: SearchCandidate,
        by: &SearchBy,
        stages: &BTreeMap<(SloId, [u8; 16]), OwnStages>,
    ) {
        let id = candidate.position.slo;
        let (Some(record), Some(name)) = (candidate.record, self.names.get(&id)) else {
            return;
        };
        // Who sees pseudonyms finds nothing by a name.
        let record = self.state.shown(name, record);
        if !self.is_meant(&record, id, by) {
            return;
        }
        let own = stages.get(&(id, record.key.0)).cloned().unwrap_or_default();
        if self.search.stage.is_some() && !own.is_in(self.search.stage.as_deref()) {
            return;
        }
        if self.seen.insert((id, record.key.0)) {
            let viewers = &self.state.trace_viewers;
            self.found.workflows.push(FoundView {
                slo: name.clone(),
                workflow: WorkflowView::new(record, own, name, viewers, self.now),
            });
        }
    }

    /// Checks all conditions: candidates match only some of them, and as of the time when they were
    /// indexed.
    fn is_meant(&self, record: &WorkflowRecord, slo: SloId, by: &SearchBy) -> bool {
        let is_customer = |name: &str| record.customer.as_deref() == Some(name);
        let is_found = match by {
            SearchBy::Label(text) => text.is_beginning_of(&record.label),
            SearchBy::Trace(text) => text.is_beginning_of_trace(record.trace_id),
            SearchBy::Customer(name) => is_customer(name),
            SearchBy::Recent(..) | SearchBy::Bad(..) | SearchBy::Open(..) => true,
        };
        let of_customer = self.search.customer.as_deref().is_none_or(is_customer);
        let seconds = record.took_secs(self.now);
        is_found
            && of_customer
            && self.filter.holds_for(FilteredWorkflow {
                slo,
                outcome: record.outcome,
                started_at: record.started_at,
                seconds,
            })
    }
}
