//! The inputs of a tick, read for all its SLOs at once.

mod counts;
mod past;

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use self::counts::{CountContext, Counted};
pub(super) use self::past::CountReader;
use super::{ClaimedSlo, Evaluator, SEVERITIES};
use crate::{
    domain::{
        alerting::{
            alert::{Alert, AlertStatus, TickGap, TickHistory},
            burn_rate::Ageing,
            end_shortfall::ExpectedEnds,
            rule_status::Freshness,
            silence::Silence,
            status::{LAST_HOUR, Measured},
            threshold::{BoundedCount, CustomersByLength},
        },
        model::{
            ids::{Name, SloId},
            sampling::EndSampling,
            time::{Resolution, TimeRange, Timestamp},
            window::SloWindow,
        },
        slo::{Indicator, Limit, Severity, Slo},
        workflow::classify::Role,
    },
    store::{StoreError, Tx},
};

/// Ingest may have missed events if it was last known to be healthy longer ago than this.
const MAX_LAG: Duration = Duration::from_mins(1);

/// Evaluations further apart than this, and than three intervals, have a gap between them.
const LEAST_GAP: Duration = Duration::from_secs(30);

/// The data that is read from the database for the SLOs of one tick.
pub(super) struct EvaluationInputs {
    pub(super) now: Timestamp,
    pub(super) alerts: BTreeMap<(SloId, Severity), Alert>,
    pub(super) freshness: Freshness,
    /// Silences that are active now or later.
    pub(super) silences: Vec<Silence>,
    /// Episodes that were acknowledged.
    pub(super) acknowledged: BTreeSet<Uuid>,
    /// The alerts of the SLO that was evaluated last; its groups are evaluated next.
    pub(super) of_slo: Vec<AlertStatus>,
    measured: BTreeMap<SloId, Measured>,
    tick_histories: BTreeMap<SloId, TickHistory>,
    longest_pause: Duration,
}

impl Evaluator {
    /// Reads alerts first: if one changes while the counts are read, its version has changed and
    /// the swap fails. In the other order, old counts could be compared with a new state.
    pub(super) async fn read(
        &self,
        claimed_slos: &[ClaimedSlo],
        now: Timestamp,
    ) -> Result<EvaluationInputs, StoreError> {
        let operation = "read what alerts depend on";
        let mut tx = self.store.begin_reading_counts(operation).await?;
        let alerts = read_alerts(&mut tx, claimed_slos, now).await?;
        let tick_histories = read_tick_histories(&mut tx, claimed_slos).await?;
        let healthy_until = tx.ingest_healthy_until().await?;
        let freshness = freshness_at(now, healthy_until);
        let context = CountContext {
            alerts: &alerts,
            expected: expected_ends(claimed_slos, &tx.end_sampling(now).await?),
            delays: tx.timeout_delays().await?,
            watermark: healthy_until.map_or(now, |until| until.min(now)),
        };
        let mut reader = self.count_reader(claimed_slos, now);
        let counts = counts::read(&mut tx, &mut reader, claimed_slos, &context).await?;
        let mut measured = read_measured(&mut tx, claimed_slos, counts, now, freshness).await?;
        read_ageing(&mut tx, &mut reader, claimed_slos, &mut measured).await?;
        self.find_nearest_finishes(claimed_slos, &mut measured, now);
        let reading = EvaluationInputs {
            now,
            of_slo: Vec::new(),
            freshness,
            silences: tx.silences_ended_after(now).await?,
            acknowledged: read_acknowledged(&mut tx, &alerts).await?,
            measured,
            alerts,
            tick_histories,
            longest_pause: longest_pause(self.settings.interval),
        };
        tx.commit().await?;
        *self.last_reader() = reader;
        Ok(reading)
    }

    /// Makes the reader of this tick from that of the last, if that has read all.
    fn count_reader(&self, claimed_slos: &[ClaimedSlo], now: Timestamp) -> CountReader {
        let last = std::mem::take(&mut *self.last_reader());
        last.next(claimed_slos, now)
    }

    fn last_reader(&self) -> MutexGuard<'_, CountReader> {
        let last = self.last_reader.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the nearest match to a `finish` that nothing has ever matched.
    fn find_nearest_finishes(
        &self,
        claimed_slos: &[ClaimedSlo],
        measured: &mut BTreeMap<SloId, Measured>,
        now: Timestamp,
    ) {
        let sample = LazyCell::new(|| self.enrichment.shapes.at(now));
        for claimed in claimed_slos {
            let of = measured.get_mut(&claimed.due.id);
            let (Some(slo), Some(of)) = (claimed.slo.as_deref(), of) else {
                continue;
            };
            if let (Indicator::Workflow(workflow), false) = (&slo.indicator, of.has_ended) {
                let finish = sample.explain(slo, Role::Finish, &workflow.finish);
                of.nearest_finish = finish.nearest_sentence();
            }
        }
    }
}

