//! What became of deliveries, and which targets have some to come.

use std::collections::BTreeMap;

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{Delivery, DeliveryState},
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Everybody who was, or is to be, told of these transitions, in the order of their names.
    pub async fn deliveries_of(
        &mut self,
        transitions: &[Uuid],
    ) -> Result<BTreeMap<Uuid, Vec<Delivery>>, StoreError> {
        let rows: Vec<DeliveryRow> = sqlx::query_as(
            "-- deliveries.of_transitions
             select transition_id, target, state, attempts, last.http_status
             from deliveries
             left join lateral (
                 select http_status from delivery_attempts
                 where delivery_id = deliveries.id order by attempt desc limit 1
             ) as last on true
             where transition_id = any ($1)
             order by target",
        )
        .bind(transitions)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut told: BTreeMap<Uuid, Vec<Delivery>> = BTreeMap::new();
        for row in rows {
            let of_transition = told.entry(row.transition_id).or_default();
            of_transition.push(self.delivery(&row)?);
        }
        Ok(told)
    }

    /// Targets with something to claim, whether or not they are still declared.
    pub async fn due_targets(&mut self, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let targets: Vec<String> = sqlx::query_scalar(
            "-- deliveries.due_targets
             select distinct target from deliveries
             where state in ('pending', 'leased') and next_attempt_at <= $1
             order by target",
        )
        .bind(now.to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        targets.iter().map(|target| self.name(target)).collect()
    }

    /// SLOs with an alert that lasts and of which the target has been told.
    pub async fn firing_at(&mut self, target: &Name) -> Result<Vec<Name>, StoreError> {
        let slos: Vec<String> = sqlx::query_scalar(
            "-- deliveries.firing_at
             select distinct s.name
             from alerts a
             join slos s on s.id = a.slo_id
             join alert_transitions t on t.slo_id = a.slo_id and t.severity = a.severity
                 and t.episode = a.episode
             join deliveries d on d.transition_id = t.id and d.target = $1
             where d.state = 'delivered'
             order by s.name",
        )
        .bind(target.as_str())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        slos.iter().map(|slo| self.name(slo)).collect()
    }

    fn delivery(&self, row: &DeliveryRow) -> Result<Delivery, StoreError> {
        // Another version of the service wrote it.
        let unknown = || format!("`{}` is no value of `deliveries.state`", row.state);
        Ok(Delivery {
            state: DeliveryState::parse(&row.state)
                .ok_or_else(|| self.failed(sqlx::Error::Decode(unknown().into())))?,
            target: self.name(&row.target)?,
            attempts: row.attempts,
            http_status: row.http_status,
        })
    }
}

#[derive(FromRow)]
struct DeliveryRow {
    transition_id: Uuid,
    target: String,
    state: String,
    attempts: i32,
    http_status: Option<i32>,
}
