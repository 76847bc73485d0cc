//! Findings about the certificates of the service's own ports.

use std::time::Duration;

use super::{Finding, MINUTE, hold_times, sentences};
use crate::domain::{health::HealthInputs, slo::Severity};

/// Finds certificates that clients refuse: senders lose their spans, and people see a warning.
pub(super) fn expired(signs: &HealthInputs) -> Option<Finding> {
    let lines = sentences(signs, |replica| &replica.certificates_expired);
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/certificate-expired".to_owned(),
        severity: Severity::Page,
        title: "a certificate of the service has expired, so clients refuse it".to_owned(),
        lines,
        hold_times: hold_times(Duration::ZERO, MINUTE),
        target: None,
    })
}

/// Finds certificates that should have been renewed.
pub(super) fn expiring(signs: &HealthInputs) -> Option<Finding> {
    let lines = sentences(signs, |replica| &replica.certificates_expiring);
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/certificate-expires".to_owned(),
        severity: Severity::Ticket,
        title: "a certificate of the service expires soon".to_owned(),
        lines,
        hold_times: hold_times(Duration::ZERO, MINUTE),
        target: None,
    })
}
