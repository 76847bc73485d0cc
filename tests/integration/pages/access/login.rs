//! Browsers that log in and out.

use std::time::Duration;

use axum::Router;
use throughline::{
    config::AuthMethod,
    domain::{
        access::{AccessRole, ApiToken},
        slo::Catalog,
    },
    web::{self, WebState},
};

use super::{FORM, bearer, guarded, known_tokens, of_role, store, token};
use crate::pages::{
    client::{self, Answer, get_with, post_with},
    fixture::{self, now},
};
use crate::support::app::web::{access_by, request_with};

/// Logs in and returns the cookie.
pub(super) async fn log_in(
    router: &Router,
    headers: &[(&str, &str)],
    role: AccessRole,
) -> (Answer, String) {
    let token = token(&of_role(role));
    let body = format!("token={}&next=%2Falerts%3Fa%3Db", token.reveal());
    let headers = [&[FORM], headers].concat();
    let answer = post_with(router, "/login", &headers, &body).await;
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    (answer, cookie)
}

#[tokio::test]
async fn a_browser_logs_in_with_a_token_and_out_again() {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    let router = guarded(&shop, AuthMethod::Token);
    let asked = client::get(&router, "/alerts?a=b").await;
    assert_eq!(asked.status, 401);
    assert!(
        asked.body.contains("name=\"next\" value=\"/alerts?a=b\""),
        "{}",
        asked.body
    );
    let (entered, cookie) = log_in(&router, &[], AccessRole::Viewer).await;
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, "/alerts?a=b")
    );
    let attributes = "; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600";
    assert!(entered.header("set-cookie").ends_with(attributes));
    let session = [("cookie", cookie.as_str())];
    let page = get_with(&router, "/alerts", &session).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("action=\"/logout\""), "{}", page.body);
    let silence = post_with(&router, "/silences/new", &[FORM, session[0]], "").await;
    assert_eq!(silence.status, 403, "{}", silence.body);
    let (_, again) = log_in(&router, &session, AccessRole::Viewer).await;
    assert_ne!(again, cookie, "each login has an id of its own");
    assert_eq!(get_with(&router, "/alerts", &session).await.status, 401);
    let session = [("cookie", again.as_str())];
    assert_eq!(get_with(&router, "/alerts", &session).await.status, 200);
    let left = post_with(&router, "/logout", &[FORM, session[0]], "").await;
    assert_eq!((left.status, left.header("location")), (303, "/"));
    assert_eq!(get_with(&router, "/alerts", &session).await.status, 401);
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_by_itself() {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    store(&shop, AccessRole::Editor).await;
    let router = guarded(&shop, AuthMethod::Token);
    let (_, revoked) = log_in(&router, &[], AccessRole::Viewer).await;
    let (_, expired) = log_in(&router, &[], AccessRole::Editor).await;
    let mut tx = shop.state.store.begin("revoke a token").await.unwrap();
    assert!(tx.revoke_token("viewer", now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(
        get_with(&router, "/", &[("cookie", &revoked)]).await.status,
        401
    );
    assert_eq!(
        get_with(&router, "/", &[("cookie", &expired)]).await.status,
        200
    );
    shop.clock.advance(Duration::from_hours(1));
    assert_eq!(
        get_with(&router, "/", &[("cookie", &expired)]).await.status,
        401
    );
    let mut tx = shop.state.store.begin("forget sessions").await.unwrap();
    tx.forget_sessions(now() + Duration::from_hours(1))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_explained_in_the_form() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let answer = post_with(&router, "/login", &[FORM], "token=abc").await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.body.contains("this token is unknown here"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("set-cookie"), "");
    assert_eq!(answer.header("retry-after"), "");
    let open = guarded(&shop, AuthMethod::None);
    let none = post_with(&open, "/login", &[FORM], "token=abc").await;
    assert_eq!(none.status, 404);
    assert!(!client::get(&open, "/").await.body.contains("/logout"));
}

#[tokio::test]
async fn a_browser_that_tried_too_many_wrong_tokens_learns_when_to_try_again() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let wrong = ApiToken::from_random([9; 32]);
    let form = format!("token={}", wrong.reveal());
    let mut answer = post_with(&router, "/login", &[FORM], &form).await;
    for _ in 0..10 {
        assert_eq!(answer.status, 401);
        answer = post_with(&router, "/login", &[FORM], &form).await;
    }
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), "60");
}

