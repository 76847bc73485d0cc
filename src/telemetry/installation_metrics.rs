//! Metrics of `throughline overview`.

use std::time::Duration;

use prometheus::GaugeVec;

use super::{
    metric_builder::{MetricBuilder, RegisteredMetrics},
    metrics::RequestMetrics,
};

/// The metrics of a process that shows several installations. Clones share the values.
#[derive(Clone, Debug)]
pub struct InstallationMetrics {
    pub registered: RegisteredMetrics,
    pub requests_answered: RequestMetrics,
    up: GaugeVec,
    duration: GaugeVec,
}

impl InstallationMetrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let builder = MetricBuilder::default();
        builder.process()?;
        Ok(Self {
            requests_answered: builder.requests_answered()?,
            up: builder.gauges(
                "throughline_installation_up",
                "1 if the installation answered the request of this scrape.",
                &["installation"],
            )?,
            duration: builder.gauges(
                "throughline_installation_request_duration_seconds",
                "How long the request of this scrape to the installation took.",
                &["installation"],
            )?,
            registered: builder.finish(),
        })
    }

    /// Sets whether an installation answered, and after which time.
    pub fn show<T, E>(&self, installation: &str, answer: &Result<T, E>, took: Duration) {
        let labels = [installation];
        let is_up = f64::from(answer.is_ok());
        self.up.with_label_values(&labels).set(is_up);
        let duration = self.duration.with_label_values(&labels);
        duration.set(took.as_secs_f64());
    }
}
