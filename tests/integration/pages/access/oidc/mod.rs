//! Logins at a provider of OpenID Connect.

mod provider;
mod refused;

use std::time::Duration;

use axum::Router;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::url::Url;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use throughline::{
    config::AuthMethod,
    domain::{
        access::{AccessRole, RoleMapping},
        slo::Catalog,
    },
    web::{self, LoginProvider, WebState},
};

use self::provider::{CLIENT, FIRST, FakeProvider, SECOND, SECRET};
use super::{FORM, bearer, known_tokens, listed};
use crate::{
    pages::{
        client::{Answer, get, get_with, post_with},
        fixture::{self, Shop, now},
    },
    support::app::web::access_by,
};

/// Pages whose users log in at a provider. The group `sre` has the role admin there, and all others
/// have `default_role`.
pub(in crate::pages) fn router(
    shop: &Shop,
    issuer: &str,
    default_role: Option<AccessRole>,
) -> Router {
    let login = LoginProvider {
        identities: provider::known(issuer),
        roles: RoleMapping {
            groups: vec!["sre=admin".parse().unwrap()],
            default_role,
        },
    };
    let access = access_by(AuthMethod::Oidc, known_tokens(), |rules| {
        rules.provider = Some(login);
    });
    web::router(WebState {
        access,
        ..shop.state.clone()
    })
}

/// A service whose users log in at a provider of the test.
struct Guarded {
    shop: Shop,
    provider: FakeProvider,
    router: Router,
}

impl Guarded {
    async fn start(default_role: Option<AccessRole>) -> Self {
        let shop = fixture::empty(Catalog::default()).await;
        let provider = FakeProvider::start().await;
        let router = router(&shop, provider.url(), default_role);
        Self {
            shop,
            provider,
            router,
        }
    }

    /// Begins a login that leads to `next`.
    async fn begin(&self, next: &str) -> Begun {
        let answer = get(&self.router, &format!("/login/start?next={next}")).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let cookie = answer.cookies().concat();
        assert!(cookie.starts_with("throughline_login="), "{cookie}");
        let address: Url = answer.header("location").parse().unwrap();
        Begun { cookie, address }
    }

    /// The claims of a token with which this login succeeds, as somebody of the group `sre`.
    fn claims(&self, login: &Begun) -> Value {
        json!({
            "iss": self.provider.url(),
            "aud": CLIENT,
            "sub": "7",
            "preferred_username": "dana",
            "groups": ["staff", "sre"],
            "iat": now().as_secs(),
            "exp": now().as_secs() + 300,
            "nonce": login.parameter("nonce"),
        })
    }

    /// The provider sends the browser back with a code, for which it gives this token.
    async fn finish(&self, login: &Begun, id_token: String) -> Answer {
        self.provider.script().id_token = id_token;
        let query = format!("code=c0de&state={}", login.parameter("state"));
        self.come_back(&query, &[("cookie", &login.cookie)]).await
    }

    async fn come_back(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        get_with(&self.router, &format!("/login/callback?{query}"), headers).await
    }

    /// Logs in as somebody of the group `sre`; the cookie of the session.
    async fn log_in(&self) -> String {
        let login = self.begin("/").await;
        let token = signed(&self.claims(&login));
        let answer = self.finish(&login, token).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer.cookies().concat()
    }

    async fn status(&self, path: &str, session: &str) -> u16 {
        get_with(&self.router, path, &[("cookie", session)])
            .await
            .status
    }

    /// The audit log, a line for each entry.
    async fn audited(&self) -> Vec<String> {
        let admin = bearer(AccessRole::Admin);
        let headers = [("authorization", admin.as_str())];
        let audit = get_with(&self.router, "/api/v1/audit", &headers).await;
        listed(&audit.json())
    }
}

/// A browser on its way to the provider.
struct Begun {
    cookie: String,
    address: Url,
}

impl Begun {
    fn parameter(&self, name: &str) -> String {
        let mut pairs = self.address.query_pairs();
        let found = pairs.find(|(found, _)| found == name);
        found
            .unwrap_or_else(|| panic!("no `{name}` in {}", self.address))
            .1
            .into_owned()
    }
}

