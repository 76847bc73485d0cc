//! Sessions of browsers: a login with a token, a cookie with a random id, and the logout. Logins at
//! a provider are in [`provider`].

use std::borrow::Cow;

use askama::Template;
use axum::{
    Form,
    extract::Query,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{
    caller::{
        Caller, check_session, check_token, count_malformed, note_right, note_wrong, peer,
        remaining_attempts,
    },
    error::AccessError,
    provider,
    record::Actor,
};
use crate::{
    domain::{
        access::{ApiToken, TokenDigest, TokenGrant, TokenRecord, TokenRefusal},
        model::time::Timestamp,
    },
    server::set_retry_after,
    store::{EndedSession, NewSession, SessionLogin},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        state::WebState,
        write::{see_other, who::Who},
    },
};

const COOKIE: &str = "throughline_session";
/// The whole service.
const COOKIE_PATH: &str = "/";
/// The maximum length of a path to return to.
const LONGEST_PATH: usize = 2_000;

#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct LoginForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

/// Returns the caller who is logged in; `None` without a session. A session that does not exist counts
/// as a wrong token, since each is looked up in the database.
pub(super) async fn caller(state: &WebState, parts: &Parts) -> Result<Option<Caller>, WebError> {
    let Some(digest) = session_digest(&parts.headers) else {
        return Ok(None);
    };
    let peer = peer(state, parts);
    check_session(state, peer, digest).map_err(AccessError::from)?;
    let mut tx = state.store.begin("find a session").await?;
    let found = tx.session(digest, state.clock.now()).await?;
    // Sessions from a provider are invalid if the service accepts only tokens.
    let has_provider = state.access.rules.provider.is_some();
    let found = found.filter(|session| has_provider || !session.is_of_provider);
    let Some(session) = found else {
        note_wrong(state, peer);
        return Err(AccessError::SessionOver.into());
    };
    note_right(state, peer, digest);
    let who = Who::named(&session.name);
    Ok(Some(Caller::new(who, session.permissions)))
}

pub(in crate::web) async fn form(
    asked: Negotiation,
    state: WebState,
    Query(form): Query<LoginForm>,
) -> Response {
    if !state.access.has_login() {
        return asked.refuse(&state, &AccessError::NoLogin.into());
    }
    asked.page(&state, StatusCode::OK, &LoginPage::new(&state, &form.next))
}

