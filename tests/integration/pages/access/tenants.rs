//! Tokens for the SLOs of one team: every route with an SLO of the team and with one of another.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::Router;
use serde_json::{Value, json};
use throughline::{
    config::AuthMethod,
    domain::{
        access::{ApiToken, TokenGrant, TokenRecord},
        slo::HiddenAttributes,
        workflow::shapes::SharedShapes,
    },
    web::{self, WebState},
};
use uuid::Uuid;

use super::{FORM, table};
use crate::{
    pages::{
        client::Answer,
        deliveries::give_one_up,
        fixture::{self, NOW, Shop, now},
        workflow,
    },
    support::{
        app::web::{access, request_with},
        span::span,
    },
};

/// An SLO of the team `checkout`, of which there is everything.
const SLO: &str = "orders-on-time";
const TITLE: &str = "Orders are confirmed within five minutes";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Where examples name the SLO.
const EXAMPLES: [&str; 4] = [
    "/docs",
    "/api/v1/docs",
    "/api/v1/openapi.json",
    "/silences/new",
];

/// Addresses that list what the other team has, besides the routes without parameters.
const LISTS: [&str; 10] = [
    "/?q=orders",
    "/api/v1/slos?at=2026-11-22T09:00:00Z",
    "/api/v1/workflows?outcome=open",
    "/api/v1/workflows?outcome=late&format=csv",
    "/api/v1/deliveries?state=failed",
    "/api/v1/silences?state=active",
    "/api/v1/reports/2026-11",
    "/api/v1/reports/2026-11?team=checkout",
    "/reports/2026-11?format=csv",
    "/reports/2026-11?format=markdown",
];

struct Tenants {
    shop: Shop,
    router: Router,
    incident: String,
    silence: String,
    delivery: i64,
}

impl Tenants {
    async fn open() -> Self {
        let shop = fixture::four_weeks().await;
        let delivery = give_one_up(&mut shop.database.connect().await).await;
        let router = routed(&shop);
        let mut tenants = Self {
            shop,
            router,
            incident: String::new(),
            silence: String::new(),
            delivery,
        };
        let alerts = tenants
            .api("all", ("GET", "/api/v1/alerts"), Value::Null)
            .await
            .json();
        let incident = alerts["firing"][0]["incident"].as_str().unwrap();
        tenants.incident.push_str(incident);
        let silence = tenants
            .silence("all", &["slo=orders-on-time", "severity=ticket"])
            .await;
        let silence = silence.json();
        tenants.silence.push_str(silence["id"].as_str().unwrap());
        let put = tenants.put("all", SLO, "checkout").await;
        assert_eq!(put.status, 201, "{}", put.body);
        tenants
    }

    async fn ask(
        &self,
        who: &str,
        (method, address): (&str, &str),
        (kind, body): ((&str, &str), &str),
    ) -> Answer {
        let authorization = format!("Bearer {}", token(who).reveal());
        let headers = [("authorization", authorization.as_str()), kind];
        request_with(&self.router, (method, address), &headers, body).await
    }

    async fn api(&self, who: &str, request: (&str, &str), body: Value) -> Answer {
        self.ask(who, request, (JSON, &body.to_string())).await
    }

    async fn silence(&self, who: &str, matchers: &[&str]) -> Answer {
        let body = json!({ "matchers": matchers, "duration": "1h", "reason": "upgrade" });
        self.api(who, ("POST", "/api/v1/silences"), body).await
    }

    async fn put(&self, who: &str, name: &str, team: &str) -> Answer {
        let definition = format!(
            "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name}, labels: {{ team: {team} }} }}\n\
             spec:\n  objective: 99%\n  window: 30d\n  notify: {{}}\n  indicator:\n    \
             span: {{ match: '{{ kind = consumer }}', good: '{{ status != error }}' }}\n"
        );
        let address = format!("/api/v1/definitions/{name}");
        let yaml = ("content-type", "application/yaml");
        self.ask(who, ("PUT", &address), (yaml, &definition)).await
    }