/// A token as the provider signs it.
fn signed(claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "kid": FIRST.id });
    FIRST.sign(&header, claims)
}

#[tokio::test]
async fn somebody_logs_in_at_the_provider_with_the_role_of_their_groups_and_out_again() {
    let service = Guarded::start(None).await;
    let asked = get(&service.router, "/alerts?a=b").await;
    assert_eq!(asked.status, 401);
    let start = "/login/start?next=/alerts%3Fa%3Db";
    assert!(
        asked.body.contains("Log in at http://127.0.0.1"),
        "{}",
        asked.body
    );
    assert!(asked.body.contains("/login/start?next="), "{}", asked.body);

    let begun = get(&service.router, start).await;
    let attributes = "; Path=/login; HttpOnly; SameSite=Lax; Max-Age=600";
    assert!(begun.header("set-cookie").ends_with(attributes));
    let login = service.begin("%2Falerts%3Fa%3Db").await;
    assert_eq!(login.address.path(), "/auth");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://slo.example/login/callback"),
        ("scope", "openid profile"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(login.parameter(name), value, "{name}");
    }

    let token = signed(&service.claims(&login));
    let entered = service.finish(&login, token.clone()).await;
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, "/alerts?a=b"),
        "{}",
        entered.body
    );
    let session = entered.cookies().concat();
    assert!(session.starts_with("throughline_session="), "{session}");
    {
        let script = service.provider.script();
        let exchange = &script.exchanges[0];
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&exchange["code_verifier"]));
        assert_eq!(challenge, login.parameter("code_challenge"));
        assert_eq!(exchange["code"], "c0de");
        let basic = format!("{CLIENT}:{}", SECRET.replace(' ', "+"));
        let basic = base64::engine::general_purpose::STANDARD.encode(basic);
        assert_eq!(script.authorization, Some(format!("Basic {basic}")));
    }
    assert_eq!(service.status("/audit", &session).await, 200, "an admin");

    let headers = [FORM, ("cookie", session.as_str())];
    let left = post_with(&service.router, "/logout", &headers, "").await;
    let end = format!(
        "0; url={}/end?id_token_hint={token}&client_id={CLIENT}\
         &post_logout_redirect_uri=https%3A%2F%2Fslo.example%2Flogin",
        service.provider.url()
    );
    assert_eq!((left.status, left.header("refresh")), (200, &*end));
    assert_eq!(left.cookies(), Vec::<&str>::new());
    assert_eq!(service.status("/audit", &session).await, 401);
    let audited = service.audited().await;
    assert_eq!(audited.len(), 2, "{audited:?}");
    let entry = "dana admin session.begin /login/callback page done";
    assert!(audited[0].starts_with(entry), "{audited:?}");
    assert!(audited[1].starts_with("dana admin session.end /logout page done"));
}

#[tokio::test]
async fn groups_and_names_may_be_in_the_user_info_only() {
    let service = Guarded::start(None).await;
    let login = service.begin("/").await;
    let mut claims = service.claims(&login);
    let claims = claims.as_object_mut().unwrap();
    claims.remove("groups");
    claims.remove("preferred_username");
    let token = signed(&json!(claims));
    service.provider.script().user_info =
        json!({ "sub": "7", "email": "dana@shop.example", "groups": ["sre"] });
    let entered = service.finish(&login, token.clone()).await;
    assert_eq!(entered.status, 303, "{}", entered.body);
    let audited = service.audited().await;
    assert!(
        audited[0].starts_with("dana@shop.example admin"),
        "{audited:?}"
    );

    service.provider.script().user_info = json!({ "sub": "8", "groups": ["sre"] });
    let of_another = service.finish(&login, token).await;
    assert_eq!(of_another.status, 403, "{}", of_another.body);
}

