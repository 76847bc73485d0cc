//! Workflows as people examine them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::TraceId, time::Timestamp},
        workflow::{Details, EventKey, Outcome},
    },
    store::trace_ids::trace_id,
};

/// One workflow, for people to examine.
#[derive(Clone, Debug)]
pub struct WorkflowRecord {
    pub key: EventKey,
    pub label: String,
    pub trace_id: TraceId,
    pub customer: Option<String>,
    pub outcome: Outcome,
    pub started_at: Option<Timestamp>,
    /// `None` for one that has not ended.
    pub ended_at: Option<Timestamp>,
    /// Start plus time limit plus pauses.
    pub deadline: Option<Timestamp>,
}

impl WorkflowRecord {
    /// Returns the seconds from start to end; up to `now` for one that has not ended.
    pub fn took_secs(&self, now: Timestamp) -> Option<f64> {
        let took = self.ended_at.unwrap_or(now).micros_since(self.started_at?);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a few years")]
        let secs = took as f64 / 1e6;
        Some(secs)
    }
}

/// Converts rows.
pub(crate) fn records(rows: Vec<WorkflowRow>) -> Result<Vec<WorkflowRecord>, sqlx::Error> {
    rows.into_iter().map(WorkflowRecord::try_from).collect()
}

#[derive(FromRow)]
pub(crate) struct WorkflowRow {
    pub(crate) key: Uuid,
    pub(crate) label: String,
    pub(crate) trace_id: Uuid,
    pub(crate) customer: Option<String>,
    pub(crate) outcome: i16,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) within_us: Option<i64>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) details: Option<Json<Details>>,
}

impl TryFrom<WorkflowRow> for WorkflowRecord {
    type Error = sqlx::Error;

    fn try_from(row: WorkflowRow) -> Result<Self, Self::Error> {
        let invalid = |column: &str| sqlx::Error::Decode(format!("`{column}` is invalid").into());
        let started_at = row.started_at.map(Timestamp::from);
        let within = row
            .within_us
            .and_then(|us| u64::try_from(us).ok())
            .map(Duration::from_micros);
        let details = row.details.map(|Json(details)| details).unwrap_or_default();
        let outcome = Outcome::from_code(row.outcome).ok_or_else(|| invalid("outcome"))?;
        let last_leg = match outcome {
            Outcome::Open
            | Outcome::Timeout
            | Outcome::Unobservable
            | Outcome::EvidenceLost
            | Outcome::Unwatched
            | Outcome::Ambiguous => None,
            Outcome::Good
            | Outcome::Late
            | Outcome::Failed
            | Outcome::Cancelled
            | Outcome::Orphan
            | Outcome::Invalid => details.legs.last_end(),
        };
        Ok(Self {
            key: EventKey(row.key.into_bytes()),
            label: row.label,
            trace_id: trace_id(row.trace_id)?,
            customer: row.customer,
            outcome,
            started_at,
            ended_at: row.ended_at.map(Timestamp::from).or(last_leg),
            deadline: started_at
                .zip(within)
                .map(|(at, within)| details.deadline(at, within)),
        })
    }
}
