//! Makes metrics, registers them and lists them for the reference.

use std::{cell::RefCell, sync::Arc};

use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    Opts, Registry,
    core::{Collector, Desc},
    proto::MetricType,
};
use schemars::JsonSchema;
use serde::Serialize;

/// One metric of `/metrics`, as `/docs/metrics` lists it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct MetricReference {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub labels: Vec<String>,
    pub about: String,
}

impl MetricReference {
    /// Returns each metric of a collector, even without a value.
    pub fn of(collector: &impl Collector) -> Vec<Self> {
        let families = collector.collect();
        let described = |desc: &&Desc| {
            let family = families
                .iter()
                .find(|family| family.name() == desc.fq_name)?;
            Some(Self {
                name: desc.fq_name.clone(),
                kind: match family.get_field_type() {
                    MetricType::COUNTER => "counter",
                    MetricType::GAUGE => "gauge",
                    MetricType::HISTOGRAM => "histogram",
                    MetricType::SUMMARY => "summary",
                    MetricType::UNTYPED => "untyped",
                },
                labels: desc.variable_labels.clone(),
                about: desc.help.clone(),
            })
        };
        collector.desc().iter().filter_map(described).collect()
    }
}

/// The metrics that [`MetricBuilder`] made.
#[derive(Clone, Debug)]
pub struct RegisteredMetrics {
    pub registry: Registry,
    /// In the order of their creation.
    pub reference: Arc<[MetricReference]>,
}

/// Makes metrics of one registry.
#[derive(Debug, Default)]
pub struct MetricBuilder {
    registry: Registry,
    reference: RefCell<Vec<MetricReference>>,
}

impl MetricBuilder {
    pub fn finish(self) -> RegisteredMetrics {
        RegisteredMetrics {
            registry: self.registry,
            reference: self.reference.into_inner().into(),
        }
    }

    pub fn register<M: Collector + Clone + 'static>(
        &self,
        metric: M,
    ) -> Result<M, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        let reference = MetricReference::of(&metric);
        self.reference.borrow_mut().extend(reference);
        Ok(metric)
    }

    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// Makes counters of numbers that need not be whole.
    pub fn float_counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<CounterVec, prometheus::Error> {
        self.register(CounterVec::new(Opts::new(name, help), labels)?)
    }

    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(name, help)?)
    }

    pub fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Registers the version of this process, and on Linux its memory, CPU time and open files.
    pub fn process(&self) -> Result<(), prometheus::Error> {
        let version = self.gauges(
            "throughline_build_info",
            "1. The label has the version of this process.",
            &["version"],
        )?;
        let labels = [env!("CARGO_PKG_VERSION")];
        version.with_label_values(&labels).set(1.0);
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            let reference = MetricReference::of(&process);
            self.registry.register(Box::new(process))?;
            self.reference.borrow_mut().extend(reference);
        }
        Ok(())
    }

    pub fn histogram(&self, options: HistogramOpts) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(options)?)
    }

    pub fn histograms(
        &self,
        options: HistogramOpts,
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.register(HistogramVec::new(options, labels)?)
    }

    /// Makes a histogram of durations from a millisecond to some seconds.
    pub fn durations(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        let buckets = vec![
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
        ];
        self.histograms(HistogramOpts::new(name, help).buckets(buckets), labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_listed_before_it_has_a_value() {
        let builder = MetricBuilder::default();
        builder.counter("spans_total", "Spans.").unwrap();
        builder
            .durations("turn_seconds", "Turns.", &["loop", "result"])
            .unwrap();
        let listed = |name: &str, kind, labels: &[&str], about: &str| MetricReference {
            name: name.to_owned(),
            kind,
            labels: labels.iter().map(ToString::to_string).collect(),
            about: about.to_owned(),
        };
        assert_eq!(
            *builder.finish().reference,
            [
                listed("spans_total", "counter", &[], "Spans."),
                listed("turn_seconds", "histogram", &["loop", "result"], "Turns."),
            ]
        );
    }
}
