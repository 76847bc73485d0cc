//! Definitions that change while the service runs.

use nix::sys::signal::Signal;

use crate::support::{
    api::{Api, until},
    database::TestDatabase,
    service::{Site, program},
    workload::ORDERS,
};

const LOADED: &str = "throughline_definitions_last_reload_successful";

async fn loaded(api: &Api, value: f64) {
    until("the definitions to be looked at", async || {
        (api.metric(LOADED).await == Some(value)).then_some(())
    })
    .await;
}

/// Exit code, and what was written.
fn definitions(command: &str, api: &Api) -> (Option<i32>, String) {
    let output = program()
        .env("THROUGHLINE_SERVER", &api.pages)
        .args(["definitions", command])
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

async fn declared(api: &Api) -> usize {
    let shown = api.json("/api/v1/definitions").await;
    shown["slos"].as_array().unwrap().len()
}

#[tokio::test]
async fn s47_files_that_declare_nothing_any_more_are_refused_until_that_is_confirmed() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    loaded(&service.api, 1.0).await;
    let (code, text) = definitions("clear", &service.api);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("declare SLOs"), "{text}");

    site.define("");
    loaded(&service.api, 0.0).await;
    assert_eq!(declared(&service.api).await, 1);
    let ready = service.api.json("/readyz").await;
    assert_eq!(
        (&ready["ready"], &ready["reasons"]),
        (&true.into(), &serde_json::json!([]))
    );
    let warnings = ready["warnings"].to_string();
    assert!(
        warnings.contains("1 SLO is active") && warnings.contains("definitions clear"),
        "{warnings}"
    );

    // As after a restart while the volume is away.
    service.kill();
    let service = site.start().await;
    assert_eq!(declared(&service.api).await, 1);
    assert_eq!(service.api.metric(LOADED).await, Some(0.0));

    let (code, text) = definitions("clear", &service.api);
    assert_eq!(code, Some(0), "{text}");
    loaded(&service.api, 1.0).await;
    assert_eq!(declared(&service.api).await, 0);
    service.kill();
    let service = site.start().await;
    assert_eq!(service.api.metric(LOADED).await, Some(1.0));
    assert_eq!(declared(&service.api).await, 0);
}

#[tokio::test]
async fn broken_definitions_leave_the_old_ones_in_force_until_they_are_mended() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let mut service = site.start().await;
    loaded(&service.api, 1.0).await;

    site.define(&ORDERS.replace("within: 1m", "within: soon"));
    loaded(&service.api, 0.0).await;
    let shown = service.api.json("/api/v1/definitions").await;
    let problems = shown["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems[0].as_str().unwrap();
    assert!(problem.starts_with("orders.yaml:14:"), "{problem}");
    assert_eq!(
        shown["slos"][0]["name"], "orders",
        "the old ones are in force"
    );
    assert_eq!(service.api.status("/readyz").await, Some(200));

    site.define(&ORDERS.replace("objective: 99.5%", "objective: 99%"));
    service.signal(Signal::SIGHUP);
    loaded(&service.api, 1.0).await;
    let shown = service.api.json("/api/v1/definitions").await;
    assert_eq!(shown["problems"], serde_json::json!([]));
    assert_eq!(shown["slos"][0]["objective"], "99 %");
    service.ready().await;
}

#[tokio::test]
async fn a_service_that_starts_with_broken_definitions_goes_on_with_the_last_good_ones() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    site.start().await.kill();
    site.define("apiVersion: throughline/v1\nkind: SLI\n");
    let service = site.spawn();
    until("an answer", async || service.api.status("/healthz").await).await;
    let shown = service.api.json("/api/v1/definitions").await;
    assert_eq!(shown["slos"][0]["name"], "orders");
    assert_eq!(service.api.metric(LOADED).await, Some(0.0));
    assert!(
        service.said().contains("orders.yaml:2:"),
        "{}",
        service.said()
    );
}

async fn has_objective(api: &Api, objective: &str) {
    until("the definitions to be in force", async || {
        let shown = api.json("/api/v1/definitions").await;
        (shown["slos"][0]["objective"] == objective).then_some(())
    })
    .await;
}

