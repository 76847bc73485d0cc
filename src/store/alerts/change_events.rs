//! Change events: deploys, flags and notes that were reported to the service.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::change_event::{ChangeEvent, ChangeEventKind},
        model::time::{TimeRange, Timestamp},
    },
    store::{ListPosition, StoreError, Tx},
};

/// The limit per hour, so that a pipeline that reports each of its steps cannot fill the disk.
pub const CHANGE_EVENTS_AN_HOUR: u32 = 1_000;
const MOST_IN_ALL: i64 = 50_000;
const HOUR: Duration = Duration::from_hours(1);

/// The result of recording a change event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Kept,
    /// The limit of the last hour is reached; this one was not recorded.
    TooMany,
}

/// The change events of the last hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentChangeEvents {
    pub count: u32,
    /// The time until the first of them is older than an hour.
    pub fewer_in: Duration,
}

impl RecentChangeEvents {
    fn new(count: i64, oldest: Option<DateTime<Utc>>, now: Timestamp) -> Self {
        let oldest = oldest.map(Timestamp::from);
        Self {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            fewer_in: oldest.map_or(Duration::ZERO, |at| (at + HOUR).saturating_since(now)),
        }
    }
}

impl Tx<'_> {
    /// Records an event if the limit of the last hour admits it. Returns also what the limit counts
    /// afterwards.
    pub async fn insert_change_event(
        &mut self,
        event: &ChangeEvent,
        now: Timestamp,
    ) -> Result<(Recorded, RecentChangeEvents), StoreError> {
        let query = sqlx::query_as(
            "-- change_events.insert
             with recent as (
                 select count(*) as events, min(recorded_at) as oldest
                 from change_events where recorded_at > $11
             ), inserted as (
                 insert into change_events
                     (id, kind, at, title, service, version, url, labels, reported_by, recorded_at)
                 select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 from recent where events < $12
                 returning recorded_at
             )
             select count(inserted.recorded_at), events + count(inserted.recorded_at),
                 least(oldest, min(inserted.recorded_at))
             from recent left join inserted on true group by events, oldest",
        )
        .bind(event.id)
        .bind(event.kind.as_str())
        .bind(event.at.to_chrono())
        .bind(&event.title)
        .bind(&event.service)
        .bind(&event.version)
        .bind(&event.url)
        .bind(Json(&event.labels))
        .bind(&event.reported_by)
        .bind(now.to_chrono())
        .bind((now - HOUR).to_chrono())
        .bind(i64::from(CHANGE_EVENTS_AN_HOUR));
        let (inserted, count, oldest): (i64, i64, Option<DateTime<Utc>>) =
            self.fetch_one(query).await?;
        let recorded = match inserted {
            0 => Recorded::TooMany,
            _ => Recorded::Kept,
        };
        Ok((recorded, RecentChangeEvents::new(count, oldest, now)))
    }

    /// Returns the number of change events that the limit counts at `now`.
    pub async fn recent_change_events(
        &mut self,
        now: Timestamp,
    ) -> Result<RecentChangeEvents, StoreError> {
        let query = sqlx::query_as(
            "-- change_events.count_recent
             select count(*), min(recorded_at) from change_events where recorded_at > $1",
        )
        .bind((now - HOUR).to_chrono());
        let (count, oldest): (i64, Option<DateTime<Utc>>) = self.fetch_one(query).await?;
        Ok(RecentChangeEvents::new(count, oldest, now))
    }

    /// Returns the change events in `range`, newest first: those of `services` and those of no
    /// particular service, or all of them if `services` is `None`.
    pub async fn change_events(
        &mut self,
        range: TimeRange,
        services: Option<&[String]>,
        limit: u32,
    ) -> Result<Vec<ChangeEvent>, StoreError> {
        self.change_events_from(None, range, services, limit).await
    }

    /// The same, of those after the position in the list.
    pub async fn change_events_from(
        &mut self,
        position: Option<ListPosition>,
        range: TimeRange,
        services: Option<&[String]>,
        limit: u32,
    ) -> Result<Vec<ChangeEvent>, StoreError> {
        let query = sqlx::query_as(
            "-- change_events.read
             select id, kind, at, title, service, version, url, labels, reported_by
             from change_events
             where at >= $1 and at < $2
                 and ($3::text[] is null or service is null or service = any ($3))
                 and ($5::timestamptz is null or at < $5 or at = $5 and id > $6)
             order by at desc, id limit $4",
        )
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(services)
        .bind(i64::from(limit))
        .bind(position.map(|position| position.at.to_chrono()))
        .bind(position.map(|position| position.id));
        let rows: Vec<ChangeEventRow> = self.fetch_all(query).await?;
        let decoded = rows.into_iter().map(ChangeEventRow::decode);
        decoded
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Deletes change events from before `before`, and the oldest ones if there are too many.
    pub async fn delete_old_change_events(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- change_events.delete_old
             delete from change_events
             where at < $1
                 or id in (select id from change_events order by at desc, id offset $2)",
        )
        .bind(before.to_chrono())
        .bind(MOST_IN_ALL);
        let forgotten = self.execute(statement).await?;
        Ok(forgotten)
    }
}

#[derive(FromRow)]
struct ChangeEventRow {
    id: Uuid,
    kind: String,
    at: DateTime<Utc>,
    title: String,
    service: Option<String>,
    version: Option<String>,
    url: Option<String>,
    labels: Json<BTreeMap<String, String>>,
    reported_by: Option<String>,
}

impl ChangeEventRow {
    fn decode(self) -> Result<ChangeEvent, sqlx::Error> {
        let kind = ChangeEventKind::named(&self.kind).ok_or_else(|| {
            let message = format!("`kind` of change event {} is invalid", self.id);
            sqlx::Error::Decode(message.into())
        })?;
        Ok(ChangeEvent {
            id: self.id,
            kind,
            at: self.at.into(),
            title: self.title,
            service: self.service,
            version: self.version,
            url: self.url,
            labels: self.labels.0,
            reported_by: self.reported_by,
        })
    }
}
