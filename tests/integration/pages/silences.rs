//! Silences by page and by API: seen before they are made, made once, ended by whoever has second
//! thoughts.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    client::{delete, get, post_json, post_with},
    fixture,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn a_silence_is_made_listed_and_ended_by_the_api() {
    let shop = fixture::four_weeks().await;
    let asked = json!({
        "matchers": ["slo=orders-on-time", "severity=~page|ticket"], "duration": "2h",
        "comment": "queue upgrade", "created_by": "kim",
    });
    let made = post_json(&shop.router, "/api/v1/silences", &asked).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    assert_eq!(made["state"], "active");
    assert_eq!(made["matchers"][1], "severity=~\"page|ticket\"");
    assert_eq!(made["ends_at"], "2026-11-22T12:08:04Z");
    assert_eq!(made["created_by"], "kim");

    let path = format!("/api/v1/silences/{}", made["id"].as_str().unwrap());
    assert_eq!(get(&shop.router, &path).await.json(), made);
    let listed = get(&shop.router, "/api/v1/silences").await.json();
    assert_eq!(listed["silences"], json!([made]));

    let ended = delete(&shop.router, &path).await;
    assert_eq!(ended.json()["state"], "expired");
    assert_eq!(ended.json()["ended_early_at"], "2026-11-22T10:08:04Z");
    let again = delete(&shop.router, &path).await;
    assert_eq!((again.status, again.json()), (200, ended.json()));
    let active = get(&shop.router, "/api/v1/silences?state=active").await;
    assert_eq!(active.json()["silences"], json!([]));
}

#[tokio::test]
async fn a_request_that_is_repeated_makes_one_silence() {
    let shop = fixture::empty(fixture::catalog()).await;
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "a-random-uuid"),
    ];
    let send = async |duration: &str| {
        let asked =
            json!({ "matchers": ["slo=orders"], "duration": duration, "reason": "upgrade" });
        post_with(
            &shop.router,
            "/api/v1/silences",
            &headers,
            &asked.to_string(),
        )
        .await
    };
    let (first, second) = tokio::join!(send("1h"), send("1h"));
    assert_eq!((first.status, second.status), (201, 201), "{}", first.body);
    assert_eq!(first.json(), second.json());
    let other = send("2h").await;
    assert_eq!(other.status, 422, "{}", other.body);
    let listed = get(&shop.router, "/api/v1/silences").await.json();
    assert_eq!(listed["silences"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_repeated_later_is_answered_as_the_first_one_was() {
    let shop = fixture::empty(fixture::catalog()).await;
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "another-uuid"),
    ];
    let asked = json!({
        "matchers": ["slo=orders"], "ends_at": "2026-11-22T11:00:00Z", "reason": "upgrade",
    });
    let asked = asked.to_string();
    let send = || post_with(&shop.router, "/api/v1/silences", &headers, &asked);
    let first = send().await;
    assert_eq!(first.status, 201, "{}", first.body);
    shop.clock.advance(Duration::from_hours(2));
    let again = send().await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    let new = [headers[0], ("idempotency-key", "a-new-uuid")];
    let late = post_with(&shop.router, "/api/v1/silences", &new, &asked).await;
    assert_eq!(late.status, 422, "it would be over: {}", late.body);
}

