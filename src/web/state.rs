//! What the pages are made from, handed in by whoever starts them.

use std::{fmt, net::SocketAddr, sync::Arc};

use chrono_tz::Tz;
use tokio::sync::watch;

use super::{
    access::{Access, Restriction},
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
    /// What pages that may be some seconds old are read from; `None` if only from the primary.
    pub replica: Option<ReadReplica>,
    pub clock: Clock,
    /// Of a request: the SLOs that its sender may see.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// What the request is restricted to; `None` if to nothing.
    pub restriction: Option<Restriction>,
    pub definitions: watch::Receiver<Arc<DefinitionsStatus>>,
    pub ingest: IngestProbe,
    pub listening: Listening,
    pub writes: WriteRules,
    pub hosts: AllowedHosts,
    /// `None` if connections are not encrypted.
    pub tls: Option<Tls>,
    /// Who may do what.
    pub access: Access,
    pub signing_key: SigningKey,
    /// The process's own metrics; what is read from the database is added at each scrape.
    pub metrics: Metrics,
    /// Groups of an SLO that have series of their own in `/metrics`.
    pub max_metric_groups: u32,
    /// SLOs that have histograms of durations in `/metrics`.
    pub max_metric_durations: u32,
    /// Pictures of messages that were drawn last.
    pub cards: Cards,
    pub readiness: ReadinessCheck,
    /// Where traces can be looked at.
    pub trace_viewers: Vec<TraceViewer>,
    /// The zone that pages print times in where a reader has chosen none.
    pub time_zone: Tz,
    /// Spans of the last hour, by which definitions are explained.
    pub shapes: SharedShapes,
    /// Of workflows that this process saw judged.
    pub durations: SharedDurations,
    pub version: &'static str,
}

/// How the last reading of the definition files went.
#[derive(Clone, Debug, Default)]
pub struct DefinitionsStatus {
    /// The folder as it was given.
    pub folder: String,
    /// When the catalog in force was read; `None` before the first.
    pub loaded_at: Option<Timestamp>,
    /// `file:line:column message`, one each; not empty means that an older catalog stays in force.
    pub problems: Vec<String>,
    /// Errors and warnings in the files as they were read last, as `throughline validate` finds them.
    pub findings: Vec<Problem>,
    /// The files, if they are valid and may still come into force.
    pub pending: Option<PendingFiles>,
}

/// Valid files that are not in force, by what brings them into force.
#[derive(Clone, Debug)]
pub enum PendingFiles {
    /// They take away what is in force without anybody having asked for it;
    /// `throughline definitions clear` accepts them.
    Clear(Arc<[DefinitionFile]>),
    /// They wait until most replicas have the same; `throughline definitions apply` does not.
    Apply(Arc<[DefinitionFile]>),
}

/// Where spans can be sent.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
}

/// What the receiver counts, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestFacts {
    pub spans_received: u64,
    pub spans_rejected: u64,
    pub last_span_at: Option<Timestamp>,
}

/// Asks the receiver for its facts, without knowing it.
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
