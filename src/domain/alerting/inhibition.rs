//! Inhibition: alerts whose notification would add nothing to that of another one.
//!
//! While the page of an SLO is firing, its ticket adds nothing, and if everything burns nearly
//! every group does too: a hundred pages would repeat one. So the alert is recorded and shown as
//! inhibited, but not notified, like Alertmanager's inhibition. If it is still firing after the
//! other has ended, it is notified then, with the numbers of that moment; targets that had been
//! notified before are notified of its end in any case.

use super::alert::AlertStatus;
use crate::domain::slo::Severity;

/// Returns the severity of a firing alert that inhibits another one: a more severe one of the same
/// SLO or group (`own`), or one of the group's SLO that is no less severe.
pub fn inhibitor(
    severity: Severity,
    own: &[AlertStatus],
    of_slo: &[AlertStatus],
) -> Option<Severity> {
    let own = own.iter().filter(|own| own.severity > severity);
    let of_slo = of_slo.iter().filter(|of_slo| of_slo.severity >= severity);
    own.chain(of_slo)
        .filter(|other| other.state.fires())
        .map(|other| other.severity)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        alerting::alert::{AlertProgress, AlertState},
        model::time::Timestamp,
    };

    fn alert(severity: Severity, state: AlertState) -> AlertStatus {
        AlertStatus {
            began_at: None,
            severity,
            state,
            since: Timestamp::UNIX_EPOCH,
            rule: None,
            progress: AlertProgress::default(),
        }
    }

    #[test]
    fn a_group_is_held_back_by_an_alert_of_its_slo_at_least_as_severe() {
        use AlertState::{Firing, Inactive, Pending, Recovering};
        use Severity::{Page, Ticket};
        let held = |severity, of: Severity, state| inhibitor(severity, &[], &[alert(of, state)]);
        assert_eq!(held(Page, Page, Firing), Some(Page));
        assert_eq!(held(Ticket, Page, Firing), Some(Page));
        assert_eq!(held(Ticket, Ticket, Recovering), Some(Ticket));
        assert_eq!(held(Page, Ticket, Firing), None);
        assert_eq!(held(Page, Page, Inactive), None);
        assert_eq!(held(Page, Page, Pending), None);
    }

    #[test]
    fn a_ticket_is_held_back_by_its_own_page_and_nothing_by_itself() {
        use AlertState::Firing;
        use Severity::{Page, Ticket};
        let own = [alert(Page, Firing), alert(Ticket, Firing)];
        assert_eq!(inhibitor(Ticket, &own, &[]), Some(Page));
        assert_eq!(inhibitor(Page, &own, &[]), None);
        assert_eq!(inhibitor(Ticket, &own[1..], &[]), None);
    }
}
