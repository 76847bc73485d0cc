//! What is sent goes to receivers that may have it, and secrets stand nowhere else.

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::orders_with_a_hook;
use crate::support::{
    api::{Api, until},
    database::TestDatabase,
    receiver::{Receiver, Reply},
    service::Site,
    validators::SIGNING_SECRET,
    workload::{Delivery, ORDERS, Workload},
};

const TARGETS: &str = "
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: hook }
spec: { webhook: { url: { env: HOOK_URL }, secret: { env: HOOK_SECRET } } }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: slack }
spec: { slack: { url: { env: SLACK_URL } } }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: bot }
spec: { slack: { token: { env: BOT_TOKEN }, channel: deploys, url: \"RECEIVER/api\" } }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: pager }
spec: { pagerduty: { routingKey: { env: ROUTING_KEY }, url: \"RECEIVER\" } }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: teams }
spec: { teams: { url: { env: TEAMS_URL } } }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: am }
spec: { alertmanager: { urls: [{ env: AM_URL }, { env: GONE_URL }] } }
";

/// Every row of every table, as text.
pub(super) async fn all_rows(connection: &mut PgConnection) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select quote_ident(table_name) from information_schema.tables
         where table_schema = 'public'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut rows = Vec::new();
    for table in tables {
        let query = AssertSqlSafe(format!("select t::text from {table} t"));
        let some: Vec<String> = sqlx::query_scalar(query)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        rows.extend(some);
    }
    rows.join("\n")
}

/// Others in every run, so that none can be known to a filter.
struct Secrets {
    hook: String,
    slack: String,
    bot: String,
    pager: String,
    teams: String,
    alertmanager: String,
    gone: String,
}

impl Secrets {
    fn new() -> Self {
        let [hook, slack, bot, pager, teams, alertmanager, gone] =
            [(); 7].map(|()| Uuid::from_u128(rand::random()).simple().to_string());
        Self {
            hook,
            slack,
            bot,
            pager,
            teams,
            alertmanager,
            gone,
        }
    }

    /// Where the service finds them; all but one lead to `url`.
    fn given_to(&self, site: Site, url: &str) -> Site {
        let gone = format!("http://user:{}@127.0.0.1:1", self.gone);
        site.variable("HOOK_URL", &format!("{url}/{}", self.hook))
            .variable("HOOK_SECRET", SIGNING_SECRET)
            .variable("SLACK_URL", &format!("{url}/services/{}", self.slack))
            .variable("BOT_TOKEN", &self.bot)
            .variable("ROUTING_KEY", &self.pager)
            .variable(
                "TEAMS_URL",
                &format!("{url}/workflows/1?sig={}", self.teams),
            )
            .variable("AM_URL", &format!("{url}/{}", self.alertmanager))
            .variable("GONE_URL", &gone)
    }

    /// Those that must have been used.
    fn sent(&self) -> [&str; 6] {
        let Self {
            hook,
            slack,
            bot,
            pager,
            teams,
            alertmanager,
            ..
        } = self;
        [hook, slack, bot, pager, teams, alertmanager]
    }

    fn assert_none_in(&self, seen: &str) {
        for secret in self.sent().into_iter().chain([&*self.gone, SIGNING_SECRET]) {
            let line = seen.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "a secret is shown");
        }
    }
}

/// All that the service shows to whoever asks.
async fn everything_shown(api: &Api) -> String {
    let mut shown = Vec::new();
    for path in [
        "/",
        "/slos/orders",
        "/alerts",
        "/definitions",
        "/metrics",
        "/readyz",
        "/api/v1/slos",
        "/api/v1/slos/orders",
        "/api/v1/alerts",
        "/api/v1/definitions",
    ] {
        shown.push(api.text(path).await);
    }
    shown.join("\n")
}

#[tokio::test]
pub(crate) async fn t27_no_secret_is_in_a_log_a_row_a_metric_a_page_or_the_api() {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    // What is sent is echoed with every status that somebody may answer with.
    let statuses = [200, 302, 400, 404, 429, 500, 200, 503];
    let receiver = Receiver::start(statuses.map(Reply::Echo)).await;
    let definitions = format!(
        "{}  notify: {{ page: [hook, slack, bot, pager, teams, am] }}\n{}",
        ORDERS.trim_start(),
        TARGETS.trim_start().replace("RECEIVER", &receiver.url),
    );
    let secrets = Secrets::new();
    let proxy = Receiver::start([]).await;
    let site = Site::on(&database, &definitions)
        .flag("--evaluation-interval", "500ms")
        .flag("--log", "trace")
        .variable("HTTP_PROXY", &proxy.url)
        .variable("ALL_PROXY", &proxy.url);
    let site = secrets.given_to(site, &receiver.url);
    let service = site.start().await;
    let workload = Workload::of(300, 27);
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.finish().await;
    let mut connection = database.connect().await;
    until("a try at every target", async || {
        let tried: i64 = sqlx::query_scalar(
            "select count(distinct target) from deliveries
             join delivery_attempts on id = delivery_id",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        (tried == 6).then_some(())
    })
    .await;

    assert_eq!(proxy.requests().len(), 0, "nor is a proxy told");
    let sent = format!("{:?}", receiver.requests());
    let bodies: Vec<String> = receiver
        .requests()
        .iter()
        .map(|request| request.json().to_string())
        .collect();
    for secret in secrets.sent() {
        let is_used = sent.contains(secret) || bodies.iter().any(|body| body.contains(secret));
        assert!(is_used, "a secret was not used");
    }
    let rows = all_rows(&mut connection).await;
    let shown = everything_shown(&service.api).await;
    let said = service.said();
    assert!(said.contains("delivery to target"), "the log is captured");
    assert!(rows.contains("cannot POST"), "excerpts are kept");
    for seen in [said, rows, shown] {
        secrets.assert_none_in(&seen);
    }
}

#[tokio::test]
pub(crate) async fn t26_a_service_that_may_not_calls_nobody_in_its_own_network() {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let receiver = Receiver::start([]).await;
    let site = Site::on(&database, &orders_with_a_hook())
        .flag("--evaluation-interval", "500ms")
        .flag("--allow-private-targets", "none")
        .variable("HOOK_URL", &receiver.url)
        .variable("HOOK_SECRET", SIGNING_SECRET);
    let service = site.start().await;
    let workload = Workload::of(300, 26);
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.finish().await;
    let mut connection = database.connect().await;
    let class = until("a try at the target", async || {
        let class: Option<String> =
            sqlx::query_scalar("select class from delivery_attempts limit 1")
                .fetch_optional(&mut connection)
                .await
                .unwrap();
        class
    })
    .await;
    assert_eq!(class, "forbidden");
    assert_eq!(receiver.requests().len(), 0);
    assert!(
        service.said().contains("`--allow-private-targets`"),
        "it says what to do"
    );
}
