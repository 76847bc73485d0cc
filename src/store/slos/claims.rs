//! Claims to evaluate SLOs, of which those that nothing has changed are not handed out.
//!
//! Whether something has changed is seen by the versions of the rows of counts (`xmin`), and not by the
//! time or the order of their transactions: a transaction that commits late changes a version only when
//! it is committed, and is noticed then.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;

use crate::{
    domain::model::{
        group::Group,
        ids::{Name, SloId},
        time::{Resolution, Timestamp},
    },
    store::{StoreError, Tx},
};

/// An SLO that is due for evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSlo {
    pub id: SloId,
    pub name: Name,
    /// The group to evaluate; `None` for the SLO itself.
    pub group: Option<Group>,
    /// Declared or removed. If removed, it is due only so that active alerts are
    /// closed.
    pub declaration: Declaration,
    pub first_event_at: Option<Timestamp>,
    /// True if any end of the SLO (for a group, of the whole SLO) was ever joined with a start.
    pub has_ended: bool,
    /// Set if workflows finished before the last change of `finish` and none since: the time of
    /// that change.
    pub finish_unmatched_since: Option<Timestamp>,
    /// The last time at which the SLO and its groups were found unchanged.
    pub unchanged_at: Option<Timestamp>,
    /// The hash of the versions of the counts of the SLO and its groups.
    pub counts_hash: i64,
    /// The hash of those of hours and days that are over.
    pub past_hash: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declaration {
    Declared,
    Removed,
}

/// The value of the column `declared`.
impl From<bool> for Declaration {
    fn from(is_declared: bool) -> Self {
        if is_declared {
            Self::Declared
        } else {
            Self::Removed
        }
    }
}

/// The SLOs that a replica has claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The SLOs to evaluate, each followed by its groups.
    pub due: Vec<DueSlo>,
    /// The number of the others: nothing has changed since they were evaluated.
    pub unchanged: usize,
}

/// An evaluation of an SLO and its groups whose result lasts as long as its counts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastingEvaluation {
    pub slo: SloId,
    /// The time before which the result lasts.
    pub until: Timestamp,
    /// The hash of the counts, read before them.
    pub counts_hash: i64,
}

/// The limit, beyond the interval, of how far ahead a claim may be: a later one was made by a clock
/// that has since been set back, and is void.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

/// The age of counts up to which a change is noticed at once. A change of older ones, which no rule
/// on the last hours looks at, is noticed within a minute.
const DAYS_WATCHED: Duration = Duration::from_hours(8 * 24);
/// The same for start spans, which are counted when they arrive; longer than a transaction.
const STARTS_WATCHED: Duration = Duration::from_mins(5);

/// Claims the SLOs that are due; takes what [`Tx::claim_due`] binds.
const CLAIM_DUE: &str = "-- slos.claim_due
     -- Due are whole SLOs of which nobody holds the row, if they are declared or an alert of
     -- theirs or of a group is active. May last: unchanged until now, by its last evaluation.
     with due as (
         select id, unchanged_at, counts_hash,
             unchanged_at between $4 and $1 and unchanged_until > $1 as may_last
         from slos
         where parent_id is null and (next_evaluation_at <= $1 or next_evaluation_at > $3)
             and (declared or exists (
                 select 1 from alerts join slos as own on own.id = alerts.slo_id
                 where slos.id in (own.id, own.parent_id) and alerts.state <> 'inactive'))
         for update of slos skip locked),
     -- Each due SLO itself and its groups.
     member as (
         select id as slo, id from due
         union all
         select own.parent_id, own.id from slos as own join due on due.id = own.parent_id),
     -- A hash of the versions of their rows of counts: it differs once any of these is written.
     counted as (
         select member.slo, sum(hashtext(counts.xmin::text)) as hash,
             sum(hashtext(counts.xmin::text)) filter (where counts.is_past) as past_hash
         from member cross join lateral (
             select xmin, bucket < $8 as is_past from event_counts
             where slo_id = member.id and resolution = $5 and bucket >= $6
             union all
             select xmin, true from event_counts
             where slo_id = member.id and resolution = $9 and bucket >= $8 and bucket < $10
             union all
             select xmin, false from open_counts where slo_id = member.id
             union all
             select xmin, false from start_spans where slo_id = member.id and minute >= $7
         ) as counts
         group by member.slo),
     -- Unchanged is what may last and has the same hash as at its last evaluation.
     seen as (
         select due.id, due.unchanged_at, coalesce(counted.hash, 0) as hash,
             coalesce(counted.past_hash, 0) as past_hash, coalesce(
             due.may_last and due.counts_hash = coalesce(counted.hash, 0), false) as is_unchanged
         from due left join counted on counted.slo = due.id)
     update slos set next_evaluation_at = $2,
         unchanged_at = case when is_unchanged then $1 else least(slos.unchanged_at, $1) end,
         unchanged_until = case when is_unchanged then slos.unchanged_until end
     from seen where slos.id = seen.id
     returning slos.id, name, declared, first_event_at, has_ended,
         case when has_ended and not finish_matched then finish_since end
             as finish_unmatched_since,
         seen.unchanged_at, seen.hash as counts_hash, seen.past_hash, is_unchanged";

