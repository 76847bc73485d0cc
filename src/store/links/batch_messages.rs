//! Batches of messages that share a context, and the workflow of each message.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::edges::{SpanColumns, span};
use crate::{
    domain::{
        model::{ids::SloId, span::SpanRef},
        workflow::{EventKey, Workflow, batch::Publication, links::LinkFilter},
    },
    store::{StoreError, Tx},
};

/// Key of the row for the publication itself.
pub(crate) const PUBLICATION: EventKey = EventKey([0; 16]);

/// A batch by its SLO and the span that its messages share.
pub(crate) type BatchId = (SloId, SpanRef);

/// Everything that is stored about some batches.
pub(crate) type Batches = BTreeMap<BatchId, Publication>;

impl Tx<'_> {
    /// Returns all that is stored about these batches.
    pub(crate) async fn batches(&mut self, ids: &BTreeSet<BatchId>) -> Result<Batches, StoreError> {
        let slos: Vec<i32> = ids.iter().map(|(slo, _)| slo.0).collect();
        let spans = ids.iter().map(|(_, context)| (LinkFilter::ALL, *context));
        let spans: SpanColumns = spans.collect();
        let rows = sqlx::query(concat!(
            "-- batch_messages.known\n",
            "select b.slo_id, b.trace_id, b.span_id, b.message, b.position, b.message_count, b.evidence ",
            "from unnest($1::integer[], $2::uuid[], $3::bigint[]) as n(slo_id, trace_id, span_id) ",
            "join batch_messages b on b.slo_id = n.slo_id and b.trace_id = n.trace_id ",
            "and b.span_id = n.span_id",
        ))
        .bind(slos)
        .bind(spans.trace_ids)
        .bind(spans.span_ids)
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut batches = Batches::new();
        for row in &rows {
            add(row, &mut batches).map_err(|source| self.failed(source))?;
        }
        Ok(batches)
    }

    pub(crate) async fn write_batches(
        &mut self,
        rows: BTreeMap<(BatchId, EventKey), MessageRow>,
        epoch: i32,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let slos: Vec<i32> = rows.keys().map(|((slo, _), _)| slo.0).collect();
        let spans = rows.keys().map(|((_, at), _)| (LinkFilter::ALL, *at));
        let spans: SpanColumns = spans.collect();
        let ids: Vec<Uuid> = rows.keys().map(|(_, id)| Uuid::from_bytes(id.0)).collect();
        let positions: Vec<i32> = rows.values().map(|row| row.position).collect();
        let counts: Vec<Option<i32>> = rows.values().map(|row| row.message_count).collect();
        let evidence = rows.into_values().map(|row| row.evidence);
        let evidence: Vec<Option<Json<Workflow>>> = evidence.collect();
        let statement = sqlx::query(concat!(
            "-- batch_messages.write\n",
            "insert into batch_messages as b (slo_id, trace_id, span_id, message, position, ",
            "message_count, evidence, epoch) select n.*, $8 ",
            "from unnest($1::integer[], $2::uuid[], $3::bigint[], $4::uuid[], $5::integer[], ",
            "$6::integer[], $7::jsonb[]) as n ",
            "on conflict (slo_id, trace_id, span_id, message, epoch) ",
            "do update set message_count = excluded.message_count, evidence = excluded.evidence",
        ))
        .bind(slos)
        .bind(spans.trace_ids)
        .bind(spans.span_ids)
        .bind(ids)
        .bind(positions)
        .bind(counts)
        .bind(evidence)
        .bind(epoch);
        self.execute(statement).await?;
        Ok(())
    }
}

/// One message, or the publication with position 0.
pub(crate) struct MessageRow {
    position: i32,
    message_count: Option<i32>,
    evidence: Option<Json<Workflow>>,
}

impl MessageRow {
    pub(crate) fn of(batch: &Publication, message: EventKey) -> Self {
        let position = batch.slots.get(&message).copied().unwrap_or_default();
        let published = batch.published.as_ref().filter(|_| message == PUBLICATION);
        Self {
            position: i32::try_from(position).unwrap_or(i32::MAX),
            message_count: published
                .map(|(messages, _)| i32::try_from(*messages).unwrap_or(i32::MAX)),
            evidence: published.map(|(_, evidence)| Json(evidence.clone())),
        }
    }
}

fn add(row: &sqlx::postgres::PgRow, batches: &mut Batches) -> Result<(), sqlx::Error> {
    let id = (
        SloId(row.try_get("slo_id")?),
        span(row, ["trace_id", "span_id"])?,
    );
    let batch = batches.entry(id).or_default();
    let number = |column: &str| {
        row.try_get::<Option<i32>, _>(column)
            .map(|number| number.map(|number| u32::try_from(number).unwrap_or_default()))
    };
    let evidence: Option<Json<Workflow>> = row.try_get("evidence")?;
    if let (Some(messages), Some(Json(evidence))) = (number("message_count")?, evidence) {
        // Publishing again is harmless: an older epoch may hold another copy of the row.
        batch.publish(messages, &evidence);
    } else {
        let message = EventKey(row.try_get::<Uuid, _>("message")?.into_bytes());
        let position = number("position")?.unwrap_or_default();
        batch.slots.insert(message, position);
    }
    Ok(())
}
