//! Signatures of URLs that act or show something without a login: their purpose, their expiry and
//! their proof of origin.
//!
//! The proof is an HMAC-SHA256 over purpose, subject and expiry under a key that all replicas
//! share. It proves who made the URL, not who uses it: an action must ask for a confirmation first,
//! since chat programs and mail scanners open every URL that they see.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::domain::model::time::Timestamp;

/// Separates these signatures from others that are made with HMAC under the same key.
const CONTEXT: &[u8] = b"throughline signed address 1";

const PSEUDONYM_CONTEXT: &[u8] = b"throughline pseudonym 1";

const LOGIN_CONTEXT: &[u8] = b"throughline login 1";

/// The key that all replicas share. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey([u8; Self::LENGTH]);

/// The purpose of a signed URL; a token for one is invalid for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Acknowledge,
    Silence,
    ShowChart,
}

/// The reason why a token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this link is incomplete, or was not made by this service")]
    Forged,
    #[error("this link has expired")]
    Expired,
}

impl SigningKey {
    /// The length of the digest: a longer key adds nothing (RFC 2104, section 3).
    pub const LENGTH: usize = 32;

    pub const fn new(key: [u8; Self::LENGTH]) -> Self {
        Self(key)
    }

    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Returns a token of letters, digits, `-`, `_` and `.`: it permits `purpose` for `subject`
    /// until `expires`, truncated to whole seconds.
    pub fn token(&self, purpose: Purpose, subject: &str, expires: Timestamp) -> String {
        let expires = expires.as_secs();
        let proof = self.mac(purpose, subject, expires).finalize().into_bytes();
        format!("{expires}.{}", URL_SAFE_NO_PAD.encode(proof))
    }

    /// Verifies a token in constant time, and returns its expiry.
    pub fn check(
        &self,
        token: &str,
        purpose: Purpose,
        subject: &str,
        now: Timestamp,
    ) -> Result<Timestamp, TokenError> {
        let (expires, proof) = token.split_once('.').ok_or(TokenError::Forged)?;
        let expires: i64 = expires.parse().map_err(|_| TokenError::Forged)?;
        let proof = URL_SAFE_NO_PAD
            .decode(proof)
            .map_err(|_| TokenError::Forged)?;
        self.mac(purpose, subject, expires)
            .verify_slice(&proof)
            .map_err(|_| TokenError::Forged)?;
        let expires = Timestamp::from_secs(expires);
        if now < expires {
            Ok(expires)
        } else {
            Err(TokenError::Expired)
        }
    }

    /// Returns a pseudonym for a customer that messages must not name: the same in all messages.
    /// Guessing a name does not help to verify it without the key.
    pub fn pseudonym(&self, name: &str) -> String {
        let mut mac = self.keyed(PSEUDONYM_CONTEXT);
        mac.update(name.as_bytes());
        let proof = mac.finalize().into_bytes();
        let digits = proof.iter().take(5).map(|byte| format!("{byte:02x}"));
        format!("customer-{}", digits.collect::<String>())
    }

    /// Derives a named secret of one login at a provider: it cannot be derived from `login` without
    /// the key, and every replica derives the same.
    pub fn login_secret(&self, name: &str, login: &str) -> [u8; 32] {
        let mut mac = self.keyed(LOGIN_CONTEXT);
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(login.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn mac(&self, purpose: Purpose, subject: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = self.keyed(CONTEXT);
        mac.update(&[purpose.number()]);
        mac.update(&expires.to_be_bytes());
        mac.update(subject.as_bytes());
        mac
    }

    fn keyed(&self, context: &[u8]) -> Hmac<Sha256> {
        // A short key is padded with zeros (RFC 2104, section 2).
        let block: [u8; 64] = std::array::from_fn(|at| self.0.get(at).copied().unwrap_or(0));
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(context);
        mac
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl Purpose {
    const fn number(self) -> u8 {
        match self {
            Self::Acknowledge => 1,
            Self::Silence => 2,
            Self::ShowChart => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const KEY: SigningKey = SigningKey::new([7; 32]);
    const NOW: Timestamp = Timestamp::from_secs(1_795_328_700);

    fn an_hour() -> Timestamp {
        NOW + Duration::from_hours(1)
    }

    #[test]
    fn a_pseudonym_stays_the_same_and_says_nothing() {
        let acme = KEY.pseudonym("acme");
        assert_eq!(acme, KEY.pseudonym("acme"));
        assert_ne!(acme, KEY.pseudonym("acme2"));
        assert_ne!(acme, SigningKey::new([8; 32]).pseudonym("acme"));
        assert!(!acme.contains("acme") && acme.len() == 19, "{acme}");
    }

    #[test]
    fn a_token_proves_one_purpose_for_one_subject_until_it_expires() {
        let token = KEY.token(Purpose::Acknowledge, "episode-7", an_hour());
        let check = |token: &str, purpose, subject, now| KEY.check(token, purpose, subject, now);
        let acknowledge = Purpose::Acknowledge;
        assert_eq!(check(&token, acknowledge, "episode-7", NOW), Ok(an_hour()));
        let forged = Err(TokenError::Forged);
        assert_eq!(check(&token, Purpose::Silence, "episode-7", NOW), forged);
        assert_eq!(check(&token, acknowledge, "episode-8", NOW), forged);
        assert_eq!(
            check(&token, acknowledge, "episode-7", an_hour()),
            Err(TokenError::Expired)
        );
        let longer = token.replacen("17953", "27953", 1);
        assert_eq!(check(&longer, acknowledge, "episode-7", NOW), forged);
        for nonsense in ["", ".", "1795328700", "1795328700.", "x.y", &token[..30]] {
            assert_eq!(check(nonsense, acknowledge, "episode-7", NOW), forged);
        }
    }

    #[test]
    fn another_key_proves_nothing_and_none_is_shown() {
        let token = SigningKey::new([8; 32]).token(Purpose::ShowChart, "x", an_hour());
        assert_eq!(
            KEY.check(&token, Purpose::ShowChart, "x", NOW),
            Err(TokenError::Forged)
        );
        assert_eq!(format!("{KEY:?}"), "SigningKey(..)");
    }

    proptest! {
        #[test]
        fn no_changed_character_is_taken(subject: String, at in 0_usize..50, with in "[0-9A-Za-z_.-]") {
            let token = KEY.token(Purpose::Silence, &subject, an_hour());
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            prop_assert!(token.chars().all(is_plain), "an address needs no escaping");
            let mut changed = token.clone();
            if let Some(was) = token.get(at..=at) && was != with {
                changed.replace_range(at..=at, &with);
                prop_assert!(KEY.check(&changed, Purpose::Silence, &subject, NOW).is_err());
            }
        }
    }
}
