//! What is seen of a page before anybody scrolls: of an incident on a phone, of an SLO without data.

use std::process::{Command, Output};

use tokio::task::JoinSet;

use super::{
    accessibility::checker,
    browser::{browser, path_of, serve},
    client::get,
    fixture::{self, Shop},
};

/// Who is affected, since when, how many are stuck, where, which trace, what changed, who has it, what to
/// do.
const ANSWERS: [&str; 8] = [
    "#affected",
    "#since",
    "#stuck",
    "#where",
    "#trace",
    "#changed",
    "#owner",
    "#do",
];

#[tokio::test(flavor = "multi_thread")]
async fn p13_an_incident_on_a_phone_answers_above_the_fold() {
    let shop = fixture::four_weeks().await;
    let alerts = get(&shop.router, "/api/v1/alerts").await.json();
    let incident = alerts["firing"][0]["incident"].as_str().unwrap();
    let path = format!("/incidents/{incident}");
    assert_eq!(below(&shop, &path, ["390", "844"], &ANSWERS).await, "");
}

/// All cards of the page.
const CARDS: [&str; 12] = [
    "#budget",
    "#rules",
    "#burn",
    "#reasons",
    "#stages",
    "#worst",
    "#common",
    "#customers",
    "#flight",
    "#log",
    "#flow",
    "#definition",
];

#[tokio::test(flavor = "multi_thread")]
async fn p18_an_slo_without_data_is_no_page_of_empty_boxes() {
    let shop = fixture::four_weeks().await;
    let path = "/slos/fraud-checked";
    assert_eq!(below(&shop, path, ["1440", "1400"], &CARDS).await, "");
}

/// What of `selectors` is not whole on a screen of this size before anybody scrolls.
async fn below(shop: &Shop, path: &str, size: [&str; 2], selectors: &[&str]) -> String {
    let mut servers = JoinSet::new();
    let address = serve(&mut servers, shop).await;
    let mut command = Command::new("node");
    command
        .arg("fold.mjs")
        .arg(path_of(browser()))
        .arg(format!("http://{address}{path}"))
        .args(size)
        .args(selectors)
        .current_dir(checker());
    let output = tokio::task::spawn_blocking(move || command.output());
    let Output {
        status,
        stdout,
        stderr,
    } = output.await.unwrap().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}
