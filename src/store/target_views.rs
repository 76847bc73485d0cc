//! What each target was told last of each alert, and what is missing there.

use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use super::{News, StoreError, Tx};
use crate::domain::{
    alerting::snapshot::Facts,
    model::{ids::Name, time::Timestamp},
    notify::delivery::alert_key,
    slo::Severity,
};

/// Who is to be told of the alerts of an SLO, as it is declared.
#[derive(Clone, Copy, Debug)]
pub struct Listeners<'a> {
    pub slo: &'a Name,
    pub severity: Severity,
    pub targets: &'a [Name],
}

impl Tx<'_> {
    /// Keeps that a target has been told of a transition. What is no transition, or older than what it
    /// was told already, changes nothing.
    pub async fn keep_target_view(
        &mut self,
        target: &Name,
        transition: Uuid,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let result = sqlx::query(
            "-- target_views.keep
            insert into target_views (target, ordering_key, transition_id, version, shown, told_at)
            select d.target, d.ordering_key, t.id, t.version,
                case t.kind when 'resolved' then 'resolved' else 'firing' end, $3
            from deliveries d
            join alert_transitions t on t.id = d.transition_id
            where d.transition_id = $2 and d.target = $1
            on conflict (target, ordering_key) do update
            set transition_id = excluded.transition_id, version = excluded.version,
                shown = excluded.shown, told_at = excluded.told_at
            where excluded.version >= target_views.version",
        )
        .bind(target.as_str())
        .bind(transition)
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result.map(drop).map_err(|source| self.failed(source))
    }

    /// Writes the duty to tell the end of alerts that `targets` still show as firing although they are
    /// over and nothing is on its way. What was given up stays so: that is known. Returns how many.
    pub async fn repair_ends(
        &mut self,
        targets: &[Name],
        (now, shown_before): (Timestamp, Timestamp),
    ) -> Result<u64, StoreError> {
        let targets: Vec<&str> = targets.iter().map(Name::as_str).collect();
        let result = sqlx::query(
            "-- target_views.repair_ends
            with stale as (
                select v.target, v.ordering_key, a.slo_id, a.severity, t.episode
                from target_views v
                join alert_transitions t on t.id = v.transition_id
                join alerts a on a.slo_id = t.slo_id and a.severity = t.severity
                where v.shown = 'firing' and v.target = any ($1) and v.told_at <= $3
                    and a.state = 'inactive'
                    and not exists (
                        select from deliveries open
                        where open.target = v.target and open.ordering_key = v.ordering_key
                            and open.state in ('pending', 'leased'))
                order by a.slo_id, a.severity
                for update of a skip locked
            )
            insert into deliveries
                (transition_id, target, ordering_key, priority, state, next_attempt_at, created_at,
                    retries_since)
            select ended.id, s.target, s.ordering_key,
                case s.severity when 'page' then 0 else 1 end, 'pending', $2, ended.at, $2
            from stale s
            join lateral (
                select e.id, e.at from alert_transitions e
                where e.slo_id = s.slo_id and e.severity = s.severity and e.episode = s.episode
                    and e.kind = 'resolved'
                order by e.version desc limit 1) ended on true
            on conflict (transition_id, target) do update
            set state = 'pending', next_attempt_at = $2, retries_since = $2, settled_at = null
            where deliveries.state in ('collapsed', 'expired', 'cancelled')",
        )
        .bind(targets)
        .bind(now.to_chrono())
        .bind(shown_before.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }

    /// Writes the duty to tell the beginning of alerts that have fired since before `since` and that
    /// nobody shows: nothing of them was told, is on its way, was held back or given up, and the SLO
    /// was evaluated after `since`. Returns how many deliveries.
    pub async fn repair_beginnings(
        &mut self,
        listeners: &[Listeners<'_>],
        (now, since): (Timestamp, Timestamp),
    ) -> Result<u64, StoreError> {
        let unheard = self.unheard(since).await?;
        let mut repaired = 0;
        for one in unheard {
            let facts = one.facts.0;
            let told = listeners.iter().find(|listening| {
                *listening.slo == facts.slo && listening.severity == facts.severity
            });
            let Some(listening) = told else { continue };
            let news = News {
                transition: one.id,
                targets: listening.targets,
                ordering_key: &alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
                severity: facts.severity,
            };
            repaired += self.revive_deliveries(one.id, now).await?;
            repaired += self.enqueue_deliveries(news, now).await?;
        }
        Ok(repaired)
    }

    /// Beginnings of alerts that nobody shows, with the alerts locked.
    async fn unheard(&mut self, since: Timestamp) -> Result<Vec<Unheard>, StoreError> {
        sqlx::query_as(
            "-- alerts.unheard
            select o.id, o.facts
            from alerts a
            join slo_statuses s on s.slo_id = a.slo_id and s.evaluated_at > $1
            join alert_transitions o on o.slo_id = a.slo_id and o.severity = a.severity
                and o.episode = a.episode and o.kind = 'firing'
            where a.state in ('firing', 'recovering') and a.since <= $1 and o.suppression is null
                and not exists (
                    select from target_views v
                    join alert_transitions t on t.id = v.transition_id
                    where t.episode = a.episode)
                and not exists (
                    select from deliveries d
                    join alert_transitions t on t.id = d.transition_id
                    where t.episode = a.episode and d.state in ('pending', 'leased', 'dead'))
            order by a.slo_id, a.severity
            for update of a skip locked",
        )
        .bind(since.to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Those that ended untold are on their way again.
    async fn revive_deliveries(
        &mut self,
        transition: Uuid,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let result = sqlx::query(
            "-- deliveries.revive
            update deliveries
            set state = 'pending', next_attempt_at = $2, retries_since = $2, settled_at = null
            where transition_id = $1 and state in ('expired', 'cancelled', 'collapsed')",
        )
        .bind(transition)
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }
}

#[derive(FromRow)]
struct Unheard {
    id: Uuid,
    facts: Json<Facts>,
}
