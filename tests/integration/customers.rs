//! Customers per SLO and bucket, on a real Postgres: the same as an independent count, whatever the
//! order, the duplicates and the replicas, and bounded whatever is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use throughline::{
    domain::{
        counting::customers::CustomerTotal,
        model::{
            group::GroupValues,
            ids::{Revision, SloId, TraceId},
            time::{TimeRange, Timestamp},
        },
        workflow::{EventKey, Evidence, Fact, SpanOutcome},
    },
    store::{CustomerImpact, Progress, Store},
};

use crate::support::app::{Replica, TestApp, minute_long};

const SLO: SloId = SloId(1);
const HOUR: i64 = 3_600;

/// On a whole day.
fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_305_600 + secs)
}

fn decided(event: u32, customer: &str, outcome: SpanOutcome, secs: i64) -> Evidence {
    let fact = Fact::Decided {
        started: at(secs),
        at: at(secs),
        outcome,
    };
    evidence(event, Some(customer), fact)
}

fn evidence(event: u32, customer: Option<&str>, fact: Fact) -> Evidence {
    let mut key = [7; 16];
    key[..4].copy_from_slice(&event.to_be_bytes());
    Evidence {
        revision: Revision::default(),
        slo: SLO,
        key: EventKey(key),
        label: format!("order-{event}"),
        fact,
        trace_id: TraceId::from_slice(&key).unwrap(),
        customer: customer.map(str::to_owned),
        sample: None,
        group: GroupValues::default(),
    }
}

async fn app() -> TestApp {
    let orders = minute_long("placed", "shipped", "trace", "");
    TestApp::new().slo(&orders).at("00:00").await
}

async fn hurt(store: &Store, range: TimeRange) -> Option<CustomerImpact> {
    let mut tx = store.begin("read customers").await.unwrap();
    let set = (SLO, vec![range]);
    tx.customer_impact(&[set]).await.unwrap().remove(&SLO)
}

const fn out_of(affected: i64, customers: i64) -> CustomerImpact {
    let total = CustomerTotal {
        customers,
        is_lower_bound: false,
        affected_is_upper_bound: false,
    };
    CustomerImpact { affected, total }
}

#[tokio::test]
async fn customers_are_told_out_of_all_that_had_an_event() {
    let app = app().await;
    let store = &app.store;
    let events = [
        decided(1, "acme", SpanOutcome::Late, 10),
        decided(2, "acme", SpanOutcome::Good, 20),
        decided(3, "globex", SpanOutcome::Good, 30),
        decided(4, "initech", SpanOutcome::Failed, HOUR + 10),
        decided(5, "umbrella", SpanOutcome::Good, 30 * HOUR),
    ];
    app.record(&events).await;
    let first_hour = TimeRange::new(at(0), at(HOUR));
    assert_eq!(hurt(store, first_hour).await, Some(out_of(1, 2)));
    // Who is affected is told to the minute, of how many by whole hours.
    let minutes = TimeRange::new(at(30), at(HOUR + 60));
    assert_eq!(hurt(store, minutes).await, Some(out_of(1, 3)));
    for days in [2, 9, 400] {
        let range = TimeRange::new(at(0), at(days * 24 * HOUR));
        assert_eq!(hurt(store, range).await, Some(out_of(2, 4)), "{days} days");
    }
    let nobody = TimeRange::new(at(29 * HOUR), at(31 * HOUR));
    assert_eq!(hurt(store, nobody).await, None);
}

#[tokio::test]
async fn a_customer_whose_only_bad_event_was_corrected_is_not_affected_any_more() {
    let app = app().await;
    let store = &app.store;
    let start = |event, secs| {
        let within = Duration::from_mins(1);
        let fact = Fact::Started {
            at: at(secs),
            within,
        };
        evidence(event, Some("acme"), fact)
    };
    let failed = |event, secs| evidence(event, None, Fact::Failed { at: at(secs) });
    let succeeded = |event, secs| evidence(event, None, Fact::Succeeded { at: at(secs) });
    app.record(&[start(1, 0), failed(1, 5)]).await;
    app.record(&[start(2, 0), failed(2, 5)]).await;
    let day = TimeRange::new(at(0), at(24 * HOUR));
    let days = TimeRange::new(at(0), at(10 * 24 * HOUR));
    let other = app.replica();
    other.record(&[succeeded(1, 50)]).await;
    for range in [day, days] {
        assert_eq!(hurt(store, range).await, Some(out_of(1, 1)));
    }
    other.record(&[succeeded(2, 50)]).await;
    for range in [day, days] {
        assert_eq!(hurt(store, range).await, None);
    }
}