impl Tx<'_> {
    /// Claims all SLOs that are due, each followed by its groups: the declared ones, and removed
    /// ones with an active alert. The replica that claims an SLO has it alone for most of
    /// `interval`; another replica skips it without waiting.
    ///
    /// An SLO that was evaluated, or found unchanged, at `unchanged_since` or later is only counted
    /// while the result of its evaluation lasts; without this time all are handed out.
    pub async fn claim_due(
        &mut self,
        now: Timestamp,
        interval: Duration,
        unchanged_since: Option<Timestamp>,
    ) -> Result<Claims, StoreError> {
        // 0.9, so that a tick that runs slightly early finds its previous claim expired.
        let next = now + interval.mul_f64(0.9);
        let query = sqlx::query_as(CLAIM_DUE)
            .bind(now.to_chrono())
            .bind(next.to_chrono())
            .bind((now + interval + CLOCK_TOLERANCE).to_chrono())
            .bind(unchanged_since.map(Timestamp::to_chrono))
            .bind(Resolution::Day.as_secs())
            .bind(watched_from(now, DAYS_WATCHED, Resolution::Day))
            .bind(watched_from(now, STARTS_WATCHED, Resolution::Minute))
            .bind(watched_from(now, Duration::ZERO, Resolution::Day))
            .bind(Resolution::Hour.as_secs())
            .bind(watched_from(now, Duration::ZERO, Resolution::Hour));
        let rows: Vec<ClaimedRow> = self.fetch_all(query).await?;
        self.claims(&rows).await
    }

    async fn claims(&mut self, rows: &[ClaimedRow]) -> Result<Claims, StoreError> {
        let changed = rows.iter().filter(|row| !row.is_unchanged);
        let due: Result<Vec<DueSlo>, StoreError> =
            changed.map(|row| self.due_slo(&row.claimed)).collect();
        let due = due?;
        let unchanged = rows.len() - due.len();
        Ok(Claims {
            due: self.with_due_groups(due).await?,
            unchanged,
        })
    }

    fn due_slo(&self, row: &DueSloRow) -> Result<DueSlo, StoreError> {
        Ok(DueSlo {
            id: SloId(row.id),
            name: self.name(&row.name)?,
            group: None,
            declaration: row.declared.into(),
            first_event_at: row.first_event_at.map(Timestamp::from),
            has_ended: row.has_ended,
            finish_unmatched_since: row.finish_unmatched_since.map(Timestamp::from),
            unchanged_at: row.unchanged_at.map(Timestamp::from),
            counts_hash: row.counts_hash,
            past_hash: row.past_hash,
        })
    }

    /// Notes that the results of evaluations at `at` last. A row that another transaction holds is
    /// left out: that SLO is evaluated again.
    pub async fn note_lasting(
        &mut self,
        at: Timestamp,
        lasting: &[LastingEvaluation],
    ) -> Result<(), StoreError> {
        if lasting.is_empty() {
            return Ok(());
        }
        let until = lasting.iter().map(|one| one.until.to_chrono());
        let statement = sqlx::query(
            "-- slos.note_lasting
             with free as (
                 select slos.id, n.until, n.hash
                 from unnest($2::integer[], $3::timestamptz[], $4::bigint[]) as n (id, until, hash)
                 join slos on slos.id = n.id
                 for update of slos skip locked)
             update slos set unchanged_at = $1, unchanged_until = free.until, counts_hash = free.hash
             from free where slos.id = free.id",
        )
        .bind(at.to_chrono())
        .bind(lasting.iter().map(|one| one.slo.0).collect::<Vec<i32>>())
        .bind(until.collect::<Vec<DateTime<Utc>>>())
        .bind(lasting.iter().map(|one| one.counts_hash).collect::<Vec<i64>>());
        self.execute(statement).await.map(drop)
    }
}

fn watched_from(now: Timestamp, length: Duration, resolution: Resolution) -> DateTime<Utc> {
    (now - length).floor_to(resolution.length()).to_chrono()
}

#[derive(FromRow)]
struct ClaimedRow {
    #[sqlx(flatten)]
    claimed: DueSloRow,
    is_unchanged: bool,
}

#[derive(FromRow)]
struct DueSloRow {
    id: i32,
    name: String,
    declared: bool,
    first_event_at: Option<DateTime<Utc>>,
    has_ended: bool,
    finish_unmatched_since: Option<DateTime<Utc>>,
    unchanged_at: Option<DateTime<Utc>>,
    counts_hash: i64,
    past_hash: i64,
}
