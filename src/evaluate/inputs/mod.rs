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
use super::{Evaluator, SEVERITIES, Subject};
use crate::{
    domain::{
        alerting::{
            alert::{Alert, AlertStatus, TickGap, TickHistory},
            burn_rate::Ageing,
            end_shortfall::ExpectedEnds,
            limit::{BoundedCount, CustomersByLength},
            rule_status::Freshness,
            silence::Silence,
            status::{LAST_HOUR, Measured},
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
    rhythms: BTreeMap<SloId, TickHistory>,
    longest_pause: Duration,
}

impl Evaluator {
    /// Reads alerts first: if one changes while the counts are read, its version has changed and
    /// the swap fails. In the other order, old counts could be compared with a new state.
    pub(super) async fn read(
        &self,
        subjects: &[Subject],
        now: Timestamp,
    ) -> Result<EvaluationInputs, StoreError> {
        let operation = "read what alerts depend on";
        let mut tx = self.store.begin_reading_counts(operation).await?;
        let alerts = read_alerts(&mut tx, subjects, now).await?;
        let rhythms = read_rhythms(&mut tx, subjects).await?;
        let healthy_until = tx.ingest_healthy_until().await?;
        let freshness = freshness_at(now, healthy_until);
        let context = CountContext {
            alerts: &alerts,
            expected: expected_ends(subjects, &tx.end_sampling(now).await?),
            delays: tx.timeout_delays().await?,
            watermark: healthy_until.map_or(now, |until| until.min(now)),
        };
        let mut reader = self.count_reader(subjects, now);
        let counts = counts::read(&mut tx, &mut reader, subjects, &context).await?;
        let mut measured = read_measured(&mut tx, subjects, counts, now, freshness).await?;
        read_ageing(&mut tx, &mut reader, subjects, &mut measured).await?;
        self.find_nearest_finishes(subjects, &mut measured, now);
        let reading = EvaluationInputs {
            now,
            of_slo: Vec::new(),
            freshness,
            silences: tx.silences_ended_after(now).await?,
            acknowledged: read_acknowledged(&mut tx, &alerts).await?,
            measured,
            alerts,
            rhythms,
            longest_pause: longest_pause(self.settings.interval),
        };
        tx.commit().await?;
        *self.last_reader() = reader;
        Ok(reading)
    }

    /// Makes the reader of this tick from that of the last, if that has read all.
    fn count_reader(&self, subjects: &[Subject], now: Timestamp) -> CountReader {
        let last = std::mem::take(&mut *self.last_reader());
        last.next(subjects, now)
    }

    fn last_reader(&self) -> MutexGuard<'_, CountReader> {
        let last = self.last_reader.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the nearest match to a `finish` that nothing has ever matched.
    fn find_nearest_finishes(
        &self,
        subjects: &[Subject],
        measured: &mut BTreeMap<SloId, Measured>,
        now: Timestamp,
    ) {
        let sample = LazyCell::new(|| self.enrichment.shapes.at(now));
        for subject in subjects {
            let of = measured.get_mut(&subject.due.id);
            let (Some(slo), Some(of)) = (subject.slo.as_deref(), of) else {
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
    pub(super) fn rhythm(&self, slo: SloId) -> (TickHistory, TickGap) {
        let first = (TickHistory::first(self.now), TickGap::InTime);
        let last = self.rhythms.get(&slo);
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
async fn read_rhythms(
    tx: &mut Tx<'_>,
    subjects: &[Subject],
) -> Result<BTreeMap<SloId, TickHistory>, StoreError> {
    let ids: Vec<SloId> = subjects.iter().map(|subject| subject.due.id).collect();
    let mut rhythms = tx.rhythms(&ids).await?;
    for subject in subjects {
        if let Some(unchanged_at) = subject.due.unchanged_at
            && let Some(rhythm) = rhythms.get_mut(&subject.due.id)
        {
            rhythm.last_at = rhythm.last_at.max(unchanged_at);
        }
    }
    Ok(rhythms)
}

/// Reads the counts of every declared SLO.
async fn read_measured(
    tx: &mut Tx<'_>,
    subjects: &[Subject],
    mut counts: BTreeMap<SloId, Counted>,
    now: Timestamp,
    freshness: Freshness,
) -> Result<BTreeMap<SloId, Measured>, StoreError> {
    let ids: Vec<SloId> = subjects.iter().map(|subject| subject.due.id).collect();
    let mut open = tx.open_workflows(&ids, now).await?;
    let starts = tx
        .start_spans(&ids, TimeRange::ending_at(now, LAST_HOUR))
        .await?;
    let last_hour = with_customers(subjects, whole_minutes(now, LAST_HOUR));
    let customers = tx.customer_impact(&last_hour).await?;
    let mut customers_by_length = read_customers(tx, subjects, now).await?;
    let mut measured = BTreeMap::new();
    for subject in subjects {
        let Some(slo) = &subject.slo else { continue };
        let id = subject.due.id;
        let open = open.remove(&id).unwrap_or_default();
        let affected = customers.get(&id);
        let mut counted = counts.remove(&id).unwrap_or_default();
        let of_slo = Measured {
            at: now,
            first_event_at: subject.due.first_event_at,
            has_ended: subject.due.has_ended,
            nearest_finish: None,
            finish_unmatched_since: subject.due.finish_unmatched_since,
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
    subjects: &[Subject],
    measured: &mut BTreeMap<SloId, Measured>,
) -> Result<(), StoreError> {
    let mut burning: BTreeMap<Duration, Vec<(SloId, &Slo)>> = BTreeMap::new();
    for subject in subjects {
        let (Some(slo), Some(of)) = (subject.slo.as_deref(), measured.get(&subject.due.id)) else {
            continue;
        };
        if let SloWindow::Rolling(window) = slo.window
            && of.burns(slo)
        {
            let alike = burning.entry(window).or_default();
            alike.push((subject.due.id, slo));
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
fn with_customers(subjects: &[Subject], range: TimeRange) -> Vec<(SloId, Vec<TimeRange>)> {
    let of_one = |subject: &Subject| {
        let slo = subject.slo.as_deref();
        let slo = slo.filter(|slo| slo.customer.is_some())?;
        Some((subject.due.id, slo.counted(range)))
    };
    subjects.iter().filter_map(of_one).collect()
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
    subjects: &[Subject],
    now: Timestamp,
) -> Result<BTreeMap<(SloId, Severity), Alert>, StoreError> {
    let ids: Vec<SloId> = subjects.iter().map(|subject| subject.due.id).collect();
    let alerts = tx.alerts(&ids).await?;
    let missing: Vec<_> = subjects
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

fn declared_severities(subject: &Subject) -> impl Iterator<Item = (SloId, Severity)> {
    let alerting = subject.slo.as_deref().map(|slo| &slo.alerting);
    let id = subject.due.id;
    SEVERITIES
        .into_iter()
        .filter(move |severity| alerting.is_some_and(|alerting| alerting.may_fire(*severity)))
        .map(move |severity| (id, severity))
}

/// Returns the expected ends of each SLO and group. A group uses the expectation of its SLO.
fn expected_ends(
    subjects: &[Subject],
    learned: &BTreeMap<SloId, EndSampling>,
) -> BTreeMap<SloId, ExpectedEnds> {
    let of_whole = ids_of_whole(subjects);
    let of_one = |subject: &Subject| {
        let learned = learned.get(of_whole.get(&subject.due.name)?).copied();
        let slo = subject.slo.as_deref()?;
        let expected = ExpectedEnds::of(slo, learned.unwrap_or_default())?;
        Some((subject.due.id, expected))
    };
    subjects.iter().filter_map(of_one).collect()
}

/// Returns the ids of SLOs by name, without their groups.
pub(super) fn ids_of_whole(subjects: &[Subject]) -> BTreeMap<&Name, SloId> {
    subjects
        .iter()
        .filter(|subject| subject.due.group.is_none())
        .map(|subject| (&subject.due.name, subject.due.id))
        .collect()
}

/// Reads the customers with a bad event in every range that a rule needs; each length is read once.
async fn read_customers(
    tx: &mut Tx<'_>,
    subjects: &[Subject],
    now: Timestamp,
) -> Result<BTreeMap<SloId, CustomersByLength>, StoreError> {
    let mut asking: BTreeMap<Duration, Vec<(SloId, Vec<TimeRange>)>> = BTreeMap::new();
    for subject in subjects {
        let Some(slo) = &subject.slo else { continue };
        for rule in &slo.alerting.limits {
            if let Limit::Customers { length, .. } = rule.limit {
                let counted = slo.counted(whole_minutes(now, length));
                asking
                    .entry(length)
                    .or_default()
                    .push((subject.due.id, counted));
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
