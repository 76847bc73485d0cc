//! Customers per SLO and bucket: written together with the verdicts, counted over look-backs.
//!
//! A bucket has rows for a bounded number of customers; the others share its overflow. A row stays
//! as long as its bucket: so each customer is counted either by itself or in the overflow, from its
//! first event to the last correction.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        counting::customers::{
            CustomerBucket, CustomerCounts, CustomerTotal, MAX_PER_BUCKET, buckets_of, reach,
        },
        model::{
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
    },
    store::{StoreError, Tx, batch::Batch},
};

/// The longest range (a day, widened to whole minutes) for which customers with a bad event are
/// counted to the minute, from the workflows themselves; longer ranges are counted by whole
/// buckets.
const TO_THE_MINUTE: Duration = Duration::from_hours(25);

/// The number of customers with a bad event, and of those with any event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomerImpact {
    pub affected: i64,
    pub total: CustomerTotal,
}

/// The number of customers with a bad event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AffectedCount {
    /// Customers of whom it is known.
    pub known: i64,
    /// Bad events that were judged by count: each may be of another customer of its batch.
    pub unknown: i64,
}

impl CustomerImpact {
    /// Makes the largest possible number of affected customers, where it is unknown who they are.
    fn new(affected: AffectedCount, total: CustomerTotal) -> Self {
        let AffectedCount { known, unknown } = affected;
        let most = known + unknown;
        let is_upper_bound = unknown > 0;
        let affected = if is_upper_bound && !total.is_lower_bound {
            most.min(total.customers.max(known))
        } else {
            most
        };
        Self {
            affected,
            total: CustomerTotal {
                customers: total.customers.max(affected),
                affected_is_upper_bound: is_upper_bound,
                ..total
            },
        }
    }
}

pub(crate) type CustomerRow<'a> = (CustomerBucket, &'a str);

/// Differences of the counts of customers.
pub(crate) type CustomerRows<'a> = BTreeMap<CustomerRow<'a>, CustomerCounts>;

impl Batch {
    /// Adds the differences.
    pub(crate) fn add_customers(&mut self, rows: &CustomerRows<'_>) {
        if rows.is_empty() {
            return;
        }
        let columns = BucketColumns::of(rows.keys().map(|(bucket, _)| bucket));
        let customers: Vec<&str> = rows.keys().map(|(_, customer)| *customer).collect();
        let events: Vec<i64> = rows.values().map(|counts| counts.events).collect();
        let bad: Vec<i64> = rows.values().map(|counts| counts.bad).collect();
        let by_count: Vec<i64> = rows.values().map(|counts| counts.bad_by_count).collect();
        self.add(concat!(
            "-- customer.add\n",
            "insert into customer_counts as c ",
            "(slo_id, resolution, bucket, customer, events, bad, bad_by_count) select n.* ",
            "from unnest($1::integer[], $2::integer[], $3::timestamptz[], $4::text[], ",
            "$5::bigint[], $6::bigint[], $7::bigint[]) ",
            "as n(slo_id, resolution, bucket, customer, events, bad, bad_by_count) ",
            "on conflict (slo_id, resolution, bucket, customer) do update set ",
            "events = c.events + excluded.events, bad = c.bad + excluded.bad, ",
            "bad_by_count = c.bad_by_count + excluded.bad_by_count",
        ))
        .bind(columns.slos)
        .bind(columns.resolutions)
        .bind(columns.buckets)
        .bind(customers)
        .bind(events)
        .bind(bad)
        .bind(by_count);
    }
}

