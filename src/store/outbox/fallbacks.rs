//! Escalation: notifications that a target does not receive are sent to its fallback as well.

use std::time::Duration;

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{circuit::TargetCondition, expires_after},
        slo::Severity,
    },
    store::{StoreError, Tx},
};

/// A permanent failure is escalated within this time; an older one has been noticed by now.
const FAILURE_IS_NEWS_FOR: Duration = Duration::from_mins(10);

/// From which target to which fallback.
#[derive(Clone, Copy, Debug)]
pub struct Escalation<'a> {
    pub target: &'a Name,
    pub fallback: &'a Name,
    /// How long a page may be on its way to the target alone.
    pub patience: Duration,
}

impl Tx<'_> {
    /// Sends to the fallback what the target has not received: overdue pages, everything that it
    /// rejected or that failed permanently, and everything while the target is misconfigured. The
    /// other deliveries of the same episode follow, so that the fallback never gets a beginning
    /// without its end. Returns how many deliveries were escalated; a second call escalates none of
    /// them again.
    ///
    /// One hop: a delivery to a fallback is not escalated. A fallback that is notified of the episode
    /// in its own right gets nothing twice.
    pub async fn escalate(
        &mut self,
        escalation: Escalation<'_>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let overdue = self.overdue(escalation, now).await?;
        if overdue.is_empty() {
            return Ok(0);
        }
        self.lock_alerts(&overdue).await?;
        let result = sqlx::query(
            "-- deliveries.escalate
            with escalated as (
                select d.id, t.episode
                from unnest($3::uuid[], $4::bigint[]) as overdue (episode, from_id)
                join alert_transitions t on t.episode = overdue.episode
                join deliveries d on d.transition_id = t.id and d.id >= overdue.from_id
                where d.target = $1 and d.escalated_at is null
                    and d.state in ('pending', 'leased', 'delivered', 'failed')
            ), marked as (
                update deliveries d set escalated_at = $5
                from escalated where d.id = escalated.id
                returning d.id, d.transition_id, d.ordering_key, d.priority, d.created_at,
                    escalated.episode
            )
            insert into deliveries
                (transition_id, target, ordering_key, priority, state, next_attempt_at, created_at,
                    retries_since, fallback_for)
            select m.transition_id, $2, m.ordering_key, m.priority, 'pending', $5, m.created_at, $5, $1
            from marked m
            where not exists (
                select from deliveries own
                join alert_transitions t on t.id = own.transition_id
                where own.target = $2 and own.fallback_for is null and t.episode = m.episode)
            order by m.id
            on conflict (transition_id, target) do nothing",
        )
        .bind(escalation.target.as_str())
        .bind(escalation.fallback.as_str())
        .bind(overdue.iter().map(|one| one.episode).collect::<Vec<_>>())
        .bind(overdue.iter().map(|one| one.from_id).collect::<Vec<_>>())
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }

    /// By episode, from its oldest delivery that is overdue on. An end alone is not: a target
    /// that never received the beginning need not know that it is over.
    async fn overdue(
        &mut self,
        escalation: Escalation<'_>,
        now: Timestamp,
    ) -> Result<Vec<OverdueDelivery>, StoreError> {
        let states = self.target_states().await?;
        let is_broken = states.iter().any(|(name, state)| {
            let condition = state.health.condition;
            name == escalation.target && matches!(condition, TargetCondition::Misconfigured { .. })
        });
        sqlx::query_as(
            "-- deliveries.overdue
            select t.slo_id, t.severity, t.episode, min(d.id) as from_id
            from deliveries d
            join alert_transitions t on t.id = d.transition_id
            where d.target = $1 and d.escalated_at is null and d.fallback_for is null
                and t.kind <> 'resolved'
                and (d.state in ('pending', 'leased') and (
                        $2 or (d.priority = 0 and d.created_at <= $3)
                        or exists (
                            select from delivery_attempts a
                            where a.delivery_id = d.id
                                and a.class in ('misconfigured', 'forbidden', 'rejected')))
                    or d.state = 'failed' and d.settled_at > $4)
                and (d.attempts > 0 or d.retries_since > case when d.priority = 0 then $5 else $6 end)
                and not exists (
                    select from deliveries hop
                    join alert_transitions h on h.id = hop.transition_id
                    where hop.target = $1 and hop.fallback_for is not null
                        and h.episode = t.episode)
            group by t.slo_id, t.severity, t.episode
            order by t.slo_id, t.severity, from_id",
        )
        .bind(escalation.target.as_str())
        .bind(is_broken)
        .bind((now - escalation.patience).to_chrono())
        .bind((now - FAILURE_IS_NEWS_FOR).to_chrono())
        .bind((now - expires_after(Severity::Page)).to_chrono())
        .bind((now - expires_after(Severity::Ticket)).to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Who evaluates an alert writes its deliveries under this lock: none can come in between, and the
    /// ids of one ordering key are committed in their order.
    async fn lock_alerts(&mut self, overdue: &[OverdueDelivery]) -> Result<(), StoreError> {
        let result = sqlx::query(
            "-- alerts.lock
            select from alerts
            where (slo_id, severity) in (select * from unnest($1::integer[], $2::text[]))
            order by slo_id, severity
            for update",
        )
        .bind(overdue.iter().map(|one| one.slo_id).collect::<Vec<_>>())
        .bind(
            overdue
                .iter()
                .map(|one| one.severity.as_str())
                .collect::<Vec<_>>(),
        )
        .execute(&mut *self.inner)
        .await;
        result.map(drop).map_err(|source| self.failed(source))
    }
}

#[derive(FromRow)]
struct OverdueDelivery {
    slo_id: i32,
    severity: String,
    episode: Uuid,
    from_id: i64,
}
