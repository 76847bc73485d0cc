//! `/healthz`: the process lives. `/readyz`: it can do its work, and if not, why.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

use super::state::WebState;

#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    /// What is missing; empty if ready.
    reasons: Vec<String>,
    /// Why changed definitions are not in force. The service works with the previous ones meanwhile, so
    /// this does not change the status: a restart or another replica would not help.
    warnings: Vec<String>,
}

pub(super) async fn live() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(state): State<WebState>) -> (StatusCode, Json<Readiness>) {
    let mut reasons = Vec::new();
    if let Err(error) = state.store.ping().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the database does not answer"
        );
        reasons.push("the database does not answer".to_owned());
    }
    let definitions = Arc::clone(&state.definitions.borrow());
    let mut warnings = Vec::new();
    if definitions.loaded_at.is_none() {
        reasons.push(format!(
            "no definitions could be loaded from `{}`",
            definitions.folder
        ));
        reasons.extend(definitions.problems.iter().cloned());
    } else {
        warnings.extend(definitions.problems.iter().cloned());
    }
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Readiness {
            ready: reasons.is_empty(),
            reasons,
            warnings,
        }),
    )
}
