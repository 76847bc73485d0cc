//! Logins that are refused: forged, too late, in another browser, or by the provider itself.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    Begun, Guarded,
    provider::{CLIENT, FIRST, SECOND, SECRET, unsigned},
    signed,
};
use crate::pages::{client::Answer, fixture::now};

/// Begins a login that ends with the token that `forge` makes from the right claims.
async fn forge(service: &Guarded, forge: impl FnOnce(Value) -> String) -> Answer {
    let login = service.begin("/").await;
    let claims = service.claims(&login);
    service.finish(&login, forge(claims)).await
}

/// That nobody was logged in, and that the audit log has it.
async fn assert_refused(service: &Guarded, answer: &Answer) {
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(answer.cookies(), Vec::<&str>::new());
    let said = "the login provider&#39;s ID token is not valid";
    assert!(answer.body.contains(said), "{}", answer.body);
    let audited = service.audited().await;
    let entry = "- - session.begin /login/callback page rejected";
    assert!(audited[0].starts_with(entry), "{audited:?}");
}

/// A login with one claim that is not right.
async fn refuse_claim(name: &str, value: Value) {
    let service = Guarded::start(None).await;
    let answer = forge(&service, |mut claims| {
        claims[name] = value;
        signed(&claims)
    })
    .await;
    assert_refused(&service, &answer).await;
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    let service = Guarded::start(None).await;
    let header = json!({ "alg": "EdDSA", "kid": FIRST.id });
    let answer = forge(&service, |claims| SECOND.sign(&header, &claims)).await;
    assert_refused(&service, &answer).await;
}

#[tokio::test]
async fn a_token_of_a_key_that_the_provider_does_not_have_is_refused() {
    let service = Guarded::start(None).await;
    let header = json!({ "alg": "EdDSA", "kid": SECOND.id });
    let answer = forge(&service, |claims| SECOND.sign(&header, &claims)).await;
    assert_refused(&service, &answer).await;
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let service = Guarded::start(None).await;
    let header = json!({ "alg": "none" });
    let answer = forge(&service, |claims| {
        format!("{}.", unsigned(&header, &claims))
    })
    .await;
    assert_refused(&service, &answer).await;
}

#[tokio::test]
async fn a_token_that_the_client_secret_signs_is_refused() {
    let service = Guarded::start(None).await;
    let header = json!({ "alg": "HS256" });
    let answer = forge(&service, |claims| {
        let text = unsigned(&header, &claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{text}.{signature}")
    })
    .await;
    assert_refused(&service, &answer).await;
}

#[tokio::test]
async fn a_token_with_changed_claims_is_refused() {
    let service = Guarded::start(None).await;
    let answer = forge(&service, |mut claims| {
        let token = signed(&claims);
        let signature = token.rsplit('.').next().unwrap();
        claims["sub"] = json!("8");
        let header = json!({ "alg": "EdDSA", "kid": FIRST.id });
        format!("{}.{signature}", unsigned(&header, &claims))
    })
    .await;
    assert_refused(&service, &answer).await;
}

#[tokio::test]
async fn a_token_that_has_expired_is_refused() {
    refuse_claim("exp", json!(now().as_secs())).await;
}

#[tokio::test]
async fn a_token_for_another_client_is_refused() {
    refuse_claim("aud", json!("another")).await;
    refuse_claim("aud", json!([CLIENT, "another"])).await;
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    refuse_claim("iss", json!("https://id.example")).await;
}

#[tokio::test]
async fn a_token_for_another_login_is_refused() {
    let other = Guarded::start(None).await.begin("/").await;
    refuse_claim("nonce", json!(other.parameter("nonce"))).await;
    refuse_claim("nonce", Value::Null).await;
}

#[tokio::test]
async fn an_access_token_that_was_not_issued_with_the_id_token_is_refused() {
    refuse_claim("at_hash", json!("bm90IHRoaXMgb25l")).await;
}

/// That a login is accepted neither with this query nor with these cookies, and that the provider
/// is not asked.
async fn assert_not_begun_here(service: &Guarded, query: &str, cookie: &str) {
    let answer = service.come_back(query, &[("cookie", cookie)]).await;
    assert_eq!(answer.status, 400, "{query} {cookie}: {}", answer.body);
    assert_eq!(answer.cookies(), Vec::<&str>::new());
    let said = "this login was begun in another browser, or too long ago";
    assert!(answer.body.contains(said), "{}", answer.body);
    let asked = service.provider.script().exchanges.len();
    assert_eq!(asked, 0, "{query} {cookie}");
}

#[tokio::test]
async fn a_login_goes_on_only_in_the_browser_that_began_it_and_not_for_ever() {
    let service = Guarded::start(None).await;
    let login = service.begin("/").await;
    let other = service.begin("/").await;
    service.provider.script().id_token = signed(&service.claims(&login));
    let state = login.parameter("state");
    let query = format!("code=c0de&state={state}");
    let cookie = login.cookie.as_str();
    let changed = cookie.replace("throughline_login=", "throughline_login=A");
    for (query, cookie) in [
        (&*query, ""),
        (&query, &other.cookie),
        (&query, &changed),
        ("code=c0de", cookie),
        ("code=c0de&state=", cookie),
        (&format!("state={state}"), cookie),
        (&format!("code=c0de&state={state}A"), cookie),
        (&format!("{query}&iss=https%3A%2F%2Fid.example"), cookie),
        (&format!("error=access_denied&state={state}A"), cookie),
    ] {
        assert_not_begun_here(&service, query, cookie).await;
    }
    assert_eq!(
        service.audited().await,
        Vec::<String>::new(),
        "anybody can do it"
    );
    service.shop.clock.advance(Duration::from_mins(10));
    assert_not_begun_here(&service, &query, cookie).await;
}

#[tokio::test]
async fn a_login_leads_to_a_page_of_this_service() {
    let service = Guarded::start(None).await;
    for next in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
    ] {
        let login = service.begin(next).await;
        let token = signed(&service.claims(&login));
        let entered = service.finish(&login, token).await;
        assert_eq!(entered.header("location"), "/", "{next}");
    }
}

#[tokio::test]
async fn a_login_that_the_provider_denies_is_explained() {
    let service = Guarded::start(None).await;
    let login = service.begin("/").await;
    let query = format!("error=access_denied&state={}", login.parameter("state"));
    let answer = service
        .come_back(&query, &[("cookie", &login.cookie)])
        .await;
    assert_eq!(answer.status, 403);
    let said = "the login provider did not log you in: access_denied";
    assert!(answer.body.contains(said), "{}", answer.body);
}

/// Comes back with a code to which the provider answers with this error.
async fn with_error(service: &Guarded, login: &Begun, error: &'static str) -> u16 {
    service.provider.script().error = Some(error);
    service.finish(login, String::new()).await.status
}

#[tokio::test]
async fn too_many_codes_that_the_provider_does_not_know_are_not_shown_to_it() {
    let service = Guarded::start(None).await;
    let login = service.begin("/").await;
    for _ in 0..10 {
        assert_eq!(with_error(&service, &login, "invalid_grant").await, 400);
    }
    assert_eq!(with_error(&service, &login, "invalid_grant").await, 429);
    assert_eq!(service.provider.script().exchanges.len(), 10);
    service.shop.clock.advance(Duration::from_mins(1));
    assert_eq!(with_error(&service, &login, "invalid_client").await, 502);
}
