//! The pictures of messages: shown to who has their address, and to nobody else.

use std::time::Duration;

use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use throughline::{
    domain::{
        alerting::snapshot::Trend,
        model::time::{TimeRange, Timestamp},
        notify::signed_links::{SignedLinks, signing::SigningKey},
    },
    store::{AlertTransition, TransitionsOf},
};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::fixture::{self, Shop};

/// As in a message of the last alert that fired; its facts have a trend, as those of all alerts do.
async fn address(shop: &Shop) -> String {
    let mut tx = shop.database.store.begin("tell of an alert").await.unwrap();
    let ever = TimeRange::new(Timestamp::UNIX_EPOCH, fixture::now());
    let told = tx.transitions(TransitionsOf::All, ever, 1).await.unwrap();
    let mut told = AlertTransition {
        id: Uuid::now_v7(),
        ..told.into_iter().next().unwrap()
    };
    told.facts.version += 1_000;
    told.facts.context.trend = Some(Trend {
        since_first_event_secs: None,
        from: fixture::now() - Duration::from_hours(6),
        step_secs: 300,
        bad_basis_points: (0..72).map(|n| Some(n * 20)).collect(),
    });
    tx.insert_transition(&told).await.unwrap();
    tx.commit().await.unwrap();
    let links = SignedLinks::new("https://slo.example/", SigningKey::new([7; 32]));
    let url = links.chart(told.id, fixture::now());
    url.strip_prefix("https://slo.example").unwrap().to_owned()
}

/// Status, kind of content and the content.
async fn fetch(shop: &Shop, path: &str) -> (u16, String, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = shop.router.clone().oneshot(request).await.unwrap();
    let kind = response.headers().get("content-type");
    let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, body.to_vec())
}

#[tokio::test]
async fn a_picture_is_shown_at_its_address_and_the_second_time_from_memory() {
    let shop = fixture::four_weeks().await;
    let path = address(&shop).await;
    let (status, kind, png) = fetch(&shop, &path).await;
    assert_eq!((status, kind.as_str()), (200, "image/png"));
    assert!(
        png.starts_with(b"\x89PNG") && png.len() < 100_000,
        "{} bytes",
        png.len()
    );
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/pages");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(format!("{folder}/message.png"), &png).unwrap();
    let mut connection = shop.database.connect().await;
    sqlx::query("update alert_transitions set snapshot = snapshot #- '{context,trend}'")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(fetch(&shop, &path).await.2, png);
}

#[tokio::test]
async fn without_its_proof_or_after_a_day_there_is_no_picture() {
    let shop = fixture::four_weeks().await;
    let path = address(&shop).await;
    let (bare, _) = path.split_once('?').unwrap();
    let forged = format!("{path}x");
    for wrong in [
        bare,
        forged.as_str(),
        "/charts/none.png?token=1",
        "/charts/1",
    ] {
        assert_eq!(fetch(&shop, wrong).await.0, 404, "{wrong}");
    }
    assert_eq!(fetch(&shop, &path).await.0, 200);
    shop.clock.advance(Duration::from_hours(24));
    assert_eq!(fetch(&shop, &path).await.0, 404);
}
