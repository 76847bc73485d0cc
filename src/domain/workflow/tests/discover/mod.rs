//! Tests of flows that are found in a sample of traces, by the connections of their messages.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    slo::{
        HiddenAttributes,
        definition::{DefinitionFile, load},
    },
    traceql::SelectorContext,
    workflow::{
        discover::{Discovery, MessageConnection, ProposedFlow, discover},
        shapes::{SharedShapes, TraceSample},
    },
};

fn sampled(spans: &[Span]) -> TraceSample {
    let (shapes, hidden) = (SharedShapes::new(), HiddenAttributes::default());
    for span in spans {
        let candidate = shapes.look(span, &hidden, at(0.0));
        shapes.add(at(0.0), candidate.into_iter().collect());
    }
    shapes.traces_at(at(600.0))
}

fn discovered(spans: &[Span]) -> Discovery {
    discover(&sampled(spans), &Catalog::default(), at(600.0))
}

/// Returns the SLO as it is read from a file with the proposal.
fn loaded(flow: &ProposedFlow) -> Slo {
    let file = DefinitionFile {
        path: "proposed.yaml".to_owned(),
        text: flow.yaml.clone(),
    };
    let (catalog, warnings) =
        load(&[file]).unwrap_or_else(|problems| panic!("{problems:#?}\n{}", flow.yaml));
    // A service without definitions has no target to name.
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:#?}");
    };
    assert!(
        warning.message.starts_with("no target is notified"),
        "{warning:?}"
    );
    (*catalog.slos[&flow.name]).clone()
}

fn workflow(flow: &ProposedFlow) -> WorkflowIndicator {
    match loaded(flow).indicator {
        Indicator::Workflow(workflow) => workflow,
        Indicator::Span(_) => panic!("{}", flow.yaml),
    }
}

/// Makes span `number` of a trace with an unused id.
fn message(trace: u8, number: u8, kind: SpanKind, queue: &str) -> Span {
    let start = f64::from(trace) + f64::from(number);
    let mut span = span("a:1", "message", [start, start + 0.5]).of_kind(kind);
    span.trace_id = TraceId::from_slice(&[trace; 16]).unwrap();
    span.span_id = SpanId::from_slice(&[number; 8]).unwrap();
    span.with("messaging.destination.name", queue)
}

fn child_of(mut span: Span, number: u8) -> Span {
    span.parent_span_id = SpanId::from_slice(&[number; 8]);
    span
}

fn linked_to(mut span: Span, trace: u8, number: u8) -> Span {
    span.links.push(Link {
        trace_id: TraceId::from_slice(&[trace; 16]),
        span_id: SpanId::from_slice(&[number; 8]),
        trace_state: String::new(),
        attributes: Vec::new(),
    });
    span
}

/// Makes three messages from one service to another, connected as `consumer` makes them.
fn three(consumer: impl Fn(u8) -> Span) -> Vec<Span> {
    let sent = |trace| message(trace, 1, SpanKind::Producer, "jobs");
    let pairs = (1..=3).flat_map(|run| [sent(2 * run), consumer(2 * run)]);
    pairs.collect()
}

fn only(discovery: &Discovery) -> &ProposedFlow {
    let [flow] = discovery.flows.as_slice() else {
        panic!("{discovery:#?}");
    };
    flow
}

fn connected(flow: &ProposedFlow) -> Vec<(MessageConnection, usize)> {
    let [hop] = flow.hops.as_slice() else {
        panic!("{flow:#?}");
    };
    hop.connected.clone()
}

#[test]
fn children_of_the_senders_are_one_trace() {
    let discovery = discovered(&three(|trace| {
        child_of(message(trace, 2, SpanKind::Consumer, "jobs"), 1)
    }));
    let flow = only(&discovery);
    assert_eq!(connected(flow), [(MessageConnection::Trace, 3)]);
    assert_eq!(workflow(flow).correlate, [Correlator::Trace]);
}

#[test]
fn the_context_around_the_sender_is_as_good() {
    let around = |trace: u8| {
        let mut request = message(trace, 9, SpanKind::Server, "");
        request.attributes.clear();
        request
    };
    let spans = three(|trace| child_of(message(trace, 2, SpanKind::Consumer, "jobs"), 9));
    let mut spans: Vec<Span> = spans
        .into_iter()
        .map(|span| {
            if span.kind == SpanKind::Producer {
                child_of(span, 9)
            } else {
                span
            }
        })
        .collect();
    spans.extend((1..=3).map(|run| around(2 * run)));
    let discovery = discovered(&spans);
    assert_eq!(connected(only(&discovery)), [(MessageConnection::Trace, 3)]);
}

