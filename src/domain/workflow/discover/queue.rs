//! The queues of a flow, and queues whose messages contain the start time of their work.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    flow::{FlowRun, FoundFlow},
    graph::{MessageConnection, SpanGraph},
    message::{MessageRole, StepKey},
    times::StartAttribute,
};
use crate::domain::workflow::shapes::StoredSpan;

/// The minimum number of spans.
const LEAST_SPANS: usize = 3;

/// Messages from one service to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueHop {
    /// The queue or topic; the name of the consumer's spans if they do not name it.
    pub queue: String,
    /// Empty if the service has no name.
    pub from: String,
    pub to: String,
    /// Messages observed at both ends.
    pub messages: usize,
    /// The ways in which the ends are connected, with the number of messages for each.
    pub connected: Vec<(MessageConnection, usize)>,
}

/// Spans that process the messages of one queue and contain the start time of the work.
#[derive(Debug)]
pub(super) struct TimedQueue<'s> {
    pub(super) step: StepKey,
    pub(super) spans: Vec<&'s StoredSpan>,
    /// The spans of complete traces.
    pub(super) whole: usize,
    pub(super) started_at: StartAttribute,
}

#[derive(Debug, Default)]
struct HopCount {
    messages: usize,
    connected: BTreeMap<MessageConnection, usize>,
    /// The sum of the times from the start of the run to the consumer.
    after: Duration,
}

/// Returns the queues of finished runs, in their order.
pub(super) fn hops(graph: &SpanGraph<'_>, flow: &FoundFlow) -> Vec<QueueHop> {
    let mut counts: BTreeMap<(usize, usize), HopCount> = BTreeMap::new();
    for run in flow.runs.iter().filter(|run| run.finish.is_some()) {
        count_hops(graph, run, &mut counts);
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| {
        let messages = u32::try_from(count.messages).unwrap_or(u32::MAX);
        count.after / messages.max(1)
    });
    let hops = counts
        .into_iter()
        .filter_map(|((sender, consumer), count)| {
            let (sender, consumer) = (graph.steps.get(sender)?, graph.steps.get(consumer)?);
            Some(QueueHop {
                queue: consumer.label().to_owned(),
                from: sender.service.clone(),
                to: consumer.service.clone(),
                messages: count.messages,
                connected: count.connected.into_iter().collect(),
            })
        });
    hops.collect()
}

fn count_hops(
    graph: &SpanGraph<'_>,
    run: &FlowRun,
    counts: &mut BTreeMap<(usize, usize), HopCount>,
) {
    let started = graph.node(run.start).map(|node| node.from);
    for at in run.reached.iter() {
        let Some(consumer) = graph.node(*at) else {
            continue;
        };
        for passing in graph.passings(*at) {
            let is_of_run = passing.sender == run.start || run.reached.contains(&passing.sender);
            let sender = graph.node(passing.sender).filter(|_| is_of_run);
            let Some(sender) = sender else { continue };
            let count = counts.entry((sender.step, consumer.step)).or_default();
            count.messages += 1;
            let after = started.map(|started| consumer.from.saturating_since(started));
            count.after += after.unwrap_or_default();
            for how in &passing.how {
                *count.connected.entry(how.clone()).or_default() += 1;
            }
        }
    }
}

/// Returns the queues whose messages contain the start time of their work, the most frequent first.
pub(super) fn with_start_time<'s>(graph: &SpanGraph<'s>) -> Vec<TimedQueue<'s>> {
    let mut by_step: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in graph.with_role(|role| role == Some(MessageRole::Process)) {
        if let Some(node) = graph.node(at) {
            by_step.entry(node.step).or_default().push(at);
        }
    }
    let queues = by_step.into_iter().filter_map(|(step, places)| {
        let nodes = places.iter().filter_map(|at| graph.node(*at));
        let whole = nodes.clone().filter(|node| node.is_whole).count();
        let spans: Vec<&StoredSpan> = nodes.map(|node| node.stored).collect();
        let started_at = StartAttribute::of(&spans)?;
        (spans.len() >= LEAST_SPANS).then_some(TimedQueue {
            step: graph.steps.get(step)?.clone(),
            spans,
            whole,
            started_at,
        })
    });
    let mut queues: Vec<TimedQueue<'_>> = queues.collect();
    queues.sort_by_key(|queue| std::cmp::Reverse(queue.spans.len()));
    queues
}

/// Returns the queues by name, once each.
pub(super) fn names(hops: &[QueueHop]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let names = hops.iter().map(|hop| hop.queue.as_str());
    names.filter(|name| seen.insert(*name)).collect()
}