#[tokio::test]
async fn who_had_bad_events_in_planned_work_alone_is_not_hurt() {
    let app = app().await;
    let store = &app.store;
    let events = [
        decided(1, "acme", SpanOutcome::Late, 10),
        decided(2, "globex", SpanOutcome::Late, 2 * HOUR + 10),
        decided(3, "acme", SpanOutcome::Late, 4 * HOUR + 10),
        decided(4, "initech", SpanOutcome::Good, 4 * HOUR + 20),
    ];
    app.record(&events).await;
    let planned = |to: i64| {
        let before = TimeRange::new(at(0), at(2 * HOUR));
        vec![before, TimeRange::new(at(3 * HOUR), at(to))]
    };
    // To the minute, by the hour, and by days, which are too long to tell.
    for (to, expected) in [
        (5 * HOUR, out_of(1, 2)),
        (48 * HOUR, out_of(1, 2)),
        (240 * HOUR, out_of(2, 3)),
    ] {
        let mut tx = store.begin("read customers").await.unwrap();
        let hurt = tx.customer_impact(&[(SLO, planned(to))]).await.unwrap();
        assert_eq!(hurt.get(&SLO), Some(&expected), "{to}");
    }
}

#[tokio::test]
async fn a_customer_per_event_fills_a_bucket_and_no_more() {
    let app = app().await;
    let store = &app.store;
    let bad = |event: u32, secs| decided(event, &format!("c{event}"), SpanOutcome::Late, secs);
    let bomb: Vec<Evidence> = (0..10_250).map(|event| bad(event, 10)).collect();
    let other = app.replica();
    let (first, second) = bomb.split_at(5_100);
    tokio::join!(app.record(first), other.record(second));
    // The same once more changes nothing, for those that found no room either.
    other.record(&bomb[9_000..]).await;
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("select resolution, count(*) from customer_counts group by 1 order by 1")
            .fetch_all(&mut app.database.connect().await)
            .await
            .unwrap();
    assert_eq!(rows, [(3_600, 10_000), (86_400, 10_000)]);
    let mut tx = store.begin("read customers").await.unwrap();
    let long = TimeRange::new(at(0), at(10 * 24 * HOUR));
    assert_eq!(tx.customers_overflow(SLO, long).await.unwrap(), 250);
    let total = tx.customers_total(SLO, &[long]).await.unwrap();
    assert_eq!(total.text(), "at least 10,000");
    // The next hour has room again.
    app.record(&[bad(20_000, HOUR + 5)]).await;
    let next_hour = TimeRange::new(at(HOUR), at(2 * HOUR));
    assert_eq!(hurt(store, next_hour).await, Some(out_of(1, 1)));
}

async fn drop_old(store: &Store) -> Progress {
    let mut tx = store.begin("drop customers").await.unwrap();
    let hours = at(48 * HOUR);
    let progress = tx.drop_old_customers(hours, at(0)).await.unwrap();
    tx.commit().await.unwrap();
    progress
}

#[tokio::test]
async fn old_buckets_are_dropped_and_newer_ones_stay() {
    let app = app().await;
    let store = &app.store;
    let mut tx = store.begin("prepare").await.unwrap();
    let range = TimeRange::new(at(0), at(72 * HOUR));
    tx.ensure_count_partitions(range).await.unwrap();
    tx.commit().await.unwrap();
    let events = [
        decided(1, "acme", SpanOutcome::Late, 10),
        decided(2, "globex", SpanOutcome::Late, 48 * HOUR),
    ];
    app.record(&events).await;
    while drop_old(store).await == Progress::More {}
    let hours = "select count(*) from customer_counts where resolution = 3600";
    assert_eq!(app.number(hours).await, 1, "the older hour is gone");
    let days = TimeRange::new(at(0), at(10 * 24 * HOUR));
    assert_eq!(hurt(store, days).await, Some(out_of(2, 2)));
}

