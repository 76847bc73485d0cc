//! Sums over time without planned work: corrections to subtract, and the counts that leave a window
//! next.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::{
        alerting::burn_rate::{Ageing, steps},
        counting::series::{Series, SeriesPoint},
        model::{
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        slo::Slo,
    },
    store::{SeriesQuery, StoreError, Tx},
};

impl Tx<'_> {
    /// Returns corrections to a series of `step`: the negated counts of the excluded ranges.
    pub async fn corrections(
        &mut self,
        id: SloId,
        slo: &Slo,
        range: TimeRange,
        step: Duration,
    ) -> Result<Vec<SeriesPoint>, StoreError> {
        let excluded = slo.excluded(range);
        if excluded.is_empty() {
            return Ok(Vec::new());
        }
        let pieces: Vec<(SloId, TimeRange)> = excluded
            .iter()
            .flat_map(|range| by_step(*range, step))
            .map(|piece| (id, piece))
            .collect();
        let sums = self.sums(&pieces).await?;
        let points = pieces
            .iter()
            .zip(sums)
            .map(|((_, piece), counts)| SeriesPoint {
                at: piece.from.floor_to(step),
                counts: -counts,
            });
        Ok(points.collect())
    }

    /// Returns the counts that leave the windows of these SLOs next, which are all of this length.
    pub async fn ageing(
        &mut self,
        slos: &[(SloId, &Slo)],
        window: Duration,
        now: Timestamp,
    ) -> Result<BTreeMap<SloId, Ageing>, StoreError> {
        let (resolution, step) = steps(window);
        let range = Ageing::range(window, now);
        let ids: Vec<SloId> = slos.iter().map(|(id, _)| *id).collect();
        let query = SeriesQuery {
            resolution,
            range,
            step,
        };
        let mut counts = self.series(&ids, query).await?;
        let mut ageing = BTreeMap::new();
        for (id, slo) in slos {
            let mut points = counts.remove(id).unwrap_or_default();
            points.extend(self.corrections(*id, slo, range, step).await?);
            ageing.insert(*id, Ageing::new(&Series::new(range, step, &points)));
        }
        Ok(ageing)
    }
}

/// Splits a range at the points of a series.
fn by_step(range: TimeRange, step: Duration) -> Vec<TimeRange> {
    let mut parts = Vec::new();
    let mut from: Timestamp = range.from;
    while from < range.to {
        let to = (from.floor_to(step) + step).min(range.to);
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
