//! Who sends a request, by its token, its session or what the proxy says.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::{HeaderMap, header, request::Parts};

use super::{error::AccessError, session};
use crate::{
    config::AuthMethod,
    domain::access::{AccessRole, ApiToken, AttemptLimit, TokenGrant, TokenRecord},
    server::PeerAddress,
    web::{
        error::WebError,
        state::WebState,
        write::who::{self, Who},
    },
};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The sender of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Caller {
    pub(in crate::web) who: Who,
    pub(in crate::web) role: AccessRole,
}

/// Wrong tokens by the address they came from. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct TokenAttempts(Arc<Mutex<AttemptLimit<Option<IpAddr>>>>);

/// The caller, by the method in force.
pub(super) async fn identify(state: &WebState, parts: &Parts) -> Result<Caller, WebError> {
    let rules = &state.access.rules;
    match rules.method {
        AuthMethod::None => Ok(Caller {
            who: who::of(&parts.headers, &state.writes.user_header),
            role: AccessRole::Admin,
        }),
        AuthMethod::Token => match by_token(state, parts)? {
            Some(caller) => Ok(caller),
            None if parts.headers.contains_key(header::AUTHORIZATION) => {
                Err(AccessError::Malformed.into())
            }
            None => match session::caller(state, &parts.headers).await? {
                Some(caller) => Ok(caller),
                None => Err(AccessError::NoToken.into()),
            },
        },
        // The proxy may have an `Authorization` of its own.
        AuthMethod::Proxy => match by_token(state, parts)? {
            Some(caller) => Ok(caller),
            None => by_proxy(state, &parts.headers),
        },
    }
}

/// By the token in `Authorization`; `None` if there is none of this service.
fn by_token(state: &WebState, parts: &Parts) -> Result<Option<Caller>, WebError> {
    let header = parts.headers.get(header::AUTHORIZATION);
    let value = header.and_then(|value| value.to_str().ok());
    let Some(token) = value.and_then(ApiToken::from_authorization) else {
        return Ok(None);
    };
    let record = check_token(state, &token, peer(state, parts))?;
    match record.grant {
        TokenGrant::Role(role) => Ok(Some(Caller {
            who: Who::named(&record.name),
            role,
        })),
        TokenGrant::Sender(_) => Err(AccessError::OnlySends { name: record.name }.into()),
    }
}

/// The token's record, if it is valid. A sender of too many wrong ones is rejected.
pub(super) fn check_token(
    state: &WebState,
    token: &ApiToken,
    peer: Option<IpAddr>,
) -> Result<TokenRecord, AccessError> {
    let attempts = state.access.attempts.0.lock();
    let mut attempts = attempts.unwrap_or_else(PoisonError::into_inner);
    let known = state.access.tokens.borrow();
    let found = attempts.find(peer, token, &known, state.clock.now());
    Ok(found?.clone())
}

/// The other end of the connection, or whom the proxy got the request from.
pub(super) fn peer(state: &WebState, parts: &Parts) -> Option<IpAddr> {
    let is_behind_proxy = state.access.rules.method == AuthMethod::Proxy;
    let forwarded = is_behind_proxy
        .then(|| last_forwarded(&parts.headers))
        .flatten();
    let connected = || parts.extensions.get::<PeerAddress>();
    forwarded.or_else(|| connected().map(|peer| peer.0))
}

/// The last address is the one that the proxy itself has added.
fn last_forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let value = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    let last = value.to_str().ok()?.rsplit(',').next()?;
    last.trim().parse().ok()
}

fn by_proxy(state: &WebState, headers: &HeaderMap) -> Result<Caller, WebError> {
    let header = &state.writes.user_header;
    let who = who::of(headers, header);
    if who == Who::default() {
        let header = header.clone();
        return Err(AccessError::NoUser { header }.into());
    }
    let rules = &state.access.rules;
    let said = rules.role_header.as_ref();
    let said = said.and_then(|header| Some((header, headers.get(header)?)));
    let role = match said {
        None => rules.proxy_role,
        Some((header, value)) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            value.parse().map_err(|_| AccessError::UnknownRole {
                header: header.clone(),
                value: value.into_owned(),
            })?
        }
    };
    Ok(Caller { who, role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_is_the_one_that_the_proxy_has_added() {
        let headers = |value: &str| {
            HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), value.parse().unwrap())])
        };
        let last = last_forwarded(&headers("6.6.6.6, 10.0.0.7"));
        assert_eq!(last, Some("10.0.0.7".parse().unwrap()));
        assert_eq!(last_forwarded(&headers("unknown")), None);
        assert_eq!(last_forwarded(&HeaderMap::new()), None);
    }
}
