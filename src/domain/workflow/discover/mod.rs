//! Discovery of flows that pass through queues in a sample of traces, with a draft definition for
//! each.
//!
//! Spans are connected from cause to effect: parents, span links, and ids that a sender and a
//! consumer of the same queue have in common ([`graph`]). A flow begins with a span that sends a
//! message without having followed from another one, and ends with the consumers that no other
//! follows ([`flow`]). Traces that only an id joins are also a flow. For a queue whose messages
//! contain the start time of their work, a single span is sufficient.
//!
//! A proposal is the text of a valid definition. Each choice has a comment with its reason, since a
//! person should check it.

mod correlation;
mod endings;
mod flow;
mod graph;
mod message;
mod proposal;
mod queue;
mod states;
mod times;
mod yaml;

use std::{collections::BTreeSet, time::Duration};

pub use graph::MessageConnection;
pub use queue::QueueHop;
pub use times::FlowDurations;

use self::{graph::SpanGraph, message::StepKey, proposal::Proposer};
use super::shapes::{StoredSpan, TraceSample};
use crate::domain::{
    model::{ids::Name, time::Timestamp},
    slo::{Catalog, Indicator},
    traceql::{Selector, SelectorContext},
};

/// The limit of proposed flows, so that a page stays readable.
const MAX_PROPOSED: usize = 20;

/// The flows that were found in the spans of the last hour.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    pub traces: usize,
    pub spans: usize,
    /// One in this many traces is in the sample.
    pub one_in: u64,
    /// The time that the sample covers.
    pub covered: Duration,
    /// Flows through queues first, then those that only an id joins, then single queues.
    pub flows: Vec<ProposedFlow>,
}

/// A flow, and a definition of an SLO for it.
#[derive(Clone, Debug)]
pub struct ProposedFlow {
    pub name: Name,
    pub title: String,
    /// The queues that it passes through, in their order.
    pub hops: Vec<QueueHop>,
    /// The number of observed starts.
    pub started: usize,
    /// The estimated number of starts in an hour.
    pub per_hour: f64,
    /// The share of finished runs, among those that had enough time.
    pub finished_ratio: f64,
    pub durations: FlowDurations,
    /// The proposed time limit.
    pub within: Duration,
    /// The definition.
    pub yaml: String,
    /// An SLO that counts this flow already.
    pub counted_by: Option<Name>,
}

/// Proposes a definition for each flow of the sample. `catalog` contains the active definitions.
pub fn discover(sample: &TraceSample, catalog: &Catalog, now: Timestamp) -> Discovery {
    let graph = SpanGraph::new(sample);
    let covered = sample
        .since
        .map_or(Duration::ZERO, |since| now.saturating_since(since));
    let mut proposer = Proposer {
        graph: &graph,
        catalog,
        names: catalog.slos.keys().cloned().collect(),
        one_in: sample.one_in(),
        covered,
    };
    let found = flow::through_queues(&graph, now);
    let joined = flow::by_id(&graph, now);
    let mut ends = BTreeSet::new();
    let mut flows = Vec::new();
    for flow in found.iter().chain(&joined) {
        if let Some(proposed) = proposer.workflow(flow) {
            ends.insert(flow.finish.clone());
            flows.push(proposed);
        }
    }
    let queues = queue::with_start_time(&graph);
    let others = queues.iter().filter(|queue| !ends.contains(&queue.step));
    flows.extend(others.filter_map(|queue| proposer.one_span(queue)));
    flows.truncate(MAX_PROPOSED);
    Discovery {
        traces: sample.traces,
        spans: sample.spans.len(),
        one_in: sample.one_in(),
        covered,
        flows,
    }
}

fn share(part: usize, all: u32) -> f64 {
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    f64::from(part) / f64::from(all.max(1))
}

/// Returns the active SLO that counts workflows with these start and end spans or, without a start,
/// that counts one of the spans as an event.
fn counted_by(catalog: &Catalog, start: Option<&StoredSpan>, ends: &[&StoredSpan]) -> Option<Name> {
    let matches = |selector: &Selector, stored: &StoredSpan| {
        selector.matches(stored.span(), SelectorContext::default())
    };
    let ends_with = |selector: &Selector| ends.iter().any(|end| matches(selector, end));
    let mut slos = catalog.slos.values();
    let found = slos.find(|slo| match (&slo.indicator, start) {
        (Indicator::Workflow(workflow), Some(start)) => {
            matches(&workflow.start, start) && ends_with(&workflow.finish)
        }
        (Indicator::Span(event), None) => ends_with(&event.matches),
        (Indicator::Workflow(_), None) | (Indicator::Span(_), Some(_)) => false,
    });
    found.map(|slo| slo.name.clone())
}

/// Returns an unused name such as `orders-to-notifications`.
fn free_name(words: &[&str], taken: &mut BTreeSet<Name>) -> Option<Name> {
    let slug = slug(&words.join(" "));
    let numbered = (1..=taken.len() + 1).map(|number| match number {
        1 => slug.clone(),
        number => format!("{slug}-{number}"),
    });
    let mut names = numbered.filter_map(|name| name.parse::<Name>().ok());
    let name = names.find(|name| !taken.contains(name))?;
    taken.insert(name.clone());
    Some(name)
}

/// Returns lower-case letters and digits with single hyphens between, short enough to append a
/// number.
fn slug(text: &str) -> String {
    const MAX: usize = 56;
    let mut slug = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(MAX);
    match slug.trim_end_matches('-') {
        "" => "flow".to_owned(),
        slug => slug.to_owned(),
    }
}

/// Returns a name of a step for people: its queue or the name of its spans, and its service.
fn step_text(step: &StepKey) -> String {
    match step.service.as_str() {
        "" => format!("`{}`", step.label()),
        service => format!("`{}` of `{service}`", step.label()),
    }
}
