//! API tokens: random text for its holder, of which the service stores only a hash.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Permissions;
use crate::domain::model::{format, time::Timestamp};

/// A token in plain text. It is shown once and never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(String);

/// The SHA-256 hash of a token. Tokens are random and long, so a slow hash would add nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

/// The use of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenGrant {
    /// Pages and API.
    User(Permissions),
    /// Sending spans.
    Sender(AllowedServices),
}

/// The values of `service.name` whose spans a sender may send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllowedServices {
    #[default]
    All,
    Only(BTreeSet<String>),
}

/// The settings of a new token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub name: String,
    pub grant: TokenGrant,
    pub lasts: Duration,
}

/// The reason why settings of a token are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTokenRequest {
    #[error("the name of a token is 1 to {LONGEST_NAME} characters without control characters")]
    Name,
    #[error("a token is valid for at most ten years, and for some time")]
    Lifetime,
}

const LONGEST_NAME: usize = 100;
const LONGEST_LIFETIME: Duration = Duration::from_hours(10 * 366 * 24);

/// A new token, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    pub id: Uuid,
    /// Unique, also among tokens that are not valid any more.
    pub name: String,
    pub grant: TokenGrant,
    pub digest: TokenDigest,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A token that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    pub id: Uuid,
    pub name: String,
    pub grant: TokenGrant,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// The reason why a token is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("this token is unknown here")]
    Unknown,
    #[error("the token `{name}` expired at {}", format::date_time(*.at))]
    Expired { name: String, at: Timestamp },
    #[error("the token `{name}` was revoked")]
    Revoked { name: String },
}

impl ApiToken {
    /// The prefix by which secret scanners and people recognise a token.
    pub const PREFIX: &str = "thl_";
    /// 32 random bytes cannot be guessed.
    pub const LENGTH: usize = 32;

    pub fn from_random(bytes: [u8; Self::LENGTH]) -> Self {
        Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Returns `None` if `text` cannot be a token.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let secret = URL_SAFE_NO_PAD
            .decode(text.strip_prefix(Self::PREFIX)?)
            .ok()?;
        (secret.len() == Self::LENGTH).then(|| Self(text.to_owned()))
    }

    /// Reads the value of an `Authorization` header; `None` if it is no bearer token of this service.
    pub fn from_authorization(value: &str) -> Option<Self> {
        let (scheme, token) = value.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        is_bearer.then(|| Self::parse(token)).flatten()
    }

    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.as_bytes())
    }

    /// Returns the text, for its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(..)")
    }
}

impl TokenDigest {
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl TokenRequest {
    /// Returns what is stored of `token`, which was drawn for this request.
    pub fn record(
        self,
        token: &ApiToken,
        id: Uuid,
        now: Timestamp,
    ) -> Result<NewToken, InvalidTokenRequest> {
        let name = self.name.trim();
        let is_plain = !name.is_empty() && !name.contains(char::is_control);
        if !is_plain || name.chars().count() > LONGEST_NAME {
            return Err(InvalidTokenRequest::Name);
        }
        if self.lasts.is_zero() || self.lasts > LONGEST_LIFETIME {
            return Err(InvalidTokenRequest::Lifetime);
        }
        Ok(NewToken {
            id,
            name: name.to_owned(),
            grant: self.grant,
            digest: token.digest(),
            created_at: now,
            expires_at: now + self.lasts,
        })
    }
}

impl fmt::Display for TokenGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(permissions) => write!(f, "{permissions}"),
            Self::Sender(AllowedServices::All) => f.write_str("sender"),
            Self::Sender(AllowedServices::Only(services)) => {
                let services: Vec<_> = services.iter().map(String::as_str).collect();
                write!(f, "sender of {}", services.join(", "))
            }
        }
    }
}

impl AllowedServices {
    /// All services if none is named.
    pub fn of(services: Vec<String>) -> Self {
        if services.is_empty() {
            return Self::All;
        }
        Self::Only(services.into_iter().collect())
    }

    /// Returns whether spans of this service are allowed. `None` is a span without `service.name`.
    pub fn allow(&self, service: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => service.is_some_and(|service| names.contains(service)),
        }
    }
}

