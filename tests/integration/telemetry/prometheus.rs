//! The files in `.deploy` and what `throughline export` prints: they name only metrics that exist, and a
//! real Prometheus takes them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    api::{client, until},
    app::TestApp,
    database::TestDatabase,
    service::{Service, Site, free_port, program},
    workload::{Delivery, ORDERS, Workload},
};

const MISSING: &str = "Prometheus is missing: `.dev/setup tests` installs it";

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".deploy")
        .join(path)
}

pub(super) fn dashboard() -> Value {
    let text = fs::read_to_string(deployed("grafana/throughline.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The queries of all panels.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(queries.len() > 40, "{queries:?}");
    queries
}

/// Names of metrics in a text, without the endings of the series of histograms.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\b(?:throughline|process)_[a-z_]+").unwrap();
    let ending = Regex::new("_seconds_(?:bucket|count|sum)$").unwrap();
    let names = name.find_iter(text);
    names
        .map(|found| ending.replace(found.as_str(), "_seconds").into_owned())
        .collect()
}

#[tokio::test]
async fn dashboard_alerts_and_exported_rules_name_only_metrics_that_are_served() {
    let app = TestApp::new().slo(ORDERS).await;
    let reference = app.api("/docs/metrics").await;
    let served: BTreeSet<String> = ["shared", "process"]
        .iter()
        .flat_map(|part| reference[part].as_array().unwrap())
        .map(|metric| metric["name"].as_str().unwrap().to_owned())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let variable = dashboard()["templating"]["list"][1]["query"].to_string();
    for (file, text) in [
        ("dashboard", queries(&dashboard()).join("\n")),
        ("variable", variable),
        (
            "alerts",
            fs::read_to_string(deployed("prometheus/alerts.yaml")).unwrap(),
        ),
        (
            "rules",
            fs::read_to_string(exported(folder.path())).unwrap(),
        ),
    ] {
        let named = metrics_in(&text);
        assert!(!named.is_empty(), "{file}");
        let unknown: Vec<&String> = named.difference(&served).collect();
        assert_eq!(unknown, [""; 0], "{file}");
    }
}

/// A file with the rules of [`ORDERS`], as the program prints them.
fn exported(folder: &Path) -> PathBuf {
    let [definitions, rules] = ["orders.yaml", "rules.yml"].map(|name| folder.join(name));
    fs::write(&definitions, ORDERS).unwrap();
    let output = program()
        .args(["export", "prometheus-rules"])
        .arg(definitions)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    fs::write(&rules, output.stdout).unwrap();
    rules
}

#[test]
fn promtool_accepts_the_alerts_and_the_exported_rules() {
    let folder = tempfile::tempdir().unwrap();
    for file in [deployed("prometheus/alerts.yaml"), exported(folder.path())] {
        let checked = Command::new("promtool")
            .args(["check", "rules"])
            .arg(file)
            .output()
            .expect(MISSING);
        assert!(checked.status.success(), "{checked:?}");
    }
}

/// Alerts of `alerts.yaml` that counters of failures raise, beginning at zero, and an expired certificate.
const FROM_ZERO: &str = r#"
rule_files: [ALERTS]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'throughline_build_info', values: "1x40" }
      - { series: 'throughline_tls_certificate_expiry_timestamp_seconds{port="otlp"}', values: "1500x40" }
      - { series: 'throughline_ingest_requests_total{result="unauthenticated"}', values: "0x10 1+1x30" }
      - { series: 'throughline_auth_failures_total{port="otlp_http",reason="expired"}', values: "0x10 1+1x30" }
      - { series: 'throughline_auth_failures_total{port="pages",reason="missing"}', values: "0x10 1+1x30" }
      - { series: 'throughline_auth_failures_total{port="pages",reason="blocked"}', values: "0x20 1x20" }
    promql_expr_test:
      - expr: count by (alertname, port, reason, result) (ALERTS{alertstate="firing"})
        eval_time: 20m
        exp_samples: []
      - expr: count by (alertname, port, reason, result) (ALERTS{alertstate="firing"})
        eval_time: 22m
        exp_samples:
          - { labels: '{alertname="ThroughlineTokensGuessed",port="pages"}', value: 1 }
      - expr: count by (alertname, port, reason, result) (ALERTS{alertstate="firing"})
        eval_time: 35m
        exp_samples:
          - { labels: '{alertname="ThroughlineCertificateExpired",port="otlp"}', value: 1 }
          - { labels: '{alertname="ThroughlineRequestsRefused",result="unauthenticated"}', value: 1 }
          - { labels: '{alertname="ThroughlineTokensRefused",port="otlp_http",reason="expired"}', value: 1 }
