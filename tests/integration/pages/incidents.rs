//! Incidents: what the message said, for ever; taken on by page, API and signed address.

use std::time::Duration;

use serde_json::{Value, json};
use throughline::{
    domain::{
        model::time::Timestamp,
        notify::signed_links::signing::{Purpose, SigningKey},
        slo::Catalog,
    },
    web::{self, Anonymous},
};

use super::{
    client::{get, post_json, post_with},
    fixture::{self, Shop},
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The incident that goes on.
async fn incident(shop: &Shop) -> String {
    let alerts = get(&shop.router, "/api/v1/alerts").await.json();
    assert_eq!(alerts["firing"][0]["slo"], "orders-on-time");
    alerts["firing"][0]["incident"].as_str().unwrap().to_owned()
}

/// One that is over.
async fn ended(shop: &Shop) -> String {
    let alerts = get(&shop.router, "/api/v1/alerts").await.json();
    let transitions = alerts["transitions"].as_array().unwrap();
    let resolved = transitions
        .iter()
        .find(|change| change["kind"] == "resolved");
    resolved.unwrap()["incident"].as_str().unwrap().to_owned()
}

/// Who was told what, oldest first.
async fn told(shop: &Shop) -> Vec<(String, String)> {
    let mut connection = shop.database.connect().await;
    sqlx::query_as(
        "select t.kind, d.target from deliveries d join alert_transitions t on t.id = d.transition_id
         where t.kind = 'acknowledged' order by d.id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

fn token(purpose: Purpose, incident: &str, expires: Timestamp) -> String {
    SigningKey::new([7; 32]).token(purpose, incident, expires)
}

fn tomorrow() -> Timestamp {
    fixture::now() + Duration::from_hours(24)
}

#[tokio::test]
async fn an_incident_says_what_the_message_said_and_when_everything_happened() {
    let shop = fixture::four_weeks().await;
    let id = incident(&shop).await;
    let json_view = get(&shop.router, &format!("/api/v1/incidents/{id}"))
        .await
        .json();
    assert_eq!(json_view["alert_at_firing"]["kind"], "firing");
    assert_eq!(json_view["ended_at"], Value::Null);
    let what: Vec<_> = json_view["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moment| moment["kind"].as_str().unwrap())
        .collect();
    assert_eq!(what, ["began", "firing", "delivery", "delivery"]);
    let page = get(&shop.router, &format!("/incidents/{id}")).await;
    for text in [
        "<title>Orders are confirmed within five minutes · PAGING",
        "First notification",
        "oncall: delivered 202 in 204 ms",
        "Still firing. It is not acknowledged.",
    ] {
        assert!(page.body.contains(text), "no `{text}` in {}", page.body);
    }
    let short = get(&shop.router, &format!("/i/{id}")).await;
    assert_eq!(
        (short.status, short.header("location")),
        (308, format!("/incidents/{id}").as_str())
    );
    assert_eq!(get(&shop.router, "/incidents/none").await.status, 404);
}

#[tokio::test]
async fn an_incident_stays_as_it_is_whatever_becomes_of_the_slo_and_its_counts() {
    let shop = fixture::four_weeks().await;
    let path = format!("/incidents/{}", ended(&shop).await);
    let before = get(&shop.router, &path).await.body;
    shop.catalog.send_replace(Catalog::default().into());
    let mut connection = shop.database.connect().await;
    sqlx::raw_sql(
        "truncate event_counts, workflows; update slos set declared = false; truncate slo_statuses",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let after = get(&shop.router, &path).await.body;
    // But for the links to a page that there is no more.
    let link = regex::Regex::new(r#"<a (class="btn" )?href="/slos/[^>]*>(.*?)</a>"#).unwrap();
    assert!(link.is_match(&before) && !link.is_match(&after), "{after}");
    let without = |page: &str| link.replace_all(page, "").into_owned();
    let removed = regex::Regex::new(r"<bdi>[^<]*</bdi>, removed").unwrap();
    assert_eq!(removed.replace(&after, ""), without(&before));
}

#[tokio::test]
async fn whoever_was_told_of_an_incident_is_told_once_that_somebody_has_taken_it_on() {
    let shop = fixture::four_weeks().await;
    let id = incident(&shop).await;
    let path = format!("/api/v1/incidents/{id}/acknowledge");
    let first = post_json(&shop.router, &path, &json!({ "by": "dana" })).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let second = post_json(&shop.router, &path, &json!({ "by": "kim" })).await;
    assert_eq!(second.json(), first.json(), "the first one counts");
    assert_eq!(first.json()["acknowledged"]["by"], "dana");
    let acknowledged = |target: &str| ("acknowledged".to_owned(), target.to_owned());
    assert_eq!(
        told(&shop).await,
        [acknowledged("oncall"), acknowledged("team-chat")]
    );
    let page = get(&shop.router, &format!("/incidents/{id}")).await.body;
    assert!(page.contains("by dana"), "{page}");
    assert!(
        !page.contains("/acknowledge\""),
        "there is nothing left to take on"
    );
}

#[tokio::test]
async fn what_is_over_cannot_be_taken_on() {
    let shop = fixture::four_weeks().await;
    let ended = ended(&shop).await;
    let path = format!("/api/v1/incidents/{ended}/acknowledge");
    assert_eq!(post_json(&shop.router, &path, &json!({})).await.status, 409);
    let permit = token(Purpose::Acknowledge, &ended, tomorrow());
    let address = format!("/actions/acknowledge/{ended}?token={permit}");
    let page = get(&shop.router, &address).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("It is over"), "{}", page.body);
    assert!(
        !page.body.contains("<form class=\"card"),
        "nothing is asked"
    );
}

#[tokio::test]
async fn p13_while_an_incident_goes_on_its_numbers_of_now_stand_beside_those_of_then() {
    let shop = fixture::four_weeks().await;
    let id = incident(&shop).await;
    let page = get(&shop.router, &format!("/incidents/{id}")).await.body;
    let json_view = get(&shop.router, &format!("/api/v1/incidents/{id}"))
        .await
        .json();
    let stuck = format!(
        "{} never finished",
        json_view["now"]["never_finished"]["workflows"]
    );
    for text in [
        "When it fired, 09:39",
        ">Now</th>",
        stuck.as_str(),
        "waiting in fulfilment: 97 % of the extra time",
        "deploy warehouse-consumer 2.41.0 at 09:24 UTC, 1 min before it began",
        "no one yet; notified: oncall, team-chat",
        ">Runbook</a>",
        ">Jaeger</a>",
    ] {
        assert!(page.contains(text), "no `{text}` in {page}");
    }
    shop.catalog.send_replace(Catalog::default().into());
    let page = get(&shop.router, &format!("/incidents/{id}")).await.body;
    assert!(page.contains("Last notification, 09:39"), "{page}");
}

#[tokio::test]
async fn looking_at_an_address_of_a_message_does_nothing_whoever_looks() {
    let shop = fixture::four_weeks().await;
    let id = incident(&shop).await;
    let valid = token(Purpose::Acknowledge, &id, tomorrow());
    let look = async |token: &str| {
        get(
            &shop.router,
            &format!("/actions/acknowledge/{id}?token={token}"),
        )
        .await
    };
    let seen = look(&valid).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    assert!(seen.body.contains("Acknowledge?</h1>"));
    assert!(told(&shop).await.is_empty());
    let of_silence = token(Purpose::Silence, &id, tomorrow());
    for forged in ["", "1.x", &of_silence] {
        assert_eq!(look(forged).await.status, 403);
    }
    let expired = token(Purpose::Acknowledge, &id, fixture::now());
    assert_eq!(look(&expired).await.status, 410);
}

#[tokio::test]
async fn a_signed_address_acts_without_a_login_once_it_is_confirmed() {
    let mut shop = fixture::four_weeks().await;
    let mut strict = shop.state.clone();
    strict.writes.anonymous = Anonymous::MayRead;
    shop.router = web::router(strict);
    let id = incident(&shop).await;
    let refused = post_with(
        &shop.router,
        &format!("/incidents/{id}/acknowledge"),
        &[FORM],
        "",
    )
    .await;
    assert_eq!(refused.status, 403);
    let permit = token(Purpose::Acknowledge, &id, tomorrow());
    let act = format!("/actions/acknowledge/{id}");
    let forged = post_with(&shop.router, &act, &[FORM], "token=1.x").await;
    assert_eq!(forged.status, 403);
    let other_site = [FORM, ("sec-fetch-site", "cross-site")];
    let body = format!("token={permit}&by=dana");
    assert_eq!(
        post_with(&shop.router, &act, &other_site, &body)
            .await
            .status,
        403
    );
    assert!(told(&shop).await.is_empty());
    let done = post_with(&shop.router, &act, &[FORM], &body).await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, format!("/incidents/{id}").as_str())
    );
    assert_eq!(told(&shop).await.len(), 2);
}

#[tokio::test]
async fn the_silence_of_a_message_can_be_had_once() {
    let shop = fixture::four_weeks().await;
    let id = incident(&shop).await;
    let body = format!("token={}", token(Purpose::Silence, &id, tomorrow()));
    let act = format!("/actions/silence/{id}");
    assert_eq!(
        post_with(&shop.router, &act, &[FORM], &body).await.status,
        303
    );
    let listed = get(&shop.router, "/api/v1/silences").await.json();
    assert_eq!(
        listed["silences"][0]["matchers"],
        json!(["slo=\"orders-on-time\"", "severity=\"page\""])
    );
    assert_eq!(listed["silences"][0]["ends_at"], "2026-11-22T11:08:04Z");
    let again = post_with(&shop.router, &act, &[FORM], &body).await;
    assert_eq!(again.status, 410, "{}", again.body);
}

#[tokio::test]
async fn notes_stand_on_the_page_as_they_were_written() {
    let shop = fixture::four_weeks().await;
    let id = incident(&shop).await;
    let path = format!("/incidents/{id}/notes");
    let written = post_with(&shop.router, &path, &[FORM], "text=rolling+back+%3Cb%3E").await;
    assert_eq!(written.status, 303);
    let by_api = json!({ "text": "rolled back", "by": "dana" });
    let made = post_json(&shop.router, &format!("/api/v1{path}"), &by_api).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let page = get(&shop.router, &format!("/incidents/{id}")).await.body;
    assert!(
        page.contains("rolling back &#60;b&#62;") && page.contains("dana: rolled back"),
        "{page}"
    );
    assert_eq!(
        post_with(&shop.router, &path, &[FORM], "text=+")
            .await
            .status,
        400
    );
}
