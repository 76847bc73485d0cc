//! Who may do what: every route with every role, logins, and tokens where they do not belong.

mod customers;
mod login;
pub(super) mod oidc;
mod proxies;
mod requests;
mod table;
mod tenants;
mod tokens;
mod wrong;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware,
};
use throughline::{
    config::AuthMethod,
    domain::{
        access::{
            AccessRole, AllowedServices, ApiToken, KnownTokens, NewToken, TokenDigest, TokenGrant,
            TokenRecord,
        },
        slo::Catalog,
    },
    web::{self, WebState},
};
use uuid::Uuid;

use self::login::log_in;
use super::{
    client::{self, get_with, post_with},
    fixture::{self, Shop, now},
};
use crate::support::app::web::access;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The token of each role; the others are good for nothing here.
fn token(grant: &TokenGrant) -> ApiToken {
    ApiToken::from_random(match grant {
        TokenGrant::User(permissions) => match permissions.role() {
            AccessRole::Viewer => [1; 32],
            AccessRole::Editor => [2; 32],
            AccessRole::Admin => [3; 32],
        },
        TokenGrant::Sender(_) => [4; 32],
    })
}

fn of_role(role: AccessRole) -> TokenGrant {
    TokenGrant::User(role.into())
}

fn record(grant: TokenGrant) -> (TokenDigest, TokenRecord) {
    let digest = token(&grant).digest();
    let name = match &grant {
        TokenGrant::User(permissions) => permissions.role().as_str(),
        TokenGrant::Sender(_) => "gateway",
    };
    let bytes = name.bytes();
    let record = TokenRecord {
        id: Uuid::from_u128(bytes.fold(0, |id, byte| id * 256 + u128::from(byte))),
        name: name.to_owned(),
        created_at: now(),
        expires_at: now() + Duration::from_hours(1),
        revoked_at: None,
        grant,
    };
    (digest, record)
}

pub(super) fn known_tokens() -> Arc<KnownTokens> {
    let roles = AccessRole::ALL.map(of_role).into_iter();
    let grants = roles.chain([TokenGrant::Sender(AllowedServices::All)]);
    Arc::new(grants.map(record).collect())
}

fn guarded(shop: &Shop, method: AuthMethod) -> Router {
    web::router(WebState {
        access: access(method, known_tokens()),
        ..shop.state.clone()
    })
}

/// The pages with another state, which ask for tokens.
fn guarded_state(state: WebState) -> Router {
    web::router(WebState {
        access: access(AuthMethod::Token, known_tokens()),
        ..state
    })
}

pub(super) fn bearer(role: AccessRole) -> String {
    format!("Bearer {}", token(&of_role(role)).reveal())
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_explained() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let sender = token(&TokenGrant::Sender(AllowedServices::All));
    let unknown = ApiToken::from_random([9; 32]);
    for (token, status, detail) in [
        (unknown.reveal(), 401, "this token is unknown here"),
        ("secret", 401, "no token of this service"),
        (
            sender.reveal(),
            403,
            "the token `gateway` is for sending spans",
        ),
    ] {
        let header = format!("Bearer {token}");
        let answer = get_with(&router, "/api/v1/slos", &[("authorization", &header)]).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(detail),
            "{}",
            answer.body
        );
    }
    shop.clock.advance(Duration::from_hours(1));
    let header = bearer(AccessRole::Viewer);
    let expired = get_with(&router, "/api/v1/slos", &[("authorization", &header)]).await;
    assert_eq!(expired.status, 401);
    assert_eq!(
        expired.header("www-authenticate"),
        "Bearer realm=\"throughline\""
    );
    assert!(
        expired.body.contains("the token `viewer` expired at"),
        "{}",
        expired.body
    );
}

#[tokio::test]
async fn a_token_in_an_address_is_refused_although_it_is_right() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let token = token(&of_role(AccessRole::Admin));
    let encoded = token.reveal().replacen("thl_", "%74hl_", 1);
    for address in [
        format!("/alerts?token={}", token.reveal()),
        format!("/api/v1/alerts?access_token={}", token.reveal()),
        format!("/alerts?token={encoded}"),
    ] {
        let answer = client::get(&router, &address).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert!(
            answer.body.contains("must not be in the address"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn too_many_wrong_tokens_are_not_looked_at_and_counted() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let wrong = format!("Bearer {}", ApiToken::from_random([9; 32]).reveal());
    let mut status = 0;
    for left in (0..10).rev().chain([0]) {
        let headers = [("authorization", wrong.as_str())];
        let answer = get_with(&router, "/api/v1/slos", &headers).await;
        let header = format!("\"wrong-tokens\";r={left};t=60");
        assert_eq!(answer.header("ratelimit"), header);
        status = answer.status;
    }
    assert_eq!(status, 429);
    let right = bearer(AccessRole::Viewer);
    let headers = [("authorization", right.as_str())];
    let blocked = get_with(&router, "/api/v1/slos", &headers).await;
    assert_eq!(blocked.status, 429, "nobody can tell which guess was right");
    assert_eq!(blocked.header("retry-after"), "60");
    let policy = "\"wrong-tokens\";q=10;w=60";
    assert_eq!(blocked.header("ratelimit-policy"), policy);
    assert_eq!(blocked.header("ratelimit"), "\"wrong-tokens\";r=0;t=60");
    shop.clock.advance(Duration::from_mins(1));
    let metrics = get_with(&router, "/metrics", &headers).await;
    for sample in [
        "{port=\"pages\",reason=\"unknown\"} 10",
        "{port=\"pages\",reason=\"blocked\"} 2",
    ] {
        let sample = format!("throughline_auth_failures_total{sample}");
        assert!(
            metrics.body.contains(&sample),
            "no {sample} in {}",
            metrics.body
        );
    }
}

#[tokio::test]
async fn a_proxy_names_users_and_their_roles() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Proxy);
    let dana = ("x-forwarded-user", "dana");
    let event = async |headers: &[(&str, &str)]| {
        let json = ("content-type", "application/json");
        let headers = [&[json], headers].concat();
        let body = r#"{"kind": "deploy", "service": "shop", "version": "2"}"#;
        post_with(&router, "/api/v1/events", &headers, body).await
    };
    assert_eq!(event(&[]).await.status, 401);
    let viewer = event(&[dana]).await;
    assert_eq!(viewer.status, 403);
    assert_eq!(
        viewer.json()["detail"],
        "this needs the role editor, and `dana` has viewer"
    );
    let unknown = event(&[dana, ("x-forwarded-role", "owner")]).await;
    assert!(
        unknown.body.contains("`owner`, which is not a role"),
        "{}",
        unknown.body
    );
    let editor = event(&[dana, ("x-forwarded-role", "Editor")]).await;
    assert_eq!(editor.status, 201, "{}", editor.body);
    assert_eq!(editor.json()["reported_by"], "dana");
    let token = bearer(AccessRole::Editor);
    let by_token = event(&[dana, ("authorization", &token)]).await;
    assert_eq!(by_token.json()["reported_by"], "editor");
}

