//! Metrics as a request of [remote write 1.0](https://prometheus.io/docs/specs/prw/remote_write_spec/):
//! protobuf, compressed by the block format of Snappy.

use std::collections::BTreeMap;

use prometheus::proto::{Histogram, MetricFamily, MetricType};
use prost::Message;

use crate::domain::model::time::Timestamp;

#[derive(Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<TimeSeries>,
}

/// One sample of one series.
#[derive(Message)]
pub(super) struct TimeSeries {
    /// Sorted by name, as receivers demand.
    #[prost(message, repeated, tag = "1")]
    labels: Vec<SeriesLabel>,
    #[prost(message, optional, tag = "2")]
    sample: Option<SeriesSample>,
}

#[derive(Message)]
struct SeriesLabel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Message)]
struct SeriesSample {
    #[prost(double, tag = "1")]
    value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    at: i64,
}

/// Returns the samples that a scrape at this time would have had. Every series gets the labels of `target`,
/// as a scrape adds `job` and `instance`.
pub(super) fn series(
    families: &[MetricFamily],
    target: &BTreeMap<String, String>,
    at: Timestamp,
) -> Vec<TimeSeries> {
    let mut all = Vec::new();
    for family in families {
        for metric in family.get_metric() {
            let mut labels = target.clone();
            for label in metric.get_label() {
                labels.insert(label.name().to_owned(), label.value().to_owned());
            }
            let samples = Samples {
                name: family.name(),
                labels,
                at: at.as_micros() / 1_000,
            };
            match family.get_field_type() {
                MetricType::HISTOGRAM => samples.of_histogram(metric.get_histogram(), &mut all),
                MetricType::COUNTER => {
                    all.push(samples.one("", None, metric.get_counter().get_value()));
                }
                MetricType::GAUGE => {
                    all.push(samples.one("", None, metric.get_gauge().get_value()));
                }
                // The service has none of these.
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }
    all
}

/// What the samples of one metric share.
struct Samples<'a> {
    name: &'a str,
    labels: BTreeMap<String, String>,
    at: i64,
}

impl Samples<'_> {
    #[expect(clippy::cast_precision_loss, reason = "every sample is a float")]
    fn of_histogram(&self, histogram: &Histogram, all: &mut Vec<TimeSeries>) {
        let count = histogram.get_sample_count();
        for bucket in histogram.get_bucket() {
            let bound = bucket.upper_bound();
            if bound.is_finite() {
                let count = bucket.cumulative_count() as f64;
                all.push(self.one("_bucket", Some(bound.to_string()), count));
            }
        }
        all.push(self.one("_bucket", Some("+Inf".to_owned()), count as f64));
        all.push(self.one("_sum", None, histogram.get_sample_sum()));
        all.push(self.one("_count", None, count as f64));
    }

    fn one(&self, suffix: &str, bound: Option<String>, value: f64) -> TimeSeries {
        let mut labels = self.labels.clone();
        labels.insert("__name__".to_owned(), format!("{}{suffix}", self.name));
        if let Some(bound) = bound {
            labels.insert("le".to_owned(), bound);
        }
        let labels = labels.into_iter();
        TimeSeries {
            labels: labels
                .map(|(name, value)| SeriesLabel { name, value })
                .collect(),
            sample: Some(SeriesSample { value, at: self.at }),
        }
    }
}

/// Returns the body of one request.
pub(super) fn body(series: Vec<TimeSeries>) -> Result<Vec<u8>, snap::Error> {
    let request = WriteRequest { series }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&request)
}

#[cfg(test)]
mod tests {
    use prometheus::{Gauge, Histogram, HistogramOpts, Opts, Registry};

    use super::*;

    fn written(registry: &Registry) -> Vec<String> {
        let target = BTreeMap::from([("job".to_owned(), "throughline".to_owned())]);
        let at = Timestamp::from_micros(1_500);
        let body = body(series(&registry.gather(), &target, at)).unwrap();
        let body = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let request = WriteRequest::decode(body.as_slice()).unwrap();
        let text = |one: &TimeSeries| {
            let labels = one.labels.iter();
            let labels: Vec<_> = labels
                .map(|label| format!("{}={}", label.name, label.value))
                .collect();
            let sample = one.sample.as_ref().unwrap();
            format!("{} {} at {}", labels.join(","), sample.value, sample.at)
        };
        request.series.iter().map(text).collect()
    }

    #[test]
    fn a_gauge_has_its_labels_and_those_of_the_target_sorted_by_name() {
        let registry = Registry::new();
        let options = Opts::new("orders", "Orders.").const_label("Zone", "a");
        let gauge = Gauge::with_opts(options.const_label("slo", "checkout")).unwrap();
        gauge.set(2.5);
        registry.register(Box::new(gauge)).unwrap();
        let expected = "Zone=a,__name__=orders,job=throughline,slo=checkout 2.5 at 1";
        assert_eq!(written(&registry), [expected]);
    }

    #[test]
    fn a_histogram_has_a_series_for_each_bucket_the_sum_and_the_count() {
        let registry = Registry::new();
        let options = HistogramOpts::new("waits", "Waits.").buckets(vec![0.5, 1.0]);
        let histogram = Histogram::with_opts(options).unwrap();
        histogram.observe(0.25);
        histogram.observe(4.0);
        registry.register(Box::new(histogram)).unwrap();
        assert_eq!(
            written(&registry),
            [
                "__name__=waits_bucket,job=throughline,le=0.5 1 at 1",
                "__name__=waits_bucket,job=throughline,le=1 1 at 1",
                "__name__=waits_bucket,job=throughline,le=+Inf 2 at 1",
                "__name__=waits_sum,job=throughline 4.25 at 1",
                "__name__=waits_count,job=throughline 2 at 1",
            ]
        );
    }
}