    /// The address of a route for what the other team has, with `slo` as the name of its SLO; `None` if
    /// the route names none.
    fn address(&self, route: &str, slo: &str) -> Option<String> {
        let is = |part: &str| route.contains(part);
        let id = if is("/incidents/") {
            self.incident.clone()
        } else if is("/silence") {
            self.silence.clone()
        } else {
            self.delivery.to_string()
        };
        let key = workflow::path();
        let key = key.rsplit('/').next().unwrap();
        let named = is("{slo}") || is("{id}") || is("/definitions/{name}");
        let filled = route.replace("{slo}", slo).replace("{id}", &id);
        let filled = filled.replace("{key}", key).replace("{group}", "1");
        named.then(|| filled.replace("{name}", slo))
    }
}

fn routed(shop: &Shop) -> Router {
    let known = ["all", "checkout", "billing"].map(record);
    web::router(WebState {
        access: access(AuthMethod::Token, Arc::new(known.into_iter().collect())),
        ..shop.state.clone()
    })
}

fn token(who: &str) -> ApiToken {
    let byte = u8::try_from(who.len()).unwrap();
    ApiToken::from_random([byte; 32])
}

fn record(who: &str) -> (throughline::domain::access::TokenDigest, TokenRecord) {
    let permissions = match who {
        "all" => "admin".to_owned(),
        team => format!("admin@team/{team}"),
    };
    let record = TokenRecord {
        id: Uuid::from_u128(u128::from(u8::try_from(who.len()).unwrap())),
        name: who.to_owned(),
        grant: TokenGrant::User(permissions.parse().unwrap()),
        created_at: now(),
        expires_at: now() + Duration::from_hours(1),
        revoked_at: None,
    };
    (token(who).digest(), record)
}

/// Routes that need a role, but those that only redirect.
fn routes() -> BTreeSet<(String, String)> {
    let guarded = table::table()
        .into_iter()
        .filter(|(_, need)| need.is_some());
    let routes = guarded.map(|(route, _)| route);
    let names_none =
        |path: &str| path == "/i/{id}" || path.contains("/sessions/") || path.contains("/tokens/");
    routes.filter(|(_, path)| !names_none(path)).collect()
}

