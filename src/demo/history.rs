//! Writes the shop's past, so that there are a budget and a usual traffic to compare with.
//!
//! The past is judged and counted by the same functions as live orders. Orders that a page may
//! still show are recorded with all their spans, as if these had been received. For the many older
//! ones only the facts are generated, not the spans; a test proves that both give the same counts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    past::{DAY, DAYS, PastOrder, orders_of_day},
    shop::{Joined, Payment, Refund, Service, Visit},
};
use crate::{
    domain::{
        counting::ledger::{CountDelta, apply},
        model::{
            ids::{Name, Revision, SloId, SpanId, TraceId},
            span::{Instrumentation, OwnedValue, Span, SpanAttributes, SpanStatus},
            time::{TimeRange, Timestamp},
        },
        slo::{Catalog, Indicator},
        workflow::{
            Deadline, Details, EvidenceByEvent, Judging, JudgingContext, Start, TraceRef, Workflow,
            classify::{ClassifiedBatch, Classifier},
            gather,
            links::GroupsOfBatches,
            stage_evidence::FoundStageEvidence,
        },
    },
    recording::Recording,
    store::{SpanCounts, Store, Writer},
};

/// Pages and alerts use the workflows of the last hour.
const ROWS_FOR: Duration = Duration::from_mins(70);
/// Replicas draw a number from 0 to 1,023.
const WRITER: Writer = Writer(1_024);
/// The time limit of `orders-reach-warehouse`.
const REACHES_WAREHOUSE_WITHIN: Duration = Duration::from_mins(1);

/// The shop's past until `now`.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) slos: Arc<Slos>,
    pub(super) now: Timestamp,
    pub(super) seed: u64,
}

/// The SLOs of the shop.
#[derive(Debug)]
pub(super) struct Slos {
    classifier: Classifier,
    on_time: (SloId, Deadline),
    reach_warehouse: SloId,
    refunds: (SloId, Deadline),
    /// For workflows without a row, which have no trace to show.
    trace: TraceRef,
}

/// The results of one day.
pub(super) struct Day {
    before_now: u32,
    orders: u64,
    /// The counts of workflows without a row.
    pub(super) moves: CountDelta,
    /// The workflows with a row.
    pub(super) recent: EvidenceByEvent,
    /// The stage evidence of these, and the number of their spans.
    pieces: Vec<FoundStageEvidence>,
    correlated: BTreeMap<SloId, i64>,
}

impl Slos {
    /// Returns `None` if one is missing.
    pub(super) fn new(catalog: &Catalog, ids: &BTreeMap<Name, SloId>) -> Option<Self> {
        let found = |name: &str| {
            let (name, slo) = catalog
                .slos
                .iter()
                .find(|(known, _)| known.as_str() == name)?;
            Some((*ids.get(name)?, slo))
        };
        let indicator = |name| {
            let (id, slo) = found(name)?;
            match &slo.indicator {
                Indicator::Workflow(workflow) => Some((id, Deadline::Within(workflow.within))),
                Indicator::Span(_) => None,
            }
        };
        Some(Self {
            classifier: Classifier::new(catalog, ids),
            on_time: indicator("orders-on-time")?,
            reach_warehouse: found("orders-reach-warehouse")?.0,
            refunds: indicator("refunds-settled")?,
            trace: TraceRef::Other(TraceId::from_slice(&[1; 16])?),
        })
    }

    /// Makes the workflow of an order for `orders-on-time`.
    fn confirmation(&self, past: &PastOrder) -> Workflow {
        let PastOrder {
            order, taken_at, ..
        } = past;
        let mut workflow = self.started(order.placed_at, self.on_time.1);
        match order.payment {
            Payment::Charged => workflow.success = Some(order.confirmed_at(*taken_at)),
            Payment::Declined => workflow.cancelled = Some(order.paid_at()),
            Payment::Failed => workflow.failure = Some(order.paid_at()),
        }
        workflow
    }

    /// Makes the workflow of a paid order for `orders-reach-warehouse`.
    fn arrival(&self, past: &PastOrder) -> Workflow {
        let PastOrder {
            order, taken_at, ..
        } = past;
        let mut workflow = self.started(order.placed_at, Deadline::OneSpan);
        let packed_at = order.packed_at(*taken_at);
        if packed_at <= order.placed_at + REACHES_WAREHOUSE_WITHIN {
            workflow.success = Some(packed_at);
        } else {
            workflow.late = Some(packed_at);
        }
        workflow
    }

    /// Makes the workflow of a refund for `refunds-settled`.
    fn settlement(&self, refund: &Refund) -> Workflow {
        let mut workflow = self.started(refund.requested_at, self.refunds.1);
        match refund.status {
            SpanStatus::Error => workflow.failure = Some(refund.settled_at()),
            SpanStatus::Unset | SpanStatus::Ok => workflow.success = Some(refund.settled_at()),
        }
        workflow
    }

    fn started(&self, at: Timestamp, deadline: Deadline) -> Workflow {
        Workflow {
            revision: Revision::default(),
            label: String::new(),
            start: Some(Start { at, deadline }),
            success: None,
            failure: None,
            late: None,
            cancelled: None,
            trace: self.trace,
            customer: None,
            first_evidence_at: Some(at),
            details: Details::default(),
        }
    }
}

