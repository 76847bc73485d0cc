//! Clients behind proxies that are trusted, and those who only pretend to be.

use std::net::IpAddr;

use axum::{Extension, Router};
use throughline::{
    config::{AuthMethod, TrustedProxies},
    domain::{
        access::{AccessRole, ApiToken},
        slo::Catalog,
    },
    server::PeerAddress,
    web::{self, WebState},
};

use super::{bearer, known_tokens};
use crate::{
    pages::{
        client::{Answer, get_with},
        fixture::{self, Shop},
    },
    support::app::web::access_by,
};

/// Behind proxies in 10.0.0.0/8.
fn behind_proxies(shop: &Shop, method: AuthMethod) -> Router {
    behind(shop, method, "10.0.0.0/8")
}

fn behind(shop: &Shop, method: AuthMethod, range: &str) -> Router {
    let access = access_by(method, known_tokens(), |rules| {
        rules.trusted_proxies = TrustedProxies::new(vec![range.parse().unwrap()]);
    });
    web::router(WebState {
        access,
        ..shop.state.clone()
    })
}

async fn ask(router: &Router, from: &str, headers: &[(&str, &str)]) -> Answer {
    let from: IpAddr = from.parse().unwrap();
    let connected = router.clone().layer(Extension(PeerAddress(from)));
    get_with(&connected, "/api/v1/slos", headers).await
}

#[tokio::test]
async fn each_client_behind_a_trusted_proxy_has_a_limit_of_its_own() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = behind_proxies(&shop, AuthMethod::Token);
    let wrong = format!("Bearer {}", ApiToken::from_random([9; 32]).reveal());
    let by = |client: &'static str| ("x-forwarded-for", client);
    for _ in 0..10 {
        let headers = [("authorization", wrong.as_str()), by("192.0.2.1")];
        ask(&router, "10.0.0.1", &headers).await;
    }
    let right = bearer(AccessRole::Viewer);
    let status = async |from, client| {
        let headers = [("authorization", right.as_str()), by(client)];
        ask(&router, from, &headers).await.status
    };
    assert_eq!(status("10.0.0.1", "192.0.2.1").await, 429);
    assert_eq!(status("10.0.0.2", "192.0.2.1").await, 429);
    assert_eq!(status("10.0.0.1", "192.0.2.2").await, 200);
    let spoofed = status("192.0.2.1", "192.0.2.2").await;
    assert_eq!(spoofed, 429, "only a proxy says who its client is");
}

#[tokio::test]
async fn users_are_believed_of_a_trusted_proxy_only() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = behind_proxies(&shop, AuthMethod::Proxy);
    let dana = [("x-forwarded-user", "dana")];
    assert_eq!(ask(&router, "10.0.0.1", &dana).await.status, 200);
    let spoofed = ask(&router, "192.0.2.1", &dana).await;
    assert_eq!(spoofed.status, 401);
    assert!(
        spoofed.body.contains("not come from a proxy"),
        "{}",
        spoofed.body
    );
}

#[tokio::test]
async fn where_every_address_is_a_proxy_the_client_is_the_one_that_the_last_has_added() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = behind(&shop, AuthMethod::Proxy, "0.0.0.0/0");
    let wrong = format!("Bearer {}", ApiToken::from_random([9; 32]).reveal());
    let ask_by = async |token: &str, path: &str| {
        let headers = [("authorization", token), ("x-forwarded-for", path)];
        ask(&router, "10.0.0.1", &headers).await.status
    };
    for forged in 0..10 {
        let path = format!("198.51.100.{forged}, 192.0.2.1");
        assert_eq!(ask_by(&wrong, &path).await, 401);
    }
    let right = bearer(AccessRole::Viewer);
    assert_eq!(ask_by(&right, "198.51.100.99, 192.0.2.1").await, 429);
    assert_eq!(ask_by(&right, "192.0.2.2").await, 200);
}
