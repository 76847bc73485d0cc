//! Two replicas of the stations that record and judge, on one database and a clock of the test's.

use std::{collections::BTreeMap, sync::Arc};

use throughline::{
    clock::{Clock, ManualClock},
    domain::{
        model::{
            counts::EventCounts,
            ids::SloId,
            span::Span,
            time::{TimeRange, Timestamp},
        },
        slo::{Catalog, Slo},
        workflow::classify::{ClassifiedBatch, Classifier},
    },
    evaluate::overdue::DeadlineScan,
    ingest::record::{Recorder, RecorderParts},
    store::Writer,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;

const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

/// With one SLO.
#[derive(Debug)]
pub(crate) struct Stations {
    pub(crate) ledger: Ledger,
    pub(crate) slo: SloId,
    pub(crate) clock: ManualClock,
    began: Timestamp,
    classifier: watch::Sender<Arc<Classifier>>,
    watermark: watch::Sender<Timestamp>,
    replicas: Vec<Recorder>,
    loops: CancellationToken,
}

impl Stations {
    pub(crate) async fn begin(now: Timestamp, definition: Slo) -> Self {
        let ledger = Ledger::create().await;
        let name = definition.name.clone();
        let slo = ledger.declare(name.as_str()).await;
        let mut catalog = Catalog::default();
        catalog.slos.insert(name.clone(), Arc::new(definition));
        let ids = BTreeMap::from([(name, slo)]);
        let mut tx = ledger.store.begin("prepare").await.unwrap();
        tx.ensure_epoch(now, HOUR * 168).await.unwrap();
        tx.declare_groups(&catalog.groupings(&ids)).await.unwrap();
        tx.commit().await.unwrap();
        let mut stations = Self {
            slo,
            clock: ManualClock::new(now),
            began: now,
            classifier: watch::Sender::new(Arc::new(Classifier::new(&catalog, &ids))),
            watermark: watch::Sender::new(now),
            replicas: Vec::new(),
            loops: CancellationToken::new(),
            ledger,
        };
        stations.replicas = [0, 1].map(|writer| stations.replica(Writer(writer))).into();
        stations
    }

    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    fn replica(&self, writer: Writer) -> Recorder {
        let (recorder, run) = Recorder::new(RecorderParts {
            store: self.ledger.store.clone(),
            writer,
            clock: Clock::Manual(self.clock.clone()),
            classifier: self.classifier.subscribe(),
            watermark: self.watermark.subscribe(),
        });
        tokio::spawn(run.run(self.loops.clone()));
        recorder
    }

    pub(crate) async fn receive(&self, replica: usize, spans: &[Span]) {
        let mut findings = ClassifiedBatch::default();
        for span in spans {
            let horizon = self.began - HOUR * 168;
            self.classifier
                .borrow()
                .classify(span, horizon, &mut findings);
        }
        self.replicas[replica].record(findings).await.unwrap();
    }

    pub(crate) fn overdue(&self) -> DeadlineScan {
        DeadlineScan {
            store: self.ledger.store.clone(),
            writer: Writer(2),
            classifier: self.classifier.subscribe(),
        }
    }

    /// Time passes in which ingest is well, and what is due is judged.
    pub(crate) async fn until(&self, now: Timestamp) {
        self.clock.set(now);
        self.watermark.send_replace(now);
        self.overdue().tick(now, now).await.unwrap();
    }

    /// Of the hours around the beginning.
    pub(crate) async fn counts(&self) -> EventCounts {
        let mut tx = self.ledger.store.begin("sum").await.unwrap();
        let range = TimeRange::new(self.began - HOUR, self.began + HOUR * 2);
        let sums = tx.sums(&[(self.slo, range)]).await.unwrap();
        sums[0]
    }
}

impl Drop for Stations {
    fn drop(&mut self) {
        self.loops.cancel();
    }
}
