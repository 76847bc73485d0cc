//! Durations of workflows as histograms: with fixed limits, and native ones for scrapers that ask
//! for protobuf.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Opts,
    core::{Collector, Desc},
    proto::{self, MetricFamily, MetricType},
};

use crate::{
    domain::{
        counting::durations::{DurationTotals, SharedDurations},
        model::ids::Name,
    },
    telemetry::metric_builder::MetricBuilder,
};

pub(super) const NAME: &str = "throughline_slo_duration_seconds";
/// The limits are powers of four from 1/64 of a second to 12 days: each is the limit of an exponential
/// bucket too, so the counts are exact.
const DOUBLINGS: [i16; 14] = [-6, -4, -2, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20];

/// The durations of good or of bad workflows of one SLO.
#[derive(Clone, Debug)]
pub(super) struct DurationRow {
    pub(super) slo: String,
    pub(super) outcome: &'static str,
    pub(super) totals: DurationTotals,
}

/// The histograms of one scrape.
#[derive(Clone, Debug)]
pub(super) struct DurationHistograms {
    desc: Desc,
    rows: Arc<Mutex<Vec<DurationRow>>>,
}

impl DurationHistograms {
    pub(super) fn new(builder: &MetricBuilder) -> Result<Self, prometheus::Error> {
        let help = "How long workflows took that this process saw judged, since it started. A corrected workflow is \
                    counted again under its new outcome. A workflow without an end lasts until its deadline. Sampled \
                    workflows count as often as their weight says. Scraped with protobuf it is a native histogram.";
        let options = Opts::new(NAME, help).variable_labels(vec!["slo".into(), "outcome".into()]);
        let desc = Desc::new(
            options.fq_name(),
            options.help,
            options.variable_labels,
            options.const_labels,
        )?;
        builder.register(Self {
            desc,
            rows: Arc::default(),
        })
    }

    /// Adds the histograms of an SLO, also those without a workflow.
    pub(super) fn set(&self, slo: &Name, known: &SharedDurations) {
        let row = |(outcome, is_bad)| DurationRow {
            slo: slo.to_string(),
            outcome,
            totals: known.of(&(slo.clone(), is_bad)),
        };
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.extend([("good", false), ("bad", true)].map(row));
    }

    /// Removes and returns the collected rows.
    pub(super) fn take_rows(&self) -> Vec<DurationRow> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rows)
    }
}

impl Collector for DurationHistograms {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(rows.iter().map(DurationRow::metric).collect());
        vec![family]
    }
}

impl DurationRow {
    fn metric(&self) -> proto::Metric {
        let label = |name: &str, value: &str| {
            let mut label = proto::LabelPair::default();
            label.set_name(name.to_owned());
            label.set_value(value.to_owned());
            label
        };
        let mut metric = proto::Metric::from_label(vec![
            label("outcome", self.outcome),
            label("slo", &self.slo),
        ]);
        let durations = &self.totals.histogram;
        let bucket = |doublings: i16| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(f64::from(doublings).exp2());
            bucket.set_cumulative_count(rounded(durations.events_up_to(doublings)));
            bucket
        };
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(DOUBLINGS.into_iter().map(bucket).collect());
        histogram.set_sample_count(rounded(durations.events()));
        histogram.set_sample_sum(self.totals.seconds());
        metric.set_histogram(histogram);
        metric
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are not negative and far below 2^53"
)]
fn rounded(events: f64) -> u64 {
    events.round() as u64
}
