//! Everything a tick must know, read for all its SLOs at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use uuid::Uuid;

use super::{Evaluator, SEVERITIES, Subject};
use crate::{
    domain::{
        alerting::{
            alert::{Alert, AlertStatus, TickGap, TickHistory},
            end_shortfall::{EndShortfall, ExpectedEnds},
            limit::CustomersByLength,
            rule_status::{CountsByLength, Freshness},
            silence::Silence,
            status::{LAST_HOUR, Measured, look_backs},
        },
        model::{
            counts::{EventCounts, StartSpans},
            ids::{Name, SloId},
            sampling::EndSampling,
            time::{Resolution, TimeRange, Timestamp},
        },
        slo::{Limit, Severity, Slo},
    },
    store::{CustomersHurt, OpenWorkflows, StoreError, Tx},
};

/// Ingest that has not been known healthy for this long may have missed events.
const MAX_LAG: Duration = Duration::from_mins(1);

/// Evaluations further apart than this, or than three intervals, have a gap between them.
const LEAST_GAP: Duration = Duration::from_secs(30);

/// What the database holds of the SLOs of one tick.
pub(super) struct EvaluationInputs {
    pub(super) now: Timestamp,
    pub(super) alerts: BTreeMap<(SloId, Severity), Alert>,
    pub(super) freshness: Freshness,
    /// In force now or later.
    pub(super) silences: Vec<Silence>,
    /// Episodes that somebody has taken on.
    pub(super) acknowledged: BTreeSet<Uuid>,
    /// The alerts of the SLO that was evaluated last; what follows are its groups.
    pub(super) of_slo: Vec<AlertStatus>,
    counts: BTreeMap<SloId, Counted>,
    open: BTreeMap<SloId, OpenWorkflows>,
    starts: BTreeMap<SloId, StartSpans>,
    customers: BTreeMap<SloId, CustomersHurt>,
    customers_by_length: BTreeMap<SloId, CustomersByLength>,
    rhythms: BTreeMap<SloId, TickHistory>,
    longest_pause: Duration,
}

/// The sums of one SLO.
#[derive(Default)]
struct Counted {
    by_length: CountsByLength,
    in_period: EventCounts,
    ends_missing: BTreeMap<Duration, EndShortfall>,
    expected_ends: Option<ExpectedEnds>,
    /// Of the first stretch, the longest: what an event weighs.
    usual: Option<EventCounts>,
}

/// A stretch in which the events of one SLO are counted.
struct CountedStretch {
    slo: SloId,
    /// `None` for the period of the calendar.
    length: Option<Duration>,
    range: TimeRange,
}

impl Evaluator {
    /// Alerts come first: if one changes while the counts are read, its version has moved on and the
    /// swap fails. The other way round, old counts could be held against a new state.
    pub(super) async fn read(
        &self,
        subjects: &[Subject],
        now: Timestamp,
    ) -> Result<EvaluationInputs, StoreError> {
        let ids: Vec<SloId> = subjects.iter().map(|subject| subject.due.id).collect();
        let mut tx = self.store.begin("read what alerts depend on").await?;
        let alerts = read_alerts(&mut tx, subjects, now).await?;
        let rhythms = tx.rhythms(&ids).await?;
        let reading = EvaluationInputs {
            now,
            of_slo: Vec::new(),
            freshness: match tx.ingest_was_healthy(now - MAX_LAG).await? {
                Some(false) => Freshness::Stale,
                Some(true) | None => Freshness::Fresh,
            },
            silences: tx.silences_ended_after(now).await?,
            acknowledged: read_acknowledged(&mut tx, &alerts).await?,
            counts: read_counts(&mut tx, subjects, now).await?,
            open: tx
                .open_workflows(&ids, now, longest_grace(subjects))
                .await?,
            starts: tx
                .start_spans(&ids, TimeRange::ending_at(now, LAST_HOUR))
                .await?,
            customers: tx
                .customers_hurt(&with_customers(subjects, whole_minutes(now, LAST_HOUR)))
                .await?,
            customers_by_length: read_customers(&mut tx, subjects, now).await?,
            alerts,
            rhythms,
            longest_pause: LEAST_GAP.max(self.settings.interval * 3),
        };
        tx.commit().await?;
        Ok(reading)
    }
}

impl Counted {
    /// Adds what was counted in a stretch, with the timeouts that missing ends stand for.
    fn add(&mut self, stretch: &CountedStretch, due: EventCounts, ended: EventCounts) {
        let usual = *self.usual.get_or_insert(due);
        let mut sum = due;
        if let Some(expected) = self.expected_ends
            && let Some(missing) = expected.shortfall(due, ended)
        {
            sum += expected.timeouts(missing, usual);
            self.ends_missing
                .extend(stretch.length.map(|length| (length, missing)));
        }
        match stretch.length {
            Some(length) => drop(self.by_length.insert(length, sum)),
            None => self.in_period = sum,
        }
    }
}

