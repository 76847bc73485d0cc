//! What is counted, by the database and by the oracle, in a form that can be compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use sqlx::{Row as _, postgres::PgRow};

use super::{
    oracle::{Event, Group},
    world::TestBench,
};

const MINUTE: i64 = 60_000_000;

const COLUMNS: [&str; 13] = [
    "good",
    "late",
    "failed",
    "timeout",
    "cancelled",
    "orphan",
    "invalid",
    "unobservable",
    "evidence_lost",
    "ambiguous",
    "sampled",
    "extrapolated_good",
    "extrapolated_bad",
];

/// The SLO, the group, and the minute since the epoch.
pub(super) type Bucket = (String, Group, i64);

/// By bucket and column; nothing is zero.
pub(super) type Tally = BTreeMap<Bucket, BTreeMap<&'static str, i64>>;

/// What the oracle's verdicts come to.
pub(super) fn expected(events: &[Event]) -> Tally {
    let mut tally = Tally::new();
    for event in events {
        let minute = event.at.div_euclid(MINUTE);
        for group in groups(event) {
            let bucket = (event.slo.to_owned(), group, minute);
            for (column, count) in columns(event) {
                *tally
                    .entry(bucket.clone())
                    .or_default()
                    .entry(column)
                    .or_default() += count;
            }
        }
    }
    tally
}

/// Its own, and that of all.
fn groups(event: &Event) -> BTreeSet<Group> {
    BTreeSet::from([Group::All, event.group.clone()])
}

/// An event counts once, and stands for others besides if it is of a sample.
fn columns(event: &Event) -> Vec<(&'static str, i64)> {
    let mut columns = vec![(event.outcome, 1)];
    if let Some(stands_for) = event.stands_for {
        let unseen = if event.outcome == "good" {
            "extrapolated_good"
        } else {
            "extrapolated_bad"
        };
        columns.extend([("sampled", 1), (unseen, (stands_for - 1) * 1_000_000)]);
    }
    columns
}

/// A customer in a bucket, whose length and start are in seconds.
pub(super) type Customer = (String, Group, [i64; 2], String);

/// All events of a customer, and the bad ones.
pub(super) type Customers = BTreeMap<Customer, (i64, i64)>;

/// Whose experience the oracle's verdicts are.
pub(super) fn expected_customers(events: &[Event]) -> Customers {
    let mut customers = Customers::new();
    for event in events {
        let is_event = ["good", "late", "failed", "timeout"].contains(&event.outcome);
        let (Some(customer), true) = (&event.customer, is_event) else {
            continue;
        };
        let hour_and_day = [3_600, 86_400];
        let bucket = |length: i64| [length, event.at.div_euclid(length * 1_000_000) * length];
        let buckets = hour_and_day.map(bucket);
        let groups = groups(event);
        let places = groups
            .iter()
            .flat_map(|group| buckets.map(|bucket| (group, bucket)));
        for (group, bucket) in places {
            let key = (
                event.slo.to_owned(),
                group.clone(),
                bucket,
                customer.clone(),
            );
            let counts = customers.entry(key).or_default();
            counts.0 += 1;
            counts.1 += i64::from(event.outcome != "good");
        }
    }
    customers
}

/// Whose experience the database has counted.
pub(super) async fn counted_customers(world: &TestBench) -> Customers {
    let rows = sqlx::query(
        "select coalesce(slo.name, parent.name) as slo, parent.id is not null as is_group,
             slo.group_values ->> 0 as value, customer, events, bad,
             array[resolution, extract(epoch from bucket)::bigint] as bucket
         from customer_counts join slos slo on slo.id = slo_id
             left join slos parent on parent.id = slo.parent_id
         where (events, bad) <> (0, 0)",
    )
    .fetch_all(&mut world.database().connect().await)
    .await
    .unwrap();
    let row = |row: &PgRow| {
        let bucket: Vec<i64> = row.get("bucket");
        let bucket = [bucket[0], bucket[1]];
        let key = (row.get("slo"), group(row), bucket, row.get("customer"));
        (key, (row.get("events"), row.get("bad")))
    };
    rows.iter().map(row).collect()
}

/// What the database has counted, the same at every resolution.
pub(super) async fn counted(world: &TestBench) -> Tally {
    let sums = COLUMNS.map(|column| format!("sum({column})::bigint as {column}"));
    let query = format!(
        "select coalesce(slo.name, parent.name) as slo, parent.id is not null as is_group,
             slo.group_values ->> 0 as value, extract(epoch from bucket)::bigint / 60 as minute, {}
         from event_counts join slos slo on slo.id = slo_id
             left join slos parent on parent.id = slo.parent_id
         where resolution = 60 group by 1, 2, 3, 4",
        sums.join(", ")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .fetch_all(&mut world.database().connect().await)
        .await
        .unwrap();
    let mut tally = Tally::new();
    for row in rows {
        let counts: BTreeMap<_, i64> = COLUMNS
            .into_iter()
            .map(|column| (column, row.get(column)))
            .filter(|(_, count)| *count != 0)
            .collect();
        if !counts.is_empty() {
            tally.insert((row.get("slo"), group(&row), row.get("minute")), counts);
        }
    }
    tally
}

fn group(row: &PgRow) -> Group {
    if row.get("is_group") {
        Group::Of(row.get("value"))
    } else {
        Group::All
    }
}

/// Says where two accounts differ, a few places of many.
pub(super) fn differences<K: Ord + Debug, V: PartialEq + Debug>(
    counted: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) -> String {
    let keys: BTreeSet<&K> = counted.keys().chain(expected.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| counted.get(key) != expected.get(key));
    let lines: Vec<String> = differing
        .map(|key| {
            let (counted, expected) = (counted.get(key), expected.get(key));
            format!("{key:?}: counted {counted:?}, expected {expected:?}")
        })
        .collect();
    let few: Vec<&str> = lines
        .iter()
        .step_by(lines.len() / 20 + 1)
        .map(String::as_str)
        .collect();
    format!("{} places differ\n{}", lines.len(), few.join("\n"))
}
