//! Logins at a real provider of OpenID Connect (`oidc-provider` of npm), by a client that behaves as a
//! browser does.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use openidconnect::url::Url;
use regex::Regex;
use reqwest::{Method, header};
use uuid::Uuid;

use super::secrets::all_rows;
use crate::support::{
    api::until,
    database::TestDatabase,
    installs::node,
    service::{Site, free_port},
    workload::ORDERS,
};

/// Stopped when it is dropped.
struct Provider {
    child: Child,
    /// It goes on writing notices, and would end if nobody could read them.
    _output: BufReader<ChildStdout>,
}

impl Provider {
    fn start(port: u16, pages: &str, secret: &str) -> Self {
        let mut child = Command::new("node")
            .arg(node("oidc").join("provider.js"))
            .args([&port.to_string(), pages])
            .env("CLIENT_SECRET", secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`.dev/setup tests` installs node");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self {
            child,
            _output: output,
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be collected");
    }
}

/// Keeps cookies and follows redirects.
struct Browser {
    client: reqwest::Client,
    /// By address of the site and name.
    cookies: BTreeMap<(String, String), String>,
    /// The addresses that it was sent to, with their queries.
    visited: Vec<String>,
}

/// What a browser shows.
struct Shown {
    url: Url,
    status: u16,
    body: String,
    refresh: Option<String>,
}

impl Browser {
    fn new() -> Self {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            client: client.build().unwrap(),
            cookies: BTreeMap::new(),
            visited: Vec::new(),
        }
    }

    async fn open(&mut self, url: &str) -> Shown {
        self.request(Method::GET, url.parse().unwrap(), "").await
    }

    async fn request(&mut self, method: Method, url: Url, form: &str) -> Shown {
        let (mut method, mut url, mut form) = (method, url, form);
        loop {
            let response = self.send(method.clone(), &url, form).await;
            let location = response.headers().get(header::LOCATION);
            let location = location.map(|value| value.to_str().unwrap().to_owned());
            let refresh = response.headers().get(header::REFRESH);
            let refresh = refresh.map(|value| value.to_str().unwrap().to_owned());
            if response.status().is_redirection() {
                url = url.join(&location.unwrap()).unwrap();
                (method, form) = (Method::GET, "");
                self.visited.push(url.to_string());
                continue;
            }
            return Shown {
                status: response.status().as_u16(),
                body: response.text().await.unwrap(),
                url,
                refresh,
            };
        }
    }

    async fn send(&mut self, method: Method, url: &Url, form: &str) -> reqwest::Response {
        let site = url.origin().ascii_serialization();
        let of_site = self.cookies.iter().filter(|((of, _), _)| *of == site);
        let cookies: Vec<_> = of_site
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let request = self
            .client
            .request(method, url.clone())
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "text/html")
            .body(form.to_owned());
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = cookie.split_once('=').unwrap();
            let key = (site.clone(), name.to_owned());
            if value.is_empty() {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        response
    }

    /// Sends the first form that is shown, with these fields.
    async fn submit(&mut self, shown: &Shown, form: &str) -> Shown {
        let action = Regex::new(r#"<form[^>]* action="([^"]+)""#).unwrap();
        let found = action.captures(&shown.body);
        let found = found.unwrap_or_else(|| panic!("no form at {}: {}", shown.url, shown.body));
        let url = shown.url.join(&found[1].replace("&amp;", "&")).unwrap();
        self.request(Method::POST, url, form).await
    }

    /// Logs in at the provider as `user`, and agrees to what it asks.
    async fn log_in(&mut self, pages: &str, user: &str) -> Shown {
        let start = format!("{pages}/login/start?next=%2Falerts");
        let form = self.open(&start).await;
        let credentials = format!("prompt=login&login={user}&password=any");
        let consent = self.submit(&form, &credentials).await;
        self.submit(&consent, "prompt=consent").await
    }

    fn cookie(&self, name: &str) -> Option<&String> {
        let mut cookies = self.cookies.iter();
        let found = cookies.find(|((_, found), _)| found == name);
        found.map(|(_, value)| value)
    }
}

/// Another one in every run, so that none can be known to a filter.
fn new_secret() -> String {
    Uuid::from_u128(rand::random()).simple().to_string()
}

/// A service whose users log in at a provider on `port`.
fn site(database: &TestDatabase, port: u16, secret: &str) -> Site {
    let site = Site::on(database, ORDERS);
    let pages = format!("http://{}", site.pages_address());
    site.flag("--auth", "oidc")
        .flag("--oidc-issuer", &format!("http://127.0.0.1:{port}"))
        .flag("--oidc-client-id", "throughline")
        .flag("--oidc-scopes", "profile groups")
        .flag("--oidc-group-roles", "sre=admin")
        .flag("--public-url", &pages)
        .flag("--log", "trace")
        .variable("THROUGHLINE_OIDC_CLIENT_SECRET", secret)
        .variable("THROUGHLINE_OPEN_METRICS", "true")
}

#[tokio::test]
async fn people_log_in_at_a_real_provider_and_no_secret_is_shown() {
    let database = TestDatabase::create().await;
    let (port, secret) = (free_port(), new_secret());
    let site = site(&database, port, &secret);
    let pages = format!("http://{}", site.pages_address());
    let provider = Provider::start(port, &pages, &secret);
    let service = site.start().await;

    let mut dana = Browser::new();
    let alerts = dana.log_in(&pages, "dana").await;
    assert_eq!(
        (alerts.status, alerts.url.path()),
        (200, "/alerts"),
        "{}",
        alerts.body
    );
    assert_eq!(dana.open(&format!("{pages}/audit")).await.status, 200);
    let mut kim = Browser::new();
    let refused = kim.log_in(&pages, "kim").await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("<code>kim</code> has no role here"),
        "{}",
        refused.body
    );

