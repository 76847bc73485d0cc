//! Observations of the ends of each SLO: their sampling, day by day, and whether they or the timeouts
//! that stand for them come late.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, NaiveDate, Utc};

use crate::{
    domain::{
        alerting::settled::TimeoutDelay,
        model::{
            ids::SloId,
            sampling::{EndDraw, EndSampling, Threshold},
            time::Timestamp,
        },
        workflow::{DelayedEnds, EndObservations},
    },
    store::{StoreError, Tx, batch::Batch, columns::micros},
};

/// A newer end or a later arrival is not written if the difference is smaller, so that replicas
/// rarely wait for each other's row.
const DELAY_STEP_MS: i64 = 1_000;

/// A delay of timeouts is that of a new backlog if the last one was counted longer ago.
const DELAY_REMEMBERED: Duration = Duration::from_mins(5);

/// The sampling of an SLO's ends that was observed on one day.
#[derive(Clone, Debug, sqlx_macros::FromRow)]
pub struct LearnedSampling {
    slo_id: i32,
    day: NaiveDate,
    end_threshold: i64,
    drawn_independently: bool,
}

impl LearnedSampling {
    pub const fn slo(&self) -> SloId {
        SloId(self.slo_id)
    }
}

impl Batch {
    pub(crate) fn note_delayed_ends(
        &mut self,
        now: Timestamp,
        newest: &BTreeMap<SloId, Timestamp>,
    ) {
        if newest.is_empty() {
            return;
        }
        let slos: Vec<i32> = newest.keys().map(|slo| slo.0).collect();
        let ends: Vec<DateTime<Utc>> = newest.values().map(|end| end.to_chrono()).collect();
        self.add(
            "-- delayed_ends.note
             insert into delayed_ends as d (slo_id, newest_end_at, last_arrived_at)
             select n.slo_id, n.newest_end_at, $3
             from unnest($1::integer[], $2::timestamptz[]) as n (slo_id, newest_end_at)
             where not exists (
                 select 1 from delayed_ends known where known.slo_id = n.slo_id
                     and known.newest_end_at > n.newest_end_at - $4 * interval '1 millisecond'
                     and known.last_arrived_at > $3 - $4 * interval '1 millisecond')
             order by n.slo_id
             on conflict (slo_id) do update set
                 newest_end_at = greatest(d.newest_end_at, excluded.newest_end_at),
                 last_arrived_at = greatest(d.last_arrived_at, excluded.last_arrived_at)",
        )
        .bind(slos)
        .bind(ends)
        .bind(now.to_chrono())
        .bind(DELAY_STEP_MS);
    }

    pub(crate) fn note_delayed_timeouts(
        &mut self,
        now: Timestamp,
        longest: &BTreeMap<SloId, Duration>,
    ) {
        if longest.is_empty() {
            return;
        }
        let slos: Vec<i32> = longest.keys().map(|slo| slo.0).collect();
        let behind: Vec<i64> = longest.values().map(|behind| micros(*behind)).collect();
        self.add(
            "-- delayed_timeouts.note
             insert into delayed_timeouts as d (slo_id, behind_us, last_counted_at)
             select n.slo_id, n.behind_us, $3
             from unnest($1::integer[], $2::bigint[]) as n (slo_id, behind_us)
             where not exists (
                 select 1 from delayed_timeouts known where known.slo_id = n.slo_id
                     and known.behind_us >= n.behind_us
                     and known.last_counted_at > $3 - $4 * interval '1 millisecond')
             order by n.slo_id
             on conflict (slo_id) do update set
                 behind_us = case
                     when d.last_counted_at < $3 - $5 * interval '1 microsecond'
                         then excluded.behind_us
                     else greatest(d.behind_us, excluded.behind_us) end,
                 last_counted_at = greatest(d.last_counted_at, excluded.last_counted_at)",
        )
        .bind(slos)
        .bind(behind)
        .bind(now.to_chrono())
        .bind(DELAY_STEP_MS)
        .bind(micros(DELAY_REMEMBERED));
    }

    /// Stores, on the day of `now`, thresholds that are stricter than the stored ones. Usually
    /// there are none, and nothing is locked.
    pub(crate) fn learn_end_sampling(
        &mut self,
        now: Timestamp,
        learned: &BTreeMap<SloId, EndSampling>,
    ) {
        if learned.is_empty() {
            return;
        }
        let slos: Vec<i32> = learned.keys().map(|slo| slo.0).collect();
        let thresholds: Vec<i64> = learned
            .values()
            .map(|ends| column(ends.threshold))
            .collect();
        let apart: Vec<bool> = learned
            .values()
            .map(|ends| ends.draw == EndDraw::Apart)
            .collect();
        self.add(
            "-- sampling_thresholds.learn
             insert into sampling_thresholds as t (slo_id, day, end_threshold, drawn_independently)
             select n.slo_id, $2, n.end_threshold, n.drawn_independently
             from unnest($1::integer[], $3::bigint[], $4::boolean[])
                 as n (slo_id, end_threshold, drawn_independently)
             where not exists (
                 select 1 from sampling_thresholds known
                 where known.slo_id = n.slo_id and known.day = $2
                     and known.end_threshold >= n.end_threshold
                     and known.drawn_independently >= n.drawn_independently)
             order by n.slo_id
             on conflict (slo_id, day) do update set
                 end_threshold = greatest(t.end_threshold, excluded.end_threshold),
                 drawn_independently = t.drawn_independently or excluded.drawn_independently,
                 is_applied = false",
        )
        .bind(slos)
        .bind(day(now))
        .bind(thresholds)
        .bind(apart);
    }
}