pub(in crate::web) async fn log_in(
    asked: Negotiation,
    state: WebState,
    parts: Parts,
    Form(form): Form<LoginForm>,
) -> Response {
    if !state.access.has_login() {
        return asked.refuse(&state, &AccessError::NoLogin.into());
    }
    match with_token(&state, &parts, &form.token).await {
        Ok((cookie, caller)) => {
            let mut response = see_other(&own_path(&form.next));
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response.extensions_mut().insert(Actor::from(caller));
            response
        }
        Err(WebError::Access(error)) => {
            state.metrics.auth_failure("pages", error.as_label());
            let mut response = refuse(&asked, &state, &error, &form.next);
            if let AccessError::Blocked(blocked) = &error {
                set_retry_after(response.headers_mut(), blocked.again_in);
            }
            if let AccessError::Refused(_) | AccessError::Blocked(_) = error {
                let quota = remaining_attempts(&state, peer(&state, &parts));
                quota.set(response.headers_mut());
            }
            response
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

pub(in crate::web) async fn log_out(
    asked: Negotiation,
    state: WebState,
    who: Who,
    headers: HeaderMap,
) -> Response {
    // The check has looked for the session already: there is none to end if it has found nobody.
    let ended = if who == Who::default() {
        Ok(None)
    } else {
        end(&state, &headers).await
    };
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return asked.refuse(&state, &error),
    };
    let elsewhere = ended.and_then(|ended| provider::logout_url(&state, &ended));
    let mut response = match elsewhere {
        None => see_other("/"),
        Some(url) => provider::log_out_elsewhere(&asked, &state, &url),
    };
    forget(&state, &mut response);
    response
}

/// Removes the cookie of a session that has ended, so that the browser does not send it again.
pub(super) fn forget(state: &WebState, response: &mut Response) {
    if let Some(cookie) = cookie(state, COOKIE, COOKIE_PATH, "", 0) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// Answers a browser with the login form and an error message.
pub(super) fn refuse(
    asked: &Negotiation,
    state: &WebState,
    error: &AccessError,
    next: &str,
) -> Response {
    let page = LoginPage {
        problem: match error {
            AccessError::NoToken => None,
            error => Some((error.to_string(), error.help())),
        },
        ..LoginPage::new(state, next)
    };
    asked.page(state, error.status(), &page)
}

/// Begins a session for the holder of this token, and returns its cookie.
async fn with_token(
    state: &WebState,
    parts: &Parts,
    token: &str,
) -> Result<(HeaderValue, Caller), WebError> {
    let Some(token) = ApiToken::parse(token) else {
        count_malformed(state, parts)?;
        return Err(AccessError::from(TokenRefusal::Unknown).into());
    };
    let record = check_token(state, &token, peer(state, parts))?;
    let TokenRecord {
        id,
        name,
        grant,
        expires_at,
        ..
    } = record;
    let TokenGrant::User(permissions) = grant else {
        return Err(AccessError::OnlySends { name }.into());
    };
    let login = SessionLogin::Token(id);
    let cookie = begin(state, &parts.headers, login, Some(expires_at)).await?;
    let who = Who::named(&name);
    Ok((cookie, Caller::new(who, permissions)))
}

/// Begins a session that lasts until the given time at most, and returns its cookie. An older
/// session of the same browser ends, so that a session id from before the login is useless.
pub(super) async fn begin(
    state: &WebState,
    headers: &HeaderMap,
    login: SessionLogin,
    until: Option<Timestamp>,
) -> Result<HeaderValue, WebError> {
    let secret: [u8; 32] = rand::random();
    let now = state.clock.now();
    let longest = now + state.access.rules.session_lifetime;
    let session = NewSession {
        digest: TokenDigest::of(&secret),
        login,
        created_at: now,
        expires_at: until.map_or(longest, |until| until.min(longest)),
    };
    let mut tx = state.store.begin("begin a session").await?;
    if let Some(older) = session_digest(headers) {
        tx.end_session(older).await?;
    }
    tx.insert_session(&session).await?;
    tx.commit().await?;
    let lasts = session.expires_at.saturating_since(now).as_secs();
    let id = URL_SAFE_NO_PAD.encode(secret);
    cookie(state, COOKIE, COOKIE_PATH, &id, lasts).ok_or(WebError::NoSuchPage)
}

async fn end(state: &WebState, headers: &HeaderMap) -> Result<Option<EndedSession>, WebError> {
    let Some(digest) = session_digest(headers) else {
        return Ok(None);
    };
    let mut tx = state.store.begin("end a session").await?;
    let ended = tx.end_session(digest).await?;
    tx.commit().await?;
    Ok(ended)
}

fn session_digest(headers: &HeaderMap) -> Option<TokenDigest> {
    let secret = URL_SAFE_NO_PAD.decode(kept(headers, COOKIE)?).ok()?;
    (secret.len() == 32).then(|| TokenDigest::of(&secret))
}

/// Returns the value of the cookie `name`.
pub(in crate::web) fn kept<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    Some(value)
}

/// Makes a cookie that scripts cannot read and that requests from other sites do not send.
pub(in crate::web) fn cookie(
    state: &WebState,
    name: &str,
    path: &str,
    value: &str,
    max_age: u64,
) -> Option<HeaderValue> {
    let secure = if state.access.rules.is_secure {
        "; Secure"
    } else {
        ""
    };
    let cookie =
        format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}");
    let mut value = HeaderValue::try_from(cookie).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns `next` if it is a path of this service, so that it cannot lead to another site.
pub(super) fn own_path(next: &str) -> Cow<'_, str> {
    let leads_elsewhere = next.starts_with("//") || next.contains(['\\', '\r', '\n', '\t']);
    let is_own = next.starts_with('/') && !leads_elsewhere && next.len() <= LONGEST_PATH;
    if is_own && next.is_ascii() {
        Cow::Borrowed(next)
    } else {
        Cow::Borrowed("/")
    }
}

#[derive(Template)]
#[template(path = "login.html", config = "src/web/askama.toml")]
struct LoginPage {
    layout: Layout,
    /// The error, and how to solve it.
    problem: Option<(String, &'static str)>,
    next: String,
    /// The URL of the login at the provider; `None` if only tokens are accepted.
    provider: Option<String>,
    /// True if the provider did not answer when it was asked last.
    is_provider_away: bool,
}

impl LoginPage {
    fn new(state: &WebState, next: &str) -> Self {
        let layout = Layout::new(state, Section::Other, "Log in · Throughline");
        let provider = state.access.rules.provider.as_ref();
        Self {
            layout: Layout {
                can_log_out: false,
                ..layout.still()
            },
            problem: None,
            next: own_path(next).into_owned(),
            is_provider_away: provider
                .is_some_and(|provider| provider.identities.problem().is_some()),
            provider: provider.map(|provider| provider.identities.issuer().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_this_service() {
        for own in ["/", "/slos/orders?range=1h", "/i/7"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nb",
        ] {
            assert_eq!(own_path(other), "/", "{other}");
        }
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let id = URL_SAFE_NO_PAD.encode([7; 32]);
        let headers = |cookies: &str| {
            HeaderMap::from_iter([(header::COOKIE, cookies.parse::<HeaderValue>().unwrap())])
        };
        let found = session_digest(&headers(&format!("a=b; {COOKIE}={id}; c=d")));
        assert_eq!(found, Some(TokenDigest::of(&[7; 32])));
        for none in ["a=b", "throughline_session=", "throughline_session=abc"] {
            assert_eq!(session_digest(&headers(none)), None, "{none}");
        }
    }
}
