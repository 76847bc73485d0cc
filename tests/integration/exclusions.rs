//! Planned work on a real Postgres: out of every number, and back in once it is taken back.

use std::{sync::Arc, time::Duration};

use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            time::{TimeRange, Timestamp},
        },
        slo::{
            Catalog, Indicator, Slo, SpanIndicator,
            exclusion::{Exclusion, ExclusionScope},
        },
        traceql::Selector,
        workflow::Outcome,
    },
    evaluate::{Evaluator, EvaluatorSettings},
    store::Tx,
};
use tokio::sync::watch;

use crate::support::ledger::{BadWorkflow, Ledger};

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

#[tokio::test]
async fn what_is_planned_is_not_among_the_worst_workflows() {
    let mut ledger = Ledger::create().await;
    let slo = ledger.declare("orders").await;
    for (label, at) in [("before", 300), ("planned", 345), ("after", 395)] {
        ledger
            .add_bad(
                slo,
                BadWorkflow {
                    label,
                    customer: Some(label),
                    started_at: minute(at - 5),
                    judged_at: minute(at),
                    ended_at: None,
                    outcome: Outcome::Timeout,
                },
            )
            .await;
    }
    let mut tx = ledger.store.begin("read").await.unwrap();
    let range = minutes(200, 400);
    let hurt = async |tx: &mut Tx<'_>, excluded: &[TimeRange]| -> (Vec<String>, i64) {
        let counted = orders(excluded).counted(range);
        let worst = tx.worst_workflows(slo, (&counted, minute(400)), 9).await;
        let labels = worst.unwrap().into_iter().map(|one| one.label).collect();
        let customers = tx.worst_customers(slo, &counted, 9).await.unwrap();
        (labels, customers.customers)
    };
    let all = ["before", "planned", "after"].map(str::to_owned).to_vec();
    assert_eq!(hurt(&mut tx, &[]).await, (all, 3));
    let others = ["before", "after"].map(str::to_owned).to_vec();
    assert_eq!(hurt(&mut tx, &[minutes(330, 390)]).await, (others, 2));
}
