//! The page of one workflow of the fixture: 280 minutes ago, received late by a queue, with clocks that
//! differ.

use std::time::Duration;

use sqlx::PgConnection;
use throughline::domain::{
    model::{ids::TraceId, time::Timestamp},
    workflow::trace_key,
};
use uuid::Uuid;

use super::fixture;

const LABEL: &str = "\u{202e}order <b>4711</b> / of a customer with a very long and unbreakable-name-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

fn started() -> Timestamp {
    fixture::now() - Duration::from_mins(280)
}

fn trace() -> TraceId {
    TraceId::from_slice(&[7; 16]).unwrap()
}

fn key() -> Uuid {
    Uuid::from_bytes(trace_key(trace()).0)
}

pub(super) fn path() -> String {
    format!("/workflows/orders-on-time/{}", key().simple())
}

pub(super) async fn fill(connection: &mut PgConnection) {
    sqlx::query(
        "insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, within_us,
             trace_id, trace_rank, customer, outcome, judged_at, details)
         values (1, $1, 1, $2, $3, $3 + interval '24 seconds', 300000000, $4, 0, 'nordwind', 1,
             $3 + interval '24 seconds', $5)",
    )
    .bind(key())
    .bind(LABEL)
    .bind(started().to_chrono())
    .bind(Uuid::from_bytes(*trace().as_bytes()))
    .bind(sqlx::types::Json(serde_json::json!({
        "pauses": { "all": [[
            (started() + Duration::from_secs(15)).as_micros(),
            (started() + Duration::from_secs(16)).as_micros(),
        ]] },
    })))
    .execute(&mut *connection)
    .await
    .unwrap();
    for (nth, (kind, from, to, name, service, is_error)) in (1_i64..).zip([
        (1_i16, 0.2, 0.3, "orders", "checkout", false),
        (2, 0.1, 2.0, "orders", "payment", false),
        (1, 1.8, 1.9, "fulfilment <b>", "payment", false),
        (2, 6.0, 7.5, "fulfilment <b>", "warehouse", true),
        (2, 12.0, 23.5, "fulfilment <b>", "warehouse", false),
    ]) {
        sqlx::query(
            "insert into stage_spans (slot, key, content_hash, slo_id, kind, started_at, ended_at,
                 name, service, trace_id, is_error)
             select 0, $1, $2, 0, $3, $4, $5, $6, $7, $8, $9",
        )
        .bind(key())
        .bind(nth)
        .bind(kind)
        .bind((started() + Duration::from_secs_f64(from)).to_chrono())
        .bind((started() + Duration::from_secs_f64(to)).to_chrono())
        .bind(name)
        .bind(service)
        .bind(Uuid::from_bytes(*trace().as_bytes()))
        .bind(is_error)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
}
