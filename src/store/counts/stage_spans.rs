//! Spans as evidence of where the time went, stored under the key of their workflow.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::{
            EventKey,
            stage_evidence::{FoundStageEvidence, StageEvidence, StageEvidenceKind},
        },
    },
    store::{
        Progress, StoreError, Tx,
        trace_ids::{trace_id, uuid},
    },
};

/// The number of partitions that are used in turn, one day each.
const SLOTS: i64 = 16;
/// Less than the number of slots: the others are today's, tomorrow's for a replica whose clock is
/// ahead, and one that is being emptied.
const MOST_DAYS_KEPT: i64 = SLOTS - 3;
/// The number of fragments of one key and SLO that are stored per day: a workflow with more steps
/// is rare, and a key that everything shares must not fill the table.
const EVIDENCE_PER_KEY: i64 = 64;
const DAY: Duration = Duration::from_hours(24);
/// Means every SLO: ids begin at 1.
const ALL_SLOS: i32 = 0;

impl Tx<'_> {
    /// Stores `pieces`, each once. Returns how many exceeded the limit, by SLO.
    ///
    /// Must run after all workflows are locked, and inserts in the order of keys, so that writers
    /// never deadlock.
    pub async fn add_stage_spans(
        &mut self,
        now: Timestamp,
        pieces: &[&FoundStageEvidence],
    ) -> Result<BTreeMap<SloId, i64>, StoreError> {
        if pieces.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = StageSpanColumns::new(pieces);
        let query = sqlx::query_as(concat!(
            "-- stage_spans.add\n",
            "with new as (select * from (select unnest($3::uuid[]) as key, ",
            "unnest($4::integer[]) as slo_id, unnest($5::bigint[]) as content_hash, ",
            "unnest($6::smallint[]) as kind, unnest($7::timestamptz[]) as started_at, ",
            "unnest($8::timestamptz[]) as ended_at, unnest($9::timestamptz[]) as deliver_at, ",
            "unnest($10::text[]) as name, unnest($11::text[]) as service, ",
            "unnest($12::uuid[]) as trace_id, unnest($13::boolean[]) as is_error) as n ",
            "where not exists (select 1 from stage_spans s where s.slot = $1 and s.key = n.key ",
            "and s.slo_id = n.slo_id and s.content_hash = n.content_hash)), ",
            // Counted row by row and not joined: the transaction allows nested loops only, and a
            // join of two such lists would compare each row with every other.
            "ranked as (select new.*, row_number() over (partition by key, slo_id order by content_hash) ",
            "as place, (select count(*) from (select 1 from stage_spans s where s.slot = $1 ",
            "and s.key = new.key and s.slo_id = new.slo_id limit $2) as c) as taken from new), ",
            "kept as (insert into stage_spans (slot, key, slo_id, content_hash, kind, started_at, ",
            "ended_at, deliver_at, name, service, trace_id, is_error) select $1, key, slo_id, ",
            "content_hash, kind, started_at, ended_at, deliver_at, name, service, trace_id, is_error ",
            "from ranked ",
            "where taken + place <= $2 order by key, slo_id, content_hash on conflict do nothing) ",
            "select key, slo_id, count(*) from ranked ",
            "where taken + place > $2 group by key, slo_id",
        ))
        .bind(slot(day(now)))
        .bind(EVIDENCE_PER_KEY)
        .bind(rows.keys)
        .bind(rows.slos)
        .bind(rows.pieces)
        .bind(rows.kinds)
        .bind(rows.from)
        .bind(rows.to)
        .bind(rows.deliver)
        .bind(rows.names)
        .bind(rows.services)
        .bind(rows.traces)
        .bind(rows.errors);
        let refused: Vec<(Uuid, i32, i64)> = self.fetch_all(query).await?;
        let mut missed = BTreeMap::new();
        for (key, slo, count) in refused {
            let mut alike = pieces.iter().filter(|found| {
                (found.key.event_key().0, slo_id(found)) == (key.into_bytes(), slo)
            });
            for slo in alike
                .next()
                .into_iter()
                .flat_map(|found| found.wanted_by.iter())
            {
                *missed.entry(*slo).or_default() += count;
            }
        }
        Ok(missed)
    }

    /// Returns the fragments stored under each of `wanted`, in the same order.
    pub async fn stage_evidence_of(
        &mut self,
        slo: SloId,
        wanted: &[Vec<EventKey>],
    ) -> Result<Vec<Vec<StageEvidence>>, StoreError> {
        let mut pieces = vec![Vec::new(); wanted.len()];
        let (ordinals, keys): (Vec<i64>, Vec<Uuid>) = (0_i64..)
            .zip(wanted)
            .flat_map(|(at, keys)| keys.iter().map(move |key| (at, Uuid::from_bytes(key.0))))
            .unzip();
        let query = sqlx::query_as(concat!(
            "-- stage_spans.read\n",
            "select k.ordinal, s.kind, s.started_at, s.ended_at, s.deliver_at, s.name, s.service, ",
            "s.trace_id, s.is_error ",
            "from unnest($1::bigint[], $2::uuid[]) as k(ordinal, key) cross join lateral (",
            "select * from stage_spans s where s.key = k.key and s.slo_id in (0, $3) ",
            "order by s.started_at, s.content_hash limit $4) as s",
        ))
        .bind(ordinals)
        .bind(keys)
        .bind(slo.0)
        .bind(2 * EVIDENCE_PER_KEY);
        let rows: Vec<StageEvidenceRow> = self.fetch_all(query).await?;
        for row in rows {
            let index = usize::try_from(row.ordinal).ok();
            let of_one = index.and_then(|at| pieces.get_mut(at));
            if let (Some(of_one), Some(piece)) = (of_one, row.into_evidence()) {
                of_one.push(piece);
            }
        }
        Ok(pieces)
    }

    /// Empties one day that is older than `keep`, or earlier if the partitions would not suffice.
    /// One per transaction, since it blocks all readers and writers until the end of the
    /// transaction.
    pub async fn forget_stage_spans(
        &mut self,
        now: Timestamp,
        keep: Duration,
    ) -> Result<Progress, StoreError> {
        let kept = i64::try_from(keep.as_secs().div_ceil(DAY.as_secs())).unwrap_or(MOST_DAYS_KEPT);
        let oldest = day(now) - kept.min(MOST_DAYS_KEPT);
        let needed: Vec<i16> = (oldest..=day(now) + 1).map(slot).collect();
        let old: Option<i16> = sqlx::query_scalar(concat!(
            "-- stage_spans.find_old\n",
            "select s::smallint from generate_series(0, $2) as s where s <> all ($1) ",
            "and exists (select 1 from stage_spans where slot = s) limit 1",
        ))
        .bind(needed)
        .bind(i32::try_from(SLOTS - 1).unwrap_or(0))
        .fetch_optional(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let Some(slot) = old else {
            return Ok(Progress::Done);
        };
        self.wait_briefly_for_locks().await?;
        self.run_ddl(format!(
            "-- stage_spans.forget\ntruncate table stage_spans_{slot}"
        ))
        .await?;
        Ok(Progress::More)
    }
}

