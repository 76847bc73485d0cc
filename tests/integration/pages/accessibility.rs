//! The pages for everybody: valid HTML, and nothing that axe-core finds in a real browser, light and
//! dark, wide and narrow.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use throughline::{
    domain::{
        notify::signed_links::signing::{Purpose, SigningKey},
        slo::Catalog,
    },
    web::{WebState, router},
};
use tokio::task::JoinSet;

use super::{
    access::{self, oidc},
    browser::{answers, browser, path_of, serve},
    client::{get, post_json},
    discover, fixture, workflow,
};

const PAGES: [&str; 27] = [
    "/?at=2026-11-22T09:00Z",
    "/slos/orders-on-time?at=2026-11-22T09:00Z&tz=Asia/Kolkata",
    "/time-zone",
    "/slos/orders-on-time/durations?range=1h",
    "/slos/stock-synced/durations",
    "/discover",
    "/discover/templates/kafka",
    "/",
    "/explain?slo=orders-on-time",
    "/slos/orders-on-time/explain",
    "/alerts",
    "/silences",
    "/silences/new",
    "/targets",
    "/definitions",
    "/docs/definitions",
    "/docs/selectors",
    "/docs/metrics",
    "/docs/settings",
    "/docs/api",
    "/deliveries",
    "/events",
    "/slos/orders-on-time",
    "/slos/refunds-settled?range=28d",
    "/slos/fraud-checked",
    "/slos/webhooks-delivered",
    "/slos/orders-in-time",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_valid_and_open_to_everybody() {
    let mut servers = JoinSet::new();
    let shop = fixture::four_weeks().await;
    super::deliveries::give_one_up(&mut shop.database.connect().await).await;
    shop.catalog.send_modify(|catalog| {
        let mut renamed: Catalog = (**catalog).clone();
        let slo = renamed.slos.get_mut(&"refunds-settled".parse().unwrap());
        Arc::make_mut(slo.unwrap()).display_name = "RefundsAreSettled".repeat(12);
        *catalog = Arc::new(renamed);
    });
    let silence = serde_json::json!({
        "matchers": ["slo=refunds-settled"], "duration": "200h", "reason": "upgrade of the bank",
    });
    post_json(&shop.router, "/api/v1/silences", &silence).await;
    let alerts = get(&shop.router, "/api/v1/alerts").await.json();
    let incident = alerts["firing"][0]["incident"].as_str().unwrap();
    let token = SigningKey::new([7; 32]).token(
        Purpose::Silence,
        incident,
        fixture::now() + Duration::from_hours(1),
    );
    let others = [
        workflow::path(),
        format!("/incidents/{incident}"),
        format!("/actions/silence/{incident}?token={token}"),
    ];
    let full = serve(&mut servers, &shop).await;
    let mut new_shop = fixture::empty(Catalog::default()).await;
    new_shop.router = router(WebState {
        shapes: discover::sampled(fixture::now()),
        ..new_shop.state.clone()
    });
    let empty = serve(&mut servers, &new_shop).await;
    new_shop.router = oidc::router(&new_shop, "https://id.example", None);
    let closed = serve(&mut servers, &new_shop).await;
    new_shop.router = access::as_admin(&new_shop).await;
    let guarded = serve(&mut servers, &new_shop).await;
    let addresses = PAGES
        .iter()
        .copied()
        .chain(others.iter().map(String::as_str))
        .map(|path| format!("http://{full}{path}"))
        .chain(["/", "/alerts", "/discover"].map(|path| format!("http://{empty}{path}")))
        .chain([format!("http://{closed}/login")])
        .chain([format!("http://{guarded}/tokens")]);
    assert_valid(addresses.collect()).await;
}

pub(super) async fn assert_valid(addresses: Vec<String>) {
    let mut command = Command::new("node");
    command
        .arg("check.mjs")
        .arg(path_of(browser()))
        .args(addresses)
        .current_dir(checker());
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        status.success() && stdout.is_empty(),
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}

/// The checker with what it needs, outside of the source tree.
pub(super) fn checker() -> PathBuf {
    assert!(
        answers("node") && answers("npm"),
        "no node with npm to check the pages with: install it with `.dev/setup tests`"
    );
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pages");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/pages");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = "package-lock.json";
    let installed = std::fs::read(folder.join(lock)).ok();
    let is_installed = installed == std::fs::read(source.join(lock)).ok()
        && folder.join("node_modules/.package-lock.json").exists();
    for file in ["package.json", lock, "check.mjs", "fold.mjs", "follow.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    if !is_installed {
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&npm.stderr);
        assert!(npm.status.success(), "cannot install the checker: {said}");
    }
    folder
}