"#;

#[test]
fn refused_senders_and_an_expired_certificate_raise_alerts_and_people_without_a_login_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let alerts = deployed("prometheus/alerts.yaml").display().to_string();
    let file = folder.path().join("tests.yml");
    fs::write(&file, FROM_ZERO.replace("ALERTS]", &format!("{alerts}]"))).unwrap();
    let tested = Command::new("promtool")
        .args(["test", "rules"])
        .arg(file)
        .output()
        .expect(MISSING);
    assert!(tested.status.success(), "{tested:?}");
}

#[test]
fn definitions_with_errors_are_not_exported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.yaml");
    fs::write(&file, ORDERS.replace("objective: 99.5%", "objective: 200%")).unwrap();
    let export = |path: &Path| {
        let output = program()
            .args(["export", "prometheus-rules"])
            .arg(path)
            .output()
            .expect("the program starts");
        let message = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), output.stdout.len(), message)
    };
    let (code, printed, message) = export(&file);
    assert_eq!((code, printed), (Some(1), 0));
    assert!(
        message.contains("200%") && message.contains("orders.yaml"),
        "{message}"
    );
    let (code, _, message) = export(&folder.path().join("none"));
    assert_eq!(code, Some(3));
    assert!(message.contains("none"), "{message}");
}

/// A real Prometheus.
struct Prometheus {
    child: Child,
    url: String,
    _home: TempDir,
}

