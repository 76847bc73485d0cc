//! Counts over look-backs, declared names, and the claims and swaps that replicas share work by.

use std::{collections::BTreeMap, time::Duration};

use throughline::{
    domain::{
        alerting::{
            alert::{Alert, AlertPhase, Episode, EvaluatedTime, Waits},
            suppression::Suppression,
        },
        model::{
            counts::EventCounts,
            ids::{Name, SloId},
            time::{Resolution, TimeRange, Timestamp},
        },
        slo::Severity,
    },
    store::{Declaration, SeriesQuery, Store},
};
use uuid::Uuid;

use crate::support::{app::TestApp, database::TestDatabase};

const INTERVAL: Duration = Duration::from_secs(5);

fn noon() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T12:00:30Z").unwrap()
}

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

async fn declare(store: &Store, declared: &[&str]) -> BTreeMap<Name, SloId> {
    let mut tx = store.begin("declare SLOs").await.unwrap();
    let ids = tx.declare(&names(declared)).await.unwrap();
    tx.commit().await.unwrap();
    ids
}

async fn claim(store: &Store, now: Timestamp) -> Vec<String> {
    let mut tx = store.begin("claim SLOs").await.unwrap();
    let due = tx.claim_due(now, INTERVAL, None).await.unwrap().due;
    tx.commit().await.unwrap();
    let mut names: Vec<_> = due.iter().map(|slo| slo.name.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_sum_is_that_of_the_minutes_however_long_the_range() {
    let app = TestApp::new().await;
    let [slo, other] = [SloId(1), SloId(2)];
    let from = Timestamp::parse_rfc3339("2026-11-18T22:47:00Z").unwrap();
    let all = TimeRange::new(from, noon().floor_to(Resolution::Minute.length()));
    let each = EventCounts {
        good: 7,
        late: 1,
        failed: 2,
        timeout: 3,
        ..EventCounts::ZERO
    };
    app.fill_range(slo, all, each).await;
    let starts = [0, 1, 59, 60, 61, 1_439, 1_440, 2_881, 4_000]
        .map(|minutes| TimeRange::new(from + Duration::from_mins(minutes), all.to));
    let mut asked: Vec<_> = starts.iter().map(|range| (slo, *range)).collect();
    asked.push((other, all));
    asked.push((slo, TimeRange::new(all.to, all.to)));
    let mut tx = app.store.begin("read counts").await.unwrap();
    let sums = tx.sums(&asked).await.unwrap();
    for (range, sum) in starts.iter().zip(&sums) {
        let minutes = i64::try_from(range.length().as_secs() / 60).unwrap();
        assert_eq!(
            (sum.good, sum.bad()),
            (7 * minutes, 6 * minutes),
            "{range:?}"
        );
    }
    assert_eq!(sums[9..], [EventCounts::ZERO; 2]);
}

#[tokio::test]
async fn a_series_has_the_buckets_with_events_in_order() {
    let app = TestApp::new().await;
    let slo = SloId(1);
    let hour = noon().floor_to(Resolution::Hour.length());
    let each = EventCounts {
        good: 1,
        ..EventCounts::ZERO
    };
    for from in [
        hour - Duration::from_hours(3),
        hour - Duration::from_mins(5),
    ] {
        let range = TimeRange::new(from, from + Duration::from_mins(10));
        app.fill_range(slo, range, each).await;
    }
    let mut tx = app.store.begin("read counts").await.unwrap();
    let range = TimeRange::ending_at(noon(), Duration::from_hours(6));
    let query = SeriesQuery {
        resolution: Resolution::Hour,
        range,
        step: Resolution::Hour.length(),
    };
    let series = tx.series(&[slo, SloId(2)], query).await.unwrap();
    assert_eq!(series.len(), 1, "an SLO without events has no series");
    let good: Vec<_> = series[&slo]
        .iter()
        .map(|point| (point.at, point.counts.good))
        .collect();
    let before = |hours| hour - Duration::from_hours(hours);
    assert_eq!(good, [(before(3), 10), (before(1), 5), (hour, 5)]);
}

#[tokio::test]
async fn an_id_outlives_the_removal_of_its_name() {
    let store = TestDatabase::create().await.store;
    let first = declare(&store, &["orders", "refunds"]).await;
    let second = declare(&store, &["orders"]).await;
    assert_eq!(second.len(), 1);
    assert_eq!(claim(&store, noon()).await, ["orders"]);
    assert_eq!(declare(&store, &["refunds", "orders"]).await, first);
    assert_eq!(
        claim(&store, noon() + INTERVAL).await,
        ["orders", "refunds"]
    );
}

#[tokio::test]
async fn replicas_that_declare_at_once_agree_on_the_ids() {
    let store = TestDatabase::create().await.store;
    for round in 0..10 {
        let declared: Vec<_> = (0..=round).map(|slo| format!("slo-{slo}")).collect();
        let forward: Vec<&str> = declared.iter().map(String::as_str).collect();
        let backward: Vec<&str> = forward.iter().rev().copied().collect();
        let (one, two) = tokio::join!(declare(&store, &forward), declare(&store, &backward));
        assert_eq!(one, two);
        assert_eq!(one.len(), declared.len());
    }
}

#[tokio::test]
async fn an_slo_is_claimed_once_per_interval_and_by_one_replica() {
    let store = TestDatabase::create().await.store;
    declare(&store, &["orders", "refunds"]).await;
    let (one, two) = tokio::join!(claim(&store, noon()), claim(&store, noon()));
    assert_eq!(one.len() + two.len(), 2);
    assert_eq!(
        claim(&store, noon() + Duration::from_secs(4)).await.len(),
        0
    );
    assert_eq!(claim(&store, noon() + INTERVAL).await.len(), 2);
}

#[tokio::test]
async fn a_claim_in_progress_is_passed_over_and_not_waited_for() {
    let store = TestDatabase::create().await.store;
    declare(&store, &["orders"]).await;
    let mut tx = store.begin("claim SLOs").await.unwrap();
    let due = tx.claim_due(noon(), INTERVAL, None).await.unwrap().due;
    assert_eq!(due[0].declaration, Declaration::Declared);
    assert_eq!(claim(&store, noon()).await.len(), 0);
    drop(tx);
    // An abandoned transaction is rolled back in the background.
    let claimed = async { while claim(&store, noon()).await != ["orders"] {} };
    tokio::time::timeout(Duration::from_secs(30), claimed)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_claim_by_a_clock_that_was_set_back_since_is_void() {
    let store = TestDatabase::create().await.store;
    declare(&store, &["orders"]).await;
    assert_eq!(
        claim(&store, noon() + Duration::from_hours(5)).await,
        ["orders"]
    );
    assert_eq!(claim(&store, noon()).await, ["orders"]);
}

#[tokio::test]
async fn a_swap_from_an_outdated_version_changes_nothing() {
    let store = TestDatabase::create().await.store;
    let slo = *declare(&store, &["orders"]).await.values().next().unwrap();
    let key = (slo, Severity::Page);
    let firing = |rule: &str| Alert {
        version: 1,
        phase: AlertPhase::Firing(Episode {
            flaps: 3,
            stale_since: Some(noon() + INTERVAL),
            muted: Some(Suppression::Inhibited { by: Severity::Page }),
            ..Episode::begin(Uuid::now_v7(), rule.parse().unwrap(), noon())
        }),
    };
    let (first, second) = (firing("fast-burn"), firing("slow-burn"));
    let mut tx = store.begin("change an alert").await.unwrap();
    tx.insert_alerts(&[key], noon()).await.unwrap();
    tx.insert_alerts(&[key], noon() + INTERVAL).await.unwrap();
    assert_eq!(tx.alerts(&[slo]).await.unwrap()[&key], Alert::new(noon()));
    assert!(tx.swap_alert(slo, Severity::Page, 0, &first).await.unwrap());
    assert!(
        !tx.swap_alert(slo, Severity::Page, 0, &second)
            .await
            .unwrap()
    );
    assert_eq!(tx.alerts(&[slo]).await.unwrap()[&key], first);
    let recovering = Alert {
        version: 2,
        phase: AlertPhase::Recovering {
            episode: first.episode().unwrap().clone(),
            clear: EvaluatedTime {
                so_far: INTERVAL,
                until: noon() + INTERVAL,
            },
        },
    };
    assert!(
        tx.swap_alert(slo, Severity::Page, 1, &recovering)
            .await
            .unwrap()
    );
    assert_eq!(tx.alerts(&[slo]).await.unwrap()[&key], recovering);
    let pending = Alert {
        version: 3,
        phase: AlertPhase::Pending(Waits {
            since: noon(),
            rules: [(
                "slow-burn".parse().unwrap(),
                EvaluatedTime::starting(noon()),
            )]
            .into(),
        }),
    };
    assert!(
        tx.swap_alert(slo, Severity::Page, 2, &pending)
            .await
            .unwrap()
    );
    assert_eq!(tx.alerts(&[slo]).await.unwrap()[&key], pending);
}
