//! Metrics in the protobuf format of Prometheus, the only one with native histograms. The crate
//! `prometheus` supports neither; the messages are those of
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use prometheus::proto::{self, MetricType};
use prost::Message;

use super::durations::{self, DurationRow};
use crate::domain::counting::durations::DurationHistogram;

pub(super) const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The schema with four buckets per doubling.
const SCHEMA: i32 = 2;

#[derive(Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
}

#[derive(Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<SampleValue>,
    #[prost(message, optional, tag = "3")]
    counter: Option<SampleValue>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

#[derive(Message)]
struct SampleValue {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    /// The count of a native histogram, which need not be a whole number.
    #[prost(double, optional, tag = "4")]
    sample_count_float: Option<f64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(double, optional, tag = "8")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "12")]
    positive_spans: Vec<BucketSpan>,
    #[prost(double, repeated, packed = "true", tag = "14")]
    positive_counts: Vec<f64>,
}

#[derive(Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
}

/// A range of consecutive buckets.
#[derive(Message)]
struct BucketSpan {
    /// The number of buckets between this span and the one before.
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

/// The rows by SLO and outcome.
type RowsByLabels<'a> = BTreeMap<(&'a str, &'a str), &'a DurationRow>;

/// Returns whether a scraper wants this format. Prometheus asks for it only if native histograms
/// are enabled.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| {
        let mut formats = accept.split(',').map(|format| format.replace(' ', ""));
        formats.any(|format| {
            format.starts_with("application/vnd.google.protobuf;")
                && format.contains("proto=io.prometheus.client.MetricFamily")
                && format.contains("encoding=delimited")
        })
    })
}

/// Encodes all families; the histograms of `durations` also become native ones.
pub(super) fn encode(families: &[proto::MetricFamily], durations: &[DurationRow]) -> Vec<u8> {
    let by_labels = durations.iter();
    let by_labels = by_labels.map(|row| ((row.slo.as_str(), row.outcome), row));
    let durations: RowsByLabels<'_> = by_labels.collect();
    let mut body = Vec::new();
    for family in families {
        let mut family = MetricFamily::from(family);
        if family.name.as_deref() == Some(durations::NAME) {
            let metrics = family.metrics.iter_mut();
            metrics.for_each(|metric| metric.make_native(&durations));
        }
        body.extend(family.encode_length_delimited_to_vec());
    }
    body
}

impl From<&proto::MetricFamily> for MetricFamily {
    fn from(family: &proto::MetricFamily) -> Self {
        let kind = family.get_field_type();
        let metrics = family.get_metric().iter();
        Self {
            name: Some(family.name().to_owned()),
            help: Some(family.help().to_owned()),
            kind: Some(match kind {
                MetricType::COUNTER => 0,
                MetricType::GAUGE => 1,
                MetricType::SUMMARY => 2,
                MetricType::UNTYPED => 3,
                MetricType::HISTOGRAM => 4,
            }),
            metrics: metrics.map(|metric| Metric::new(metric, kind)).collect(),
        }
    }
}

impl Metric {
    /// Converts a metric. No metric of this process is a summary or has no type.
    fn new(metric: &proto::Metric, kind: MetricType) -> Self {
        let value = |value| Some(SampleValue { value: Some(value) });
        let labels = metric.get_label().iter();
        Self {
            labels: labels
                .map(|label| LabelPair {
                    name: Some(label.name().to_owned()),
                    value: Some(label.value().to_owned()),
                })
                .collect(),
            gauge: match kind {
                MetricType::GAUGE => value(metric.get_gauge().get_value()),
                _ => None,
            },
            counter: match kind {
                MetricType::COUNTER => value(metric.get_counter().get_value()),
                _ => None,
            },
            histogram: match kind {
                MetricType::HISTOGRAM => Some(Histogram::from(metric.get_histogram())),
                _ => None,
            },
        }
    }

    fn make_native(&mut self, durations: &RowsByLabels<'_>) {
        let label = |name: &str| {
            let named = |label: &&LabelPair| label.name.as_deref() == Some(name);
            self.labels.iter().find(named)?.value.as_deref()
        };
        let labels = label("slo").zip(label("outcome"));
        let row = labels.and_then(|labels| durations.get(&labels));
        if let (Some(histogram), Some(row)) = (&mut self.histogram, row) {
            histogram.make_native(&row.totals.histogram);
        }
    }
}

impl From<&proto::Histogram> for Histogram {
    fn from(histogram: &proto::Histogram) -> Self {
        let buckets = histogram.get_bucket().iter();
        Self {
            sample_count: Some(histogram.get_sample_count()),
            sample_sum: Some(histogram.get_sample_sum()),
            buckets: buckets
                .map(|bucket| Bucket {
                    cumulative_count: Some(bucket.cumulative_count()),
                    upper_bound: Some(bucket.upper_bound()),
                })
                .collect(),
            ..Self::default()
        }
    }
}

impl Histogram {
    fn make_native(&mut self, durations: &DurationHistogram) {
        self.schema = Some(SCHEMA);
        self.zero_threshold = Some(DurationHistogram::ZERO_UP_TO_SECONDS);
        self.sample_count_float = Some(durations.events());
        self.zero_count_float = Some(durations.events_without_time());
        let mut next = 0;
        for bucket in durations
            .buckets()
            .filter(|bucket| bucket.from_seconds > 0.0)
        {
            let number = i32::from(bucket.number);
            match self.positive_spans.last_mut() {
                Some(BucketSpan {
                    length: Some(length),
                    ..
                }) if number == next => *length += 1,
                _ => self.positive_spans.push(BucketSpan {
                    offset: Some(number - next),
                    length: Some(1),
                }),
            }
            self.positive_counts.push(bucket.events);
            next = number + 1;
        }
        if self.positive_spans.is_empty() {
            // Distinguishes an empty native histogram from one that has only fixed limits.
            self.positive_spans.push(BucketSpan {
                offset: Some(0),
                length: Some(0),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::domain::model::sampling::Weight;

    fn native(micros: &[i64]) -> Histogram {
        let mut durations = DurationHistogram::default();
        for one in micros {
            durations.add(*one, Weight::ONE, 1);
        }
        let mut histogram = Histogram::default();
        histogram.make_native(&durations);
        histogram
    }

    #[test]
    fn buckets_that_follow_each_other_are_one_span() {
        let histogram = native(&[0, 0, 1_000_000, 1_000_000, 1_100_000, 4_000_000]);
        let spans = histogram.positive_spans.iter();
        let spans: Vec<_> = spans.map(|span| (span.offset, span.length)).collect();
        assert_eq!(spans, [(Some(0), Some(2)), (Some(6), Some(1))]);
        assert_eq!(histogram.positive_counts, [2.0, 1.0, 1.0]);
        assert_eq!(histogram.zero_count_float, Some(2.0));
        assert_eq!(histogram.sample_count_float, Some(6.0));
    }

    #[test]
    fn a_histogram_without_events_is_a_native_one_all_the_same() {
        assert_eq!(native(&[]).positive_spans.len(), 1);
    }

    #[test]
    fn only_who_asks_for_delimited_families_gets_protobuf() {
        let asks = |accept: &'static str| {
            let accept = (header::ACCEPT, HeaderValue::from_static(accept));
            is_wanted(&HeaderMap::from_iter([accept]))
        };
        assert!(asks(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;q=0.5"
        ));
        assert!(!asks(
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        ));
        assert!(!asks(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"
        ));
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
