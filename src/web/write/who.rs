//! Who is behind a request: the name of its token, or the user that a reverse proxy sends.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

use crate::domain::model::text::plain;

/// As long as an address of mail can be (RFC 5321).
const MOST_CHARACTERS: usize = 254;

/// Whoever sent the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Who(Option<String>);

impl Who {
    pub(in crate::web) fn named(text: &str) -> Self {
        Self(name(text))
    }

    /// What is known beats what the request says of itself.
    pub(in crate::web) fn or(self, claimed: Option<&str>) -> Option<String> {
        self.0.or_else(|| name(claimed?))
    }
}

/// The user that a proxy sends in the header `user_header`.
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

    /// As [`check`](crate::web::access::check) has found it.
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
