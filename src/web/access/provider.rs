//! Logins at an OpenID Connect provider: the redirect to it, the callback, and the logout.

use askama::Template;
use axum::{
    extract::Query,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    LoginProvider,
    caller::{Caller, check_attempts, note_wrong, peer},
    error::AccessError,
    record::Actor,
    session::{self, cookie, kept, own_path},
};
use crate::{
    domain::{
        access::{AuthenticatedUser, LoginSecrets, PendingLogin},
        model::text::plain,
    },
    oidc::LoginError,
    store::{EndedSession, ProviderUser, SessionLogin},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        state::WebState,
        write::{see_other, who::Who},
    },
};

/// The cookie that is kept until the provider redirects back. It is sent to the login's path only.
const COOKIE: &str = "throughline_login";
const COOKIE_PATH: &str = "/login";
/// A longer one would not fit into the URL of the logout.
const LONGEST_ID_TOKEN: usize = 4_000;
/// The maximum length of an OAuth error code.
const LONGEST_CODE: usize = 40;

#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct StartParams {
    #[serde(default)]
    next: String,
}

/// The parameters of the provider's redirect (RFC 6749, section 4.1.2; `iss` by RFC 9207).
#[derive(Default, Deserialize)]
pub(in crate::web) struct ProviderResponse {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// Redirects the browser to the provider.
pub(in crate::web) async fn start(
    asked: Negotiation,
    state: WebState,
    Query(params): Query<StartParams>,
) -> Response {
    let Some(provider) = &state.access.rules.provider else {
        return asked.refuse(&state, &AccessError::NoLogin.into());
    };
    let next = own_path(&params.next);
    let now = state.clock.now();
    let login = PendingLogin::new(rand::random(), now, &next);
    let secrets = login.secrets(&state.signing_key);
    match provider.identities.login_url(&secrets, now).await {
        Ok(url) => {
            let mut response = see_other(&url);
            let lasts = PendingLogin::LASTS.as_secs();
            keep(&mut response, &state, login.as_str(), lasts);
            response
        }
        Err(error) => refuse(&asked, &state, &error.into(), &next),
    }
}

/// Begins the session of the user that the provider has logged in.
pub(in crate::web) async fn finish(
    asked: Negotiation,
    state: WebState,
    Query(response): Query<ProviderResponse>,
    parts: Parts,
) -> Response {
    let Some(provider) = &state.access.rules.provider else {
        return asked.refuse(&state, &AccessError::NoLogin.into());
    };
    let pending = kept(&parts.headers, COOKIE);
    let pending = pending.and_then(|text| PendingLogin::parse(text, state.clock.now()));
    let next = pending.as_ref().map_or("/", PendingLogin::next);
    let next = own_path(next);
    let begun = begin(&state, provider, &parts, pending.as_ref(), response).await;
    let mut response = match begun {
        Ok((session, caller)) => {
            let mut response = see_other(&next);
            response.headers_mut().append(header::SET_COOKIE, session);
            response.extensions_mut().insert(Actor::from(caller));
            response
        }
        Err(WebError::Access(error)) => {
            let mut response = refuse(&asked, &state, &error, &next);
            if let Some(actor) = actor(&error) {
                response.extensions_mut().insert(actor);
            }
            response
        }
        Err(error) => asked.refuse(&state, &error),
    };
    keep(&mut response, &state, "", 0);
    response
}

async fn begin(
    state: &WebState,
    provider: &LoginProvider,
    parts: &Parts,
    pending: Option<&PendingLogin>,
    response: ProviderResponse,
) -> Result<(HeaderValue, Caller), WebError> {
    let secrets = pending.map(|pending| pending.secrets(&state.signing_key));
    let secrets = secrets.filter(|secrets| is_same(&secrets.state, &response.state));
    let secrets = secrets.ok_or(AccessError::NoPendingLogin)?;
    let issuer = provider.identities.issuer();
    if response.iss.is_some_and(|sent| sent != issuer) {
        return Err(AccessError::NoPendingLogin.into());
    }
    if let Some(error) = response.error {
        return Err(AccessError::Denied(plain(&error, LONGEST_CODE)).into());
    }
    let code = response.code.ok_or(AccessError::NoPendingLogin)?;
    let identity = identify(state, provider, parts, code, &secrets).await?;
    let who = Who::named(&identity.name);
    let name = who.clone().or(Some(&identity.subject)).unwrap_or_default();
    let Some(permissions) = provider.roles.permissions_of(&identity.groups) else {
        let groups = provider.roles.groups.iter();
        return Err(AccessError::NoRole {
            who: name,
            groups: groups.map(|one| one.group.clone()).collect(),
        }
        .into());
    };
    let id_token = Some(identity.id_token).filter(|token| token.len() <= LONGEST_ID_TOKEN);
    let user = ProviderUser {
        subject: identity.subject,
        name,
        permissions: permissions.clone(),
        id_token,
    };
    let login = SessionLogin::Provider(user);
    let session = session::begin(state, &parts.headers, login, None).await?;
    Ok((session, Caller::new(who, permissions)))
}

/// Exchanges the code at the provider, unless the IP address has sent too many unknown codes.
async fn identify(
    state: &WebState,
    provider: &LoginProvider,
    parts: &Parts,
    code: String,
    secrets: &LoginSecrets,
) -> Result<AuthenticatedUser, AccessError> {
    let peer = peer(state, parts);
    check_attempts(state, peer)?;
    let now = state.clock.now();
    let identified = provider.identities.identify(code, secrets, now).await;
    if let Err(LoginError::CodeRejected) = identified {
        note_wrong(state, peer);
    }
    Ok(identified?)
}

/// Returns the user to name in the audit log if a login was rejected. Names that anyone could make
/// up are left out.
fn actor(error: &AccessError) -> Option<Actor> {
    let who = match error {
        AccessError::NoRole { who, .. } => Who::named(who),
        AccessError::Provider(LoginError::InvalidToken(_)) => Who::default(),
        _ => return None,
    };
    Some(Actor { who, role: None })
}

fn refuse(asked: &Negotiation, state: &WebState, error: &AccessError, next: &str) -> Response {
    state.metrics.auth_failure("pages", error.as_label());
    if let AccessError::Provider(cause) = error {
        tracing::warn!(error = %cause, "a login at the OpenID Connect provider failed");
    }
    session::refuse(asked, state, error, next)
}

/// Compares digests, so that the time does not depend on where the texts differ.
fn is_same(expected: &str, found: &str) -> bool {
    Sha256::digest(expected) == Sha256::digest(found)
}

fn keep(response: &mut Response, state: &WebState, text: &str, lasts: u64) {
    if let Some(cookie) = cookie(state, COOKIE, COOKIE_PATH, text, lasts) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Returns the URL at which a browser ends its session with the provider, if it has one.
pub(super) fn logout_url(state: &WebState, ended: &EndedSession) -> Option<String> {
    let provider = state.access.rules.provider.as_ref()?;
    let is_there = ended.is_of_provider;
    is_there
        .then(|| provider.identities.logout_url(ended.id_token.as_deref()))
        .flatten()
}

/// Answers a logout with a page that links to the provider. A redirect is not possible: the content
/// security policy allows no form to lead to another site.
pub(super) fn log_out_elsewhere(asked: &Negotiation, state: &WebState, url: &str) -> Response {
    let layout = Layout::new(state, Section::Other, "Logged out · Throughline");
    let page = LogoutPage {
        layout: Layout {
            can_log_out: false,
            ..layout.still()
        },
        url: url.to_owned(),
    };
    let mut response = asked.page(state, StatusCode::OK, &page);
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={url}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

#[derive(Template)]
#[template(path = "logged_out.html", config = "src/web/askama.toml")]
struct LogoutPage {
    layout: Layout,
    url: String,
}