#[test]
fn consumers_with_traces_of_their_own_are_found_by_links() {
    let discovery = discovered(&three(|trace| {
        linked_to(message(trace + 1, 2, SpanKind::Consumer, "jobs"), trace, 1)
    }));
    let flow = only(&discovery);
    assert_eq!(connected(flow), [(MessageConnection::Link, 3)]);
    assert!(matches!(
        workflow(flow).correlate[..],
        [Correlator::Links { .. }]
    ));
}

#[test]
fn without_any_context_an_id_of_both_ends_joins_them() {
    let spans = |key: &str| -> Vec<Span> {
        let with_id = |span: Span, trace: u8| span.with(key, format!("id-{trace}").as_str());
        let consumer = |trace| with_id(message(trace + 1, 2, SpanKind::Consumer, "jobs"), trace);
        let spans = three(consumer).into_iter();
        let spans = spans.map(|span| {
            if span.kind == SpanKind::Producer {
                let trace = span.trace_id.as_bytes()[0];
                with_id(span, trace)
            } else {
                span
            }
        });
        spans.collect()
    };
    let by_job = discovered(&spans("bullmq.job.id"));
    let how = MessageConnection::Attribute("bullmq.job.id".to_owned());
    assert_eq!(connected(only(&by_job)), [(how, 3)]);
    assert_eq!(
        workflow(only(&by_job)).correlate,
        by_attribute("bullmq.job.id")
    );
    let by_message = discovered(&spans("messaging.message.id"));
    assert_eq!(
        connected(only(&by_message)),
        [(MessageConnection::MessageId, 3)]
    );
    assert_eq!(
        workflow(only(&by_message)).correlate,
        by_attribute("messaging.message.id")
    );
}

