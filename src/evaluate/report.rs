//! What a tick did.

use super::{ClaimedSlo, slo_evaluation::SloEvaluation};
use crate::domain::alerting::{
    alert::{AlertChange, TickGap, Transition, TransitionKind},
    rule_status::Freshness,
};

/// The result of one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationReport {
    /// SLOs that this replica claimed and evaluated, or found unchanged.
    pub evaluated: usize,
    /// Those of them that it found unchanged since their last evaluation, without their groups.
    pub unchanged: usize,
    /// Alerts that began to fire, including suppressed ones.
    pub fired: usize,
    pub resolved: usize,
    /// All recorded transitions, including suppressed ones.
    pub transitions: Vec<TransitionKind>,
    /// SLOs with inconsistent counts.
    pub inconsistent_counts: usize,
    /// SLOs that had been evaluated at a later time already; they were skipped.
    pub clock_went_back: usize,
    /// Alerts that another replica changed at the same time; the result of this replica was
    /// discarded.
    pub lost_races: usize,
}

impl EvaluationReport {
    pub(super) fn count(&mut self, transition: Option<&Transition>) {
        let Some(transition) = transition else { return };
        self.transitions.push(transition.change.kind());
        match transition.change {
            AlertChange::Fired => self.fired += 1,
            AlertChange::Developed(_) => {}
            AlertChange::Resolved(_) => self.resolved += 1,
        }
    }

    /// Records why the alerts of an SLO do not change.
    pub(super) fn note(
        &mut self,
        claimed: &ClaimedSlo,
        assessment: Option<&SloEvaluation<'_>>,
        beat: TickGap,
    ) {
        let slo = &claimed.due.name;
        if beat == TickGap::Backwards {
            self.clock_went_back += 1;
            tracing::warn!(
                slo.name = %slo,
                "`{slo}` has been evaluated at a later time already: a clock was set back, or those \
                 of two replicas disagree"
            );
        }
        if assessment.is_some_and(|of| of.measured.freshness == Freshness::Inconsistent) {
            self.inconsistent_counts += 1;
            tracing::error!(
                slo.name = %slo,
                "the counts of `{slo}` cannot be true: its alerts stay as they are"
            );
        }
    }
}
