//! Counters of events: what they count, that they never fall, and that they are bounded.

use std::time::Duration;

use throughline::{
    domain::model::time::TimeRange,
    store::Retention,
    web::{self, WebState},
};

use crate::support::{
    app::{TestApp, minute_long, web::get},
    span::{SpanBuilder, span},
};

const COUNTED: &str = "throughline_slo_events_total";
const CORRECTED: &str = "throughline_slo_corrected_events_total";
const DAY: Duration = Duration::from_hours(24);

fn placed(nth: u32) -> SpanBuilder {
    span("placed").trace(nth.into())
}

fn shipped(nth: u32, secs: f64) -> SpanBuilder {
    span("shipped").trace(nth.into()).at(secs)
}

async fn app(fields: &str) -> TestApp {
    let orders = minute_long("placed", "shipped", "trace", fields);
    TestApp::new().slo(&orders).at("06:18").await
}

/// The samples of a metric of the SLO or one group, by outcome; those that are 0 are left out.
fn samples(metrics: &str, name: &str, group: &str) -> Vec<String> {
    let (start, end) = (
        format!("{name}{{group=\"{group}\",outcome=\""),
        "\",slo=\"orders\"} ",
    );
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(&start));
    let samples: Vec<String> = samples.map(|line| line.replace(end, " ")).collect();
    assert_eq!(samples.len(), 12, "{name} of `{group}` has every outcome");
    samples
        .into_iter()
        .filter(|line| !line.ends_with(" 0"))
        .collect()
}

#[tokio::test]
async fn they_are_there_from_the_start_and_never_fall_when_a_replica_corrects_a_verdict() {
    let app = app("").await;
    let other = app.replica();
    let metrics = async || app.page("/metrics").await.body;
    let before = metrics().await;
    assert!(samples(&before, COUNTED, "").is_empty() && samples(&before, CORRECTED, "").is_empty());

    app.send([placed(1), placed(2)]).await;
    app.at_second(180.0).judge().await;
    assert_eq!(samples(&metrics().await, COUNTED, ""), ["timeout 2"]);

    for _ in 0..2 {
        other.send([shipped(1, 50.0), shipped(2, 70.0)]).await;
        let corrected = metrics().await;
        assert_eq!(
            samples(&corrected, COUNTED, ""),
            ["good 1", "late 1", "timeout 2"]
        );
        assert_eq!(samples(&corrected, CORRECTED, ""), ["timeout 2"]);
    }
}

#[tokio::test]
async fn events_that_sampled_ones_represent_are_counted_too() {
    let app = app("").await;
    let sampled = |span: SpanBuilder| {
        let mut trace_id = [7; 16];
        trace_id[9] = 0xd0;
        span.trace_of(&trace_id).trace_state("ot=th:c")
    };
    app.send([sampled(placed(1)), sampled(shipped(1, 30.0))])
        .await;
    let metrics = app.page("/metrics").await.body;
    assert_eq!(
        samples(&metrics, COUNTED, ""),
        ["extrapolated_good 3", "good 1"]
    );
}

#[tokio::test]
async fn groups_have_counters_up_to_a_limit_and_the_others_are_counted() {
    let app = app("groupBy: [span.region]").await;
    for (nth, region) in [(1, "eu"), (2, "us"), (3, "eu")] {
        let [start, end] = [placed(nth), shipped(nth, 30.0)];
        app.send([start.attribute("region", region), end]).await;
    }
    let metrics = app.page("/metrics").await.body;
    assert_eq!(samples(&metrics, COUNTED, "region = eu"), ["good 2"]);
    assert_eq!(samples(&metrics, COUNTED, "region = us"), ["good 1"]);
    assert_eq!(samples(&metrics, COUNTED, ""), ["good 3"]);
    assert!(metrics.contains("throughline_slo_groups_left_out{slo=\"orders\"} 0\n"));

    let bounded = web::router(WebState {
        max_metric_groups: 1,
        ..app.web_state()
    });
    let metrics = get(&bounded, "/metrics").await.body;
    assert_eq!(samples(&metrics, COUNTED, "region = eu"), ["good 2"]);
    assert!(!metrics.contains("region = us"), "{metrics}");
    assert!(metrics.contains("throughline_slo_groups_left_out{slo=\"orders\"} 1\n"));
}

#[tokio::test]
async fn days_that_cannot_change_any_more_are_added_up_once() {
    let app = app("").await;
    let mut tx = app.store.begin("prepare").await.unwrap();
    let around = TimeRange::new(app.clock.now() - DAY, app.clock.now() + DAY);
    tx.ensure_count_partitions(around).await.unwrap();
    tx.commit().await.unwrap();
    app.send([placed(1), shipped(1, 30.0), placed(2)]).await;
    app.at_second(180.0).judge().await;
    app.send([shipped(2, 50.0)]).await;
    let counted = async || {
        let metrics = app.page("/metrics").await.body;
        [COUNTED, CORRECTED].map(|name| samples(&metrics, name, ""))
    };
    let before = counted().await;
    assert_eq!(before[0], ["good 2", "timeout 1"]);
    let retention = Retention {
        minutes: DAY * 32,
        hours: DAY * 400,
    };
    for days in [60, 61, 70] {
        let mut tx = app.store.begin("retain").await.unwrap();
        let later = app.clock.now() + DAY * days;
        tx.drop_old_counts(later, &retention).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(app.number("select count(*) from closed_days").await, 1);
        assert_eq!(counted().await, before);
    }
}
