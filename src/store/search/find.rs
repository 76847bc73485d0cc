//! Searches of workflows, in an order in which the next request can continue.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use super::index::ZERO_SECOND;
use crate::{
    domain::{
        model::{
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        workflow::{
            Details, EventKey,
            search::{SearchText, customer_hash},
        },
    },
    store::{StoreError, Tx, WorkflowRecord, workflows::reads::WorkflowRow},
};

/// The condition of a search. Each has an order of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchBy {
    /// Names that begin with a text, in the order of names.
    Label(SearchText),
    /// Traces whose ids begin with a text.
    Trace(SearchText),
    /// One customer, the newest first.
    Customer(String),
    /// The newest that started in a range of time.
    Recent(Vec<SloId>, TimeRange),
    /// Bad ones that were judged in a range of time, the newest first.
    Bad(Vec<SloId>, TimeRange),
    /// Open ones that started in a range of time, the oldest first.
    Open(Vec<SloId>, TimeRange),
}

/// A position in the order of [`SearchBy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPosition {
    /// The name, if the order is that of names.
    pub text: String,
    /// Otherwise a time, in the unit of its table.
    pub number: i64,
    pub slo: SloId,
    pub key: EventKey,
}

/// A candidate of a search, with its position.
#[derive(Clone, Debug)]
pub struct SearchCandidate {
    pub position: SearchPosition,
    /// `None` if the workflow is deleted.
    pub record: Option<WorkflowRecord>,
}

/// Makes the statement that reads the rows of candidates: those of `$candidates`, which has the
/// columns `epoch`, `slo_id`, `key`, `text` and `number`. All statements have the same parameters:
/// 1 limit, 2 to 4 position, 5 SLOs, 6 to 8 texts, numbers and times that bound the search.
macro_rules! search {
    ($name:literal, $candidates:literal, $order:literal) => {
        concat!(
            "-- workflow_search.",
            $name,
            "\nselect c.text, c.number, c.slo_id, c.key, w.label, w.trace_id, w.customer, w.outcome, ",
            "w.started_at, w.within_us, w.details, ",
            "coalesce(w.succeeded_at, w.failed_at, w.late_at, w.cancelled_at) as ended_at ",
            "from (",
            $candidates,
            ") as c left join workflows w on w.epoch = c.epoch and w.slo_id = c.slo_id ",
            "and w.key = c.key order by ",
            $order
        )
    };
}

const BY_LABEL: &str = search!(
    "by_label",
    "select epoch, slo_id, key, label as text, 0::bigint as number from workflow_search
     where label >= $4 and label < $6 and (label, slo_id, key) > ($4, $2, $3)
     order by label, slo_id, key limit $1",
    "c.text collate \"C\", c.slo_id, c.key"
);

const BY_TRACE: &str = search!(
    "by_trace",
    "select epoch, slo_id, key, '' as text, $4 as number from workflow_search
     where trace_prefix = $5 and (slo_id, key) > ($2, $3)
     order by slo_id, key limit $1",
    "c.slo_id, c.key"
);

const BY_CUSTOMER: &str = search!(
    "by_customer",
    "select epoch, slo_id, key, '' as text, started_second::bigint as number from workflow_search
     where customer_hash = $5 and started_second <= $4
         and (started_second, slo_id, key) < ($4, $2, $3)
     order by started_second desc, slo_id desc, key desc limit $1",
    "c.number desc, c.slo_id desc, c.key desc"
);

const RECENT: &str = search!(
    "recent",
    "select found.* from unnest($5::integer[]) as s (id) cross join lateral (
         select epoch, slo_id, key, '' as text, started_second::bigint as number
         from workflow_search
         where slo_id = s.id and started_second >= $6 and started_second <= $4
             and (started_second, slo_id, key) < ($4, $2, $3)
         order by started_second desc, key desc limit $1) as found
     order by number desc, slo_id desc, key desc limit $1",
    "c.number desc, c.slo_id desc, c.key desc"
);

const BAD: &str = search!(
    "bad",
    "select found.* from unnest($5::integer[]) as s (id) cross join lateral (
         select epoch, slo_id, key, '' as text,
             (extract(epoch from judged_at) * 1000000)::bigint as number from bad_workflows
         where slo_id = s.id and judged_at >= $6 and judged_at < $7
             and judged_at <= $4 and (judged_at, slo_id, key) < ($4, $2, $3)
         order by judged_at desc, key desc limit $1) as found
     order by number desc, slo_id desc, key desc limit $1",
    "c.number desc, c.slo_id desc, c.key desc"
);

const OPEN: &str = search!(
    "open",
    "select found.* from unnest($5::integer[]) as s (id) cross join lateral (
         select distinct w.epoch, w.slo_id, w.key, '' as text, w.started_at,
             (extract(epoch from w.started_at) * 1000000)::bigint as number
         from (
             select started_from, length_us from open_counts
             where slo_id = s.id
                 and started_from + length_us * interval '1 microsecond' > greatest($6, $4)
                 and started_from < $7
             group by started_from, length_us having sum(workflows) > 0
         ) as bucket
         join deadlines d on d.slo_id = s.id
             and d.started_second > bucket.started_from - interval '1 second'
             and d.started_second < bucket.started_from + bucket.length_us * interval '1 microsecond'
         cross join lateral unnest(d.keys) as k (key)
         join workflows w on w.epoch = d.epoch and w.slo_id = d.slo_id and w.key = k.key
         where w.outcome = 0 and w.started_at >= $6 and w.started_at < $7
             and w.started_at >= $4 and (w.started_at, w.slo_id, w.key) > ($4, $2, $3)
         order by w.started_at, w.key limit $1) as found
     order by number, slo_id, key limit $1",
    "c.number, c.slo_id, c.key"
);

