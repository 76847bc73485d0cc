//! The deliveries of alert transitions, and the targets with due deliveries.

use std::collections::BTreeMap;

use sqlx::{FromRow, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::Delivery,
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Returns the deliveries of these transitions, each in the order of the targets' names.
    pub async fn deliveries_of(
        &mut self,
        transitions: &[Uuid],
    ) -> Result<BTreeMap<Uuid, Vec<Delivery>>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.of_transitions
            select transition_id, target, state, attempts, last.http_status
            from deliveries
            left join lateral (
                select http_status from delivery_attempts
                where delivery_id = deliveries.id order by attempt desc limit 1) as last on true
            where transition_id = any ($1)
            order by target",
        );
        let rows: Vec<DeliveryRow> = self.fetch_all(query.bind(transitions)).await?;
        let mut deliveries: BTreeMap<Uuid, Vec<Delivery>> = BTreeMap::new();
        for row in rows {
            let of_transition = deliveries.entry(row.transition).or_default();
            of_transition.push(row.delivery);
        }
        Ok(deliveries)
    }

    /// Returns the targets with due deliveries, declared or not, in the order of their names.
    pub async fn due_targets(&mut self, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.due_targets
            select distinct target from deliveries
            where state in ('pending', 'leased') and next_attempt_at <= $1
            order by target",
        );
        let targets: Vec<(Name,)> = self.fetch_all(query.bind(now)).await?;
        Ok(targets.into_iter().map(|(target,)| target).collect())
    }

    /// Returns the SLOs with an active alert of which the target was notified, in the order of
    /// their names.
    pub async fn firing_at(&mut self, target: &Name) -> Result<Vec<Name>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.firing_at
            select distinct s.name
            from alerts a
            join slos s on s.id = a.slo_id
            join alert_transitions t on t.slo_id = a.slo_id and t.severity = a.severity
                and t.episode = a.episode
            join deliveries d on d.transition_id = t.id and d.target = $1
            where d.state = 'delivered'
            order by s.name",
        );
        let slos: Vec<(Name,)> = self.fetch_all(query.bind(target)).await?;
        Ok(slos.into_iter().map(|(slo,)| slo).collect())
    }
}

struct DeliveryRow {
    transition: Uuid,
    delivery: Delivery,
}

impl FromRow<'_, PgRow> for DeliveryRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            transition: row.try_get("transition_id")?,
            delivery: Delivery {
                target: row.try_get("target")?,
                state: row.try_get("state")?,
                attempts: row.try_get("attempts")?,
                http_status: row.try_get("http_status")?,
            },
        })
    }
}
