//! Reads the history of an SLO: sums of its periods, the definitions of that time, and incidents.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    MOST_PERIODS,
    view::{HistoryView, IncidentCost, PeriodRow},
};
use crate::{
    domain::{
        alerting::alert::TransitionKind,
        model::{
            ids::{Name, Revision, SloId},
            time::{TimeRange, Timestamp},
            window::{Calendar, CalendarUnit, SloWindow},
        },
        slo::Slo,
    },
    store::{StoreError, TransitionsOf, Tx},
    web::{error::WebError, reader::parse_set, state::WebState},
};

/// The maximum number of examined transitions; an incident has only a few.
const MOST_TRANSITIONS: u32 = 5_000;
/// The maximum number of sets of definitions that are read for their objectives.
const MOST_SETS: usize = 8;

pub(super) async fn view(
    state: &WebState,
    slo: &Slo,
    by: CalendarUnit,
    before: Option<Timestamp>,
) -> Result<HistoryView, WebError> {
    let now = state.clock.now();
    let mut tx = state.reads().begin("read the history of an SLO").await?;
    let record = tx.slo(&slo.name).await?;
    let first = record.as_ref().and_then(|record| record.first_event_at);
    let newest = before.map_or(now, |before| before.min(now));
    let mut periods = first.map_or_else(Vec::new, |first| periods(by, newest, first));
    let has_more = periods.len() > MOST_PERIODS;
    periods.truncate(MOST_PERIODS);
    let mut rows = Vec::new();
    if let (Some(record), Some(oldest)) = (record, periods.last()) {
        rows = counted(&mut tx, record.id, slo, &periods).await?;
        let mut earlier = EarlierDefinitions::read(&mut tx).await?;
        for row in &mut rows {
            earlier.name(&mut tx, &slo.name, row).await?;
        }
        let range = TimeRange::new(oldest.from, newest);
        for (_, incident) in incidents(&mut tx, Some(record.id), range, now).await? {
            let within = |row: &&mut PeriodRow| (row.from..row.to).contains(&incident.fired_at);
            if let Some(row) = rows.iter_mut().find(within) {
                row.incidents.push(incident);
            }
        }
    }
    Ok(HistoryView {
        as_of: now,
        slo: slo.name.clone(),
        display_name: slo.display_name.clone(),
        by,
        next: rows.last().filter(|_| has_more).map(|row| row.from),
        periods: rows,
    })
}

/// Returns the periods that begin before `newest` and end after `first`, newest first: one more
/// than the page shows.
fn periods(by: CalendarUnit, newest: Timestamp, first: Timestamp) -> Vec<TimeRange> {
    let calendar = SloWindow::Calendar(Calendar {
        unit: by,
        zone: chrono_tz::UTC,
    });
    let before = |at: Timestamp| {
        let last = Timestamp::from_micros(at.as_micros().saturating_sub(1));
        calendar.period(last)
    };
    let all = std::iter::successors(before(newest), |period| before(period.from));
    all.take_while(|period| period.to > first)
        .take(MOST_PERIODS + 1)
        .collect()
}

async fn counted(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    periods: &[TimeRange],
) -> Result<Vec<PeriodRow>, StoreError> {
    let sets = periods.iter().map(|period| (id, slo.counted(*period)));
    let sums = tx.sums_of_sets(&sets.collect::<Vec<_>>()).await?;
    let objective = slo.objective.ratio();
    let rows = periods.iter().zip(&sums);
    Ok(rows
        .map(|(period, counts)| PeriodRow::new(*period, counts, objective))
        .collect())
}

/// Earlier definitions; each set is read once.
pub(in crate::web::pages) struct EarlierDefinitions {
    times: Vec<(Revision, Timestamp)>,
    objectives: BTreeMap<Revision, BTreeMap<Name, f64>>,
}

impl EarlierDefinitions {
    pub(in crate::web::pages) async fn read(tx: &mut Tx<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            times: tx.definition_times().await?,
            objectives: BTreeMap::new(),
        })
    }

    /// Replaces the objective of a row by that of the definitions that were active at its end.
    pub(in crate::web::pages) async fn name(
        &mut self,
        tx: &mut Tx<'_>,
        slo: &Name,
        row: &mut PeriodRow,
    ) -> Result<(), StoreError> {
        let before_end = self.times.iter().rev().find(|(_, from)| *from < row.to);
        let Some((revision, _)) = before_end.copied() else {
            return Ok(());
        };
        row.revision = Some(revision);
        if !self.objectives.contains_key(&revision) && self.objectives.len() < MOST_SETS {
            let objectives = objectives(tx, revision).await?;
            self.objectives.insert(revision, objectives);
        }
        let of_set = self.objectives.get(&revision);
        if let Some(objective) = of_set.and_then(|objectives| objectives.get(slo)) {
            row.set_objective(*objective);
        }
        Ok(())
    }
}

async fn objectives(
    tx: &mut Tx<'_>,
    revision: Revision,
) -> Result<BTreeMap<Name, f64>, StoreError> {
    let Some(set) = tx.definition_set(revision).await? else {
        return Ok(BTreeMap::new());
    };
    let catalog = parse_set(set.files).await;
    let slos = catalog.map(|catalog| catalog.slos).unwrap_or_default();
    let objective = |(name, slo): (Name, Arc<Slo>)| (name, slo.objective.ratio());
    Ok(slos.into_iter().map(objective).collect())
}

/// Returns the incidents that fired in `range`, oldest first: of one SLO, or (`None`) of all.
pub(in crate::web::pages) async fn incidents(
    tx: &mut Tx<'_>,
    slo: Option<SloId>,
    range: TimeRange,
    now: Timestamp,
) -> Result<Vec<(Name, IncidentCost)>, StoreError> {
    // They may have ended after the range.
    let until_now = TimeRange::new(range.from, now.max(range.to));
    let of = slo.map_or(TransitionsOf::All, TransitionsOf::One);
    let newest_first = tx.transitions(of, until_now, MOST_TRANSITIONS).await?;
    let mut fired: Vec<(Name, IncidentCost)> = Vec::new();
    for transition in newest_first.into_iter().rev() {
        let facts = transition.facts;
        let known = fired
            .iter_mut()
            .find(|(_, one)| one.incident == facts.episode);
        match (known, &facts.episode_summary) {
            (Some((_, one)), Some(summary)) => one.end(summary),
            (None, _) if facts.kind == TransitionKind::Firing && range.contains(transition.at) => {
                let begun = IncidentCost::begun(facts.episode, facts.severity, transition.at);
                fired.push((facts.slo, begun));
            }
            _ => {}
        }
    }
    Ok(fired)
}
