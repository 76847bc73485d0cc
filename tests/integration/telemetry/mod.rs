//! The service traces and measures itself: seen by a real receiver of its spans, and in its metrics.

mod counters;
mod endpoint;
mod exported;
mod grafana;
mod metrics;
mod own_endpoint;
mod prometheus;
mod remote_write;
mod requests;
mod sink;

use crate::support::workload::ORDERS;

/// [`ORDERS`], and a target that a test can send to.
fn orders_with_a_hook(url: &str) -> String {
    format!(
        "{}\n---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: {{ name: hook }}
spec: {{ webhook: {{ url: '{url}' }} }}
",
        ORDERS.trim()
    )
}
