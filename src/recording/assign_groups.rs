//! Assigns each workflow to its group, which is created when its first event arrives.
//!
//! A transaction that creates groups of an SLO holds a lock on the SLO's groups until its end, so
//! there are never more than allowed, even if several replicas see new values at once. Under that
//! lock, ingest waits only for inserts of workflows, and a transaction that inserts workflows takes
//! no lock of this kind afterwards, so no deadlock is possible. A transaction that has not locked the
//! known workflows would wait for them, too, so it starts again and locks them first.

use std::collections::BTreeMap;

use super::{Changed, KnownRows, Recording};
use crate::{
    domain::{
        counting::groups::{Regrouping, regroup},
        model::{
            group::{Group, GroupKey},
            ids::SloId,
        },
    },
    store::{GroupIds, Grouping, StoreError},
};

type Groups = BTreeMap<GroupKey, Group>;

impl Recording<'_, '_> {
    /// Returns the group that each workflow now belongs to, created if it is new. Differences in
    /// the counts of groups are added.
    pub(super) async fn groups_of(
        &mut self,
        changed: &[Changed<'_>],
    ) -> Result<Vec<Option<SloId>>, StoreError> {
        let grouped = changed
            .iter()
            .filter(|(_, _, judged)| !judged.workflow.details.group.is_empty());
        let grouped = grouped.map(|((slo, _), ..)| *slo).collect();
        let groupings = self.tx.groupings(&grouped).await?;
        let wanted: Vec<Option<Group>> = changed
            .iter()
            .map(|change| wanted(change, groupings.get(&change.0.0)))
            .collect();
        let ids = self.ids_of_groups(changed, &wanted, &groupings).await?;
        let placed = changed
            .iter()
            .zip(&wanted)
            .map(|((id, row, judged), wanted)| {
                let before = row.and_then(|row| Some((row.group?, &row.judged)));
                let group = match wanted {
                    Some(group) => ids.get(&(id.0, group.key())).copied(),
                    None => row.and_then(|row| row.group),
                };
                self.delta
                    .regroup(before, group.map(|group| (group, judged)));
                group
            });
        Ok(placed.collect())
    }

    /// Returns the ids by the key of the requested group, even if it is counted in the group of all
    /// others.
    async fn ids_of_groups(
        &mut self,
        changed: &[Changed<'_>],
        wanted: &[Option<Group>],
        groupings: &BTreeMap<SloId, Grouping>,
    ) -> Result<GroupIds, StoreError> {
        let mut by_slo: BTreeMap<SloId, Groups> = BTreeMap::new();
        for (((slo, _), ..), group) in changed.iter().zip(wanted) {
            if let Some(group) = group {
                let groups = by_slo.entry(*slo).or_default();
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
            ids.append(&mut self.tx.known_groups(slo, asked.collect()).await?);
            groups.retain(|key, _| !ids.contains_key(&(slo, *key)));
            if !groups.is_empty() {
                self.make_groups(slo, grouping, groups, other, &mut ids)
                    .await?;
            }
        }
        Ok(ids)
    }

    /// Creates as many of `groups`, which were unknown until now, as the limit allows; the others
    /// are counted in the group of all others.
    async fn make_groups(
        &mut self,
        slo: SloId,
        grouping: &Grouping,
        mut groups: Groups,
        other: Group,
        ids: &mut GroupIds,
    ) -> Result<(), StoreError> {
        let is_full = self.tx.count_groups(slo, grouping).await? >= grouping.max_groups;
        if !is_full || !ids.contains_key(&(slo, other.key())) {
            if self.known_rows == KnownRows::Read {
                return Err(self.tx.conflict());
            }
            self.tx.lock_groups(slo).await?;
            // Another replica may have created these or other groups while this one waited for the
            // lock.
            let asked = groups.keys().copied().chain([other.key()]);
            ids.append(&mut self.tx.known_groups(slo, asked.collect()).await?);
            groups.retain(|key, _| !ids.contains_key(&(slo, *key)));
            let room = grouping.max_groups - self.tx.count_groups(slo, grouping).await?;
            let room = usize::try_from(room).unwrap_or(0);
            let first_without = groups.keys().nth(room).copied();
            let rest = first_without.map_or_else(Groups::new, |key| groups.split_off(&key));
            let needs_other = !rest.is_empty() && !ids.contains_key(&(slo, other.key()));
            if needs_other {
                groups.insert(other.key(), other.clone());
            }
            ids.append(&mut self.tx.insert_groups(slo, &groups).await?);
            groups = rest;
        }
        if let Some(&others) = ids.get(&(slo, other.key())) {
            ids.extend(groups.into_keys().map(|key| ((slo, key), others)));
        }
        Ok(())
    }
}

/// Returns the group to move the workflow to; `None` if it stays.
fn wanted((_, row, judged): &Changed<'_>, grouping: Option<&Grouping>) -> Option<Group> {
    let placed = row.filter(|row| row.group.is_some());
    match regroup(&grouping?.by, placed.map(|row| &row.judged), judged) {
        Regrouping::Into(group) => Some(group),
        Regrouping::Stay => None,
    }
}
