//! Tests that the definitions proposed for the shop count like those that people wrote for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};

use super::{NOW, catalog, ids};
use crate::{
    demo::{
        history::spans,
        past::{PastOrder, orders_of_day},
        shop::Refund,
    },
    domain::{
        counting::ledger::{CountDelta, apply},
        model::{
            ids::Name,
            span::{Link, OwnedValue, Span},
            time::{TimeRange, Timestamp},
        },
        slo::{
            Catalog, HiddenAttributes, Slo,
            definition::{DefinitionFile, load},
            format_duration,
        },
        workflow::{
            JudgingContext, Outcome,
            classify::{ClassifiedBatch, Classifier},
            discover::{Discovery, ProposedFlow, discover},
            gather,
            shapes::SharedShapes,
        },
    },
};

const HOUR: Duration = Duration::from_hours(1);

/// Whether consumers that begin a trace of their own link to the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Sent,
    Left,
}

fn end(span: &Span) -> Timestamp {
    Timestamp::from_unix_nanos(span.end_unix_nano)
}

/// Returns all spans of the orders placed in this time, in the order of their ends.
fn shop(placed: TimeRange, links: Links) -> Vec<Span> {
    let mut rng = StdRng::seed_from_u64(2);
    let day = NOW.saturating_since(placed.from).as_secs() / 86_400 + 1;
    let orders = orders_of_day(NOW, u32::try_from(day).unwrap(), 1);
    let orders = orders
        .iter()
        .filter(|past| placed.contains(past.order.placed_at));
    let mut all: Vec<Span> = orders
        .flat_map(|past| order_spans(&mut rng, past, links))
        .collect();
    all.sort_by_key(|span| span.end_unix_nano);
    all
}

fn order_spans(rng: &mut StdRng, past: &PastOrder, links: Links) -> Vec<Span> {
    let mut visits = past.order.before_fulfilment();
    visits.extend(past.order.after_fulfilment(past.taken_at));
    visits.extend(past.refund.iter().flat_map(Refund::visits));
    let mut spans = spans(rng, &visits);
    let named = |spans: &[Span], name| spans.iter().position(|span| span.name == name);
    let sent = named(&spans, "fulfilment publish");
    let taken = named(&spans, "fulfilment process");
    if let (Some(sent), Some(taken), Links::Sent) = (sent, taken, links) {
        let link = Link {
            trace_id: Some(spans[sent].trace_id),
            span_id: Some(spans[sent].span_id),
            trace_state: String::new(),
            attributes: Vec::new(),
        };
        spans[taken].links.push(link);
    }
    spans
}

fn last_hour() -> TimeRange {
    TimeRange::new(NOW - HOUR, NOW)
}

/// Returns what a service without definitions proposes after it has received these spans.
fn discovered(spans: &[Span]) -> Discovery {
    let shapes = SharedShapes::new();
    let hidden = HiddenAttributes::default();
    for span in spans {
        let candidate = shapes.look(span, &hidden, end(span));
        shapes.add(end(span), candidate.into_iter().collect());
    }
    discover(&shapes.traces_at(NOW), &Catalog::default(), NOW)
}

fn proposed<'d>(discovery: &'d Discovery, name: &str) -> &'d ProposedFlow {
    let found = discovery
        .flows
        .iter()
        .find(|flow| flow.name.as_str() == name);
    found.unwrap_or_else(|| {
        let names: Vec<_> = discovery.flows.iter().map(|flow| &flow.name).collect();
        panic!("no `{name}` among {names:?}")
    })
}