impl EvaluationInputs {
    /// Removes and returns the counts of one declared SLO.
    pub(super) fn take_measured(&mut self, slo: SloId) -> Option<Measured> {
        self.measured.remove(&slo).map(Measured::or_inconsistent)
    }

    /// Returns the tick history of the SLO, and the gap between its last tick and this one.
    pub(super) fn ticks(&self, slo: SloId) -> (TickHistory, TickGap) {
        let first = (TickHistory::first(self.now), TickGap::InTime);
        let last = self.tick_histories.get(&slo);
        last.map_or(first, |last| last.next(self.now, self.longest_pause))
    }
}

pub(super) fn freshness_at(now: Timestamp, healthy_until: Option<Timestamp>) -> Freshness {
    match healthy_until {
        Some(until) if until < now - MAX_LAG => Freshness::Stale,
        Some(_) | None => Freshness::Fresh,
    }
}

/// Returns the longest time between two evaluations without a gap.
pub(super) fn longest_pause(interval: Duration) -> Duration {
    LEAST_GAP.max(interval * 3)
}

/// Reads the last evaluations. An SLO that was found unchanged was as good as evaluated then.
async fn read_tick_histories(
    tx: &mut Tx<'_>,
    claimed_slos: &[ClaimedSlo],
) -> Result<BTreeMap<SloId, TickHistory>, StoreError> {
    let ids: Vec<SloId> = claimed_slos.iter().map(|claimed| claimed.due.id).collect();
    let mut tick_histories = tx.tick_histories(&ids).await?;
    for claimed in claimed_slos {
        if let Some(unchanged_at) = claimed.due.unchanged_at
            && let Some(ticks) = tick_histories.get_mut(&claimed.due.id)
        {
            ticks.last_at = ticks.last_at.max(unchanged_at);
        }
    }
    Ok(tick_histories)
}

/// Reads the counts of every declared SLO.
async fn read_measured(
    tx: &mut Tx<'_>,
    claimed_slos: &[ClaimedSlo],
    mut counts: BTreeMap<SloId, Counted>,
    now: Timestamp,
    freshness: Freshness,
) -> Result<BTreeMap<SloId, Measured>, StoreError> {
    let ids: Vec<SloId> = claimed_slos.iter().map(|claimed| claimed.due.id).collect();
    let mut open = tx.open_workflows(&ids, now).await?;
    let starts = tx
        .start_spans(&ids, TimeRange::ending_at(now, LAST_HOUR))
        .await?;
    let last_hour = with_customers(claimed_slos, whole_minutes(now, LAST_HOUR));
    let customers = tx.customer_impact(&last_hour).await?;
    let mut customers_by_length = read_customers(tx, claimed_slos, now).await?;
    let mut measured = BTreeMap::new();
    for claimed in claimed_slos {
        let Some(slo) = &claimed.slo else { continue };
        let id = claimed.due.id;
        let open = open.remove(&id).unwrap_or_default();
        let affected = customers.get(&id);
        let mut counted = counts.remove(&id).unwrap_or_default();
        let of_slo = Measured {
            at: now,
            first_event_at: claimed.due.first_event_at,
            has_ended: claimed.due.has_ended,
            nearest_finish: None,
            finish_unmatched_since: claimed.due.finish_unmatched_since,
            settled: counted.settled_if_bad_lately(slo),
            counts: counted.by_length,
            ends_missing: counted.ends_missing,
            expected_ends: counted.expected_ends,
            in_period: counted.in_period,
            starts: starts.get(&id).copied().unwrap_or_default(),
            in_incident: counted.in_incident,
            ageing: Ageing::default(),
            time_used: open.time_used,
            overdue: open.overdue,
            customers_affected: affected.map_or(0, |of_slo| of_slo.affected),
            customers_total: affected.map(|of_slo| of_slo.total),
            customers: customers_by_length.remove(&id).unwrap_or_default(),
            freshness,
        };
        measured.insert(id, of_slo);
    }
    Ok(measured)
}

/// Reads the counts that leave the windows of burning SLOs next. They are needed only for the
/// forecast of a burning SLO.
async fn read_ageing(
    tx: &mut Tx<'_>,
    reader: &mut CountReader,
    claimed_slos: &[ClaimedSlo],
    measured: &mut BTreeMap<SloId, Measured>,
) -> Result<(), StoreError> {
    let mut burning: BTreeMap<Duration, Vec<(SloId, &Slo)>> = BTreeMap::new();
    for claimed in claimed_slos {
        let (Some(slo), Some(of)) = (claimed.slo.as_deref(), measured.get(&claimed.due.id)) else {
            continue;
        };
        if let SloWindow::Rolling(window) = slo.window
            && of.burns(slo)
        {
            let alike = burning.entry(window).or_default();
            alike.push((claimed.due.id, slo));
        }
    }
    for (window, slos) in burning {
        for (id, ageing) in reader.ageing(tx, &slos, window).await? {
            if let Some(of) = measured.get_mut(&id) {
                of.ageing = ageing;
            }
        }
    }
    Ok(())
}

