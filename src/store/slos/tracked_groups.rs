//! Tracked groups: an SLO tracks a bounded number of groups, and those without events free their
//! slots for others.

use std::time::Duration;

use crate::{
    domain::model::{
        ids::{Name, SloId},
        time::{Resolution, Timestamp},
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Frees the slots of groups that had no event within `window` before `now`, in whole days, and
    /// that have neither an open workflow nor an active alert. Returns how many slots have changed.
    /// One SLO per transaction, since it blocks all writers that create groups of the SLO.
    ///
    /// A group that counted an event just as its slot was freed gets it back.
    pub async fn free_group_slots(
        &mut self,
        slo: &Name,
        window: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let slo: Option<i32> = sqlx::query_scalar(
            "-- tracked_groups.grouped
             select id from slos where name = $1 and group_by is not null and parent_id is null",
        )
        .bind(slo.as_str())
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let Some(slo) = slo else { return Ok(0) };
        self.lock_groups(SloId(slo)).await?;
        let statement = sqlx::query(
            "-- tracked_groups.free
             update slos
             set is_tracked = changed.is_seen, declared = changed.is_seen and changed.is_wanted
             from (
                 select own.id, parent.declared as is_wanted, exists (
                     select 1 from event_counts c
                     where c.slo_id = own.id and c.resolution = $2 and c.bucket >= $3
                         and (c.good, c.late, c.failed, c.timeout) <> (0, 0, 0, 0)
                 ) or exists (
                     select 1 from open_counts o where o.slo_id = own.id
                     group by o.started_from, o.length_us, o.within_us having sum(o.workflows) <> 0
                 ) or exists (
                     select 1 from alerts a where a.slo_id = own.id and a.state <> 'inactive'
                 ) as is_seen
                 from slos as own join slos as parent on parent.id = own.parent_id
                 where own.parent_id = $1 and own.group_values is not null
                     and own.group_by = parent.group_by
                 order by own.id for update of own
             ) as changed
             where slos.id = changed.id and slos.is_tracked <> changed.is_seen",
        )
        .bind(slo)
        .bind(Resolution::Day.as_secs())
        .bind(
            (now - window)
                .floor_to(Resolution::Day.length())
                .to_chrono(),
        );
        let freed = self.execute(statement).await?;
        Ok(freed)
    }
}
