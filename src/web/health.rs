//! `/healthz`: the process runs. `/readyz`: whether it can do its work, and if not, why.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::{sync::Mutex, time::timeout};

use super::{error::what_of_the_store, state::WebState};
use crate::{
    domain::model::time::Timestamp,
    store::{ConnectionUse, StoreError},
};

/// The minimum time between two checks, each of which writes to the database.
const SHARED_FOR: Duration = Duration::from_secs(1);
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// The time that readiness waits for the first evaluation; after that receiving spans is more
/// important.
const EVALUATED_WITHIN: Duration = Duration::from_mins(1);

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    /// The reasons why it is not ready; empty if it is.
    reasons: Vec<String>,
    /// The reasons why changed definitions are not active. The service continues with the previous
    /// ones, so this does not change the status: a restart or another replica would not help.
    warnings: Vec<String>,
}

/// The latest check of the database. Clones share it.
#[derive(Clone, Debug)]
pub struct ReadinessCheck {
    started_at: Timestamp,
    last: Arc<Mutex<Option<LastLook>>>,
}

#[derive(Clone, Debug)]
struct LastLook {
    at: Timestamp,
    reasons: Vec<String>,
}

impl ReadinessCheck {
    pub fn new(started_at: Timestamp) -> Self {
        Self {
            started_at,
            last: Arc::default(),
        }
    }

    pub(super) const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Returns the reasons why it is not ready. Concurrent requests share one check.
    async fn reasons(&self, state: &WebState) -> Vec<String> {
        let mut last = self.last.lock().await;
        let now = state.clock.now();
        if let Some(LastLook { at, reasons }) = last.as_ref()
            && (*at..*at + SHARED_FOR).contains(&now)
        {
            return reasons.clone();
        }
        let reasons = self.look(state).await;
        *last = Some(LastLook {
            at: state.clock.now(),
            reasons: reasons.clone(),
        });
        reasons
    }

    async fn look(&self, state: &WebState) -> Vec<String> {
        let looking = timeout(ANSWERS_WITHIN, self.not_evaluated(state)).await;
        match looking.unwrap_or_else(|_| Err(StoreError::no_answer("check that it is ready"))) {
            Ok(0) => Vec::new(),
            Ok(1) => vec!["1 SLO was not evaluated since the start".to_owned()],
            Ok(slos) => vec![format!("{slos} SLOs were not evaluated since the start")],
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the database is not usable"
                );
                vec![what_of_the_store(&error).to_owned()]
            }
        }
    }

    /// Returns the number of SLOs without an evaluation. It writes to the database, as recording a
    /// span does.
    async fn not_evaluated(&self, state: &WebState) -> Result<usize, StoreError> {
        let store = state.store.for_use(ConnectionUse::Recording);
        let mut tx = store.begin("check that it is ready").await?;
        tx.look().await?;
        let slos = if state.clock.now() < self.started_at + EVALUATED_WITHIN {
            tx.slo_signs().await?
        } else {
            Vec::new()
        };
        tx.commit().await?;
        let waits = |at: Option<Timestamp>| at.is_none_or(|at| at < self.started_at);
        Ok(slos.iter().filter(|slo| waits(slo.evaluated_at)).count())
    }
}

pub(super) async fn live() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(state): State<WebState>) -> (StatusCode, Json<Readiness>) {
    let mut reasons = state.readiness.reasons(&state).await;
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