impl TokenRecord {
    /// Returns `valid`, `expired` or `revoked`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        self.check(now)
            .map_or_else(|refusal| refusal.as_label(), |()| "valid")
    }

    /// Checks whether it is valid at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), TokenRefusal> {
        let name = self.name.clone();
        if self.revoked_at.is_some() {
            return Err(TokenRefusal::Revoked { name });
        }
        if self.expires_at <= now {
            return Err(TokenRefusal::Expired {
                name,
                at: self.expires_at,
            });
        }
        Ok(())
    }
}

impl TokenRefusal {
    /// Returns its label in metrics.
    pub const fn as_label(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired { .. } => "expired",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// All tokens, as last read. Requests are checked against these, so that neither a wrong nor a
/// right token needs a database query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownTokens(HashMap<TokenDigest, TokenRecord>);

impl KnownTokens {
    /// Returns the record of a token that is valid at `now`.
    pub fn find(&self, token: &ApiToken, now: Timestamp) -> Result<&TokenRecord, TokenRefusal> {
        let found = self.0.get(&token.digest());
        let record = found.ok_or(TokenRefusal::Unknown)?;
        record.check(now).map(|()| record)
    }
}

impl FromIterator<(TokenDigest, TokenRecord)> for KnownTokens {
    fn from_iter<I: IntoIterator<Item = (TokenDigest, TokenRecord)>>(tokens: I) -> Self {
        Self(tokens.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::AccessRole;

    fn record(expires_at: i64, revoked_at: Option<i64>) -> TokenRecord {
        TokenRecord {
            id: Uuid::nil(),
            name: "ci".to_owned(),
            grant: TokenGrant::User(AccessRole::Viewer.into()),
            created_at: Timestamp::from_secs(0),
            expires_at: Timestamp::from_secs(expires_at),
            revoked_at: revoked_at.map(Timestamp::from_secs),
        }
    }

    #[test]
    fn a_token_is_recognised_and_never_shown_by_accident() {
        let token = ApiToken::from_random([7; 32]);
        assert!(token.reveal().starts_with("thl_"));
        assert_eq!(
            ApiToken::parse(&format!(" {}\n", token.reveal())),
            Some(token.clone())
        );
        assert!(!format!("{token:?}").contains(token.reveal()));
        for other in ["", "thl_", "thl_abc", "Bearer", &token.reveal()[4..]] {
            assert_eq!(ApiToken::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_token_is_accepted_until_it_expires_or_is_revoked() {
        let [good, revoked, unknown] = [1, 2, 3].map(|byte| ApiToken::from_random([byte; 32]));
        let known = KnownTokens::from_iter([
            (good.digest(), record(10, None)),
            (revoked.digest(), record(10, Some(5))),
        ]);
        let at = Timestamp::from_secs;
        assert_eq!(known.find(&good, at(9)).map(|found| &*found.name), Ok("ci"));
        let text = |token, now| known.find(token, at(now)).unwrap_err().to_string();
        assert_eq!(
            text(&good, 10),
            "the token `ci` expired at 1970-01-01 00:00 UTC"
        );
        assert_eq!(text(&revoked, 9), "the token `ci` was revoked");
        assert_eq!(text(&unknown, 9), "this token is unknown here");
    }

    #[test]
    fn a_token_has_a_name_and_an_end() {
        let token = ApiToken::from_random([7; 32]);
        let made = |name: &str, hours| {
            let request = TokenRequest {
                name: name.to_owned(),
                grant: TokenGrant::User(AccessRole::Viewer.into()),
                lasts: Duration::from_hours(hours),
            };
            let made = request.record(&token, Uuid::nil(), Timestamp::from_secs(0));
            made.map(|made| (made.name, made.expires_at))
        };
        let end = Timestamp::from_secs(3_600);
        assert_eq!(made(" ci ", 1), Ok(("ci".to_owned(), end)));
        for name in ["", " ", "a\nb", &"x".repeat(101)] {
            assert_eq!(made(name, 1), Err(InvalidTokenRequest::Name), "{name:?}");
        }
        for hours in [0, 24 * 366 * 11] {
            assert_eq!(made("ci", hours), Err(InvalidTokenRequest::Lifetime));
        }
    }

    #[test]
    fn a_sender_may_send_the_services_that_are_listed() {
        let only = AllowedServices::Only(BTreeSet::from(["shop".to_owned()]));
        assert!(only.allow(Some("shop")));
        assert!(!only.allow(Some("bank")) && !only.allow(None));
        assert!(AllowedServices::All.allow(None));
    }
}