#[tokio::test]
async fn an_admin_ends_the_session_of_somebody_else() {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    let router = guarded(&shop, AuthMethod::Token);
    let (_, cookie) = log_in(&router, &[], AccessRole::Viewer).await;
    let session = [("cookie", cookie.as_str())];
    assert_eq!(get_with(&router, "/alerts", &session).await.status, 200);
    assert_eq!(get_with(&router, "/sessions", &session).await.status, 403);
    let admin = bearer(AccessRole::Admin);
    let admin = [("authorization", admin.as_str()), FORM];
    let listed = get_with(&router, "/api/v1/sessions", &admin).await.json();
    assert_eq!(listed["sessions"][0]["name"], "viewer");
    assert_eq!(listed["sessions"][0]["permissions"][0], "viewer");
    let id = listed["sessions"][0]["id"].as_str().unwrap();
    let page = get_with(&router, "/sessions", &admin).await;
    let form = format!("action=\"/sessions/{id}/end\"");
    assert!(page.body.contains(&form), "{}", page.body);
    let ended = post_with(&router, &format!("/sessions/{id}/end"), &admin, "").await;
    assert_eq!(ended.header("location"), "/sessions");
    assert_eq!(get_with(&router, "/alerts", &session).await.status, 401);
    let address = format!("/api/v1/sessions/{id}");
    let again = request_with(&router, ("DELETE", &address), &[admin[0]], "").await;
    assert_eq!(again.status, 404, "{}", again.body);
    let audit = get_with(&router, "/api/v1/audit?action=session.revoke", &admin).await;
    let entries = audit.json();
    let entries = entries["entries"].as_array().unwrap();
    let outcomes: Vec<_> = entries.iter().map(|entry| &entry["outcome"]).collect();
    assert_eq!(outcomes, ["rejected", "done"]);
}

#[tokio::test]
async fn the_cookie_is_sent_over_https_only_where_browsers_use_it() {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    let access = access_by(AuthMethod::Token, known_tokens(), |rules| {
        rules.is_secure = true;
    });
    let router = web::router(WebState {
        access,
        ..shop.state.clone()
    });
    let (entered, cookie) = log_in(&router, &[], AccessRole::Viewer).await;
    let attributes = "; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Secure";
    let set = entered.header("set-cookie");
    assert!(set.ends_with(attributes), "{set}");
    let session = [FORM, ("cookie", cookie.as_str())];
    let left = post_with(&router, "/logout", &session, "").await;
    assert!(
        left.header("set-cookie").ends_with("; Max-Age=0; Secure"),
        "{}",
        left.header("set-cookie")
    );
}

/// Somebody could otherwise be logged in as another, or out, without noticing.
#[tokio::test]
async fn no_other_site_logs_a_browser_in_or_out() {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    let router = guarded(&shop, AuthMethod::Token);
    let (_, cookie) = log_in(&router, &[], AccessRole::Viewer).await;
    let session = ("cookie", cookie.as_str());
    let token = token(&of_role(AccessRole::Viewer));
    let form = format!("token={}", token.reveal());
    for other in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let entered = post_with(&router, "/login", &[FORM, other], &form).await;
        assert_eq!(entered.status, 403, "{other:?}");
        assert_eq!(entered.header("set-cookie"), "", "{other:?}");
        let left = post_with(&router, "/logout", &[FORM, other, session], "").await;
        assert_eq!(left.status, 403, "{other:?}");
        assert_eq!(left.header("set-cookie"), "", "{other:?}");
    }
    assert_eq!(get_with(&router, "/alerts", &[session]).await.status, 200);
    let own = ("sec-fetch-site", "same-origin");
    let entered = post_with(&router, "/login", &[FORM, own], &form).await;
    assert_eq!(entered.status, 303, "{}", entered.body);
}
