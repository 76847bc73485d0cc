//! A request that names itself is done once, as the IETF's draft of `Idempotency-Key` has it.

use axum::http::{HeaderName, request::Parts};
use serde_json::Value;

use crate::{
    domain::model::time::Timestamp,
    store::{Claimed, NamedRequest, Tx},
    web::{error::WebError, page::fingerprint},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How the table keeps it as well.
const LONGEST_KEY: usize = 255;

/// By which name a request is done only once; without one it is done whenever it comes.
#[derive(Debug)]
pub(in crate::web) struct Once(Option<NamedRequest>);

impl Once {
    /// Of a request whose body was not read yet.
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

    /// What was answered if it was done before; `None` if it is to be done in this transaction, and the
    /// answer to be kept.
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
