//! Workflows of all shapes.

use std::collections::BTreeMap;

use rand::{
    Rng as _,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use throughline::domain::model::{
    ids::TraceId,
    span::{Span, SpanStatus},
    time::Timestamp,
};

use super::{
    contract::{ALL, Grouping, Identity, Opening, Sampling},
    evidence::{end_is_kept, role},
    story::{Place, Story, add, add_to_link, link},
};

const SECOND: i64 = 1_000_000;
const MESSAGE_ID: &str = "messaging.message.id";
/// The share of spans that never arrive.
const LOST: f64 = 0.06;

/// A source of workflows. No two of them share a trace.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    pub(super) random: &'a mut StdRng,
    pub(super) traces: u64,
    /// Ends come so many microseconds too late at most.
    pub(super) latest: i64,
}

impl Shapes<'_> {
    /// What is left of one workflow that started at `start`, of any SLO, or of some in one batch.
    pub(super) fn workflow(&mut self, start: Timestamp) -> Vec<Span> {
        let mut story = Story {
            contract: ALL.choose(self.random).unwrap(),
            trace_id: self.trace(),
            start: start.as_micros(),
            spans: Vec::new(),
            numbers: 0,
        };
        let is_batch = self.random.random_ratio(1, 4);
        match (story.contract.identity, story.contract.legs) {
            (Identity::Span, _) => self.attempts(&mut story),
            (_, Some(_)) => self.legs(&mut story),
            (Identity::Message, None) => self.messages(&mut story),
            (Identity::Links, None) if is_batch => self.fan_in(&mut story),
            (Identity::Links, None) if self.random.random() => self.publishes(&mut story),
            (Identity::Links, None) => self.chain(&mut story),
            (Identity::Order, None) if is_batch => self.orders_in_one(&mut story),
            (Identity::Order | Identity::Trace, None) => self.usual(&mut story),
        }
        self.sample(&mut story);
        story.spans.retain(|_| !self.random.random_bool(LOST));
        story.spans
    }

    fn trace(&mut self) -> TraceId {
        let mut trace_id = [0; 16];
        self.traces += 1;
        trace_id[..8].copy_from_slice(&self.traces.to_be_bytes());
        trace_id[8..].copy_from_slice(&self.random.random::<u64>().to_be_bytes());
        TraceId::from_slice(&trace_id).unwrap()
    }

    fn any<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(self.random).unwrap()
    }

    fn usual(&mut self, story: &mut Story) {
        self.start(story);
        self.end(story);
        self.pause(story);
        self.say(story);
    }

    /// Some starts are never told of, and some twice, as when a click is.
    fn start(&mut self, story: &mut Story) {
        for _ in 0..self.any(&[1, 1, 1, 1, 1, 1, 2, 0]) {
            let at = self.random.random_range(0..2) * SECOND;
            story.tell("start", at, at + 1_000);
        }
        self.steps(story);
    }

    /// Early, in the middle or after the end.
    fn steps(&mut self, story: &mut Story) {
        if story.contract.opening == Opening::None {
            return;
        }
        for _ in 0..self.any(&[0, 1, 2]) {
            let at = self.random.random_range(0..90 * SECOND);
            let at = self.any(&[0, SECOND, at]);
            story.tell("step", at, at + SECOND);
        }
    }

    fn end(&mut self, story: &mut Story) {
        let within = story.contract.within * SECOND;
        let soon = self.random.random_range(1_000..within);
        let later = within + self.random.random_range(0..self.latest);
        let any = self.any(&[soon, later]);
        match self.random.random_range(0..12) {
            0..=3 => drop(story.tell("finish", 0, soon)),
            4 => drop(story.tell("finish", within, later)),
            // To the microsecond, and a whole second off.
            5 => drop(story.tell("finish", 0, within + self.random.random_range(-1..=1))),
            6 => drop(story.tell("dead letter", any, any)),
            7 => drop(story.tell("cancel", any, any)),
            8 => {
                // An attempt that fails, one that does not, and a message that is delivered again.
                story.tell("finish", 0, soon / 2).status = SpanStatus::Error;
                story.tell("finish", soon / 2, any);
                story.tell("finish", any, later + within);
            }
            9 => {
                story.tell("dead letter", 0, soon);
                story.tell("cancel", soon, any);
                if self.random.random() {
                    story.tell("finish", later, later);
                }
            }
            // The clock of whoever ends it is behind.
            10 => {
                let at = -self.random.random_range(0..3 * SECOND);
                let role = self.any(&["finish", "dead letter", "cancel"]);
                story.tell(role, at, at);
            }
            _ => {}
        }
    }

    fn pause(&mut self, story: &mut Story) {
        for _ in 0..self.any(&[0, 0, 0, 1, 1, 2, 4]) {
            let from = self.random.random_range(-60..300) * SECOND;
            let length = self.random.random_range(0..200) * SECOND;
            story.tell("pause", from, from + length);
        }
    }

    /// Who it is for stands on some of its spans.
    fn say(&mut self, story: &mut Story) {
        let customer = format!("customer-{}", self.random.random_range(0..7));
        let kind = self.any(&["new", "change", "return"]);
        let order = format!("order-{}", story.trace_id);
        for span in &mut story.spans {
            if story.contract.identity == Identity::Order && span.links.is_empty() {
                add(span, "order.id", order.as_str());
                span.trace_id = TraceId::from_slice(&self.random.random::<[u8; 16]>()).unwrap();
            }
            if self.random.random_bool(0.7) {
                add(span, "customer", customer.as_str());
            }
            if story.contract.grouping == Grouping::Kind && self.random.random_bool(0.6) {
                add(span, "kind", kind);
            }
        }
    }

    /// Every finish is an event. Some clients send a span again with another end or status.
    fn attempts(&mut self, story: &mut Story) {
        let within = story.contract.within * SECOND;
        for _ in 0..self.random.random_range(1..4) {
            let took = within + self.any(&[-SECOND, -1, 0, 1, self.latest]);
            let is_error = self.random.random_ratio(1, 4);
            let attempt = story.tell("finish", 0, took);
            if is_error {
                attempt.status = SpanStatus::Error;
            }
            let mut copy = attempt.clone();
            if self.random.random_ratio(1, 5) {
                copy.status = self.any(&[SpanStatus::Ok, SpanStatus::Error]);
                copy.end_unix_nano += self.any(&[0, 5_000_000_000]);
                story.spans.push(copy);
            }
        }
        self.say(story);
    }

    /// Legs that are done, done again or lost, and somewhere how many there are.
    fn legs(&mut self, story: &mut Story) {
        self.start(story);
        let legs = self.random.random_range(0..5);
        for leg in 0..legs {
            let from = story.spans.len();
            self.end(story);
            for span in &mut story.spans[from..] {
                add(span, "leg", format!("leg-{leg}").as_str());
            }
        }
        self.pause(story);
        for span in &mut story.spans {
            let says = self.random.random_ratio(1, 3);
            // More than were known at first, and fewer than there turn out to be.
            let known = self.any(&[legs, legs, legs, legs - 1, legs + 1]).max(0);
            if says {
                add(span, "legs", known);
            }
        }
        self.say(story);
    }

    /// Every span but the start is of another trace, or of a child, or of both.
    fn chain(&mut self, story: &mut Story) {
        self.usual(story);
        let root = story.root();
        let (starts, ends): (Vec<Span>, Vec<Span>) = std::mem::take(&mut story.spans)
            .into_iter()
            .partition(|span| role(story.contract, span) == Some("start"));
        story.spans = starts;
        for mut end in ends {
            let last = self.hops(story, root);
            self.descend(&mut end, last);
            story.spans.push(end);
        }
    }

    /// From trace to trace; returns the last span.
    fn hops(&mut self, story: &mut Story, from: Place) -> Place {
        let mut last = from;
        let mut hops = Vec::new();
        for _ in 0..self.random.random_range(0..3) {
            let mut trace = story.another(self.trace());
            let hop = trace.tell("hop", SECOND, SECOND);
            link(hop, last);
            last = Place::from(&*hop);
            if self.random.random() {
                // Its publish may be selected as well: it passes work on.
                let role = self.any(&["send", "send", "start"]);
                let sent = trace.tell(role, SECOND, SECOND);
                sent.parent_span_id = Some(last.span_id);
                last = Place::from(&*sent);
            }
            hops.extend(trace.spans);
        }
        // A link back makes a circle, which leads nowhere. Nobody can say which start in it is first.
        let is_start = |span: &Span| role(story.contract, span) == Some("start");
        let is_circle = self.random.random_ratio(1, 10) && !hops.iter().any(is_start);
        if let (Some(first), true) = (hops.first_mut(), is_circle) {
            link(first, last);
        }
        story.spans.extend(hops);
        last
    }

    fn descend(&mut self, span: &mut Span, from: Place) {
        let (is_child, is_linked) = self.any(&[(true, false), (false, true), (true, true)]);
        if is_child {
            span.trace_id = from.trace_id;
            span.parent_span_id = Some(from.span_id);
            // Apart from all others of its trace.
            let number = self.random.random_range(1_000..u64::MAX);
            span.span_id =
                throughline::domain::model::ids::SpanId::from_slice(&number.to_be_bytes()).unwrap();
        } else {
            span.trace_id = self.trace();
        }
        if is_linked {
            link(span, from);
        }
    }

    /// A request publishes several messages, which end one by one. Some libraries hand on the context
    /// of the request instead of the publish.
    fn publishes(&mut self, story: &mut Story) {
        story.tell("request", 0, SECOND);
        let root = story.root();
        for _ in 0..self.random.random_range(1..5) {
            let publish = story.tell("start", 1_000, 2_000);
            publish.parent_span_id = Some(root.span_id);
            let mut publish = Place::from(&*publish);
            if self.random.random_ratio(1, 4) {
                // A span inside it tells of the same message.
                let send = story.tell("start", 1_000, 2_000);
                send.parent_span_id = Some(publish.span_id);
                publish = Place::from(&*send);
            }
            let context = self.any(&[publish, publish, publish, publish, root]);
            let mut one = story.another(self.trace());
            self.end(&mut one);
            self.say(&mut one);
            for mut end in one.spans {
                let last = self.hops(story, context);
                self.descend(&mut end, last);
                story.spans.push(end);
            }
        }
    }

    /// One span ends several workflows that it links to.
    fn fan_in(&mut self, story: &mut Story) {
        let mut batch = story.another(self.trace());
        let end = self.random.random_range(SECOND..90 * SECOND);
        let finish = batch.tell("finish", end, end);
        for _ in 0..self.random.random_range(2..6) {
            let mut one = story.another(self.trace());
            one.start -= self.random.random_range(0..60 * SECOND);
            self.start(&mut one);
            self.say(&mut one);
            let root = one.root();
            let last = self.hops(&mut one, root);
            link(finish, last);
            story.spans.extend(one.spans);
        }
        self.lose_links(&mut batch.spans[0], 0);
        story.spans.extend(batch.spans);
    }

    /// Some senders have no room for all links. `kept` stay in any case.
    fn lose_links(&mut self, span: &mut Span, kept: usize) {
        if self.random.random_ratio(1, 3) && span.links.len() > kept {
            let left = self.random.random_range(kept..span.links.len());
            span.dropped_links_count = u32::try_from(span.links.len() - left).unwrap();
            span.links.truncate(left);
        }
    }

    /// The same, where links name the workflow.
    fn orders_in_one(&mut self, story: &mut Story) {
        let mut batch = story.another(self.trace());
        let end = self.random.random_range(SECOND..90 * SECOND);
        let role = self.any(&["finish", "finish", "dead letter"]);
        let finish = batch.tell(role, end, end);
        for _ in 0..self.random.random_range(2..6) {
            let mut one = story.another(self.trace());
            one.start -= self.random.random_range(0..60 * SECOND);
            self.start(&mut one);
            self.say(&mut one);
            let id = format!("order-{}", one.trace_id);
            add_to_link(link(finish, one.root()), "order.id", &id);
            story.spans.extend(one.spans);
        }
        // What has a single link is not taken for a batch.
        self.lose_links(&mut batch.spans[0], 2);
        story.spans.extend(batch.spans);
    }

    /// Messages that one span published: some are handled one by one, some together, some never.
    fn messages(&mut self, story: &mut Story) {
        let published = self.random.random_range(1..6);
        let start = story.tell("start", 0, 1_000);
        add(start, "messaging.batch.message_count", published);
        self.say(story);
        let root = story.root();
        let mut together = story.another(self.trace());
        let end = self.random.random_range(SECOND..90 * SECOND);
        together.tell("finish", end, end);
        for message in 0..self.random.random_range(0..=published + 1) {
            let id = format!("m{message}");
            if self.random.random_ratio(1, 3) {
                add_to_link(link(&mut together.spans[0], root), MESSAGE_ID, &id);
                continue;
            }
            let mut one = story.another(self.trace());
            self.end(&mut one);
            self.pause(&mut one);
            self.say(&mut one);
            for span in &mut one.spans {
                self.receive(span, root, &id);
            }
            story.spans.extend(one.spans);
        }
        if !together.spans[0].links.is_empty() {
            self.lose_links(&mut together.spans[0], 1);
            story.spans.extend(together.spans);
        }
    }

    /// The id stands on the link, or on the span, which may be a child instead.
    fn receive(&mut self, span: &mut Span, publication: Place, id: &str) {
        match self.random.random_range(0..3) {
            0 => add_to_link(link(span, publication), MESSAGE_ID, id),
            1 => {
                add(span, MESSAGE_ID, id);
                link(span, publication);
            }
            _ => {
                add(span, MESSAGE_ID, id);
                self.descend(span, publication);
                if span.links.is_empty() && span.parent_span_id.is_none() {
                    link(span, publication);
                }
            }
        }
    }

    /// Samplers drop what they do not keep, by the randomness of the trace.
    fn sample(&mut self, story: &mut Story) {
        if story.contract.sampling == Sampling::None {
            return;
        }
        let says: BTreeMap<&str, &str> = BTreeMap::from([
            ("start", "ot=th:8"),
            ("finish", "ot=th:c"),
            ("dead letter", "ot=th:c"),
            ("cancel", "ot=th:c"),
        ]);
        for span in &mut story.spans {
            if let Some(said) = role(story.contract, span).and_then(|role| says.get(role)) {
                (*said).clone_into(&mut span.trace_state);
            }
        }
        let start_is_kept = story.trace_id.as_bytes()[9] >= 0x80;
        story.spans.retain(|span| match span.trace_state.as_str() {
            "ot=th:8" => start_is_kept,
            "ot=th:c" => end_is_kept(span),
            _ => true,
        });
        story.spans.shuffle(self.random);
    }
}
