//! How long things take, as `/metrics` has it, and that what somebody makes up is no label there.

use crate::support::{
    api::until,
    database::TestDatabase,
    service::Site,
    workload::{Delivery, ORDERS, Workload},
};

#[tokio::test]
async fn transactions_requests_and_turns_are_timed_by_names_that_are_known() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    let api = &service.api;
    Delivery::start(&Workload::good(3, 1), &[&api.http])
        .finish()
        .await;
    for path in ["/slos/orders", "/slos/made-up", "/made/up", "/healthz"] {
        assert!(api.status(path).await.is_some());
    }
    let wrong = api.client.post(format!("{}/made/up", api.http)).send();
    assert_eq!(wrong.await.unwrap().status(), 404);
    api.has_ticked("heartbeat").await;

    let transactions = "throughline_db_transaction_duration_seconds_count";
    let requests = "throughline_http_request_duration_seconds_count";
    let turns = "throughline_loop_turn_duration_seconds_count";
    for sample in [
        format!("{transactions}{{operation=\"record a heartbeat\",result=\"committed\"}}"),
        format!("{transactions}{{operation=\"record evidence\",result=\"committed\"}}"),
        format!(
            "{transactions}{{operation=\"read the statuses for a scrape\",result=\"rolled_back\"}}"
        ),
        format!("{requests}{{method=\"GET\",route=\"/slos/{{slo}}\",status=\"200\"}}"),
        format!("{requests}{{method=\"GET\",route=\"/slos/{{slo}}\",status=\"404\"}}"),
        format!("{requests}{{method=\"GET\",route=\"unmatched\",status=\"404\"}}"),
        format!("{requests}{{method=\"POST\",route=\"unmatched\",status=\"404\"}}"),
        format!("{requests}{{method=\"POST\",route=\"/v1/traces\",status=\"200\"}}"),
        format!("{turns}{{loop=\"heartbeat\",result=\"ok\"}}"),
        format!("{turns}{{loop=\"definitions\",result=\"ok\"}}"),
        "throughline_db_connection_wait_seconds_count".to_owned(),
    ] {
        assert!(api.metric(&sample).await > Some(0.0), "{sample}");
    }
    let text = api.text("/metrics").await;
    assert!(!text.contains("made"), "{text}");
}

/// So that `rate()` sees the first of each.
#[tokio::test]
async fn counters_are_there_at_zero_before_their_first_event() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS).flag("--otlp-auth", "token");
    let service = site.start().await;
    let metrics = service.api.text("/metrics").await;
    for (counter, label, values) in [
        (
            "spans_rejected",
            "",
            &["reason=\"too_late\"", "reason=\"service_not_allowed\""][..],
        ),
        (
            "ingest_requests",
            "",
            &["result=\"committed\"", "result=\"unauthenticated\""],
        ),
        (
            "auth_failures",
            "port=\"pages\",",
            &["reason=\"unknown\"", "reason=\"blocked\""],
        ),
        (
            "auth_failures",
            "port=\"otlp_grpc\",",
            &["reason=\"expired\"", "reason=\"blocked\""],
        ),
        (
            "auth_failures",
            "port=\"otlp_http\",",
            &["reason=\"missing\""],
        ),
        (
            "alert_transitions",
            "",
            &["kind=\"firing\"", "kind=\"resolved\""],
        ),
    ] {
        for value in values {
            let sample = format!("throughline_{counter}_total{{{label}{value}}} 0\n");
            assert!(metrics.contains(&sample), "{sample}{metrics}");
        }
    }
}

#[tokio::test]
async fn each_pool_is_shown_with_what_it_may_have() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS).flag("--database-connections", "7");
    let service = site.start().await;
    let connections = async |state| {
        let sample = format!("throughline_db_pool_connections{{state=\"{state}\",use=\"loops\"}}");
        service.api.metric(&sample).await.expect("the gauge")
    };
    assert!((connections("max").await - 4.0).abs() < f64::EPSILON);
    until("a connection", async || {
        let open = connections("idle").await + connections("used").await;
        ((1.0..=4.0).contains(&open)).then_some(())
    })
    .await;
}