impl Tx<'_> {
    /// Returns the next `limit` candidates after `after`, or the first ones.
    pub async fn search_candidates(
        &mut self,
        by: &SearchBy,
        after: Option<&SearchPosition>,
        limit: u32,
    ) -> Result<Vec<SearchCandidate>, StoreError> {
        // A search that no index serves must not hold the database up.
        self.run_ddl("-- workflow_search.limit\nset local statement_timeout = '5s'".to_owned())
            .await?;
        let after = after.cloned().unwrap_or_else(|| by.beginning());
        let (slo, key) = (after.slo.0, Uuid::from_bytes(after.key.0));
        let first = |statement: &'static str| {
            let query = sqlx::query_as(statement).bind(i64::from(limit));
            query.bind(slo).bind(key)
        };
        let ids = |slos: &[SloId]| slos.iter().map(|slo| slo.0).collect::<Vec<_>>();
        let in_range = |statement, slos: &[SloId], range: &TimeRange| {
            let at = Timestamp::from_micros(after.number).to_chrono();
            let query = first(statement).bind(at).bind(ids(slos));
            query
                .bind(range.from.to_chrono())
                .bind(range.to.to_chrono())
        };
        let query = match by {
            SearchBy::Label(text) => {
                let query = first(BY_LABEL).bind(&after.text).bind(None::<i32>);
                query.bind(text.end_of_prefix())
            }
            SearchBy::Trace(text) => first(BY_TRACE).bind(after.number).bind(text.trace_prefix()),
            SearchBy::Customer(customer) => first(BY_CUSTOMER)
                .bind(clamped(after.number))
                .bind(customer_hash(customer)),
            SearchBy::Recent(slos, range) => first(RECENT)
                .bind(clamped(after.number))
                .bind(ids(slos))
                .bind(clamped(second(range.from))),
            SearchBy::Bad(slos, range) => in_range(BAD, slos, range),
            SearchBy::Open(slos, range) => in_range(OPEN, slos, range),
        };
        let rows: Vec<CandidateRow> = self.fetch_all(query).await?;
        let candidates: Result<_, sqlx::Error> =
            rows.into_iter().map(SearchCandidate::try_from).collect();
        candidates.map_err(|source| self.failed(source))
    }
}

impl SearchBy {
    /// Returns the position before the first candidate. No SLO has the id 0 or the greatest one.
    pub fn beginning(&self) -> SearchPosition {
        let upwards = |text: &str, number| SearchPosition {
            text: text.to_owned(),
            number,
            slo: SloId(0),
            key: EventKey([0; 16]),
        };
        let downwards = |number| SearchPosition {
            slo: SloId(i32::MAX),
            ..upwards("", number)
        };
        match self {
            Self::Label(text) => upwards(text.prefix(), 0),
            Self::Trace(_) => upwards("", 0),
            Self::Customer(_) => downwards(i64::from(i32::MAX)),
            Self::Recent(_, range) => downwards(second(range.to)),
            Self::Bad(_, range) => downwards(range.to.as_micros()),
            Self::Open(_, range) => upwards("", range.from.as_micros()),
        }
    }
}

/// Returns the second of a time, as the search table counts them.
const fn second(at: Timestamp) -> i64 {
    at.as_secs() - ZERO_SECOND
}

fn clamped(second: i64) -> i32 {
    i32::try_from(second).unwrap_or(if second < 0 { i32::MIN } else { i32::MAX })
}

#[derive(FromRow)]
struct CandidateRow {
    text: String,
    number: i64,
    slo_id: i32,
    key: Uuid,
    label: Option<String>,
    trace_id: Option<Uuid>,
    customer: Option<String>,
    outcome: Option<i16>,
    started_at: Option<DateTime<Utc>>,
    within_us: Option<i64>,
    ended_at: Option<DateTime<Utc>>,
    details: Option<Json<Details>>,
}

impl TryFrom<CandidateRow> for SearchCandidate {
    type Error = sqlx::Error;

    fn try_from(row: CandidateRow) -> Result<Self, Self::Error> {
        let position = SearchPosition {
            text: row.text,
            number: row.number,
            slo: SloId(row.slo_id),
            key: EventKey(row.key.into_bytes()),
        };
        let (Some(label), Some(trace_id), Some(outcome)) = (row.label, row.trace_id, row.outcome)
        else {
            return Ok(Self {
                position,
                record: None,
            });
        };
        let record = WorkflowRow {
            key: row.key,
            label,
            trace_id,
            customer: row.customer,
            outcome,
            started_at: row.started_at,
            within_us: row.within_us,
            ended_at: row.ended_at,
            details: row.details,
        };
        Ok(Self {
            position,
            record: Some(record.try_into()?),
        })
    }
}
