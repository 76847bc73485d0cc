//! Who is behind a request that writes, as far as the reverse proxy before us says.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

use super::{Anonymous, WriteRules};
use crate::{domain::model::text::plain, web::error::WebError};

/// As long as an address of mail can be (RFC 5321).
const MOST_CHARACTERS: usize = 254;

/// Whoever sent the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Who(Option<String>);

impl Who {
    /// What the proxy says beats what the request says of itself; nobody may be told.
    pub(in crate::web) fn or(self, claimed: Option<&str>) -> Option<String> {
        self.0.or_else(|| name(claimed?))
    }
}

pub(super) fn of(headers: &HeaderMap, rules: &WriteRules) -> Result<Who, WebError> {
    let said = headers.get(&rules.user_header);
    let who = said.and_then(|value| name(&String::from_utf8_lossy(value.as_bytes())));
    match (who, rules.anonymous) {
        (None, Anonymous::MayRead) => Err(WebError::Unknown {
            header: rules.user_header.clone(),
        }),
        (who, _) => Ok(Who(who)),
    }
}

fn name(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| plain(text, MOST_CHARACTERS))
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    /// As the guard has found it.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(anonymous: Anonymous) -> WriteRules {
        WriteRules {
            user_header: "x-forwarded-user".to_owned(),
            anonymous,
            public_url: None,
        }
    }

    #[test]
    fn the_proxy_knows_better_than_the_request_who_asks() {
        let headers = HeaderMap::from_iter([(
            "x-forwarded-user".parse().unwrap(),
            " dana ".parse().unwrap(),
        )]);
        let dana = of(&headers, &rules(Anonymous::MayRead)).unwrap();
        assert_eq!(dana.or(Some("mallory")).as_deref(), Some("dana"));
        let somebody = of(&HeaderMap::new(), &rules(Anonymous::MayWrite)).unwrap();
        assert_eq!(somebody.clone().or(Some("kim\n")).as_deref(), Some("kim"));
        assert_eq!(somebody.or(Some(" ")), None);
    }

    #[test]
    fn where_it_is_asked_for_nobody_writes_unnamed() {
        let unnamed = of(&HeaderMap::new(), &rules(Anonymous::MayRead));
        assert!(matches!(unnamed, Err(WebError::Unknown { .. })));
    }
}
