//! Wrong tokens and sessions: how many are looked at, and whom they affect.

use std::net::{IpAddr, Ipv6Addr};

use axum::{Extension, Router};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use throughline::{
    domain::{
        access::{AccessRole, ApiToken},
        slo::Catalog,
    },
    server::PeerAddress,
    web::WebState,
};

use super::{FORM, bearer, guarded_state, login::log_in, store};
use crate::pages::{
    client::{Answer, get_with, post_with},
    fixture::{self, Shop},
};

/// As many as somebody may send within a minute.
const MANY: u32 = 10_000;

/// The pages, with transactions counted.
async fn pages() -> (Shop, Router) {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    let database = shop.state.metrics.database.clone();
    let router = guarded_state(WebState {
        store: shop.state.store.clone().measured(database),
        ..shop.state.clone()
    });
    (shop, router)
}

/// The pages as they are asked from an address. A layer on the pages themselves is one on each route.
fn from(router: &Router, address: IpAddr) -> Router {
    let pages = Router::new().fallback_service(router.clone());
    pages.layer(Extension(PeerAddress(address)))
}

/// How many transactions there were.
fn transactions(shop: &Shop) -> u64 {
    let families = shop.state.metrics.registered.registry.gather();
    let name = "throughline_db_transaction_duration_seconds";
    let Some(family) = families.iter().find(|family| family.name() == name) else {
        return 0;
    };
    let metrics = family.get_metric().iter();
    metrics
        .map(|metric| metric.get_histogram().get_sample_count())
        .sum()
}

fn cookie(number: u32) -> String {
    let mut secret = [9; 32];
    secret[..4].copy_from_slice(&number.to_be_bytes());
    format!("throughline_session={}", URL_SAFE_NO_PAD.encode(secret))
}

/// One request with something wrong: each kind in turn.
async fn try_wrong(router: &Router, number: u32) -> Answer {
    let mut secret = [8; 32];
    secret[..4].copy_from_slice(&number.to_be_bytes());
    let token = ApiToken::from_random(secret);
    let get = async |header: (&str, &str)| get_with(router, "/api/v1/slos", &[header]).await;
    match number % 6 {
        0 => get(("authorization", &format!("Bearer {}", token.reveal()))).await,
        1 => get(("authorization", "Bearer x")).await,
        2 => get(("cookie", &cookie(number))).await,
        3 => {
            let form = format!("token={}", token.reveal());
            post_with(router, "/login", &[FORM], &form).await
        }
        4 => post_with(router, "/login", &[FORM], "token=x").await,
        _ => {
            let cookie = cookie(number);
            let headers = [FORM, ("cookie", cookie.as_str())];
            post_with(router, "/logout", &headers, "").await
        }
    }
}

#[tokio::test]
async fn many_wrong_tokens_and_sessions_of_one_address_are_not_looked_at_and_disturb_nobody() {
    let (shop, router) = pages().await;
    let attacker = from(&router, "192.0.2.1".parse().unwrap());
    let (_, session) = log_in(&attacker, &[], AccessRole::Viewer).await;
    let session = [("cookie", session.as_str())];
    assert_eq!(get_with(&attacker, "/alerts", &session).await.status, 200);
    let before = transactions(&shop);
    let reader = from(&router, "192.0.2.2".parse().unwrap());
    let token = bearer(AccessRole::Viewer);
    let token = [("authorization", token.as_str())];
    let mut unauthorized = 0;
    for number in 0..MANY {
        let answer = try_wrong(&attacker, number).await;
        unauthorized += u32::from(answer.status == 401);
        let is_logout = number % 6 == 5;
        let expected = if is_logout { &[303][..] } else { &[401, 429] };
        assert!(expected.contains(&answer.status), "{}", answer.body);
        if number % 100 == 0 {
            let read = get_with(&reader, "/docs", &token).await;
            assert_eq!(read.status, 303, "{}", read.body);
        }
    }
    assert!(unauthorized <= 10, "{unauthorized} were looked at");
    let looked_up = transactions(&shop) - before;
    assert!(looked_up <= 10, "{looked_up} transactions");
    let behind_the_same_address = get_with(&attacker, "/alerts", &session).await;
    assert_eq!(behind_the_same_address.status, 200);
    let other = bearer(AccessRole::Editor);
    let other = [("authorization", other.as_str())];
    let right = get_with(&attacker, "/docs", &other).await;
    assert_eq!(right.status, 429, "no guess is known to be right");
}