impl EvaluationInputs {
    /// What was counted for one SLO; leaves nothing behind.
    pub(super) fn take_measured(&mut self, subject: &Subject) -> Measured {
        let id = subject.due.id;
        let open = self.open.get(&id).copied().unwrap_or_default();
        let hurt = self.customers.get(&id);
        let counted = self.counts.remove(&id).unwrap_or_default();
        Measured {
            at: self.now,
            first_event_at: subject.due.first_event_at,
            has_ended: subject.due.has_ended,
            finish_unmatched_since: subject.due.finish_unmatched_since,
            counts: counted.by_length,
            ends_missing: counted.ends_missing,
            expected_ends: counted.expected_ends,
            in_period: counted.in_period,
            starts: self.starts.get(&id).copied().unwrap_or_default(),
            in_flight: open.in_flight,
            overdue: open.overdue,
            customers_affected: hurt.map_or(0, |hurt| hurt.affected),
            customers_total: hurt.map(|hurt| hurt.total),
            customers: self.customers_by_length.remove(&id).unwrap_or_default(),
            freshness: self.freshness,
        }
        .or_absurd()
    }

    /// How this tick follows the last one of the SLO.
    pub(super) fn rhythm(&self, slo: SloId) -> (TickHistory, TickGap) {
        let first = (TickHistory::first(self.now), TickGap::InTime);
        let last = self.rhythms.get(&slo);
        last.map_or(first, |last| last.next(self.now, self.longest_pause))
    }
}

/// The look-back of `length` as the counts have it: widened to whole minutes.
pub(super) fn whole_minutes(to: Timestamp, length: Duration) -> TimeRange {
    let minute = Resolution::Minute.length();
    TimeRange::new((to - length).floor_to(minute), to.ceil_to(minute))
}

/// What counts of `range`, for each SLO that names its customers.
fn with_customers(subjects: &[Subject], range: TimeRange) -> Vec<(SloId, Vec<TimeRange>)> {
    let of_one = |subject: &Subject| {
        let slo = subject.slo.as_deref();
        let slo = slo.filter(|slo| slo.customer.is_some())?;
        Some((subject.due.id, slo.counted(range)))
    };
    subjects.iter().filter_map(of_one).collect()
}

fn longest_grace(subjects: &[Subject]) -> Duration {
    let slos = subjects.iter().filter_map(|subject| subject.slo.as_deref());
    slos.map(|slo| slo.grace).max().unwrap_or_default()
}

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
    subjects: &[Subject],
    now: Timestamp,
) -> Result<BTreeMap<SloId, Counted>, StoreError> {
    let expected = expected_ends(subjects, &tx.end_sampling(now).await?);
    let (mut stretches, mut due, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for subject in subjects {
        let Some(slo) = &subject.slo else { continue };
        for stretch in stretches_of(subject.due.id, slo, now) {
            // An end counts wherever it is: one in planned work is not missing.
            let ends = expected.get(&stretch.slo);
            let ends = ends.map(|ends| ends.range_of_ends(stretch.range));
            ended.push((stretch.slo, ends.into_iter().collect()));
            due.push((stretch.slo, slo.counted(stretch.range)));
            stretches.push(stretch);
        }
    }
    due.extend(ended);
    let sums = tx.sums_of_pieces(&due).await?;
    let (due, ended) = sums.split_at(stretches.len());
    let mut counts: BTreeMap<SloId, Counted> = BTreeMap::new();
    for ((stretch, due), ended) in stretches.iter().zip(due).zip(ended) {
        let counted = counts.entry(stretch.slo).or_default();
        counted.expected_ends = expected.get(&stretch.slo).copied();
        counted.add(stretch, *due, *ended);
    }
    Ok(counts)
}

/// The longest first: what its events weigh is what the others are completed by.
fn stretches_of(id: SloId, slo: &Slo, now: Timestamp) -> Vec<CountedStretch> {
    let window = slo.window.length();
    let others = look_backs(slo)
        .into_iter()
        .filter(|length| *length != window);
    let stretch = |length, range| CountedStretch {
        slo: id,
        length,
        range,
    };
    let lately = others.map(|length| stretch(Some(length), TimeRange::ending_at(now, length)));
    let period = slo.window.period(now);
    let period = period.map(|period| stretch(None, TimeRange::new(period.from, now)));
    std::iter::once(stretch(Some(window), slo.window.trailing(now)))
        .chain(lately)
        .chain(period)
        .collect()
}

/// Of each SLO and group whose ends are held against expectation. A group learns with its SLO.
fn expected_ends(
    subjects: &[Subject],
    learned: &BTreeMap<SloId, EndSampling>,
) -> BTreeMap<SloId, ExpectedEnds> {
    let of_whole: BTreeMap<&Name, SloId> = subjects
        .iter()
        .filter(|subject| subject.due.group.is_none())
        .map(|subject| (&subject.due.name, subject.due.id))
        .collect();
    let of_one = |subject: &Subject| {
        let learned = learned.get(of_whole.get(&subject.due.name)?).copied();
        let slo = subject.slo.as_deref()?;
        let expected = ExpectedEnds::of(slo, learned.unwrap_or_default())?;
        Some((subject.due.id, expected))
    };
    subjects.iter().filter_map(of_one).collect()
}

/// Customers with a bad event in every stretch that a rule asks for; each length is read once.
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
        let hurt = tx.customers_hurt(&sets).await?;
        for (slo, hurt) in hurt {
            let by_length = customers.entry(slo).or_default();
            by_length.insert(length, hurt.affected);
        }
    }
    Ok(customers)
}
