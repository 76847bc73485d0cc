//! Silences, with their author, time range and reason.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::silence::{Ended, Matcher, Silence, SilenceRecurrence, SilenceTerms},
        model::time::{TimeRange, Timestamp},
    },
    store::{ListPosition, StoreError, Tx, columns::micros},
};

const COLUMNS: &str = "id, matchers, starts, duration_us, recurrence_rule, time_zone, reason, created_by, \
                       created_at, ended_at, ended_by";

/// The maximum number of silences that one query reads.
pub const SILENCES_AT_ONCE: u32 = 1_000;

impl Tx<'_> {
    /// Inserts a silence. Returns false, and changes nothing, if there is one with this id.
    pub async fn insert_silence(&mut self, silence: &Silence) -> Result<bool, StoreError> {
        let terms = &silence.terms;
        let matchers: Vec<String> = terms.matchers.iter().map(Matcher::to_string).collect();
        let starts: Vec<DateTime<Utc>> = terms
            .ranges
            .iter()
            .map(|range| range.from.to_chrono())
            .collect();
        let length = terms.ranges.first().map(TimeRange::length);
        let repeat = terms.repeat.as_ref();
        let statement = sqlx::query(
            "-- silences.insert
            insert into silences (id, matchers, starts, duration_us, ends_at, recurrence_rule, time_zone, reason,
                created_by, created_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            on conflict (id) do nothing",
        )
        .bind(silence.id)
        .bind(matchers)
        .bind(starts)
        .bind(micros(length.unwrap_or_default()))
        .bind(terms.ends_at().to_chrono())
        .bind(repeat.map(|repeat| &repeat.rule))
        .bind(repeat.map(|repeat| repeat.time_zone.name()))
        .bind(&terms.reason)
        .bind(&terms.created_by)
        .bind(silence.created_at.to_chrono());
        let inserted = self.execute(statement).await?;
        Ok(inserted == 1)
    }

    /// Returns the silences that suppress notifications at `after` or later, those that end last
    /// first.
    pub async fn silences_ended_after(
        &mut self,
        after: Timestamp,
    ) -> Result<Vec<Silence>, StoreError> {
        self.silences_from(after, None).await
    }

    /// The same, of those after the position in the list.
    pub async fn silences_from(
        &mut self,
        after: Timestamp,
        position: Option<ListPosition>,
    ) -> Result<Vec<Silence>, StoreError> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "-- silences.ended_after
            select {COLUMNS} from silences
            where coalesce(ended_at, ends_at) > $1
                and ($2::timestamptz is null or coalesce(ended_at, ends_at) < $2
                    or coalesce(ended_at, ends_at) = $2 and id > $3)
            order by coalesce(ended_at, ends_at) desc, id limit $4"
        )))
        .bind(after.to_chrono())
        .bind(position.map(|position| position.at.to_chrono()))
        .bind(position.map(|position| position.id))
        .bind(i64::from(SILENCES_AT_ONCE));
        let rows: Vec<SilenceRow> = self.fetch_all(query).await?;
        rows.into_iter().map(|row| self.silence_of(row)).collect()
    }

    pub async fn silence(&mut self, id: Uuid) -> Result<Option<Silence>, StoreError> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "-- silences.read\nselect {COLUMNS} from silences where id = $1"
        )))
        .bind(id);
        let row: Option<SilenceRow> = self.fetch_optional(query).await?;
        row.map(|row| self.silence_of(row)).transpose()
    }

    /// Ends a silence early. Returns false if it is already over.
    pub async fn end_silence(&mut self, id: Uuid, ended: &Ended) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "-- silences.end
            update silences set ended_at = $2, ended_by = $3
            where id = $1 and ended_at is null and ends_at > $2",
        )
        .bind(id)
        .bind(ended.at.to_chrono())
        .bind(&ended.by);
        let done = self.execute(statement).await?;
        Ok(done == 1)
    }

    fn silence_of(&self, row: SilenceRow) -> Result<Silence, StoreError> {
        let id = row.id;
        row.decode().ok_or_else(|| {
            let message = format!("silence {id} is invalid");
            self.failed(sqlx::Error::Decode(message.into()))
        })
    }
}

#[derive(FromRow)]
struct SilenceRow {
    id: Uuid,
    matchers: Vec<String>,
    starts: Vec<DateTime<Utc>>,
    duration_us: i64,
    recurrence_rule: Option<String>,
    time_zone: Option<String>,
    reason: String,
    created_by: Option<String>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    ended_by: Option<String>,
}

impl SilenceRow {
    fn decode(self) -> Option<Silence> {
        let matchers: Result<Vec<Matcher>, _> =
            self.matchers.iter().map(|text| text.parse()).collect();
        let length = Duration::from_micros(u64::try_from(self.duration_us).ok()?);
        let range = |from: DateTime<Utc>| {
            let from = Timestamp::from(from);
            TimeRange::new(from, from + length)
        };
        let repeat = match (self.recurrence_rule, self.time_zone) {
            (Some(rule), Some(zone)) => Some(SilenceRecurrence {
                rule,
                time_zone: zone.parse().ok()?,
            }),
            _ => None,
        };
        Some(Silence {
            id: self.id,
            terms: SilenceTerms {
                matchers: matchers.ok()?,
                ranges: self.starts.into_iter().map(range).collect(),
                repeat,
                reason: self.reason,
                created_by: self.created_by,
            },
            created_at: self.created_at.into(),
            ended: self.ended_at.map(|at| Ended {
                at: at.into(),
                by: self.ended_by,
            }),
        })
    }
}
