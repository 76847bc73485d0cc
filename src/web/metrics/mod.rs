//! `/metrics`: metrics of the process, and those of SLOs, which are read from the database at each
//! scrape.

mod alerts;
mod durations;
mod events;
mod outbox;
mod protobuf;
mod slos;
mod upkeep;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use prometheus::{TextEncoder, proto::MetricFamily};

use self::{
    alerts::AlertGauges,
    durations::{DurationHistograms, DurationRow},
    events::EventCounters,
    outbox::{Outbox, OutboxGauges},
    slos::SloGauges,
    upkeep::{Upkeep, UpkeepGauges},
};
use super::{pages::summary::Summary, state::WebState};
use crate::{
    domain::{counting::stages::HopWaits, model::ids::SloId, slo::Slo},
    store::{EventTotals, GroupTally, SelectedSpans, SloRecord, StoreError},
    telemetry::metric_builder::{MetricBuilder, MetricReference, RegisteredMetrics},
};

pub(super) async fn get(State(state): State<WebState>, headers: HeaderMap) -> Response {
    let (families, durations) = match scrape(&state).await {
        Ok(scraped) => scraped,
        Err(error) => return refused(&error),
    };
    if protobuf::is_wanted(&headers) {
        let body = protobuf::encode(&families, &durations);
        return ([(header::CONTENT_TYPE, protobuf::CONTENT_TYPE)], body).into_response();
    }
    text(&families)
}

/// Answers a scrape in the text format.
pub(super) fn text(families: &[MetricFamily]) -> Response {
    match TextEncoder::new().encode_to_string(families) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &prometheus::Error) -> Response {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, "cannot write the metrics");
    (StatusCode::INTERNAL_SERVER_ERROR, "the log has the cause\n").into_response()
}

/// Returns what a scrape in the text format would show.
pub async fn current_metrics(state: &WebState) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let (families, _) = scrape(state).await?;
    Ok(families)
}

/// Answers a scrape. Without the database it returns the process's own metrics, which help to find
/// out why.
async fn scrape(
    state: &WebState,
) -> Result<(Vec<MetricFamily>, Vec<DurationRow>), prometheus::Error> {
    state.store.measure_pools();
    let mut families = state.metrics.registered.registry.gather();
    let mut durations = Vec::new();
    match records(state).await {
        Ok(scraped) => {
            let shared = SharedMetrics::new()?;
            shared.set(state, &scraped);
            families.extend(shared.registered.registry.gather());
            durations = shared.durations.take_rows();
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "metrics lack the SLOs"
            );
        }
    }
    Ok((families, durations))
}

/// The data that is read from the database for one scrape.
struct Scraped {
    records: Vec<SloRecord>,
    groups: BTreeMap<SloId, GroupTally>,
    /// Those of each SLO first, then those of its first groups.
    totals: BTreeMap<SloId, Vec<EventTotals>>,
    /// Counts of evidence by reason.
    evidence: BTreeMap<SloId, BTreeMap<String, i64>>,
    spans: BTreeMap<SloId, SelectedSpans>,
    hop_waits: BTreeMap<SloId, HopWaits>,
    outbox: Outbox,
    upkeep: Upkeep,
}

async fn records(state: &WebState) -> Result<Scraped, StoreError> {
    let (catalog, now) = (Arc::clone(&state.catalog.borrow()), state.clock.now());
    let mut tx = state.store.begin("read the statuses for a scrape").await?;
    let records = tx.slos().await?;
    let windows: Vec<_> = records
        .iter()
        .filter_map(|record| {
            let slo = catalog.slos.get(&record.name)?;
            Some((record.id, slo.window.counted(now).from))
        })
        .collect();
    let mut totals: BTreeMap<SloId, Vec<EventTotals>> = BTreeMap::new();
    for one in tx.event_totals(state.max_metric_groups).await? {
        totals.entry(one.slo).or_default().push(one);
    }
    Ok(Scraped {
        spans: tx.selected_spans(&windows).await?,
        outbox: outbox::read(&mut tx, now).await?,
        upkeep: upkeep::read(&mut tx, now).await?,
        hop_waits: tx.hop_waits(now).await?,
        records,
        groups: tx.group_tallies().await?,
        totals,
        evidence: tx.evidence_totals().await?,
    })
}

/// Metrics that are read from the database, the same on every replica.
struct SharedMetrics {
    registered: RegisteredMetrics,
    slos: SloGauges,
    durations: DurationHistograms,
    events: EventCounters,
    alerts: AlertGauges,
    outbox: OutboxGauges,
    upkeep: UpkeepGauges,
}

impl SharedMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        let builder = MetricBuilder::default();
        Ok(Self {
            slos: SloGauges::new(&builder)?,
            durations: DurationHistograms::new(&builder)?,
            events: EventCounters::new(&builder)?,
            alerts: AlertGauges::new(&builder)?,
            outbox: OutboxGauges::new(&builder)?,
            upkeep: UpkeepGauges::new(&builder)?,
            registered: builder.finish(),
        })
    }

    fn set(&self, state: &WebState, scraped: &Scraped) {
        let catalog = Arc::clone(&state.catalog.borrow());
        let by_name: BTreeMap<_, _> = scraped
            .records
            .iter()
            .map(|record| (&record.name, record))
            .collect();
        let most = usize::try_from(state.max_metric_durations).unwrap_or(usize::MAX);
        let staged = catalog.slos.values().filter(|slo| slo.staged().is_some());
        for slo in staged.take(most) {
            self.durations.set(&slo.name, &state.durations);
        }
        for slo in catalog.slos.values() {
            self.set_slo(state, slo, by_name.get(&slo.name).copied(), scraped);
        }
        self.outbox.set(&scraped.outbox);
        self.upkeep.set(&scraped.upkeep);
    }

    fn set_slo(&self, state: &WebState, slo: &Slo, record: Option<&SloRecord>, scraped: &Scraped) {
        let (name, gauges) = (slo.name.as_str(), &self.slos);
        let summary = Summary::new(slo, record);
        gauges.set(&summary);
        gauges.set_info(slo);
        gauges.set_customers(slo, summary.customers_affected_last_hour);
        self.alerts.set(slo, &summary.alerts);
        let Some(record) = record else { return };
        let totals = scraped.totals.get(&record.id);
        let totals = totals.map_or(&[][..], Vec::as_slice);
        let shown = |one: &EventTotals| state.shown(&slo.name, one.clone());
        let shown: Vec<_> = totals.iter().map(shown).collect();
        self.events.set(name, &shown);
        if let Some(tally) = scraped.groups.get(&record.id) {
            let shown = totals.iter().filter(|one| one.group.is_some()).count();
            gauges.set_groups(name, *tally, shown);
        }
        for (reason, count) in scraped.evidence.get(&record.id).into_iter().flatten() {
            gauges.set_evidence(name, reason, *count);
        }
        if let Some(spans) = scraped.spans.get(&record.id) {
            gauges.set_spans(name, spans);
        }
        if let Some(waits) = scraped.hop_waits.get(&record.id) {
            gauges.set_hop_waits(name, waits);
        }
    }
}

/// Returns the metrics that are read from the database, those of SLOs first.
pub(super) fn shared_reference() -> Result<Vec<MetricReference>, prometheus::Error> {
    Ok(SharedMetrics::new()?.registered.reference.to_vec())
}