impl Tx<'_> {
    /// Returns which of `keys` have a row.
    pub(crate) async fn customers_with_rows<'a, 'k: 'a>(
        &mut self,
        keys: impl Iterator<Item = &'a CustomerRow<'k>>,
    ) -> Result<BTreeSet<CustomerRow<'k>>, StoreError> {
        let keys: Vec<&CustomerRow<'k>> = keys.collect();
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        let columns = BucketColumns::of(keys.iter().map(|(bucket, _)| bucket));
        let customers: Vec<&str> = keys.iter().map(|(_, customer)| *customer).collect();
        let found: Vec<i64> = sqlx::query_scalar(concat!(
            "-- customer.with_rows\n",
            "select n.place from unnest($1::integer[], $2::integer[], $3::timestamptz[], ",
            "$4::text[]) with ordinality as n(slo_id, resolution, bucket, customer, place) ",
            "where exists (select from customer_counts c where c.slo_id = n.slo_id ",
            "and c.resolution = n.resolution and c.bucket = n.bucket and c.customer = n.customer)",
        ))
        .bind(columns.slos)
        .bind(columns.resolutions)
        .bind(columns.buckets)
        .bind(customers)
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let index = |index: i64| usize::try_from(index - 1).ok();
        let found = found.into_iter().filter_map(index);
        Ok(found
            .filter_map(|at| keys.get(at).map(|key| **key))
            .collect())
    }

    /// Removes from `rows` the customers whose bucket is full, and counts them in the overflow. Locks
    /// the buckets of all customers that are not among the `known` ones.
    pub(crate) async fn make_room(
        &mut self,
        rows: &mut BTreeMap<CustomerRow<'_>, CustomerCounts>,
        known: &BTreeSet<CustomerRow<'_>>,
    ) -> Result<(), StoreError> {
        let mut unknown: BTreeSet<CustomerRow<'_>> = rows.keys().copied().collect();
        unknown.retain(|key| !known.contains(key));
        let buckets: BTreeSet<CustomerBucket> = unknown.iter().map(|key| key.0).collect();
        let mut filled = self.lock_customer_buckets(&buckets).await?;
        // Read again, now that no other writer can add to these buckets.
        let known = self.customers_with_rows(unknown.iter()).await?;
        for key in unknown.difference(&known) {
            let Some(bucket) = filled.get_mut(&key.0) else {
                continue;
            };
            if bucket.customers < MAX_PER_BUCKET {
                bucket.customers += 1;
            } else if let Some(counts) = rows.remove(key) {
                bucket.overflow = bucket.overflow.plus(counts);
            }
        }
        self.note_customer_buckets(&filled).await
    }

    async fn lock_customer_buckets(
        &mut self,
        buckets: &BTreeSet<CustomerBucket>,
    ) -> Result<BTreeMap<CustomerBucket, Filled>, StoreError> {
        let columns = BucketColumns::of(buckets.iter());
        let query = sqlx::query_as(concat!(
            "-- customer_bucket.lock\n",
            "insert into customer_buckets as b (slo_id, resolution, bucket) ",
            "select slo_id, resolution, bucket ",
            "from unnest($1::integer[], $2::integer[], $3::timestamptz[]) as n(slo_id, resolution, ",
            "bucket) on conflict (slo_id, resolution, bucket) do update set customers = b.customers ",
            "returning slo_id, resolution, bucket, customers",
        ))
        .bind(columns.slos)
        .bind(columns.resolutions)
        .bind(columns.buckets);
        let rows: Vec<(i32, i32, DateTime<Utc>, i32)> = self.fetch_all(query).await?;
        let full: BTreeMap<_, i32> = rows
            .into_iter()
            .map(|(slo, resolution, bucket, customers)| ((slo, resolution, bucket), customers))
            .collect();
        let filled = |bucket: &CustomerBucket| {
            let (slo, resolution, at) = bucket;
            let key = (slo.0, resolution.as_secs(), at.to_chrono());
            let customers = i64::from(*full.get(&key)?);
            let overflow = CustomerCounts::default();
            Some((
                *bucket,
                Filled {
                    customers,
                    overflow,
                },
            ))
        };
        Ok(buckets.iter().filter_map(filled).collect())
    }

    async fn note_customer_buckets(
        &mut self,
        filled: &BTreeMap<CustomerBucket, Filled>,
    ) -> Result<(), StoreError> {
        let columns = BucketColumns::of(filled.keys());
        let column =
            |value: fn(&Filled) -> i64| -> Vec<i64> { filled.values().map(value).collect() };
        let statement = sqlx::query(concat!(
            "-- customer_bucket.note\n",
            "update customer_buckets b set customers = n.customers, ",
            "overflow_events = b.overflow_events + n.events, overflow_bad = b.overflow_bad + n.bad ",
            "from unnest($1::integer[], $2::integer[], $3::timestamptz[], $4::bigint[], ",
            "$5::bigint[], $6::bigint[]) as n(slo_id, resolution, bucket, customers, events, bad) ",
            "where b.slo_id = n.slo_id and b.resolution = n.resolution and b.bucket = n.bucket",
        ))
        .bind(columns.slos)
        .bind(columns.resolutions)
        .bind(columns.buckets)
        .bind(column(|bucket| bucket.customers))
        .bind(column(|bucket| bucket.overflow.events))
        .bind(column(|bucket| bucket.overflow.bad));
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns, by SLO, the customers with a bad event in the ranges of each set, and the total
    /// with any event; an SLO without affected customers is left out. All sets must cover the same
    /// time. The total is that of the whole hours, or days, that the ranges touch.
    pub async fn customer_impact(
        &mut self,
        sets: &[(SloId, Vec<TimeRange>)],
    ) -> Result<BTreeMap<SloId, CustomerImpact>, StoreError> {
        let are_short = sets
            .iter()
            .all(|(_, ranges)| reach(ranges) <= TO_THE_MINUTE);
        let exact = if are_short {
            Some(self.customers_affected(sets).await?)
        } else {
            None
        };
        let is_asked = |slo: &SloId| {
            let exact = exact.as_ref();
            exact.is_none_or(|affected| affected.contains_key(slo))
        };
        let asked = sets.iter().filter(|(slo, _)| is_asked(slo)).cloned();
        let asked: Vec<_> = asked.collect();
        let counted = self.customers_counted(&asked).await?;
        let impact = |(slo, _): &(SloId, Vec<TimeRange>)| {
            let (by_bucket, total) = counted.get(slo).copied()?;
            let affected = exact
                .as_ref()
                .map_or(Some(by_bucket), |exact| exact.get(slo).copied())?;
            let impact = CustomerImpact::new(affected, total);
            (impact.affected > 0).then_some((*slo, impact))
        };
        Ok(asked.iter().filter_map(impact).collect())
    }

    /// Returns all customers of `slo` with an event in the buckets of `ranges`.
    pub async fn customers_total(
        &mut self,
        slo: SloId,
        ranges: &[TimeRange],
    ) -> Result<CustomerTotal, StoreError> {
        let counted = self.customers_counted(&[(slo, ranges.to_vec())]).await?;
        Ok(counted.get(&slo).map_or(NO_CUSTOMERS, |(_, total)| *total))
    }

    /// Returns the events in the buckets of `range` that belong to customers without a row of their
    /// own.
    pub async fn customers_overflow(
        &mut self,
        slo: SloId,
        range: TimeRange,
    ) -> Result<i64, StoreError> {
        Ok(self
            .overflows(&[(slo, vec![range])])
            .await?
            .remove(&slo)
            .unwrap_or(0))
    }

    /// Counts affected customers and the total by whole buckets, for each SLO.
    async fn customers_counted(
        &mut self,
        sets: &[(SloId, Vec<TimeRange>)],
    ) -> Result<BTreeMap<SloId, (AffectedCount, CustomerTotal)>, StoreError> {
        if sets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let beyond = self.overflows(sets).await?;
        let parts = BucketRangeColumns::of(sets);
        let query = sqlx::query_as(
            "-- customer.count
             select part.slo_id, count(distinct c.customer) filter (where c.bad > c.bad_by_count),
                 coalesce(sum(c.bad_by_count), 0)::bigint,
                 count(distinct c.customer) filter (where c.events > 0)
             from unnest($1::integer[], $2::integer[], $3::timestamptz[], $4::timestamptz[])
                 as part (slo_id, resolution, lower, upper)
             left join lateral (
                 select customer, events, bad, bad_by_count from customer_counts
                 where customer_counts.slo_id = part.slo_id
                     and customer_counts.resolution = part.resolution
                     and customer_counts.bucket >= part.lower and customer_counts.bucket < part.upper
             ) as c on true
             group by part.slo_id",
        )
        .bind(parts.columns.slos)
        .bind(parts.columns.resolutions)
        .bind(parts.columns.buckets)
        .bind(parts.ends);
        let rows: Vec<(i32, i64, i64, i64)> = self.fetch_all(query).await?;
        let counted = rows.into_iter().map(|(slo, known, unknown, customers)| {
            let slo = SloId(slo);
            let total = CustomerTotal {
                customers,
                is_lower_bound: beyond.get(&slo).is_some_and(|events| *events > 0),
                affected_is_upper_bound: false,
            };
            (slo, (AffectedCount { known, unknown }, total))
        });
        Ok(counted.collect())
    }

    async fn overflows(
        &mut self,
        sets: &[(SloId, Vec<TimeRange>)],
    ) -> Result<BTreeMap<SloId, i64>, StoreError> {
        let parts = BucketRangeColumns::of(sets);
        let query = sqlx::query_as(
            "-- customer_bucket.overflow
             select part.slo_id, sum(b.overflow_events)::bigint
             from unnest($1::integer[], $2::integer[], $3::timestamptz[], $4::timestamptz[])
                 as part (slo_id, resolution, lower, upper)
             join customer_buckets b on b.slo_id = part.slo_id and b.resolution = part.resolution
                 and b.bucket >= part.lower and b.bucket < part.upper
             group by part.slo_id",
        )
        .bind(parts.columns.slos)
        .bind(parts.columns.resolutions)
        .bind(parts.columns.buckets)
        .bind(parts.ends);
        let rows: Vec<(i32, i64)> = self.fetch_all(query).await?;
        let by_slo = rows.into_iter().map(|(slo, events)| (SloId(slo), events));
        Ok(by_slo.collect())
    }
}

