//! The sender of a request: by its token, its session, or the headers of the proxy.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, header, request::Parts};
use uuid::Uuid;

use super::{error::AccessError, session};
use crate::{
    config::{AuthMethod, TrustedProxies},
    domain::access::{
        AccessRole, ApiToken, AttemptLimit, Blocked, Permissions, RequestCounts, TokenDigest,
        TokenGrant, TokenRecord,
    },
    server::PeerAddress,
    web::{
        error::WebError,
        state::WebState,
        write::{
            rate_limit::{RemainingQuota, RequestLimit},
            who::{self, Who},
        },
    },
};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The sender of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Caller {
    pub(in crate::web) who: Who,
    pub(in crate::web) permissions: Permissions,
    /// What is left of the limit of their token.
    pub(super) quota: Option<RemainingQuota>,
}

impl Caller {
    /// Makes a caller without a token.
    pub(super) const fn new(who: Who, permissions: Permissions) -> Self {
        Self {
            who,
            permissions,
            quota: None,
        }
    }
}

/// The numbers of wrong tokens and sessions by the sender's IP address. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct TokenAttempts(Arc<Mutex<AttemptLimit>>);

/// The numbers of requests by their token. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct TokenRequests(Arc<Mutex<RequestCounts>>);

/// Identifies the caller by the configured method.
pub(super) async fn identify(state: &WebState, parts: &Parts) -> Result<Caller, WebError> {
    let rules = &state.access.rules;
    match rules.method {
        AuthMethod::None => {
            let who = who::of(&parts.headers, &state.writes.user_header);
            Ok(Caller::new(who, AccessRole::Admin.into()))
        }
        AuthMethod::Token | AuthMethod::Oidc => match by_token(state, parts)? {
            Some(caller) => Ok(caller),
            None if parts.headers.contains_key(header::AUTHORIZATION) => {
                count_malformed(state, parts)?;
                Err(AccessError::Malformed.into())
            }
            None => match session::caller(state, parts).await? {
                Some(caller) => Ok(caller),
                None => Err(AccessError::NoToken.into()),
            },
        },
        // The proxy may use an `Authorization` header of its own.
        AuthMethod::Proxy => match by_token(state, parts)? {
            Some(caller) => Ok(caller),
            None => by_proxy(state, parts),
        },
    }
}

/// Identifies the caller by the token in `Authorization`; `None` if there is none of this service.
fn by_token(state: &WebState, parts: &Parts) -> Result<Option<Caller>, WebError> {
    let header = parts.headers.get(header::AUTHORIZATION);
    let value = header.and_then(|value| value.to_str().ok());
    let Some(token) = value.and_then(ApiToken::from_authorization) else {
        return Ok(None);
    };
    let record = check_token(state, &token, peer(state, parts))?;
    match record.grant {
        TokenGrant::User(permissions) => Ok(Some(Caller {
            quota: Some(count_request(state, record.id)?),
            ..Caller::new(Who::named(&record.name), permissions)
        })),
        TokenGrant::Sender(_) => Err(AccessError::OnlySends { name: record.name }.into()),
    }
}

/// Rejects a request if too many were sent with its token.
fn count_request(state: &WebState, token: Uuid) -> Result<RemainingQuota, WebError> {
    let requests = state.access.requests.0.lock();
    let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
    let (used, more_in) = requests.count(token, state.clock.now());
    let quota = RequestLimit::TOKEN_REQUESTS.after(used, more_in);
    if used > RequestCounts::MOST {
        return Err(WebError::TooManyRequests(quota));
    }
    Ok(quota)
}

fn attempts(state: &WebState) -> MutexGuard<'_, AttemptLimit> {
    let attempts = state.access.attempts.0.lock();
    attempts.unwrap_or_else(PoisonError::into_inner)
}

/// Rejects a request if its IP address has sent too many wrong tokens.
pub(super) fn check_attempts(state: &WebState, peer: Option<IpAddr>) -> Result<(), Blocked> {
    attempts(state).admit(peer, state.clock.now())
}

/// Rejects a session if its IP address has sent too many wrong tokens, unless it was found before.
pub(super) fn check_session(
    state: &WebState,
    peer: Option<IpAddr>,
    session: TokenDigest,
) -> Result<(), Blocked> {
    attempts(state).check(peer, session, state.clock.now())
}

pub(super) fn note_right(state: &WebState, peer: Option<IpAddr>, session: TokenDigest) {
    attempts(state).note_right(peer, session, state.clock.now());
}

/// Returns how many wrong tokens the IP address may still send.
pub(super) fn remaining_attempts(state: &WebState, peer: Option<IpAddr>) -> RemainingQuota {
    let (used, more_in) = attempts(state).used(peer, state.clock.now());
    RequestLimit::WRONG_TOKENS.after(used, more_in)
}

pub(super) fn note_wrong(state: &WebState, peer: Option<IpAddr>) {
    attempts(state).note_wrong(peer, state.clock.now());
}

