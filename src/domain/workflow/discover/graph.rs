//! The spans of a sample of traces, connected from cause to effect.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{MessageRole, StepKey, destination_of};
use crate::domain::{
    model::{ids::TraceId, span::SpanRef, time::Timestamp},
    workflow::shapes::{StoredSpan, TraceSample, is_id_key},
};

/// The limit of spans with one id that count as senders of a message. An id that more spans have
/// names something else.
const MAX_SENDERS: usize = 4;
/// The limit of spans that are followed in one run of a flow.
const MAX_REACHED: usize = 500;
const MESSAGE_IDS: [&str; 2] = ["messaging.message.id", "messaging.message_id"];

/// One span of the sample.
#[derive(Debug)]
pub(super) struct SpanNode<'s> {
    pub(super) stored: &'s StoredSpan,
    pub(super) is_whole: bool,
    /// The index of its step in [`SpanGraph::steps`].
    pub(super) step: usize,
    pub(super) role: Option<MessageRole>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// The way in which a consumer's span identifies its message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageConnection {
    /// It is a child of the sender's span, or in the same trace.
    Trace,
    Link,
    MessageId,
    /// An attribute that has the same value on both spans.
    Attribute(String),
}

impl MessageConnection {
    fn by_id(key: &str) -> Self {
        if MESSAGE_IDS.contains(&key) {
            Self::MessageId
        } else {
            Self::Attribute(key.to_owned())
        }
    }
}

/// A message that was sent and received.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) sender: usize,
    pub(super) how: BTreeSet<MessageConnection>,
}

/// A value that a sender and a consumer of the same message share without any context.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MessageKey {
    queue: String,
    /// The attribute, and its value.
    id: String,
    value: String,
}

#[derive(Debug, Default)]
pub(super) struct SpanGraph<'s> {
    pub(super) nodes: Vec<SpanNode<'s>>,
    pub(super) steps: Vec<StepKey>,
    sample: Option<&'s TraceSample>,
    next: Vec<BTreeSet<usize>>,
    /// The received messages, by the consumer's span.
    passings: BTreeMap<usize, Vec<Passing>>,
}

impl<'s> SpanGraph<'s> {
    pub(super) fn new(sample: &'s TraceSample) -> Self {
        let mut graph = Self {
            sample: Some(sample),
            ..Self::default()
        };
        let mut steps: BTreeMap<StepKey, usize> = BTreeMap::new();
        for traced in &sample.spans {
            let key = StepKey::of(&traced.span);
            let next = steps.len();
            let span = traced.span.span();
            let from = Timestamp::from_unix_nanos(span.start_unix_nano);
            graph.nodes.push(SpanNode {
                stored: &traced.span,
                is_whole: traced.is_whole,
                role: key.role,
                step: *steps.entry(key).or_insert(next),
                from,
                to: from.max(Timestamp::from_unix_nanos(span.end_unix_nano)),
            });
        }
        let mut keys: Vec<(StepKey, usize)> = steps.into_iter().collect();
        keys.sort_by_key(|(_, at)| *at);
        graph.steps = keys.into_iter().map(|(key, _)| key).collect();
        graph.next = vec![BTreeSet::new(); graph.nodes.len()];
        graph.connect_by_reference();
        graph.connect_within_traces();
        graph.connect_across_gaps();
        graph.connect_by_ids();
        graph
    }

