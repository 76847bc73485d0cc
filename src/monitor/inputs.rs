//! Reads the inputs of the self-checks, all in one transaction.

use std::{collections::BTreeMap, time::Duration};

use super::WatchSettings;
use crate::{
    domain::{
        health::{HealthInputs, TargetSign},
        model::{
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        notify::delivery::{TargetState, circuit::TargetCondition},
        slo::Catalog,
    },
    store::{Store, StoreError, Tx, Waiting},
};

/// Deliveries that failed permanently longer ago are not reported any more.
const DEAD_FOR: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);
/// Shorter intervals without spans are not compared with the usual traffic.
const SILENCE: Duration = Duration::from_mins(1);

pub(super) async fn read(
    store: &Store,
    catalog: &Catalog,
    settings: &WatchSettings,
    now: Timestamp,
) -> Result<HealthInputs, StoreError> {
    let mut tx = store.begin("read the inputs of the self-checks").await?;
    let waiting = tx.waiting().await?;
    let states: BTreeMap<_, _> = tx.target_states().await?.into_iter().collect();
    let targets = catalog.targets.keys().map(|name| {
        let waits = waiting.iter().find(|one| one.target == name.as_str());
        let sign = TargetSign {
            name: name.clone(),
            failing_since: None,
            broken_since: None,
            page_waits_since: waits.and_then(|one| one.page_since),
            waiting: waits.map_or(0, |one| one.count),
        };
        states
            .get(name)
            .map_or(sign.clone(), |state| with_health(sign, state))
    });
    let last_span_at = tx.last_span_at().await?;
    let signs = HealthInputs {
        now,
        interval: settings.evaluation_interval,
        catch_up: settings.catch_up,
        slos: tx.slo_signs().await?,
        replicas: tx.replica_signs().await?,
        targets: targets.collect(),
        watermark: tx.watermark().await?,
        last_span_at,
        usual_events: usual_events(&mut tx, last_span_at, now).await?,
        oldest_page_at: oldest_page(&waiting),
        dead_letters: tx.dead_letters(now - DEAD_FOR).await?,
        last_repair_at: tx.last_reconciled_at().await?,
        silences: tx.silence_signs(now).await?,
        clean_ups: tx.clean_up_signs().await?,
        logs: tx.log_signs().await?,
    };
    tx.commit().await?;
    Ok(signs)
}

fn with_health(sign: TargetSign, state: &TargetState) -> TargetSign {
    match state.health.condition {
        TargetCondition::Closed { .. } => sign,
        TargetCondition::Open { since, .. } => TargetSign {
            failing_since: Some(since),
            ..sign
        },
        TargetCondition::Misconfigured { since, .. } => TargetSign {
            broken_since: Some(since),
            ..sign
        },
    }
}

fn oldest_page(waiting: &[Waiting]) -> Option<Timestamp> {
    waiting.iter().filter_map(|one| one.page_since).min()
}

/// Returns the events of a range as long as the current interval without spans: the one a week ago,
/// or, if no SLO had events then, the one just before the interval. `None` without such an
/// interval.
async fn usual_events(
    tx: &mut Tx<'_>,
    last_span_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let Some(heard_at) = last_span_at.filter(|at| now.saturating_since(*at) >= SILENCE) else {
        return Ok(None);
    };
    let silence = now.saturating_since(heard_at).min(WEEK);
    let records = tx.slos().await?;
    let first = records
        .iter()
        .filter_map(|record| record.first_event_at)
        .min();
    let knows_last_week = first.is_some_and(|first| first <= heard_at - WEEK);
    let range = if knows_last_week {
        TimeRange::new(now - silence - WEEK, now - WEEK)
    } else {
        TimeRange::new(heard_at - silence, heard_at)
    };
    let pieces: Vec<(SloId, TimeRange)> = records.iter().map(|one| (one.id, range)).collect();
    let sums = tx.sums(&pieces).await?;
    // Timeouts are not counted: they occur without a span.
    let heard = sums.iter().map(|sum| sum.good + sum.late + sum.failed);
    Ok(Some(heard.sum()))
}
