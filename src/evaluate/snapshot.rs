//! The counts around an incident, taken when it begins and when it ends.

use std::time::Duration;

use super::SloEvaluation;
use crate::{
    domain::{
        alerting::{
            alert::TransitionKind,
            incident::{IncidentSnapshot, SnapshotPlan},
            snapshot::AlertSnapshot,
        },
        model::{ids::SloId, time::Resolution},
    },
    store::{SeriesQuery, StoreError, Tx},
};

/// Keeps what the page of the incident will show; nothing of what comes between beginning and end.
pub(super) async fn keep(
    tx: &mut Tx<'_>,
    slo: SloId,
    of: &SloEvaluation<'_>,
    facts: &AlertSnapshot,
) -> Result<(), StoreError> {
    let (TransitionKind::Firing | TransitionKind::Resolved) = facts.kind else {
        return Ok(());
    };
    let windows = [facts.long.secs, facts.short.secs].map(Duration::from_secs);
    let first_bad = facts.first_bad_at.or(facts.fired_at);
    let at = facts.evaluated_at;
    let plan = SnapshotPlan::new(first_bad.unwrap_or(at), at, windows.into());
    let query = SeriesQuery {
        resolution: Resolution::Minute,
        range: plan.range,
        step: plan.step,
    };
    let mut points = tx.series(&[slo], query).await?.remove(&slo);
    let excluded = tx.corrections((slo, of.slo), plan.range, plan.step).await?;
    points.get_or_insert_default().extend(excluded);
    let burn = of.measured.burn_context(of.slo);
    let picture = IncidentSnapshot::new(&plan, &points.unwrap_or_default(), &burn, facts.factor);
    tx.keep_picture((facts.episode, facts.kind), &picture, at)
        .await
}
