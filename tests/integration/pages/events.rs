//! Deploys, flags and notes: on their page, in the API, on the charts.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;

use super::{
    client::{Answer, get, post_json, post_with},
    fixture::{self, Shop},
};

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
            "insert into change_events (id, kind, at, title, service, version, url, labels, reported_by, recorded_at)
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
    let json_view = get(&shop.router, "/api/v1/events").await.json();
    let titles = json_view["events"].as_array().unwrap().iter();
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
async fn the_trace_of_a_workflow_can_be_opened() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/slos/orders-on-time").await;
    let json_view = get(&shop.router, "/api/v1/slos/orders-on-time")
        .await
        .json();
    let link = &json_view["worst_workflows"][0]["links"][0];
    assert_eq!(link["name"], "Jaeger");
    let url = link["url"].as_str().unwrap();
    assert!(page.body.contains(&format!("href=\"{url}\"")), "{url}");
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
    let json_view = get(&shop.router, "/api/v1/slos/orders-on-time")
        .await
        .json();
    assert_eq!(json_view["events"][0]["title"], "checkout 2.41.0");
}

async fn report(shop: &Shop, body: serde_json::Value) -> Answer {
    post_json(&shop.router, "/api/v1/events", &body).await
}

#[tokio::test]
async fn a_pipeline_tells_of_a_deploy_in_one_request() {
    let shop = fixture::empty(fixture::catalog()).await;
    let deploy = json!({ "kind": "deploy", "service": "shop", "version": "2.41.0" });
    let answer = report(&shop, deploy).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.json()["title"], "shop 2.41.0");
    assert_eq!(answer.json()["at"], fixture::NOW);
    let json_view = get(&shop.router, "/api/v1/events").await.json();
    assert_eq!(json_view["events"], json!([answer.json()]));
    for (body, error) in [
        (json!({ "kind": "rollout" }), "not a kind of event"),
        (json!({ "kind": "note" }), "has no text"),
        (
            json!({ "kind": "note", "titel": "x" }),
            "unknown field `titel`",
        ),
    ] {
        let refused = report(&shop, body).await;
        assert!((400..500).contains(&refused.status), "{}", refused.body);
        assert!(refused.body.contains(error), "{}", refused.body);
    }
}

#[tokio::test]
async fn a_deploy_that_is_told_again_under_its_key_is_one_deploy() {
    let shop = fixture::empty(fixture::catalog()).await;
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "build-42"),
        ("x-forwarded-user", "ci"),
    ];
    let deploy = json!({ "kind": "deploy", "version": "42" }).to_string();
    let tell = || post_with(&shop.router, "/api/v1/events", &headers, &deploy);
    let (first, again) = (tell().await, tell().await);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    for answer in [&first, &again] {
        let policy = "\"change-events\";q=1000;w=3600";
        assert_eq!(answer.header("ratelimit-policy"), policy);
        assert_eq!(answer.header("ratelimit"), "\"change-events\";r=999;t=3600");
    }
    assert_eq!(first.json()["reported_by"], "ci");
    let json_view = get(&shop.router, "/api/v1/events").await.json();
    assert_eq!(json_view["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn events_are_bounded_by_the_hour_and_in_time() {
    let shop = fixture::empty(fixture::catalog()).await;
    let mut connection = shop.database.connect().await;
    sqlx::query(
        "insert into change_events (id, kind, at, title, recorded_at)
        select gen_random_uuid(), 'note', $1::timestamptz - n * interval '1 day', 'n', $1
        from generate_series(1, 1000) n",
    )
    .bind(fixture::now().to_chrono())
    .execute(&mut connection)
    .await
    .unwrap();
    let note = json!({ "kind": "note", "title": "one more" });
    shop.clock.advance(Duration::from_secs(100));
    let refused = report(&shop, note.clone()).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, "3500")
    );
    assert_eq!(refused.header("ratelimit"), "\"change-events\";r=0;t=3500");
    shop.clock.advance(Duration::from_mins(61));
    assert_eq!(report(&shop, note).await.status, 201);
    let mut tx = shop.database.store.begin("forget").await.unwrap();
    assert_eq!(
        tx.delete_old_change_events(fixture::now() - Duration::from_hours(400 * 24))
            .await
            .unwrap(),
        600
    );
}
