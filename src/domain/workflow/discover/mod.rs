//! Flows that pass through queues, found in a sample of traces, and a definition for each.
//!
//! Spans are connected from cause to effect: parents, span links, and ids that a sender and a consumer
//! of the same queue have in common ([`graph`]). A flow begins with a span that sends a message
//! without having followed from another one, and ends with the consumers behind which no other
//! follows ([`flow`]). Traces that only an id joins are a flow too. Of a queue whose messages say when
//! their work began a single span is enough.
//!
//! A proposal is the text of a definition that loads as it is. Each choice stands behind a comment
//! with its reason, since a person is to check it.

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

/// The limit of flows that are proposed, so that a page can be read.
const MAX_PROPOSED: usize = 20;

/// What was found in the spans of the last hour.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    pub traces: usize,
    pub spans: usize,
    /// One in so many traces is in the sample.
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
    /// How often it was seen to begin.
    pub started: usize,
    /// How often it begins in an hour, as far as the sample shows.
    pub per_hour: f64,
    /// The share of runs that finished, of those that had the time for it.
    pub finished_ratio: f64,
    pub durations: FlowDurations,
    /// The time limit that is proposed.
    pub within: Duration,
    /// The definition.
    pub yaml: String,
    /// An SLO that counts this flow already.
    pub counted_by: Option<Name>,
}

/// Proposes a definition for each flow of the sample. `catalog` is what is in force.
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

/// Returns the SLO in force that counts what starts and ends with these spans; without a start, that
/// takes one of the spans for an event.
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

/// Returns a name like `orders-to-notifications` that is not taken.
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

/// Returns lower-case letters and digits with single hyphens between, with room for a number.
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

/// Returns what a person calls a step: its queue or the name of its spans, and its service.
fn step_text(step: &StepKey) -> String {
    match step.service.as_str() {
        "" => format!("`{}`", step.label()),
        service => format!("`{}` of `{service}`", step.label()),
    }
}