#[tokio::test]
async fn a_token_names_who_asks_whatever_the_request_says() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-user", "mallory"),
        ("authorization", &bearer(AccessRole::Editor)),
    ];
    let body = r#"{"kind": "note", "title": "upgrade"}"#;
    let answer = post_with(&router, "/api/v1/events", &headers, body).await;
    assert_eq!(answer.json()["reported_by"], "editor", "{}", answer.body);
}

/// The pages as an admin sees them whose token is in every request.
pub(super) async fn as_admin(shop: &Shop) -> Router {
    store(shop, AccessRole::Viewer).await;
    let authorization: HeaderValue = bearer(AccessRole::Admin).parse().unwrap();
    let with_token = move |mut request: Request| {
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, authorization.clone());
        async move { request }
    };
    guarded(shop, AuthMethod::Token).layer(middleware::map_request(with_token))
}

/// Stores the token of `role`, so that sessions can refer to it.
async fn store(shop: &Shop, role: AccessRole) {
    let grant = of_role(role);
    let (digest, record) = record(grant.clone());
    let mut tx = shop.state.store.begin("make a token").await.unwrap();
    let token = NewToken {
        id: record.id,
        name: record.name,
        grant,
        digest,
        created_at: record.created_at,
        expires_at: record.expires_at,
    };
    assert!(tx.insert_token(&token).await.unwrap());
    tx.commit().await.unwrap();
}

/// The entries of an audit log, the oldest first, a line each.
fn listed(audit: &serde_json::Value) -> Vec<String> {
    const NAMES: [&str; 7] = [
        "who",
        "role",
        "action",
        "subject",
        "via",
        "outcome",
        "request_id",
    ];
    let entries = audit["entries"].as_array().unwrap().iter().rev();
    let line = |entry: &serde_json::Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        format!("{} {}", NAMES.map(text).join(" "), entry["status"])
    };
    entries.map(line).collect()
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_with_who_did_it_and_how_it_ended() {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    let router = guarded(&shop, AuthMethod::Token);
    let json = ("content-type", "application/json");
    let note = r#"{"kind": "note", "title": "upgrade"}"#;
    for (role, body) in [
        (AccessRole::Editor, note),
        (AccessRole::Editor, "{"),
        (AccessRole::Viewer, note),
    ] {
        let authorization = bearer(role);
        let headers = [
            json,
            ("authorization", &authorization),
            ("x-request-id", "7"),
        ];
        post_with(&router, "/api/v1/events", &headers, body).await;
    }
    // Nobody knows who sends this one.
    post_with(&router, "/api/v1/events", &[json], note).await;
    log_in(&router, &[], AccessRole::Viewer).await;
    let admin = bearer(AccessRole::Admin);
    let headers = [("authorization", admin.as_str())];
    let audit = get_with(&router, "/api/v1/audit", &headers).await.json();
    let listed = listed(&audit);
    assert_eq!(
        listed[..3],
        [
            "editor editor event.report /api/v1/events api done 7 201",
            "editor editor event.report /api/v1/events api rejected 7 400",
            "viewer viewer event.report /api/v1/events api rejected 7 403",
        ]
    );
    assert_eq!(listed.len(), 4, "{listed:?}");
    assert!(
        listed[3].starts_with("viewer viewer session.begin /login page done"),
        "{listed:?}"
    );
    let page = get_with(&router, "/audit?who=editor", &headers).await.body;
    assert!(page.contains("/audit?action=event.report"), "{page}");
    assert!(!page.contains("session.begin"), "{page}");
    let mut tx = shop.state.store.begin("forget").await.unwrap();
    tx.forget_audit_entries(now() + Duration::from_secs(1))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let audit = get_with(&router, "/api/v1/audit", &headers).await.json();
    assert_eq!(audit["entries"], serde_json::json!([]));
}
