//! Requests with an `Idempotency-Key` (IETF draft) are done once.

use axum::http::{HeaderName, request::Parts};
use serde_json::Value;

use crate::{
    domain::model::time::Timestamp,
    store::{Claimed, NamedRequest, Tx},
    web::{error::WebError, page::fingerprint},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The maximum length of a key, as in the table.
const LONGEST_KEY: usize = 255;

/// The key of a request that is done only once; `None` for a request without a key.
#[derive(Debug)]
pub(in crate::web) struct Once(Option<NamedRequest>);

impl Once {
    /// Reads the key of a request whose body was not read yet.
    pub(super) fn unread(parts: &Parts) -> Result<Self, WebError> {
        let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Self(None));
        };
        let key = key.to_str().unwrap_or_default();
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(WebError::BadIdempotencyKey);
        }
        Ok(Self(Some(NamedRequest {
            request: format!("{} {}", parts.method, parts.uri.path()),
            key: key.to_owned(),
            fingerprint: String::new(),
        })))
    }

    pub(super) fn of(self, body: &[u8]) -> Self {
        Self(self.0.map(|named| NamedRequest {
            fingerprint: fingerprint(body),
            ..named
        }))
    }

    /// Returns the earlier response if the request was already done; `None` if it is to be done in
    /// this transaction, and its response kept.
    pub(in crate::web) async fn answered(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
    ) -> Result<Option<Value>, WebError> {
        let Some(named) = &self.0 else {
            return Ok(None);
        };
        match tx.claim_request(named, now).await? {
            Claimed::New => Ok(None),
            Claimed::Answered(answer) => Ok(Some(answer)),
            Claimed::Differs => Err(WebError::OtherRequest),
        }
    }

    pub(in crate::web) async fn keep(
        &self,
        tx: &mut Tx<'_>,
        answer: &Value,
    ) -> Result<(), WebError> {
        if let Some(named) = &self.0 {
            tx.keep_answer(named, answer).await?;
        }
        Ok(())
    }
}
