//! The state of each alert as each target shows it, and the deliveries that targets lack.

use uuid::Uuid;

use crate::{
    domain::model::{ids::Name, time::Timestamp},
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Records that a target has received a transition. A platform notification, or a transition older
    /// than the last one it received, changes nothing.
    pub async fn keep_target_alert(
        &mut self,
        target: &Name,
        transition: Uuid,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- target_alerts.keep
            insert into target_alerts (target, ordering_key, transition_id, version, state, notified_at)
            select d.target, d.ordering_key, t.id, t.version,
                case t.kind when 'resolved' then 'resolved' else 'firing' end, $3
            from deliveries d
            join alert_transitions t on t.id = d.transition_id
            where d.transition_id = $2 and d.target = $1
            on conflict (target, ordering_key) do update
            set transition_id = excluded.transition_id, version = excluded.version,
                state = excluded.state, notified_at = excluded.notified_at
            where excluded.version >= target_alerts.version",
        )
        .bind(target)
        .bind(transition)
        .bind(now);
        self.execute(statement).await.map(drop)
    }

    /// Adds the missing deliveries of the ends of alerts that `targets` still show as firing although
    /// they have resolved and nothing is pending. Permanent failures are left alone: a health check
    /// reports them. Returns how many were added.
    pub async fn reconcile_ends(
        &mut self,
        targets: &[Name],
        now: Timestamp,
        shown_before: Timestamp,
    ) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- target_alerts.reconcile_ends
            with stale as (
                select v.target, v.ordering_key, a.slo_id, a.severity, t.episode
                from target_alerts v
                join alert_transitions t on t.id = v.transition_id
                join alerts a on a.slo_id = t.slo_id and a.severity = t.severity
                where v.state = 'firing' and v.target = any ($1) and v.notified_at <= $3
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
        .bind(now)
        .bind(shown_before);
        self.execute(statement).await
    }

    /// Puts the beginnings of alerts that have fired since before `since` back into the queues of those
    /// `targets` that were to get them, if no target shows the alert: nothing of it was delivered, is
    /// pending, was suppressed or failed permanently, and the SLO was evaluated after `since`. Returns how
    /// many.
    pub async fn revive_beginnings(
        &mut self,
        targets: &[Name],
        now: Timestamp,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- deliveries.revive_beginnings
            with undelivered as (
                select o.id
                from alerts a
                join slo_statuses s on s.slo_id = a.slo_id and s.evaluated_at > $3
                join alert_transitions o on o.slo_id = a.slo_id and o.severity = a.severity
                    and o.episode = a.episode and o.kind = 'firing'
                where a.state in ('firing', 'recovering') and a.since <= $3 and o.suppression is null
                    and not exists (
                        select from target_alerts v
                        join alert_transitions t on t.id = v.transition_id
                        where t.episode = a.episode)
                    and not exists (
                        select from deliveries d
                        join alert_transitions t on t.id = d.transition_id
                        where t.episode = a.episode and d.state in ('pending', 'leased', 'failed'))
                order by a.slo_id, a.severity
                for update of a skip locked
            )
            update deliveries d
            set state = 'pending', next_attempt_at = $2, retries_since = $2, settled_at = null
            from undelivered u
            where d.transition_id = u.id and d.target = any ($1)
                and d.state in ('expired', 'cancelled', 'collapsed')",
        )
        .bind(targets)
        .bind(now)
        .bind(since);
        self.execute(statement).await
    }
}
