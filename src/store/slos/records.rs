//! SLOs by name and id, and their last evaluations.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;

use crate::{
    domain::{
        alerting::status::SloStatus,
        counting::ledger::CountDelta,
        model::{
            ids::{Name, SloId},
            time::Timestamp,
        },
    },
    store::{StoreError, Tx, batch::Batch},
};

/// An SLO that is or was declared, with its last evaluation.
#[derive(Clone, Debug)]
pub struct SloRecord {
    pub id: SloId,
    pub name: Name,
    pub first_event_at: Option<Timestamp>,
    pub status: Option<SloStatus>,
}

impl Batch {
    /// Notes when an SLO had its first event, that some workflow of it has ended, and that a span has
    /// matched its present `finish`. Usually all of it is known, and nothing is locked.
    pub(crate) fn note_events(&mut self, delta: &CountDelta) {
        let (first, ended, finished) = (&delta.first_events, &delta.ended, &delta.finished);
        let slos: BTreeSet<SloId> = first
            .keys()
            .chain(ended)
            .chain(finished.keys())
            .copied()
            .collect();
        if slos.is_empty() {
            return;
        }
        let times = |of: &BTreeMap<SloId, Timestamp>| -> Vec<Option<DateTime<Utc>>> {
            let times = slos.iter().map(|slo| of.get(slo).map(|at| at.to_chrono()));
            times.collect()
        };
        let has_ended: Vec<bool> = slos.iter().map(|slo| ended.contains(slo)).collect();
        self.add(concat!(
            "update slos s set first_event_at = least(s.first_event_at, n.at), ",
            "has_ended = s.has_ended or n.has_ended, ",
            "finish_matched = s.finish_matched or coalesce(n.start >= s.finish_since, false) ",
            "from unnest($1::integer[], $2::timestamptz[], $3::boolean[], $4::timestamptz[]) ",
            "as n(id, at, has_ended, start) ",
            "where s.id = n.id and (n.at < s.first_event_at ",
            "or (s.first_event_at is null and n.at is not null) or (n.has_ended and not s.has_ended) ",
            "or (not s.finish_matched and n.start >= s.finish_since))",
        ))
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<i32>>())
        .bind(times(first))
        .bind(has_ended)
        .bind(times(finished));
    }
}

impl Tx<'_> {
    /// Makes `names` the declared SLOs and returns the id of each. Ids are kept after removal, so
    /// an SLO that is declared again has its history. All are evaluated again, since their definitions
    /// may have changed.
    pub async fn declare(&mut self, names: &[Name]) -> Result<BTreeMap<Name, SloId>, StoreError> {
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        let statement = sqlx::query(
            "-- slos.insert
             insert into slos (name)
             select declared.name from unnest($1::text[]) as declared (name)
             where not exists (select 1 from slos where slos.name = declared.name)
             order by declared.name
             on conflict (name) do nothing",
        )
        .bind(&names);
        self.execute(statement).await?;
        // Locked in one order, so that replicas that load the same files do not deadlock.
        let statement = sqlx::query(
            "-- slos.declare
             update slos set declared = (slos.name = any ($1)), unchanged_until = null
             from (
                 select id from slos
                 where declared <> (name = any ($1)) or unchanged_until is not null
                 order by id for update) as changed
             where slos.id = changed.id",
        )
        .bind(&names);
        self.execute(statement).await?;
        let query = sqlx::query_as(
            "-- slos.ids
             select name, id from slos where name = any ($1)",
        )
        .bind(&names);
        let rows: Vec<(String, i32)> = self.fetch_all(query).await?;
        rows.into_iter()
            .map(|(name, id)| Ok((self.name(&name)?, SloId(id))))
            .collect()
    }

    /// Returns every declared SLO, by name.
    pub async fn slos(&mut self) -> Result<Vec<SloRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- slos.declared
             select slos.id, slos.name, slos.first_event_at, slo_statuses.status, slos.unchanged_at
             from slos left join slo_statuses on slo_statuses.slo_id = slos.id
             where slos.declared and slos.parent_id is null order by slos.name",
        );
        let rows: Vec<SloRow> = self.fetch_all(query).await?;
        rows.into_iter().map(|row| self.slo_record(row)).collect()
    }

    /// Returns one SLO, declared or removed; `None` if it was never declared.
    pub async fn slo(&mut self, name: &Name) -> Result<Option<SloRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- slos.one
             select slos.id, slos.name, slos.first_event_at, slo_statuses.status, slos.unchanged_at
             from slos left join slo_statuses on slo_statuses.slo_id = slos.id
             where slos.name = $1",
        )
        .bind(name.as_str());
        let row: Option<SloRow> = self.fetch_optional(query).await?;
        row.map(|row| self.slo_record(row)).transpose()
    }

    fn slo_record(&self, row: SloRow) -> Result<SloRecord, StoreError> {
        Ok(SloRecord {
            id: SloId(row.id),
            name: self.name(&row.name)?,
            first_event_at: row.first_event_at.map(Timestamp::from),
            status: row.status.map(|Json(status)| {
                status.found_unchanged_at(row.unchanged_at.map(Timestamp::from))
            }),
        })
    }

    /// Notes that `finish` of these SLOs is this text from `since` on, where it was another. The first of
    /// an SLO is no new one.
    pub async fn declare_finishes(
        &mut self,
        finishes: &BTreeMap<SloId, String>,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- slos.declare_finish
             update slos s set finish = n.finish, finish_since = $3, finish_matched = s.finish is null
             from unnest($1::integer[], $2::text[]) as n (id, finish)
             where s.id = n.id and s.finish is distinct from n.finish",
        )
        .bind(finishes.keys().map(|slo| slo.0).collect::<Vec<i32>>())
        .bind(finishes.values().cloned().collect::<Vec<String>>())
        .bind(since.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Parses a name from a column.
    pub(crate) fn name(&self, text: &str) -> Result<Name, StoreError> {
        text.parse()
            .map_err(|error| self.failed(sqlx::Error::Decode(Box::new(error))))
    }
}

#[derive(FromRow)]
struct SloRow {
    id: i32,
    name: String,
    first_event_at: Option<DateTime<Utc>>,
    status: Option<Json<SloStatus>>,
    unchanged_at: Option<DateTime<Utc>>,
}
