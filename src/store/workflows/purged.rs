//! Keys of purged workflows, kept while an end of them may still arrive.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::{EventId, EventKey, Outcome},
    },
    store::{Progress, StoreError, Tx},
};

/// Outcomes whose keys are kept. Workflows that succeeded are not: evidence that arrives for them
/// later is a redelivery.
const WITHOUT_SUCCESS: [Outcome; 7] = [
    Outcome::Failed,
    Outcome::Timeout,
    Outcome::Cancelled,
    Outcome::Unobservable,
    Outcome::EvidenceLost,
    Outcome::Unwatched,
    Outcome::Ambiguous,
];

/// A workflow of an epoch, as a position in the order of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PurgedUpTo {
    pub(crate) slo_id: i32,
    pub(crate) key: Uuid,
}

/// The next workflows of an epoch that is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextWorkflows {
    /// There are no more.
    None,
    /// At least one of them may still receive evidence.
    Needed,
    /// The last of them; none is needed any more.
    UpTo(PurgedUpTo),
}

impl Tx<'_> {
    /// Examines the next workflows of `epoch` after `after`. Those judged at `floor` or later, or
    /// with a deadline then, are still needed.
    pub(crate) async fn next_to_purge(
        &mut self,
        epoch: i32,
        after: Option<PurgedUpTo>,
        floor: Timestamp,
    ) -> Result<NextWorkflows, StoreError> {
        let query = sqlx::query_as(
            "-- purged_workflows.next
             select slo_id, key, bool_or(is_needed) over () from (
                 select slo_id, key,
                     outcome = 0 or judged_at >= $4 or coalesce(
                         started_at + coalesce(within_us, 0) * interval '1 microsecond' >= $4, false)
                         as is_needed
                 from workflows where epoch = $1 and (slo_id, key) > ($2, $3)
                 order by slo_id, key limit $5) as slice
             order by slo_id desc, key desc limit 1",
        );
        let query = query
            .bind(epoch)
            .bind(after.map_or(i32::MIN, |after| after.slo_id))
            .bind(after.map_or(Uuid::nil(), |after| after.key))
            .bind(floor)
            .bind(Progress::SLICE);
        let last: Option<(i32, Uuid, bool)> = self.fetch_optional(query).await?;
        Ok(match last {
            None => NextWorkflows::None,
            Some((_, _, true)) => NextWorkflows::Needed,
            Some((slo_id, key, false)) => NextWorkflows::UpTo(PurgedUpTo { slo_id, key }),
        })
    }

    /// Stores the keys of the workflows after `after` up to `up_to` that may still end.
    pub(crate) async fn remember_purged(
        &mut self,
        epoch: i32,
        after: Option<PurgedUpTo>,
        up_to: PurgedUpTo,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- purged_workflows.add
             insert into purged_workflows (slo_id, key, purged_at)
             select slo_id, key, $6 from workflows
             where epoch = $1 and (slo_id, key) > ($2, $3) and (slo_id, key) <= ($4, $5)
                 and outcome = any ($7) and started_at is not null
             on conflict do nothing",
        )
        .bind(epoch)
        .bind(after.map_or(i32::MIN, |after| after.slo_id))
        .bind(after.map_or(Uuid::nil(), |after| after.key))
        .bind(up_to.slo_id)
        .bind(up_to.key)
        .bind(now)
        .bind(WITHOUT_SUCCESS.map(Outcome::as_code).to_vec());
        self.execute(statement).await?;
        let statement = sqlx::query(
            "-- epoch.purged_up_to
             update epochs set purged_slo_id = $2, purged_key = $3 where epoch = $1",
        )
        .bind(epoch)
        .bind(up_to.slo_id)
        .bind(up_to.key);
        self.execute(statement).await.map(drop)
    }

    /// Deletes some of the keys that were stored before `before`.
    pub async fn forget_purged(&mut self, before: Timestamp) -> Result<Progress, StoreError> {
        let statement = sqlx::query(
            "-- purged_workflows.delete_old
             delete from purged_workflows where ctid = any (array(
                 select ctid from purged_workflows where purged_at < $1 limit $2))",
        )
        .bind(before)
        .bind(Progress::SLICE);
        Ok(Progress::of_slice(self.execute(statement).await?))
    }

    /// Returns which of these were purged.
    pub(crate) async fn purged_among(
        &mut self,
        ids: &[EventId],
    ) -> Result<BTreeSet<EventId>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (slos, keys): (Vec<i32>, Vec<Uuid>) = ids
            .iter()
            .map(|(slo, key)| (slo.0, Uuid::from_bytes(key.0)))
            .unzip();
        let query = sqlx::query_as(concat!(
            "-- purged_workflows.among\n",
            "select f.slo_id, f.key from unnest($1::integer[], $2::uuid[]) as n(slo_id, key) ",
            "join purged_workflows f on f.slo_id = n.slo_id and f.key = n.key",
        ))
        .bind(slos)
        .bind(keys);
        let rows: Vec<(i32, Uuid)> = self.fetch_all(query).await?;
        let id = |(slo, key): (i32, Uuid)| (SloId(slo), EventKey(key.into_bytes()));
        Ok(rows.into_iter().map(id).collect())
    }
}