impl History {
    /// Writes the past, one day per transaction, and returns the number of orders.
    pub(super) async fn write(&self, store: &Store) -> anyhow::Result<u64> {
        let mut tx = store.begin("prepare a backtest").await?;
        let range = TimeRange::new(self.now - DAY * (DAYS + 1), self.now + DAY);
        tx.ensure_count_partitions(range).await?;
        tx.commit().await?;
        let mut orders = 0;
        let mut next = Some(self.spawn_day(DAYS));
        while let Some(day) = next.take() {
            let day = day.await?;
            // The next day is generated while this one is written.
            next = (day.before_now > 1).then(|| self.spawn_day(day.before_now - 1));
            orders += day.orders;
            self.commit(store, &day).await?;
        }
        Ok(orders)
    }

    fn spawn_day(&self, before_now: u32) -> tokio::task::JoinHandle<Day> {
        let history = self.clone();
        tokio::task::spawn_blocking(move || history.day(before_now, ROWS_FOR))
    }

    /// Returns the day that began this many days ago; orders of its last `rows_for` get rows.
    pub(super) fn day(&self, before_now: u32, rows_for: Duration) -> Day {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let (mut moves, mut recent) = (CountDelta::default(), ClassifiedBatch::default());
        let past = orders_of_day(self.now, before_now, self.seed);
        for past in &past {
            if past.order.placed_at < self.now - rows_for {
                self.count(past, &mut moves);
            } else {
                self.classify(&mut rng, past, &mut recent);
            }
        }
        let recent = recent.with_all_stages();
        let mut gathered = gather(&recent.evidence);
        recent.sampling.add_to(&mut gathered);
        for workflow in gathered.values_mut() {
            // Otherwise all would have arrived now, and their delay would postpone timeouts.
            workflow.first_evidence_at = workflow.start.map(|start| start.at);
        }
        Day {
            before_now,
            orders: past.len() as u64,
            moves,
            recent: gathered,
            pieces: recent.pieces,
            correlated: recent.correlated,
        }
    }

    /// Counts an order by its facts alone.
    fn count(&self, past: &PastOrder, moves: &mut CountDelta) {
        let slos = &self.slos;
        let mut add = |slo: SloId, workflow: &Workflow| {
            apply(slo, None, workflow, &self.judging(slo), moves);
        };
        add(slos.on_time.0, &slos.confirmation(past));
        if past.order.payment == Payment::Charged {
            add(slos.reach_warehouse, &slos.arrival(past));
        }
        if let Some(refund) = &past.refund {
            add(slos.refunds.0, &slos.settlement(refund));
        }
    }

    fn classify(&self, rng: &mut StdRng, past: &PastOrder, findings: &mut ClassifiedBatch) {
        let mut visits = past.order.before_fulfilment();
        visits.extend(past.order.after_fulfilment(past.taken_at));
        visits.extend(past.refund.iter().flat_map(Refund::visits));
        for span in spans(rng, &visits) {
            self.slos
                .classifier
                .classify(&span, Timestamp::UNIX_EPOCH, findings);
        }
    }

    /// Returns rules as if it were judged long after the order.
    pub(super) fn judging(&self, slo: SloId) -> Judging {
        let context = JudgingContext::healthy(self.now);
        self.slos.classifier.judging(slo, &context)
    }

    async fn commit(&self, store: &Store, day: &Day) -> anyhow::Result<()> {
        let (mut tx, state) = store.begin_recording("write a day of demo history").await?;
        let spans = SpanCounts {
            correlated: day.correlated.clone(),
            ..SpanCounts::default()
        };
        tx.write_counts(WRITER, self.now, &day.moves, &spans)
            .await?;
        let judging = |slo| self.judging(slo);
        let mut recording = Recording::new(&mut tx, state, &judging);
        recording
            .apply(&day.recent, &GroupsOfBatches::default())
            .await?;
        recording
            .write_counts(WRITER, self.now, &SpanCounts::default())
            .await?;
        let pieces: Vec<&FoundStageEvidence> = day.pieces.iter().collect();
        tx.add_stage_spans(self.now, &pieces).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Returns the spans of one order as they would have been received; links are left out, since no
/// definition of the demo uses them.
pub(super) fn spans(rng: &mut StdRng, visits: &[Visit]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::with_capacity(10);
    for visit in visits {
        let before = spans.last().map(|span| (span.trace_id, span.span_id));
        let (trace_id, mut parent) = match (visit.joined, before) {
            (Joined::Child, Some((trace_id, span_id))) => (trace_id, Some(span_id)),
            (Joined::Root | Joined::Linked | Joined::Child, _) => (random_trace_id(rng), None),
        };
        let resource = Arc::new(resource(visit.service));
        for (place, step) in visit.steps.iter().enumerate() {
            let span_id = random_span_id(rng);
            spans.push(Span {
                trace_id,
                span_id,
                parent_span_id: parent,
                name: step.name.to_owned(),
                kind: step.kind,
                status: step.status,
                status_message: String::new(),
                start_unix_nano: nanos(step.start),
                end_unix_nano: nanos(step.end),
                trace_state: String::new(),
                attributes: step.attributes.clone(),
                resource: Arc::clone(&resource),
                instrumentation: Arc::new(Instrumentation::default()),
                events: Vec::new(),
                links: Vec::new(),
                dropped_links_count: 0,
                flags: 0,
            });
            if place == 0 {
                parent = Some(span_id);
            }
        }
    }
    spans
}

fn resource(service: Service) -> SpanAttributes {
    vec![("service.name".to_owned(), OwnedValue::from(service.name()))]
}

fn random_trace_id(rng: &mut StdRng) -> TraceId {
    loop {
        if let Some(id) = TraceId::from_slice(&rng.random::<[u8; 16]>()) {
            return id;
        }
    }
}

fn random_span_id(rng: &mut StdRng) -> SpanId {
    loop {
        if let Some(id) = SpanId::from_slice(&rng.random::<[u8; 8]>()) {
            return id;
        }
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0) * 1_000
}
