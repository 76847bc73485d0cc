//! The pages in a real browser: nothing is logged to its console, nothing is fetched from elsewhere.
//!
//! The screenshots in `target/pages` are for people; `.dev/screenshots` takes those of the README from there.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use throughline::domain::slo::Catalog;
use tokio::{net::TcpListener, task::JoinSet};

use super::fixture::{self, Shop};

struct Shot {
    name: &'static str,
    path: &'static str,
    size: (u32, u32),
    theme: Theme,
}

#[derive(Clone, Copy)]
enum Theme {
    Light,
    Dark,
}

const fn shot(name: &'static str, path: &'static str, size: (u32, u32), theme: Theme) -> Shot {
    Shot {
        name,
        path,
        size,
        theme,
    }
}

const SLO: &str = "/slos/orders-on-time";

const SHOTS: [Shot; 14] = [
    shot("readme-light", SLO, (1200, 860), Theme::Light),
    shot("readme-dark", SLO, (1200, 860), Theme::Dark),
    shot("overview-light", "/", (1440, 1150), Theme::Light),
    shot("overview-dark", "/", (1440, 1150), Theme::Dark),
    shot("overview-narrow", "/", (390, 2600), Theme::Light),
    shot("slo-light", SLO, (1440, 2500), Theme::Light),
    shot("slo-dark", SLO, (1440, 2500), Theme::Dark),
    shot("slo-narrow", SLO, (390, 5200), Theme::Dark),
    shot(
        "slo-spent-light",
        "/slos/refunds-settled?range=28d",
        (1440, 1700),
        Theme::Light,
    ),
    shot(
        "slo-empty-narrow",
        "/slos/fraud-checked",
        (320, 3300),
        Theme::Light,
    ),
    shot("alerts-light", "/alerts", (1440, 900), Theme::Light),
    shot("events-narrow", "/events", (390, 1000), Theme::Light),
    shot(
        "definitions-light",
        "/definitions",
        (1440, 900),
        Theme::Light,
    ),
    shot(
        "missing-light",
        "/slos/orders-in-time",
        (1440, 500),
        Theme::Light,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_has_nothing_to_complain_of() {
    let browser = browser();
    let mut servers = JoinSet::new();
    let shop = fixture::four_weeks().await;
    shop.definitions.send_modify(|status| {
        let mut broken = (**status).clone();
        broken.problems = vec![
            "returns.yaml:14:5 unknown field `dead_line`, did you mean `deadline`?".to_owned(),
        ];
        *status = broken.into();
    });
    let full = serve(&mut servers, &shop).await;
    for shot in &SHOTS {
        look(browser, full, shot).await;
    }
    let empty_shop = fixture::empty(Catalog::default()).await;
    let empty = serve(&mut servers, &empty_shop).await;
    let first = shot("first-run-light", "/", (1440, 1500), Theme::Light);
    look(browser, empty, &first).await;
}

pub(super) async fn serve(servers: &mut JoinSet<()>, shop: &Shop) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = shop.router.clone();
    servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn look(browser: &'static str, server: SocketAddr, shot: &Shot) {
    let profile = tempfile::tempdir().unwrap();
    let picture = pictures().join(format!("{}.png", shot.name));
    let mut command = Command::new(browser);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args(["--enable-logging=stderr", "--virtual-time-budget=1000"])
        // Whatever is not this service cannot even be resolved, and would be complained of.
        .arg("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
        .arg(format!(
            "--blink-settings=preferredColorScheme={}",
            match shot.theme {
                Theme::Dark => 0,
                Theme::Light => 1,
            }
        ))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},{}", shot.size.0, shot.size.1))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("http://{server}{}", shot.path));
    let Output { stderr, status, .. } = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let log = String::from_utf8_lossy(&stderr);
    let is_expected = |line: &str| shot.name.starts_with("missing") && line.contains("404");
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("CONSOLE") && !is_expected(line))
        .collect();
    assert!(complaints.is_empty(), "{}: {complaints:#?}", shot.name);
    assert!(status.success() && picture.exists(), "{}: {log}", shot.name);
}

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The places where `.dev/setup` looks.
pub(super) fn browser() -> &'static str {
    [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    ]
    .into_iter()
    .find(|name| answers(name))
    .expect("no Chromium or Chrome to look at the pages with: install it with `.dev/setup tests`")
}

/// The whole path of a program, for who does not search for it.
pub(super) fn path_of(program: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| program.into())
}

/// Whether there is such a program.
pub(super) fn answers(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}
