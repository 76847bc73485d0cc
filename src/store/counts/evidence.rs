//! Evidence that could not be used, or that changed a verdict, by SLO, day and reason.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::{WorkflowNote, classify::DiscardReason},
    },
    store::{StoreError, Tx, batch::Batch},
};

impl Batch {
    /// Adds discarded evidence and notes on workflows to the day of `now`.
    pub(crate) fn add_evidence_counts(
        &mut self,
        now: Timestamp,
        unusable: &BTreeMap<(SloId, DiscardReason), i64>,
        noted: &BTreeMap<(SloId, WorkflowNote), i64>,
    ) {
        let mut counts: BTreeMap<(i32, &str), i64> = BTreeMap::new();
        for ((slo, why), count) in unusable {
            *counts.entry((slo.0, why.as_str())).or_default() += count;
        }
        for ((slo, notice), count) in noted {
            *counts.entry((slo.0, notice.as_str())).or_default() += count;
        }
        if counts.is_empty() {
            return;
        }
        let day: NaiveDate = now.to_chrono().date_naive();
        self.add(concat!(
            "-- evidence_counts.add\n",
            "insert into evidence_counts as c (slo_id, day, reason, count) ",
            "select slo_id, $2, reason, count ",
            "from unnest($1::integer[], $3::text[], $4::bigint[]) as n(slo_id, reason, count) ",
            "on conflict (slo_id, day, reason) do update set count = c.count + excluded.count",
        ))
        .bind(counts.keys().map(|(slo, _)| *slo).collect::<Vec<i32>>())
        .bind(day)
        .bind(
            counts
                .keys()
                .map(|(_, reason)| (*reason).to_owned())
                .collect::<Vec<String>>(),
        )
        .bind(counts.values().copied().collect::<Vec<i64>>());
    }
}

impl Tx<'_> {
    /// Returns all recorded evidence counts, by SLO and reason.
    pub async fn evidence_totals(
        &mut self,
    ) -> Result<BTreeMap<SloId, BTreeMap<String, i64>>, StoreError> {
        let query = sqlx::query_as(
            "-- evidence_counts.totals
             select slo_id, reason, sum(count)::bigint from evidence_counts
             group by slo_id, reason",
        );
        let rows: Vec<(i32, String, i64)> = self.fetch_all(query).await?;
        let mut totals: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (slo, reason, count) in rows {
            totals.entry(SloId(slo)).or_default().insert(reason, count);
        }
        Ok(totals)
    }

    /// Returns the evidence counts since the day of `from`, by reason.
    pub async fn evidence_counts(
        &mut self,
        slo: SloId,
        from: Timestamp,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        let query = sqlx::query_as(
            "-- evidence_counts.since
             select reason, sum(count)::bigint from evidence_counts
             where slo_id = $1 and day >= $2 group by reason",
        )
        .bind(slo.0)
        .bind(from.to_chrono().date_naive());
        let rows: Vec<(String, i64)> = self.fetch_all(query).await?;
        Ok(rows.into_iter().collect())
    }
}
