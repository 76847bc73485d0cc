//! How what a target is told later on refers to what it was told first.

use sqlx::types::Json;
use uuid::Uuid;

use super::{StoreError, Tx};
use crate::domain::{
    names::Name,
    notification::{Facts, Reference},
    time::Timestamp,
};

impl Tx<'_> {
    /// What is kept of a target and an episode; `None` also if this version cannot read it.
    pub async fn target_reference(
        &mut self,
        target: &Name,
        episode: Uuid,
    ) -> Result<Option<Reference>, StoreError> {
        let kept: Option<Json<serde_json::Value>> = sqlx::query_scalar(
            "-- target_references.read
            select reference from target_references where target = $1 and episode = $2",
        )
        .bind(target.as_str())
        .bind(episode)
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(kept.and_then(|kept| serde_json::from_value(kept.0).ok()))
    }

    /// The latest reference holds.
    pub async fn keep_target_reference(
        &mut self,
        target: &Name,
        episode: Uuid,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let result = sqlx::query(
            "-- target_references.keep
            insert into target_references (target, episode, reference, told_at)
            values ($1, $2, $3, $4)
            on conflict (target, episode) do update
            set reference = excluded.reference, told_at = excluded.told_at",
        )
        .bind(target.as_str())
        .bind(episode)
        .bind(Json(reference))
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result.map(drop).map_err(|source| self.failed(source))
    }

    /// What a target that forgets must hear again: alerts that it was to be told of and that still
    /// last, and those that ended since `ended_after`, each with the facts of its last transition.
    pub async fn standing_facts(
        &mut self,
        target: &Name,
        ended_after: Timestamp,
    ) -> Result<Vec<Facts>, StoreError> {
        let rows: Vec<Json<serde_json::Value>> = sqlx::query_scalar(
            "-- alert_transitions.standing
            with standing as (
                select t.id, t.slo_id, t.severity, t.version, t.facts
                from alerts a
                join alert_transitions t
                    on t.slo_id = a.slo_id and t.severity = a.severity and t.episode = a.episode
                union all
                select t.id, t.slo_id, t.severity, t.version, t.facts
                from alert_transitions t
                where t.at > $2 and t.kind = 'resolved'
            )
            select distinct on (s.slo_id, s.severity) s.facts
            from standing s
            join deliveries d on d.transition_id = s.id and d.target = $1
            order by s.slo_id, s.severity, s.version desc",
        )
        .bind(target.as_str())
        .bind(ended_after.to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let readable = rows
            .into_iter()
            .filter_map(|facts| serde_json::from_value(facts.0).ok());
        Ok(readable.collect())
    }
}
