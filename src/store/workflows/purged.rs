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

/// The number of pages (of 8 KiB) of workflows that one step of a purge reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesAStep(pub i64);

impl PagesAStep {
    /// 256 MiB, about a million workflows: some seconds from a slow disk, so that no snapshot is old
    /// and a step that fails repeats little.
    pub const DEFAULT: Self = Self(32_768);
}

/// The next workflows of an epoch that is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextWorkflows {
    /// There are no more.
    None,
    /// At least one of them may still receive evidence.
    Needed,
    /// None is needed any more, and their keys are kept.
    Purged,
}

impl Tx<'_> {
    /// Stores the keys of the workflows in the next pages of `epoch` from `first` that may still end,
    /// unless one of these workflows is needed: those judged at `floor` or later, or with a deadline
    /// then.
    ///
    /// Pages are read in their order. In the order of keys, which are hashes, each workflow would be
    /// on another page.
    pub(crate) async fn purge_next(
        &mut self,
        epoch: i32,
        first: i64,
        PagesAStep(pages): PagesAStep,
        floor: Timestamp,
    ) -> Result<NextWorkflows, StoreError> {
        if first >= self.pages_of_workflows(epoch).await? {
            return Ok(NextWorkflows::None);
        }
        let next = first.saturating_add(pages);
        let query = sqlx::query_as(
            "-- purged_workflows.next
             with slice as materialized (
                 select slo_id, key, is_needed from (
                     select slo_id, key, outcome, started_at,
                         outcome = 0 or judged_at >= $4 or coalesce(
                             started_at + coalesce(within_us, 0) * interval '1 microsecond' >= $4, false)
                             as is_needed
                     from workflows where epoch = $1 and ctid >= $2::text::tid and ctid < $3::text::tid
                 ) as looked_at
                 where is_needed or outcome = any ($5) and started_at is not null
             ), total as (
                 select coalesce(bool_or(is_needed), false) as is_needed from slice
             ), kept as (
                 insert into purged_workflows (slo_id, key, epoch)
                 select slo_id, key, $1 from slice where not (select is_needed from total)
                 on conflict do nothing
             ), noted as (
                 update epochs set purged_pages = $6 where epoch = $1 and not (select is_needed from total)
             )
             select is_needed from total",
        );
        let query = query
            .bind(epoch)
            .bind(format!("({first},0)"))
            .bind(format!("({next},0)"))
            .bind(floor)
            .bind(WITHOUT_SUCCESS.map(Outcome::as_code).to_vec())
            .bind(next);
        Ok(match self.fetch_one(query).await? {
            (true,) => NextWorkflows::Needed,
            (false,) => NextWorkflows::Purged,
        })
    }

    async fn pages_of_workflows(&mut self, epoch: i32) -> Result<i64, StoreError> {
        let query = sqlx::query_as(
            "-- epoch.pages
             select pg_relation_size(to_regclass('workflows_' || $1))
                 / current_setting('block_size')::bigint",
        );
        let (pages,): (i64,) = self.fetch_one(query.bind(epoch)).await?;
        Ok(pages)
    }

    /// Drops the keys of one epoch whose workflows were dropped before `before`.
    pub async fn forget_purged(&mut self, before: Timestamp) -> Result<Progress, StoreError> {
        let query = sqlx::query_as(
            "-- purged_workflows.oldest
             select epoch from epochs where purged_at < $1 order by epoch limit 1
             for update skip locked",
        );
        let Some((epoch,)) = self.fetch_optional::<(i32,)>(query.bind(before)).await? else {
            return Ok(Progress::Done);
        };
        self.wait_briefly_for_locks().await?;
        self.run_ddl(format!(
            "-- purged_workflows.drop_partition\ndrop table if exists purged_workflows_{epoch}"
        ))
        .await?;
        let statement = sqlx::query("-- epoch.delete\ndelete from epochs where epoch = $1");
        self.execute(statement.bind(epoch)).await?;
        Ok(Progress::More)
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
