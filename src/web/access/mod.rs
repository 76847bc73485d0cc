//! Authentication and authorization of requests.
//!
//! [`check`] runs before every handler except those of health checks and static files. It finds the
//! [`Caller`] by the method of `--auth`, compares their role with the [`need`] of the route, and
//! passes the caller on. A browser without a session gets a form to log in ([`session`]), with a
//! token or at a provider ([`provider`]). Changes are [recorded](record).

pub(super) mod caller;
mod customers;
pub(super) mod error;
pub(super) mod provider;
mod record;
mod routes;
pub(super) mod session;
pub(super) mod sessions;
pub(super) mod tokens;
mod visible;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Query, Request, State},
    http::{HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::Response,
};
pub use customers::CustomerNames;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
pub use visible::Restriction;

use self::{
    caller::{Caller, TokenAttempts, TokenRequests, identify, peer, remaining_attempts},
    error::AccessError,
    record::{Actor, AuditSubject, PendingEntry},
    routes::{Need, need, reads},
};
use super::{
    error::WebError,
    page::Negotiation,
    state::WebState,
    write::{Anonymous, who::Who},
};
use crate::{
    config::{AuthMethod, TrustedProxies},
    domain::access::{AccessRole, ApiToken, KnownTokens, RoleMapping},
    oidc::IdentityProvider,
};

/// The requirements of requests, and the tokens that they are compared with. Clones share
/// everything.
#[derive(Clone, Debug)]
pub struct Access {
    rules: AccessRules,
    tokens: watch::Receiver<Arc<KnownTokens>>,
    attempts: TokenAttempts,
    requests: TokenRequests,
    /// Tasks of requests that write, which are completed even if the client disconnects.
    tasks: TaskTracker,
}

#[derive(Clone, Debug)]
pub struct AccessRules {
    pub method: AuthMethod,
    /// The header in which the proxy sends roles; in lower case.
    pub role_header: Option<String>,
    /// The role of users for whom the proxy sends none.
    pub proxy_role: AccessRole,
    pub trusted_proxies: TrustedProxies,
    /// The login provider; `None` if only tokens are accepted.
    pub provider: Option<LoginProvider>,
    pub session_lifetime: Duration,
    pub open_metrics: bool,
    /// True if browsers reach the pages by HTTPS.
    pub is_secure: bool,
}

/// A provider of OpenID Connect, and the roles of its users.
#[derive(Clone, Debug)]
pub struct LoginProvider {
    pub identities: IdentityProvider,
    pub roles: RoleMapping,
}

impl Access {
    /// Makes the checks. The service waits for `tasks` when it shuts down.
    pub fn new(
        rules: AccessRules,
        tokens: watch::Receiver<Arc<KnownTokens>>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            rules,
            tokens,
            tasks,
            attempts: TokenAttempts::default(),
            requests: TokenRequests::default(),
        }
    }

    /// Returns whether browsers have sessions.
    pub(super) fn has_login(&self) -> bool {
        matches!(self.rules.method, AuthMethod::Token | AuthMethod::Oidc)
    }
}

/// Passes a request on if its sender has the role that the route needs. Every answer to a request
/// with a token says how many more it may send.
pub(super) async fn check(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let pending = PendingEntry::of(&state, &parts, route);
    let (caller, admitted) = admit(&state, &mut parts, route).await;
    let quota = caller.as_ref().and_then(|caller| caller.quota);
    let mut response = match admitted {
        Ok(narrowed) => {
            parts.extensions.insert(narrowed);
            let who = caller.as_ref().map(|caller| caller.who.clone());
            parts.extensions.insert(who.unwrap_or_default());
            let running = next.run(Request::from_parts(parts, body));
            match pending {
                None => running.await,
                Some(pending) => write(state, running, pending, caller).await,
            }
        }
        Err(error) => {
            let response = refuse(&state, &parts, &error);
            if let Some(pending) = pending {
                let actor = caller.map(Actor::from);
                pending.end(&state, actor, response.status()).await;
            }
            response
        }
    };
    if let Some(quota) = quota {
        quota.set(response.headers_mut());
    }
    response
}

/// Runs a request that writes to its end even if the client disconnects, so that no change lacks
/// its entry in the audit log.
async fn write(
    state: WebState,
    running: impl Future<Output = Response> + Send + 'static,
    pending: PendingEntry,
    caller: Option<Caller>,
) -> Response {
    let tasks = state.access.tasks.clone();
    let running = tasks.spawn(running.in_current_span());
    let recording = async move {
        let ended = running.await;
        let mut response = ended.unwrap_or_else(|_| failed());
        // A login sets the actor itself.
        let actor = response.extensions_mut().remove::<Actor>();
        let actor = actor.or_else(|| caller.map(Actor::from));
        let subject = response.extensions_mut().remove::<AuditSubject>();
        let pending = pending.about(subject);
        pending.end(&state, actor, response.status()).await;
        response
    };
    let recorded = tasks.spawn(recording.in_current_span()).await;
    recorded.unwrap_or_else(|_| failed())
}

