//! One connection's work: what the product does with a batch, and the barest thing one could do.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use throughline::{
    domain::{
        model::time::Timestamp,
        workflow::{Judging, gather, join, links::GroupsOfBatches},
    },
    recording::{KnownRows, NewLinks, Recording, check_links},
    store::{SpanCounts, Store, StoreError, Writer},
};
use uuid::Uuid;

use super::load::{self, Batch, Load};

pub(super) struct Lane {
    pub(super) connection: PgConnection,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) now: Timestamp,
    pub(super) load: Load,
    /// Spans, or rows, of one transaction.
    pub(super) batch: usize,
    pub(super) next_raw: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Raw {
        batches: usize,
    },
    Ours {
        batches: usize,
    },
    /// Ours, of nothing but starts.
    Starts {
        batches: usize,
    },
    /// Ours, of nothing but finishes.
    Finishes {
        batches: usize,
    },
    /// Ours until as many workflows are in flight as are wanted.
    Fill,
}

pub(super) const CREATE_RAW: &str = "create table raw_events (
    slo_id integer not null,
    key uuid not null,
    at timestamptz not null,
    outcome smallint not null,
    trace_id bytea not null,
    primary key (slo_id, key)
)";

impl Lane {
    pub(super) async fn run(mut self, work: Work) -> Self {
        match work {
            Work::Raw { batches } => {
                for _ in 0..batches {
                    self.insert_raw().await;
                }
            }
            Work::Ours { batches } => {
                for _ in 0..batches {
                    let batch = self.load.batch(self.batch);
                    self.record(batch).await;
                }
            }
            Work::Starts { batches } => {
                for _ in 0..batches {
                    let batch = self.load.starts(self.batch);
                    self.record(batch).await;
                }
            }
            Work::Finishes { batches } => {
                for _ in 0..batches {
                    let batch = self.load.finishes(self.batch);
                    self.record(batch).await;
                }
            }
            Work::Fill => {
                while self.load.is_filling() {
                    let batch = self.load.batch(self.batch);
                    self.record(batch).await;
                }
            }
        }
        self
    }

    async fn insert_raw(&mut self) {
        let numbers = self.next_raw..self.next_raw + self.batch as u64;
        self.next_raw = numbers.end;
        let keys: Vec<[u8; 16]> = numbers.map(load::key).collect();
        let trace_ids: Vec<&[u8]> = keys.iter().map(<[u8; 16]>::as_slice).collect();
        let times: Vec<DateTime<Utc>> = vec![self.now.to_chrono(); self.batch];
        sqlx::query(
            "insert into raw_events
             select * from unnest($1::integer[], $2::uuid[], $3::timestamptz[], $4::smallint[],
                 $5::bytea[])
             on conflict do nothing",
        )
        .bind(vec![1_i32; self.batch])
        .bind(
            keys.iter()
                .copied()
                .map(Uuid::from_bytes)
                .collect::<Vec<_>>(),
        )
        .bind(times)
        .bind(vec![1_i16; self.batch])
        .bind(trace_ids)
        .execute(&mut self.connection)
        .await
        .unwrap();
    }

    async fn record(&self, batch: Batch) {
        let mut known_rows = KnownRows::Read;
        loop {
            match Box::pin(self.try_record(&batch, known_rows)).await {
                Err(error) if error.is_conflict() => known_rows = KnownRows::Locked,
                result => return result.unwrap(),
            }
        }
    }

    /// As the recorder does it for the requests that it commits together.
    async fn try_record(&self, batch: &Batch, known_rows: KnownRows) -> Result<(), StoreError> {
        let judging = |_| Judging::healthy(Duration::from_mins(2), self.now);
        let mut gathered = gather(&batch.evidence);
        let (mut tx, state) = self.store.begin_recording("record evidence").await?;
        let new_links = NewLinks {
            linked: batch.linked.iter().collect(),
            edges: batch.edges.iter().collect(),
            batches: Vec::new(),
        };
        let mut check = None;
        let mut recording = Recording::new(&mut tx, state, &judging);
        if new_links.is_empty() {
            recording = recording.with_known(known_rows);
        }
        if !new_links.is_empty() {
            let updates = recording.record_links(&new_links).await?;
            join(&mut gathered, updates.gathered);
            check = updates.check;
        }
        recording
            .apply(&gathered, &GroupsOfBatches::default())
            .await?;
        recording
            .write_counts(self.writer, self.now, &SpanCounts::default())
            .await?;
        let pieces: Vec<_> = batch.pieces.iter().collect();
        tx.add_stage_spans(self.now, &pieces).await?;
        tx.commit().await?;
        match check {
            Some(check) => check_links(&self.store, self.writer, &judging, self.now, check).await,
            None => Ok(()),
        }
    }
}
