//! Workflows as the aggregation of their stages needs them: their duration, and what of it has
//! already been aggregated.

use chrono::{DateTime, Utc};
use sqlx::{Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    domain::{
        counting::stages::{Breakdown, Folded, Timeline, TimelineEnd},
        model::{
            ids::{SloId, TraceId},
            sampling::Weight,
            time::{TimeRange, Timestamp},
        },
        workflow::{Details, EventKey, Intervals, Outcome},
    },
    store::{StoreError, Tx, trace_ids::trace_id},
};

/// Key of the advisory locks under which the workflows of one SLO are aggregated.
const FOLD_LOCK: i32 = 0x0066_6f6c;

const COLUMNS: &str = "epoch, key, trace_id, started_at, \
    coalesce(succeeded_at, failed_at, cancelled_at) as ended_at, outcome, judged_at, details, weight, \
    aggregated_outcome, aggregated_judged_at, aggregated_weight, aggregated_stages";

/// The condition of the index `workflows_unaggregated_idx`.
const IS_UNFOLDED: &str = "within_us is not null \
    and (outcome in (1, 2, 3, 4, 7) or aggregated_outcome is not null) \
    and (aggregated_outcome is distinct from outcome \
        or aggregated_judged_at is distinct from judged_at)";

/// One workflow of an SLO that distinguishes stages.
#[derive(Clone, Debug)]
pub struct StageWorkflow {
    pub key: EventKey,
    pub trace_id: TraceId,
    /// The part that is already in the sums.
    pub folded: Option<Folded>,
    /// The sampling weight of its event; `None` where it counts as one.
    pub weight: Option<Weight>,
    outcome: Outcome,
    judged_at: Option<Timestamp>,
    epoch: i32,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    pauses: Intervals,
}

/// The change to a workflow's row when it is aggregated.
#[derive(Clone, Debug)]
pub struct Fold<'a> {
    pub workflow: &'a StageWorkflow,
    /// `None` removes it from the sums.
    pub folded: Option<Folded>,
    /// When to look for spans that arrived late.
    pub again_at: Option<Timestamp>,
}

impl StageWorkflow {
    /// The verdict, if it is good or bad. An invalid one takes no time, but its messages tell of clocks.
    pub fn verdict(&self) -> Option<(Outcome, Timestamp)> {
        let counts = self.outcome.counts();
        let at = self.judged_at?;
        (counts.total() + counts.invalid > 0).then_some((self.outcome, at))
    }

    /// True if its verdict differs from what was aggregated.
    pub fn is_unfolded(&self) -> bool {
        let folded = self.folded.as_ref();
        folded.map(|folded| (folded.outcome, folded.judged_at)) != self.verdict()
    }

    /// Returns when it ended; `None` if it has not.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// Returns the time from its start to its end; one that has not ended lasts until `until`.
    pub fn timeline(&self, until: Timestamp) -> Timeline<'_> {
        Timeline {
            range: TimeRange::new(self.started_at, self.ended_at.unwrap_or(until)),
            pauses: &self.pauses,
            ending: match self.ended_at {
                Some(_) => TimelineEnd::Ended,
                None => TimelineEnd::Open,
            },
        }
    }
}

