//! Events of all time, as counters that never fall.
//!
//! A correction takes an event out of `event_counts`. What it took out is added to
//! `corrected_events` in the same transaction, so the sum of both only grows.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, types::Json};
use sqlx_macros::FromRow;

use super::events::CountsRow;
use crate::{
    domain::{
        counting::ledger::CountDelta,
        model::{
            counts::EventCounts,
            group::Group,
            ids::SloId,
            time::{Resolution, Timestamp},
        },
    },
    store::{StoreError, Tx, Writer, batch::Batch},
};

/// The columns of all tables that count events by outcome, in the order of [`values`].
const OUTCOMES: [&str; 13] = [
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

const fn values(counts: &EventCounts) -> [i64; OUTCOMES.len()] {
    [
        counts.good,
        counts.late,
        counts.failed,
        counts.timeout,
        counts.cancelled,
        counts.orphan,
        counts.invalid,
        counts.unobservable,
        counts.evidence_lost,
        counts.ambiguous,
        counts.sampled,
        counts.unseen_good,
        counts.unseen_bad,
    ]
}

/// Events of an SLO or a group since its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTotals {
    /// The SLO, also where the events are those of a group.
    pub slo: SloId,
    /// `None` for the SLO itself.
    pub group: Option<Group>,
    /// All that were ever counted; no count ever falls.
    pub counted: EventCounts,
    /// Those that corrections took out again, by the outcome that they had.
    pub corrected: EventCounts,
}

impl Batch {
    /// Adds what corrections took out. Usually there is nothing.
    pub(crate) fn add_corrected_events(&mut self, writer: Writer, delta: &CountDelta) {
        if delta.corrected.is_empty() {
            return;
        }
        let (slos, counts): (Vec<i32>, Vec<_>) = delta
            .corrected
            .iter()
            .map(|(slo, counts)| (slo.0, values(counts)))
            .unzip();
        let arrays: String = (3..)
            .take(OUTCOMES.len())
            .fold(String::new(), |mut sql, n| {
                let _written = write!(sql, ", ${n}::bigint[]");
                sql
            });
        self.add(&format!(
            "-- corrected_events.add
             insert into corrected_events as c (slo_id, writer, {columns})
             select slo_id, $2, {columns} from unnest($1::integer[]{arrays}) as n (slo_id, {columns})
             on conflict (slo_id, writer) do update set {sums}",
            columns = OUTCOMES.join(", "),
            sums = each(|outcome| format!("{outcome} = {}", capped("c", outcome))),
        ))
        .bind(slos)
        .bind(writer.0);
        for at in 0..OUTCOMES.len() {
            let column = counts.iter().filter_map(|counts| counts.get(at).copied());
            self.bind(column.collect::<Vec<i64>>());
        }
    }
}

impl Tx<'_> {
    /// Returns the totals of the declared SLOs, each followed by its first `max_groups` groups.
    ///
    /// All is read in one statement: between two, a correction could move an event that both or
    /// neither would see.
    pub async fn event_totals(&mut self, max_groups: u32) -> Result<Vec<EventTotals>, StoreError> {
        let sql = format!(
            "-- event_counts.totals
             with shown as (
                 select id, parent_id, group_by, group_values
                 from (
                     select *, row_number() over (partition by parent_id order by id) as place
                     from slos where declared
                 ) as ranked
                 where parent_id is null or place <= $1
             )
             select coalesce(shown.parent_id, shown.id) as slo_id,
                 shown.parent_id is not null as is_group, shown.group_by, shown.group_values,
                 coalesce(part.is_corrected, false) as is_corrected, {or_zero}
             from shown
             left join closed_days as closed on closed.slo_id = shown.id
             left join lateral (
                 select is_corrected, {sums}
                 from (
                     select false as is_corrected, {columns} from event_counts
                     where slo_id = shown.id and resolution = $2
                         and bucket >= coalesce(closed.until, '-infinity')
                     union all
                     select false, {closed}
                     where closed.slo_id is not null
                     union all
                     select true, {columns} from corrected_events where slo_id = shown.id
                 ) as rows
                 group by is_corrected
             ) as part on true
             order by slo_id, shown.id",
            columns = OUTCOMES.join(", "),
            closed = each(|outcome| format!("closed.{outcome}")),
            sums = each(|outcome| format!("{} as {outcome}", summed(outcome))),
            or_zero = each(|outcome| format!("coalesce(part.{outcome}, 0) as {outcome}")),
        );
        let query = sqlx::query_as(AssertSqlSafe(sql))
            .bind(i64::from(max_groups))
            .bind(Resolution::Day.as_secs());
        let rows: Vec<TotalsRow> = self.fetch_all(query).await?;
        let mut totals: Vec<EventTotals> = Vec::new();
        for row in rows {
            let part = EventTotals::from(row);
            match totals.last_mut() {
                Some(last) if (last.slo, &last.group) == (part.slo, &part.group) => {
                    last.counted += part.counted;
                    last.corrected += part.corrected;
                }
                _ => totals.push(part),
            }
        }
        Ok(totals)
    }

    /// Adds the days that end by `until` to the sums of closed days. No event may be counted in
    /// them any more.
    pub(in crate::store) async fn close_days(
        &mut self,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "-- closed_days.add
             insert into closed_days as c (slo_id, until, {columns})
             select e.slo_id, $1, {sums}
             from event_counts as e left join closed_days as o on o.slo_id = e.slo_id
             where e.resolution = $2 and e.bucket < $1
                 and e.bucket >= coalesce(o.until, '-infinity')
             group by e.slo_id
             on conflict (slo_id) do update set until = excluded.until, {added}",
            columns = OUTCOMES.join(", "),
            sums = each(|outcome| summed(&format!("e.{outcome}"))),
            added = each(|outcome| format!("{outcome} = {}", capped("c", outcome))),
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(until.to_chrono())
            .bind(Resolution::Day.as_secs());
        self.execute(statement).await.map(drop)
    }
}

fn each(text: impl Fn(&str) -> String) -> String {
    OUTCOMES.map(text).join(", ")
}

/// Estimates from absurd sampling weights are capped at the limit of the column.
fn summed(column: &str) -> String {
    format!("least(coalesce(sum({column}), 0), 9e18)::bigint")
}

fn capped(table: &str, column: &str) -> String {
    format!("least({table}.{column}::numeric + excluded.{column}, 9e18)::bigint")
}

#[derive(FromRow)]
struct TotalsRow {
    slo_id: i32,
    is_group: bool,
    group_by: Option<Json<Vec<String>>>,
    group_values: Option<Json<Vec<Option<String>>>>,
    is_corrected: bool,
    #[sqlx(flatten)]
    counts: CountsRow,
}

impl From<TotalsRow> for EventTotals {
    fn from(row: TotalsRow) -> Self {
        let counts = EventCounts::from(row.counts);
        let group = row.is_group.then(|| Group {
            by: row.group_by.map(|Json(by)| by).unwrap_or_default(),
            values: row.group_values.map(|Json(values)| values),
        });
        Self {
            slo: SloId(row.slo_id),
            group,
            counted: counts,
            corrected: if row.is_corrected {
                counts
            } else {
                EventCounts::ZERO
            },
        }
    }
}
