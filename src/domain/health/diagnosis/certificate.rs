//! Checks of the certificates of the service's own ports.

use super::Diagnosis;
use crate::domain::{
    health::{CertificateState, PortCertificate},
    model::{format, time::Timestamp},
};

pub fn of_certificate(certificate: &PortCertificate, now: Timestamp) -> Diagnosis {
    let check = format!("certificate {}", certificate.port);
    let at = format::date_time(certificate.expires_at);
    let path = &certificate.path;
    let advice = "renew it: new files are used within a second, without a restart";
    match certificate.state(now) {
        CertificateState::Valid => Diagnosis::ok(check, format!("`{path}` is valid until {at}")),
        CertificateState::ExpiresSoon => {
            Diagnosis::warn(check, format!("`{path}` expires on {at}"), advice)
        }
        CertificateState::Expired => {
            Diagnosis::fail(check, format!("`{path}` expired on {at}"), advice)
        }
    }
}