impl Tx<'_> {
    /// Returns those of `slos` with something to aggregate.
    pub async fn slos_to_fold(
        &mut self,
        slos: &[SloId],
        (since, now): (Timestamp, Timestamp),
    ) -> Result<Vec<SloId>, StoreError> {
        let statement = format!(
            "-- stage_folds.slos\nselect id from unnest($1::integer[]) as s(id) where exists (\
             select 1 from workflows where slo_id = s.id and {IS_UNFOLDED} \
             and (judged_at >= $2 or aggregated_outcome is not null)) or exists (\
             select 1 from workflows where slo_id = s.id and reaggregate_at <= $3)"
        );
        let ids: Vec<i32> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(slos.iter().map(|slo| slo.0).collect::<Vec<_>>())
            .bind(since.to_chrono())
            .bind(now.to_chrono())
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(ids.into_iter().map(SloId).collect())
    }

    /// Claims the aggregation of an SLO until the end of the transaction; false if another replica
    /// has it. The sums of one SLO have one writer at a time, so that they stay within their
    /// limits.
    pub async fn claim_folding(&mut self, slo: SloId) -> Result<bool, StoreError> {
        // Nested loops only, as for recording: the transaction touches few rows of many, and
        // statistics may be missing.
        sqlx::query_scalar(concat!(
            "-- stage_folds.claim\n",
            "select pg_try_advisory_xact_lock($1, $2) from (select ",
            "set_config('enable_seqscan', 'off', true), ",
            "set_config('enable_hashjoin', 'off', true), ",
            "set_config('enable_mergejoin', 'off', true)) as settings",
        ))
        .bind(FOLD_LOCK)
        .bind(slo.0)
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Locks workflows whose verdict differs from what was aggregated. Verdicts before `since` that
    /// were never aggregated stay out: their spans are deleted.
    pub async fn unfolded_workflows(
        &mut self,
        slo: SloId,
        since: Timestamp,
        limit: i64,
    ) -> Result<Vec<StageWorkflow>, StoreError> {
        let statement = format!(
            "-- stage_folds.unfolded\nselect {COLUMNS} from workflows where slo_id = $1 \
             and {IS_UNFOLDED} and (judged_at >= $2 or aggregated_outcome is not null) \
             and started_at is not null limit $3 for update skip locked"
        );
        self.stage_workflows(statement, slo, since, limit).await
    }

    /// Locks workflows for which late spans may have arrived.
    pub async fn workflows_to_refold(
        &mut self,
        slo: SloId,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<StageWorkflow>, StoreError> {
        let statement = format!(
            "-- stage_folds.refold\nselect {COLUMNS} from workflows where slo_id = $1 \
             and reaggregate_at <= $2 and started_at is not null \
             order by reaggregate_at limit $3 for update skip locked"
        );
        self.stage_workflows(statement, slo, now, limit).await
    }

    async fn stage_workflows(
        &mut self,
        statement: String,
        slo: SloId,
        at: Timestamp,
        limit: i64,
    ) -> Result<Vec<StageWorkflow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(slo.0)
            .bind(at.to_chrono())
            .bind(limit)
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        self.decoded(&rows)
    }

    /// Returns the workflows with these keys that have started.
    pub async fn workflows_for_stages(
        &mut self,
        slo: SloId,
        keys: &[EventKey],
    ) -> Result<Vec<StageWorkflow>, StoreError> {
        let statement = format!(
            "-- stage_folds.by_key\nselect {COLUMNS} from workflows \
             where slo_id = $1 and key = any ($2) and started_at is not null"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(slo.0)
            .bind(
                keys.iter()
                    .map(|key| Uuid::from_bytes(key.0))
                    .collect::<Vec<_>>(),
            )
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        self.decoded(&rows)
    }

    /// Records what is in the sums now, for workflows that this transaction has locked.
    pub async fn note_folded(&mut self, slo: SloId, folds: &[Fold<'_>]) -> Result<(), StoreError> {
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_chrono);
        let folded = |fold: &Fold<'_>| fold.folded.clone();
        let column = |fold: &Fold<'_>| folded(fold).map(|folded| Json(folded.breakdown));
        let statement = sqlx::query(concat!(
            "-- stage_folds.note\n",
            "update workflows w set aggregated_outcome = n.outcome, ",
            "aggregated_judged_at = n.judged_at, aggregated_stages = n.stages, ",
            "reaggregate_at = n.reaggregate_at, aggregated_weight = n.weight ",
            "from unnest($2::integer[], $3::uuid[], $4::smallint[], $5::timestamptz[], ",
            "$6::jsonb[], $7::timestamptz[], $8::bigint[]) ",
            "as n(epoch, key, outcome, judged_at, stages, reaggregate_at, weight) ",
            "where w.slo_id = $1 and w.key = n.key and w.epoch = n.epoch",
        ))
        .bind(slo.0)
        .bind(
            folds
                .iter()
                .map(|fold| fold.workflow.epoch)
                .collect::<Vec<_>>(),
        )
        .bind(
            folds
                .iter()
                .map(|fold| Uuid::from_bytes(fold.workflow.key.0))
                .collect::<Vec<_>>(),
        )
        .bind(
            folds
                .iter()
                .map(|fold| folded(fold).map(|folded| folded.outcome.as_code()))
                .collect::<Vec<_>>(),
        )
        .bind(
            folds
                .iter()
                .map(|fold| time(folded(fold).map(|folded| folded.judged_at)))
                .collect::<Vec<_>>(),
        )
        .bind(folds.iter().map(column).collect::<Vec<_>>())
        .bind(
            folds
                .iter()
                .map(|fold| time(fold.again_at))
                .collect::<Vec<_>>(),
        )
        .bind(
            folds
                .iter()
                .map(|fold| folded(fold)?.weight.map(Weight::millionths))
                .collect::<Vec<_>>(),
        );
        self.execute(statement).await?;
        Ok(())
    }

    fn decoded(&self, rows: &[PgRow]) -> Result<Vec<StageWorkflow>, StoreError> {
        let workflows: Result<Vec<_>, _> = rows.iter().map(decode).collect();
        workflows.map_err(|source| self.failed(source))
    }
}

fn decode(row: &PgRow) -> Result<StageWorkflow, sqlx::Error> {
    let invalid = |column: &str| sqlx::Error::Decode(format!("`{column}` is invalid").into());
    let time = |column: &str| {
        row.try_get::<Option<DateTime<Utc>>, _>(column)
            .map(|at| at.map(Timestamp::from))
    };
    let weight = |column: &str| {
        let millionths = row.try_get::<Option<i64>, _>(column);
        millionths.map(|weight| weight.map(Weight::from_millionths))
    };
    let outcome = |code: i16, column| Outcome::from_code(code).ok_or_else(|| invalid(column));
    let folded_as: Option<i16> = row.try_get("aggregated_outcome")?;
    let breakdown: Option<Json<Breakdown>> = row.try_get("aggregated_stages")?;
    let folded = match (folded_as, time("aggregated_judged_at")?, breakdown) {
        (Some(code), Some(judged_at), Some(Json(breakdown))) => Some(Folded {
            outcome: outcome(code, "aggregated_outcome")?,
            judged_at,
            breakdown,
            weight: weight("aggregated_weight")?,
        }),
        _ => None,
    };
    let details: Option<Json<Details>> = row.try_get("details")?;
    let details = details.map_or_else(Details::default, |Json(details)| details);
    let judged = outcome(row.try_get("outcome")?, "outcome")?;
    let last_leg = match judged {
        Outcome::Good | Outcome::Late | Outcome::Failed => details.legs.last_end(),
        Outcome::Open
        | Outcome::Timeout
        | Outcome::Cancelled
        | Outcome::Orphan
        | Outcome::Invalid
        | Outcome::Unobservable
        | Outcome::EvidenceLost
        | Outcome::Unwatched
        | Outcome::Ambiguous => None,
    };
    Ok(StageWorkflow {
        key: EventKey(row.try_get::<Uuid, _>("key")?.into_bytes()),
        trace_id: trace_id(row.try_get("trace_id")?)?,
        outcome: judged,
        weight: weight("weight")?,
        judged_at: time("judged_at")?,
        folded,
        epoch: row.try_get("epoch")?,
        started_at: time("started_at")?.ok_or_else(|| invalid("started_at"))?,
        ended_at: time("ended_at")?.or(last_leg),
        pauses: details.pauses.union().unwrap_or_default(),
    })
}
