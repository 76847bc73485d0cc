//! The waits of messages, by SLO, hour and pair of services.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        counting::stages::{HopWait, HopWaits, ServicePair},
        model::{
            ids::SloId,
            time::{Resolution, Timestamp},
        },
    },
    store::{StoreError, Tx},
};

/// Clocks are corrected, so older waits say nothing about them.
const HOURS_READ: Duration = Duration::from_hours(1);
const HOURS_KEPT: Duration = Duration::from_hours(24);

impl Tx<'_> {
    /// Adds the waits observed at `now`, up to a limit. Must be called under the claim of
    /// [`Self::claim_aggregation`], so that an SLO has one writer at a time.
    pub async fn add_hop_waits(
        &mut self,
        slo: SloId,
        now: Timestamp,
        mut waits: HopWaits,
    ) -> Result<(), StoreError> {
        if waits.0.is_empty() {
            return Ok(());
        }
        let hour = hour(now);
        waits.limit(&self.known_pairs(slo, hour).await?);
        let text = |text: fn(&ServicePair) -> &String| -> Vec<String> {
            waits.0.keys().map(|pair| text(pair).clone()).collect()
        };
        let number =
            |number: fn(&HopWait) -> i64| -> Vec<i64> { waits.0.values().map(number).collect() };
        let statement = sqlx::query(
            "-- hop_waits.add
             insert into hop_waits as h (slo_id, hour, sender, receiver, hops, least_us)
             select $1, $2, sender, receiver, hops, least_us
             from unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[])
                 as n (sender, receiver, hops, least_us)
             on conflict (slo_id, hour, sender, receiver) do update set
                 hops = h.hops + excluded.hops, least_us = least(h.least_us, excluded.least_us)",
        )
        .bind(slo.0)
        .bind(hour)
        .bind(text(|pair| &pair.sender))
        .bind(text(|pair| &pair.receiver))
        .bind(number(|wait| wait.hops))
        .bind(number(|wait| wait.least_micros));
        self.execute(statement).await.map(drop)
    }

    async fn known_pairs(
        &mut self,
        slo: SloId,
        hour: DateTime<Utc>,
    ) -> Result<BTreeSet<ServicePair>, StoreError> {
        let query = sqlx::query_as(
            "-- hop_waits.pairs
             select sender, receiver from hop_waits where slo_id = $1 and hour = $2",
        )
        .bind(slo.0)
        .bind(hour);
        let rows: Vec<(String, String)> = self.fetch_all(query).await?;
        let pairs = rows.into_iter();
        Ok(pairs
            .map(|(sender, receiver)| ServicePair { sender, receiver })
            .collect())
    }

    /// Returns for every SLO the waits of this hour and the one before.
    pub async fn hop_waits(
        &mut self,
        now: Timestamp,
    ) -> Result<BTreeMap<SloId, HopWaits>, StoreError> {
        let query = sqlx::query_as(
            "-- hop_waits.lately
             select slo_id, sender, receiver, sum(hops)::bigint, min(least_us) from hop_waits
             where hour >= $1 group by slo_id, sender, receiver",
        )
        .bind(hour(now - HOURS_READ));
        let rows: Vec<(i32, String, String, i64, i64)> = self.fetch_all(query).await?;
        let mut waits: BTreeMap<SloId, HopWaits> = BTreeMap::new();
        for (slo, sender, receiver, hops, least_micros) in rows {
            let of_slo = waits.entry(SloId(slo)).or_default();
            let wait = HopWait { hops, least_micros };
            of_slo.0.insert(ServicePair { sender, receiver }, wait);
        }
        Ok(waits)
    }

    /// Deletes waits that are too old to be used.
    pub async fn forget_hop_waits(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let statement = sqlx::query("-- hop_waits.forget\ndelete from hop_waits where hour < $1")
            .bind((now - HOURS_KEPT).to_chrono());
        self.execute(statement).await.map(drop)
    }
}

fn hour(at: Timestamp) -> DateTime<Utc> {
    at.floor_to(Resolution::Hour.length()).to_chrono()
}