    drop(provider);
    let audit = dana.open(&format!("{pages}/audit")).await;
    assert_eq!(audit.status, 200, "who is logged in goes on");
    for said in ["session.begin", ">dana<", ">kim<", "rejected"] {
        assert!(audit.body.contains(said), "no {said} in {}", audit.body);
    }

    let visited = [dana.visited.join(" "), kim.visited.join(" ")].concat();
    let parameter = Regex::new("[?&](?:code|state|nonce)=([^& ]+)").unwrap();
    let mut secrets: Vec<_> = parameter
        .captures_iter(&visited)
        .map(|found| found[1].to_owned())
        .collect();
    assert!(secrets.len() >= 8, "{visited}");
    secrets.push(secret);
    secrets.push(dana.cookie("throughline_session").unwrap().clone());
    let said = service.said();
    let rows = all_rows(&mut database.connect().await).await;
    assert!(said.contains("session.begin"), "the log is captured");
    for secret in secrets {
        for seen in [&said, &rows] {
            let line = seen.lines().find(|line| line.contains(&secret));
            assert_eq!(line, None, "a secret is shown");
        }
    }
}

#[tokio::test]
async fn a_logout_ends_the_session_with_the_provider_too() {
    let database = TestDatabase::create().await;
    let (port, secret) = (free_port(), new_secret());
    let site = site(&database, port, &secret);
    let pages = format!("http://{}", site.pages_address());
    let _provider = Provider::start(port, &pages, &secret);
    let _service = site.start().await;
    let mut dana = Browser::new();
    dana.log_in(&pages, "dana").await;
    let logout = format!("{pages}/logout").parse().unwrap();
    let left = dana.request(Method::POST, logout, "").await;
    let refresh = left.refresh.expect("it leads to the provider");
    let confirm = dana.open(refresh.strip_prefix("0; url=").unwrap()).await;
    assert!(confirm.body.contains("sign-out"), "{}", confirm.body);
    let xsrf = Regex::new(r#"name="xsrf" value="([^"]+)""#).unwrap();
    let xsrf = xsrf.captures(&confirm.body).expect("a form")[1].to_owned();
    let done = dana
        .submit(&confirm, &format!("xsrf={xsrf}&logout=yes"))
        .await;
    assert_eq!(
        (done.status, done.url.path()),
        (200, "/login"),
        "{}",
        done.body
    );
    let again = dana.open(&format!("{pages}/login/start")).await;
    assert!(again.body.contains("name=\"password\""), "{}", again.body);
}

#[tokio::test]
async fn a_service_starts_while_its_provider_is_down() {
    let database = TestDatabase::create().await;
    let (port, secret) = (free_port(), new_secret());
    let site = site(&database, port, &secret);
    let pages = format!("http://{}", site.pages_address());
    let service = site.start().await;
    let unavailable = "throughline_login_provider_unavailable";
    until("the provider is missed", async || {
        (service.api.metric(unavailable).await == Some(1.0)).then_some(())
    })
    .await;
    let mut past = database.connect().await;
    let expected = format!("http://127.0.0.1:{port}: the provider does not answer: ");
    until("the replica tells the self-checks", async || {
        let problems: String =
            sqlx::query_scalar("select array_to_string(login_problems, ' ') from replicas")
                .fetch_one(&mut past)
                .await
                .unwrap();
        problems.starts_with(&expected).then_some(())
    })
    .await;
    let mut dana = Browser::new();
    let refused = dana.open(&format!("{pages}/login/start")).await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.contains("the login provider does not answer"),
        "{}",
        refused.body
    );
    let _provider = Provider::start(port, &pages, &secret);
    until("the provider answers", async || {
        let answer = dana.open(&format!("{pages}/login/start")).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn settings_that_let_nobody_log_in_are_explained_at_the_start() {
    let database = TestDatabase::create().await;
    for (issuer, roles, expected) in [
        ("http://id.example", "sre=admin", "does not use https"),
        ("id.example", "sre=admin", "the issuer is no URL"),
        ("https://id.example", "", "give groups a role"),
    ] {
        let mut site = Site::on(&database, ORDERS)
            .flag("--auth", "oidc")
            .flag("--oidc-issuer", issuer)
            .flag("--oidc-client-id", "throughline")
            .flag("--public-url", "https://slo.example");
        if !roles.is_empty() {
            site = site.flag("--oidc-group-roles", roles);
        }
        let (status, said) = site.spawn().ended().await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let site = site(&database, 1, "").flag("--oidc-client-secret-file", "/no/such/file");
    let (status, said) = site.spawn().ended().await;
    assert_eq!(status.code(), Some(2), "one secret is enough: {said}");
    let site = Site::on(&database, ORDERS).flag("--auth", "oidc");
    let (status, said) = site.spawn().ended().await;
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("--oidc-issuer <URL>"), "{said}");
}
