//! One process of the service: what it does with spans, and one turn of each of its loops.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use throughline::{
    clock::{Clock, ManualClock},
    deliver::{Deliverer, DeliveryReport, Dispatcher, Reconciler, Reminder, TargetChanges},
    domain::{
        model::{ids::Name, span::Span, time::Timestamp},
        workflow::{
            Evidence, Judging,
            classify::{ClassifiedBatch, TimeLimits},
            shapes::SharedShapes,
            watermark::{OutageLimits, ReplicaId},
        },
    },
    evaluate::{
        EvaluationReport, Evaluator,
        index_workflows::{IndexReport, SearchIndexer},
        overdue::{DeadlineScan, OverdueReport},
        resolve_links::{LinkResolver, LinkResolverReport},
        stages::{StageAggregator, StageReport},
    },
    ingest::{
        Ingest, IngestParts,
        consumer::{CommitError, TraceConsumer as _},
        http,
        receiver::Receiver,
        record::Recorder,
        server::{cors::AllowedOrigins, limits::ReceiverLimits},
    },
    recording::{Committer, KnownLocks, StageKeeper, WaitingStages},
    store::{Store, Writer},
    telemetry::metrics::Metrics,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
};
use tokio_util::sync::CancellationToken;

use super::{AppSettings, HORIZON, HOUR, ReadDefinitions, final_check::FinalCheck};
use crate::support::{
    api::client,
    span::{SpanBuilder, request},
};

/// Time is driven in leaps, which are no outages.
const SILENCE: Duration = Duration::from_hours(24 * 365);
/// How often a sender sends what was answered "later".
const ATTEMPTS: usize = 20;

pub(super) struct ReplicaParts {
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) definitions: ReadDefinitions,
    pub(super) clock: ManualClock,
    pub(super) began: Timestamp,
    /// Of all replicas, as the database has it.
    pub(super) watermark: watch::Sender<Timestamp>,
    pub(super) settings: AppSettings,
    pub(super) final_check: Arc<FinalCheck>,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) store: Store,
    pub(crate) definitions: ReadDefinitions,
    pub(crate) evaluator: Evaluator,
    pub(crate) deliverer: Deliverer,
    writer: Writer,
    clock: ManualClock,
    began: Timestamp,
    pub(super) watermark: watch::Sender<Timestamp>,
    recorder: Recorder,
    door: Ingest,
    reminder: Reminder,
    dispatcher: Mutex<Dispatcher>,
    catch_up: Duration,
    pub(super) shapes: SharedShapes,
    final_check: Arc<FinalCheck>,
    loops: CancellationToken,
}

impl Replica {
    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    pub(super) fn start(parts: ReplicaParts) -> Self {
        let (store, definitions) = (parts.store, parts.definitions);
        let clock = Clock::Manual(parts.clock.clone());
        let watermark = parts.watermark;
        let shapes = parts.settings.enrichment.shapes.clone();
        let stages = StageKeeper::new(
            store.clone(),
            definitions.classifier.subscribe(),
            ReplicaId(parts.writer.0.into()),
        );
        let metrics = Metrics::new().unwrap();
        let committer = Committer {
            store: store.clone(),
            writer: parts.writer,
            clock: clock.clone(),
            classifier: definitions.classifier.subscribe(),
            watermark: watermark.subscribe(),
            catch_up: parts.settings.catch_up,
            stages,
            locks: KnownLocks::default(),
        };
        let (recorder, run) = Recorder::new(committer, metrics.recording.clone());
        let loops = CancellationToken::new();
        tokio::spawn(run.run(loops.clone()));
        let door = Ingest::new(IngestParts {
            classifier: definitions.classifier.subscribe(),
            recorder: recorder.clone(),
            clock,
            limits: TimeLimits {
                // Tests tell a whole story before they let its time pass.
                future: HOUR * 24,
                horizon: HORIZON,
                skew: Judging::DEFAULT_SKEW_TOLERANCE,
            },
            metrics,
            shapes: shapes.clone(),
        });
        let (catalog, settings) = (&definitions.catalog, parts.settings);
        let deliver = settings.deliver;
        let reminder = Reminder::new(store.clone(), catalog.subscribe(), &deliver).unwrap();
        let deliverer = Deliverer::new(store.clone(), catalog.subscribe(), deliver).unwrap();
        let evaluator = Evaluator::new(store.clone(), catalog.subscribe(), settings.evaluator);
        Self {
            evaluator: evaluator.with(settings.enrichment),
            dispatcher: Mutex::new(Dispatcher::new(deliverer.clone())),
            reminder,
            deliverer,
            store,
            definitions,
            writer: parts.writer,
            clock: parts.clock,
            began: parts.began,
            watermark,
            recorder,
            door,
            catch_up: settings.catch_up,
            shapes,
            final_check: parts.final_check,
            loops,
        }
    }

    /// Sets the clock of all replicas to so many seconds after the beginning.
    pub(crate) fn at_second(&self, secs: f64) -> &Self {
        #[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
        let micros = (secs * 1e6).round() as i64;
        let began = self.began.as_micros();
        self.clock.set(Timestamp::from_micros(began + micros));
        self
    }

    /// One request with these spans, through the door that both protocols share. Returns when it is
    /// committed.
    pub(crate) async fn send<S: Borrow<SpanBuilder>>(&self, spans: impl IntoIterator<Item = S>) {
        let build = |span: S| span.borrow().build(self.began);
        let spans: Vec<Span> = spans.into_iter().map(build).collect();
        self.receive(&spans).await;
    }

    pub(crate) async fn receive(&self, spans: &[Span]) {
        self.until_taken(async || {
            let mut batch = self.door.begin();
            for span in spans {
                self.door.take(span, &mut batch).unwrap();
            }
            self.door.commit(batch).await
        })
        .await;
    }