/// Returns the SLO as the service reads it from a file with the unchanged proposal.
fn saved(flow: &ProposedFlow) -> Slo {
    let file = DefinitionFile {
        path: "proposed.yaml".to_owned(),
        text: flow.yaml.clone(),
    };
    let (catalog, warnings) = load(&[file]).unwrap_or_else(|problems| {
        panic!("{problems:#?}\n{}", flow.yaml);
    });
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

fn written(name: &str) -> Slo {
    (*catalog().slos[&name.parse::<Name>().unwrap()]).clone()
}

/// Counts workflows by outcome, judged at `now` by the spans that have ended by then.
fn outcomes(slo: &Slo, spans: &[Span], now: Timestamp) -> BTreeMap<&'static str, usize> {
    let catalog = Catalog {
        slos: BTreeMap::from([(slo.name.clone(), Arc::new(slo.clone()))]),
        ..Catalog::default()
    };
    let classifier = Classifier::new(&catalog, &ids(&catalog));
    let mut batch = ClassifiedBatch::default();
    for span in spans.iter().filter(|span| end(span) <= now) {
        classifier.classify(span, Timestamp::UNIX_EPOCH, &mut batch);
    }
    let mut gathered = gather(&batch.evidence);
    batch.sampling.add_to(&mut gathered);
    let mut outcomes = BTreeMap::new();
    for ((id, _), workflow) in &mut gathered {
        workflow.first_evidence_at = workflow.start.map(|start| start.at);
        let judging = classifier.judging(*id, &JudgingContext::healthy(now));
        let judged = apply(*id, None, workflow, &judging, &mut CountDelta::default()).unwrap();
        let word = match judged.verdict.outcome {
            Outcome::Good => "good",
            Outcome::Late | Outcome::Failed | Outcome::Timeout => "bad",
            Outcome::Open => "open",
            Outcome::Cancelled => "cancelled",
            other => panic!("{other:?} of {workflow:?}"),
        };
        *outcomes.entry(word).or_default() += 1;
    }
    outcomes
}

#[test]
fn the_three_flows_of_the_shop_are_proposed() {
    for links in [Links::Sent, Links::Left] {
        let discovery = discovered(&shop(last_hour(), links));
        for name in [
            "orders-to-notifications",
            "refund-request-to-refund-settle",
            "fulfilment-in-time",
        ] {
            saved(proposed(&discovery, name));
        }
    }
}

/// Returns the spans and their discovery, which is computed once since it takes seconds.
fn usual() -> &'static (Vec<Span>, Discovery) {
    static USUAL: OnceLock<(Vec<Span>, Discovery)> = OnceLock::new();
    USUAL.get_or_init(|| {
        let spans = shop(last_hour(), Links::Sent);
        let discovery = discovered(&spans);
        (spans, discovery)
    })
}

fn assert_counts_alike(name: &str, by_hand: &str, spans: &[Span], now: Timestamp) {
    let (_, discovery) = usual();
    let proposed = outcomes(&saved(proposed(discovery, name)), spans, now);
    let by_hand = outcomes(&written(by_hand), spans, now);
    assert_eq!(proposed, by_hand, "{name}");
    assert!(proposed["good"] > 5, "{proposed:?}");
}

#[test]
fn orders_count_like_those_of_the_definition_written_by_hand() {
    let (spans, _) = usual();
    let names = ("orders-to-notifications", "orders-on-time");
    assert_counts_alike(names.0, names.1, spans, NOW + HOUR);
    // Traffic that is cut off has unfinished orders.
    let cut = NOW - HOUR / 2;
    assert_counts_alike(names.0, names.1, spans, cut);
    assert!(outcomes(&written(names.1), spans, cut)["open"] > 0);
}

#[test]
fn refunds_count_like_those_of_the_definition_written_by_hand() {
    let (spans, _) = usual();
    let names = ("refund-request-to-refund-settle", "refunds-settled");
    assert_counts_alike(names.0, names.1, spans, NOW + HOUR * 2);
    let cut = NOW - HOUR / 2;
    assert_counts_alike(names.0, names.1, spans, cut);
}

/// The card network is down: orders fail permanently, with an error that the sample did not
/// contain.
#[test]
fn failures_of_an_outage_count_like_those_of_the_definition_written_by_hand() {
    let began = NOW - Duration::from_hours(6 * 24 + 3);
    let placed = TimeRange::new(began, began + HOUR / 3);
    let spans = shop(placed, Links::Sent);
    let names = ("orders-to-notifications", "orders-on-time");
    let now = began + HOUR;
    assert_counts_alike(names.0, names.1, &spans, now);
    assert!(outcomes(&written(names.1), &spans, now)["bad"] > 20);
}