#[tokio::test]
async fn definitions_of_a_mounted_config_map_are_in_force_once_the_kubelet_has_replaced_them() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, "");
    site.mount(ORDERS);
    let service = site.start().await;
    has_objective(&service.api, "99.5 %").await;
    site.mount(&ORDERS.replace("objective: 99.5%", "objective: 99%"));
    has_objective(&service.api, "99 %").await;
    site.mount(&ORDERS.replace("objective: 99.5%", "objective: 98%"));
    has_objective(&service.api, "98 %").await;
    assert_eq!(service.api.metric(LOADED).await, Some(1.0));
}

#[tokio::test]
async fn replicas_work_by_one_set_which_changes_when_most_have_it_or_somebody_applies_it() {
    let database = TestDatabase::create().await;
    let sites = [(); 2].map(|()| Site::on(&database, ORDERS));
    let (one, other) = tokio::join!(sites[0].start(), sites[1].start());
    let with = |objective: &str| ORDERS.replace("objective: 99.5%", objective);

    sites[1].define(&with("objective: 99%"));
    loaded(&other.api, 0.0).await;
    let shown = other.api.json("/api/v1/definitions").await;
    let problem = shown["problems"][0].as_str().unwrap();
    assert!(problem.contains("1 of 2 replicas"), "{problem}");
    has_objective(&other.api, "99.5 %").await;
    let (code, text) = definitions("apply", &other.api);
    assert_eq!(code, Some(0), "{text}");
    for replica in [&one, &other] {
        has_objective(&replica.api, "99 %").await;
    }
    // The files of the first are old now, and do not come back.
    loaded(&one.api, 0.0).await;
    let (code, text) = definitions("apply", &one.api);
    assert_eq!(code, Some(1), "{text}");

    for site in &sites {
        site.define(&with("objective: 98%"));
    }
    for replica in [&one, &other] {
        has_objective(&replica.api, "98 %").await;
        loaded(&replica.api, 1.0).await;
    }
}

/// Names of the SLOs in force, with the files that declare them.
async fn sources(api: &Api) -> Vec<(String, String)> {
    let shown = api.json("/api/v1/definitions").await;
    let slos = shown["slos"].as_array().unwrap().iter();
    let text = |slo: &serde_json::Value, field| slo[field].as_str().unwrap().to_owned();
    slos.map(|slo| (text(slo, "name"), text(slo, "file")))
        .collect()
}

async fn has_sources(api: &Api, expected: &[(&str, &str)]) {
    until("the definitions to be in force", async || {
        let found = sources(api).await;
        let found = found.iter().map(|(name, file)| (&**name, &**file));
        found.eq(expected.iter().copied()).then_some(())
    })
    .await;
}

