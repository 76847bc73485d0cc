//! Metrics of background work: messages that wait in Kafka, the search table, and the removal of
//! old data.

use prometheus::{Gauge, GaugeVec};

use crate::{
    domain::{
        health::{CleanUpSign, LogSign},
        model::time::Timestamp,
    },
    store::{StoreError, Tx},
    telemetry::metric_builder::MetricBuilder,
};

/// The data of one scrape.
pub(super) struct Upkeep {
    search_lag_seconds: f64,
    clean_ups: Vec<CleanUpSign>,
    logs: Vec<LogSign>,
}

pub(super) async fn read(tx: &mut Tx<'_>, now: Timestamp) -> Result<Upkeep, StoreError> {
    Ok(Upkeep {
        search_lag_seconds: tx.search_lag(now).await?.as_secs_f64(),
        clean_ups: tx.clean_up_signs().await?,
        logs: tx.log_signs().await?,
    })
}

/// The gauges of one scrape.
pub(super) struct UpkeepGauges {
    search_lag: Gauge,
    clean_up_finished: GaugeVec,
    kafka_lag: GaugeVec,
    kafka_read_up_to: GaugeVec,
}

impl UpkeepGauges {
    pub(super) fn new(builder: &MetricBuilder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            search_lag: builder.gauge(
                "throughline_search_lag_seconds",
                "For how long the oldest recorded workflow has waited to be found by the search; 0 if none waits.",
            )?,
            clean_up_finished: builder.gauges(
                "throughline_clean_up_last_finished_timestamp_seconds",
                "When the removal of old data last had nothing left to remove, by the name of its loop.",
                &["loop"],
            )?,
            kafka_lag: builder.gauges(
                "throughline_kafka_lag_messages",
                "Messages of a partition that are not committed.",
                &["topic", "partition"],
            )?,
            kafka_read_up_to: builder.gauges(
                "throughline_kafka_read_up_to_timestamp_seconds",
                "Everything that was appended to a partition up to then is committed; deadlines wait for the earliest.",
                &["topic", "partition"],
            )?,
        })
    }

    pub(super) fn set(&self, upkeep: &Upkeep) {
        self.search_lag.set(upkeep.search_lag_seconds);
        for sign in &upkeep.clean_ups {
            let labels = [sign.clean_up.as_str()];
            let finished = self.clean_up_finished.with_label_values(&labels);
            finished.set(sign.finished_at.as_secs_f64());
        }
        for log in &upkeep.logs {
            let labels = [&*log.topic, &*log.partition.to_string()];
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            self.kafka_lag
                .with_label_values(&labels)
                .set(log.lag as f64);
            let up_to = self.kafka_read_up_to.with_label_values(&labels);
            up_to.set(log.up_to.as_secs_f64());
        }
    }
}
