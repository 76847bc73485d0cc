//! The whole product from outside: the real program, real clients, real failures.
//!
//! Each test starts the program as a person would, sends it spans, and believes only what its API
//! says, what a webhook was told, and how the process ended.

pub(crate) mod blind;
mod clients;
pub(crate) mod clock;
mod commands;
mod config_file;
pub(crate) mod definitions;
pub(crate) mod doctor;
mod kills;
mod login;
pub(crate) mod machine;
pub(crate) mod notify_test;
mod outage;
mod overview;
mod replicas;
pub(crate) mod restore;
pub(crate) mod secrets;
mod shapes;
mod silence_command;
mod stall;
mod start;
pub(crate) mod tls;
mod tokens;
mod troubled_database;
mod upgrade;

use crate::support::{
    api::Api,
    workload::{Delivery, ORDERS, Workload},
};

/// Exact once, and after all of it was sent once more.
async fn assert_exact(api: &Api, workload: &Workload) {
    api.counts_become("orders", workload.expected).await;
    Delivery::start(workload, &[&api.http]).finish().await;
    assert_eq!(api.counts("orders").await, workload.expected);
}

/// [`ORDERS`], and a webhook that is told of pages.
pub(crate) fn orders_with_a_hook() -> String {
    let hook = "
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: hook }
spec: { webhook: { url: { env: HOOK_URL }, secret: { env: HOOK_SECRET } } }
";
    format!(
        "{}  notify: {{ page: [hook] }}\n{}",
        ORDERS.trim_start(),
        hook.trim_start()
    )
}