impl Prometheus {
    /// One that scrapes a service every second.
    fn scraping(service: &Service, flags: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let scraped = service.api.pages.trim_start_matches("http://").to_owned();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{}', '{}']\n\
             scrape_configs: [{{ job_name: throughline, static_configs: [{{ targets: ['{scraped}'] }}] }}]\n",
            deployed("prometheus/alerts.yaml").display(),
            exported(home.path()).display(),
        );
        Self::start(home, &config, flags)
    }

    fn start(home: TempDir, text: &str, flags: &[&str]) -> Self {
        let config = home.path().join("prometheus.yml");
        fs::write(&config, text).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                home.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(MISSING);
        Self {
            child,
            url: format!("http://{address}"),
            _home: home,
        }
    }

    /// `None` while it does not answer.
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{path}", self.url)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let response = client().get(url).send().await.ok()?;
        serde_json::from_str(&response.text().await.ok()?).ok()
    }

    /// The samples of a query by its text; fails if it is refused.
    async fn samples(&self, query: &str) -> Vec<f64> {
        let answer = self.get("query", &[("query", query)]).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer["status"], "success", "`{query}`: {answer}");
        let samples = answer["data"]["result"].as_array().unwrap().iter();
        samples
            .map(|sample| sample["value"][1].as_str().unwrap().parse().unwrap())
            .collect()
    }

    async fn becomes(&self, query: &str, expected: f64) {
        until(query, async || {
            self.get("query", &[("query", query)]).await?;
            (self.samples(query).await == [expected]).then_some(())
        })
        .await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_real_prometheus_runs_every_query_of_the_dashboard_and_every_rule() {
    let database = TestDatabase::create().await;
    let service = Site::on(&database, ORDERS).start().await;
    let prometheus = Prometheus::scraping(&service, &[]);
    let none = "sum(throughline_slo_events_total{slo=\"orders\"})";
    prometheus.becomes(none, 0.0).await;
    // Two samples of the recorded sum, so that its difference is known.
    prometheus
        .becomes("count_over_time(slo:events:sum[1h]) >= bool 2", 1.0)
        .await;
    Delivery::start(&Workload::good(3, 1), &[&service.api.http])
        .finish()
        .await;
    let good = "throughline_slo_events_total{slo=\"orders\",outcome=\"good\",group=\"\"}";
    prometheus.becomes(good, 3.0).await;
    prometheus
        .becomes("slo:events:sum{sloth_slo=\"orders\"}", 3.0)
        .await;
    prometheus.becomes("slo:sli_error:ratio_rate5m", 0.0).await;
    prometheus.becomes("slo:objective:ratio", 0.995).await;
    prometheus
        .becomes("slo:period_error_budget_remaining:ratio", 1.0)
        .await;
    for query in queries(&dashboard()) {
        let query = query
            .replace("$__rate_interval", "1m")
            .replace("$__range", "1h")
            .replace("$slo", "orders");
        prometheus.samples(&query).await;
    }
    let rules = prometheus.get("rules", &[]).await.unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let unhealthy: Vec<&Value> = rules.filter(|rule| rule["health"] != "ok").collect();
    assert!(unhealthy.is_empty(), "{unhealthy:?}");
    let firing = prometheus.get("query", &[("query", "ALERTS{alertstate=\"firing\"}")]);
    let firing = firing.await.unwrap();
    assert_eq!(firing["data"]["result"], serde_json::json!([]));
}

#[tokio::test]
async fn a_real_prometheus_takes_what_is_written_to_it() {
    let home = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(home, "{}", &["--web.enable-remote-write-receiver"]);
    let database = TestDatabase::create().await;
    let service = Site::on(&database, ORDERS)
        .flag(
            "--remote-write-url",
            &format!("{}/api/v1/write", prometheus.url),
        )
        .flag("--remote-write-interval", "1s")
        .start()
        .await;
    Delivery::start(&Workload::good(3, 1), &[&service.api.http])
        .finish()
        .await;
    let port = service.api.pages.rsplit(':').next().unwrap();
    let of = format!("job=\"throughline\",instance=~\".+:{port}\"");
    let good = format!("throughline_slo_events_total{{{of},outcome=\"good\",group=\"\"}}");
    prometheus.becomes(&good, 3.0).await;
    let durations = "throughline_slo_duration_seconds_bucket";
    let all = format!("{durations}{{{of},outcome=\"good\",le=\"+Inf\"}}");
    prometheus.becomes(&all, 3.0).await;
    prometheus
        .becomes(&format!("count(throughline_build_info{{{of}}})"), 1.0)
        .await;
}

#[tokio::test]
async fn a_real_prometheus_takes_durations_with_fixed_limits_and_as_native_histograms() {
    let database = TestDatabase::create().await;
    let service = Site::on(&database, ORDERS).start().await;
    let plain = Prometheus::scraping(&service, &[]);
    let native = Prometheus::scraping(&service, &["--enable-feature=native-histograms"]);
    let durations = "throughline_slo_duration_seconds";
    plain
        .becomes(&format!("sum({durations}_count{{outcome=\"good\"}})"), 0.0)
        .await;
    native
        .becomes(
            &format!("histogram_count({durations}{{outcome=\"good\"}})"),
            0.0,
        )
        .await;
    Delivery::start(&Workload::of(5, 1), &[&service.api.http])
        .finish()
        .await;
    plain
        .becomes(&format!("{durations}_count{{outcome=\"good\"}}"), 1.0)
        .await;
    plain
        .becomes(
            &format!("{durations}_bucket{{outcome=\"good\",le=\"+Inf\"}}"),
            1.0,
        )
        .await;
    native
        .becomes(
            &format!("histogram_count({durations}{{outcome=\"good\"}})"),
            1.0,
        )
        .await;
    // What else is scraped in the same format is as it is in the text.
    let both = "throughline_slo_events_total{outcome=\"good\",group=\"\"}";
    native.becomes(both, 1.0).await;
    let sum = "throughline_slo_duration_seconds_sum{outcome=\"good\"}";
    assert_eq!(plain.samples(sum).await, [10.0]);
    let sum = format!("histogram_sum({durations}{{outcome=\"good\"}})");
    assert_eq!(native.samples(&sum).await, [10.0]);
    let median = format!("histogram_quantile(0.5, {durations}{{outcome=\"good\"}})");
    let [median] = native.samples(&median).await[..] else {
        panic!("no median");
    };
    assert!((9.5..=11.4).contains(&median), "{median} s");
}