    pub(super) fn node(&self, at: usize) -> Option<&SpanNode<'s>> {
        self.nodes.get(at)
    }

    /// Returns the ids of a span by which other traces may be found, with their values.
    pub(super) fn joining_ids(&self, at: usize) -> impl Iterator<Item = (String, String)> {
        let ids = self.node(at).map(|node| ids(node.stored));
        let is_kept = |(key, value): &(String, String)| {
            self.sample
                .is_some_and(|sample| sample.keeps_id(key, value))
        };
        ids.into_iter().flatten().filter(is_kept)
    }

    pub(super) fn passings(&self, consumer: usize) -> &[Passing] {
        self.passings.get(&consumer).map_or(&[], Vec::as_slice)
    }

    /// Returns the spans that followed from this one, excluding itself.
    pub(super) fn reached_from(&self, at: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<usize> = self.after(at).collect();
        while let Some(next) = open.pop() {
            if next != at && reached.len() < MAX_REACHED && reached.insert(next) {
                open.extend(self.after(next));
            }
        }
        reached
    }

    /// Returns the consumers' spans that no other consumer follows.
    pub(super) fn last_consumers(&self) -> BTreeSet<usize> {
        let mut before: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, next) in self.next.iter().enumerate() {
            for after in next {
                before.entry(*after).or_default().push(at);
            }
        }
        let before = |at: usize| before.get(&at).into_iter().flatten().copied();
        let consumers = || {
            self.with_role(|role| role.is_some())
                .filter(|at| self.is_consumer(*at))
        };
        let mut followed = BTreeSet::new();
        let mut open: Vec<usize> = consumers().flat_map(before).collect();
        while let Some(at) = open.pop() {
            if followed.insert(at) {
                open.extend(before(at));
            }
        }
        consumers().filter(|at| !followed.contains(at)).collect()
    }

    /// Returns the spans that send a message and did not follow from another message.
    pub(super) fn sources(&self) -> Vec<usize> {
        let messages = self.with_role(|role| role.is_some());
        let mut followed = BTreeSet::new();
        let mut open: Vec<usize> = messages.flat_map(|at| self.after(at)).collect();
        while let Some(next) = open.pop() {
            if followed.insert(next) {
                open.extend(self.after(next));
            }
        }
        let senders = self.with_role(|role| role == Some(MessageRole::Send));
        senders.filter(|at| !followed.contains(at)).collect()
    }

    pub(super) fn with_role(
        &self,
        wanted: impl Fn(Option<MessageRole>) -> bool,
    ) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(move |(_, node)| wanted(node.role))
            .map(|(at, _)| at)
    }

    pub(super) fn is_consumer(&self, at: usize) -> bool {
        self.node(at)
            .is_some_and(|node| matches!(node.role, Some(role) if role != MessageRole::Send))
    }

    fn after(&self, at: usize) -> impl Iterator<Item = usize> {
        self.next.get(at).into_iter().flatten().copied()
    }

    fn connect(&mut self, before: usize, after: usize, how: MessageConnection) {
        if before == after {
            return;
        }
        if let Some(next) = self.next.get_mut(before) {
            next.insert(after);
        }
        let is_sender = self
            .node(before)
            .is_some_and(|node| node.role == Some(MessageRole::Send));
        if !is_sender || !self.is_consumer(after) {
            return;
        }
        let passings = self.passings.entry(after).or_default();
        match passings.iter_mut().find(|one| one.sender == before) {
            Some(known) => {
                known.how.insert(how);
            }
            None => passings.push(Passing {
                sender: before,
                how: BTreeSet::from([how]),
            }),
        }
    }

    fn connect_by_reference(&mut self) {
        let at = |(at, node): (usize, &SpanNode<'_>)| (node.stored.id(), at);
        let places: BTreeMap<SpanRef, usize> = self.nodes.iter().enumerate().map(at).collect();
        let mut found = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let span = node.stored.span();
            let parent = span.parent_span_id.map(|span_id| SpanRef {
                trace_id: span.trace_id,
                span_id,
            });
            let parent = parent.and_then(|parent| places.get(&parent));
            found.extend(parent.map(|parent| (*parent, at, MessageConnection::Trace)));
            let links = span.links.iter();
            let targets = links.filter_map(|link| {
                places.get(&SpanRef {
                    trace_id: link.trace_id?,
                    span_id: link.span_id?,
                })
            });
            found.extend(targets.map(|target| (*target, at, MessageConnection::Link)));
        }
        for (before, after, how) in found {
            self.connect(before, after, how);
        }
    }

    /// Connects messages within traces. Some libraries propagate the context of the span around the
    /// one that sends.
    fn connect_within_traces(&mut self) {
        let mut senders: BTreeMap<(TraceId, String), Vec<usize>> = BTreeMap::new();
        for at in self.with_role(|role| role == Some(MessageRole::Send)) {
            if let Some(place) = self.queue_of(at) {
                senders.entry(place).or_default().push(at);
            }
        }
        let consumers: Vec<usize> = self.with_role(|role| role.is_some()).collect();
        for at in consumers {
            if !self.is_consumer(at) || !self.passings(at).is_empty() {
                continue;
            }
            let same = self.queue_of(at).and_then(|place| senders.get(&place));
            let before = same.into_iter().flatten().filter(|sender| {
                let starts = |at| self.node(at).map(|node| node.from);
                starts(**sender) <= starts(at)
            });
            let last = before.max_by_key(|sender| self.node(**sender).map(|node| node.from));
            if let Some(sender) = last.copied() {
                self.connect(sender, at, MessageConnection::Trace);
            }
        }
    }

    /// Connects incomplete traces, of which only the spans of messages are known: a message that
    /// was sent there is connected to the consumer before it, if the span between them is missing.
    fn connect_across_gaps(&mut self) {
        let known: BTreeSet<SpanRef> = self.nodes.iter().map(|node| node.stored.id()).collect();
        let mut consumers: BTreeMap<TraceId, Vec<usize>> = BTreeMap::new();
        let mut orphans = Vec::new();
        for at in self.with_role(|role| role.is_some()) {
            let Some(node) = self.node(at).filter(|node| !node.is_whole) else {
                continue;
            };
            let span = node.stored.span();
            let trace_id = span.trace_id;
            let is_missing = |span_id| !known.contains(&SpanRef { trace_id, span_id });
            if node.role != Some(MessageRole::Send) {
                consumers.entry(trace_id).or_default().push(at);
            } else if span.parent_span_id.is_some_and(is_missing) {
                orphans.push((trace_id, at));
            }
        }
        for (trace_id, at) in orphans {
            let starts = |at: usize| self.node(at).map(|node| node.from);
            let before = consumers.get(&trace_id).into_iter().flatten();
            let before = before.filter(|consumer| starts(**consumer) <= starts(at));
            let last = before.max_by_key(|consumer| starts(**consumer)).copied();
            if let Some(consumer) = last {
                self.connect(consumer, at, MessageConnection::Trace);
            }
        }
    }

    fn queue_of(&self, at: usize) -> Option<(TraceId, String)> {
        let span = self.node(at)?.stored.span();
        Some((span.trace_id, destination_of(span)?))
    }

    /// Connects messages without context by an id that both of their ends have.
    fn connect_by_ids(&mut self) {
        let mut senders: BTreeMap<MessageKey, Vec<usize>> = BTreeMap::new();
        for at in self.with_role(|role| role == Some(MessageRole::Send)) {
            for place in self.ids_of(at) {
                senders.entry(place).or_default().push(at);
            }
        }
        let mut found = Vec::new();
        for at in self.with_role(|role| role.is_some()) {
            if !self.is_consumer(at) {
                continue;
            }
            for place in self.ids_of(at) {
                let same = senders.get(&place).filter(|same| same.len() <= MAX_SENDERS);
                let how = MessageConnection::by_id(&place.id);
                let same = same.into_iter().flatten();
                found.extend(same.map(|sender| (*sender, at, how.clone())));
            }
        }
        for (sender, at, how) in found {
            let starts = |at| self.node(at).map(|node| node.from);
            if starts(sender) <= starts(at) {
                self.connect(sender, at, how);
            }
        }
    }

    /// Returns each id of a message.
    fn ids_of(&self, at: usize) -> Vec<MessageKey> {
        let Some(node) = self.node(at) else {
            return Vec::new();
        };
        let Some(queue) = destination_of(node.stored.span()) else {
            return Vec::new();
        };
        let ids = ids(node.stored).into_iter();
        ids.map(|(id, value)| MessageKey {
            queue: queue.clone(),
            id,
            value,
        })
        .collect()
    }
}

/// Returns the ids among the attributes of a span itself, with their values.
pub(super) fn ids(stored: &StoredSpan) -> BTreeMap<String, String> {
    let keys = stored.keys().filter(|key| is_id_key(key));
    keys.filter_map(|key| Some((key.to_owned(), stored.text_of(key)?)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}
