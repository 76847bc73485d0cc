//! The counts around an incident: when it began, and the data that its page shows.

use std::time::Duration;

use super::SloEvaluation;
use crate::{
    domain::{
        alerting::{
            alert::{Episode, TransitionKind},
            incident::{
                self, IncidentSnapshot, MissingEnds, RuleWindows, SnapshotPlan, range_of_search,
            },
            snapshot::AlertSnapshot,
        },
        counting::series::{Series, SeriesPoint},
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp},
        },
        slo::{Limit, Severity, Slo},
    },
    store::{SeriesQuery, StoreError, Tx},
};

const MINUTE: Duration = Duration::from_mins(1);

/// Stores the data that the incident's page shows, at its beginning and at its end.
pub(super) async fn keep(
    tx: &mut Tx<'_>,
    slo: SloId,
    of: &SloEvaluation<'_>,
    facts: &AlertSnapshot,
) -> Result<(), StoreError> {
    let (TransitionKind::Firing | TransitionKind::Resolved) = facts.kind else {
        return Ok(());
    };
    let [long, short] = [facts.long.secs, facts.short.secs].map(Duration::from_secs);
    let began = facts.began_at.or(facts.fired_at);
    let at = facts.evaluated_at;
    let plan = SnapshotPlan::new(began.unwrap_or(at), at, long, short);
    let points = points(tx, slo, of.slo, plan.range, plan.step).await?;
    let burn = of.measured.burn_context(of.slo);
    let taken = IncidentSnapshot::new(&plan, &points, &burn, facts.factor);
    tx.keep_incident_snapshot(facts.episode, facts.kind, &taken, at)
        .await
}

/// Returns the counts of an SLO in `range`, by steps of whole minutes.
async fn points(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    range: TimeRange,
    step: Duration,
) -> Result<Vec<SeriesPoint>, StoreError> {
    let query = SeriesQuery {
        resolution: Resolution::Minute,
        range,
        step,
    };
    let mut points = tx.series(&[id], query).await?.remove(&id);
    let excluded = tx.corrections(id, slo, range, step).await?;
    points.get_or_insert_default().extend(excluded);
    Ok(points.unwrap_or_default())
}

/// Returns the events of an incident that lasted for `range`, with the timeouts that are estimated
/// from missing ends. For an SLO that was removed, all events are counted.
pub(super) async fn cost(
    tx: &mut Tx<'_>,
    slo: SloId,
    of: Option<&SloEvaluation<'_>>,
    range: TimeRange,
) -> Result<EventCounts, StoreError> {
    let expected = of.and_then(|of| of.measured.expected_ends);
    let ends = expected.map(|expected| expected.range_of_ends(range));
    let due = of.map_or_else(|| vec![range], |of| of.slo.counted(range));
    let sets = [(slo, due), (slo, ends.into_iter().collect())];
    let sums = tx.sums_of_sets(&sets).await?;
    let [due, ended] = [0, 1].map(|nth| sums.get(nth).copied().unwrap_or_default());
    let (Some(of), Some(expected)) = (of, expected) else {
        return Ok(due);
    };
    let usual = of.measured.counted(of.slo.window.length());
    let missing = expected.shortfall(due, ended);
    let timeouts = missing.map(|missing| expected.timeouts(missing, usual));
    Ok(due + timeouts.unwrap_or_default())
}

/// Returns when the incident began that the rule `fired` has just started. An absence began with
/// the last event; a rule that is not on a budget began when it fired.
pub(super) async fn beginning(
    tx: &mut Tx<'_>,
    slo: SloId,
    severity: Severity,
    of: &SloEvaluation<'_>,
    fired: &Episode,
) -> Result<Timestamp, StoreError> {
    let at = fired.fired_at;
    let Some(rule) = of.rules.windows_of(&fired.rule) else {
        return Ok(at);
    };
    let ended = tx.last_resolved_at(slo, severity).await?;
    match rule.limit {
        Some(Limit::Absence { length }) => {
            let began = tx.last_event_minute(slo).await?.unwrap_or(at - *length);
            return Ok(ended.map_or(began, |ended| began.max(ended)).min(at));
        }
        Some(limit) if !limit.is_on_budget() => return Ok(at),
        Some(_) | None => {}
    }
    let windows = RuleWindows {
        long: rule.long.length(),
        short: rule.short.length(),
    };
    let missing = of.measured.expected_ends.map(|expected| MissingEnds {
        expected,
        usual: of.measured.counted(of.slo.window.length()),
    });
    let end = rule.long.settled_until.unwrap_or(at);
    let range = range_of_search(windows, missing, end);
    let points = points(tx, slo, of.slo, range, MINUTE).await?;
    let minutes = Series::new(range, MINUTE, &points);
    let burn = of.measured.burn_context(of.slo);
    Ok(incident::beginning(
        &minutes, windows, &burn, missing, ended,
    ))
}
