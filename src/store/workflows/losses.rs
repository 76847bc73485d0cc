//! Times at which evidence of ends was lost, and the timeouts that this makes doubtful.
//!
//! Every transaction that judges workflows reads the losses. A new loss is applied to timeouts
//! after all transactions that may not have seen it have ended, which is known since they all share
//! the lock of the epoch. So no timeout is missed, whichever came first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        counting::ledger::AwaitedEnd,
        model::{ids::SloId, time::Timestamp},
        workflow::EventId,
    },
    store::{StoreError, Tx, batch::Batch, workflows::epochs::EPOCH_LOCK},
};

/// The number of new losses that one turn applies.
const LOSSES: i64 = 100;

/// A minute in which evidence of an SLO was lost.
pub type Loss = (SloId, Timestamp);

impl Batch {
    /// Stores minutes in which evidence was lost, each once. Must run after all workflows are
    /// locked, and inserts in order, so that writers never deadlock.
    pub(crate) fn add_losses(&mut self, losses: &BTreeSet<Loss>) {
        if losses.is_empty() {
            return;
        }
        let (slos, minutes) = columns(losses.iter().copied());
        self.add(concat!(
            "-- evidence_losses.add\n",
            "insert into evidence_losses (slo_id, minute) select slo_id, minute ",
            "from unnest($1::integer[], $2::timestamptz[]) as n(slo_id, minute) ",
            "where not exists (select 1 from evidence_losses l ",
            "where l.slo_id = n.slo_id and l.minute = n.minute) on conflict do nothing",
        ))
        .bind(slos)
        .bind(minutes);
    }
}

impl Tx<'_> {
    /// Returns which of these workflows without an end may have had one that was lost, while links were
    /// dropped, before a backup was restored, or in a Kafka topic. The transaction holds the lock of the epoch.
    pub(crate) async fn lost_among(
        &mut self,
        silent: &BTreeMap<EventId, AwaitedEnd>,
    ) -> Result<BTreeSet<EventId>, StoreError> {
        if silent.is_empty() {
            return Ok(BTreeSet::new());
        }
        let in_time = silent
            .iter()
            .map(|((slo, _), end)| (*slo, end.in_time.from));
        let (slos, from) = columns(in_time);
        let to = silent.values().map(|end| end.in_time.to.to_chrono());
        let until = silent.values().map(|end| end.until.to_chrono());
        let places: Vec<i64> = sqlx::query_scalar(concat!(
            "-- evidence_losses.among\n",
            "select n.place from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], ",
            "$4::timestamptz[]) with ordinality as n(slo_id, lower, upper, until, place) ",
            "where exists (select 1 from evidence_losses l where l.slo_id = n.slo_id ",
            "and l.minute >= n.lower and l.minute < n.upper) ",
            "or exists (select 1 from evidence_gaps g where g.lost_from < n.until ",
            "and g.lost_until > n.lower)",
        ))
        .bind(slos)
        .bind(from)
        .bind(to.collect::<Vec<_>>())
        .bind(until.collect::<Vec<_>>())
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let places: BTreeSet<i64> = places.into_iter().collect();
        let numbered = (1_i64..).zip(silent.keys());
        let lost = numbered.filter(|(place, _)| places.contains(place));
        Ok(lost.map(|(_, id)| *id).collect())
    }

    /// Returns losses that were not yet applied to timeouts, the first [`LOSSES`] of them.
    pub async fn new_losses(&mut self) -> Result<Vec<Loss>, StoreError> {
        let query = sqlx::query_as(concat!(
            "-- evidence_losses.new\n",
            "select slo_id, minute from evidence_losses where not is_applied ",
            "order by slo_id, minute limit $1",
        ))
        .bind(LOSSES);
        let rows: Vec<(i32, DateTime<Utc>)> = self.fetch_all(query).await?;
        let losses = rows.into_iter();
        Ok(losses
            .map(|(slo, minute)| (SloId(slo), minute.into()))
            .collect())
    }

    /// Waits until all transactions that are judging workflows have ended. Must be alone in its
    /// transaction, so that those that come next need not wait for more.
    pub async fn wait_for_judges(&mut self) -> Result<(), StoreError> {
        let statement = sqlx::query(concat!(
            "-- evidence_losses.wait\n",
            "select set_config('statement_timeout', '10s', true), pg_advisory_xact_lock($1)",
        ))
        .bind(EPOCH_LOCK);
        self.execute(statement).await.map(drop)
    }

    /// Records that `loss` was applied to all timeouts.
    pub async fn note_applied(&mut self, (slo, minute): Loss) -> Result<(), StoreError> {
        let statement = sqlx::query(concat!(
            "-- evidence_losses.applied\n",
            "update evidence_losses set is_applied = true where slo_id = $1 and minute = $2",
        ))
        .bind(slo.0)
        .bind(minute.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Deletes losses and gaps before `floor`.
    pub async fn forget_losses(&mut self, floor: Timestamp) -> Result<(), StoreError> {
        for sql in [
            "-- evidence_losses.forget\ndelete from evidence_losses where minute < $1",
            "-- evidence_gaps.forget\ndelete from evidence_gaps where lost_until < $1",
        ] {
            let statement = sqlx::query(sql).bind(floor.to_chrono());
            self.execute(statement).await?;
        }
        Ok(())
    }
}

fn columns(losses: impl Iterator<Item = Loss>) -> (Vec<i32>, Vec<DateTime<Utc>>) {
    losses
        .map(|(slo, minute)| (slo.0, minute.to_chrono()))
        .unzip()
}
