//! The inputs of a tick, read for all its SLOs at once.

mod past;
mod settled;

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

pub(super) use self::past::CountReader;
use super::{Evaluator, SEVERITIES, Subject};
use crate::{
    domain::{
        alerting::{
            alert::{Alert, AlertStatus, TickGap, TickHistory},
            burn_rate::Ageing,
            end_shortfall::{EndShortfall, ExpectedEnds},
            limit::{BoundedCount, CustomersByLength},
            rule_status::{CountsByLength, Freshness},
            silence::Silence,
            status::{LAST_HOUR, Measured, look_backs},
        },
        model::{
            counts::EventCounts,
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

/// The sums of one SLO.
#[derive(Default)]
struct Counted {
    by_length: CountsByLength,
    in_period: EventCounts,
    in_incident: Option<EventCounts>,
    ends_missing: BTreeMap<Duration, EndShortfall>,
    expected_ends: Option<ExpectedEnds>,
    /// The counts of the longest range, from which the weight of an event is derived.
    usual: Option<EventCounts>,
}

/// The kind of sum of an SLO.
#[derive(Clone, Copy)]
enum Stretch {
    LookBack(Duration),
    Period,
    Incident,
}

/// A time range in which the events of one SLO are counted.
struct CountedStretch {
    slo: SloId,
    stretch: Stretch,
    range: TimeRange,
}

impl Evaluator {
    /// Reads alerts first: if one changes while the counts are read, its version has changed and
    /// the swap fails. In the other order, old counts could be compared with a new state.
    pub(super) async fn read(
        &self,
        subjects: &[Subject],
        now: Timestamp,
    ) -> Result<EvaluationInputs, StoreError> {
        let mut tx = self.store.begin("read what alerts depend on").await?;
        let alerts = read_alerts(&mut tx, subjects, now).await?;
        let rhythms = read_rhythms(&mut tx, subjects).await?;
        let healthy_until = tx.ingest_healthy_until().await?;
        let freshness = freshness_at(now, healthy_until);
        let expected = expected_ends(subjects, &tx.end_sampling(now).await?);
        let mut reader = self.count_reader(subjects, now);
        let counts = read_counts(&mut tx, &mut reader, subjects, &alerts, &expected).await?;
        let mut measured = read_measured(&mut tx, subjects, counts, now, freshness).await?;
        let watermark = healthy_until.map_or(now, |until| until.min(now));
        settled::read(&mut tx, &mut reader, subjects, &mut measured, watermark).await?;
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

impl Counted {
    /// Adds the counts of a range, including the timeouts that are estimated from missing ends.
    fn add(&mut self, stretch: Stretch, due: EventCounts, ended: EventCounts) {
        let usual = *self.usual.get_or_insert(due);
        let (sum, missing) = with_missing(self.expected_ends, due, ended, usual);
        match stretch {
            Stretch::LookBack(length) => {
                self.by_length.insert(length, sum);
                self.ends_missing
                    .extend(missing.map(|missing| (length, missing)));
            }
            Stretch::Period => self.in_period = sum,
            Stretch::Incident => self.in_incident = Some(sum),
        }
    }
}

/// Adds to `due` the timeouts that are estimated from missing ends: by those that `ended` in the
/// same range, and by the usual weight of an event.
pub(super) fn with_missing(
    expected: Option<ExpectedEnds>,
    due: EventCounts,
    ended: EventCounts,
    usual: EventCounts,
) -> (EventCounts, Option<EndShortfall>) {
    let missing = expected.and_then(|expected| expected.shortfall(due, ended));
    let timeouts = expected.zip(missing);
    let timeouts = timeouts.map(|(expected, missing)| expected.timeouts(missing, usual));
    (due + timeouts.unwrap_or_default(), missing)
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
    for subject in subjects.iter().filter(|subject| subject.slo.is_some()) {
        let id = subject.due.id;
        let open = open.remove(&id).unwrap_or_default();
        let affected = customers.get(&id);
        let counted = counts.remove(&id).unwrap_or_default();
        let of_slo = Measured {
            at: now,
            first_event_at: subject.due.first_event_at,
            has_ended: subject.due.has_ended,
            nearest_finish: None,
            finish_unmatched_since: subject.due.finish_unmatched_since,
            counts: counted.by_length,
            ends_missing: counted.ends_missing,
            expected_ends: counted.expected_ends,
            settled: None,
            in_period: counted.in_period,
            starts: starts.get(&id).copied().unwrap_or_default(),
            in_incident: counted.in_incident,
            ageing: Ageing::default(),
            promise_use: open.promise_use,
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

async fn read_counts(
    tx: &mut Tx<'_>,
    reader: &mut CountReader,
    subjects: &[Subject],
    alerts: &BTreeMap<(SloId, Severity), Alert>,
    expected: &BTreeMap<SloId, ExpectedEnds>,
) -> Result<BTreeMap<SloId, Counted>, StoreError> {
    let (mut stretches, mut due, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for subject in subjects {
        let Some(slo) = &subject.slo else { continue };
        let began_at = incident_began_at(alerts, subject.due.id);
        for stretch in stretches_of(subject.due.id, slo, began_at, reader.now) {
            // All ends count, also those in planned work, which are not missing.
            let ends = expected.get(&stretch.slo);
            let ends = ends.map(|ends| ends.range_of_ends(stretch.range));
            ended.push((stretch.slo, ends.into_iter().collect()));
            due.push((stretch.slo, slo.counted(stretch.range)));
            stretches.push(stretch);
        }
    }
    due.extend(ended);
    let sums = reader.sums_of_sets(tx, &due).await?;
    let (due, ended) = sums.split_at(stretches.len());
    let mut counts: BTreeMap<SloId, Counted> = BTreeMap::new();
    for ((stretch, due), ended) in stretches.iter().zip(due).zip(ended) {
        let counted = counts.entry(stretch.slo).or_default();
        counted.expected_ends = expected.get(&stretch.slo).copied();
        counted.add(stretch.stretch, *due, *ended);
    }
    Ok(counts)
}

/// Returns the longest range first: its weight per event completes the others.
fn stretches_of(
    id: SloId,
    slo: &Slo,
    incident_began_at: Option<Timestamp>,
    now: Timestamp,
) -> Vec<CountedStretch> {
    let window = slo.window.length();
    let others = look_backs(slo)
        .into_iter()
        .filter(|length| *length != window);
    let stretch = |stretch, range| CountedStretch {
        slo: id,
        stretch,
        range,
    };
    let whole = stretch(Stretch::LookBack(window), slo.window.trailing(now));
    let lately = others.map(|length| {
        let range = TimeRange::ending_at(now, length);
        stretch(Stretch::LookBack(length), range)
    });
    let period = slo.window.period(now);
    let period = period.map(|period| stretch(Stretch::Period, TimeRange::new(period.from, now)));
    let incident = incident_began_at
        .map(|began_at| stretch(Stretch::Incident, TimeRange::new(began_at.min(now), now)));
    std::iter::once(whole)
        .chain(lately)
        .chain(period)
        .chain(incident)
        .collect()
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

/// Returns when the incident of the most severe firing alert began.
fn incident_began_at(alerts: &BTreeMap<(SloId, Severity), Alert>, slo: SloId) -> Option<Timestamp> {
    let by_severity = SEVERITIES.into_iter();
    let mut episodes = by_severity.filter_map(|severity| alerts.get(&(slo, severity))?.episode());
    Some(episodes.next()?.began_at)
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
