//! What was told whom: on the page, in the API, and tried again from both.

use sqlx::PgConnection;

use super::{
    client::{get, post_json, post_with},
    fixture::{self, Shop},
};

/// A page is given up after one try that was refused with markup in the answer, and another waits.
pub(super) async fn give_one_up(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "with told as (
            select id, at, row_number() over (order by at) as nth from alert_transitions
            where kind = 'firing'
        ), waiting as (
            insert into deliveries
                (transition_id, target, ordering_key, priority, state, next_attempt_at, created_at,
                    retries_since)
            select id, 'chat', 'slo/b/page', 0, 'pending', at, at, at from told where nth = 1
        ), dead as (
            insert into deliveries
                (transition_id, target, ordering_key, priority, state, attempts, next_attempt_at,
                    created_at, retries_since, settled_at)
            select id, 'pager', 'slo/a/page', 0, 'failed', 1, at, at, at, at + interval '5 s'
            from told where nth = 1
            returning id, created_at
        )
        insert into delivery_attempts
            (delivery_id, attempt, started_at, duration_ms, class, http_status, excerpt)
        select id, 1, created_at, 12, 'rejected', 400, '<b>no</b>' from dead
        returning delivery_id",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

async fn with_a_dead_one() -> (Shop, i64) {
    let shop = fixture::four_weeks().await;
    let id = give_one_up(&mut shop.database.connect().await).await;
    (shop, id)
}

#[tokio::test]
async fn what_was_given_up_is_shown_with_every_try_and_can_be_tried_again() {
    let (shop, id) = with_a_dead_one().await;
    let page = get(&shop.router, "/deliveries?state=failed").await;
    assert_eq!(page.status, 200);
    for text in [
        "failed permanently",
        "12 ms: rejected 400",
        "&#60;b&#62;no",
        &format!("action=\"/deliveries/{id}/retry\""),
    ] {
        assert!(page.body.contains(text), "no `{text}`: {}", page.body);
    }
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
    ];
    let path = format!("/deliveries/{id}/retry");
    let again = post_with(&shop.router, &path, &form, "").await;
    assert_eq!(again.status, 303, "{}", again.body);
    let one = get(&shop.router, again.header("location")).await;
    assert!(one.body.contains("pending"), "{}", one.body);
    assert!(!one.body.contains("Retry</button>"), "{}", one.body);
    let foreign = [form[0], ("sec-fetch-site", "cross-site")];
    assert_eq!(
        post_with(&shop.router, &path, &foreign, "").await.status,
        403
    );
}

#[tokio::test]
async fn the_api_tells_the_same_and_says_why_something_is_not_tried_again() {
    let (shop, id) = with_a_dead_one().await;
    let dead = get(&shop.router, "/api/v1/deliveries?state=failed").await;
    let dead = dead.json();
    assert_eq!(dead["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(dead["deliveries"][0]["id"], id);
    let path = format!("/api/v1/deliveries/{id}");
    let one = get(&shop.router, &path).await.json();
    assert_eq!(one, dead["deliveries"][0]);
    assert_eq!(one["attempts"][0]["class"], "rejected");
    let summary = one["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("PAGE") || summary.starts_with("TICKET"),
        "{summary}"
    );

    let retry = format!("{path}/retry");
    let again = post_json(&shop.router, &retry, &serde_json::json!({})).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(again.json()["id"], id);
    let twice = post_json(&shop.router, &retry, &serde_json::json!({})).await;
    assert_eq!(twice.status, 409);
    assert!(twice.body.contains("pending"), "{}", twice.body);
    for (path, status) in [
        ("/api/v1/deliveries/999999999", 404),
        ("/api/v1/deliveries?state=nonsense", 400),
    ] {
        assert_eq!(get(&shop.router, path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn metrics_tell_what_waits_what_was_given_up_and_how_targets_do() {
    let (shop, _) = with_a_dead_one().await;
    sqlx::query(
        "insert into target_states (target, state, since, failed_at)
         values ('pager', 'misconfigured', now(), now())",
    )
    .execute(&mut shop.database.connect().await)
    .await
    .unwrap();
    let text = get(&shop.router, "/metrics").await.body;
    for line in [
        "throughline_target_state{state=\"misconfigured\",target=\"pager\"} 1",
        "throughline_target_state{state=\"closed\",target=\"pager\"} 0",
        "throughline_target_failing_since_timestamp_seconds{target=\"pager\"} ",
        "throughline_delivery_oldest_pending_seconds{severity=\"page\"} ",
        "throughline_deliveries_failed{target=",
    ] {
        assert!(text.contains(line), "no `{line}`: {text}");
    }
}
