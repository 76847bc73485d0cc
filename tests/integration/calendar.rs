//! Windows of the calendar on a real Postgres: a bad month does not burden the next.

use throughline::domain::{
    alerting::status::{SloState, SloStatus},
    model::time::TimeRange,
    slo::Alerting,
};

use crate::support::app::{TestApp, good, slo, time, timeouts};

/// A month of a place where it begins at four in the morning UTC, or five in winter. Nobody is paged.
const ORDERS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99%
  window: { calendar: month, timeZone: America/New_York }
  indicator:
    span: { match: '{ name = "order" }', good: '{ status != error }' }
"#;

fn between(from: &str, to: &str) -> TimeRange {
    TimeRange::new(time(from), time(to))
}

async fn evaluated(app: &TestApp, now: &str) -> SloStatus {
    app.clock.set(time(now));
    app.evaluate().await;
    app.status().await
}

#[tokio::test]
async fn a_bad_month_does_not_burden_the_next() {
    let mut orders = slo(ORDERS);
    orders.alerting = Alerting::default();
    let app = TestApp::new().define(orders).await;
    let slo = app.only();
    let october = between("2026-09-20T00:00:00Z", "2026-11-01T03:00:00Z");
    app.fill_range(slo, october, good(10)).await;
    let last_hour = between("2026-11-01T03:00:00Z", "2026-11-01T04:00:00Z");
    app.fill_range(slo, last_hour, timeouts(10)).await;
    let night = between("2026-10-20T00:00:00Z", "2026-10-20T10:00:00Z");
    app.fill_range(slo, night, timeouts(10)).await;
    let november = between("2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z");
    app.fill_range(slo, november, good(10)).await;

    let month = 31 * 1_440 * 10;
    let status = evaluated(&app, "2026-11-01T03:59:00Z").await;
    assert_eq!(status.window.bad(), 6_000 + 590);
    assert_eq!(status.window.good, month - 600);
    let period = status.period.unwrap();
    assert_eq!(period.from, time("2026-10-01T04:00:00Z"));
    assert_eq!(period.to, time("2026-11-01T04:00:00Z"));
    assert!(status.budget_remaining.unwrap() < -0.4, "{status:?}");

    // The last hour still burns, but a new budget: the 10 events are those of the minute under way.
    let status = evaluated(&app, "2026-11-01T04:00:30Z").await;
    assert_eq!((status.window.total(), status.window.bad()), (10, 0));
    assert!((status.budget_remaining.unwrap() - 1.0).abs() < 1e-9);
    assert!(status.burn_rate.unwrap() > 90.0, "{status:?}");
    assert!(
        status.budget_empty_in_secs.unwrap() < 8 * 3_600,
        "{status:?}"
    );
    assert_eq!(status.state, SloState::Ok);
    let period = status.period.unwrap();
    assert_eq!(period.to, time("2026-12-01T05:00:00Z"));
    // November has an hour more than its thirty days.
    let expected = 721.0 * 600.0;
    let share = period.expected_events / expected;
    assert!((0.99..1.02).contains(&share), "{period:?}");

    let status = evaluated(&app, "2026-11-01T08:00:00Z").await;
    assert_eq!((status.window.total(), status.window.bad()), (2_400, 0));
    assert!((status.budget_remaining.unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(status.budget_empty_in_secs, None);
}
