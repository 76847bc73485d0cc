//! The cases of `tests/fixtures/cases` at the pure layer, in many orders of arrival with duplicates.

// The reader of cases and the writer of spans, shared with the tests in `tests/integration`.
#[expect(dead_code, reason = "notes are counted by the store")]
#[path = "../../../../../tests/integration/support/case.rs"]
mod case;
#[expect(dead_code, reason = "this layer needs no OTLP")]
#[path = "../../../../../tests/integration/support/span.rs"]
mod span;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use self::{case::Case, span::SpanBuilder};
use super::*;
use crate::domain::slo::definition::{DefinitionFile, load};

const ORDERS: u64 = 200;
/// The share of the spans that arrive twice.
const DUPLICATED: f64 = 0.3;
/// More than the number of spans in any request here.
const REQUEST: usize = 50;

fn check(name: &str) {
    let case = Case::read(name);
    for seed in 0..ORDERS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut slo = SloUnderTest::of(classifier_of(&case.definition));
        for spans in &case.phases {
            for request in requests(spans, &mut rng) {
                slo = slo.receive(&request);
                assert_eq!(slo.reached(&case), None, "{name}, order {seed}");
            }
            if let Some(redefinition) = &case.redefinition {
                slo = slo.redefined_as(0.0, &classifier_of(redefinition));
            }
        }
        let slo = slo.until(100_000.0).adds_up();
        assert_eq!(slo.outcomes(), case.expect, "{name}, order {seed}");
    }
}

fn classifier_of(definition: &str) -> Classifier {
    let file = DefinitionFile {
        path: "case.yaml".to_owned(),
        text: definition.to_owned(),
    };
    let (catalog, _) = load(&[file]).unwrap();
    let ids = catalog.slos.keys().map(|name| (name.clone(), SloId(1)));
    Classifier::new(&catalog, &ids.collect())
}

fn requests(spans: &[SpanBuilder], rng: &mut StdRng) -> Vec<Vec<Span>> {
    let mut all: Vec<Span> = spans.iter().map(|span| span.build(at(0.0))).collect();
    for nth in 0..spans.len() {
        if rng.random_bool(DUPLICATED) {
            all.push(all[nth].clone());
        }
    }
    all.shuffle(rng);
    let mut requests = Vec::new();
    while !all.is_empty() {
        let size = rng.random_range(1..=REQUEST.min(all.len()));
        requests.push(all.drain(..size).collect());
    }
    requests
}

impl SloUnderTest {
    /// Returns an outcome that occurs in the case although it must not.
    fn reached<'c>(&self, case: &'c Case) -> Option<&'c String> {
        let now = self.outcomes();
        let mut never = case.never.iter();
        let reached = never.find(|(outcome, limit)| now.get(*outcome) >= Some(limit));
        reached.map(|(outcome, _)| outcome)
    }

    /// Returns the number of workflows by outcome, without open ones.
    fn outcomes(&self) -> BTreeMap<String, i64> {
        let mut outcomes = BTreeMap::new();
        for judged in self.known.values() {
            if judged.verdict.outcome != Outcome::Open {
                let outcome = judged.verdict.outcome.as_str().to_owned();
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
        outcomes
    }
}

macro_rules! cases {
    ($($name:ident $file:literal,)+) => {
        $(#[test]
        fn $name() {
            check($file);
        })+

        #[test]
        fn every_case_is_checked() {
            assert_eq!(Case::names(), [$($file),+]);
        }
    };
}

cases! {
    s31_clocks_that_differ_by_more_than_the_promise "s31-clock-30s-promise-5s",
    s31_the_clock_of_the_producer_is_ahead "s31-producer-clock-2s-ahead",
    s32_both_collectors_deliver_a_backlog "s32-both-collectors-replay-12-minutes",
    s33_a_batch_in_the_middle "s33-batch-in-the-middle",
    s34_five_publishes_in_one_request "s34-five-publishes-in-one-request",
    s34_a_request_that_publishes_five_messages "s34-request-that-publishes-five-messages",
    s35_a_batch_is_sent_by_one_span "s35-batch-send-span",
    s36_links_on_the_receive_span_only "s36-links-on-the-receive-span-only",
    s37_ends_sampled_in_traces_of_their_own "s37-end-threshold-and-apart",
    s38_a_finish_that_is_renamed_in_mid_flight "s38-finish-renamed-in-mid-flight",
    s39_a_start_time_of_zero_is_missing "s39-start-time-zero",
    s40_start_and_finish_are_one_span "s40-start-and-finish-on-one-span",
    s41_captured_headers_are_arrays "s41-captured-headers-are-arrays",
    s42_text_that_is_not_utf8 "s42-text-that-is-not-utf8",
    s43_an_slo_that_is_twenty_seconds_old "s43-young-slo",
}