const NO_CUSTOMERS: CustomerTotal = CustomerTotal {
    customers: 0,
    is_lower_bound: false,
    affected_is_upper_bound: false,
};

/// The number of customers in a bucket, and what this transaction adds to its overflow.
struct Filled {
    customers: i64,
    overflow: CustomerCounts,
}

/// Buckets by column, as `unnest` takes them.
struct BucketColumns {
    slos: Vec<i32>,
    resolutions: Vec<i32>,
    buckets: Vec<DateTime<Utc>>,
}

impl BucketColumns {
    fn of<'a>(buckets: impl Iterator<Item = &'a CustomerBucket> + Clone) -> Self {
        Self {
            slos: buckets.clone().map(|(slo, ..)| slo.0).collect(),
            resolutions: buckets.clone().map(|(_, r, _)| r.as_secs()).collect(),
            buckets: buckets.map(|(.., at)| at.to_chrono()).collect(),
        }
    }
}

/// The ranges of buckets that cover ranges of time, for each SLO.
struct BucketRangeColumns {
    columns: BucketColumns,
    ends: Vec<DateTime<Utc>>,
}

impl BucketRangeColumns {
    fn of(sets: &[(SloId, Vec<TimeRange>)]) -> Self {
        let each = sets.iter().flat_map(|(slo, ranges)| {
            let buckets = buckets_of(ranges).into_iter();
            buckets.map(|(resolution, part)| ((*slo, resolution, part.from), part.to))
        });
        let (starts, ends): (Vec<CustomerBucket>, Vec<Timestamp>) = each.unzip();
        Self {
            columns: BucketColumns::of(starts.iter()),
            ends: ends.into_iter().map(Timestamp::to_chrono).collect(),
        }
    }
}
