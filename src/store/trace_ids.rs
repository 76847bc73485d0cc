//! The form of trace ids in the database.

use uuid::Uuid;

use super::error::inconsistent;
use crate::domain::model::ids::TraceId;

pub(super) fn uuid(trace_id: TraceId) -> Uuid {
    Uuid::from_bytes(*trace_id.as_bytes())
}

pub(super) fn trace_id(uuid: Uuid) -> Result<TraceId, sqlx::Error> {
    TraceId::from_slice(uuid.as_bytes()).ok_or_else(|| inconsistent("a trace id is all zero"))
}
