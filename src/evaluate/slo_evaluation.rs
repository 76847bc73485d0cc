//! The evaluation of one SLO at one time: its measurements, and the resulting signals for its
//! alerts.

use std::time::Duration;

use crate::domain::{
    alerting::{
        alert::{Alert, Impact},
        condition::{self, Signal},
        quality,
        rule_statuses::RuleStatuses,
        silence::{self, AlertLabels, Silence},
        status::Measured,
        suppression::Suppression,
    },
    model::{group::Group, ids::Name, time::Timestamp},
    slo::{Severity, Slo},
};

/// The longest time that an alert in doubt must be clear, as far as is known, before it resolves.
const LONGEST_DOUBT: Duration = Duration::from_hours(6);

/// The evaluation of a declared SLO, before its alerts take their steps.
pub(super) struct SloEvaluation<'a> {
    pub(super) slo: &'a Slo,
    pub(super) group: Option<&'a Group>,
    pub(super) measured: Measured,
    pub(super) rules: RuleStatuses,
}

impl SloEvaluation<'_> {
    /// Returns the signal of the rules of `severity` for the alert `seen`.
    pub(super) fn signal(&self, severity: Severity, seen: &Alert) -> Signal {
        // Every SLO has rules on data quality; they say nothing about rules that were removed.
        let is_of_quality = |rule: &Name| quality::is_quality_rule(rule);
        let episode = seen.episode();
        if !self.slo.alerting.declares(severity)
            && episode.is_some_and(|episode| !is_of_quality(&episode.rule))
        {
            return Signal::Undeclared;
        }
        condition::verdict(&self.rules, severity, self.measured.freshness)
    }

    pub(super) fn resolve_after(&self, seen: &Alert) -> Duration {
        let declared = self.slo.alerting.resolve_after;
        match seen.episode() {
            Some(episode) if quality::is_quality_rule(&episode.rule) => {
                declared.max(quality::QUIET_FOR)
            }
            Some(_) | None => declared,
        }
    }

    /// Returns the long window of the rule that fired, at most six hours.
    pub(super) fn doubt_clears_after(&self, seen: &Alert) -> Duration {
        let Some(episode) = seen.episode() else {
            return Duration::ZERO;
        };
        let windows = self.rules.windows_of(&episode.rule);
        windows.map_or(Duration::ZERO, |rule| rule.long.length().min(LONGEST_DOUBT))
    }

    /// Returns the suppression by a silence, if one matches the alert.
    pub(super) fn silenced(
        &self,
        severity: Severity,
        silences: &[Silence],
        now: Timestamp,
    ) -> Option<Suppression> {
        let labels = AlertLabels::of_slo(self.slo, self.group, severity);
        let (silence, until) = silence::muting(silences, &labels, now)?;
        Some(Suppression::Silenced {
            silence: silence.id,
            until,
        })
    }

    pub(super) fn impact(&self) -> Impact {
        let left = self.measured.burn_context(self.slo).budget_remaining();
        Impact {
            customers: match self.slo.customer {
                Some(_) => self.measured.customers_affected,
                None => 0,
            },
            budget_spent: left.is_some_and(|left| left <= 0.0),
        }
    }
}
