//! Workflows as the aggregation of their stages needs them: their duration, and what of it has
//! already been aggregated.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::{Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    domain::{
        counting::stages::{AggregatedStages, Breakdown, Timeline, TimelineEnd},
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

/// One workflow of an SLO that distinguishes stages.
#[derive(Clone, Debug)]
pub struct StageWorkflow {
    pub key: EventKey,
    pub trace_id: TraceId,
    /// The part that is already in the sums.
    pub aggregated: Option<AggregatedStages>,
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
pub struct StageAggregate<'a> {
    pub workflow: &'a StageWorkflow,
    /// `None` removes it from the sums.
    pub aggregated: Option<AggregatedStages>,
    /// The time to check for spans that arrived late.
    pub again_at: Option<Timestamp>,
}

impl StageWorkflow {
    /// Returns the verdict, if it is good, bad or invalid. An invalid workflow has no duration, but
    /// its messages show the skew of clocks.
    pub fn verdict(&self) -> Option<(Outcome, Timestamp)> {
        let counts = self.outcome.counts();
        let at = self.judged_at?;
        (counts.total() + counts.invalid > 0).then_some((self.outcome, at))
    }

    /// Returns whether its verdict differs from what was aggregated.
    pub fn has_new_verdict(&self) -> bool {
        let aggregated = self.aggregated.as_ref();
        aggregated.map(|aggregated| (aggregated.outcome, aggregated.judged_at)) != self.verdict()
    }

    pub const fn started_at(&self) -> Timestamp {
        self.started_at
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
    /// Claims the aggregation of an SLO until the end of the transaction; false if another replica
    /// has it. The sums of one SLO have one writer at a time, so that they stay within their
    /// limits.
    pub async fn claim_aggregation(&mut self, slo: SloId) -> Result<bool, StoreError> {
        // Nested loops only, as for recording: the transaction touches few rows of many, and
        // statistics may be missing.
        sqlx::query_scalar(concat!(
            "-- stage_aggregates.claim\n",
            "select pg_try_advisory_xact_lock($1, $2) from (select ",
            "set_config('enable_seqscan', 'off', true), ",
            "set_config('enable_hashjoin', 'off', true), ",
            "set_config('enable_mergejoin', 'off', true)) as settings",
        ))
        .bind(FOLD_LOCK)
        .bind(slo.0)
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Takes workflows of an SLO out of the queue and locks those that have started: their verdict
    /// differs from what was aggregated, or late spans may have arrived for them. `None` if the queue
    /// is empty.
    pub async fn workflows_to_aggregate(
        &mut self,
        slo: SloId,
        now: Timestamp,
    ) -> Result<Option<Vec<StageWorkflow>>, StoreError> {
        let tasks = self.take_stage_tasks(slo, now).await?;
        if tasks.is_empty() {
            return Ok(None);
        }
        let epochs = tasks
            .iter()
            .flat_map(|task| task.keys.iter().map(|_| task.epoch));
        let keys = tasks.iter().flat_map(|task| task.keys.iter().copied());
        // A workflow whose verdict has changed twice is in the queue twice.
        let listed: BTreeSet<(i32, Uuid)> = epochs.zip(keys).collect();
        let (epochs, keys): (Vec<i32>, Vec<Uuid>) = listed.into_iter().unzip();
        let statement = format!(
            "-- stage_aggregates.lock\nselect {COLUMNS} from workflows w \
             join unnest($2::integer[], $3::uuid[]) as k (in_epoch, of_key) \
             on w.epoch = k.in_epoch and w.key = k.of_key \
             where w.slo_id = $1 and w.started_at is not null order by w.key for update of w"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(slo.0)
            .bind(epochs)
            .bind(keys)
            .fetch_all(&mut self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        self.decoded(&rows).map(Some)
    }

    /// Returns the workflows with these keys that have started.
    pub async fn workflows_for_stages(
        &mut self,
        slo: SloId,
        keys: &[EventKey],
    ) -> Result<Vec<StageWorkflow>, StoreError> {
        let statement = format!(
            "-- stage_aggregates.by_key\nselect {COLUMNS} from workflows \
             where slo_id = $1 and key = any ($2) and started_at is not null"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(slo.0)
            .bind(
                keys.iter()
                    .map(|key| Uuid::from_bytes(key.0))
                    .collect::<Vec<_>>(),
            )
            .fetch_all(&mut self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        self.decoded(&rows)
    }

    /// Records what is in the sums now, for workflows that this transaction has locked, and queues those
    /// that must be looked at again.
    pub async fn note_aggregated(
        &mut self,
        slo: SloId,
        aggregates: &[StageAggregate<'_>],
    ) -> Result<(), StoreError> {
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_chrono);
        let rows = || aggregates.iter();
        let stages = || rows().map(|one| one.aggregated.as_ref());
        let key = |one: &StageAggregate<'_>| one.workflow.key;
        let statement = sqlx::query(concat!(
            "-- stage_aggregates.note\n",
            "update workflows w set aggregated_outcome = n.outcome, ",
            "aggregated_judged_at = n.judged_at, aggregated_stages = n.stages, ",
            "aggregated_weight = n.weight ",
            "from unnest($2::integer[], $3::uuid[], $4::smallint[], $5::timestamptz[], ",
            "$6::jsonb[], $7::bigint[]) as n(epoch, key, outcome, judged_at, stages, weight) ",
            "where w.slo_id = $1 and w.key = n.key and w.epoch = n.epoch",
        ))
        .bind(slo.0)
        .bind(rows().map(|one| one.workflow.epoch).collect::<Vec<_>>())
        .bind(
            rows()
                .map(|one| Uuid::from_bytes(key(one).0))
                .collect::<Vec<_>>(),
        )
        .bind(
            stages()
                .map(|one| one.map(|one| one.outcome.as_code()))
                .collect::<Vec<_>>(),
        )
        .bind(
            stages()
                .map(|one| time(one.map(|one| one.judged_at)))
                .collect::<Vec<_>>(),
        )
        .bind(
            stages()
                .map(|one| one.map(|one| Json(one.breakdown.clone())))
                .collect::<Vec<_>>(),
        )
        .bind(
            stages()
                .map(|one| one?.weight.map(Weight::millionths))
                .collect::<Vec<_>>(),
        );
        self.execute(statement).await?;
        let again = rows().filter_map(|one| Some((one.workflow.epoch, key(one), one.again_at?)));
        self.queue_stages_again(slo, &again.collect::<Vec<_>>())
            .await
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
    let aggregated = match (folded_as, time("aggregated_judged_at")?, breakdown) {
        (Some(code), Some(judged_at), Some(Json(breakdown))) => Some(AggregatedStages {
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
        aggregated,
        epoch: row.try_get("epoch")?,
        started_at: time("started_at")?.ok_or_else(|| invalid("started_at"))?,
        ended_at: time("ended_at")?.or(last_leg),
        pauses: details.pauses.union().unwrap_or_default(),
    })
}
