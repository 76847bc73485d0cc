//! Windows of the calendar on a real Postgres: a bad month does not burden the next.

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use throughline::{
    domain::{
        alerting::status::{SloState, SloStatus},
        model::{
            counts::EventCounts,
            time::{TimeRange, Timestamp},
            window::{Calendar, CalendarUnit, SloWindow},
        },
        slo::{Catalog, Indicator, Slo, SpanIndicator},
        traceql::Selector,
    },
    evaluate::{Evaluator, EvaluatorSettings},
};
use tokio::sync::watch;

use crate::support::ledger::Ledger;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn between(from: &str, to: &str) -> TimeRange {
    TimeRange::new(at(from), at(to))
}

/// A month of a place where it begins at four in the morning UTC, or five in winter.
fn orders() -> Slo {
    let selector = Selector::parse(r#"{ name = "order" }"#).unwrap();
    Slo::new(
        "orders".parse().unwrap(),
        "99%".parse().unwrap(),
        SloWindow::Calendar(Calendar {
            unit: CalendarUnit::Month,
            zone: Tz::America__New_York,
        }),
        Indicator::Span(SpanIndicator::new(selector.clone(), selector)),
    )
}

async fn evaluated(ledger: &Ledger, now: &str) -> SloStatus {
    let slo = orders();
    let mut catalog = Catalog::default();
    catalog.slos.insert(slo.name.clone(), Arc::new(slo));
    let (_keep, catalog) = watch::channel(Arc::new(catalog));
    let settings = EvaluatorSettings {
        interval: Duration::from_secs(10),
        page_base_url: None,
    };
    let evaluator = Evaluator::new(ledger.store.clone(), catalog, settings);
    evaluator.tick(at(now)).await.unwrap();
    let mut tx = ledger.store.begin("read a status").await.unwrap();
    let record = tx.slo(&"orders".parse().unwrap()).await.unwrap().unwrap();
    record.status.unwrap()
}

#[tokio::test]
async fn a_bad_month_does_not_burden_the_next() {
    let mut ledger = Ledger::create().await;
    let slo = ledger.declare("orders").await;
    let good = EventCounts {
        good: 10,
        ..EventCounts::ZERO
    };
    let broken = EventCounts {
        timeout: 10,
        ..EventCounts::ZERO
    };
    let october = between("2026-09-20T00:00:00Z", "2026-11-01T03:00:00Z");
    ledger.fill(slo, october, good).await;
    let last_hour = between("2026-11-01T03:00:00Z", "2026-11-01T04:00:00Z");
    ledger.fill(slo, last_hour, broken).await;
    let night = between("2026-10-20T00:00:00Z", "2026-10-20T10:00:00Z");
    ledger.fill(slo, night, broken).await;
    let november = between("2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z");
    ledger.fill(slo, november, good).await;

    let month = 31 * 1_440 * 10;
    let status = evaluated(&ledger, "2026-11-01T03:59:00Z").await;
    assert_eq!(status.window.bad(), 6_000 + 590);
    assert_eq!(status.window.good, month - 600);
    let period = status.period.unwrap();
    assert_eq!(period.from, at("2026-10-01T04:00:00Z"));
    assert_eq!(period.to, at("2026-11-01T04:00:00Z"));
    assert!(status.budget_remaining.unwrap() < -0.4, "{status:?}");

    // The last hour still burns, but a new budget: the 10 events are those of the minute under way.
    let status = evaluated(&ledger, "2026-11-01T04:00:30Z").await;
    assert_eq!((status.window.total(), status.window.bad()), (10, 0));
    assert!((status.budget_remaining.unwrap() - 1.0).abs() < 1e-9);
    assert!(status.burn_rate.unwrap() > 90.0, "{status:?}");
    assert!(
        status.budget_empty_in_secs.unwrap() < 8 * 3_600,
        "{status:?}"
    );
    assert_eq!(status.state, SloState::Ok);
    let period = status.period.unwrap();
    assert_eq!(period.to, at("2026-12-01T05:00:00Z"));
    // November has an hour more than its thirty days.
    let expected = 721.0 * 600.0;
    let share = period.expected_events / expected;
    assert!((0.99..1.02).contains(&share), "{period:?}");

    let status = evaluated(&ledger, "2026-11-01T08:00:00Z").await;
    assert_eq!((status.window.total(), status.window.bad()), (2_400, 0));
    assert!((status.budget_remaining.unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(status.budget_empty_in_secs, None);
}
