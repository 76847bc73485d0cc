//! How long workflows take is counted for every one, and corrected with its verdict.

use serde_json::Value;
use throughline::domain::slo::Stages;

use super::world::{app, order};
use crate::support::app::TestApp;

/// Half of the workflows within, in seconds.
fn half(quantiles: &Value) -> Option<f64> {
    quantiles["p50_seconds"].as_f64()
}

async fn durations(app: &TestApp) -> Value {
    app.api("/slos/orders/durations?range=1h").await
}

#[tokio::test]
async fn durations_of_good_and_bad_workflows_and_of_their_stages_are_in_page_and_api() {
    let app = app(Stages::Auto).await;
    for (nth, wait) in [(1, 2.0), (2, 2.0), (3, 2.0), (4, 90.0)] {
        app.at_second(100.0).send(order(nth, wait)).await;
    }
    app.at_second(101.0).aggregate().await;
    let view = durations(&app).await;
    assert_eq!(
        (&view["good"]["events"], &view["bad"]["events"]),
        (&3.0.into(), &1.0.into())
    );
    // 7 s and 95 s, as exact as a bucket is wide.
    assert!(matches!(half(&view["good"]), Some(6.0..=8.0)), "{view}");
    assert!(matches!(half(&view["bad"]), Some(86.0..=104.0)), "{view}");
    let slowest = &view["stages"][0];
    assert_eq!(slowest["title"], "wait in cards");
    assert!(
        matches!(half(&slowest["bad"]), Some(80.0..=100.0)),
        "{slowest}"
    );
    let steps = view["steps"].as_array().unwrap();
    assert!((60..=61).contains(&steps.len()), "{}", steps.len());
    let in_steps = |side: &str| -> f64 {
        let buckets = steps.iter().flat_map(|step| step[side].as_array().unwrap());
        buckets
            .map(|bucket| bucket["events"].as_f64().unwrap())
            .sum()
    };
    assert_eq!((in_steps("good"), in_steps("bad")), (3.0, 1.0));

    let page = app.page("/slos/orders/durations?range=1h").await.body;
    assert!(
        page.contains("wait in cards") && page.contains("deadline 1 min"),
        "{page}"
    );
    assert!(page.contains("of 3 good workflows took at most"), "{page}");
}

#[tokio::test]
async fn a_corrected_verdict_takes_its_duration_along() {
    let app = app(Stages::Auto).await;
    let spans = order(1, 40.0);
    let (end, begin) = spans.split_last().unwrap();
    app.at_second(50.0).send(begin).await;
    app.at_second(300.0).judge().await;
    app.at_second(301.0).aggregate().await;
    let view = durations(&app).await;
    assert!(matches!(half(&view["bad"]), Some(54.0..=66.0)), "{view}");

    app.at_second(900.0).send([end]).await;
    app.at_second(901.0).aggregate().await;
    let view = durations(&app).await;
    assert_eq!(
        (&view["good"]["events"], &view["bad"]["events"]),
        (&1.0.into(), &0.0.into())
    );
    assert!(matches!(half(&view["good"]), Some(41.0..=50.0)), "{view}");
    assert_eq!(half(&view["bad"]), None);
}

#[tokio::test]
async fn without_stages_the_page_says_why_there_is_nothing() {
    let app = app(Stages::None).await;
    assert_eq!(durations(&app).await["within_seconds"], Value::Null);
    let page = app.page("/slos/orders/durations").await.body;
    assert!(page.contains("<code>stages: none</code>"), "{page}");
}
