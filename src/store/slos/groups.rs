//! Groups of SLOs: rows beside those of the SLOs, created when their first event arrives.
//!
//! A transaction that creates groups of an SLO holds a lock on the SLO's groups until its end, so
//! there are never more than allowed, however many replicas see new values at once. Under that
//! lock, ingest waits for nothing but inserts of workflows, and a transaction that inserts
//! workflows takes no lock of this kind afterwards: no deadlock is possible.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    domain::{
        counting::{
            JudgedWorkflow,
            groups::{Regrouping, regroup},
            ledger::CountDelta,
        },
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

/// A workflow whose verdict or evidence has changed, and the group in which it was counted.
pub(crate) struct GroupedChange<'a> {
    pub(crate) slo: SloId,
    pub(crate) group: Option<SloId>,
    pub(crate) before: Option<&'a JudgedWorkflow>,
    pub(crate) after: &'a JudgedWorkflow,
}

/// The grouping of an SLO's events.
struct Grouping {
    by: Vec<String>,
    max_groups: i64,
}

type Groups = BTreeMap<GroupKey, Group>;
type GroupIds = BTreeMap<(SloId, GroupKey), SloId>;

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

    /// Returns the group that each of `changes` now belongs to, created where it is new.
    /// Differences in the counts of groups are added to `moves`.
    pub(crate) async fn assign_groups(
        &mut self,
        changes: &[GroupedChange<'_>],
        moves: &mut CountDelta,
    ) -> Result<Vec<Option<SloId>>, StoreError> {
        let groupings = self.groupings(changes).await?;
        let wanted: Vec<Option<Group>> = changes
            .iter()
            .map(|change| change.wanted(groupings.get(&change.slo)))
            .collect();
        let ids = self.ids_of_groups(changes, &wanted, &groupings).await?;
        let placed = changes.iter().zip(&wanted).map(|(change, wanted)| {
            let group = match wanted {
                Some(group) => ids.get(&(change.slo, group.key())).copied(),
                None => change.group,
            };
            moves.regroup(
                change.group.zip(change.before),
                group.map(|group| (group, change.after)),
            );
            group
        });
        Ok(placed.collect())
    }

    /// Returns the groupings of the SLOs of `changes` that group their events.
    async fn groupings(
        &mut self,
        changes: &[GroupedChange<'_>],
    ) -> Result<BTreeMap<SloId, Grouping>, StoreError> {
        let grouped: BTreeSet<i32> = changes
            .iter()
            .filter(|change| !change.after.workflow.details.group.is_empty())
            .map(|change| change.slo.0)
            .collect();
        if grouped.is_empty() {
            return Ok(BTreeMap::new());
        }
        let query = sqlx::query_as(
            "-- groups.groupings
             select id, group_by, max_groups from slos
             where id = any ($1) and parent_id is null and group_by is not null",
        )
        .bind(Vec::from_iter(grouped));
        let rows: Vec<(i32, Json<Vec<String>>, i32)> = self.fetch_all(query).await?;
        let grouping = |(id, Json(by), max_groups): (i32, Json<Vec<String>>, i32)| {
            let max_groups = i64::from(max_groups);
            (SloId(id), Grouping { by, max_groups })
        };
        Ok(rows.into_iter().map(grouping).collect())
    }

    /// Returns the ids by the key of the requested group, even where it is counted in the group of
    /// all others.
    async fn ids_of_groups(
        &mut self,
        changes: &[GroupedChange<'_>],
        wanted: &[Option<Group>],
        groupings: &BTreeMap<SloId, Grouping>,
    ) -> Result<GroupIds, StoreError> {
        let mut by_slo: BTreeMap<SloId, Groups> = BTreeMap::new();
        for (change, group) in changes.iter().zip(wanted) {
            if let Some(group) = group {
                let groups = by_slo.entry(change.slo).or_default();
                groups.insert(group.key(), group.clone());
            }
        }
        let mut ids = GroupIds::new();
        for (slo, mut groups) in by_slo {
            let Some(grouping) = groupings.get(&slo) else {
                continue;
            };
            let other = Group::other(grouping.by.clone());
            let asked = groups.keys().copied().chain([other.key()]);
            ids.append(&mut self.known_groups(slo, asked.collect()).await?);
            groups.retain(|key, _| !ids.contains_key(&(slo, *key)));
            if !groups.is_empty() {
                self.make_groups((slo, grouping), groups, other, &mut ids)
                    .await?;
            }
        }
        Ok(ids)
    }

    async fn known_groups(
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

    /// Creates as many of `groups`, none of which was known a moment ago, as the limit allows; the
    /// others are counted in the group of all others.
    async fn make_groups(
        &mut self,
        (slo, grouping): (SloId, &Grouping),
        mut groups: Groups,
        other: Group,
        ids: &mut GroupIds,
    ) -> Result<(), StoreError> {
        let is_full = self.count_groups(slo, grouping).await? >= grouping.max_groups;
        if !is_full || !ids.contains_key(&(slo, other.key())) {
            self.lock_groups(slo).await?;
            // Another replica may have created these or other groups while this one waited for the
            // lock.
            let asked = groups.keys().copied().chain([other.key()]);
            ids.append(&mut self.known_groups(slo, asked.collect()).await?);
            groups.retain(|key, _| !ids.contains_key(&(slo, *key)));
            let room = grouping.max_groups - self.count_groups(slo, grouping).await?;
            let room = usize::try_from(room).unwrap_or(0);
            let first_without = groups.keys().nth(room).copied();
            let rest = first_without.map_or_else(Groups::new, |key| groups.split_off(&key));
            let needs_other = !rest.is_empty() && !ids.contains_key(&(slo, other.key()));
            if needs_other {
                groups.insert(other.key(), other.clone());
            }
            ids.append(&mut self.insert_groups(slo, &groups).await?);
            groups = rest;
        }
        if let Some(&others) = ids.get(&(slo, other.key())) {
            ids.extend(groups.into_keys().map(|key| ((slo, key), others)));
        }
        Ok(())
    }

    pub(crate) async fn lock_groups(&mut self, slo: SloId) -> Result<(), StoreError> {
        let statement = sqlx::query("-- groups.lock\nselect pg_advisory_xact_lock($1, $2)")
            .bind(GROUPS_LOCK)
            .bind(slo.0);
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns how many groups have a slot of their own.
    async fn count_groups(&mut self, slo: SloId, grouping: &Grouping) -> Result<i64, StoreError> {
        sqlx::query_scalar(
            "-- groups.count
             select count(*) from slos
             where parent_id = $1 and group_by = $2 and group_values is not null and is_tracked",
        )
        .bind(slo.0)
        .bind(Json(&grouping.by))
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Inserts groups. One that had a slot before gets one again, together with everything that was
    /// counted in it.
    async fn insert_groups(&mut self, slo: SloId, groups: &Groups) -> Result<GroupIds, StoreError> {
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

impl GroupedChange<'_> {
    /// Returns the group to move the workflow to; `None` if it stays.
    fn wanted(&self, grouping: Option<&Grouping>) -> Option<Group> {
        let grouping = grouping?;
        let placed = self.before.filter(|_| self.group.is_some());
        match regroup(&grouping.by, placed, self.after) {
            Regrouping::Into(group) => Some(group),
            Regrouping::Stay => None,
        }
    }
}
