//! Groups of SLOs: rows beside those of the SLOs, created when their first event arrives.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    domain::{
        model::{
            group::{Group, GroupKey},
            ids::SloId,
        },
        slo::GroupBy,
    },
    store::{StoreError, Tx},
};

/// Class of the advisory locks under which groups are created, one per SLO.
const GROUPS_LOCK: i32 = 0x0067_7270;

/// The grouping of an SLO's events.
pub(crate) struct Grouping {
    pub(crate) by: Vec<String>,
    pub(crate) max_groups: i64,
}

type Groups = BTreeMap<GroupKey, Group>;
/// Groups by their SLO and key.
pub(crate) type GroupIds = BTreeMap<(SloId, GroupKey), SloId>;

impl Tx<'_> {
    /// Stores the groupings of the declared SLOs; an SLO that is absent from `grouping` has none.
    /// Groups of an SLO that is no longer declared, or that is now grouped differently, become
    /// undeclared.
    pub async fn declare_groups(
        &mut self,
        grouping: &BTreeMap<SloId, &GroupBy>,
    ) -> Result<(), StoreError> {
        let ids: Vec<i32> = grouping.keys().map(|slo| slo.0).collect();
        let by: Vec<Json<Vec<String>>> = grouping.values().map(|by| Json(by.names())).collect();
        let most: Vec<i32> = grouping
            .values()
            .map(|by| i32::try_from(by.max_groups).unwrap_or(i32::MAX))
            .collect();
        // Locked in one order, so that replicas that load the same files do not deadlock.
        let statement = sqlx::query(
            "-- groups.declare_grouping
             update slos set group_by = changed.group_by, max_groups = changed.max_groups
             from (
                 select slos.id, n.group_by, n.max_groups
                 from slos left join unnest($1::integer[], $2::jsonb[], $3::integer[])
                     as n (id, group_by, max_groups) on n.id = slos.id
                 where slos.parent_id is null
                     and (slos.group_by, slos.max_groups) is distinct from (n.group_by, n.max_groups)
                 order by slos.id for update of slos
             ) as changed
             where slos.id = changed.id",
        )
        .bind(ids)
        .bind(by)
        .bind(most);
        self.execute(statement).await?;
        let statement = sqlx::query(
            "-- groups.declare
             update slos set declared = not slos.declared
             from (
                 select own.id
                 from slos as own join slos as parent on parent.id = own.parent_id
                 where own.declared <> (parent.declared and own.is_tracked
                     and parent.group_by is not distinct from own.group_by)
                 order by own.id for update of own
             ) as changed
             where slos.id = changed.id",
        );
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns the groupings of those of `slos` that group their events.
    pub(crate) async fn groupings(
        &mut self,
        slos: &BTreeSet<SloId>,
    ) -> Result<BTreeMap<SloId, Grouping>, StoreError> {
        if slos.is_empty() {
            return Ok(BTreeMap::new());
        }
        let query = sqlx::query_as(
            "-- groups.groupings
             select id, group_by, max_groups from slos
             where id = any ($1) and parent_id is null and group_by is not null",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>());
        let rows: Vec<(i32, Json<Vec<String>>, i32)> = self.fetch_all(query).await?;
        let grouping = |(id, Json(by), max_groups): (i32, Json<Vec<String>>, i32)| {
            let max_groups = i64::from(max_groups);
            (SloId(id), Grouping { by, max_groups })
        };
        Ok(rows.into_iter().map(grouping).collect())
    }

    pub(crate) async fn known_groups(
        &mut self,
        slo: SloId,
        keys: Vec<GroupKey>,
    ) -> Result<GroupIds, StoreError> {
        let keys: Vec<Uuid> = keys.iter().map(|key| Uuid::from_bytes(key.0)).collect();
        let query = sqlx::query_as(
            "-- groups.known
             select group_key, id from slos
             where parent_id = $1 and group_key = any ($2) and is_tracked",
        )
        .bind(slo.0)
        .bind(keys);
        let rows: Vec<(Uuid, i32)> = self.fetch_all(query).await?;
        Ok(group_ids(slo, rows))
    }

    pub(crate) async fn lock_groups(&mut self, slo: SloId) -> Result<(), StoreError> {
        let statement = sqlx::query("-- groups.lock\nselect pg_advisory_xact_lock($1, $2)")
            .bind(GROUPS_LOCK)
            .bind(slo.0);
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns how many groups have a slot of their own.
    pub(crate) async fn count_groups(
        &mut self,
        slo: SloId,
        grouping: &Grouping,
    ) -> Result<i64, StoreError> {
        sqlx::query_scalar(
            "-- groups.count
             select count(*) from slos
             where parent_id = $1 and group_by = $2 and group_values is not null and is_tracked",
        )
        .bind(slo.0)
        .bind(Json(&grouping.by))
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Inserts groups. One that had a slot before gets one again, together with everything that was
    /// counted in it.
    pub(crate) async fn insert_groups(
        &mut self,
        slo: SloId,
        groups: &Groups,
    ) -> Result<GroupIds, StoreError> {
        let keys: Vec<Uuid> = groups.keys().map(|key| Uuid::from_bytes(key.0)).collect();
        let by: Vec<Json<&Vec<String>>> = groups.values().map(|group| Json(&group.by)).collect();
        let values: Vec<Option<Json<&Vec<Option<String>>>>> = groups
            .values()
            .map(|group| group.values.as_ref().map(Json))
            .collect();
        let query = sqlx::query_as(
            "-- groups.insert
             insert into slos (parent_id, group_key, group_by, group_values)
             select $1, n.group_key, n.group_by, n.group_values
             from unnest($2::uuid[], $3::jsonb[], $4::jsonb[])
                 as n (group_key, group_by, group_values)
             on conflict (parent_id, group_key) do update set is_tracked = true, declared = true
             returning group_key, id",
        )
        .bind(slo.0)
        .bind(keys)
        .bind(by)
        .bind(values);
        let rows: Vec<(Uuid, i32)> = self.fetch_all(query).await?;
        Ok(group_ids(slo, rows))
    }
}

fn group_ids(slo: SloId, rows: Vec<(Uuid, i32)>) -> GroupIds {
    let id = |(key, id): (Uuid, i32)| ((slo, GroupKey(key.into_bytes())), SloId(id));
    rows.into_iter().map(id).collect()
}
