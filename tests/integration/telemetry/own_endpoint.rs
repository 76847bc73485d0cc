//! A service that is its own endpoint: receiving its own spans makes no further ones.

use crate::support::{api::until, database::TestDatabase, service::Site};

/// What the service does by itself, and what it does because of its own spans. Everything it exports
/// concerns an SLO here, so that each export is committed.
const DEFINITIONS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: everything }
spec:
  objective: 99%
  window: 7d
  indicator:
    span: { match: '{ resource.service.name = "throughline" }', good: '{ status != error }' }
---
apiVersion: throughline/v1
kind: SLO
metadata: { name: receiving }
spec:
  objective: 99%
  window: 7d
  indicator:
    span:
      match: '{ name = "record evidence" || name =~ ".*v1/traces.*" || name =~ ".*TraceService.*" }'
      good: '{ status != error }'
"#;

const COMMITS: &str = "throughline_db_transaction_duration_seconds_count\
                       {operation=\"record evidence\",result=\"committed\"}";

async fn receiving_makes_no_spans(protocol: &str, endpoint: impl Fn(&Site) -> String) {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, DEFINITIONS);
    let endpoint = format!("http://{}", endpoint(&site));
    let site = site
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let service = site.start().await;
    // Spans about the first exports would have come with the later ones.
    until("exports of its own that were committed", async || {
        let commits = service.api.metric(COMMITS).await;
        (commits >= Some(20.0)).then_some(())
    })
    .await;
    let counts = service.api.counts("everything").await;
    assert!(counts.good > 0, "{counts:?}");
    let counts = service.api.counts("receiving").await;
    assert_eq!(counts.good + counts.failed, 0, "{counts:?}");
    let dropped = "throughline_traces_dropped_spans_total";
    assert_eq!(service.api.metric(dropped).await, Some(0.0));
}

#[tokio::test]
async fn by_http() {
    receiving_makes_no_spans("http/protobuf", Site::otlp_http_address).await;
}

#[tokio::test]
async fn by_grpc() {
    receiving_makes_no_spans("grpc", Site::otlp_grpc_address).await;
}
