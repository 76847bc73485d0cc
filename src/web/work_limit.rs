//! Limits of concurrent requests and their size.
//!
//! A request is admitted after its body has arrived, so that a slow sender blocks no others. There
//! are as many permits as the pages have database connections, so that every admitted request finds
//! one.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{error::WebError, page::Negotiation, state::WebState};

/// The maximum size of a request body. Forms and the API's JSON are far smaller.
const MOST_BYTES: usize = 1 << 20;
/// The time limit from the head of a request to the end of its body.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// The time that a request waits for a permit.
const FREE_WITHIN: Duration = Duration::from_secs(2);

/// The permits of requests. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct WorkLimit {
    state: WebState,
    permits: Arc<Semaphore>,
}

impl WorkLimit {
    pub(super) fn new(state: WebState) -> Self {
        let permits = state.store.max_connections() as usize;
        Self {
            state,
            permits: Arc::new(Semaphore::new(permits)),
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, WebError> {
        match timeout(FREE_WITHIN, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(WebError::Busy),
        }
    }
}

pub(super) async fn bound(
    State(limit): State<WorkLimit>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Negotiation::of(&parts);
    let admitted = async { Ok((receive(body).await?, limit.permit().await?)) };
    match admitted.await {
        Ok((bytes, _permit)) => next.run(Request::from_parts(parts, bytes.into())).await,
        Err(error) => asked.refuse(&limit.state, &error),
    }
}

/// Reads the whole body. A body whose announced length is too large is rejected at once.
async fn receive(body: Body) -> Result<Bytes, WebError> {
    if body.size_hint().lower() > MOST_BYTES as u64 {
        return Err(WebError::TooLarge(MOST_BYTES));
    }
    match timeout(BODY_WITHIN, Limited::new(body, MOST_BYTES).collect()).await {
        Ok(Ok(received)) => Ok(received.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(WebError::TooLarge(MOST_BYTES)),
        Ok(Err(error)) => Err(WebError::Unreadable(error.to_string())),
        Err(_) => Err(WebError::SlowBody),
    }
}