async fn write(api: &Api, name: &str, text: &str) -> serde_json::Value {
    let url = format!("{}/api/v1/definitions/{name}", api.pages);
    let request = api
        .client
        .put(url)
        .header("content-type", "application/yaml");
    let answer = request.body(text.to_owned()).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn what_the_api_writes_is_in_force_on_all_replicas_and_files_take_precedence() {
    let database = TestDatabase::create().await;
    let sites = [(); 2].map(|()| Site::on(&database, ORDERS));
    let (one, other) = tokio::join!(sites[0].start(), sites[1].start());
    let written = ORDERS.replace("name: orders", "name: refunds");
    write(&one.api, "refunds", &written).await;
    let both = [("orders", "orders.yaml"), ("refunds", "api:refunds")];
    for replica in [&one, &other] {
        has_sources(&replica.api, &both).await;
        assert_eq!(replica.api.metric(LOADED).await, Some(1.0));
    }

    // A rollout that has begun goes on: what waits is not given up.
    sites[1].define(&format!("{ORDERS}---\n{written}"));
    loaded(&other.api, 0.0).await;
    let extra = ORDERS.replace("name: orders", "name: extra");
    write(&one.api, "extra", &extra).await;
    let three = [("extra", "api:extra"), both[0], both[1]];
    has_sources(&other.api, &three).await;
    sites[0].define(&format!("{ORDERS}---\n{written}"));
    let of_files = [three[0], both[0], ("refunds", "orders.yaml")];
    for replica in [&one, &other] {
        has_sources(&replica.api, &of_files).await;
        loaded(&replica.api, 1.0).await;
    }
    let overridden = one.api.json("/api/v1/definitions/refunds").await;
    assert_eq!(overridden["in_force"], false);

    for site in &sites {
        site.define(ORDERS);
    }
    has_sources(&one.api, &three).await;
    one.kill();
    let one = sites[0].start().await;
    has_sources(&one.api, &three).await;
}

#[tokio::test]
async fn files_that_what_the_api_wrote_cannot_do_without_are_refused_until_that_is_deleted() {
    let policy = "apiVersion: throughline/v1\nkind: AlertPolicy\nmetadata: { name: calm }\nspec:\n  \
                  rules:\n    - { name: slow, severity: ticket, burnRate: { spend: 50%, long: 1d, short: 2h } }\n";
    let database = TestDatabase::create().await;
    let site = Site::on(&database, &format!("{ORDERS}---\n{policy}"));
    let service = site.start().await;
    let written = ORDERS.replace("name: orders", "name: refunds");
    let written = written.replace("objective:", "alertPolicies: [calm]\n  objective:");
    write(&service.api, "refunds", &written).await;
    site.define(ORDERS);
    loaded(&service.api, 0.0).await;
    let shown = service.api.json("/api/v1/definitions").await;
    let problem = shown["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("api:refunds:"), "{problem}");

    let url = format!("{}/api/v1/definitions/refunds", service.api.pages);
    let deleted = service.api.client.delete(url).send().await.unwrap();
    assert!(deleted.status().is_success(), "{deleted:?}");
    loaded(&service.api, 1.0).await;
    has_sources(&service.api, &[("orders", "orders.yaml")]).await;
}

/// Both SLOs of this text, of which the first belongs to the team `checkout`.
pub(crate) fn two_teams() -> String {
    let of_team = |name: &str, team: &str| {
        let labels = format!("{{ name: {name}, labels: {{ team: {team} }} }}");
        ORDERS.replace("{ name: orders }", &labels)
    };
    format!(
        "{}---\n{}",
        of_team("orders", "checkout"),
        of_team("refunds", "payments")
    )
}

#[tokio::test]
async fn an_installation_judges_the_slos_that_its_selector_matches_and_checks_all() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, &two_teams()).flag("--slo-selector", "team=checkout");
    let service = site.start().await;
    has_sources(&service.api, &[("orders", "orders.yaml")]).await;
    let shown = service.api.json("/api/v1/definitions").await;
    assert_eq!(shown["slo_selector"], "team=checkout");
    assert_eq!(shown["other_slos"], serde_json::json!(["refunds"]));
    let overview = service.api.json("/api/v1/slos").await;
    assert_eq!(overview["other_slos"], serde_json::json!(["refunds"]));
    let said = service.said();
    assert!(said.contains("leaves the other SLOs"), "{said}");

    site.define(&two_teams().replace("team: payments } }", "team: payments } }\nwrong: true"));
    loaded(&service.api, 0.0).await;
    site.define(&two_teams());
    loaded(&service.api, 1.0).await;
    let extra = ORDERS.replace("name: orders", "name: extra");
    let answer = write(&service.api, "extra", &extra).await;
    let warnings = answer["warnings"].to_string();
    assert!(
        warnings.contains("left to other installations"),
        "{warnings}"
    );
}

#[tokio::test]
async fn an_slo_that_a_changed_selector_leaves_to_others_is_like_one_whose_file_was_removed() {
    let database = TestDatabase::create().await;
    let with = |selector| Site::on(&database, &two_teams()).flag("--slo-selector", selector);
    let site = with("team");
    let service = site.start().await;
    let both = [("orders", "orders.yaml"), ("refunds", "orders.yaml")];
    has_sources(&service.api, &both).await;
    service.kill();

    let site = with("team=payments");
    let service = site.start().await;
    has_sources(&service.api, &both[1..]).await;
    let gone = service.api.json("/api/v1/slos/orders").await;
    let text = gone.to_string();
    assert!(
        text.contains("not declared any more") && text.contains("--slo-selector"),
        "{text}"
    );
    service.kill();

    // One that matches nothing any more may be a mistake, so it is refused like an empty folder.
    let site = with("team=nobody");
    let service = site.start().await;
    has_sources(&service.api, &both[1..]).await;
    let warnings = service.api.json("/readyz").await["warnings"].to_string();
    assert!(
        warnings.contains("no SLO matches `--slo-selector team=nobody`"),
        "{warnings}"
    );
}

#[tokio::test]
async fn a_selector_that_cannot_be_read_is_refused_at_the_start() {
    let output = program()
        .args(["serve", "--slo-selector", "team of (a)"])
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("`team of (a)` is no requirement: write `team=checkout`"),
        "{text}"
    );
}
