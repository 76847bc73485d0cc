//! Retries a delivery that ended without success: a button, and a request to the API.

use axum::{
    Json,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::found;
use crate::{
    store::Retried,
    web::{
        error::WebError,
        page::Negotiation,
        state::WebState,
        write::{body::ParsedBody, see_other},
    },
};

/// The reason why a delivery is not shown or not retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::web) enum DeliveryError {
    #[error("there is no delivery {id}")]
    NoSuchDelivery { id: i64 },
    #[error("delivery {id} is not tried again: {state}")]
    NothingToRetry { id: i64, state: &'static str },
    #[error("delivery {id} is not retried: its target has already received a later message")]
    Overtaken { id: i64 },
}

impl DeliveryError {
    pub(in crate::web) const fn status(self) -> StatusCode {
        match self {
            Self::NoSuchDelivery { .. } => StatusCode::NOT_FOUND,
            Self::NothingToRetry { .. } | Self::Overtaken { .. } => StatusCode::CONFLICT,
        }
    }

    pub(in crate::web) const fn help(self) -> &'static str {
        match self {
            Self::NoSuchDelivery { .. } => "the page of deliveries lists all of them",
            Self::NothingToRetry { .. } => {
                "only deliveries that failed, expired or were cancelled can be retried"
            }
            Self::Overtaken { .. } => "if it were delivered now, it would show an outdated state",
        }
    }
}

/// An empty object: the path names the delivery.
#[derive(Debug, Default, JsonSchema, Deserialize)]
pub(in crate::web) struct RetryRequest {}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct RetryResponse {
    id: i64,
    /// The number of queued deliveries: this one, and those after it in the same episode.
    queued: u64,
}

pub(in crate::web) async fn post(
    asked: Negotiation,
    state: WebState,
    Path(id): Path<i64>,
    written: ParsedBody<RetryRequest>,
) -> Response {
    match retry(&state, id, Some(&written)).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => asked.refuse(&state, &error),
    }
}

pub(in crate::web) async fn post_form(
    asked: Negotiation,
    state: WebState,
    Path(id): Path<i64>,
) -> Response {
    match retry(&state, id, None).await {
        Ok(_) => see_other(&format!("/deliveries/{id}")),
        Err(error) => asked.refuse(&state, &error),
    }
}

async fn retry(
    state: &WebState,
    id: i64,
    written: Option<&ParsedBody<RetryRequest>>,
) -> Result<serde_json::Value, WebError> {
    let now = state.clock.now();
    let mut tx = state.store.begin("try a delivery again").await?;
    if let Some(written) = written
        && let Some(answer) = written.once.answered(&mut tx, now).await?
    {
        return Ok(answer);
    }
    found(state, &mut tx, id).await?;
    let queued = match tx.retry_delivery(id, now).await? {
        Retried::OnItsWay(count) => count,
        Retried::NoSuchDelivery => return Err(DeliveryError::NoSuchDelivery { id }.into()),
        Retried::Not(state) => {
            let state = state.in_words();
            return Err(DeliveryError::NothingToRetry { id, state }.into());
        }
        Retried::Overtaken => return Err(DeliveryError::Overtaken { id }.into()),
    };
    let answer = serde_json::to_value(RetryResponse { id, queued }).unwrap_or_default();
    if let Some(written) = written {
        written.once.keep(&mut tx, &answer).await?;
    }
    tx.commit().await?;
    Ok(answer)
}
