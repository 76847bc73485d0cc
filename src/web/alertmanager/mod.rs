//! The part of Alertmanager's API v2 that `amtool` and karma use, for the silences and alerts of
//! this service.
//!
//! Requests and responses have Alertmanager's form, and an error is a JSON string. Only silences
//! can be written and ended: alerts come from the evaluation, and receivers are the notification
//! targets.

mod alerts;
mod silences;

use std::sync::Arc;

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

pub(in crate::web) use self::{
    alerts::{AlertFilter, AlertGroupView, GettableAlert, get as alerts, groups},
    silences::{
        GettableSilence, PostableSilence, PostedSilence, SilenceFilter, delete, list as silences,
        one as silence, write,
    },
};
use super::{error::WebError, page::Negotiation, state::WebState};
use crate::domain::model::{ids::Name, time::Timestamp};

/// The configuration that the API returns.
const CONFIG: &str =
    "# Throughline has no configuration of Alertmanager: /definitions shows what is declared.\n";

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::web) struct StatusView {
    cluster: ClusterView,
    version_info: VersionView,
    config: ConfigView,
    /// The start time of this replica.
    uptime: Timestamp,
}

/// The state of the cluster. Replicas share the database, so there are no peers.
#[derive(Debug, JsonSchema, Serialize)]
struct ClusterView {
    status: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ConfigView {
    original: &'static str,
}

/// The version of this service; clients require every field.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionView {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

/// A notification target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
pub(in crate::web) struct ReceiverView {
    name: String,
}

impl ReceiverView {
    /// Makes the receiver of an alert that has no targets: clients group alerts by receiver.
    fn nobody() -> Self {
        let name = "nobody".to_owned();
        Self { name }
    }
}

impl From<&Name> for ReceiverView {
    fn from(name: &Name) -> Self {
        let name = name.to_string();
        Self { name }
    }
}

pub(super) async fn status(asked: Negotiation, state: WebState) -> Response {
    let view = StatusView {
        cluster: ClusterView { status: "disabled" },
        version_info: VersionView {
            version: state.version,
            revision: "",
            branch: "throughline",
            build_user: "",
            build_date: "",
            go_version: "",
        },
        config: ConfigView { original: CONFIG },
        uptime: state.readiness.started_at(),
    };
    asked.view(&state, Ok::<_, WebError>(view))
}

pub(super) async fn receivers(asked: Negotiation, state: WebState) -> Response {
    let catalog = Arc::clone(&state.catalog.borrow());
    let view: Vec<ReceiverView> = catalog.targets.keys().map(ReceiverView::from).collect();
    asked.view(&state, Ok::<_, WebError>(view))
}