fn kind_and_body(method: &str, path: &str) -> ((&'static str, &'static str), &'static str) {
    match (method, path.starts_with("/api/")) {
        ("GET", _) => (JSON, ""),
        (_, false) => (FORM, "text=seen"),
        (_, true) if path.ends_with("/notes") => (JSON, r#"{"text": "seen"}"#),
        (_, true) => (JSON, "{}"),
    }
}

/// What an error says, without what differs from request to request.
fn explained(answer: &Answer) -> Value {
    let mut body = answer.json();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    body
}

#[tokio::test]
async fn an_slo_of_another_team_is_answered_like_one_that_does_not_exist() {
    let tenants = Tenants::open().await;
    let mut asked = 0;
    for (method, path) in routes() {
        let Some(address) = tenants.address(&path, SLO) else {
            continue;
        };
        asked += 1;
        let (kind, body) = kind_and_body(&method, &path);
        let answer = tenants
            .ask("billing", (&method, &address), (kind, body))
            .await;
        let is_write_of_name = method == "PUT" || path.contains("{name}") && method == "DELETE";
        let expected = if is_write_of_name { 403 } else { 404 };
        assert_eq!(
            answer.status, expected,
            "{method} {address}: {}",
            answer.body
        );
        assert!(!answer.body.contains(TITLE), "{method} {address}");
        if path.contains("{slo}") && path.starts_with("/api/") {
            let absent = tenants.address(&path, "orders-in-time").unwrap();
            let absent = tenants
                .ask("billing", (&method, &absent), (kind, body))
                .await;
            let text = explained(&answer)
                .to_string()
                .replace(SLO, "orders-in-time");
            assert_eq!(text, explained(&absent).to_string(), "{address}");
        }
    }
    assert!(asked > 25, "{asked} routes name something of an SLO");
}

#[tokio::test]
async fn the_team_of_an_slo_reaches_it_by_every_route() {
    let tenants = Tenants::open().await;
    for (method, path) in routes() {
        let Some(address) = tenants.address(&path, SLO) else {
            continue;
        };
        // The SLO has no groups.
        if method == "DELETE" || path.contains("/groups") {
            continue;
        }
        let (kind, body) = kind_and_body(&method, &path);
        let answer = tenants
            .ask("checkout", (&method, &address), (kind, body))
            .await;
        let is_refused = matches!(answer.status, 401 | 403 | 404);
        assert!(
            !is_refused,
            "{method} {address}: {} {}",
            answer.status, answer.body
        );
    }
}

#[tokio::test]
async fn no_list_names_an_slo_of_another_team() {
    let tenants = Tenants::open().await;
    let routes = routes();
    let plain = routes
        .iter()
        .filter(|(method, path)| method == "GET" && !path.contains('{'));
    let lists = plain.map(|(_, path)| path.as_str()).chain(LISTS);
    let lists = lists.chain(["/customers/acme-eu", "/api/v1/customers?name=acme-eu"]);
    let mut of_own = BTreeSet::new();
    for address in lists {
        let other = tenants.ask("billing", ("GET", address), (JSON, "")).await;
        let is_example = EXAMPLES.iter().any(|example| address.starts_with(example));
        let names = other.body.contains(SLO) || other.body.contains(TITLE);
        assert!(!names || is_example, "{address}: {}", other.body);
        let own = tenants.ask("checkout", ("GET", address), (JSON, "")).await;
        if own.body.contains(SLO) || own.body.contains(TITLE) {
            of_own.insert(address);
        }
    }
    for address in LISTS.into_iter().chain([
        "/",
        "/alerts",
        "/workflows",
        "/silences",
        "/deliveries",
        "/definitions",
        "/api/v1/alerts",
        "/api/v1/definitions",
        "/api/v2/alerts",
        "/api/v2/alerts/groups",
        "/api/v2/silences",
    ]) {
        assert!(
            of_own.contains(address),
            "its own team sees it at {address}"
        );
    }
}

#[tokio::test]
async fn what_concerns_all_teams_is_for_those_who_see_all_slos() {
    let tenants = Tenants::open().await;
    for request in [
        ("GET", "/metrics"),
        ("GET", "/audit"),
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/sessions"),
        ("GET", "/api/v1/tokens"),
        ("GET", "/discover"),
        ("GET", "/api/v1/discover"),
        ("GET", "/explain"),
        ("POST", "/api/v1/explain"),
        ("POST", "/api/v1/definitions/apply"),
        ("POST", "/api/v1/definitions/clear"),
        ("POST", "/api/v1/targets/oncall/test"),
    ] {
        let answer = tenants.api("checkout", request, json!({})).await;
        assert_eq!(answer.status, 403, "{request:?}");
        let text = "this concerns all teams, and you see only some SLOs";
        let all = tenants.api("all", request, json!({})).await;
        assert!(!all.body.contains(text), "{request:?}");
        assert!(answer.body.contains(text), "{request:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_team_sees_spans_that_its_slo_selects_and_no_others() {
    let mut tenants = Tenants::open().await;
    let shapes = SharedShapes::new();
    for trace in 1..=3 {
        let other = span("invoice.submit").trace(trace).at(0.0).lasting(0.1);
        let span = other.build(now() - Duration::from_mins(1));
        let candidate = shapes.look(&span, &HiddenAttributes::default(), now());
        shapes.add(now(), candidate.into_iter().collect());
    }
    tenants.shop.state.shapes = shapes;
    tenants.router = routed(&tenants.shop);
    let address = format!("/api/v1/slos/{SLO}/explain");
    let explain = async |who| tenants.ask(who, ("GET", &address), (JSON, "")).await;
    let all = explain("all").await;
    assert!(all.body.contains("invoice.submit"), "{}", all.body);
    let own = explain("checkout").await;
    assert_eq!(own.status, 200);
    assert_eq!(own.json()["slos"][0]["selectors"][0]["field"], "start");
    assert!(!own.body.contains("invoice.submit"), "{}", own.body);
}

#[tokio::test]
async fn a_team_silences_its_own_slos_alone() {
    let tenants = Tenants::open().await;
    for matchers in [
        &["team=billing"][..],
        &["slo=invoices-ready", "severity=page"],
    ] {
        let own = tenants.silence("billing", matchers).await;
        assert_eq!(own.status, 201, "{}", own.body);
    }
    for matchers in [
        &["slo=orders-on-time"][..],
        &["severity=page"],
        &["slo=~invoices.*"],
    ] {
        let others = tenants.silence("billing", matchers).await;
        assert_eq!(others.status, 403, "{matchers:?}");
        let text = "this silence could match SLOs that are not of your teams or namespaces";
        assert_eq!(others.json()["detail"], text);
    }
    let as_alertmanager = json!({
        "matchers": [{ "name": "severity", "value": "page", "isRegex": false, "isEqual": true }],
        "startsAt": NOW, "endsAt": "2026-11-22T12:00:00Z", "createdBy": "", "comment": "upgrade",
    });
    let answer = tenants
        .api("billing", ("POST", "/api/v2/silences"), as_alertmanager)
        .await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    let everything = tenants.silence("all", &["severity=page"]).await.json();
    let id = everything["id"].as_str().unwrap();
    let address = format!("/api/v1/silences/{id}");
    let seen = tenants.api("billing", ("GET", &address), Value::Null).await;
    assert_eq!(seen.status, 200, "it silences them as well");
    let ended = tenants
        .api("billing", ("DELETE", &address), json!({}))
        .await;
    assert_eq!(ended.status, 403, "{}", ended.body);
    let preview = json!({ "matchers": ["severity=page"] });
    let preview = tenants
        .api("billing", ("POST", "/api/v1/silences/preview"), preview)
        .await;
    assert_eq!(preview.status, 200);
    assert!(!preview.body.contains(SLO), "{}", preview.body);
}

#[tokio::test]
async fn a_team_writes_the_definitions_of_its_own_slos_alone() {
    let tenants = Tenants::open().await;
    let own = tenants.put("billing", "dunning-sent", "billing").await;
    assert_eq!(own.status, 201, "{}", own.body);
    let detail = |answer: &Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    let elsewhere = tenants.put("billing", "carts-saved", "checkout").await;
    assert_eq!(elsewhere.status, 403);
    let text = "you may write SLOs with the label `team: billing` alone, which no file declares";
    assert_eq!(detail(&elsewhere), text);
    let taken = tenants.put("billing", SLO, "billing").await;
    assert_eq!(taken.status, 403);
    let text = "the name `orders-on-time` is taken by a definition that is not of your teams or namespaces";
    assert_eq!(detail(&taken), text);
}

#[tokio::test]
async fn somebody_who_sees_all_and_changes_some_is_told_so() {
    let tenants = Tenants::open().await;
    let router = web::router(WebState {
        access: access(AuthMethod::Proxy, Arc::default()),
        ..tenants.shop.state.clone()
    });
    let headers = [
        ("x-forwarded-user", "dana"),
        ("x-forwarded-role", "viewer, editor@team/billing"),
        JSON,
    ];
    let page = request_with(&router, ("GET", "/slos/orders-on-time"), &headers, "").await;
    assert_eq!(page.status, 200);
    let body = json!({ "matchers": ["slo=orders-on-time"], "duration": "1h", "reason": "x" });
    let silence = ("POST", "/api/v1/silences");
    let refused = request_with(&router, silence, &headers, &body.to_string()).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let body = json!({ "matchers": ["slo=invoices-ready"], "duration": "1h", "reason": "x" });
    let done = request_with(&router, silence, &headers, &body.to_string()).await;
    assert_eq!(done.status, 201, "{}", done.body);
    let wrong = [
        ("x-forwarded-user", "dana"),
        ("x-forwarded-role", "editor@billing"),
    ];
    let wrong = request_with(&router, ("GET", "/api/v1/slos"), &wrong, "").await;
    assert_eq!(wrong.status, 403, "{}", wrong.body);
}