/// Makes the response if a handler panicked; the panic itself is in the log.
fn failed() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Checks access to `/metrics`, which a setting makes public.
pub(super) async fn check_metrics(
    state: State<WebState>,
    request: Request,
    next: Next,
) -> Response {
    if state.access.rules.open_metrics {
        return next.run(request).await;
    }
    check(state, request, next).await
}

/// Returns the caller, if known, and the state restricted to what they may see.
async fn admit(
    state: &WebState,
    parts: &mut Parts,
    route: &str,
) -> (Option<Caller>, Result<WebState, WebError>) {
    if has_token(&parts.uri) {
        return (None, Err(AccessError::InAddress.into()));
    }
    let need = need(&parts.method, route);
    match (identify(state, parts).await, need) {
        // The name is useful in the log, but the signature of the address is sufficient.
        (identified, Need::Nothing) => (identified.ok(), Ok(state.clone())),
        (Ok(caller), Need::Role(needed) | Need::WholeService(needed)) => {
            let may = may(&caller, needed).map_err(WebError::from);
            let may = may.and_then(|()| check_named(state, parts, &caller));
            let admitted = match may {
                Ok(()) => visible::narrow(state, parts, &caller, needed).await,
                Err(error) => Err(error),
            };
            let customers = state.customers.seen_with(&caller.permissions);
            let admitted = admitted.map(|narrowed| WebState {
                customers,
                ..narrowed
            });
            let admitted = admitted.and_then(|narrowed| of_service(narrowed, need));
            (Some(caller), admitted)
        }
        (Err(error), _) => (None, Err(error)),
    }
}

/// Rejects callers who are restricted to some teams if the route concerns all teams.
fn of_service(narrowed: WebState, need: Need) -> Result<WebState, WebError> {
    match need {
        Need::WholeService(_) if narrowed.is_restricted() => Err(AccessError::WholeService.into()),
        _ => Ok(narrowed),
    }
}

fn may(caller: &Caller, needed: AccessRole) -> Result<(), AccessError> {
    let role = caller.permissions.role();
    if role >= needed {
        return Ok(());
    }
    let name = caller.who.clone().or(None);
    Err(AccessError::Forbidden {
        needed,
        role,
        who: name.map_or_else(|| "the caller".to_owned(), |name| format!("`{name}`")),
    })
}

/// Rejects requests that write without a user name, with `--require-user`.
fn check_named(state: &WebState, parts: &Parts, caller: &Caller) -> Result<(), WebError> {
    let is_anonymous = caller.who == Who::default();
    let rules = &state.writes;
    if is_anonymous && rules.anonymous == Anonymous::MayRead && !reads(&parts.method) {
        return Err(WebError::Unknown {
            header: rules.user_header.clone(),
        });
    }
    Ok(())
}

/// Returns whether a parameter, or its name, is a token, however it is encoded.
fn has_token(uri: &Uri) -> bool {
    let parameters = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let is_token = |text: &String| ApiToken::parse(text).is_some();
    parameters.is_ok_and(|Query(parameters)| {
        let mut parameters = parameters.iter();
        parameters.any(|(name, value)| is_token(name) || is_token(value))
    })
}

fn refuse(state: &WebState, parts: &Parts, error: &WebError) -> Response {
    let asked = Negotiation::of(parts);
    let WebError::Access(access) = error else {
        return asked.refuse(state, error);
    };
    state.metrics.auth_failure("pages", access.as_label());
    let is_unknown = access.status() == StatusCode::UNAUTHORIZED;
    let mut response = if is_unknown && state.access.has_login() && asked.wants_page() {
        let next = parts.uri.path_and_query();
        let next = next.filter(|_| reads(&parts.method));
        let next = next.map_or("/", |next| next.as_str());
        session::refuse(&asked, state, access, next)
    } else {
        asked.refuse(state, error)
    };
    if *access == AccessError::SessionOver {
        session::forget(state, &mut response);
    }
    if let AccessError::Refused(_) | AccessError::Malformed | AccessError::SessionOver = access {
        let quota = remaining_attempts(state, peer(state, parts));
        quota.set(response.headers_mut());
    }
    if is_unknown {
        let scheme = HeaderValue::from_static("Bearer realm=\"throughline\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_an_address_is_found_whatever_the_parameter_is_called() {
        let has_token = |query: &str| has_token(&format!("/alerts?{query}").parse().unwrap());
        let token = ApiToken::from_random([7; 32]);
        let token = token.reveal();
        assert!(has_token(&format!("a=b&token={token}")));
        assert!(has_token(token));
        let encoded = token.replacen("thl_", "%74hl%5F", 1);
        assert!(has_token(&format!("token={encoded}&a=b")));
        assert!(has_token(&format!("{encoded}=")));
        assert!(!has_token("token=1795.abc&q=thl_"));
        assert!(!has_token("q=%ff%fe&a=%"));
        assert!(!has_token(""));
    }
}
