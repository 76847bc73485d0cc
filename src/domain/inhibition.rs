//! When an alert of a group would add nothing to the alert of its SLO.
//!
//! If everything burns, so does nearly every group: a hundred pages would say what one page has said
//! already. So a group's alert does not begin while the SLO's own fires at the same severity or a
//! higher one, as Alertmanager's inhibition has it. It is shown as held back meanwhile. What burns on
//! after the SLO's alert has ended begins then, with the numbers of that moment; what had begun before
//! goes on, and ends, as if there were no other.

use super::{
    alert::Alert,
    condition::Verdict,
    definition::Severity,
    status::{AlertState, AlertStatus},
};

/// Whether `alert` of a group, of which `verdict` is seen, is held back by the alerts of its SLO.
pub fn is_held_back(
    (alert, severity): (&Alert, Severity),
    verdict: &Verdict,
    of_slo: &[AlertStatus],
) -> bool {
    let would_fire = alert.episode().is_none() && matches!(verdict, Verdict::Breach(_));
    let mut fires = of_slo
        .iter()
        .filter(|of_slo| of_slo.state != AlertState::Inactive);
    would_fire && fires.any(|of_slo| of_slo.severity >= severity)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        alert::{Episode, Phase},
        time::Timestamp,
    };

    fn of_slo(severity: Severity, state: AlertState) -> AlertStatus {
        AlertStatus {
            severity,
            state,
            since: Timestamp::UNIX_EPOCH,
            rule: None,
        }
    }

    fn breach() -> Verdict {
        Verdict::Breach("fast-burn".parse().unwrap())
    }

    #[test]
    fn an_alert_is_held_back_by_one_at_least_as_severe() {
        use AlertState::{Firing, Inactive, Recovering};
        use Severity::{Page, Ticket};
        let quiet = Alert::new(Timestamp::UNIX_EPOCH);
        let held = |severity, of: Severity, state| {
            is_held_back((&quiet, severity), &breach(), &[of_slo(of, state)])
        };
        assert!(held(Page, Page, Firing) && held(Ticket, Page, Firing));
        assert!(held(Ticket, Ticket, Recovering));
        assert!(!held(Page, Ticket, Firing));
        assert!(!held(Page, Page, Inactive));
    }

    #[test]
    fn what_goes_on_already_or_does_not_burn_is_not_held_back() {
        let episode = Episode {
            id: Uuid::nil(),
            rule: "fast-burn".parse().unwrap(),
            fired_at: Timestamp::UNIX_EPOCH,
        };
        let firing = Alert {
            version: 1,
            phase: Phase::Firing(episode),
        };
        let quiet = Alert::new(Timestamp::UNIX_EPOCH);
        let paging = [of_slo(Severity::Page, AlertState::Firing)];
        assert!(!is_held_back((&firing, Severity::Page), &breach(), &paging));
        for verdict in [Verdict::Clear, Verdict::Between, Verdict::Undeclared] {
            assert!(!is_held_back((&quiet, Severity::Page), &verdict, &paging));
        }
    }
}