#[tokio::test]
async fn many_wrong_sessions_of_many_addresses_are_limited_and_disturb_nobody() {
    let (shop, router) = pages().await;
    let reader = from(&router, "2001:db8:ffff::1".parse().unwrap());
    let token = bearer(AccessRole::Viewer);
    let token = [("authorization", token.as_str())];
    assert_eq!(get_with(&reader, "/docs", &token).await.status, 303);
    let before = transactions(&shop);
    let (hosts, mut blocked) = (20 * 100, 0);
    for number in 0..hosts {
        // Twenty hosts of each of a hundred networks.
        let (network, host) = (u128::from(number % 100), u128::from(number / 100));
        let address = (0x2001_0db8_u128 << 96) | (network << 64) | host;
        let sender = from(&router, Ipv6Addr::from(address).into());
        let cookie = cookie(number);
        let answer = get_with(&sender, "/docs", &[("cookie", &cookie)]).await;
        blocked += u32::from(answer.status == 429);
        if number % 100 == 0 {
            assert_eq!(get_with(&reader, "/docs", &token).await.status, 303);
        }
    }
    assert_eq!(
        blocked,
        hosts - 100 * 10,
        "ten of each network are looked at"
    );
    assert_eq!(transactions(&shop) - before, 100 * 10);
    let newcomer = from(&router, "192.0.2.3".parse().unwrap());
    assert_eq!(get_with(&newcomer, "/docs", &token).await.status, 303);
}

#[tokio::test]
async fn a_session_that_never_was_is_answered_with_401_and_the_browser_forgets_it() {
    let (_shop, router) = pages().await;
    let forged = cookie(1);
    let forged = [("cookie", forged.as_str())];
    let page = get_with(&router, "/alerts", &forged).await;
    assert_eq!(page.status, 401);
    assert!(
        page.body.contains("this session has ended"),
        "{}",
        page.body
    );
    assert!(page.body.contains("name=\"token\""), "{}", page.body);
    let forgotten = page.header("set-cookie");
    assert!(
        forgotten.starts_with("throughline_session=;") && forgotten.contains("Max-Age=0"),
        "{forgotten}"
    );
    assert_eq!(page.header("ratelimit"), "\"wrong-tokens\";r=9;t=60");
    let api = get_with(&router, "/api/v1/slos", &forged).await;
    assert_eq!(api.status, 401, "{}", api.body);
    let malformed = [("cookie", "throughline_session=abc")];
    assert_eq!(get_with(&router, "/alerts", &malformed).await.status, 401);
}

#[tokio::test]
async fn what_is_no_token_counts_as_a_wrong_one_in_the_form_as_in_the_header() {
    let (_shop, router) = pages().await;
    for left in (5..10).rev() {
        let header = [("authorization", "Bearer x")];
        let answer = get_with(&router, "/api/v1/slos", &header).await;
        let expected = format!("\"wrong-tokens\";r={left};t=60");
        assert_eq!(
            (answer.status, answer.header("ratelimit")),
            (401, &*expected)
        );
    }
    for left in (0..5).rev() {
        let answer = post_with(&router, "/login", &[FORM], "token=abc").await;
        let expected = format!("\"wrong-tokens\";r={left};t=60");
        assert_eq!(
            (answer.status, answer.header("ratelimit")),
            (401, &*expected)
        );
    }
    let answer = post_with(&router, "/login", &[FORM], "token=abc").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "60"));
}