fn day(now: Timestamp) -> i64 {
    now.as_secs().div_euclid(86_400)
}

fn slot(day: i64) -> i16 {
    i16::try_from(day.rem_euclid(SLOTS)).unwrap_or(0)
}

fn slo_id(found: &FoundStageEvidence) -> i32 {
    found.slo.map_or(ALL_SLOS, |slo| slo.0)
}

/// Rows by column, as `unnest` takes them; sorted, each once.
#[derive(Default)]
struct StageSpanColumns {
    keys: Vec<Uuid>,
    slos: Vec<i32>,
    pieces: Vec<i64>,
    kinds: Vec<i16>,
    from: Vec<DateTime<Utc>>,
    to: Vec<DateTime<Utc>>,
    deliver: Vec<Option<DateTime<Utc>>>,
    names: Vec<String>,
    services: Vec<String>,
    traces: Vec<Uuid>,
    errors: Vec<bool>,
}

impl StageSpanColumns {
    fn new(pieces: &[&FoundStageEvidence]) -> Self {
        let sorted: BTreeMap<_, &StageEvidence> = pieces
            .iter()
            .map(|found| {
                (
                    (found.key.event_key(), slo_id(found), found.id()),
                    &found.piece,
                )
            })
            .collect();
        let mut rows = Self::default();
        for ((key, slo, id), piece) in sorted {
            rows.keys.push(Uuid::from_bytes(key.0));
            rows.slos.push(slo);
            rows.pieces.push(id.0);
            rows.kinds.push(piece.kind.as_code());
            rows.from.push(piece.from.to_chrono());
            rows.to.push(piece.to.to_chrono());
            rows.deliver
                .push(piece.deliver_at.map(Timestamp::to_chrono));
            rows.names.push(piece.name.clone());
            rows.services.push(piece.service.clone());
            rows.traces.push(uuid(piece.trace_id));
            rows.errors.push(piece.is_error);
        }
        rows
    }
}

#[derive(FromRow)]
struct StageEvidenceRow {
    ordinal: i64,
    kind: i16,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    deliver_at: Option<DateTime<Utc>>,
    name: String,
    service: String,
    trace_id: Uuid,
    is_error: bool,
}

impl StageEvidenceRow {
    /// Converts a row; `None` for a kind that another version has written.
    fn into_evidence(self) -> Option<StageEvidence> {
        Some(StageEvidence {
            kind: StageEvidenceKind::from_code(self.kind)?,
            from: self.started_at.into(),
            to: self.ended_at.into(),
            name: self.name,
            service: self.service,
            deliver_at: self.deliver_at.map(Timestamp::from),
            trace_id: trace_id(self.trace_id).ok()?,
            is_error: self.is_error,
        })
    }
}
