//! One SLO whose messages are classified, recorded and folded as the service does it, by a clock
//! that stands still.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::PgConnection;
use throughline::{
    domain::{
        counting::stages::{StageMean, StageSums, WhereTimeGoes},
        model::{
            ids::{SloId, SpanId, TraceId},
            span::{Span, SpanAttributes, SpanKind, SpanStatus},
            time::{TimeRange, Timestamp},
        },
        slo::{Catalog, Correlator, Indicator, Slo, Stages, WorkflowIndicator},
        traceql::Selector,
        workflow::{
            classify::{ClassifiedBatch, Classifier, DiscardReason},
            gather,
        },
    },
    evaluate::stages::{FoldReport, StageFolder},
    store::Writer,
};
use tokio::sync::watch;

use crate::support::database::TestDatabase;

const HORIZON: Duration = Duration::from_hours(168);

pub(super) fn at(secs: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
    let micros = (secs * 1e6) as i64;
    Timestamp::from_micros(1_795_328_280_000_000 + micros)
}

pub(super) struct World {
    pub(super) database: TestDatabase,
    pub(super) connection: PgConnection,
    pub(super) slo: SloId,
    classifier: watch::Sender<Arc<Classifier>>,
}

impl World {
    /// An order is placed, and within a minute it is shipped.
    pub(super) async fn new(stages: Stages) -> Self {
        let database = TestDatabase::create().await;
        let selector = |text| Selector::parse(text).unwrap();
        let indicator = WorkflowIndicator {
            stages,
            cancel: Some(selector("{ name = \"cancelled\" }")),
            ..WorkflowIndicator::new(
                selector("{ name = \"placed\" }"),
                selector("{ name = \"shipped\" }"),
                Duration::from_mins(1),
                vec![Correlator::Trace],
            )
        };
        let slo = Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            Duration::from_hours(720),
            Indicator::Workflow(indicator),
        );
        let name = slo.name.clone();
        let catalog = Catalog {
            slos: BTreeMap::from([(name.clone(), Arc::new(slo))]),
            targets: BTreeMap::new(),
        };
        let mut tx = database.store.begin("prepare").await.unwrap();
        let ids = tx.declare(&[name]).await.unwrap();
        tx.ensure_epoch(at(0.0), HORIZON).await.unwrap();
        let around = TimeRange::new(at(-86_400.0), at(86_400.0));
        tx.ensure_count_partitions(around).await.unwrap();
        tx.commit().await.unwrap();
        let (classifier, _) = watch::channel(Arc::new(Classifier::new(&catalog, &ids)));
        Self {
            connection: database.connect().await,
            database,
            slo: *ids.values().next().unwrap(),
            classifier,
        }
    }

    /// As one request that arrives at `now`.
    pub(super) async fn receive(&self, now: Timestamp, spans: &[Span]) {
        let classifier = Arc::clone(&self.classifier.borrow());
        let mut findings = ClassifiedBatch::default();
        for span in spans {
            classifier.classify(span, now - HORIZON, &mut findings);
        }
        let judging = |slo| classifier.judging(slo, now, &BTreeMap::new());
        let mut tx = self.database.store.begin("record").await.unwrap();
        let gathered = gather(&findings.evidence);
        let moves = tx.record_workflows(&gathered, &judging).await.unwrap();
        tx.add_counts(Writer(0), &moves).await.unwrap();
        let pieces: Vec<_> = findings.pieces.iter().collect();
        let missed = tx.add_stage_spans(now, &pieces).await.unwrap();
        let unusable = missed
            .into_iter()
            .map(|(slo, count)| ((slo, DiscardReason::TooManyPieces), count))
            .collect();
        tx.add_evidence_counts(now, &unusable, &BTreeMap::new())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    pub(super) async fn sweep(&self, now: Timestamp) {
        let classifier = Arc::clone(&self.classifier.borrow());
        let judging = |slo| classifier.judging(slo, now, &BTreeMap::new());
        let mut tx = self.database.store.begin("sweep").await.unwrap();
        tx.judge_due(now, 1_000, &judging).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(super) fn folder(&self) -> StageFolder {
        StageFolder {
            store: self.database.store.clone(),
            classifier: self.classifier.subscribe(),
        }
    }

    pub(super) async fn fold(&self, now: Timestamp) -> FoldReport {
        self.folder().tick(now).await.unwrap()
    }

    pub(super) async fn sums(&self) -> (StageSums, StageSums) {
        let mut tx = self.database.store.begin("read sums").await.unwrap();
        let range = TimeRange::new(at(-3_600.0), at(3_600.0));
        let mut sums = tx.stage_sums(self.slo, range).await.unwrap();
        for sums in [&mut sums.0, &mut sums.1] {
            sums.by_stage.retain(|_, sum| !sum.is_zero());
        }
        sums
    }

    /// `stage good bad`, in seconds.
    pub(super) async fn means(&self) -> Vec<String> {
        let (good, bad) = self.sums().await;
        let text = |secs: Option<f64>| secs.map_or("-".to_owned(), |secs| format!("{secs:.1}"));
        let stages = WhereTimeGoes::new(&good, &bad).stages;
        let row = |mean: &StageMean| {
            let (good, bad) = (text(mean.good_secs), text(mean.bad_secs));
            format!("{} {good} {bad}", mean.stage.title())
        };
        stages.iter().map(row).collect()
    }

    pub(super) async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.connection)
            .await
            .unwrap()
    }
}

/// A span of the order `nth`, from second to second.
pub(super) fn span(nth: u8, name: &str, kind: SpanKind, (from, to): (f64, f64)) -> Span {
    let nanos = |secs: f64| u64::try_from(at(secs).as_micros()).unwrap() * 1_000;
    Span {
        trace_id: TraceId::from_slice(&[nth; 16]).unwrap(),
        span_id: SpanId::from_slice(&[nth; 8]).unwrap(),
        parent_span_id: None,
        name: name.to_owned(),
        kind,
        status: SpanStatus::Unset,
        status_message: String::new(),
        start_unix_nano: nanos(from),
        end_unix_nano: nanos(to),
        trace_state: String::new(),
        attributes: SpanAttributes::new(),
        resource: Arc::default(),
        instrumentation: Arc::default(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_links_count: 0,
        flags: 0,
    }
}

/// A message of the order `nth`: sent by `shop`, or taken by the service of the same name as its
/// queue.
pub(super) fn message(nth: u8, kind: SpanKind, queue: &str, times: (f64, f64)) -> Span {
    let service = if kind == SpanKind::Producer {
        "shop"
    } else {
        queue
    };
    let text = |key: &str, value: &str| vec![(key.to_owned(), value.into())];
    Span {
        attributes: text("messaging.destination.name", queue),
        resource: Arc::new(text("service.name", service)),
        ..span(nth, "message", kind, times)
    }
}

/// All spans of an order that waited so long for its cards service.
pub(super) fn order(nth: u8, wait: f64) -> Vec<Span> {
    use SpanKind::{Consumer, Internal, Producer};
    vec![
        span(nth, "placed", Internal, (0.0, 0.5)),
        message(nth, Producer, "cards", (0.0, 1.0)),
        message(nth, Consumer, "cards", (wait + 1.0, wait + 3.0)),
        message(nth, Producer, "parcels", (wait + 2.0, wait + 3.0)),
        message(nth, Consumer, "parcels", (wait + 4.0, wait + 5.0)),
        span(nth, "shipped", Internal, (wait + 5.0, wait + 5.0)),
    ]
}
