//! The sums of all windows of a tick, read at once.

use std::{collections::BTreeMap, time::Duration};

use super::{ClaimedSlo, CountReader, SEVERITIES, ids_of_whole};
use crate::{
    domain::{
        alerting::{
            alert::Alert,
            end_shortfall::{EndShortfall, ExpectedEnds},
            rule_status::CountsByLength,
            settled::{SettledCounts, TimeoutDelay, settled_lengths, settled_until},
            status::lookback_windows,
        },
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        slo::{Severity, Slo},
    },
    store::{StoreError, Tx},
};

/// What it depends on which windows are read, and how they are counted.
pub(super) struct CountContext<'a> {
    pub(super) alerts: &'a BTreeMap<(SloId, Severity), Alert>,
    pub(super) expected: BTreeMap<SloId, ExpectedEnds>,
    pub(super) delays: BTreeMap<SloId, TimeoutDelay>,
    /// The time until which ingest is known to have been healthy, at most now.
    pub(super) watermark: Timestamp,
}

/// The sums of one SLO.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) by_length: CountsByLength,
    pub(super) in_period: EventCounts,
    pub(super) in_incident: Option<EventCounts>,
    pub(super) ends_missing: BTreeMap<Duration, EndShortfall>,
    pub(super) expected_ends: Option<ExpectedEnds>,
    settled: Option<SettledCounts>,
    /// The counts of the longest range, from which the weight of an event is derived.
    usual: Option<EventCounts>,
}

/// The kind of sum of an SLO.
#[derive(Clone, Copy)]
enum RangeKind {
    Lookback(Duration),
    Period,
    Incident,
    /// A window of a rule that ends where all timeouts are counted.
    Settled(Duration),
}

/// A time range in which the events of one SLO are counted.
struct CountedRange {
    slo: SloId,
    kind: RangeKind,
    range: TimeRange,
}

/// Reads the counts of every declared SLO.
pub(super) async fn read(
    tx: &mut Tx<'_>,
    reader: &mut CountReader,
    claimed_slos: &[ClaimedSlo],
    context: &CountContext<'_>,
) -> Result<BTreeMap<SloId, Counted>, StoreError> {
    let ids = ids_of_whole(claimed_slos);
    let (mut ranges, mut due, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for claimed in claimed_slos {
        let Some(slo) = &claimed.slo else { continue };
        let whole = ids.get(&claimed.due.name);
        let delay = whole.and_then(|whole| context.delays.get(whole));
        let up_to = settled_until(slo, context.watermark, reader.now, delay.copied());
        let began_at = incident_began_at(context.alerts, claimed.due.id);
        let of_slo = ranges_of(claimed.due.id, slo, began_at, reader.now);
        for counted_range in of_slo.chain(settled_ranges(claimed.due.id, slo, up_to)) {
            // All ends count, also those in planned work, which are not missing.
            let ends = context.expected.get(&counted_range.slo);
            let ends = ends.map(|ends| ends.range_of_ends(counted_range.range));
            ended.push((counted_range.slo, ends.into_iter().collect()));
            due.push((counted_range.slo, slo.counted(counted_range.range)));
            ranges.push(counted_range);
        }
    }
    due.extend(ended);
    let sums = reader.sums_of_sets(tx, &due).await?;
    let (due, ended) = sums.split_at(ranges.len());
    let mut counts: BTreeMap<SloId, Counted> = BTreeMap::new();
    for ((counted_range, due), ended) in ranges.iter().zip(due).zip(ended) {
        let counted = counts.entry(counted_range.slo).or_default();
        counted.expected_ends = context.expected.get(&counted_range.slo).copied();
        counted.add(counted_range, *due, *ended);
    }
    Ok(counts)
}

/// Returns the longest range first: its weight per event completes the others.
fn ranges_of(
    id: SloId,
    slo: &Slo,
    incident_began_at: Option<Timestamp>,
    now: Timestamp,
) -> impl Iterator<Item = CountedRange> {
    let window = slo.window.length();
    let others = lookback_windows(slo)
        .into_iter()
        .filter(move |length| *length != window);
    let of_kind = move |kind, range| CountedRange {
        slo: id,
        kind,
        range,
    };
    let whole = of_kind(RangeKind::Lookback(window), slo.window.trailing(now));
    let lately = others.map(move |length| {
        let range = TimeRange::ending_at(now, length);
        of_kind(RangeKind::Lookback(length), range)
    });
    let period = slo.window.period(now);
    let period =
        period.map(move |period| of_kind(RangeKind::Period, TimeRange::new(period.from, now)));
    let incident = incident_began_at
        .map(move |began_at| of_kind(RangeKind::Incident, TimeRange::new(began_at.min(now), now)));
    std::iter::once(whole)
        .chain(lately)
        .chain(period)
        .chain(incident)
}

fn settled_ranges(id: SloId, slo: &Slo, up_to: Timestamp) -> impl Iterator<Item = CountedRange> {
    let lengths = settled_lengths(slo).into_iter();
    lengths.map(move |length| CountedRange {
        slo: id,
        kind: RangeKind::Settled(length),
        range: TimeRange::ending_at(up_to, length),
    })
}

/// Returns when the incident of the most severe firing alert began.
fn incident_began_at(alerts: &BTreeMap<(SloId, Severity), Alert>, slo: SloId) -> Option<Timestamp> {
    let by_severity = SEVERITIES.into_iter();
    let mut episodes = by_severity.filter_map(|severity| alerts.get(&(slo, severity))?.episode());
    Some(episodes.next()?.began_at)
}

impl Counted {
    /// Adds the counts of a range, including the timeouts that are estimated from missing ends.
    fn add(&mut self, of: &CountedRange, due: EventCounts, ended: EventCounts) {
        let usual = *self.usual.get_or_insert(due);
        let (sum, missing) = with_missing(self.expected_ends, due, ended, usual);
        match of.kind {
            RangeKind::Lookback(length) => {
                self.by_length.insert(length, sum);
                self.ends_missing
                    .extend(missing.map(|missing| (length, missing)));
            }
            RangeKind::Period => self.in_period = sum,
            RangeKind::Incident => self.in_incident = Some(sum),
            RangeKind::Settled(length) => {
                let settled = SettledCounts::new(of.range.to);
                let settled = self.settled.get_or_insert(settled);
                settled.counts.insert(length, sum);
                settled
                    .ends_missing
                    .extend(missing.map(|missing| (length, missing)));
            }
        }
    }

    /// Returns the windows that end where all timeouts are counted, if a window that ends now has bad or
    /// unusable events; without any, other windows do not matter.
    pub(super) fn settled_if_bad_lately(&mut self, slo: &Slo) -> Option<SettledCounts> {
        let mut lengths = settled_lengths(slo).into_iter();
        let is_bad = lengths.any(|length| {
            let counts = self.by_length.get(&length);
            counts.is_some_and(|counts| counts.bad() + counts.unusable() > 0)
        });
        self.settled.take().filter(|_| is_bad)
    }
}

/// Adds to `due` the timeouts that are estimated from missing ends: by those that `ended` in the
/// same range, and by the usual weight of an event.
fn with_missing(
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
