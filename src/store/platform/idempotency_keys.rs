//! Idempotency keys: requests that a client may repeat without being executed twice.
//!
//! A key is claimed in the transaction that executes the request: a repetition that arrives before
//! the transaction ends waits at the claim, and then finds the response.

use serde_json::Value;
use sqlx::types::Json;

use crate::{
    domain::model::time::Timestamp,
    store::{Progress, StoreError, Tx},
};

/// A request and its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRequest {
    /// Method and path.
    pub request: String,
    pub key: String,
    /// A hash of the body.
    pub fingerprint: String,
}

/// The result of claiming a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// The key is new: the request must be executed, and [`Tx::keep_answer`] belongs in the same
    /// transaction.
    New,
    /// The request was executed with this response.
    Answered(Value),
    /// The key was used for a request with another body.
    Differs,
}

impl Tx<'_> {
    pub async fn claim_request(
        &mut self,
        named: &NamedRequest,
        now: Timestamp,
    ) -> Result<Claimed, StoreError> {
        let statement = sqlx::query(
            "-- idempotency_keys.claim
            insert into idempotency_keys (request, key, fingerprint, created_at)
            values ($1, $2, $3, $4)
            on conflict (request, key) do nothing",
        )
        .bind(&named.request)
        .bind(&named.key)
        .bind(&named.fingerprint)
        .bind(now.to_chrono());
        let claimed = self.execute(statement).await?;
        if claimed == 1 {
            return Ok(Claimed::New);
        }
        let (fingerprint, answer): (String, Option<Json<Value>>) = sqlx::query_as(
            "-- idempotency_keys.read
            select fingerprint, answer from idempotency_keys where request = $1 and key = $2",
        )
        .bind(&named.request)
        .bind(&named.key)
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(match answer {
            _ if fingerprint != named.fingerprint => Claimed::Differs,
            Some(Json(answer)) => Claimed::Answered(answer),
            None => Claimed::New,
        })
    }

    pub async fn keep_answer(
        &mut self,
        named: &NamedRequest,
        answer: &Value,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- idempotency_keys.answer
            update idempotency_keys set answer = $3 where request = $1 and key = $2",
        )
        .bind(&named.request)
        .bind(&named.key)
        .bind(Json(answer));
        self.execute(statement).await.map(drop)
    }

    /// Deletes some of the keys that were used before `before`.
    pub async fn forget_requests(&mut self, before: Timestamp) -> Result<Progress, StoreError> {
        let statement = sqlx::query(
            "-- idempotency_keys.forget
            delete from idempotency_keys where ctid = any (array(
                select ctid from idempotency_keys where created_at < $1 limit $2))",
        )
        .bind(before.to_chrono())
        .bind(Progress::SLICE);
        Ok(Progress::of_slice(self.execute(statement).await?))
    }
}
