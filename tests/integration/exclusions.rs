//! Planned work on a real Postgres: out of every number, and back in once it is taken back.

use std::sync::Arc;

use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            time::{TimeRange, Timestamp},
        },
        slo::{
            Slo,
            exclusion::{Exclusion, ExclusionScope},
        },
        workflow::Outcome,
    },
    store::{BadSelection, Tx},
};

use crate::support::app::{BadWorkflow, HOUR, MINUTE, SECOND, TestApp, good, slo, time, timeouts};

const ORDERS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99%
  window: 48h
  indicator:
    span: { match: '{ name = "order" }', good: '{ status != error }' }
"#;

fn minute(at: u32) -> Timestamp {
    time("06:00") + MINUTE * at
}

fn minutes(from: u32, to: u32) -> TimeRange {
    TimeRange::new(minute(from), minute(to))
}

fn orders(excluded: &[TimeRange]) -> Slo {
    let exclusion = Exclusion {
        name: "upgrade".parse().unwrap(),
        scope: ExclusionScope::All,
        reason: "database upgrade".to_owned(),
        ranges: excluded.to_vec(),
    };
    Slo {
        exclusions: vec![Arc::new(exclusion)],
        ..slo(ORDERS)
    }
}

/// The events of the window as an evaluation sees them.
async fn evaluated(app: &TestApp, slo: Slo, now: Timestamp) -> (EventCounts, EventCounts) {
    app.define([slo]).await;
    app.clock.set(now);
    app.evaluate().await;
    let status = app.status().await;
    (status.window, status.last_hour)
}

#[tokio::test]
async fn an_hour_of_planned_work_burns_nothing_and_can_be_taken_back() {
    let app = TestApp::new().slo(ORDERS).at("06:00").await;
    let slo = app.only();
    // Good for ten hours, but for one hour across two, which was planned.
    app.fill([0, 330], good(10)).await;
    app.fill([330, 390], timeouts(10)).await;
    app.fill([390, 600], good(10)).await;
    let of = |good, timeout| EventCounts {
        good,
        timeout,
        ..EventCounts::ZERO
    };
    let planned = [minutes(330, 390)];
    let (window, hour) = evaluated(&app, orders(&planned), minute(600)).await;
    assert_eq!((window, hour), (of(5_400, 0), of(600, 0)));
    // In the middle of it only what was before is looked at.
    let now = minute(360) + SECOND * 30;
    let mut tx = app.store.begin("sum").await.unwrap();
    let last_hour = orders(&planned).counted(TimeRange::ending_at(now, HOUR));
    let pieces = [
        (slo, last_hour),
        (slo, Vec::new()),
        (slo, vec![minutes(0, 1)]),
    ];
    let sums = tx.sums_of_sets(&pieces).await.unwrap();
    assert_eq!(sums, [of(300, 0), of(0, 0), of(10, 0)]);
    drop(tx);
    let (window, hour) = evaluated(&app, orders(&[]), minute(601)).await;
    assert_eq!((window, hour), (of(5_400, 600), of(590, 0)));
}

#[tokio::test]
async fn what_is_planned_is_not_among_the_worst_workflows() {
    let app = TestApp::new().slo(ORDERS).at("06:00").await;
    let slo = app.only();
    for (label, at) in [("before", 300), ("planned", 345), ("after", 395)] {
        app.add_bad(BadWorkflow {
            label,
            customer: Some(label),
            started_at: minute(at - 5),
            judged_at: minute(at),
            ended_at: None,
            outcome: Outcome::Timeout,
        })
        .await;
    }
    let mut tx = app.store.begin("read").await.unwrap();
    let range = minutes(200, 400);
    let hurt = async |tx: &mut Tx<'_>, excluded: &[TimeRange]| -> (Vec<String>, i64) {
        let counted = orders(excluded).counted(range);
        let bad = BadSelection::of(slo, &counted);
        let worst = tx.worst_workflows(bad, minute(400), 9).await;
        let labels = worst.unwrap().into_iter().map(|one| one.label).collect();
        let customers = tx.worst_customers(bad, 9).await.unwrap();
        (labels, customers.customers)
    };
    let all = ["before", "planned", "after"].map(str::to_owned).to_vec();
    assert_eq!(hurt(&mut tx, &[]).await, (all, 3));
    let others = ["before", "after"].map(str::to_owned).to_vec();
    assert_eq!(hurt(&mut tx, &[minutes(330, 390)]).await, (others, 2));
}
