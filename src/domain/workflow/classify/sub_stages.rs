//! S22: the total, the wait and the processing of one flow as three SLOs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::domain::{
    model::{
        ids::{SloId, SpanId, TraceId},
        span::{OwnedValue, Span, SpanAttributes, SpanKind, SpanStatus},
        time::Timestamp,
    },
    slo::definition::{DefinitionFile, load},
    workflow::{
        Judging, Outcome,
        classify::{ClassifiedBatch, Classifier},
        gather, judge,
    },
};

const TOTAL: &str = "within: 60s";
const WAIT: &str = "within: 10s\n      startAt: end\n      finishAt: start";
const PROCESSING: &str = "within: 45s";

fn slo(name: &str, (start, finish): (&str, &str), rest: &str) -> String {
    format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name} }}\nspec:\n  \
         objective: 99%\n  window: 30d\n  indicator:\n    workflow:\n      \
         start: '{{ kind = {start} }}'\n      finish: '{{ {finish} }}'\n      \
         correlate: [trace]\n      {rest}\n  notify: {{}}\n"
    )
}

/// Returns the outcomes of `total`, `wait` and `processing`, in this order.
fn outcomes(spans: &[Span]) -> Vec<Outcome> {
    let done = "kind = consumer && status != error";
    let text = [
        slo("total", ("producer", done), TOTAL),
        slo("wait", ("producer", "kind = consumer"), WAIT),
        slo("processing", ("consumer", done), PROCESSING),
    ]
    .join("---\n");
    let path = "s22.yaml".to_owned();
    let (catalog, _) = load(&[DefinitionFile { path, text }]).unwrap();
    let order = ["total", "wait", "processing"];
    let ids: BTreeMap<_, _> = (1..)
        .zip(order)
        .map(|(id, name)| (name.parse().unwrap(), SloId(id)))
        .collect();
    let classifier = Classifier::new(&catalog, &ids);
    let mut findings = ClassifiedBatch::default();
    for span in spans {
        classifier.classify(span, Timestamp::UNIX_EPOCH, &mut findings);
    }
    let judging = Judging::healthy(Duration::from_mins(2), at(100.0));
    let judged = gather(&findings.evidence);
    let verdicts = judged.values().map(|workflow| judge(workflow, &judging));
    verdicts.map(|verdict| verdict.outcome).collect()
}

fn at(secs: f64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280) + Duration::from_secs_f64(secs)
}

fn span(kind: SpanKind, (from, to): (f64, f64)) -> Span {
    let nanos = |secs| at(secs).as_micros().cast_unsigned() * 1_000;
    Span {
        trace_id: TraceId::from_slice(&[1; 16]).unwrap(),
        span_id: SpanId::from_slice(&[2; 8]).unwrap(),
        parent_span_id: None,
        name: "job".to_owned(),
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

use Outcome::{Good, Late};
use SpanKind::{Consumer, Producer};

#[test]
fn s22_a_job_that_waited_too_long_is_bad_only_for_the_slo_of_the_wait() {
    let spans = [span(Producer, (0.0, 0.1)), span(Consumer, (15.0, 35.0))];
    assert_eq!(outcomes(&spans), [Good, Late, Good]);
}

#[test]
fn s22_the_wait_is_that_of_the_first_delivery_however_it_ended() {
    let mut failed = span(Consumer, (4.0, 5.0));
    failed.status = SpanStatus::Error;
    let again = span(Consumer, (30.0, 31.0));
    let sent = span(Producer, (0.0, 0.1));
    let deliveries = [sent.clone(), failed, again.clone()];
    assert_eq!(outcomes(&deliveries), [Good, Good, Good]);
    assert_eq!(outcomes(&[sent, again]), [Good, Late, Good]);
}

#[test]
fn s22_an_intended_delay_is_not_waited() {
    let eta = at(28.0).to_rfc3339();
    let delivery = (at(28.0).as_micros() / 1_000).into();
    let told: [(&str, OwnedValue); 4] = [
        ("celery.eta", eta.as_str().into()),
        ("celery.countdown", 28.into()),
        ("celery.countdown", "28".into()),
        ("messaging.rocketmq.message.delivery_timestamp", delivery),
    ];
    for (key, value) in told {
        let mut sent = span(Producer, (0.0, 0.1));
        sent.attributes = vec![(key.to_owned(), value)];
        let spans = [sent, span(Consumer, (35.0, 40.0))];
        assert_eq!(outcomes(&spans), [Good, Good, Good], "{key}");
    }
    let spans = [span(Producer, (0.0, 0.1)), span(Consumer, (35.0, 40.0))];
    assert_eq!(outcomes(&spans), [Good, Late, Good]);
}
