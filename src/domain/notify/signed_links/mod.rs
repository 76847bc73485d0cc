//! Signed URLs in messages that need no login: each is made when the message is sent, is
//! verifiable, and expires.

mod action_addresses;
pub mod signing;

use std::time::Duration;

pub use action_addresses::ActionAddresses;

use uuid::Uuid;

use crate::domain::{
    model::time::Timestamp,
    notify::signed_links::signing::{Purpose, SigningKey, TokenError},
};

/// A chart is viewed when the message arrives; a message that is forwarded later shows no data.
const CHART_LIVES: Duration = Duration::from_hours(24);

/// The public URL of this service, and its signing key.
#[derive(Clone, Debug)]
pub struct SignedLinks {
    public_url: String,
    key: SigningKey,
}

impl SignedLinks {
    pub fn new(public_url: &str, key: SigningKey) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            key,
        }
    }

    /// Returns the URL of a transition's chart, valid for a day from `now`.
    pub fn chart(&self, transition: Uuid, now: Timestamp) -> String {
        let subject = transition.simple().to_string();
        let token = self
            .key
            .token(Purpose::ShowChart, &subject, now + CHART_LIVES);
        format!("{}/charts/{subject}.png?token={token}", self.public_url)
    }

    /// Verifies the token of such a URL, and returns its expiry.
    pub fn check_chart(
        key: &SigningKey,
        transition: Uuid,
        token: &str,
        now: Timestamp,
    ) -> Result<Timestamp, TokenError> {
        let subject = transition.simple().to_string();
        key.check(token, Purpose::ShowChart, &subject, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_shown_by_its_own_address_for_a_day() {
        let (key, now) = (
            SigningKey::new([7; 32]),
            Timestamp::from_secs(1_795_328_700),
        );
        let transition = Uuid::from_u128(7);
        let url = SignedLinks::new("https://slo.example/", key.clone()).chart(transition, now);
        let (path, token) = url.split_once("?token=").unwrap();
        assert_eq!(
            path,
            "https://slo.example/charts/00000000000000000000000000000007.png"
        );
        let check = |transition, at| SignedLinks::check_chart(&key, transition, token, at);
        assert_eq!(check(transition, now), Ok(now + CHART_LIVES));
        assert_eq!(
            check(transition, now + CHART_LIVES),
            Err(TokenError::Expired)
        );
        assert_eq!(check(Uuid::from_u128(8), now), Err(TokenError::Forged));
    }
}
