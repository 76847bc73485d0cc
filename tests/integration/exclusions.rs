//! Planned work on a real Postgres: out of every number, and back in once it is taken back.

use std::{sync::Arc, time::Duration};

use throughline::{
    domain::{
        counts::EventCounts,
        definition::{Catalog, Indicator, Slo, SpanIndicator},
        exclusion::{Exclusion, ExclusionScope},
        selector::Selector,
        time::{TimeRange, Timestamp},
    },
    evaluate::{Evaluator, EvaluatorSettings},
};
use tokio::sync::watch;

use crate::support::ledger::Ledger;

fn minute(at: i64) -> Timestamp {
    Timestamp::from_secs(1_795_327_200 + at * 60)
}

fn minutes(from: i64, to: i64) -> TimeRange {
    TimeRange::new(minute(from), minute(to))
}

fn orders(excluded: &[TimeRange]) -> Slo {
    let selector = Selector::parse(r#"{ name = "order" }"#).unwrap();
    let exclusion = Exclusion {
        name: "upgrade".parse().unwrap(),
        scope: ExclusionScope::All,
        reason: "database upgrade".to_owned(),
        stretches: excluded.to_vec(),
    };
    Slo {
        exclusions: vec![Arc::new(exclusion)],
        ..Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            Duration::from_hours(48),
            Indicator::Span(SpanIndicator::new(selector.clone(), selector)),
        )
    }
}

/// The events of the window as an evaluation sees them.
async fn evaluated(ledger: &Ledger, slo: Slo, now: Timestamp) -> (EventCounts, EventCounts) {
    let mut catalog = Catalog::default();
    catalog.slos.insert(slo.name.clone(), Arc::new(slo));
    let (_keep, catalog) = watch::channel(Arc::new(catalog));
    let settings = EvaluatorSettings {
        interval: Duration::from_secs(10),
        page_base_url: None,
    };
    let evaluator = Evaluator::new(ledger.store.clone(), catalog, settings);
    evaluator.tick(now).await.unwrap();
    let mut tx = ledger.store.begin("read a status").await.unwrap();
    let record = tx.slo(&"orders".parse().unwrap()).await.unwrap().unwrap();
    let status = record.status.unwrap();
    (status.window, status.last_hour)
}

#[tokio::test]
async fn an_hour_of_planned_work_burns_nothing_and_can_be_taken_back() {
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
    // Good for ten hours, but for one hour across two, which was planned.
    ledger.fill(slo, minutes(0, 330), good).await;
    ledger.fill(slo, minutes(330, 390), broken).await;
    ledger.fill(slo, minutes(390, 600), good).await;
    let of = |good, timeout| EventCounts {
        good,
        timeout,
        ..EventCounts::ZERO
    };
    let planned = [minutes(330, 390)];
    let (window, hour) = evaluated(&ledger, orders(&planned), minute(600)).await;
    assert_eq!((window, hour), (of(5_400, 0), of(600, 0)));
    // In the middle of it only what was before is looked at.
    let now = minute(360) + Duration::from_secs(30);
    let mut tx = ledger.store.begin("sum").await.unwrap();
    let last_hour = orders(&planned).counted(TimeRange::ending_at(now, Duration::from_hours(1)));
    let pieces = [
        (slo, last_hour),
        (slo, Vec::new()),
        (slo, vec![minutes(0, 1)]),
    ];
    let sums = tx.sums_of_pieces(&pieces).await.unwrap();
    assert_eq!(sums, [of(300, 0), of(0, 0), of(10, 0)]);
    drop(tx);
    let (window, hour) = evaluated(&ledger, orders(&[]), minute(601)).await;
    assert_eq!((window, hour), (of(5_400, 600), of(590, 0)));
}
