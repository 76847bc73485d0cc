//! Changes of the outbox for targets whose definitions have changed while alerts fire.

use std::collections::BTreeMap;

use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    domain::{alerting::snapshot::AlertSnapshot, model::ids::Name},
    store::{StoreError, Tx},
};

/// A firing alert by its beginning, and the targets that it was or is to be sent to.
#[derive(Clone, Debug)]
pub struct FiringAlert {
    pub opening: Uuid,
    pub facts: AlertSnapshot,
    pub notified: Vec<Name>,
}

impl Tx<'_> {
    /// Assigns to targets under their new names what belonged to their former names: open
    /// deliveries, all deliveries of firing alerts, what targets show, and references. An alert
    /// with a delivery in progress follows later, so that its end does not overtake that delivery.
    /// Returns how many deliveries were moved.
    pub async fn rename_targets(
        &mut self,
        names: &BTreeMap<Name, Name>,
    ) -> Result<u64, StoreError> {
        let former: Vec<&Name> = names.keys().collect();
        let present: Vec<&Name> = names.values().collect();
        self.rename_references(&former, &present).await?;
        let statement = sqlx::query(
            "-- target_alerts.rename
            with moved as (
                delete from target_alerts v
                using unnest($1::text[], $2::text[]) as n (former, present)
                where v.target = n.former
                returning n.present, v.ordering_key, v.transition_id, v.version, v.state, v.notified_at
            )
            insert into target_alerts (target, ordering_key, transition_id, version, state, notified_at)
            select distinct on (present, ordering_key)
                present, ordering_key, transition_id, version, state, notified_at
            from moved order by present, ordering_key, version desc
            on conflict (target, ordering_key) do update
            set transition_id = excluded.transition_id, version = excluded.version,
                state = excluded.state, notified_at = excluded.notified_at
            where excluded.version > target_alerts.version",
        );
        self.execute(statement.bind(&former).bind(&present)).await?;
        let statement = sqlx::query(
            "-- deliveries.rename
            update deliveries d set target = n.present
            from unnest($1::text[], $2::text[]) as n (former, present)
            where d.id in (
                    select own.id from deliveries own
                    where own.target = any ($1) and own.state = 'pending'
                    union all
                    select own.id
                    from alerts a
                    join alert_transitions t on t.episode = a.episode
                    join deliveries own on own.transition_id = t.id
                    where own.target = any ($1))
                and d.target = n.former
                and not exists (
                    select from deliveries sent
                    where sent.target = d.target and sent.ordering_key = d.ordering_key
                        and sent.state = 'leased')
                and not exists (
                    select from deliveries other
                    where other.target = n.present
                        and (other.transition_id = d.transition_id
                            or other.platform_notification_id = d.platform_notification_id))",
        );
        self.execute(statement.bind(&former).bind(&present)).await
    }

    async fn rename_references(
        &mut self,
        former: &[&Name],
        present: &[&Name],
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- target_references.rename
            with moved as (
                delete from target_references r
                using unnest($1::text[], $2::text[]) as n (former, present)
                where r.target = n.former
                returning n.present, r.episode, r.reference, r.saved_at
            )
            insert into target_references (target, episode, reference, saved_at)
            select distinct on (present, episode) present, episode, reference, saved_at
            from moved order by present, episode, saved_at desc
            on conflict (target, episode) do nothing",
        );
        let statement = statement.bind(former).bind(present);
        self.execute(statement).await.map(drop)
    }

    /// Returns the firing alerts that are not suppressed, and locks them.
    pub async fn firing_alerts(&mut self) -> Result<Vec<FiringAlert>, StoreError> {
        let query = sqlx::query_as(
            "-- alerts.firing
            select o.id, o.snapshot, array(
                select distinct d.target from alert_transitions t
                join deliveries d on d.transition_id = t.id
                where t.episode = a.episode)
            from alerts a
            join lateral (
                select t.id, t.snapshot from alert_transitions t
                where t.slo_id = a.slo_id and t.severity = a.severity and t.episode = a.episode
                    and t.kind = 'firing'
                order by t.version desc limit 1) o on true
            where a.state = 'firing' and a.suppression is null
            order by a.slo_id, a.severity
            for update of a skip locked",
        );
        let rows: Vec<(Uuid, Json<AlertSnapshot>, Vec<Name>)> = self.fetch_all(query).await?;
        let alert = |(opening, Json(facts), notified)| FiringAlert {
            opening,
            facts,
            notified,
        };
        Ok(rows.into_iter().map(alert).collect())
    }
}
