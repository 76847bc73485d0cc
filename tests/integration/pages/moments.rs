//! `?at=`: pages of an earlier moment show what was known then; `?tz=`: times as the reader wants them.

use throughline::{
    domain::{alerting::status::SloState, model::time::Timestamp, slo::definition::DefinitionFile},
    store::Progress,
    web::{WebState, router},
};

use super::{client::get_with, fixture, groups::words};
use crate::support::app::{HOUR, MINUTE, ORDERS, TestApp, after, good, timeouts};

/// Two days of good orders; from 10:00 on nothing finishes for ten minutes.
async fn stalled() -> TestApp {
    let app = TestApp::new().slo(ORDERS).history(HOUR * 48, good(10));
    let app = app.at("10:00").await;
    in_force(&app, ORDERS, after(0) - HOUR).await;
    app.ticks(0..1).await;
    app.stall().await;
    app.ticks(1..=30).await;
    app
}

async fn in_force(app: &TestApp, text: &str, from: Timestamp) {
    let file = DefinitionFile {
        path: "orders.yaml".to_owned(),
        text: text.trim_start().to_owned(),
    };
    let mut tx = app.store.begin("activate definitions").await.unwrap();
    tx.put_definitions_in_force(&[file], from).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_page_of_an_earlier_moment_shows_the_state_that_was_known_then() {
    let app = stalled().await;
    let then = app.api("/slos/orders?at=2026-11-22T10:00:30Z").await;
    assert_eq!(then["state"], "ok");
    assert_eq!(then["evaluated_at"], "2026-11-22T10:00:00Z");
    assert_eq!(then["as_of"], "2026-11-22T10:00:30Z");
    assert_eq!(then["state_now"], "paging");
    assert_eq!(then["evaluated_counts"]["timeout"], 0);
    assert_eq!(then["transitions"].as_array().unwrap().len(), 0);
    let now = app.api("/slos/orders").await;
    assert_eq!(now["state"], "paging");
    assert_eq!(now["is_past"], serde_json::Value::Null);
    let page = app.page("/slos/orders?at=2026-11-22T10:00Z").await;
    let said = words(&page.body);
    assert!(
        said.contains(
            "You see 10:00 UTC. State and numbers are as evaluated at 10:00:00. Now: Paging."
        ),
        "{said}"
    );
    assert!(
        said.contains("Only the number of past workflows in flight is stored."),
        "{said}"
    );
    assert!(!page.body.contains("http-equiv=\"refresh\""));
    assert!(
        page.body
            .contains("href=\"/slos/orders?range=6h\">Go to now")
    );
}

#[tokio::test]
async fn the_overview_leads_on_to_the_same_moment() {
    let app = stalled().await;
    let page = app.page("/?at=2026-11-22T10:00Z").await;
    assert!(
        words(&page.body).contains("You see 10:00 UTC."),
        "{}",
        page.body
    );
    let link = "/slos/orders?at=2026-11-22T10:00:00.000Z";
    assert!(page.body.contains(link), "{}", page.body);
    let then = app.api("/slos?at=2026-11-22T10:00Z").await;
    assert_eq!(then["slos"][0]["state"], "ok");
    let now = app.api("/slos").await;
    assert_eq!(now["slos"][0]["state"], "paging");
}

#[tokio::test]
async fn a_link_to_this_moment_shows_later_what_it_shows_now() {
    let app = stalled().await;
    let now = app.page("/slos/orders").await;
    let link = regex::Regex::new("href=\"([^\"]*)\">Link to this moment").unwrap();
    let link = link.captures(&now.body).unwrap()[1].replace("&#38;", "&");
    app.advance(MINUTE);
    let before = app.page(&link).await;
    assert_eq!(before.status, 200, "{}", before.body);
    in_force(&app, &ORDERS.replace("99%", "98%"), after(31)).await;
    app.reads(|catalog| *catalog = crate::support::app::catalog(&ORDERS.replace("99%", "98%")));
    app.ticks(32..=40).await;
    let later = app.page(&link).await;
    let numbers = |page: &str| {
        let (_, numbers) = page.split_once("class=\"kpi\"").unwrap();
        words(numbers.split_once("id=\"flow\"").unwrap().0)
    };
    assert_eq!(numbers(&before.body), numbers(&later.body));
    assert!(later.body.contains("objective: 99%"));
    assert!(
        app.page("/slos/orders")
            .await
            .body
            .contains("objective: 98%")
    );
}

#[tokio::test]
async fn what_is_no_earlier_moment_is_refused_and_one_before_all_says_so() {
    let app = stalled().await;
    for (at, why) in [
        ("yesterday", "which is no time with a zone"),
        ("2026-11-22T10:00", "which is no time with a zone"),
        ("2026-11-22T11:00Z", "which is in the future"),
    ] {
        for path in [
            "/slos/orders",
            "/",
            "/api/v1/slos",
            "/slos/orders/durations",
        ] {
            let answer = app.page(&format!("{path}?at={at}")).await;
            assert_eq!(answer.status, 400, "{path} {at}");
            assert!(answer.body.contains(why), "{}", answer.body);
        }
    }
    let long_ago = app.page("/slos/orders?at=2026-11-01T00:00Z").await;
    assert_eq!(long_ago.status, 200);
    let said = words(&long_ago.body);
    assert!(said.contains("No earlier evaluation is stored."), "{said}");
    assert!(
        said.contains("The definitions of that time are not stored"),
        "{said}"
    );
}

#[tokio::test]
async fn evaluations_are_kept_at_each_change_of_state_each_minute_while_it_burns_and_else_each_hour()
 {
    let app = TestApp::new().slo(ORDERS).history(HOUR * 48, good(10));
    let app = app.at("10:00").await;
    app.fill([0, 70], good(10)).await;
    app.ticks(0..=70).await;
    let kept = "select count(*) from past_statuses";
    assert_eq!(app.number(kept).await, 2);
    app.fill([70, 80], timeouts(10)).await;
    app.ticks(71..=80).await;
    let burning = app.number("select count(*) from past_statuses where status ->> 'state' <> 'ok'");
    let burning = burning.await;
    assert!((5..=10).contains(&burning), "{burning}");
    assert_eq!(app.number(kept).await, 2 + burning);
    let id = app.only();
    let mut tx = app.store.begin("read a moment").await.unwrap();
    let then = tx.statuses_at(&[id], app.minute(65)).await.unwrap();
    assert_eq!(then[&id].state, SloState::Ok);
    assert_eq!(then[&id].evaluated_at, app.minute(60));
    let done = tx.forget_past_statuses(app.minute(60)).await.unwrap();
    assert_eq!(done, Progress::Done);
    tx.commit().await.unwrap();
    assert_eq!(app.number(kept).await, 1 + burning);
}

#[tokio::test]
async fn times_are_in_the_zone_of_the_address_else_the_cookie_else_the_setting() {
    let shop = fixture::four_weeks().await;
    let cookie = |value: &'static str| [("cookie", value)];
    let data_to = async |path: &str, headers: &[(&str, &str)]| {
        let page = get_with(&shop.router, path, headers).await;
        let text = words(&page.body);
        let (_, rest) = text.split_once("Data to ").unwrap();
        rest.split(" evaluated").next().unwrap().trim().to_owned()
    };
    let path = "/slos/orders-on-time";
    assert_eq!(data_to(path, &[]).await, "10:08:02 UTC");
    let in_berlin = cookie("a=b; tz=Europe/Berlin");
    assert_eq!(data_to(path, &in_berlin).await, "11:08:02 CET");
    let asked = format!("{path}?tz=Asia/Kolkata");
    assert_eq!(data_to(&asked, &in_berlin).await, "15:38:02 IST");
    let unknown = format!("{path}?tz=Middle-earth");
    assert_eq!(data_to(&unknown, &in_berlin).await, "11:08:02 CET");
    let set = router(WebState {
        time_zone: chrono_tz::Tz::America__New_York,
        ..shop.state.clone()
    });
    let page = get_with(&set, path, &[]).await;
    assert!(page.body.contains("Times in America/New_York"));
    assert!(words(&page.body).contains("Data to 05:08:02 EST"));
}

#[tokio::test]
async fn the_api_has_utc_whatever_the_reader_wants() {
    let shop = fixture::four_weeks().await;
    let path = "/api/v1/slos/orders-on-time";
    let plain = get_with(&shop.router, path, &[]).await.body;
    let with_cookie = get_with(&shop.router, path, &[("cookie", "tz=Asia/Kolkata")])
        .await
        .body;
    assert_eq!(plain, with_cookie);
}

#[tokio::test]
async fn a_browser_keeps_the_zone_that_was_chosen() {
    let shop = fixture::four_weeks().await;
    let kept = get_with(&shop.router, "/time-zone?tz=Europe/Berlin", &[]).await;
    assert_eq!(kept.status, 200);
    assert_eq!(
        kept.header("set-cookie"),
        "tz=Europe/Berlin; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly"
    );
    assert!(
        words(&kept.body).contains("Pages show times in Europe/Berlin , as chosen in this browser")
    );
    let refused = get_with(&shop.router, "/time-zone?tz=Middle-earth", &[]).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("Middle-earth"));
    assert_eq!(refused.header("set-cookie"), "");
}