    /// What spans may say, without the spans.
    pub(crate) async fn record(&self, evidence: &[Evidence]) {
        self.until_taken(async || {
            let findings = ClassifiedBatch {
                evidence: evidence.to_vec(),
                ..ClassifiedBatch::default()
            };
            self.recorder.record(findings).await
        })
        .await;
    }

    async fn until_taken(&self, send: impl AsyncFn() -> Result<(), CommitError>) {
        for _ in 0..ATTEMPTS {
            if send().await.is_ok() {
                return;
            }
        }
        panic!("nothing is taken, though it was sent {ATTEMPTS} times");
    }

    /// The same over a socket, as OTLP/HTTP; the answer.
    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    pub(crate) async fn send_over_http(&self, spans: &[SpanBuilder]) -> reqwest::Response {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let receiver = Receiver::new(self.door.clone(), ReceiverLimits::default());
        let until = self.loops.clone().cancelled_owned();
        let origins = AllowedOrigins(Vec::new());
        tokio::spawn(http::serve(listener, receiver, origins, until));
        let sending = client()
            .post(url)
            .header("content-type", "application/x-protobuf")
            .body(request(spans, self.began))
            .send();
        sending.await.unwrap()
    }

    /// One turn of every loop, in the order in which one leads to the next.
    pub(crate) async fn tick(&self) {
        let now = self.clock.now();
        self.beat(now).await;
        self.judge_overdue().await;
        self.place().await;
        self.aggregate().await;
        self.index().await;
        self.evaluate().await;
        self.reminder.tick(now).await.unwrap();
        self.deliverer.escalate(now).await.unwrap();
        let catalog = self.definitions.catalog.subscribe();
        let changes = TargetChanges::new(self.store.clone(), catalog.clone(), None);
        changes.tick(now).await.unwrap();
        let reconciler = Reconciler::new(self.store.clone(), catalog);
        reconciler.tick(now).await.unwrap();
        self.deliver().await;
    }

    pub(crate) async fn beat(&self, now: Timestamp) {
        let mut tx = self.store.begin("beat").await.unwrap();
        let replica = ReplicaId(self.writer.0.into());
        let limits = OutageLimits {
            silence: SILENCE,
            catch_up: self.catch_up,
        };
        let noted = tx.record_heartbeat(replica, now, &limits).await.unwrap();
        tx.commit().await.unwrap();
        self.watermark.send_replace(noted.up_to);
    }

    /// Ingest has been well until now, and what is due is judged.
    pub(crate) async fn judge(&self) -> OverdueReport {
        self.watermark.send_replace(self.clock.now());
        self.judge_overdue().await
    }

    /// Ingest has been well until then.
    pub(crate) fn well_until(&self, at: Timestamp) {
        self.watermark.send_replace(at);
    }

    async fn judge_overdue(&self) -> OverdueReport {
        let up_to = *self.watermark.borrow();
        self.overdue().tick(self.clock.now(), up_to).await.unwrap()
    }

    pub(crate) fn overdue(&self) -> DeadlineScan {
        DeadlineScan {
            store: self.store.clone(),
            writer: self.writer,
            classifier: self.definitions.classifier.subscribe(),
            catch_up: self.catch_up,
        }
    }

    pub(crate) async fn place(&self) -> LinkResolverReport {
        let unplaced = LinkResolver {
            store: self.store.clone(),
            writer: self.writer,
            classifier: self.definitions.classifier.subscribe(),
            catch_up: self.catch_up,
        };
        let up_to = *self.watermark.borrow();
        unplaced.tick(self.clock.now(), up_to).await.unwrap()
    }

    /// A turn of what decides which stage evidence is stored.
    pub(crate) async fn learn_workflows(&self) -> WaitingStages {
        let now = self.clock.now();
        self.recorder.stages().tick(now).await.unwrap()
    }

    pub(crate) async fn aggregate(&self) -> StageReport {
        let folder = StageAggregator {
            store: self.store.clone(),
            classifier: self.definitions.classifier.subscribe(),
        };
        folder.tick(self.clock.now()).await.unwrap()
    }

    /// Makes everything that was recorded findable.
    pub(crate) async fn index(&self) -> IndexReport {
        let indexer = SearchIndexer {
            store: self.store.clone(),
        };
        indexer.tick().await.unwrap()
    }

    pub(crate) async fn evaluate(&self) -> EvaluationReport {
        let report = self.evaluator.tick(self.clock.now()).await.unwrap();
        self.final_check.evaluated(&report);
        report
    }

    /// A turn at every target with something due, to its end.
    pub(crate) async fn deliver(&self) {
        let now = self.clock.now();
        let mut dispatcher = self.dispatcher.lock().await;
        let mut ended = dispatcher.tick(now).await.unwrap();
        ended.extend(dispatcher.drain().await);
        for turn in ended {
            let report = turn.result.unwrap();
            self.final_check.delivered(&turn.target, &report, now);
        }
    }

    /// A turn at one target.
    pub(crate) async fn deliver_to(&self, target: &Name) -> DeliveryReport {
        let now = self.clock.now();
        let report = self.deliverer.deliver_due(target, now).await.unwrap();
        self.final_check.delivered(target, &report, now);
        report
    }

    /// The test ends while something is being sent.
    pub(crate) fn is_cut_short(&self) {
        self.final_check.is_cut_short();
    }

    /// Notes that `target` gets notifications that are not in the outbox, and compares it with nothing.
    pub(crate) fn sends_without_outbox(&self, target: &Name) {
        self.final_check.sends_without_outbox(target);
    }

    /// Notes that there are deliveries that no turn can have seen.
    pub(crate) fn has_news(&self) {
        self.final_check.has_news();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.loops.cancel();
    }
}
