//! The sample of events whose attributes are compared.
//!
//! The attributes are columns of the workflows, so that a corrected event changes side together with
//! its verdict. The sample of each side consists of the events
//! with the smallest keys.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::{
    domain::{
        model::{
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp},
        },
        workflow::{attributes::EventAttributes, reservoir::OF_EACH_SIDE},
    },
    store::{StoreError, Tx},
};

/// Attributes of bad and of good events of one time range, ordered by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSample {
    pub bad: Vec<EventAttributes>,
    pub good: Vec<EventAttributes>,
}

/// A value that was new among the events of an SLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstSeen {
    pub attribute: String,
    pub value: String,
    pub at: Timestamp,
}

/// The attributes that hold the version of the code, by OpenTelemetry's conventions and by common
/// use.
const VERSIONS: [&str; 5] = [
    "resource.service.version",
    "resource.deployment.id",
    "resource.deployment.name",
    "resource.deployment.version",
    "span.deployment.version",
];
const MOST_FIRST_SEEN: i64 = 5;

impl Tx<'_> {
    /// Returns the sample of events judged in `range`.
    pub async fn event_sample(
        &mut self,
        slo: SloId,
        range: TimeRange,
    ) -> Result<EventSample, StoreError> {
        let query = sqlx::query_as(
            "-- sample.read
             select is_good, attributes
             from (
                 select w.outcome = 1 as is_good, w.details -> 'attributes' as attributes, w.key,
                     row_number() over (partition by w.outcome = 1 order by w.key) as place
                 from sampled_workflows s
                 join workflows w on w.epoch = s.epoch and w.slo_id = s.slo_id and w.key = s.key
                 where s.slo_id = $1 and s.judged_at >= $2 and s.judged_at < $3
                     and w.outcome in (1, 2, 3, 4)
             ) as known
             where place <= $4
             order by key",
        )
        .bind(slo.0)
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(most());
        let rows: Vec<(bool, Json<EventAttributes>)> = self.fetch_all(query).await?;
        let mut sample = EventSample::default();
        for (is_good, Json(attributes)) in rows {
            let side = if is_good {
                &mut sample.good
            } else {
                &mut sample.bad
            };
            side.push(attributes);
        }
        Ok(sample)
    }

    /// Returns the versions, earliest first, that events judged in `range` have and that no event
    /// in the `familiar` time before had, although those had other versions. Based on the sample.
    /// Each comes with the time of its first event.
    pub async fn versions_first_seen(
        &mut self,
        slo: SloId,
        range: TimeRange,
        familiar: Duration,
    ) -> Result<Vec<FirstSeen>, StoreError> {
        let query = sqlx::query_as(
            "-- sample.first_seen
             select attribute, value, at
             from (
                 select attribute, value, at, min(at) over (partition by attribute) as of_any
                 from (
                     select pair ->> 0 as attribute, pair ->> 1 as value,
                         min(least(w.started_at, w.judged_at)) as at
                     from sampled_workflows s
                         join workflows w
                             on w.epoch = s.epoch and w.slo_id = s.slo_id and w.key = s.key
                         cross join lateral jsonb_array_elements(w.details -> 'attributes') as pair
                     where s.slo_id = $1 and s.judged_at >= $2 and s.judged_at < $4
                         and pair ->> 0 = any ($5)
                     group by 1, 2
                 ) as each
             ) as seen
             where at >= $3 and of_any < $3
             order by at, attribute, value limit $6",
        )
        .bind(slo.0)
        .bind((range.from - familiar).to_chrono())
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(&VERSIONS[..])
        .bind(MOST_FIRST_SEEN);
        let rows: Vec<(String, String, DateTime<Utc>)> = self.fetch_all(query).await?;
        let seen = |(attribute, value, at): (String, String, DateTime<Utc>)| FirstSeen {
            attribute,
            value,
            at: at.into(),
        };
        Ok(rows.into_iter().map(seen).collect())
    }

    /// Deletes the attributes of events judged in `range` that are not part of the sample of their
    /// hour and side. Returns the number of events. Rows that are locked are left for the next
    /// call.
    pub async fn trim_samples(&mut self, range: TimeRange) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- sample.trim
             with known as (
                 select w.slo_id, w.key, w.epoch, s.judged_at, w.outcome, row_number() over (
                     partition by w.slo_id, w.outcome = 1,
                         date_bin($4 * interval '1 second', s.judged_at, timestamptz 'epoch')
                     order by w.key) as place
                 from sampled_workflows s
                 join workflows w on w.epoch = s.epoch and w.slo_id = s.slo_id and w.key = s.key
                 where s.judged_at >= $1 and s.judged_at < $2
             ), locked as (
                 select w.slo_id, w.key, w.epoch, k.judged_at
                 from workflows w join known k using (slo_id, key, epoch)
                 where w.judged_at = k.judged_at
                     and (k.place > $3 or k.outcome not in (1, 2, 3, 4))
                 order by w.slo_id, w.key for update of w skip locked
             ), unlisted as (
                 delete from sampled_workflows s using locked l
                 where s.slo_id = l.slo_id and s.judged_at = l.judged_at and s.key = l.key
                     and s.epoch = l.epoch
             )
             update workflows w set details = nullif(w.details - 'attributes', '{}'::jsonb)
             from locked l where w.slo_id = l.slo_id and w.key = l.key and w.epoch = l.epoch",
        )
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(most())
        .bind(Resolution::Hour.as_secs());
        let trimmed = self.execute(statement).await?;
        Ok(trimmed)
    }
}

fn most() -> i64 {
    i64::try_from(OF_EACH_SIDE).unwrap_or(i64::MAX)
}
