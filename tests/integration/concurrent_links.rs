//! Edges and evidence that several transactions store at the same time: none sees the others, and the
//! checks after their commits find what they missed.

use std::sync::Arc;

use throughline::{
    domain::workflow::{
        JudgingContext,
        classify::{ClassifiedBatch, Classifier},
    },
    recording::{LinkCheck, NewLinks, Recording, check_links},
    store::{Tx, Writer},
};

use crate::{
    links::ORDERS,
    support::{
        app::{HORIZON, TestApp, good},
        span::{SpanBuilder, span},
    },
};

const ORDERS_OF_THREE: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// What has stored spans, and is not committed.
struct UnderWay {
    tx: Tx<'static>,
    check: LinkCheck,
}

struct Writers {
    app: TestApp,
    classifier: Arc<Classifier>,
    context: JudgingContext,
}

impl Writers {
    async fn new() -> Self {
        let app = TestApp::new().slo(ORDERS).at("06:18").await;
        let classifier = app.definitions.classifier.subscribe().borrow().clone();
        let context = JudgingContext::healthy(app.began);
        Self {
            app,
            classifier,
            context,
        }
    }

    async fn store(&self, number: usize, spans: &[SpanBuilder]) -> UnderWay {
        let mut findings = ClassifiedBatch::default();
        for span in spans {
            let floor = self.app.began - HORIZON;
            let span = span.build(self.app.began);
            self.classifier.classify(&span, floor, &mut findings);
        }
        let links = NewLinks {
            linked: findings.linked.iter().collect(),
            edges: findings.edges.iter().collect(),
            batches: findings.batches.iter().collect(),
        };
        let judging = |slo| self.classifier.judging(slo, &self.context);
        let (mut tx, state) = self.app.store.begin_recording("record").await.unwrap();
        let mut recording = Recording::new(&mut tx, state, &judging);
        let updates = recording.record_links(&links).await.unwrap();
        // Those of one writer would wait for each other's counts.
        let writer = Writer(i16::try_from(number).unwrap());
        let recorded = recording.record_updates(updates, writer, self.context.now);
        let check = recorded.await.unwrap().unwrap();
        UnderWay { tx, check }
    }

    async fn check(&self, check: LinkCheck) {
        let judging = |slo| self.classifier.judging(slo, &self.context);
        let (store, now) = (&self.app.store, self.context.now);
        let checked = check_links(store, Writer(9), &judging, now, check);
        checked.await.unwrap();
    }

    /// A workflow of three traces, stored by three writers at once.
    async fn store_a_chain(&self, nth: u64) -> [Option<UnderWay>; 3] {
        let [a, b, c] = [3 * nth, 3 * nth + 1, 3 * nth + 2];
        let start = [span("order placed").trace(a).id(1)];
        let middle = [
            span("process").trace(b).id(1).at(1.0).link_to(a, 1),
            span("send").trace(b).id(2).at(1.0).child_of(1),
        ];
        let end = [span("order confirmed").trace(c).at(30.0).link_to(b, 2)];
        let start = self.store(0, &start).await;
        let middle = self.store(1, &middle).await;
        let end = self.store(2, &end).await;
        [Some(start), Some(middle), Some(end)]
    }

    async fn checks_left(&self) -> i64 {
        self.app.number("select count(*) from link_checks").await
    }
}

#[tokio::test]
async fn edges_and_evidence_that_are_stored_at_once_find_each_other_in_any_order_of_commits() {
    let writers = Writers::new().await;
    for (nth, order) in (0..).zip(ORDERS_OF_THREE) {
        let mut chain = writers.store_a_chain(nth).await;
        for place in order {
            let stored = chain[place].take().unwrap();
            stored.tx.commit().await.unwrap();
            writers.check(stored.check).await;
        }
    }
    writers.app.assert_counts(good(6)).await;
    assert_eq!(writers.checks_left().await, 0);
}

#[tokio::test]
async fn edges_and_evidence_that_are_committed_at_once_find_each_other_in_any_order_of_checks() {
    let writers = Writers::new().await;
    for (nth, order) in (0..).zip(ORDERS_OF_THREE) {
        let mut checks = Vec::new();
        for stored in writers.store_a_chain(nth).await.into_iter().flatten() {
            stored.tx.commit().await.unwrap();
            checks.push(Some(stored.check));
        }
        for place in order {
            writers.check(checks[place].take().unwrap()).await;
        }
    }
    writers.app.assert_counts(good(6)).await;
    assert_eq!(writers.checks_left().await, 0);
}

#[tokio::test]
async fn the_checks_of_replicas_that_died_are_carried_out_by_a_later_turn() {
    let writers = Writers::new().await;
    for stored in writers.store_a_chain(0).await.into_iter().flatten() {
        stored.tx.commit().await.unwrap();
    }
    assert_eq!(writers.checks_left().await, 3);
    writers.app.place().await;
    writers.app.assert_counts(good(1)).await;
    assert_eq!(writers.checks_left().await, 0);
}

#[tokio::test]
async fn a_span_that_is_sent_again_later_is_recognised() {
    let writers = Writers::new().await;
    let start = [span("order placed").trace(0).id(1)];
    writers.app.send(&start).await;
    writers.app.at_second(30.0).send(&start).await;
    let rows = writers
        .app
        .number("select count(*) from link_evidence")
        .await;
    assert_eq!(rows, 1);
}
