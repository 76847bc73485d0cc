//! Attributes as senders really write them: they arrive over a socket, and no value costs its span.

use crate::support::{
    app::{TestApp, good},
    span::{SpanBuilder, span},
};

const CAPTURED_HEADERS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99%
  window: 30d
  customer: span.http.request.header.x-tenant
  groupBy: [span.messaging.header.region]
  indicator:
    workflow:
      start: '{ kind = producer }'
      finish: '{ kind = consumer && span.tags = "vip" && span.ports > 400 }'
      within: 60s
      correlate: [span.messaging.header.order_id]
  notify: {}
"#;

fn order(number: u64) -> [SpanBuilder; 2] {
    let id = format!("o{number}");
    let send = span("send").producer().trace(2 * number).lasting(0.1);
    let process = span("process")
        .consumer()
        .trace(2 * number + 1)
        .between(1.0, 2.0);
    [
        send.attribute("messaging.header.order_id", [id.as_str()])
            .attribute("http.request.header.x-tenant", ["acme"])
            .attribute("messaging.header.region", ["eu"]),
        process
            .attribute("messaging.header.order_id", [id.as_str()])
            .attribute("tags", ["eu", "vip"])
            .attribute("ports", [80, 443]),
    ]
}

#[tokio::test]
async fn s41_captured_headers_are_arrays_and_join_spans_name_customers_and_groups() {
    let app = TestApp::new().slo(CAPTURED_HEADERS).at("10:00").await;
    let orders: Vec<_> = (1..=10).flat_map(order).collect();
    let reply = app.send_over_http(&orders).await;
    assert_eq!(reply.status(), 200);
    app.assert_counts(good(10)).await;
    let of_acme = "select count(*) from workflows where customer = 'acme'";
    assert_eq!(app.number(of_acme).await, 10);
    let of_europe = "select count(*) from slos where group_values = '[\"eu\"]'";
    assert_eq!(app.number(of_europe).await, 1);
}

const DIRTY: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start: '{ name = "publish" }'
      finish: '{ name = "done" }'
      within: 60s
      correlate: [span.order.id]
  notify: {}
"#;

#[tokio::test]
async fn s42_text_that_is_not_utf8_refuses_no_span() {
    let app = TestApp::new().slo(DIRTY).at("10:00").await;
    let orders: Vec<_> = (1..=4)
        .flat_map(|number| {
            let id = format!("o{number}");
            let publish = span("publish").trace(2 * number).lasting(0.01);
            let done = span("done")
                .consumer()
                .trace(2 * number + 1)
                .between(1.0, 2.0);
            [
                publish.attribute("order.id", id.as_str()),
                done.attribute("order.id", id.as_str())
                    .attribute("note", b"caf\xe9".as_slice())
                    .resource("host.name", b"\xff\xfe".as_slice())
                    .event("exception", "exception.message", b"\xff\xfe".as_slice()),
            ]
        })
        .collect();
    let reply = app.send_over_http(&orders).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.bytes().await.unwrap().len(), 0, "nothing is rejected");
    app.assert_counts(good(4)).await;
}
