//! Counts of the selected spans of each SLO: those with a usable correlation id, and the others by
//! reason.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::{
    domain::model::{ids::SloId, time::Timestamp},
    store::{StoreError, Tx, Writer, batch::Batch},
};

/// Selected spans of one SLO: those that belong to a workflow, and the others by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectedSpans {
    pub correlated: i64,
    pub unusable: BTreeMap<String, i64>,
}

impl Batch {
    /// Adds spans that belong to a workflow to the day of `now`.
    pub(crate) fn add_correlated_spans(
        &mut self,
        writer: Writer,
        now: Timestamp,
        correlated: &BTreeMap<SloId, i64>,
    ) {
        if correlated.is_empty() {
            return;
        }
        self.add(concat!(
            "-- correlated_spans.add\n",
            "insert into correlated_spans as c (slo_id, day, writer, count) ",
            "select slo_id, $2, $3, count ",
            "from unnest($1::integer[], $4::bigint[]) as n(slo_id, count) ",
            "on conflict (slo_id, day, writer) do update set count = c.count + excluded.count",
        ))
        .bind(correlated.keys().map(|slo| slo.0).collect::<Vec<i32>>())
        .bind(now.to_chrono().date_naive())
        .bind(writer.0)
        .bind(correlated.values().copied().collect::<Vec<i64>>());
    }
}

impl Tx<'_> {
    /// Returns the spans of each SLO since the day of the time given for it; an SLO without any is
    /// left out.
    pub async fn selected_spans(
        &mut self,
        slos: &[(SloId, Timestamp)],
    ) -> Result<BTreeMap<SloId, SelectedSpans>, StoreError> {
        let (ids, days): (Vec<i32>, Vec<NaiveDate>) = slos
            .iter()
            .map(|(slo, from)| (slo.0, from.to_chrono().date_naive()))
            .unzip();
        // Evidence that changed a verdict was usable, so it is not counted as discarded.
        let query = sqlx::query_as(concat!(
            "-- correlated_spans.since\n",
            "with w as (select * from unnest($1::integer[], $2::date[]) as w(slo_id, day)) ",
            "select c.slo_id, null as reason, sum(c.count)::bigint from w ",
            "join correlated_spans c on c.slo_id = w.slo_id and c.day >= w.day group by 1 ",
            "union all ",
            "select e.slo_id, e.reason, sum(e.count)::bigint from w ",
            "join evidence_counts e on e.slo_id = w.slo_id and e.day >= w.day ",
            "where e.reason <> 'corrected' group by 1, 2",
        ))
        .bind(ids)
        .bind(days);
        let rows: Vec<(i32, Option<String>, i64)> = self.fetch_all(query).await?;
        let mut spans: BTreeMap<SloId, SelectedSpans> = BTreeMap::new();
        for (slo, reason, count) in rows {
            let of_slo = spans.entry(SloId(slo)).or_default();
            match reason {
                None => of_slo.correlated = count,
                Some(reason) => {
                    of_slo.unusable.insert(reason, count);
                }
            }
        }
        Ok(spans)
    }
}
