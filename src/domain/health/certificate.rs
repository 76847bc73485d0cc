//! The certificates that the ports of the service show, and when they expire.

use std::time::Duration;

use crate::domain::model::{format, time::Timestamp};

/// Enough to renew one by hand.
const SOON: Duration = Duration::from_hours(14 * 24);
/// A short-lived certificate is renewed when a third of its time is left, so less is a problem.
const PART_LEFT: u32 = 5;

/// The certificate of a port; of a chain the part that expires first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortCertificate {
    /// `pages`, or `otlp` for both ports of OTLP.
    pub port: &'static str,
    /// The file that it was read from.
    pub path: String,
    pub valid_from: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateState {
    Valid,
    /// Within 14 days, or the last fifth of its time if that is shorter.
    ExpiresSoon,
    Expired,
}

impl PortCertificate {
    pub fn state(&self, now: Timestamp) -> CertificateState {
        let lifetime = self.expires_at.saturating_since(self.valid_from);
        if self.expires_at <= now {
            CertificateState::Expired
        } else if self.expires_at <= now + SOON.min(lifetime / PART_LEFT) {
            CertificateState::ExpiresSoon
        } else {
            CertificateState::Valid
        }
    }

    /// Returns a sentence that stays the same while the state does.
    pub fn sentence(&self, now: Timestamp) -> String {
        let Self { port, path, .. } = self;
        let verb = match self.state(now) {
            CertificateState::Expired => "expired",
            CertificateState::ExpiresSoon | CertificateState::Valid => "expires",
        };
        let at = format::date_time(self.expires_at);
        format!("The certificate `{path}` of {port} {verb} on {at}.")
    }
}

/// Returns a sentence for each certificate in `state`.
pub fn certificates_in(
    state: CertificateState,
    certificates: &[PortCertificate],
    now: Timestamp,
) -> Vec<String> {
    let found = certificates.iter().filter(|one| one.state(now) == state);
    found.map(|one| one.sentence(now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn of_days(days: u32) -> PortCertificate {
        PortCertificate {
            port: "pages",
            path: "tls.crt".to_owned(),
            valid_from: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH + DAY * days,
        }
    }

    #[test]
    fn a_certificate_expires_soon_in_its_last_fortnight_or_fifth() {
        use CertificateState::{Expired, ExpiresSoon, Valid};

        for (days, left, state) in [
            (90, DAY * 15, Valid),
            (90, DAY * 14, ExpiresSoon),
            (90, Duration::from_secs(1), ExpiresSoon),
            (90, Duration::ZERO, Expired),
            (1, Duration::from_hours(5), Valid),
            (1, Duration::from_hours(4), ExpiresSoon),
        ] {
            let certificate = of_days(days);
            let now = certificate.expires_at - left;
            assert_eq!(certificate.state(now), state, "{left:?} of {days} d");
        }
    }

    #[test]
    fn a_sentence_names_the_port_the_file_and_the_time() {
        let certificate = of_days(90);
        let sentence = |now| certificate.sentence(now);
        assert_eq!(
            sentence(certificate.expires_at - DAY),
            "The certificate `tls.crt` of pages expires on 1970-04-01 00:00 UTC."
        );
        assert_eq!(
            sentence(certificate.expires_at),
            "The certificate `tls.crt` of pages expired on 1970-04-01 00:00 UTC."
        );
        let certificates = [of_days(90), of_days(400)];
        let now = Timestamp::UNIX_EPOCH + DAY * 100;
        let expired = certificates_in(CertificateState::Expired, &certificates, now);
        assert_eq!(expired.len(), 1);
    }
}