/// One piece of evidence of a small world, by small numbers.
#[derive(Clone, Copy, Debug)]
struct Piece {
    event: u32,
    customer: Option<u8>,
    what: u8,
    /// In steps of 20 minutes.
    step: i64,
}

impl Piece {
    fn evidence(self) -> Evidence {
        let customer = self.customer.map(|n| format!("customer-{n}"));
        let when = at(self.step * 1_200 + 7);
        let outcome = match self.what {
            0 => SpanOutcome::Late,
            1 => SpanOutcome::Failed,
            _ => SpanOutcome::Good,
        };
        // Copies of a span may differ in all but what identifies it.
        let fact = Fact::Decided {
            started: at(0),
            at: when,
            outcome,
        };
        evidence(self.event, customer.as_deref(), fact)
    }
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = (0_u32..12, proptest::option::of(0_u8..5), 0_u8..4, 0_i64..12).prop_map(
        |(event, customer, what, step)| Piece {
            event,
            customer,
            what,
            step,
        },
    );
    proptest::collection::vec(piece, 1..40)
}

/// Counted from all pieces at once: of an event the worst copy counts, at its earliest end, for the
/// first customer by name.
fn expected(pieces: &[Piece]) -> Vec<(i64, i64)> {
    let events: BTreeSet<u32> = pieces.iter().map(|piece| piece.event).collect();
    let (mut all, mut bad) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        let copies = || pieces.iter().filter(|piece| piece.event == event);
        let Some(customer) = copies().filter_map(|piece| piece.customer).min() else {
            continue;
        };
        let rank = |piece: &Piece| match piece.what {
            1 => 0,
            0 => 1,
            _ => 2,
        };
        let worst = copies().map(rank).min().unwrap();
        let ends = copies().filter(|piece| rank(piece) == worst);
        let hour = ends.map(|piece| piece.step).min().unwrap() / 3;
        all.entry(hour)
            .or_insert_with(BTreeSet::new)
            .insert(customer);
        if worst < 2 {
            bad.entry(hour)
                .or_insert_with(BTreeSet::new)
                .insert(customer);
        }
    }
    let count = |sets: &BTreeMap<i64, BTreeSet<u8>>, hour| {
        sets.get(&hour)
            .map_or(0, |set| i64::try_from(set.len()).unwrap())
    };
    (0..4)
        .map(|hour| (count(&bad, hour), count(&all, hour)))
        .collect()
}

async fn by_hour(app: &TestApp) -> Vec<(i64, i64)> {
    let mut hours = Vec::new();
    for hour in 0..4 {
        let counted: (i64, i64) = sqlx::query_as(
            "select count(*) filter (where bad > 0), count(*) filter (where events > 0)
             from customer_counts where resolution = 3600 and bucket = $1",
        )
        .bind(at(hour * HOUR).to_chrono())
        .fetch_one(&mut app.database.connect().await)
        .await
        .unwrap();
        hours.push(counted);
    }
    hours
}

async fn write(replica: &Replica, pieces: &[Piece]) {
    for chunk in pieces.chunks(3) {
        let evidence: Vec<Evidence> = chunk.iter().map(|piece| piece.evidence()).collect();
        replica.record(&evidence).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_with_duplicates_over_two_writers_gives_the_customers_of_an_independent_count() {
    let shuffled = pieces().prop_flat_map(|pieces| {
        let twice: Vec<Piece> = [pieces.clone(), pieces].concat();
        Just(twice).prop_shuffle()
    });
    let mut runner = TestRunner::new(ProptestConfig::with_cases(1));
    for _ in 0..24 {
        let pieces = shuffled.new_tree(&mut runner).unwrap().current();
        let app = app().await;
        let (one, other) = pieces.split_at(pieces.len() / 2);
        let replica = app.replica();
        tokio::join!(write(&app, one), write(&replica, other));
        assert_eq!(by_hour(&app).await, expected(&pieces), "{pieces:?}");
    }
}
