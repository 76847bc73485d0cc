//! SLOs whose first events came only just.

use throughline::domain::alerting::{rule_status::BurnCondition, status::SloState};

use crate::support::{
    app::{SECOND, TestApp},
    span::{SpanBuilder, span},
};

const CONSUMED: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: consumed }
spec:
  objective: 99%
  window: 30d
  indicator:
    span:
      match: '{ kind = consumer }'
      good: '{ status != error }'
  notify: { page: [oncall] }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: oncall }
spec: { webhook: { url: { env: UNUSED } } }
"#;

/// So many spans of the first second, of which so many are bad.
fn spans(total: u64, bad: u64) -> Vec<SpanBuilder> {
    let one = |number| {
        let span = span("process").consumer().trace(number).lasting(0.1);
        if number < bad { span.error() } else { span }
    };
    (0..total).map(one).collect()
}

#[tokio::test]
async fn s43_eight_of_95_events_in_the_first_20_seconds_page_nobody_and_five_minutes_of_them_do() {
    let app = TestApp::new().slo(CONSUMED).young().await;
    app.send(spans(95, 8)).await;
    app.advance(SECOND * 20);
    assert_eq!(app.evaluate().await.fired, 0);
    let status = app.status().await;
    assert_eq!(status.state, SloState::Rising);
    let conditions = status.rules.iter().map(|rule| rule.condition);
    assert!(conditions.eq([BurnCondition::TooYoung; 4]));
    assert_eq!(
        status.rules[1].long.text(),
        "the 19 s since the first event"
    );

    assert_eq!(app.ticks(1..=5).await.fired, 0);
    assert_eq!(app.ticks([6]).await.fired, 1);
    let facts = app.facts().await.remove(0);
    assert_eq!(facts.long.text(), "the 5 min since the first event");
}
