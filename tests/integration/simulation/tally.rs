//! What is counted, by the database and by the oracle, in a form that can be compared.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::{oracle::Event, world::World};

const MINUTE: i64 = 60_000_000;

const COLUMNS: [&str; 11] = [
    "good",
    "late",
    "failed",
    "timeout",
    "cancelled",
    "orphan",
    "invalid",
    "unobservable",
    "sampled",
    "unseen_good",
    "unseen_bad",
];

/// The SLO, its group unless it is all of it, and the minute since the epoch.
pub(super) type Bucket = (String, Option<Option<String>>, i64);

/// By bucket and column; nothing is zero.
pub(super) type Tally = BTreeMap<Bucket, BTreeMap<&'static str, i64>>;

/// What the oracle's verdicts come to.
pub(super) fn expected<'a>(events: impl IntoIterator<Item = &'a Event>) -> Tally {
    let mut tally = Tally::new();
    for event in events {
        let minute = event.at.div_euclid(MINUTE);
        let all = (event.slo.to_owned(), None, minute);
        let of_group = event.group.clone();
        let of_group = of_group.map(|group| (event.slo.to_owned(), Some(group), minute));
        for bucket in [Some(all), of_group].into_iter().flatten() {
            *tally
                .entry(bucket)
                .or_default()
                .entry(event.outcome)
                .or_default() += 1;
        }
    }
    tally
}

/// What the database has counted, the same at every resolution.
pub(super) async fn counted(world: &World) -> Tally {
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
        let group = row.get::<bool, _>("is_group").then(|| row.get("value"));
        let counts: BTreeMap<_, i64> = COLUMNS
            .into_iter()
            .map(|column| (column, row.get(column)))
            .filter(|(_, count)| *count != 0)
            .collect();
        if !counts.is_empty() {
            tally.insert((row.get("slo"), group, row.get("minute")), counts);
        }
    }
    tally
}

/// Says where two tallies differ, a few places of many.
pub(super) fn differences(counted: &Tally, expected: &Tally) -> String {
    let keys: std::collections::BTreeSet<_> = counted.keys().chain(expected.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| counted.get(*key) != expected.get(*key));
    let lines: Vec<String> = differing
        .map(|key| {
            let (counted, expected) = (counted.get(key), expected.get(key));
            format!("{key:?}: counted {counted:?}, expected {expected:?}")
        })
        .collect();
    let few = lines
        .iter()
        .take(20)
        .map(String::as_str)
        .collect::<Vec<_>>();
    format!("{} buckets differ\n{}", lines.len(), few.join("\n"))
}
