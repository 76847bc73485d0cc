//! Spans that start workflows, by SLO and minute: how many of them name their workflow.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    domain::model::{
        counts::StartSpans,
        ids::SloId,
        time::{Resolution, TimeRange, Timestamp},
    },
    store::{StoreError, Tx, Writer, batch::Batch},
};

/// Only the last hour is used.
const KEPT: Duration = Duration::from_hours(2);

impl Batch {
    /// Counts spans in the minute of `now`.
    pub(crate) fn add_start_spans(
        &mut self,
        writer: Writer,
        now: Timestamp,
        starts: &BTreeMap<SloId, StartSpans>,
    ) {
        if starts.is_empty() {
            return;
        }
        let column =
            |count: fn(&StartSpans) -> i64| -> Vec<i64> { starts.values().map(count).collect() };
        self.add(
            "-- start_spans.add
             insert into start_spans as s (slo_id, minute, writer, correlated, uncorrelated)
             select slo_id, $2, $3, correlated, uncorrelated
             from unnest($1::integer[], $4::bigint[], $5::bigint[])
                 as n (slo_id, correlated, uncorrelated)
             on conflict (slo_id, minute, writer) do update set
                 correlated = s.correlated + excluded.correlated,
                 uncorrelated = s.uncorrelated + excluded.uncorrelated",
        )
        .bind(starts.keys().map(|slo| slo.0).collect::<Vec<i32>>())
        .bind(minute(now))
        .bind(writer.0)
        .bind(column(|starts| starts.correlated))
        .bind(column(|starts| starts.uncorrelated));
    }
}

impl Tx<'_> {
    /// Returns the spans of each of `slos` that arrived in `range`, by whole minutes; an SLO
    /// without any is left out.
    pub async fn start_spans(
        &mut self,
        slos: &[SloId],
        range: TimeRange,
    ) -> Result<BTreeMap<SloId, StartSpans>, StoreError> {
        let query = sqlx::query_as(
            "-- start_spans.sums
             select slo_id, sum(correlated)::bigint, sum(uncorrelated)::bigint from start_spans
             where slo_id = any ($1) and minute >= $2 and minute <= $3 group by slo_id",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<i32>>())
        .bind(minute(range.from))
        .bind(minute(range.to));
        let rows: Vec<(i32, i64, i64)> = self.fetch_all(query).await?;
        let starts = |(slo, correlated, uncorrelated)| {
            let starts = StartSpans {
                correlated,
                uncorrelated,
            };
            (SloId(slo), starts)
        };
        Ok(rows.into_iter().map(starts).collect())
    }

    /// Deletes counts that are too old to be used.
    pub async fn forget_start_spans(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let statement =
            sqlx::query("-- start_spans.forget\ndelete from start_spans where minute < $1")
                .bind((now - KEPT).to_chrono());
        self.execute(statement).await.map(drop)
    }
}

fn minute(at: Timestamp) -> DateTime<Utc> {
    at.floor_to(Resolution::Minute.length()).to_chrono()
}