/// The proposed time limit follows from the traffic and is shorter than the minute that people
/// chose, so only orders whose duration is between both are judged differently.
#[test]
fn arrivals_count_alike_but_for_orders_between_both_time_limits() {
    let (spans, discovery) = usual();
    let proposed = saved(proposed(discovery, "fulfilment-in-time"));
    let by_hand = written("orders-reach-warehouse");
    let limit = proposed_limit(discovery);
    assert!(limit < Duration::from_mins(1), "{limit:?}");
    let between = spans.iter().filter(|span| {
        let placed = span
            .attributes
            .iter()
            .find(|(key, _)| key == "order.placed_at");
        let Some((_, OwnedValue::Int(placed))) = placed else {
            return false;
        };
        let took = end(span).saturating_since(Timestamp::from_micros(placed * 1_000));
        span.name == "fulfilment process" && took > limit && took <= Duration::from_mins(1)
    });
    let between = between.count();
    let mut expected = outcomes(&by_hand, spans, NOW + HOUR);
    *expected.entry("good").or_default() -= between;
    *expected.entry("bad").or_default() += between;
    expected.retain(|_, events| *events > 0);
    assert_eq!(outcomes(&proposed, spans, NOW + HOUR), expected);
    // With the same time limit they count the same.
    let text = proposed
        .source
        .text
        .replace(&format!("<= {}", format_duration(limit)), "<= 1m");
    let edited = load(&[DefinitionFile {
        path: "edited.yaml".to_owned(),
        text,
    }])
    .unwrap()
    .0;
    let edited = &edited.slos[&proposed.name];
    let by_hand = outcomes(&by_hand, spans, NOW + HOUR);
    assert_eq!(outcomes(edited, spans, NOW + HOUR), by_hand);
}

fn proposed_limit(discovery: &Discovery) -> Duration {
    proposed(discovery, "fulfilment-in-time").within
}

#[test]
fn every_choice_stands_behind_its_reason() {
    let (_, discovery) = usual();
    let texts = discovery.flows.iter().map(|flow| flow.yaml.as_str());
    insta::assert_snapshot!(texts.collect::<Vec<_>>().join("---\n"));
}

#[test]
fn a_flow_that_an_slo_counts_already_says_which() {
    let spans = shop(TimeRange::new(NOW - HOUR / 6, NOW), Links::Sent);
    let shapes = SharedShapes::new();
    for span in &spans {
        let candidate = shapes.look(span, &HiddenAttributes::default(), end(span));
        shapes.add(end(span), candidate.into_iter().collect());
    }
    let sample = shapes.traces_at(NOW);
    let in_force = discover(&sample, &catalog(), NOW);
    let counted = in_force
        .flows
        .iter()
        .filter_map(|flow| flow.counted_by.as_ref());
    let counted: Vec<&str> = counted.map(Name::as_str).collect();
    assert_eq!(
        counted,
        [
            "orders-on-time",
            "refunds-settled",
            "orders-reach-warehouse"
        ]
    );
    // Once it is saved, the proposal is not made again under its own name.
    let first = discover(&sample, &Catalog::default(), NOW);
    let saved = saved(proposed(&first, "orders-to-notifications"));
    let catalog = Catalog {
        slos: BTreeMap::from([(saved.name.clone(), Arc::new(saved))]),
        ..Catalog::default()
    };
    let again = discover(&sample, &catalog, NOW);
    let same = proposed(&again, "orders-to-notifications-2");
    let counted_by = same.counted_by.as_ref().map(Name::as_str);
    assert_eq!(counted_by, Some("orders-to-notifications"));
    // The only target is named.
    let targets = proposed(&in_force, "orders-to-notifications").yaml.clone();
    assert!(targets.contains("notify: { page: [demo-hook], ticket: [demo-hook] }"));
}
