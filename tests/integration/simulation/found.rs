//! Cases worth keeping, by hand: the fewest spans in the order that matters. Between one list of spans
//! and the next all deadlines pass, and every replica dies.

use throughline::domain::model::{
    ids::TraceId,
    span::{Span, SpanStatus},
    time::TimeRange,
};

use super::{
    HOUR, at, check,
    contract::ALL,
    op::{Kill, REPLICAS, Request, Step},
    story::{Place, Story, add, link},
    verdicts,
    world::TestBench,
};

const SECOND: i64 = 1_000_000;

/// A workflow of the SLO of this name, in this trace.
fn story(name: &str, trace: u8) -> Story {
    Story {
        contract: ALL.iter().find(|contract| contract.name == name).unwrap(),
        trace_id: TraceId::from_slice(&[trace; 16]).unwrap(),
        start: at(1).as_micros(),
        spans: Vec::new(),
        numbers: 0,
    }
}

async fn equals_the_oracle(arrivals: &[&[Span]]) {
    let world = TestBench::new(TimeRange::new(at(0), at(48))).await;
    for (spans, hour) in arrivals.iter().zip(2..) {
        let kill = |replica| Kill {
            replica,
            breaths: 20,
        };
        let request = Request {
            replica: 0,
            spans: spans.to_vec(),
        };
        let step = Step {
            now: at(hour),
            requests: vec![request],
            turns: (0..REPLICAS).collect(),
            kills: (0..REPLICAS).map(kill).collect(),
        };
        world.take(step).await;
        world.settle(at(hour) + HOUR / 2).await;
    }
    let end = world.settle(at(24)).await;
    check(&world, &verdicts(&arrivals.concat(), end), "found").await;
}

#[tokio::test]
async fn a_pause_that_is_told_of_after_the_timeout_makes_a_late_end_good() {
    let mut order = story("exports", 1);
    order.tell("start", 0, SECOND);
    order.tell("finish", 0, 100 * SECOND);
    order.tell("pause", 10 * SECOND, 60 * SECOND);
    let [start, finish, pause] = [0, 1, 2].map(|nth| &order.spans[nth..=nth]);
    equals_the_oracle(&[start, finish, pause]).await;
    equals_the_oracle(&[pause, start, finish]).await;
}

#[tokio::test]
async fn a_deadline_at_the_very_start_of_a_pause_lasts_as_long_as_the_pause() {
    let mut order = story("exports", 1);
    order.tell("start", 0, SECOND);
    order.tell("pause", 60 * SECOND, 90 * SECOND);
    order.tell("finish", 0, 90 * SECOND);
    let mut silent = story("exports", 2);
    silent.tell("start", 0, SECOND);
    silent.tell("pause", 60 * SECOND, 90 * SECOND);
    equals_the_oracle(&[&[order.spans, silent.spans].concat()]).await;
}

#[tokio::test]
async fn messages_that_were_orphans_start_when_their_publication_comes_last() {
    let mut batch = story("batch", 1);
    let publication = batch.tell("start", 0, SECOND);
    add(publication, "messaging.batch.message_count", 3);
    add(publication, "customer", "acme");
    let context = Place::from(&*publication);
    let mut handled = story("batch", 2);
    for (message, took) in [("m1", 30), ("m2", 90)] {
        let finish = handled.tell("finish", 0, took * SECOND);
        add(finish, "messaging.message.id", message);
        add(finish, "customer", "globex");
        link(finish, context);
    }
    equals_the_oracle(&[&handled.spans[..1], &handled.spans[1..], &batch.spans]).await;
}

#[tokio::test]
async fn a_circle_that_is_closed_by_the_last_span_is_still_one_workflow() {
    let mut start = story("chain", 1);
    start.tell("start", 0, SECOND);
    let mut hop = story("chain", 2);
    hop.tell("hop", SECOND, SECOND);
    let mut end = story("chain", 3);
    end.tell("finish", SECOND, 30 * SECOND);
    link(&mut end.spans[0], hop.root());
    link(&mut hop.spans[0], start.root());
    link(&mut hop.spans[0], end.root());
    equals_the_oracle(&[&start.spans, &end.spans, &hop.spans]).await;
}

#[tokio::test]
async fn a_copy_of_an_attempt_that_failed_outweighs_the_one_that_did_not() {
    let mut attempt = story("attempt", 1);
    attempt.tell("finish", 0, 10 * SECOND);
    let mut copy = attempt.spans[0].clone();
    copy.status = SpanStatus::Error;
    copy.end_unix_nano += 50_000_000_000;
    equals_the_oracle(&[&attempt.spans, &[copy]]).await;
}
