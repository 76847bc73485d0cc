//! The sample of events and their attributes, from spans to a real Postgres: the same whatever the
//! order, the duplicates and the replicas, and never more than its bound.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use throughline::{
    domain::{
        model::{
            ids::SloId,
            span::{Span, SpanStatus},
            time::{TimeRange, Timestamp},
        },
        slo::{Catalog, Correlator, Indicator, Slo, SpanIndicator, WorkflowIndicator},
        traceql::Selector,
        workflow::{
            Judging,
            attributes::EventAttributes,
            classify::{ClassifiedBatch, Classifier},
            gather,
            links::GroupsOfBatches,
            reservoir::{OF_EACH_SIDE, ReservoirMinima, SampledAttributes},
        },
    },
    recording::Recording,
    store::{EventSample, SpanCounts, Store, Writer},
};

use crate::support::{
    app::TestApp,
    span::{SpanBuilder, span as described},
};

const SLO: SloId = SloId(1);

/// On a whole hour.
fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_305_600 + secs)
}

fn hour() -> TimeRange {
    TimeRange::new(at(0), at(3_600))
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

fn classifier(indicator: Indicator) -> Classifier {
    let slo = Slo::new(
        "deploys".parse().unwrap(),
        "99%".parse().unwrap(),
        Duration::from_hours(720),
        indicator,
    );
    let ids = BTreeMap::from([(slo.name.clone(), SLO)]);
    let catalog = Catalog {
        slos: BTreeMap::from([(slo.name.clone(), Arc::new(slo))]),
        ..Catalog::default()
    };
    Classifier::new(&catalog, &ids)
}

fn one_span() -> Classifier {
    let [all, good] = ["{ name = \"deploy\" }", "{ status != error }"].map(selector);
    classifier(Indicator::Span(SpanIndicator::new(all, good)))
}

fn workflows() -> Classifier {
    let [start, finish] = ["{ name = \"start\" }", "{ name = \"finish\" }"].map(selector);
    let within = Duration::from_mins(1);
    let indicator = WorkflowIndicator {
        fail: Some(selector("{ name = \"fail\" }")),
        ..WorkflowIndicator::new(start, finish, within, vec![Correlator::Trace])
    };
    classifier(Indicator::Workflow(indicator))
}

fn span(number: u32, name: &str, secs: u32, attributes: &[(&str, i64)]) -> Span {
    let mut trace_id = [1; 16];
    trace_id[..4].copy_from_slice(&number.to_be_bytes());
    let span = described(name).consumer().trace_of(&trace_id).id(2);
    let with = |span: SpanBuilder, (key, value): &(&str, i64)| span.attribute(key, *value);
    let span = attributes.iter().fold(span.at(secs.into()), with);
    span.build(at(0))
}

/// A replica as far as samples are concerned.
struct Replica<'a> {
    store: &'a Store,
    classifier: &'a Classifier,
    seen: ReservoirMinima,
    writer: Writer,
}

impl<'a> Replica<'a> {
    fn new(store: &'a Store, classifier: &'a Classifier, writer: i16) -> Self {
        Self {
            store,
            classifier,
            seen: ReservoirMinima::default(),
            writer: Writer(writer),
        }
    }

    async fn receive(&mut self, order: &[usize], spans: &[Span]) {
        for request in order.chunks(40) {
            self.record(request.iter().map(|at| &spans[*at])).await;
        }
    }

    /// Returns how many events were admitted with their attributes.
    async fn record<'s>(&mut self, spans: impl IntoIterator<Item = &'s Span>) -> usize {
        let mut findings = ClassifiedBatch {
            sampling: SampledAttributes::behind(self.seen.filter()),
            ..ClassifiedBatch::default()
        };
        for span in spans {
            self.classifier.classify(span, at(-86_400), &mut findings);
        }
        let mut gathered = gather(&findings.evidence);
        findings.sampling.add_to(&mut gathered);
        let sampled = |details: &&throughline::domain::workflow::Workflow| {
            details.details.attributes.is_some()
        };
        let admitted = gathered.values().filter(sampled).count();
        let judging = |_| Judging::healthy(Duration::from_mins(2), at(0));
        let record = async || {
            let (mut tx, state) = self.store.begin_recording("record").await?;
            let mut recording = Recording::new(&mut tx, state, &judging);
            recording
                .apply(&gathered, &GroupsOfBatches::default())
                .await?;
            let spans = SpanCounts::default();
            recording.write_counts(self.writer, at(0), &spans).await?;
            tx.commit().await
        };
        loop {
            match record().await {
                Err(error) if error.is_conflict() => {}
                result => break result.unwrap(),
            }
        }
        self.seen.note([&findings.sampling], at(0));
        admitted
    }
}

async fn app() -> TestApp {
    TestApp::new().at("00:00").await
}

async fn sample(store: &Store) -> EventSample {
    let mut tx = store.begin("read a sample").await.unwrap();
    tx.event_sample(SLO, hour()).await.unwrap()
}

