//! The shop's traffic: every service sends its spans with the OpenTelemetry SDK over OTLP/gRPC, as
//! a real service would.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span as _, SpanContext, SpanKind as SdkKind, Status, TraceContextExt as _,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    past::FIRST_LIVE_NUMBER,
    shop::{BUSIEST_PER_MINUTE, Joined, Order, Refund, Service, ShopStep, Visit},
};
use crate::{
    clock::Clock,
    domain::model::{
        span::{OwnedValue, SpanKind, SpanStatus},
        time::Timestamp,
    },
};

/// The export interval of each service: the SDK's default of 5 s is too long for a demo.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// A consumer that resumes finds a backlog, whose orders take at most this much longer.
const WORKED_OFF_WITHIN: Duration = Duration::from_secs(8);

/// Whether the warehouse takes orders from `fulfilment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consumers {
    Working,
    Stalled,
}

/// The four services, each with its own SDK.
#[derive(Clone, Debug)]
pub(super) struct Services(Vec<(Service, SdkTracerProvider, SdkTracer)>);

impl Services {
    /// Connects to `receiver`, an OTLP/gRPC endpoint. Must be called in a runtime, which the
    /// exporters use.
    pub(super) fn connect(receiver: &str) -> anyhow::Result<Self> {
        Service::ALL
            .into_iter()
            .map(|service| {
                let provider = provider(service, receiver)?;
                let tracer = provider.tracer("shop");
                Ok((service, provider, tracer))
            })
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Ends the spans of a visit and returns the context for the next one.
    fn send(&self, visit: &Visit, before: Option<&SpanContext>) -> Option<SpanContext> {
        let (_, _, tracer) = self
            .0
            .iter()
            .find(|(service, ..)| *service == visit.service)?;
        let mut parent = match (visit.joined, before) {
            (Joined::Child, Some(before)) => {
                Context::new().with_remote_span_context(before.clone())
            }
            (Joined::Root | Joined::Linked | Joined::Child, _) => Context::new(),
        };
        let link = before.filter(|_| visit.joined != Joined::Root);
        let mut last = None;
        for (place, step) in visit.steps.iter().enumerate() {
            let links = link.filter(|_| place == 0).into_iter();
            let mut span = tracer
                .span_builder(step.name)
                .with_kind(sdk_kind(step.kind))
                .with_start_time(system_time(step.start))
                .with_attributes(step.attributes.iter().filter_map(key_value))
                .with_links(links.map(|to| Link::with_context(to.clone())).collect())
                .start_with_context(tracer, &parent);
            if step.status == SpanStatus::Error {
                span.set_status(Status::error(failure(step)));
            }
            span.end_with_timestamp(system_time(step.end));
            let context = span.span_context().clone();
            if place == 0 {
                parent = Context::new().with_remote_span_context(context.clone());
            }
            last = Some(context);
        }
        last
    }

    /// Sends the remaining spans. Blocks.
    fn close(self) {
        for (service, provider, _) in self.0 {
            if let Err(error) = provider.shutdown() {
                tracing::debug!(%error, service = service.name(), "an exporter did not end well");
            }
        }
    }
}

fn provider(service: Service, receiver: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(format!("http://{receiver}"))
        .build()
        .with_context(|| format!("cannot make the exporter of `{}`", service.name()))?;
    let batches = BatchConfigBuilder::default()
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches)
        .build();
    let resource = Resource::builder_empty()
        .with_service_name(service.name())
        .with_attribute(KeyValue::new("deployment.environment.name", "demo"))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_resource(resource)
        .build())
}

/// The customers who order, and the services that work.
#[derive(Clone, Debug)]
pub(super) struct ShopTraffic {
    pub(super) services: Services,
    pub(super) clock: Clock,
    pub(super) seed: u64,
    pub(super) consumers: watch::Receiver<Consumers>,
}

impl ShopTraffic {
    /// Runs until `shutdown` is cancelled; unfinished orders are then dropped.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let orders = TaskTracker::new();
        let place = self.place_orders(&orders, &shutdown);
        shutdown.run_until_cancelled(place).await;
        orders.close();
        orders.wait().await;
        let services = self.services;
        if let Err(error) = tokio::task::spawn_blocking(|| services.close()).await {
            tracing::warn!(%error, "the exporters of the demo did not end well");
        }
    }

    async fn place_orders(&self, orders: &TaskTracker, shutdown: &CancellationToken) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let usual = Duration::from_secs_f64(60.0 / BUSIEST_PER_MINUTE);
        for number in FIRST_LIVE_NUMBER.. {
            let now = self.clock.now();
            let order = Order::draw(&mut rng, number, now);
            let within_backlog = WORKED_OFF_WITHIN.mul_f64(rng.random());
            let (traffic, until) = (self.clone(), shutdown.clone());
            orders.spawn(async move {
                let followed = traffic.follow(&order, within_backlog);
                until.run_until_cancelled(followed).await;
            });
            let refund = Refund::draw(&mut rng, number, now);
            let (traffic, until) = (self.clone(), shutdown.clone());
            orders.spawn(async move {
                let settled = traffic.settle(refund);
                until.run_until_cancelled(settled).await;
            });
            tokio::time::sleep(usual.mul_f64(rng.random_range(0.4..1.6))).await;
        }
    }

    /// Follows one order through all queues.
    async fn follow(&self, order: &Order, within_backlog: Duration) {
        let mut before = None;
        for visit in order.before_fulfilment() {
            before = self.call(&visit, before).await;
        }
        self.sleep_until(order.ready_at()).await;
        let mut consumers = self.consumers.clone();
        let mut taken_at = order.ready_at();
        if *consumers.borrow_and_update() == Consumers::Stalled {
            let is_back = |state: &Consumers| *state == Consumers::Working;
            if consumers.wait_for(is_back).await.is_err() {
                return;
            }
            tokio::time::sleep(within_backlog).await;
            taken_at = self.clock.now();
        }
        for visit in order.after_fulfilment(taken_at) {
            before = self.call(&visit, before).await;
        }
    }

    /// Settles a refund, if there is one.
    async fn settle(&self, refund: Option<Refund>) {
        for visit in refund.iter().flat_map(Refund::visits) {
            self.call(&visit, None).await;
        }
    }

    /// Waits until the visit is over and sends its spans.
    async fn call(&self, visit: &Visit, before: Option<SpanContext>) -> Option<SpanContext> {
        if let Some(end) = visit.ends_at() {
            self.sleep_until(end).await;
        }
        self.services.send(visit, before.as_ref())
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.saturating_since(self.clock.now())).await;
    }
}

fn failure(step: &ShopStep) -> String {
    format!("{} failed: card network is down", step.name)
}

fn key_value((key, value): &(String, OwnedValue)) -> Option<KeyValue> {
    let key = key.clone();
    match value {
        OwnedValue::String(text) => Some(KeyValue::new(key, text.clone())),
        OwnedValue::Bool(flag) => Some(KeyValue::new(key, *flag)),
        OwnedValue::Int(number) => Some(KeyValue::new(key, *number)),
        OwnedValue::Double(number) => Some(KeyValue::new(key, *number)),
        // The shop writes none.
        OwnedValue::Array(_) | OwnedValue::Other => None,
    }
}

const fn sdk_kind(kind: SpanKind) -> SdkKind {
    match kind {
        SpanKind::Unspecified | SpanKind::Internal => SdkKind::Internal,
        SpanKind::Server => SdkKind::Server,
        SpanKind::Client => SdkKind::Client,
        SpanKind::Producer => SdkKind::Producer,
        SpanKind::Consumer => SdkKind::Consumer,
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or(0))
}
