//! The state of the web server, which `app` provides.

use std::{fmt, net::SocketAddr, sync::Arc};

use chrono_tz::Tz;
use tokio::sync::watch;

use super::{
    access::{Access, CustomerNames, Restriction},
    chart_image::Cards,
    health::ReadinessCheck,
    hosts::AllowedHosts,
    reader::ReadReplica,
    write::WriteRules,
};
use crate::{
    clock::Clock,
    domain::{
        alerting::trace_link::TraceViewer,
        counting::durations::SharedDurations,
        model::time::Timestamp,
        notify::signed_links::signing::SigningKey,
        slo::{
            Catalog,
            definition::{DefinitionFile, Problem},
        },
        workflow::shapes::SharedShapes,
    },
    server::tls::Tls,
    store::Store,
    telemetry::metrics::Metrics,
};

/// Clones share everything.
#[derive(Clone, Debug)]
pub struct WebState {
    pub store: Store,
    /// The replica for pages whose data may be some seconds old; `None` to read only from the
    /// primary.
    pub replica: Option<ReadReplica>,
    pub clock: Clock,
    /// The declared SLOs; in a request, those that its sender may see.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// The restriction of the request; `None` if there is none.
    pub restriction: Option<Restriction>,
    /// Where the sender of the request sees customers by name.
    pub customers: CustomerNames,
    pub definitions: watch::Receiver<Arc<DefinitionsStatus>>,
    pub ingest: IngestProbe,
    pub listening: Listening,
    pub writes: WriteRules,
    pub hosts: AllowedHosts,
    /// `None` if connections are not encrypted.
    pub tls: Option<Tls>,
    /// The rules of authentication and authorization.
    pub access: Access,
    pub signing_key: SigningKey,
    /// The process's own metrics; those from the database are added at each scrape.
    pub metrics: Metrics,
    /// The maximum number of groups per SLO with their own series in `/metrics`.
    pub max_metric_groups: u32,
    /// The maximum number of SLOs with histograms of durations in `/metrics`.
    pub max_metric_durations: u32,
    /// The charts of messages that were drawn last.
    pub cards: Cards,
    pub readiness: ReadinessCheck,
    /// The systems that can show a trace.
    pub trace_viewers: Vec<TraceViewer>,
    /// The time zone of pages if the reader has not chosen one.
    pub time_zone: Tz,
    /// Spans of the last hour, to explain definitions.
    pub shapes: SharedShapes,
    /// Durations of workflows that this process has judged.
    pub durations: SharedDurations,
    pub version: &'static str,
}

/// The result of the last reading of the definition files.
#[derive(Clone, Debug, Default)]
pub struct DefinitionsStatus {
    /// The folder, as configured.
    pub folder: String,
    /// The time at which the active catalog was read; `None` before the first.
    pub loaded_at: Option<Timestamp>,
    /// `file:line:column message`, one each; if not empty, an older catalog stays active.
    pub problems: Vec<String>,
    /// Errors and warnings in the files as last read, as `throughline validate` reports them.
    pub findings: Vec<Problem>,
    /// The files, if they are valid and may still be activated.
    pub pending: Option<PendingFiles>,
}

/// Valid files that are not active, by the command that activates them.
#[derive(Clone, Debug)]
pub enum PendingFiles {
    /// They remove active definitions without an explicit request; `throughline definitions clear`
    /// accepts them.
    Clear(Arc<[DefinitionFile]>),
    /// They wait until most replicas have the same files; `throughline definitions apply` activates
    /// them at once.
    Apply(Arc<[DefinitionFile]>),
}

/// The addresses that spans can be sent to.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
}

/// The receiver's counts since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestFacts {
    pub spans_received: u64,
    pub spans_rejected: u64,
    pub last_span_at: Option<Timestamp>,
}

/// A function that returns the receiver's counts, so that `web` does not depend on `ingest`.
#[derive(Clone)]
pub struct IngestProbe(Arc<dyn Fn() -> IngestFacts + Send + Sync>);

impl IngestProbe {
    pub fn new(facts: impl Fn() -> IngestFacts + Send + Sync + 'static) -> Self {
        Self(Arc::new(facts))
    }

    pub(super) fn facts(&self) -> IngestFacts {
        (self.0)()
    }
}

impl fmt::Debug for IngestProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IngestProbe").field(&self.facts()).finish()
    }
}