/// Returns the look-back of `length`, widened to whole minutes as the counts are stored.
pub(super) fn whole_minutes(to: Timestamp, length: Duration) -> TimeRange {
    let minute = Resolution::Minute.length();
    TimeRange::new((to - length).floor_to(minute), to.ceil_to(minute))
}

/// Returns the parts of `range` that count, for each SLO with customers.
fn with_customers(claimed_slos: &[ClaimedSlo], range: TimeRange) -> Vec<(SloId, Vec<TimeRange>)> {
    let of_one = |claimed: &ClaimedSlo| {
        let slo = claimed.slo.as_deref();
        let slo = slo.filter(|slo| slo.customer.is_some())?;
        Some((claimed.due.id, slo.counted(range)))
    };
    claimed_slos.iter().filter_map(of_one).collect()
}

/// Returns the episodes of active alerts that were acknowledged.
async fn read_acknowledged(
    tx: &mut Tx<'_>,
    alerts: &BTreeMap<(SloId, Severity), Alert>,
) -> Result<BTreeSet<Uuid>, StoreError> {
    let going_on = alerts.values().filter_map(Alert::episode);
    let episodes: Vec<Uuid> = going_on.map(|episode| episode.id).collect();
    if episodes.is_empty() {
        return Ok(BTreeSet::new());
    }
    Ok(tx.acknowledgements(&episodes).await?.into_keys().collect())
}

async fn read_alerts(
    tx: &mut Tx<'_>,
    claimed_slos: &[ClaimedSlo],
    now: Timestamp,
) -> Result<BTreeMap<(SloId, Severity), Alert>, StoreError> {
    let ids: Vec<SloId> = claimed_slos.iter().map(|claimed| claimed.due.id).collect();
    let alerts = tx.alerts(&ids).await?;
    let missing: Vec<_> = claimed_slos
        .iter()
        .flat_map(declared_severities)
        .filter(|key| !alerts.contains_key(key))
        .collect();
    if missing.is_empty() {
        return Ok(alerts);
    }
    tx.insert_alerts(&missing, now).await?;
    tx.alerts(&ids).await
}

fn declared_severities(claimed: &ClaimedSlo) -> impl Iterator<Item = (SloId, Severity)> {
    let alerting = claimed.slo.as_deref().map(|slo| &slo.alerting);
    let id = claimed.due.id;
    SEVERITIES
        .into_iter()
        .filter(move |severity| alerting.is_some_and(|alerting| alerting.may_fire(*severity)))
        .map(move |severity| (id, severity))
}

/// Returns the expected ends of each SLO and group. A group uses the expectation of its SLO.
fn expected_ends(
    claimed_slos: &[ClaimedSlo],
    learned: &BTreeMap<SloId, EndSampling>,
) -> BTreeMap<SloId, ExpectedEnds> {
    let of_whole = ids_of_whole(claimed_slos);
    let of_one = |claimed: &ClaimedSlo| {
        let learned = learned.get(of_whole.get(&claimed.due.name)?).copied();
        let slo = claimed.slo.as_deref()?;
        let expected = ExpectedEnds::of(slo, learned.unwrap_or_default())?;
        Some((claimed.due.id, expected))
    };
    claimed_slos.iter().filter_map(of_one).collect()
}

/// Returns the ids of SLOs by name, without their groups.
pub(super) fn ids_of_whole(claimed_slos: &[ClaimedSlo]) -> BTreeMap<&Name, SloId> {
    claimed_slos
        .iter()
        .filter(|claimed| claimed.due.group.is_none())
        .map(|claimed| (&claimed.due.name, claimed.due.id))
        .collect()
}

/// Reads the customers with a bad event in every range that a rule needs; each length is read once.
async fn read_customers(
    tx: &mut Tx<'_>,
    claimed_slos: &[ClaimedSlo],
    now: Timestamp,
) -> Result<BTreeMap<SloId, CustomersByLength>, StoreError> {
    let mut asking: BTreeMap<Duration, Vec<(SloId, Vec<TimeRange>)>> = BTreeMap::new();
    for claimed in claimed_slos {
        let Some(slo) = &claimed.slo else { continue };
        for rule in &slo.alerting.limits {
            if let Limit::Customers { length, .. } = rule.limit {
                let counted = slo.counted(whole_minutes(now, length));
                asking
                    .entry(length)
                    .or_default()
                    .push((claimed.due.id, counted));
            }
        }
    }
    let mut customers: BTreeMap<SloId, CustomersByLength> = BTreeMap::new();
    for (length, sets) in asking {
        let impact = tx.customer_impact(&sets).await?;
        for (slo, impact) in impact {
            let by_length = customers.entry(slo).or_default();
            let affected = BoundedCount {
                count: impact.affected,
                is_upper_bound: impact.total.affected_is_upper_bound,
            };
            by_length.insert(length, affected);
        }
    }
    Ok(customers)
}