impl Tx<'_> {
    /// Returns the observations of every SLO: the sampling of its ends since
    /// [`EndSampling::REMEMBERED`] ago, and when an end was last delayed.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn end_observations(
        &mut self,
        now: Timestamp,
    ) -> Result<BTreeMap<SloId, EndObservations>, StoreError> {
        let mut observed: BTreeMap<SloId, EndObservations> = BTreeMap::new();
        for (slo, sampling) in self.end_sampling(now).await? {
            observed.entry(slo).or_default().sampling = sampling;
        }
        for (slo, delayed) in self.delayed_ends().await? {
            observed.entry(slo).or_default().delayed = Some(delayed);
        }
        Ok(observed)
    }

    /// Returns how late timeouts are counted, for every SLO where they ever were.
    pub async fn timeout_delays(&mut self) -> Result<BTreeMap<SloId, TimeoutDelay>, StoreError> {
        let query = sqlx::query_as(
            "-- delayed_timeouts.all
             select slo_id, behind_us, last_counted_at from delayed_timeouts",
        );
        let rows: Vec<(i32, i64, DateTime<Utc>)> = self.fetch_all(query).await?;
        let delay = |(slo, behind_us, last_counted_at): (i32, i64, DateTime<Utc>)| {
            let delay = TimeoutDelay {
                behind: Duration::from_micros(u64::try_from(behind_us).unwrap_or_default()),
                last_counted_at: last_counted_at.into(),
            };
            (SloId(slo), delay)
        };
        Ok(rows.into_iter().map(delay).collect())
    }

    async fn delayed_ends(&mut self) -> Result<Vec<(SloId, DelayedEnds)>, StoreError> {
        let query = sqlx::query_as(
            "-- delayed_ends.all
             select slo_id, newest_end_at, last_arrived_at from delayed_ends",
        );
        let rows: Vec<(i32, DateTime<Utc>, DateTime<Utc>)> = self.fetch_all(query).await?;
        let delayed =
            |(slo, newest_end_at, last_arrived_at): (i32, DateTime<Utc>, DateTime<Utc>)| {
                let delayed = DelayedEnds {
                    newest_end_at: newest_end_at.into(),
                    last_arrived_at: last_arrived_at.into(),
                };
                (SloId(slo), delayed)
            };
        Ok(rows.into_iter().map(delayed).collect())
    }

    /// Returns the learned sampling of ends that was not yet applied to timeouts.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn new_end_sampling(&mut self) -> Result<Vec<LearnedSampling>, StoreError> {
        let query = sqlx::query_as(
            "-- sampling_thresholds.new
             select slo_id, day, end_threshold, drawn_independently from sampling_thresholds
             where not is_applied order by slo_id, day",
        );
        self.fetch_all(query).await
    }

    /// Records that `learned` was applied to all timeouts, unless more was learned in the meantime.
    ///
    /// # Errors
    /// If the database refuses the write.
    pub async fn note_sampling_applied(
        &mut self,
        learned: &LearnedSampling,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- sampling_thresholds.applied
             update sampling_thresholds set is_applied = true
             where slo_id = $1 and day = $2 and end_threshold = $3 and drawn_independently = $4",
        )
        .bind(learned.slo_id)
        .bind(learned.day)
        .bind(learned.end_threshold)
        .bind(learned.drawn_independently);
        self.execute(statement).await.map(drop)
    }

    /// Returns the sampling learned since [`EndSampling::REMEMBERED`] ago, for every SLO whose ends
    /// report it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn end_sampling(
        &mut self,
        now: Timestamp,
    ) -> Result<BTreeMap<SloId, EndSampling>, StoreError> {
        let query = sqlx::query_as(
            "-- sampling_thresholds.since
             select slo_id, max(end_threshold), bool_or(drawn_independently) from sampling_thresholds
             where day >= $1 group by slo_id",
        )
        .bind(day(now - EndSampling::REMEMBERED));
        let rows: Vec<(i32, i64, bool)> = self.fetch_all(query).await?;
        rows.into_iter()
            .map(|(slo, threshold, is_apart)| {
                let threshold = u64::try_from(threshold)
                    .ok()
                    .and_then(|bits| Threshold::try_from(bits).ok())
                    .ok_or_else(|| self.failed(out_of_range()))?;
                let draw = if is_apart {
                    EndDraw::Apart
                } else {
                    EndDraw::WithStart
                };
                let ends = EndSampling {
                    threshold,
                    draw,
                    ..EndSampling::default()
                };
                Ok((SloId(slo), ends))
            })
            .collect()
    }

    /// Deletes what was learned before the day of `before`.
    pub async fn forget_end_sampling(&mut self, before: Timestamp) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- sampling_thresholds.forget\ndelete from sampling_thresholds where day < $1",
        )
        .bind(day(before));
        self.execute(statement).await?;
        Ok(())
    }
}

fn day(at: Timestamp) -> NaiveDate {
    at.to_chrono().date_naive()
}

/// Below 2^56, so it fits.
fn column(threshold: Threshold) -> i64 {
    i64::try_from(u64::from(threshold)).unwrap_or(i64::MAX)
}

fn out_of_range() -> sqlx::Error {
    sqlx::Error::Decode("sampling_thresholds.end_threshold is no threshold".into())
}
