//! Deliveries that another target is made to tell as well, because their own is not reached.

use std::time::Duration;

use sqlx::FromRow;
use uuid::Uuid;

use super::{StoreError, Tx};
use crate::domain::{
    model::{ids::Name, time::Timestamp},
    notify::delivery::{circuit::TargetCondition, expires_after},
    slo::Severity,
};

/// One given up longer ago is known by now.
const DEAD_IS_NEWS_FOR: Duration = Duration::from_mins(10);

/// Who stands in for whom.
#[derive(Clone, Copy, Debug)]
pub struct StandIn<'a> {
    pub target: &'a Name,
    pub fallback: &'a Name,
    /// How long a page may be on its way to the target alone.
    pub patience: Duration,
}

impl Tx<'_> {
    /// Makes the fallback of a target tell what the target has not been told: pages that are overdue,
    /// everything that it refuses or that was given up, and while it is broken all of it. Whatever
    /// else there is of the same episode follows, so that nobody hears of a beginning alone. Returns
    /// how many deliveries were handed over; a second call hands over none of them again.
    ///
    /// One hop: what is at a target as a fallback goes no further. A fallback that is to be told in its
    /// own right is told nothing twice.
    pub async fn hand_over(
        &mut self,
        stand_in: StandIn<'_>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let overdue = self.overdue(stand_in, now).await?;
        if overdue.is_empty() {
            return Ok(0);
        }
        self.lock_alerts(&overdue).await?;
        let result = sqlx::query(
            "-- deliveries.hand_over
            with handed as (
                select d.id, t.episode
                from unnest($3::uuid[], $4::bigint[]) as overdue (episode, from_id)
                join alert_transitions t on t.episode = overdue.episode
                join deliveries d on d.transition_id = t.id and d.id >= overdue.from_id
                where d.target = $1 and d.handed_over_at is null
                    and d.state in ('pending', 'leased', 'delivered', 'dead')
            ), marked as (
                update deliveries d set handed_over_at = $5
                from handed where d.id = handed.id
                returning d.id, d.transition_id, d.ordering_key, d.priority, d.created_at,
                    handed.episode
            )
            insert into deliveries
                (transition_id, target, ordering_key, priority, state, next_attempt_at, created_at,
                    retries_since, stands_in_for)
            select m.transition_id, $2, m.ordering_key, m.priority, 'pending', $5, m.created_at, $5, $1
            from marked m
            where not exists (
                select from deliveries own
                join alert_transitions t on t.id = own.transition_id
                where own.target = $2 and own.stands_in_for is null and t.episode = m.episode)
            order by m.id
            on conflict (transition_id, target) do nothing",
        )
        .bind(stand_in.target.as_str())
        .bind(stand_in.fallback.as_str())
        .bind(overdue.iter().map(|one| one.episode).collect::<Vec<_>>())
        .bind(overdue.iter().map(|one| one.from_id).collect::<Vec<_>>())
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await;
        result
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }

    /// By episode, from its oldest delivery that is overdue on. An end alone is not: who has not been
    /// told of the beginning need not know that it is over.
    async fn overdue(
        &mut self,
        stand_in: StandIn<'_>,
        now: Timestamp,
    ) -> Result<Vec<Overdue>, StoreError> {
        let states = self.target_states().await?;
        let is_broken = states.iter().any(|(name, state)| {
            let condition = state.health.condition;
            name == stand_in.target && matches!(condition, TargetCondition::Broken { .. })
        });
        sqlx::query_as(
            "-- deliveries.overdue
            select t.slo_id, t.severity, t.episode, min(d.id) as from_id
            from deliveries d
            join alert_transitions t on t.id = d.transition_id
            where d.target = $1 and d.handed_over_at is null and d.stands_in_for is null
                and t.kind <> 'resolved'
                and (d.state in ('pending', 'leased') and (
                        $2 or (d.priority = 0 and d.created_at <= $3)
                        or exists (
                            select from delivery_attempts a
                            where a.delivery_id = d.id
                                and a.class in ('broken', 'forbidden', 'rejected')))
                    or d.state = 'dead' and d.settled_at > $4)
                and (d.attempts > 0 or d.retries_since > case when d.priority = 0 then $5 else $6 end)
                and not exists (
                    select from deliveries hop
                    join alert_transitions h on h.id = hop.transition_id
                    where hop.target = $1 and hop.stands_in_for is not null
                        and h.episode = t.episode)
            group by t.slo_id, t.severity, t.episode
            order by t.slo_id, t.severity, from_id",
        )
        .bind(stand_in.target.as_str())
        .bind(is_broken)
        .bind((now - stand_in.patience).to_chrono())
        .bind((now - DEAD_IS_NEWS_FOR).to_chrono())
        .bind((now - expires_after(Severity::Page)).to_chrono())
        .bind((now - expires_after(Severity::Ticket)).to_chrono())
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Who evaluates an alert writes its deliveries under this lock: none can come in between, and the
    /// ids of one ordering key are committed in their order.
    async fn lock_alerts(&mut self, overdue: &[Overdue]) -> Result<(), StoreError> {
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
struct Overdue {
    slo_id: i32,
    severity: String,
    episode: Uuid,
    from_id: i64,
}
