//! `/metrics`: the requests to this process, and whether each installation answers.

use axum::{extract::State, response::Response};

use super::OverviewState;
use crate::{installations::SlosAnswer, web::metrics};

pub(super) async fn get(State(state): State<OverviewState>) -> Response {
    let answers = state
        .installations
        .ask(async |api| api.get::<SlosAnswer>("/api/v1/slos?limit=1").await);
    for answer in answers.await {
        let name = &answer.installation.name;
        state.metrics.show(name, &answer.result, answer.took);
    }
    metrics::text(&state.metrics.registered.registry.gather())
}
