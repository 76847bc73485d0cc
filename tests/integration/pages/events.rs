//! Deploys, flags and notes: on their page, in the API, on the charts.

use std::time::Duration;

use sqlx::PgConnection;

use super::{client::get, fixture};

/// One of the SLO's own service, one of another, one of none.
pub(super) async fn fill(connection: &mut PgConnection) {
    for (minutes, kind, title, service, url) in [
        (
            46,
            "deploy",
            "checkout 2.41.0",
            Some("checkout"),
            Some("https://releases.example/42"),
        ),
        (60, "deploy", "search 7", Some("search"), None),
        (2_000, "note", "<b>Sale</b> begins", None, None),
    ] {
        let at = fixture::now() - Duration::from_mins(minutes);
        sqlx::query(
            "insert into happenings (id, kind, at, title, service, version, url, labels, told_by, recorded_at)
             values (gen_random_uuid(), $1, $2, $3, $4, '2.41.0', $5, '{\"env\": \"prod\"}', 'dana', $2)",
        )
        .bind(kind)
        .bind(at.to_chrono())
        .bind(title)
        .bind(service)
        .bind(url)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn what_happened_stands_on_its_page_newest_first() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/events").await;
    assert_eq!(page.status, 200);
    let deploy = page.body.find("checkout 2.41.0").unwrap();
    let older = page.body.find("search 7").unwrap();
    assert!(deploy < older, "{}", page.body);
    for text in [
        r#"href="https://releases.example/42""#,
        "dana",
        "env=prod",
        "&#60;b&#62;Sale",
    ] {
        assert!(page.body.contains(text), "no `{text}`: {}", page.body);
    }
    let twin = get(&shop.router, "/api/v1/events").await.json();
    let titles = twin["events"].as_array().unwrap().iter();
    let titles: Vec<&str> = titles
        .map(|event| event["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        ["checkout 2.41.0", "search 7", "<b>Sale</b> begins"]
    );
    let of_one = get(&shop.router, "/api/v1/events?service=search")
        .await
        .json();
    let events = of_one["events"].as_array().unwrap();
    assert_eq!(
        events.len(),
        2,
        "what is of no service concerns all: {of_one}"
    );
}

#[tokio::test]
async fn an_event_is_marked_on_the_charts_of_the_slos_that_it_concerns() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/slos/orders-on-time").await;
    let marks = page.body.matches(r#"<path class="ev" d="M0-9"#).count();
    assert_eq!(
        marks, 3,
        "two in the budget's window, one in the burn's six hours"
    );
    for text in [
        "09:22 deploy checkout 2.41.0</title>",
        "2 events are marked.",
    ] {
        assert!(page.body.contains(text), "no `{text}`");
    }
    assert!(!page.body.contains("search 7"), "of another service");
    let twin = get(&shop.router, "/api/v1/slos/orders-on-time")
        .await
        .json();
    assert_eq!(twin["events"][0]["title"], "checkout 2.41.0");
}
