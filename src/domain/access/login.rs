//! A pending login: the data that the browser keeps while its user is at the provider.
//!
//! The browser keeps a random text in a cookie, and the service keeps nothing. State, nonce and the
//! verifier of PKCE are derived from that text with the key of all replicas. So a response of the
//! provider is accepted, by any replica, only from the browser in which the login was begun, and a
//! modified text leads to another state.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::{model::time::Timestamp, notify::signed_links::signing::SigningKey};

/// A pending login.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingLogin {
    text: String,
    /// The path to return to after the login.
    next: String,
}

/// The values that the provider must return.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginSecrets {
    pub state: String,
    pub nonce: String,
    /// The verifier of PKCE (RFC 7636): 43 characters.
    pub verifier: String,
}

impl PendingLogin {
    /// Long enough to use a second factor.
    pub const LASTS: Duration = Duration::from_mins(10);

    pub fn new(random: [u8; 32], began_at: Timestamp, next: &str) -> Self {
        let [random, path] = [&random, next.as_bytes()].map(|part| URL_SAFE_NO_PAD.encode(part));
        Self {
            text: format!("{random}.{}.{path}", began_at.as_secs()),
            next: next.to_owned(),
        }
    }

    /// Parses the browser's cookie; `None` if it is not from this service, or too old at `now`.
    pub fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let mut parts = text.split('.');
        let [_random, began_at, path] = [parts.next()?, parts.next()?, parts.next()?];
        let began_at = Timestamp::from_secs(began_at.parse().ok()?);
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(path).ok()?).ok()?;
        (now < began_at + Self::LASTS).then(|| Self {
            text: text.to_owned(),
            next,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn next(&self) -> &str {
        &self.next
    }

    pub fn secrets(&self, key: &SigningKey) -> LoginSecrets {
        let secret = |name| URL_SAFE_NO_PAD.encode(key.login_secret(name, &self.text));
        LoginSecrets {
            state: secret("state"),
            nonce: secret("nonce"),
            verifier: secret("verifier"),
        }
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin").finish_non_exhaustive()
    }
}

impl fmt::Debug for LoginSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSecrets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SigningKey = SigningKey::new([7; 32]);
    const BEGAN: Timestamp = Timestamp::from_secs(1_795_328_700);

    #[test]
    fn what_the_browser_kept_leads_to_the_same_secrets() {
        let login = PendingLogin::new([1; 32], BEGAN, "/alerts?a=b");
        let kept = PendingLogin::parse(login.as_str(), BEGAN).unwrap();
        assert_eq!(kept, login);
        assert_eq!(kept.next(), "/alerts?a=b");
        let secrets = kept.secrets(&KEY);
        assert_eq!(secrets, login.secrets(&KEY));
        assert_eq!(secrets.verifier.len(), 43);
        assert_ne!(secrets.state, secrets.nonce);
        assert_ne!(secrets.nonce, secrets.verifier);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(
            login.as_str().chars().all(plain),
            "a cookie needs no quotes"
        );
    }

    #[test]
    fn another_login_another_key_or_a_changed_text_leads_to_other_secrets() {
        let login = PendingLogin::new([1; 32], BEGAN, "/");
        let secrets = login.secrets(&KEY);
        assert_ne!(login.secrets(&SigningKey::new([8; 32])), secrets);
        assert_ne!(
            PendingLogin::new([2; 32], BEGAN, "/").secrets(&KEY),
            secrets
        );
        let longer = login.as_str().replacen(".17953", ".17954", 1);
        let longer = PendingLogin::parse(&longer, BEGAN).unwrap();
        assert_ne!(longer.secrets(&KEY).state, secrets.state);
    }

    #[test]
    fn a_login_that_takes_too_long_is_none() {
        let login = PendingLogin::new([1; 32], BEGAN, "/");
        let parse = |at| PendingLogin::parse(login.as_str(), at);
        assert!(parse(BEGAN + Duration::from_secs(599)).is_some());
        assert!(parse(BEGAN + PendingLogin::LASTS).is_none());
        for none in ["", "..", "a.b.c", "a.1795328700"] {
            assert_eq!(PendingLogin::parse(none, BEGAN), None, "{none}");
        }
    }
}
