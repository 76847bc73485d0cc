//! Reads the windows of burn-rate rules that end at the watermark, where all timeouts are counted.

use std::{collections::BTreeMap, time::Duration};

use super::{CountReader, Subject, ids_of_whole, with_missing};
use crate::{
    domain::{
        alerting::{
            end_shortfall::ExpectedEnds,
            settled::{SettledCounts, settled_lengths, settled_until},
            status::Measured,
        },
        model::{
            counts::EventCounts,
            ids::{Name, SloId},
            time::{TimeRange, Timestamp},
        },
        slo::Slo,
    },
    store::{StoreError, Tx},
};

/// A window whose events are read.
struct SettledWindow {
    slo: SloId,
    length: Duration,
    up_to: Timestamp,
    expected: Option<ExpectedEnds>,
    /// The counts from which the weight of an event is derived.
    usual: EventCounts,
}

/// Adds the counts of these windows to `measured`, for each SLO with bad or unusable events in a
/// window that ends now; without any, other windows do not matter. `watermark` is at most `now`.
pub(super) async fn read(
    tx: &mut Tx<'_>,
    reader: &mut CountReader,
    subjects: &[Subject],
    measured: &mut BTreeMap<SloId, Measured>,
    watermark: Timestamp,
) -> Result<(), StoreError> {
    let of_interest: Vec<(SloId, &Name, &Slo, &Measured)> = subjects
        .iter()
        .filter_map(|subject| {
            let slo = subject.slo.as_deref()?;
            let of = measured.get(&subject.due.id)?;
            has_bad_lately(slo, of).then_some((subject.due.id, &subject.due.name, slo, of))
        })
        .collect();
    if of_interest.is_empty() {
        return Ok(());
    }
    let delays = tx.timeout_delays().await?;
    let ids = ids_of_whole(subjects);
    let (mut windows, mut due, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for (id, name, slo, of) in of_interest {
        let delay = ids.get(name).and_then(|whole| delays.get(whole));
        let up_to = settled_until(slo, watermark, reader.now, delay.copied());
        for length in settled_lengths(slo) {
            let range = TimeRange::ending_at(up_to, length);
            let ends = of.expected_ends.map(|ends| ends.range_of_ends(range));
            due.push((id, slo.counted(range)));
            ended.push((id, ends.into_iter().collect()));
            windows.push(SettledWindow {
                slo: id,
                length,
                up_to,
                expected: of.expected_ends,
                usual: of.counted(slo.window.length()),
            });
        }
    }
    due.extend(ended);
    let sums = reader.sums_of_sets(tx, &due).await?;
    let (due, ended) = sums.split_at(windows.len());
    for ((window, due), ended) in windows.iter().zip(due).zip(ended) {
        if let Some(of) = measured.get_mut(&window.slo) {
            let settled = of.settled.get_or_insert(SettledCounts::new(window.up_to));
            window.add(*due, *ended, settled);
        }
    }
    Ok(())
}

fn has_bad_lately(slo: &Slo, of: &Measured) -> bool {
    let mut lengths = settled_lengths(slo).into_iter();
    lengths.any(|length| {
        let counts = of.counted(length);
        counts.bad() + counts.unusable() > 0
    })
}

impl SettledWindow {
    fn add(&self, due: EventCounts, ended: EventCounts, to: &mut SettledCounts) {
        let (counts, missing) = with_missing(self.expected, due, ended, self.usual);
        to.counts.insert(self.length, counts);
        to.ends_missing
            .extend(missing.map(|missing| (self.length, missing)));
    }
}
