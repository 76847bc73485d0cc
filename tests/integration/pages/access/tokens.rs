//! Tokens that are made and revoked on a page.

use throughline::{
    config::AuthMethod,
    domain::{access::AccessRole, slo::Catalog},
};

use super::{FORM, bearer, guarded, store};
use crate::{
    pages::{
        client::{Answer, get_with, post_with},
        fixture,
    },
    support::app::web::request_with,
};

/// The token in a page; `None` if there is none.
fn shown(answer: &Answer) -> Option<String> {
    let (_, after) = answer.body.split_once("<code>thl_")?;
    let (token, _) = after.split_once("</code>")?;
    Some(format!("thl_{token}"))
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let admin = bearer(AccessRole::Admin);
    let admin = [("authorization", admin.as_str()), FORM];
    let form = "name=ci&purpose=editor&teams=payments%2C+shop&expires_in=30d";
    let made = post_with(&router, "/tokens", &admin, form).await;
    assert_eq!(
        (made.status, made.header("cache-control")),
        (201, "no-store")
    );
    let token = shown(&made).expect("it is shown");
    let page = get_with(&router, "/tokens", &admin).await;
    assert!(!page.body.contains(&token) && page.body.contains("editor@team/payments"));

    let listed = get_with(&router, "/api/v1/tokens", &admin).await;
    assert!(!listed.body.contains(&token));
    let ci = &listed.json()["tokens"][0];
    assert_eq!((&ci["name"], &ci["state"]), (&"ci".into(), &"valid".into()));
    let mut tx = shop.state.store.begin("look").await.unwrap();
    let known = tx.known_tokens().await.unwrap();
    let parsed = throughline::domain::access::ApiToken::parse(&token).unwrap();
    assert_eq!(known.find(&parsed, shop.clock.now()).unwrap().name, "ci");
    tx.commit().await.unwrap();

    let end = format!("/tokens/{}/end", ci["id"].as_str().unwrap());
    let ended = post_with(&router, &end, &admin, "").await;
    assert_eq!((ended.status, ended.header("location")), (303, "/tokens"));
    let mut tx = shop.state.store.begin("look").await.unwrap();
    let known = tx.known_tokens().await.unwrap();
    assert!(known.find(&parsed, shop.clock.now()).is_err());
    tx.commit().await.unwrap();
    let address = end
        .replace("/tokens/", "/api/v1/tokens/")
        .replace("/end", "");
    let again = request_with(&router, ("DELETE", &address), &[admin[0]], "").await;
    assert_eq!(again.status, 404, "{}", again.body);

    let audit = get_with(&router, "/api/v1/audit", &admin).await;
    assert!(!audit.body.contains(&token));
    let entries = audit.json();
    let entries = entries["entries"].as_array().unwrap().iter();
    let done = entries.filter(|entry| entry["outcome"] == "done");
    let done: Vec<_> = done
        .map(|entry| (entry["action"].clone(), entry["subject"].clone()))
        .collect();
    let [revoked, created] = ["token.revoke", "token.create"].map(|of| (of.into(), "ci".into()));
    assert_eq!(done, [revoked, created]);
}

#[tokio::test]
async fn a_token_that_cannot_be_made_is_explained_in_the_form() {
    let shop = fixture::empty(Catalog::default()).await;
    store(&shop, AccessRole::Viewer).await;
    let router = guarded(&shop, AuthMethod::Token);
    let admin = bearer(AccessRole::Admin);
    let admin = [("authorization", admin.as_str()), FORM];
    for (form, text) in [
        ("name=&purpose=viewer&expires_in=1d", "1 to 100 characters"),
        ("name=a&purpose=owner&expires_in=1d", "owner"),
        ("name=a&purpose=viewer&expires_in=soon", "is not a duration"),
        ("name=a&purpose=viewer&expires_in=99y", "above ten years"),
        (
            "name=a&purpose=sender&teams=b&expires_in=1d",
            "not for a sender",
        ),
        (
            "name=a&purpose=admin&services=b&expires_in=1d",
            "not for a role",
        ),
        ("name=viewer&purpose=viewer&expires_in=1d", "already"),
    ] {
        let answer = post_with(&router, "/tokens", &admin, form).await;
        assert_eq!(answer.status, 422, "{form}: {}", answer.body);
        assert!(answer.body.contains(text), "{form}: {}", answer.body);
        assert_eq!(shown(&answer), None);
    }
}

#[tokio::test]
async fn where_anybody_is_let_in_nobody_makes_a_token_on_the_page() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::None);
    let form = "name=ci&purpose=admin&expires_in=1d";
    let refused = post_with(&router, "/tokens", &[FORM], form).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let page = get_with(&router, "/tokens", &[]).await;
    assert!(page.body.contains("throughline token create") && !page.body.contains("<select"));
}

#[tokio::test]
async fn another_site_cannot_make_a_token_with_the_session_of_an_admin() {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let admin = bearer(AccessRole::Admin);
    let headers = [
        ("authorization", admin.as_str()),
        FORM,
        ("sec-fetch-site", "cross-site"),
    ];
    let form = "name=ci&purpose=admin&expires_in=1d";
    let refused = post_with(&router, "/tokens", &headers, form).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(shown(&refused), None);
}
