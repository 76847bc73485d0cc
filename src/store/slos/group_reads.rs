//! The status of the groups of SLOs, and the groups that are evaluated with their SLO.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::types::Json;
use sqlx_macros::FromRow;

use crate::{
    domain::{
        alerting::status::SloStatus,
        model::{group::Group, ids::SloId, time::Timestamp},
    },
    store::{DueSlo, SloRecord, StoreError, Tx},
};

/// A group of an SLO, with its last evaluation.
#[derive(Clone, Debug)]
pub struct GroupRecord {
    pub group: Group,
    /// The name in it is that of the SLO.
    pub record: SloRecord,
}

/// The number of groups of an SLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct GroupTally {
    pub groups: i64,
    /// Groups whose last evaluation found them paging or opening a ticket.
    pub burning: i64,
}

impl Tx<'_> {
    /// Adds to each of `due` its groups, in the order of their ids: the declared ones, and others
    /// with an active alert.
    pub(crate) async fn with_due_groups(
        &mut self,
        due: Vec<DueSlo>,
    ) -> Result<Vec<DueSlo>, StoreError> {
        let parents: Vec<i32> = due.iter().map(|slo| slo.id.0).collect();
        let query = sqlx::query_as(
            "-- groups.due
             select id, parent_id, declared, group_by, group_values, first_event_at
             from slos
             where parent_id = any ($1) and (declared or exists (
                 select 1 from alerts where alerts.slo_id = slos.id and alerts.state <> 'inactive'))
             order by id",
        )
        .bind(parents);
        let rows: Vec<DueGroupRow> = self.fetch_all(query).await?;
        let mut groups: BTreeMap<i32, Vec<DueGroupRow>> = BTreeMap::new();
        for row in rows {
            groups.entry(row.parent_id).or_default().push(row);
        }
        let with_groups = due.into_iter().flat_map(|slo| {
            let rows = groups.remove(&slo.id.0).unwrap_or_default();
            let of_slo: Vec<DueSlo> = rows.into_iter().map(|row| row.due(&slo)).collect();
            std::iter::once(slo).chain(of_slo)
        });
        Ok(with_groups.collect())
    }

    /// Returns the declared groups of an SLO, the oldest first.
    pub async fn groups(&mut self, slo: SloId) -> Result<Vec<GroupRecord>, StoreError> {
        self.group_records(Some(slo), None).await
    }

    /// Returns one group by its own id, declared or not; `None` if there is no such group.
    pub async fn group(&mut self, group: SloId) -> Result<Option<GroupRecord>, StoreError> {
        let records = self.group_records(None, Some(group)).await?;
        Ok(records.into_iter().next())
    }

    /// Returns the groups with an active alert, of all declared SLOs.
    pub async fn groups_with_alerts(&mut self) -> Result<Vec<GroupRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- groups.with_alerts
             select own.id, parent.name, own.group_by, own.group_values, own.first_event_at,
                 slo_statuses.status, case when own.declared then parent.unchanged_at end as unchanged_at
             from slos as own join slos as parent on parent.id = own.parent_id
             left join slo_statuses on slo_statuses.slo_id = own.id
             where own.declared and exists (
                 select 1 from alerts where alerts.slo_id = own.id and alerts.state <> 'inactive')
             order by own.id",
        );
        let rows: Vec<GroupRow> = self.fetch_all(query).await?;
        rows.into_iter().map(|row| self.group_record(row)).collect()
    }

    /// Returns how many declared groups each SLO has; an SLO without any is left out.
    pub async fn group_tallies(&mut self) -> Result<BTreeMap<SloId, GroupTally>, StoreError> {
        let query = sqlx::query_as(
            "-- groups.tallies
             select slos.parent_id, count(*), count(*) filter (
                 where slo_statuses.state in ('paging', 'ticket'))
             from slos left join slo_statuses on slo_statuses.slo_id = slos.id
             where slos.declared and slos.parent_id is not null
             group by slos.parent_id",
        );
        let rows: Vec<(i32, i64, i64)> = self.fetch_all(query).await?;
        let tally = |(slo, groups, burning)| (SloId(slo), GroupTally { groups, burning });
        Ok(rows.into_iter().map(tally).collect())
    }

    async fn group_records(
        &mut self,
        slo: Option<SloId>,
        group: Option<SloId>,
    ) -> Result<Vec<GroupRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- groups.read
             select own.id, parent.name, own.group_by, own.group_values, own.first_event_at,
                 slo_statuses.status, case when own.declared then parent.unchanged_at end as unchanged_at
             from slos as own join slos as parent on parent.id = own.parent_id
             left join slo_statuses on slo_statuses.slo_id = own.id
             where (own.parent_id = $1 and own.declared) or own.id = $2
             order by own.id",
        )
        .bind(slo.map(|slo| slo.0))
        .bind(group.map(|group| group.0));
        let rows: Vec<GroupRow> = self.fetch_all(query).await?;
        rows.into_iter().map(|row| self.group_record(row)).collect()
    }

    fn group_record(&self, row: GroupRow) -> Result<GroupRecord, StoreError> {
        Ok(GroupRecord {
            group: row.group.into(),
            record: SloRecord {
                id: SloId(row.id),
                name: self.name(&row.name)?,
                first_event_at: row.first_event_at.map(Timestamp::from),
                status: row.status.map(|Json(status)| {
                    status.found_unchanged_at(row.unchanged_at.map(Timestamp::from))
                }),
            },
        })
    }
}

#[derive(FromRow)]
struct GroupColumns {
    group_by: Json<Vec<String>>,
    group_values: Option<Json<Vec<Option<String>>>>,
}

impl From<GroupColumns> for Group {
    fn from(columns: GroupColumns) -> Self {
        Self {
            by: columns.group_by.0,
            values: columns.group_values.map(|Json(values)| values),
        }
    }
}

#[derive(FromRow)]
struct GroupRow {
    id: i32,
    name: String,
    #[sqlx(flatten)]
    group: GroupColumns,
    first_event_at: Option<DateTime<Utc>>,
    status: Option<Json<SloStatus>>,
    unchanged_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct DueGroupRow {
    id: i32,
    parent_id: i32,
    declared: bool,
    #[sqlx(flatten)]
    group: GroupColumns,
    first_event_at: Option<DateTime<Utc>>,
}

impl DueGroupRow {
    fn due(self, slo: &DueSlo) -> DueSlo {
        DueSlo {
            id: SloId(self.id),
            name: slo.name.clone(),
            group: Some(self.group.into()),
            declaration: self.declared.into(),
            first_event_at: self.first_event_at.map(Timestamp::from),
            has_ended: slo.has_ended,
            finish_unmatched_since: slo.finish_unmatched_since,
            unchanged_at: slo.unchanged_at,
            counts_hash: slo.counts_hash,
            past_hash: slo.past_hash,
        }
    }
}
