//! Several installations with databases of their own, behind one overview: shown and searched as one,
//! and what one of them cannot answer is one line.

use std::{collections::BTreeMap, future, process::Command, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::any,
};
use serde_json::{Value, json};
use throughline::{
    clock::{Clock, ManualClock},
    config::{AuthMethod, TrustedProxies},
    domain::access::KnownTokens,
    installations::Installations,
    telemetry::InstallationMetrics,
    web::{
        self as pages, AllowedHosts, WebState, WriteRules,
        installations::{OverviewState, UserProxy, router},
    },
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::ServiceExt as _;

use super::{
    accessibility::{assert_valid, checker},
    browser::{browser, path_of},
    client,
};
use crate::support::{
    app::{HOUR, ORDERS, TestApp, good, minute_long, time, web},
    span::span,
};

/// An installation that judges one SLO, in which one workflow is open.
async fn installation(slo: &str, order: &str) -> TestApp {
    let orders = minute_long(
        "placed",
        "shipped",
        "span.order.id",
        "customer: span.customer.id",
    );
    let named = format!("name: {slo}, labels: {{ team: {slo} }}");
    let app = TestApp::new()
        .slo(&orders.replace("name: orders", &named))
        .at("12:00")
        .await;
    let placed = span("placed").attribute("order.id", order);
    app.at_second(1.0)
        .send([placed.attribute("customer.id", "acme")])
        .await;
    app.index().await;
    app.tick().await;
    app
}

/// Serves installations and what only looks like one.
#[derive(Default)]
struct Servers {
    tasks: JoinSet<()>,
    addresses: Vec<String>,
}

impl Servers {
    async fn add(&mut self, name: &str, router: Router) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.addresses.push(format!("{name}=http://{address}"));
        self.tasks
            .spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    fn overview(&self, tokens: &[&str], timeout: Duration) -> Router {
        router(self.state(tokens, timeout))
    }

    fn state(&self, tokens: &[&str], timeout: Duration) -> OverviewState {
        let addresses = self.addresses.iter().map(|one| one.parse().unwrap());
        let tokens = tokens.iter().map(|one| one.parse().unwrap());
        let all = Installations::new(addresses.collect(), tokens.collect(), timeout);
        OverviewState {
            installations: all.unwrap(),
            clock: Clock::Manual(ManualClock::new(time("12:01"))),
            hosts: Arc::new(AllowedHosts::new(None, [])),
            time_zone: chrono_tz::Tz::UTC,
            proxy: None,
            open_metrics: false,
            tls: None,
            metrics: InstallationMetrics::new().unwrap(),
        }
    }
}

const PATIENT: Duration = Duration::from_mins(1);

async fn json(overview: &Router, path: &str) -> Value {
    client::get(overview, path).await.json()
}

fn pairs(items: &Value, field: &str) -> Vec<(String, String)> {
    let items = items.as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items
        .map(|item| (text(&item["installation"]), text(&item[field])))
        .collect()
}

fn pair(installation: &str, value: &str) -> (String, String) {
    (installation.to_owned(), value.to_owned())
}

#[tokio::test]
async fn two_installations_are_shown_and_searched_as_one() {
    let (shop, bank) = (
        installation("orders", "4711").await,
        installation("refunds", "0815").await,
    );
    let mut servers = Servers::default();
    servers.add("shop", shop.router()).await;
    let public = WebState {
        writes: WriteRules {
            public_url: Some("https://bank.example/".to_owned()),
            ..bank.web_state().writes
        },
        ..bank.web_state()
    };
    servers.add("bank", pages::router(public)).await;
    let overview = servers.overview(&[], PATIENT);

    let all = json(&overview, "/api/v1/slos").await;
    let both = [pair("shop", "orders"), pair("bank", "refunds")];
    assert_eq!(pairs(&all["slos"], "name"), both);
    assert_eq!(all["slos"][1]["url"], "https://bank.example/slos/refunds");
    assert_eq!(all["installations"][0]["problem"], Value::Null);
    let one = json(&overview, "/api/v1/slos?q=team%3Drefunds").await;
    assert_eq!(pairs(&one["slos"], "name"), both[1..]);

    let found = json(&overview, "/api/v1/workflows?q=0815").await;
    assert_eq!(pairs(&found["workflows"], "label"), [pair("bank", "0815")]);
    let newest = json(&overview, "/api/v1/workflows?customer=acme").await;
    assert_eq!(newest["workflows"].as_array().unwrap().len(), 2);
    let page = client::get(&overview, "/workflows?q=0815").await.body;
    assert!(
        page.contains("https://bank.example/workflows/refunds/"),
        "{page}"
    );

    let page = client::get(&overview, "/").await;
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    for text in [
        "2 of 2 installations answered",
        "/slos/orders\"",
        "https://bank.example/slos/refunds",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let named = [("if-none-match", page.header("etag"))];
    assert_eq!(client::get_with(&overview, "/", &named).await.status, 304);
    let other_host = [("host", "evil.example")];
    assert_eq!(
        client::get_with(&overview, "/", &other_host).await.status,
        421
    );
    assert_eq!(client::get(&overview, "/silences").await.status, 404);
    assert_eq!(
        client::post_json(&overview, "/", &json!({})).await.status,
        405
    );
}

#[tokio::test]
async fn alerts_of_all_installations_are_one_list() {
    let shop = TestApp::new()
        .slo(ORDERS)
        .history(HOUR * 48, good(10))
        .await;
    shop.stall().await;
    shop.ticks([0, 5, 10]).await;
    let bank = installation("refunds", "0815").await;
    let mut servers = Servers::default();
    servers.add("bank", bank.router()).await;
    servers.add("shop", shop.router()).await;
    let overview = servers.overview(&[], PATIENT);
    let firing = json(&overview, "/api/v1/alerts").await;
    assert_eq!(pairs(&firing["firing"], "slo"), [pair("shop", "orders")]);
    let page = client::get(&overview, "/alerts").await.body;
    assert!(
        page.contains("1 FIRING") && page.contains("/incidents/"),
        "{page}"
    );
    let slos = json(&overview, "/api/v1/slos?state=Paging").await;
    assert_eq!(pairs(&slos["slos"], "name"), [pair("shop", "orders")]);
}

/// Installations of which only `shop` answers.
async fn troubled(servers: &mut Servers, shop: &TestApp) {
    servers.add("shop", shop.router()).await;
    let closed = WebState {
        access: web::access(AuthMethod::Token, Arc::new(KnownTokens::default())),
        ..shop.web_state()
    };
    servers.add("closed", pages::router(closed)).await;
    let garbage = || Router::new().fallback(any(async || "<html>"));
    servers.add("garbage", garbage()).await;
    let broken = Router::new().fallback(any(async || (StatusCode::BAD_GATEWAY, "no")));
    servers.add("broken", broken).await;
    let slow = Router::new().fallback(any(future::pending::<&'static str>));
    servers.add("slow", slow).await;
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    servers.addresses.push(format!("away=http://{gone}"));
}

#[tokio::test]
async fn what_an_installation_cannot_answer_is_one_line_and_hides_no_other() {
    let shop = installation("orders", "4711").await;
    let mut servers = Servers::default();
    troubled(&mut servers, &shop).await;
    let overview = servers.overview(&["closed=thl_wrong"], Duration::from_secs(3));
    for (path, of_shop) in [
        ("/", "orders"),
        ("/workflows?q=4711", "4711"),
        ("/alerts", "Nothing fires"),
    ] {
        let page = client::get(&overview, path).await.body;
        assert!(
            page.contains(of_shop) && page.contains("1 of 6 installations answered"),
            "{page}"
        );
        assert_eq!(page.matches("is missing on this page").count(), 5, "{page}");
        assert!(!page.contains("thl_wrong"), "{page}");
    }
    let all = json(&overview, "/api/v1/slos").await;
    assert_eq!(pairs(&all["slos"], "name"), [pair("shop", "orders")]);
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let problems = all["installations"].as_array().unwrap().iter();
    let problems: BTreeMap<String, String> = problems
        .map(|one| (text(one, "name"), text(one, "problem")))
        .collect();
    for (name, start) in [
        ("closed", "it refuses (401): "),
        (
            "garbage",
            "it answers 200, but not as this version of Throughline does",
        ),
        ("broken", "it answers 502, but not as"),
        ("slow", "no answer within 3s"),
        ("away", "it cannot be reached: "),
    ] {
        assert!(problems[name].starts_with(start), "{name}: {problems:?}");
    }
    assert_eq!(problems["shop"], "");
    // It is ready to say so.
    assert_eq!(client::get(&overview, "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_is_valid_and_open_to_everybody() {
    let shop = installation("orders", "4711").await;
    let mut servers = Servers::default();
    troubled(&mut servers, &shop).await;
    let overview = servers.overview(&[], Duration::from_secs(1));
    let empty = Servers::default().overview(&[], PATIENT);
    let mut shown = Servers::default();
    shown.add("troubled", overview).await;
    shown.add("empty", empty).await;
    let addresses = shown.addresses.iter().flat_map(|one| {
        let (_, url) = one.split_once('=').unwrap();
        ["/", "/alerts", "/workflows"].map(|path| format!("{url}{path}"))
    });
    assert_valid(addresses.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_two_installations_as_one_and_links_lead_to_each() {
    let (shop, bank) = (
        installation("orders", "4711").await,
        installation("refunds", "0815").await,
    );
    let mut servers = Servers::default();
    servers.add("shop", shop.router()).await;
    servers.add("bank", bank.router()).await;
    let overview = servers.overview(&[], PATIENT);
    let mut shown = Servers::default();
    shown.add("overview", overview).await;
    let url = |servers: &Servers, nth: usize| {
        let (_, url) = servers.addresses[nth].split_once('=').unwrap();
        url.to_owned()
    };
    let mut command = Command::new("node");
    command
        .arg("follow.mjs")
        .arg(path_of(browser()))
        .arg(format!("{}/", url(&shown, 0)))
        .args(["orders", "refunds"].map(|slo| format!("th a[href$='/slos/{slo}']")))
        .current_dir(checker());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let followed = String::from_utf8(output.stdout).unwrap();
    let followed: Vec<_> = followed.lines().collect();
    for ((line, nth), (slo, name)) in followed
        .iter()
        .zip(0..)
        .zip([("orders", "shop"), ("refunds", "bank")])
    {
        let [row, address, heading] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        assert!(row.contains(name), "{row}");
        assert_eq!(address, format!("{}/slos/{slo}", url(&servers, nth)));
        assert!(row.contains(heading), "{row}: {heading}");
    }
    assert_eq!(followed.len(), 2);
}

#[tokio::test]
async fn metrics_say_which_installation_answers() {
    let shop = installation("orders", "4711").await;
    let mut servers = Servers::default();
    servers.add("shop", shop.router()).await;
    let foreign = Router::new().fallback(any(async || "hello"));
    servers.add("bank", foreign).await;
    let overview = servers.overview(&[], PATIENT);
    client::get(&overview, "/alerts").await;
    let metrics = client::get(&overview, "/metrics").await.body;
    for line in [
        "throughline_installation_up{installation=\"shop\"} 1\n",
        "throughline_installation_up{installation=\"bank\"} 0\n",
        "throughline_installation_request_duration_seconds{installation=\"bank\"} ",
        "throughline_http_request_duration_seconds_count{method=\"GET\",route=\"/alerts\",status=\"200\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn a_proxy_says_who_reads() {
    let behind = |addresses: &[&str], open_metrics| {
        let addresses = addresses.iter().map(|range| range.parse().unwrap());
        let proxy = UserProxy {
            user_header: "x-forwarded-user".to_owned(),
            addresses: TrustedProxies::new(addresses.collect()),
        };
        router(OverviewState {
            proxy: Some(proxy),
            open_metrics,
            ..Servers::default().state(&[], PATIENT)
        })
    };
    let status = async |overview: &Router, path: &str, user: Option<&str>| {
        let request = Request::get(path).header("host", "localhost");
        let request = user.into_iter().fold(request, |request, user| {
            request.header("x-forwarded-user", user)
        });
        let request = request.body(Body::empty()).unwrap();
        overview.clone().oneshot(request).await.unwrap().status()
    };
    let overview = behind(&[], false);
    for path in ["/", "/api/v1/slos", "/metrics"] {
        assert_eq!(
            status(&overview, path, None).await,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        assert_eq!(
            status(&overview, path, Some("dana")).await,
            StatusCode::OK,
            "{path}"
        );
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(&overview, path, None).await, StatusCode::OK);
    }
    let open = behind(&[], true);
    assert_eq!(status(&open, "/metrics", None).await, StatusCode::OK);
    // The test has no address, so it is no proxy.
    let strict = behind(&["10.0.0.0/8"], false);
    assert_eq!(
        status(&strict, "/", Some("dana")).await,
        StatusCode::UNAUTHORIZED
    );
}
