//! The chart of the error budget over the SLO's own window: its history and its forecasts.

use std::time::Duration;

use super::super::{
    load::{SeriesLimits, series},
    view::BudgetPoint,
};
use crate::{
    domain::{
        alerting::burn_rate::{budget_remaining, steps},
        counting::series::{Series, SeriesPoint},
        model::{
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp},
        },
        slo::Slo,
    },
    store::{SeriesQuery, StoreError, Tx},
    web::pages::summary::Summary,
};

/// The counts that the line is drawn from.
#[derive(Debug)]
pub(in crate::web::pages::slo) struct BudgetPast {
    /// For a rolling window twice its length, so that every point has a whole window before it; for
    /// a calendar period from its begin on, in buckets.
    series: Series,
    /// The distance between points of the line.
    pub(in crate::web::pages::slo) step: Duration,
}

impl BudgetPast {
    pub(in crate::web::pages::slo) async fn read(
        tx: &mut Tx<'_>,
        id: SloId,
        slo: &Slo,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let (resolution, step) = steps(slo.window.length());
        if let Some(period) = slo.window.period(now) {
            let so_far = TimeRange::new(period.from, now);
            let series = of_period(tx, id, slo, so_far, resolution).await?;
            return Ok(Self { series, step });
        }
        let reach = SeriesLimits {
            resolution,
            step,
            length: 2 * slo.window.length(),
        };
        let series = series(tx, id, slo, reach, now).await?;
        Ok(Self { series, step })
    }

    /// Returns the budget at the end of every step of the window; the last is that of the
    /// evaluation, so that the line ends at the number beside it.
    pub(in crate::web::pages::slo) fn history(
        &self,
        slo: &Slo,
        summary: &Summary,
        now: Timestamp,
    ) -> Vec<BudgetPoint> {
        let points = match slo.window.period(now) {
            None => self.rolling(slo, now),
            Some(_) => self.burnt_down(summary, now),
        };
        points
            .into_iter()
            .chain(std::iter::once(BudgetPoint {
                at: now,
                budget_remaining_ratio: summary.budget_remaining_ratio,
            }))
            .collect()
    }

    fn rolling(&self, slo: &Slo, now: Timestamp) -> Vec<BudgetPoint> {
        let (past, window) = (&self.series, slo.window.length());
        let from = now - window;
        (0..=past.len())
            .map(|end| (past.time(end), end))
            .filter(|(at, _)| *at >= from && *at < now)
            .map(|(at, end)| BudgetPoint {
                at,
                budget_remaining_ratio: budget_remaining(past.trailing(end, window), slo.objective),
            })
            .collect()
    }

    /// Returns the budget left after each step of the period, as a share of its present whole
    /// budget.
    fn burnt_down(&self, summary: &Summary, now: Timestamp) -> Vec<BudgetPoint> {
        let past = &self.series;
        let budget = summary.budget_volume() * summary.objective.budget_ratio();
        let buckets = (self.step.as_secs() / past.step().as_secs().max(1)).max(1);
        (0..=past.len())
            .step_by(usize::try_from(buckets).unwrap_or(usize::MAX))
            .map(|end| (past.time(end), end))
            .filter(|(at, _)| *at < now)
            .map(|(at, end)| BudgetPoint {
                at,
                budget_remaining_ratio: (budget > 0.0)
                    .then(|| 1.0 - past.sum(0, end).weighted_bad() / budget),
            })
            .collect()
    }
}

/// Returns the range of the chart: the window and some time after it, or the whole period.
pub(in crate::web::pages::slo) fn range(slo: &Slo, now: Timestamp) -> TimeRange {
    let length = slo.window.length();
    slo.window
        .period(now)
        .unwrap_or_else(|| TimeRange::new(now - length, now + length / 4))
}

/// Returns the buckets of the current period. If the period begins within a bucket, the earlier
/// events are subtracted.
async fn of_period(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    so_far: TimeRange,
    resolution: Resolution,
) -> Result<Series, StoreError> {
    let step = resolution.length();
    let range = TimeRange::new(so_far.from.floor_to(step), so_far.to.ceil_to(step));
    let query = SeriesQuery {
        resolution,
        range,
        step,
    };
    let points = tx.series(&[id], query).await?.remove(&id);
    let mut points = points.unwrap_or_default();
    points.extend(tx.corrections(id, slo, range, step).await?);
    let before = slo.counted(TimeRange::new(range.from, so_far.from));
    let sums = tx.sums_of_sets(&[(id, before)]).await?;
    points.extend(sums.into_iter().map(|counts| SeriesPoint {
        at: range.from,
        counts: -counts,
    }));
    Ok(Series::new(range, step, &points))
}
