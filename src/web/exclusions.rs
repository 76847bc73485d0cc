//! Planned work in what the pages show: taken out of the numbers, and told with its reason.

use std::time::Duration;

use serde::Serialize;

use crate::{
    domain::{
        definition::Slo,
        format,
        names::SloId,
        series::SeriesPoint,
        time::{TimeRange, Timestamp},
    },
    store::{StoreError, Tx},
};

/// Occurrences that are told, the latest ones.
const MOST: usize = 20;

/// One stretch whose events are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ExclusionView {
    pub(super) name: String,
    pub(super) reason: String,
    from: Timestamp,
    to: Timestamp,
}

impl ExclusionView {
    /// The latest that lie in `range`, latest first.
    pub(super) fn all(slo: &Slo, range: TimeRange) -> Vec<Self> {
        let each = slo.exclusions.iter().flat_map(|exclusion| {
            exclusion.within(range).map(|stretch| Self {
                name: exclusion.name.to_string(),
                reason: exclusion.reason.clone(),
                from: stretch.from,
                to: stretch.to,
            })
        });
        let mut all: Vec<Self> = each.collect();
        all.sort_by_key(|view| std::cmp::Reverse((view.from, view.to)));
        all.truncate(MOST);
        all
    }

    pub(super) fn time_text(&self, now: Timestamp) -> String {
        format!(
            "{}, {}",
            format::moment(self.from, now),
            format::lasting(self.to.saturating_since(self.from))
        )
    }
}

/// What is to be added to a series of `step` so that the excluded stretches are out of it: their
/// counts, negative.
pub(super) async fn corrections(
    tx: &mut Tx<'_>,
    (id, slo): (SloId, &Slo),
    range: TimeRange,
    step: Duration,
) -> Result<Vec<SeriesPoint>, StoreError> {
    let excluded = slo.excluded(range);
    if excluded.is_empty() {
        return Ok(Vec::new());
    }
    let pieces: Vec<(SloId, TimeRange)> = excluded
        .iter()
        .flat_map(|stretch| by_step(*stretch, step))
        .map(|piece| (id, piece))
        .collect();
    let sums = tx.sums(&pieces).await?;
    let points = pieces
        .iter()
        .zip(sums)
        .map(|((_, piece), counts)| SeriesPoint {
            at: piece.from.floor_to(step),
            counts: -counts,
        });
    Ok(points.collect())
}

/// The parts of a stretch that lie in different points.
fn by_step(stretch: TimeRange, step: Duration) -> Vec<TimeRange> {
    let mut parts = Vec::new();
    let mut from = stretch.from;
    while from < stretch.to {
        let to = (from.floor_to(step) + step).min(stretch.to);
        parts.push(TimeRange::new(from, to));
        from = to;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_parted_where_the_points_of_a_series_are() {
        let minutes = |from: i64, to: i64| {
            TimeRange::new(
                Timestamp::from_secs(from * 60),
                Timestamp::from_secs(to * 60),
            )
        };
        let step = Duration::from_hours(1);
        assert_eq!(
            by_step(minutes(50, 130), step),
            [minutes(50, 60), minutes(60, 120), minutes(120, 130)]
        );
        assert_eq!(by_step(minutes(61, 62), step), [minutes(61, 62)]);
    }
}