#[test]
fn where_messages_are_processed_their_receipt_is_no_end() {
    let mut spans = three(|trace| {
        let received = message(trace + 1, 2, SpanKind::Consumer, "jobs");
        linked_to(
            received.with("messaging.operation.type", "receive"),
            trace,
            1,
        )
    });
    spans.extend((1..=3).map(|run| {
        let processed = message(2 * run + 1, 3, SpanKind::Consumer, "jobs");
        let processed = processed.with("messaging.operation.type", "process");
        linked_to(processed, 2 * run, 1)
    }));
    let discovery = discovered(&spans);
    let finish = workflow(only(&discovery)).finish;
    assert!(
        finish
            .text()
            .contains(r#"span.messaging.operation.type = "process""#)
    );
}

#[test]
fn what_two_groups_of_consumers_take_has_two_ends() {
    let mut spans = three(|trace| child_of(message(trace, 2, SpanKind::Consumer, "jobs"), 1));
    spans.extend((1..=3).map(|run| {
        let mut other = child_of(message(2 * run, 3, SpanKind::Consumer, "jobs"), 1);
        other.resource = Arc::new(vec![("service.name".to_owned(), "audit".into())]);
        other
    }));
    assert_eq!(discovered(&spans).flows.len(), 2);
}

#[test]
fn an_error_is_no_finish_and_one_run_is_no_pattern() {
    let failed = |trace: u8| child_of(message(trace, 2, SpanKind::Consumer, "jobs").failed(), 1);
    assert!(discovered(&three(failed)).flows.is_empty());
    let pair = [
        message(1, 1, SpanKind::Producer, "jobs"),
        child_of(message(1, 2, SpanKind::Consumer, "jobs"), 1),
    ];
    assert!(discovered(&pair).flows.is_empty());
    assert!(discovered(&[]).flows.is_empty());
}

/// Celery's shape: an attempt that is retried is not an error, and neither is a cancelled one.
#[test]
fn an_attempt_that_says_it_did_not_succeed_is_no_finish() {
    let attempt = |trace: u8, number: u8, state: &str| {
        let attempt = child_of(message(trace, number, SpanKind::Consumer, "jobs"), 1);
        let attempt = attempt.with("celery.state", state);
        attempt.with("messaging.message.id", format!("id-{trace}").as_str())
    };
    let mut spans = three(|trace| attempt(trace, 2, "RETRY"));
    for span in &mut spans {
        if span.kind == SpanKind::Producer {
            let id = format!("id-{}", span.trace_id.as_bytes()[0]);
            *span = span.clone().with("messaging.message.id", id.as_str());
        }
    }
    let retries = discovered(&spans);
    spans.extend((1..=3).map(|run| attempt(2 * run, 3, "SUCCESS")));
    for trace in [8, 10] {
        let sent = message(trace, 1, SpanKind::Producer, "jobs");
        spans.push(sent.with("messaging.message.id", format!("id-{trace}").as_str()));
        spans.push(attempt(trace, 2, "FAILURE"));
    }
    let discovery = discovered(&spans);
    let flow = only(&discovery);
    let workflow = workflow(flow);
    let finish = workflow.finish.text();
    assert!(
        finish.ends_with(r#"status != error && span.celery.state = "SUCCESS" }"#),
        "{finish}"
    );
    let fail = workflow.fail.as_ref().unwrap().text();
    assert_eq!(fail, r#"{ span.celery.state = "FAILURE" }"#);
    assert!((flow.finished_ratio - 0.6).abs() < 1e-9, "{flow:#?}");
    // From the start to the second attempt, and not to the first.
    assert_eq!(flow.durations.median, Duration::from_secs_f64(2.5));
    // If nothing succeeds, the state does not indicate success.
    assert!(
        only(&retries)
            .yaml
            .contains("only an end without error counts")
    );
}

#[test]
fn a_sample_that_is_switched_off_finds_nothing() {
    let shapes = SharedShapes::default();
    let span = message(1, 1, SpanKind::Producer, "jobs");
    let looked_at = shapes.look(&span, &HiddenAttributes::default(), at(0.0));
    assert!(looked_at.is_none());
    assert!(shapes.traces_at(at(1.0)).spans.is_empty());
}

#[test]
fn secrets_are_kept_by_no_trace() {
    let span = message(1, 1, SpanKind::Producer, "jobs").with("session.id", "s3cret");
    let sample = sampled(&[span]);
    assert_eq!(sample.spans.len(), 1);
    assert!(!format!("{sample:?}").contains("s3cret"));
}

#[test]
fn a_sample_of_many_random_traces_is_bounded_and_keeps_whole_ones() {
    let (shapes, hidden) = (SharedShapes::new(), HiddenAttributes::default());
    for nth in 0..20_000_u32 {
        let now = at(f64::from(nth) / 400.0);
        let mut sent =
            message(1, 1, SpanKind::Producer, "jobs").with("blob", "x".repeat(100).as_str());
        sent.trace_id = TraceId::from_slice(&u128::from(nth + 1).to_be_bytes()).unwrap();
        sent.name = format!("publish {nth}");
        let mut taken = child_of(message(1, 2, SpanKind::Consumer, "jobs"), 1);
        taken.trace_id = sent.trace_id;
        let both = [sent, taken];
        let candidates = both
            .iter()
            .filter_map(|span| shapes.look(span, &hidden, now));
        shapes.add(now, candidates.collect());
    }
    let sample = shapes.traces_at(at(60.0));
    assert!(
        (1_000..30_000).contains(&sample.spans.len()),
        "{}",
        sample.spans.len()
    );
    assert_eq!(sample.spans.len(), sample.traces * 2);
    assert!(sample.one_in() > 1);
    // Spans older than an hour are removed.
    assert_eq!(shapes.traces_at(at(4_000.0)).spans.len(), 0);
}

/// Makes run `nth` of a chain of three traces, each of which links to the one before it; in the
/// order of ends.
fn chain(nth: u128) -> [Span; 5] {
    let id = |hop: u128| TraceId::from_slice(&(3 * nth + hop + 1).to_be_bytes()).unwrap();
    let of = |span: Span, hop: u128| Span {
        trace_id: id(hop),
        ..span.with("blob", "x".repeat(100).as_str())
    };
    let link_to = |mut span: Span, hop: u128, number: u8| {
        span = linked_to(span, 1, number);
        span.links[0].trace_id = Some(id(hop));
        span
    };
    let first = of(message(1, 1, SpanKind::Producer, "first"), 0);
    let taken = of(message(1, 2, SpanKind::Consumer, "first"), 1);
    let inside = child_of(of(message(1, 3, SpanKind::Internal, ""), 1), 2);
    let sent = child_of(of(message(1, 4, SpanKind::Producer, "second"), 1), 3);
    let last = of(message(1, 5, SpanKind::Consumer, "second"), 2);
    [
        first,
        sent,
        inside,
        link_to(taken, 0, 1),
        link_to(last, 1, 4),
    ]
}

/// Discovers in a sample of one in several traces.
fn discovered_in_thinned(spans: impl Iterator<Item = Span>) -> (TraceSample, Discovery) {
    let (shapes, hidden) = (SharedShapes::new(), HiddenAttributes::default());
    for (nth, span) in spans.enumerate() {
        // Slow enough that all of them may wait.
        let now = at(f64::from(u32::try_from(nth / 200).unwrap()));
        let candidate = shapes.look(&span, &hidden, now);
        shapes.add(now, candidate.into_iter().collect());
    }
    let sample = shapes.traces_at(at(600.0));
    assert!(sample.one_in() > 1);
    let discovery = discover(&sample, &Catalog::default(), at(600.0));
    (sample, discovery)
}

#[test]
fn of_a_chain_of_links_all_traces_are_kept_or_none() {
    let in_order = discovered_in_thinned((0..20_000).flat_map(chain));
    // The last hop arrives before the span that joins the trace in the middle to the first one.
    let reordered = (0..20_000)
        .map(chain)
        .flat_map(|[first, sent, inside, taken, last]| [last, sent, inside, taken, first]);
    for (sample, discovery) in [in_order, discovered_in_thinned(reordered)] {
        assert!(sample.spans.len() > 1_000, "{}", sample.spans.len());
        let flow = only(&discovery);
        let queues: Vec<&str> = flow.hops.iter().map(|hop| hop.queue.as_str()).collect();
        assert_eq!(queues, ["first", "second"], "{}", flow.yaml);
        assert!(flow.finished_ratio > 0.95, "{flow:#?}");
        let [Correlator::Links { .. }] = workflow(flow).correlate[..] else {
            panic!("{}", flow.yaml);
        };
    }
}

/// A loop in which each round links to the one before is one chain, which would displace all
/// others.
#[test]
fn an_endless_chain_of_links_leaves_room_for_others() {
    let id = |nth: u128| TraceId::from_slice(&(nth + 1).to_be_bytes()).unwrap();
    let rounds = (1..60_000_u128).map(|nth| {
        let round = message(1, 1, SpanKind::Consumer, "loop");
        let mut round = linked_to(round.with("blob", "x".repeat(100).as_str()), 1, 1);
        round.trace_id = id(nth);
        round.links[0].trace_id = Some(id(nth - 1));
        round
    });
    let (sample, _) = discovered_in_thinned(rounds);
    assert!(sample.one_in() <= 64, "one in {}", sample.one_in());
}

#[test]
fn one_endless_trace_leaves_room_for_others() {
    let (shapes, hidden) = (SharedShapes::new(), HiddenAttributes::default());
    for number in 1..=10_000_u32 {
        let now = at(f64::from(number) / 500.0);
        let span = Span {
            span_id: SpanId::from_slice(&u64::from(number).to_be_bytes()).unwrap(),
            ..child_of(message(1, 1, SpanKind::Internal, ""), 1)
        };
        let candidate = shapes.look(&span, &hidden, now);
        shapes.add(now, candidate.into_iter().collect());
    }
    assert_eq!(shapes.traces_at(at(21.0)).spans.len(), 64);
}

#[test]
fn of_a_flood_of_known_spans_few_are_copied() {
    let (shapes, hidden) = (SharedShapes::new(), HiddenAttributes::default());
    let spans: Vec<Span> = (1..=200)
        .map(|trace| message(trace, 1, SpanKind::Producer, "jobs"))
        .collect();
    let mut copied = 0;
    for span in spans.iter().cycle().take(50_000) {
        let candidate = shapes.look(span, &hidden, at(0.0));
        copied += candidate.iter().len();
        shapes.add(at(0.0), candidate.into_iter().collect());
    }
    assert!((1_000..12_000).contains(&copied), "{copied}");
}

#[test]
fn a_proposal_loads_though_its_queue_has_characters_that_yaml_forbids() {
    let queue = "orders\u{fffe}\u{ffff}";
    let spans: Vec<Span> = (1..=3)
        .flat_map(|trace| {
            let taken = message(trace, 2, SpanKind::Consumer, queue);
            [
                message(trace, 1, SpanKind::Producer, queue),
                child_of(taken, 1),
            ]
        })
        .collect();
    workflow(only(&discovered(&spans)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// With any input, a proposal is a valid definition that selects the spans it was made from.
    #[test]
    fn every_proposal_loads_and_selects_what_it_was_made_from(
        queue in ".{1,30}", service in ".{0,20}", key in ".{1,20}", word in ".{1,20}",
    ) {
        let described = |mut span: Span, trace: u8| {
            span.resource = Arc::new(vec![("service.name".to_owned(), service.as_str().into())]);
            let span = span.with("order.id", format!("o{trace}").as_str());
            span.with(&format!("{key}.state"), word.as_str()).with(&format!("{key}.customer.id"), 1)
        };
        let spans = three(|trace| child_of(message(trace, 2, SpanKind::Consumer, &queue), 1));
        let spans: Vec<Span> = spans
            .into_iter()
            .map(|mut span| {
                let trace = span.trace_id.as_bytes()[0];
                if span.kind == SpanKind::Producer {
                    span = message(trace, 1, SpanKind::Producer, &queue);
                }
                described(span, trace)
            })
            .collect();
        let discovery = discovered(&spans);
        let flow = only(&discovery);
        let workflow = workflow(flow);
        let sample = sampled(&spans);
        let selected = |selector: &Selector| sample.spans.iter().filter(|one| {
            selector.matches(one.span.span(), SelectorContext::default())
        }).count();
        prop_assert_eq!(selected(&workflow.start), 3, "{}", &flow.yaml);
        prop_assert_eq!(selected(&workflow.finish), 3, "{}", &flow.yaml);
    }
}
