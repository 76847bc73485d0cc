//! Reads the report of a month.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    month_name,
    view::{MonthReport, ReportRow},
};
use crate::{
    domain::{
        model::{
            ids::{Name, SloId},
            time::{TimeRange, Timestamp},
            window::{Calendar, CalendarUnit, SloWindow},
        },
        slo::{Catalog, Slo},
    },
    store::{StoreError, Tx},
    web::pages::slo::{EarlierDefinitions, PeriodRow, incidents_of},
};

pub(super) async fn view(
    tx: &mut Tx<'_>,
    catalog: &Catalog,
    period: TimeRange,
    now: Timestamp,
    team: &str,
) -> Result<MonthReport, StoreError> {
    let teams: BTreeSet<&String> = catalog
        .slos
        .values()
        .filter_map(|slo| team_of(slo))
        .collect();
    let is_wanted = |slo: &&Arc<Slo>| team.is_empty() || team_of(slo).is_some_and(|of| of == team);
    let slos: Vec<&Arc<Slo>> = catalog.slos.values().filter(is_wanted).collect();
    let just_before = Timestamp::from_micros(period.from.as_micros().saturating_sub(1));
    let rows = rows(tx, &slos, period, now).await?;
    let has_events = |row: &ReportRow| row.period.good + row.period.bad > 0;
    let goes_on = period.to > now || rows.iter().any(has_events);
    Ok(MonthReport {
        as_of: now,
        month: month_name(period.from),
        team: (!team.is_empty()).then(|| team.to_owned()),
        teams: teams.into_iter().cloned().collect(),
        slos: rows,
        before: goes_on.then(|| month_name(just_before)),
        after: (period.to <= now).then(|| month_name(period.to)),
    })
}

async fn rows(
    tx: &mut Tx<'_>,
    slos: &[&Arc<Slo>],
    period: TimeRange,
    now: Timestamp,
) -> Result<Vec<ReportRow>, StoreError> {
    let records = tx.slos().await?.into_iter();
    let ids: BTreeMap<Name, SloId> = records.map(|record| (record.name, record.id)).collect();
    let known = slos
        .iter()
        .filter_map(|slo| Some((*ids.get(&slo.name)?, *slo)));
    let known: Vec<(SloId, &Arc<Slo>)> = known.collect();
    let sets = known.iter().map(|(id, slo)| (*id, slo.counted(period)));
    let sums = tx.sums_of_sets(&sets.collect::<Vec<_>>()).await?;
    let mut earlier = EarlierDefinitions::read(tx).await?;
    let incidents = incidents_of(tx, None, period, now).await?;
    let mut rows = Vec::new();
    for ((_, slo), counts) in known.into_iter().zip(&sums) {
        let mut row = PeriodRow::new(period, counts, slo.objective.ratio());
        earlier.name(tx, &slo.name, &mut row).await?;
        let own = incidents.iter().filter(|(name, _)| *name == slo.name);
        row.incidents.extend(own.map(|(_, one)| one.clone()));
        rows.push(ReportRow {
            slo: slo.name.clone(),
            display_name: slo.display_name.clone(),
            team: team_of(slo).cloned(),
            period: row,
        });
    }
    Ok(rows)
}

fn team_of(slo: &Slo) -> Option<&String> {
    slo.labels.get(Slo::TEAM)
}

/// Returns the whole month that contains `at`, in UTC.
pub(super) fn month_of(at: Timestamp) -> Option<TimeRange> {
    let calendar = Calendar {
        unit: CalendarUnit::Month,
        zone: chrono_tz::UTC,
    };
    SloWindow::Calendar(calendar).period(at)
}
