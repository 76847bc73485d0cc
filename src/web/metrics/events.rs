//! Counters of events by outcome, since the first event of each SLO.

use prometheus::CounterVec;

use crate::{
    domain::model::{counts::EventCounts, group::Group},
    store::EventTotals,
    telemetry::metric_builder::MetricBuilder,
};

/// Returns the recorded events by the name of their outcome.
pub(super) const fn by_outcome(counts: &EventCounts) -> [(&'static str, i64); 10] {
    [
        ("good", counts.good),
        ("late", counts.late),
        ("failed", counts.failed),
        ("timeout", counts.timeout),
        ("cancelled", counts.cancelled),
        ("orphan", counts.orphan),
        ("invalid", counts.invalid),
        ("unobservable", counts.unobservable),
        ("evidence_lost", counts.evidence_lost),
        ("ambiguous", counts.ambiguous),
    ]
}

/// The counters of one scrape.
pub(super) struct EventCounters {
    counted: CounterVec,
    corrected: CounterVec,
}

impl EventCounters {
    pub(super) fn new(builder: &MetricBuilder) -> Result<Self, prometheus::Error> {
        let labels = ["slo", "outcome", "group"];
        Ok(Self {
            counted: builder.float_counters(
                "throughline_slo_events_total",
                "Events since the first, by outcome. It never falls: a corrected event is counted again under its new outcome, \
                 and throughline_slo_corrected_events_total counts it under its old one, so that the difference of both is what \
                 is true now. `extrapolated_good` and `extrapolated_bad` are the events that sampled ones represent in addition \
                 to themselves: with them, sums are weighted. `group` is empty for the SLO itself, which has the events of all \
                 its groups. Exclusions are not taken out.",
                &labels,
            )?,
            corrected: builder.float_counters(
                "throughline_slo_corrected_events_total",
                "Events that do not have this outcome any more, because evidence arrived later that changed their verdict or \
                 their group.",
                &labels,
            )?,
        })
    }

    pub(super) fn set(&self, slo: &str, totals: &[EventTotals]) {
        for one in totals {
            let group = one.group.as_ref().map(Group::text).unwrap_or_default();
            add(&self.counted, [slo, &group], &one.counted);
            add(&self.corrected, [slo, &group], &one.corrected);
        }
    }
}

fn add(counter: &CounterVec, [slo, group]: [&str; 2], counts: &EventCounts) {
    for (outcome, events) in weighted(counts) {
        let labels = [slo, outcome, group];
        counter.with_label_values(&labels).inc_by(events);
    }
}

/// Returns the recorded events, and the additional ones that they represent.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn weighted(counts: &EventCounts) -> impl Iterator<Item = (&'static str, f64)> {
    let recorded = by_outcome(counts).map(|(outcome, events)| (outcome, events as f64));
    let extrapolated = [
        ("extrapolated_good", counts.unseen_good as f64 / 1e6),
        ("extrapolated_bad", counts.unseen_bad as f64 / 1e6),
    ];
    recorded.into_iter().chain(extrapolated)
}
