//! The events of one customer.

use crate::{
    domain::model::{ids::SloId, time::Timestamp},
    store::{StoreError, Tx},
};

/// Events of one customer for one SLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomerTally {
    pub slo: SloId,
    pub events: i64,
    /// Bad ones among them.
    pub bad: i64,
}

impl Tx<'_> {
    /// Returns the events of a customer since the day of `from`, by SLO.
    pub async fn customer_tallies(
        &mut self,
        slos: &[SloId],
        customer: &str,
        from: Timestamp,
    ) -> Result<Vec<CustomerTally>, StoreError> {
        let query = sqlx::query_as(
            "-- customer_counts.of_customer
             select c.slo_id, sum(c.events)::bigint, sum(c.bad)::bigint
             from unnest($1::integer[]) as s (id) cross join customer_buckets b
             join customer_counts c on c.slo_id = s.id and c.resolution = 86400
                 and c.bucket = b.bucket and c.customer = $2
             where b.slo_id = s.id and b.resolution = 86400
                 and b.bucket >= date_trunc('day', $3::timestamptz, 'UTC')
             group by c.slo_id order by c.slo_id",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>())
        .bind(customer)
        .bind(from.to_chrono());
        let rows: Vec<(i32, i64, i64)> = self.fetch_all(query).await?;
        let tally = |(slo, events, bad)| CustomerTally {
            slo: SloId(slo),
            events,
            bad,
        };
        Ok(rows.into_iter().map(tally).collect())
    }
}