/// Counts what is no token as a wrong one. Rejects a sender of too many.
pub(super) fn count_malformed(state: &WebState, parts: &Parts) -> Result<(), AccessError> {
    let peer = peer(state, parts);
    check_attempts(state, peer)?;
    note_wrong(state, peer);
    Ok(())
}

/// Returns the token's record if it is valid. Rejects a sender of too many wrong tokens.
pub(super) fn check_token(
    state: &WebState,
    token: &ApiToken,
    peer: Option<IpAddr>,
) -> Result<TokenRecord, AccessError> {
    let known = state.access.tokens.borrow();
    let mut attempts = attempts(state);
    let found = attempts.find(peer, token, &known, state.clock.now());
    Ok(found?.clone())
}

/// Returns the client's IP address: the peer's, or the one that a proxy reports.
pub(super) fn peer(state: &WebState, parts: &Parts) -> Option<IpAddr> {
    let rules = &state.access.rules;
    let connected = connected(parts);
    let proxies = &rules.trusted_proxies;
    if proxies.is_empty() || proxies.are_everywhere() {
        let is_behind_proxy = rules.method == AuthMethod::Proxy || proxies.are_everywhere();
        let forwarded = is_behind_proxy.then(|| forwarded(&parts.headers).last());
        return forwarded.flatten().or(connected);
    }
    client_address(connected?, &parts.headers, proxies)
}

fn connected(parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<PeerAddress>();
    peer.map(|peer| peer.0)
}

/// Returns the last address that is not a proxy's. Earlier ones can be forged by the client.
fn client_address(
    connected: IpAddr,
    headers: &HeaderMap,
    proxies: &TrustedProxies,
) -> Option<IpAddr> {
    let mut path: Vec<IpAddr> = forwarded(headers).collect();
    path.push(connected);
    let client = path
        .iter()
        .rev()
        .find(|address| !proxies.contain(**address));
    client.or(path.first()).copied()
}

/// Returns the addresses of `X-Forwarded-For` from the last to the first, up to one that cannot be
/// parsed. Each was added by the next proxy.
fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = IpAddr> {
    let values = headers.get_all(FORWARDED_FOR).iter();
    let texts = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let addresses: Vec<_> = texts.map(|text| text.trim().parse().ok()).collect();
    let readable = addresses
        .iter()
        .rev()
        .take_while(|address| address.is_some());
    let first = addresses.len() - readable.count();
    addresses.into_iter().skip(first).flatten()
}

/// Returns the user that a proxy names in `header`.
pub(in crate::web) fn user_of_proxy(
    parts: &Parts,
    proxies: &TrustedProxies,
    header: &str,
) -> Result<Who, AccessError> {
    let is_proxy = connected(parts).is_some_and(|peer| proxies.contain(peer));
    if !proxies.is_empty() && !is_proxy {
        return Err(AccessError::NoProxy);
    }
    let who = who::of(&parts.headers, header);
    if who == Who::default() {
        let header = header.to_owned();
        return Err(AccessError::NoUser { header });
    }
    Ok(who)
}

fn by_proxy(state: &WebState, parts: &Parts) -> Result<Caller, WebError> {
    let (rules, headers) = (&state.access.rules, &parts.headers);
    let who = user_of_proxy(parts, &rules.trusted_proxies, &state.writes.user_header)?;
    let said = rules.role_header.as_ref();
    let said = said.and_then(|header| Some((header, headers.get(header)?)));
    let permissions = match said {
        None => rules.proxy_role.into(),
        Some((header, value)) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            value.parse().map_err(|_| AccessError::UnknownRole {
                header: header.clone(),
                value: value.into_owned(),
            })?
        }
    };
    Ok(Caller::new(who, permissions))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let name = || FORWARDED_FOR.parse::<HeaderName>().unwrap();
        let pairs = values.iter().map(|value| (name(), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn the_last_address_is_the_one_that_the_proxy_has_added() {
        let last = |values: &[&str]| forwarded(&headers(values)).last();
        assert_eq!(
            last(&["6.6.6.6, 10.0.0.7"]),
            Some("10.0.0.7".parse().unwrap())
        );
        assert_eq!(last(&["unknown"]), None);
        assert_eq!(last(&[]), None);
    }

    #[test]
    fn a_client_behind_proxies_is_known_by_the_address_that_the_first_of_them_has_added() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let client = |connected: &str, values: &[&str]| {
            let connected = connected.parse().unwrap();
            let client = client_address(connected, &headers(values), &proxies);
            client.unwrap().to_string()
        };
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 7.7.7.7"]), "7.7.7.7");
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, 7.7.7.7, 10.0.0.2"]),
            "7.7.7.7"
        );
        assert_eq!(client("::ffff:10.0.0.1", &["7.7.7.7"]), "7.7.7.7");
        assert_eq!(client("10.0.0.1", &["7.7.7.7", "10.0.0.2"]), "7.7.7.7");
        let spoofed = client("8.8.8.8", &["7.7.7.7"]);
        assert_eq!(spoofed, "8.8.8.8", "who is no proxy is not believed");
        assert_eq!(client("10.0.0.1", &["7.7.7.7, x, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}
