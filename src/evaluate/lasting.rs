//! The results of a tick, and the SLOs whose result lasts until something is counted.

use super::ClaimedSlo;
use crate::{
    domain::{
        alerting::status::SloStatus,
        model::{ids::SloId, time::Timestamp},
    },
    store::LastingEvaluation,
};

/// The statuses of the SLOs that were evaluated.
#[derive(Default)]
pub(super) struct Evaluated {
    pub(super) statuses: Vec<(SloId, SloStatus)>,
    /// For each SLO, if its result lasts and those of its groups do.
    lasting: Vec<Option<LastingEvaluation>>,
}

impl Evaluated {
    /// Adds the result for an SLO, or for a group of the SLO that was added last.
    pub(super) fn add(
        &mut self,
        claimed: &ClaimedSlo,
        status: Option<SloStatus>,
        lasts_until: Option<Timestamp>,
    ) {
        let slo = claimed.due.id;
        self.statuses.extend(status.map(|status| (slo, status)));
        if claimed.due.group.is_none() {
            let counts_hash = claimed.due.counts_hash;
            self.lasting
                .push(lasts_until.map(|until| LastingEvaluation {
                    slo,
                    until,
                    counts_hash,
                }));
        } else if let Some(of_slo) = self.lasting.last_mut() {
            let both = of_slo.zip(lasts_until);
            *of_slo = both.map(|(of_slo, until)| LastingEvaluation {
                until: until.min(of_slo.until),
                ..of_slo
            });
        }
    }

    /// Returns the evaluations whose results last.
    pub(super) fn lasting(&self) -> Vec<LastingEvaluation> {
        self.lasting.iter().flatten().copied().collect()
    }
}
