//! How the spans that end workflows are sampled, as learned from them, by SLO and day.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::{
    domain::model::{
        ids::SloId,
        sampling::{EndDraw, EndSampling, Threshold},
        time::Timestamp,
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Notes on the day of `now` what is stricter than known. Most often nothing is, and then nothing
    /// is locked.
    pub async fn learn_end_sampling(
        &mut self,
        now: Timestamp,
        learned: &BTreeMap<SloId, EndSampling>,
    ) -> Result<(), StoreError> {
        if learned.is_empty() {
            return Ok(());
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
        sqlx::query(
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
                 drawn_independently = t.drawn_independently or excluded.drawn_independently",
        )
        .bind(slos)
        .bind(day(now))
        .bind(thresholds)
        .bind(apart)
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// What was learned since the day of `from`, of every SLO with ends that say how they are sampled.
    pub async fn end_sampling(
        &mut self,
        from: Timestamp,
    ) -> Result<BTreeMap<SloId, EndSampling>, StoreError> {
        let rows: Vec<(i32, i64, bool)> = sqlx::query_as(
            "-- sampling_thresholds.since
             select slo_id, max(end_threshold), bool_or(drawn_independently) from sampling_thresholds
             where day >= $1 group by slo_id",
        )
        .bind(day(from))
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
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

    /// Forgets what was learned before the day of `before`.
    pub async fn forget_end_sampling(&mut self, before: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "-- sampling_thresholds.forget\ndelete from sampling_thresholds where day < $1",
        )
        .bind(day(before))
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
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
