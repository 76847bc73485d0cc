//! The cases of `tests/fixtures/cases` through OTLP, on Postgres, over two replicas: in three orders of
//! arrival with duplicates, by a driven clock.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::support::{
    app::{Replica, SECOND, TestApp, slo},
    case::Case,
    span::SpanBuilder,
};

const ORDERS: u64 = 3;
/// Share of the spans that arrive twice.
const DUPLICATED: f64 = 0.3;
const REQUEST: usize = 100;
/// Longer than any deadline of a case and what senders may take to catch up.
const SETTLED_AFTER: u32 = 20 * 60;

async fn check(name: &str) {
    let case = Case::read(name);
    for seed in 0..ORDERS {
        let app = TestApp::new().slo(&case.definition).await;
        let other = app.replica();
        let mut rng = StdRng::seed_from_u64(seed);
        for spans in &case.phases {
            send([&*app, &other], &requests(spans, &mut rng)).await;
            pass(&app, 7, &case).await;
            if let Some(redefinition) = &case.redefinition {
                app.define([slo(redefinition)]).await;
            }
        }
        for _ in 0..SETTLED_AFTER / 60 {
            pass(&app, 60, &case).await;
        }
        assert_eq!(app.outcomes().await, case.expect, "{name}, order {seed}");
        for note in &case.notes {
            assert!(app.evidence_counts(note).await > 0, "{name}: {note}");
        }
    }
}

/// To each replica in turn.
async fn send(replicas: [&Replica; 2], requests: &[Vec<SpanBuilder>]) {
    for (request, replica) in requests.iter().zip(replicas.into_iter().cycle()) {
        let answer = replica.send_over_http(request).await;
        assert_eq!(answer.status(), 200);
    }
}

/// So many seconds go by, at the end of which every loop takes a turn.
async fn pass(app: &TestApp, secs: u32, case: &Case) {
    app.advance(SECOND * secs);
    app.tick().await;
    let now = app.outcomes().await;
    for (outcome, limit) in &case.never {
        assert!(
            now.get(outcome).is_none_or(|count| count < limit),
            "{now:?}"
        );
    }
}

fn requests(spans: &[SpanBuilder], rng: &mut StdRng) -> Vec<Vec<SpanBuilder>> {
    let mut all = spans.to_vec();
    for span in spans {
        if rng.random_bool(DUPLICATED) {
            all.push(span.clone());
        }
    }
    all.shuffle(rng);
    let requests = all.chunks(REQUEST);
    requests.map(<[SpanBuilder]>::to_vec).collect()
}

macro_rules! cases {
    ($($name:ident $file:literal,)+) => {
        $(#[tokio::test]
        async fn $name() {
            check($file).await;
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
