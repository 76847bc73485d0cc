//! The author of a change: the name of the token, or the user that a reverse proxy sends.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

use crate::domain::model::text::plain;

/// The maximum length of an e-mail address (RFC 5321).
const MOST_CHARACTERS: usize = 254;

/// The sender of a request; `None` if unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Who(Option<String>);

impl Who {
    pub(in crate::web) fn named(text: &str) -> Self {
        Self(name(text))
    }

    /// Returns the known sender, or else the name that the request claims.
    pub(in crate::web) fn or(self, claimed: Option<&str>) -> Option<String> {
        self.0.or_else(|| name(claimed?))
    }
}

/// Returns the user that a proxy sends in the header `user_header`.
pub(in crate::web) fn of(headers: &HeaderMap, user_header: &str) -> Who {
    let said = headers.get(user_header);
    Who(said.and_then(|value| name(&String::from_utf8_lossy(value.as_bytes()))))
}

fn name(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| plain(text, MOST_CHARACTERS))
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    /// Reads the sender that [`check`](crate::web::access::check) has found.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_knows_better_than_the_request_who_asks() {
        let headers = HeaderMap::from_iter([(
            "x-forwarded-user".parse().unwrap(),
            " dana ".parse().unwrap(),
        )]);
        let dana = of(&headers, "x-forwarded-user");
        assert_eq!(dana.or(Some("mallory")).as_deref(), Some("dana"));
        let somebody = of(&HeaderMap::new(), "x-forwarded-user");
        assert_eq!(somebody.clone().or(Some("kim\n")).as_deref(), Some("kim"));
        assert_eq!(somebody.or(Some(" ")), None);
    }
}
