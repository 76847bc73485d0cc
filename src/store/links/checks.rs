//! Checks that are due: what a transaction stored about links without a lock, and must be compared
//! with what others committed at the same time.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::edges::SpanColumns;
use crate::store::{StoreError, Tx};

/// What is to be checked.
#[derive(Debug)]
pub(crate) struct StoredCheck {
    /// The spans that arrived.
    pub(crate) arrived: SpanColumns,
    pub(crate) evidence_ids: BTreeSet<Uuid>,
}

impl Tx<'_> {
    /// Stores that spans and evidence are to be checked. Returns the id of the check.
    pub(crate) async fn add_link_check(
        &mut self,
        arrived: &SpanColumns,
        evidence_ids: Vec<Uuid>,
    ) -> Result<i64, StoreError> {
        let query = sqlx::query_as(concat!(
            "-- link_checks.add\n",
            "insert into link_checks (filters, trace_ids, span_ids, evidence_ids) ",
            "values ($1, $2, $3, $4) returning id",
        ))
        .bind(&arrived.filters)
        .bind(&arrived.trace_ids)
        .bind(&arrived.span_ids)
        .bind(evidence_ids);
        let (id,): (i64,) = self.fetch_one(query).await?;
        Ok(id)
    }

    /// Removes a check that this transaction carries out. False if another has carried it out.
    ///
    /// If the removal is lost in a crash, the check is only repeated, so the commit need not wait for
    /// the disk.
    pub(crate) async fn take_link_check(&mut self, id: i64) -> Result<bool, StoreError> {
        let statement = sqlx::query(concat!(
            "-- link_checks.take\n",
            "delete from link_checks where id = $1 ",
            "and set_config('synchronous_commit', 'off', true) is not null",
        ));
        Ok(self.execute(statement.bind(id)).await? > 0)
    }

    /// Removes and returns a check that its own transaction has not carried out.
    pub(crate) async fn take_any_link_check(&mut self) -> Result<Option<StoredCheck>, StoreError> {
        type Row = (Vec<i64>, Vec<Uuid>, Vec<i64>, Vec<Uuid>);

        let query = sqlx::query_as(concat!(
            "-- link_checks.take_any\n",
            "delete from link_checks where id = ",
            "(select id from link_checks order by id limit 1 for update skip locked) ",
            "returning filters, trace_ids, span_ids, evidence_ids",
        ));
        let row: Option<Row> = self.fetch_optional(query).await?;
        Ok(
            row.map(|(filters, trace_ids, span_ids, evidence_ids)| StoredCheck {
                arrived: SpanColumns {
                    filters,
                    trace_ids,
                    span_ids,
                },
                evidence_ids: evidence_ids.into_iter().collect(),
            }),
        )
    }

    /// Returns whether evidence is unresolved, or a check is due that no other transaction carries
    /// out.
    pub async fn has_unresolved_links(&mut self) -> Result<bool, StoreError> {
        let query = sqlx::query_as(concat!(
            "-- link_checks.are_due\n",
            "select exists (select 1 from link_evidence where is_unresolved) ",
            "or exists (select 1 from link_checks for update skip locked)",
        ));
        let (has,): (bool,) = self.fetch_one(query).await?;
        Ok(has)
    }
}