#[tokio::test]
async fn somebody_without_a_role_is_told_what_to_ask_for() {
    let closed = Guarded::start(None).await;
    let login = closed.begin("/").await;
    let mut claims = closed.claims(&login);
    claims["groups"] = json!(["staff"]);
    let refused = closed.finish(&login, signed(&claims)).await;
    assert_eq!(refused.status, 403);
    let said = "<code>dana</code> has no role here: members of <code>sre</code> have one";
    assert!(refused.body.contains(said), "{}", refused.body);
    assert_eq!(refused.cookies(), Vec::<&str>::new());
    let audited = closed.audited().await;
    let entry = "dana - session.begin /login/callback page rejected";
    assert!(audited[0].starts_with(entry), "{audited:?}");

    let open = Guarded::start(Some(AccessRole::Viewer)).await;
    let login = open.begin("/").await;
    let mut claims = open.claims(&login);
    claims["groups"] = json!(["staff"]);
    let entered = open.finish(&login, signed(&claims)).await;
    let session = entered.cookies().concat();
    assert_eq!(open.status("/alerts", &session).await, 200);
    assert_eq!(open.status("/audit", &session).await, 403);
}

#[tokio::test]
async fn a_session_of_a_provider_has_a_new_id_and_an_end() {
    let service = Guarded::start(None).await;
    let older = service.log_in().await;
    let login = service.begin("/").await;
    service.provider.script().id_token = signed(&service.claims(&login));
    let query = format!("code=c0de&state={}", login.parameter("state"));
    let both = format!("{}; {older}", login.cookie);
    let entered = service.come_back(&query, &[("cookie", &both)]).await;
    let newer = entered.cookies().concat();
    assert_ne!(newer, older);
    assert_eq!(
        service.status("/", &older).await,
        401,
        "it ended at the login"
    );
    assert_eq!(service.status("/", &newer).await, 200);

    let only_tokens = super::guarded(&service.shop, AuthMethod::Token);
    let cookie = [("cookie", newer.as_str())];
    assert_eq!(get_with(&only_tokens, "/", &cookie).await.status, 401);
    service.shop.clock.advance(Duration::from_hours(1));
    assert_eq!(service.status("/", &newer).await, 401);
}

#[tokio::test]
async fn who_is_logged_in_goes_on_while_the_provider_is_down_and_nobody_else_logs_in() {
    let service = Guarded::start(None).await;
    let session = service.log_in().await;
    service.provider.script().is_down = true;
    service.shop.clock.advance(Duration::from_secs(10));
    let refused = get(&service.router, "/login/start?next=/alerts").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.contains("the login provider does not answer"),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("name=\"token\""), "a token works");
    let form = get(&service.router, "/login").await;
    assert_eq!(form.status, 200);
    let asked = get(&service.router, "/alerts").await;
    assert_eq!(asked.status, 401);
    for page in [form, asked] {
        let text = "Nobody can log in there at present. People who are logged in go on";
        assert!(page.body.contains(text), "{}", page.body);
    }
    assert_eq!(service.status("/alerts", &session).await, 200);
    let viewer = bearer(AccessRole::Viewer);
    let headers = [("authorization", viewer.as_str())];
    let by_token = get_with(&service.router, "/api/v1/slos", &headers).await;
    assert_eq!(by_token.status, 200);

    service.provider.script().is_down = false;
    service.shop.clock.advance(Duration::from_secs(10));
    service.log_in().await;
    let form = get(&service.router, "/login").await;
    assert!(!form.body.contains("Nobody can log in"), "{}", form.body);
}

#[tokio::test]
async fn a_provider_may_change_its_keys() {
    let service = Guarded::start(None).await;
    service.log_in().await;
    service.provider.script().key = SECOND;
    let login = service.begin("/").await;
    let header = json!({ "alg": "EdDSA", "kid": SECOND.id });
    let token = SECOND.sign(&header, &service.claims(&login));
    let entered = service.finish(&login, token).await;
    assert_eq!(entered.status, 303, "{}", entered.body);
    let login = service.begin("/").await;
    let old = signed(&service.claims(&login));
    assert_eq!(service.finish(&login, old).await.status, 403);
}