#[tokio::test]
async fn what_cannot_be_silenced_is_refused_with_the_way_on() {
    let shop = fixture::empty(fixture::catalog()).await;
    let refused = async |asked: Value| {
        let answer = post_json(&shop.router, "/api/v1/silences", &asked).await;
        (
            answer.status,
            answer.json()["detail"].as_str().unwrap().to_owned(),
        )
    };
    let matchers = json!(["slo=orders"]);
    assert_eq!(
        refused(json!({ "matchers": matchers, "duration": "2h" })).await,
        (422, "no `reason` is given".to_owned())
    );
    assert_eq!(
        refused(json!({ "matchers": matchers, "duration": "2 moons", "reason": "x" }))
            .await
            .0,
        400
    );
    let (status, said) = refused(json!({ "matchers": matchers, "durations": "2h" })).await;
    assert!(
        status == 400 && said.contains("unknown field `durations`"),
        "{said}"
    );
    let unknown = get(&shop.router, "/api/v1/silences/none").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_preview_tells_what_matches_and_what_would_have_been_muted() {
    let shop = fixture::four_weeks().await;
    let seen = async |matcher: &str| {
        let asked = json!({ "matchers": [matcher] });
        post_json(&shop.router, "/api/v1/silences/preview", &asked)
            .await
            .json()
    };
    let orders = seen("slo=orders-on-time").await;
    let firing: Vec<_> = orders["matches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| {
            (
                alert["severity"].as_str().unwrap(),
                alert["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(firing.contains(&("page", "firing")), "{orders}");
    let muted = orders["would_have_muted"].as_array().unwrap();
    assert!(!muted.is_empty());
    assert!(
        muted
            .iter()
            .all(|message| message["slo"] == "orders-on-time")
    );
    assert!(
        muted.iter().all(|message| message["kind"] != "resolved"),
        "{orders}"
    );
    let nothing = seen("slo=none").await;
    assert_eq!(nothing, json!({ "matches": [], "would_have_muted": [] }));
}

#[tokio::test]
async fn a_form_shows_what_it_would_mute_before_it_does() {
    let shop = fixture::four_weeks().await;
    let form = get(
        &shop.router,
        "/silences/new?slo=orders-on-time&severity=page",
    )
    .await;
    assert!(
        form.body
            .contains(">slo=orders-on-time\nseverity=page</textarea>"),
        "{}",
        form.body
    );
    assert!(
        !form.body.contains("http-equiv=\"refresh\""),
        "what is filled in stays"
    );
    let send = async |fields: &str| post_with(&shop.router, "/silences/new", &[FORM], fields).await;

    let seen = send("matchers=slo%3Dorders-on-time&duration=2h&action=preview").await;
    assert_eq!(seen.status, 200);
    assert!(
        seen.body.contains("1 of them fires now") || seen.body.contains("matches and fires now"),
        "{}",
        seen.body
    );

    let unsaid = send("matchers=slo%3Dorders-on-time&duration=2h&action=create").await;
    assert_eq!(unsaid.status, 422);
    assert!(unsaid.body.contains("no <code>reason</code> is given"));
    assert!(
        unsaid.body.contains(">slo=orders-on-time</textarea>"),
        "nothing has to be written again"
    );

    let made =
        send("matchers=slo%3Dorders-on-time&duration=200h&reason=%3Cb%3Eupgrade&action=create")
            .await;
    assert_eq!((made.status, made.header("location")), (303, "/silences"));
    let listed = get(&shop.router, "/silences").await;
    for text in [
        "<title>1 silence active",
        "slo=&#34;orders-on-time&#34;",
        "&#60;b&#62;upgrade",
        "for more than 7 days",
    ] {
        assert!(listed.body.contains(text), "no `{text}` in {}", listed.body);
    }
    let end = regex::Regex::new("/silences/[0-9a-f-]{36}/expire").unwrap();
    let end = end.find(&listed.body).unwrap().as_str();
    assert_eq!(post_with(&shop.router, end, &[FORM], "").await.status, 303);
    let listed = get(&shop.router, "/silences").await;
    assert!(listed.body.contains("before its time"), "{}", listed.body);
}

#[tokio::test]
async fn what_the_proxy_says_is_kept_and_nobody_can_claim_to_be_another() {
    let shop = fixture::empty(fixture::catalog()).await;
    let asked = json!({
        "matchers": ["slo=orders"], "duration": "1h", "reason": "upgrade", "created_by": "mallory",
    });
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-user", "dana"),
    ];
    let made = post_with(
        &shop.router,
        "/api/v1/silences",
        &headers,
        &asked.to_string(),
    )
    .await;
    assert_eq!(made.json()["created_by"], "dana");
}
