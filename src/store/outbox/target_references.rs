//! References to earlier messages in a target, to which later messages of the same alert are
//! attached.

use std::time::Duration;

use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::snapshot::AlertSnapshot,
        model::{ids::Name, time::Timestamp},
        notify::Reference,
    },
    store::{StoreError, Tx},
};

/// An earlier message about an alert in a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlierMessage {
    OfThisEpisode(Reference),
    /// The last message about the previous episode, which ended a short time ago.
    OfTheLastEpisode(Reference),
}

impl Tx<'_> {
    /// Returns the target's message about the episode of this transition or platform notification;
    /// or, for an episode that begins within `soon` after the previous one of the same alert, the
    /// message about that one. `None` also if this version cannot read it.
    pub async fn earlier_message(
        &mut self,
        target: &Name,
        message: Uuid,
        soon: Duration,
    ) -> Result<Option<EarlierMessage>, StoreError> {
        let query = sqlx::query_as(
            "-- target_references.earlier_message
            select r.reference, t.episode = this.episode, t.version
            from alert_transitions this
            join alert_transitions t on t.slo_id = this.slo_id and t.severity = this.severity
                and (t.episode = this.episode
                    or (t.kind = 'resolved' and t.version < this.version and t.at > this.at - $3))
            join target_references r on r.episode = t.episode and r.target = $1
            where this.id = $2
            union all
            select r.reference, true, 0
            from platform_notifications n
            join target_references r on r.episode = n.episode and r.target = $1
            where n.id = $2
            order by 2 desc, 3 desc
            limit 1",
        )
        .bind(target)
        .bind(message)
        .bind(soon);
        let kept: Option<(Json<serde_json::Value>, bool, i64)> = self.fetch_optional(query).await?;
        Ok(kept.and_then(|(kept, is_same, _)| {
            let reference = serde_json::from_value(kept.0).ok()?;
            Some(if is_same {
                EarlierMessage::OfThisEpisode(reference)
            } else {
                EarlierMessage::OfTheLastEpisode(reference)
            })
        }))
    }

    /// Stores a reference; it replaces an earlier one of the same episode.
    pub async fn keep_target_reference(
        &mut self,
        target: &Name,
        episode: Uuid,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- target_references.keep
            insert into target_references (target, episode, reference, saved_at)
            values ($1, $2, $3, $4)
            on conflict (target, episode) do update
            set reference = excluded.reference, saved_at = excluded.saved_at",
        )
        .bind(target)
        .bind(episode)
        .bind(Json(reference))
        .bind(now);
        self.execute(statement).await.map(drop)
    }

    /// Returns what must be repeated to a target that keeps no state: alerts that it was, or is, to
    /// be notified of and that are still active, and those that ended since `ended_after`, each as
    /// of its last transition.
    pub async fn snapshots_to_repeat(
        &mut self,
        target: &Name,
        ended_after: Timestamp,
    ) -> Result<Vec<AlertSnapshot>, StoreError> {
        let query = sqlx::query_as(
            "-- alert_transitions.standing
            with standing as (
                select t.id, t.slo_id, t.severity, t.version, t.snapshot
                from alerts a
                join alert_transitions t
                    on t.slo_id = a.slo_id and t.severity = a.severity and t.episode = a.episode
                union all
                select t.id, t.slo_id, t.severity, t.version, t.snapshot
                from alert_transitions t
                where t.at > $2 and t.kind = 'resolved'
            )
            select distinct on (s.slo_id, s.severity) s.snapshot
            from standing s
            join deliveries d on d.transition_id = s.id and d.target = $1
            order by s.slo_id, s.severity, s.version desc",
        )
        .bind(target)
        .bind(ended_after);
        let rows: Vec<(Json<serde_json::Value>,)> = self.fetch_all(query).await?;
        let readable = rows
            .into_iter()
            .filter_map(|(facts,)| serde_json::from_value(facts.0).ok());
        Ok(readable.collect())
    }
}