async fn trim(store: &Store) -> u64 {
    let mut tx = store.begin("trim samples").await.unwrap();
    let trimmed = tx.trim_samples(hour()).await.unwrap();
    tx.commit().await.unwrap();
    trimmed
}

#[tokio::test]
async fn an_event_that_is_corrected_changes_side_with_the_attributes_of_all_its_spans() {
    let app = app().await;
    let classifier = workflows();
    let mut replica = Replica::new(&app.store, &classifier, 0);
    let start = span(1, "start", 10, &[("partition", 7)]);
    let fail = span(1, "fail", 20, &[("attempt", 3)]);
    let finish = span(1, "finish", 40, &[("attempt", 4)]);
    replica.record([&start]).await;
    assert_eq!(sample(&app.store).await, EventSample::default());
    replica.record([&fail]).await;
    let of = |pairs: &[(&str, &str)]| vec![pairs.iter().copied().collect::<EventAttributes>()];
    let bad = of(&[("span.attempt", "3"), ("span.partition", "7")]);
    assert_eq!(sample(&app.store).await, EventSample { bad, good: vec![] });
    let mut other = Replica::new(&app.store, &classifier, 1);
    other.record([&finish]).await;
    let good = of(&[
        ("span.attempt", "3"),
        ("span.attempt", "4"),
        ("span.partition", "7"),
    ]);
    assert_eq!(sample(&app.store).await, EventSample { bad: vec![], good });
}

#[tokio::test]
async fn an_event_without_attributes_belongs_to_the_sample_too() {
    let app = app().await;
    let classifier = one_span();
    let mut replica = Replica::new(&app.store, &classifier, 0);
    replica.record([&span(1, "deploy", 10, &[])]).await;
    let good = vec![EventAttributes::default()];
    assert_eq!(sample(&app.store).await, EventSample { bad: vec![], good });
}

#[tokio::test]
async fn once_an_hour_has_its_sample_few_events_carry_attributes() {
    let app = app().await;
    let classifier = one_span();
    let mut replica = Replica::new(&app.store, &classifier, 0);
    let spans: Vec<Span> = (0..4_000)
        .map(|number| span(number, "deploy", 10, &[("partition", 7)]))
        .collect();
    let mut admitted = Vec::new();
    for request in spans.chunks(200) {
        admitted.push(replica.record(request).await);
    }
    assert_eq!(admitted[0], OF_EACH_SIDE);
    assert!(admitted[10..].iter().all(|n| *n < 60), "{admitted:?}");
    let kept = sample(&app.store).await.good;
    assert_eq!(kept.len(), OF_EACH_SIDE);
    let all: usize = admitted.iter().sum();
    assert_eq!(trim(&app.store).await, (all - OF_EACH_SIDE) as u64);
    assert_eq!(sample(&app.store).await.good, kept);
    assert_eq!(trim(&app.store).await, 0);
}

/// Events of one hour, a third of them bad, and the sample that must come of them: read from the
/// spans alone, by the keys that the classifier gives.
fn expected(classifier: &Classifier, spans: &[Span]) -> EventSample {
    let mut keyed: Vec<_> = spans
        .iter()
        .map(|span| {
            let mut findings = ClassifiedBatch::default();
            classifier.classify(span, at(-86_400), &mut findings);
            let (attributes, _) = EventAttributes::of_span(span, "");
            (findings.evidence[0].key, span.status, attributes)
        })
        .collect();
    keyed.sort_by_key(|(key, ..)| *key);
    let side = |status| {
        let of_side = keyed.iter().filter(|(_, of, _)| *of == status);
        of_side
            .map(|(.., attributes)| attributes.clone())
            .take(OF_EACH_SIDE)
            .collect()
    };
    EventSample {
        bad: side(SpanStatus::Error),
        good: side(SpanStatus::Unset),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_with_duplicates_over_two_replicas_gives_the_same_sample() {
    let classifier = one_span();
    let mut spans: Vec<Span> = (0..900_u32)
        .map(|number| span(number, "deploy", number, &[("n", number.into())]))
        .collect();
    for span in spans.iter_mut().step_by(3) {
        span.status = SpanStatus::Error;
    }
    let wanted = expected(&classifier, &spans);
    assert_eq!((wanted.bad.len(), wanted.good.len()), (200, 200));
    let order: Vec<usize> = (0..900).chain((0..900).step_by(4)).collect();
    let shuffled = Just(order).prop_shuffle();
    let mut runner = TestRunner::default();
    for _ in 0..3 {
        let order = shuffled.new_tree(&mut runner).unwrap().current();
        let app = app().await;
        let (one, other) = order.split_at(order.len() / 2);
        let mut replicas = [0, 1].map(|at| Replica::new(&app.store, &classifier, at));
        let [first, second] = &mut replicas;
        tokio::join!(first.receive(one, &spans), second.receive(other, &spans));
        assert_eq!(sample(&app.store).await, wanted, "{order:?}");
        trim(&app.store).await;
        assert_eq!(sample(&app.store).await, wanted, "{order:?}");
    }
}
