//! The correlation of a flow's runs: the choice of `correlate`, and of `customer`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    flow::FoundFlow,
    graph::{MessageConnection, SpanGraph, ids},
    message::span_attribute,
    share,
};
use crate::domain::{
    model::format,
    traceql::quoted_attribute,
    workflow::shapes::{StoredSpan, last_word},
};

/// The share of runs that must have the same id at both ends, or both ends in one trace.
const NEARLY_ALL: f64 = 0.95;
/// The share of runs that must have an id or a trace of their own.
const MOSTLY_UNIQUE: f64 = 0.9;
/// The share of spans that must name the customer.
const MOST: f64 = 0.8;
/// Words for customers, most specific first.
const CUSTOMER_WORDS: [&str; 12] = [
    "customer",
    "tenant",
    "account",
    "organization",
    "organisation",
    "org",
    "company",
    "merchant",
    "workspace",
    "subscriber",
    "user",
    "enduser",
];

/// The correlation of a flow's runs.
#[derive(Debug)]
pub(super) struct FlowCorrelation {
    /// The entry of `correlate`.
    pub(super) entry: String,
    /// The attribute, if it is one.
    pub(super) key: Option<String>,
    pub(super) reason: String,
}

/// Returns the most reliable correlation; `None` if none identifies the runs from end to end.
pub(super) fn correlation(graph: &SpanGraph<'_>, flow: &FoundFlow) -> Option<FlowCorrelation> {
    let keys = shared_ids(graph, flow);
    let is_of_message = |key: &&SharedId| key.key.starts_with("messaging.");
    let own = keys.iter().find(|key| !is_of_message(key));
    let by_message = keys.iter().find(is_of_message);
    let word = |entry: &str, reason: String| FlowCorrelation {
        entry: entry.to_owned(),
        key: None,
        reason,
    };
    own.map(SharedId::chosen)
        .or_else(|| one_trace(graph, flow).map(|reason| word("trace", reason)))
        .or_else(|| by_message.map(SharedId::chosen))
        .or_else(|| linked(graph, flow).map(|reason| word("links", reason)))
}

struct SharedId {
    key: String,
    equal: f64,
    steps: usize,
}

impl SharedId {
    fn chosen(&self) -> FlowCorrelation {
        FlowCorrelation {
            entry: quoted_attribute(&span_attribute(&self.key)),
            key: Some(self.key.clone()),
            reason: format!(
                "`{}` has the same value at both ends in {} of the runs, and another one in each",
                self.key,
                format::whole_percent(self.equal)
            ),
        }
    }
}

/// Returns the ids that both ends have, those first that most steps have.
fn shared_ids(graph: &SpanGraph<'_>, flow: &FoundFlow) -> Vec<SharedId> {
    let mut found: BTreeMap<String, (u32, BTreeSet<String>)> = BTreeMap::new();
    let mut pairs = 0_u32;
    for (start, finish) in flow.finished() {
        let (Some(start), Some(finish)) = (graph.node(start), graph.node(finish)) else {
            continue;
        };
        pairs += 1;
        let at_finish = ids(finish.stored);
        for (key, value) in ids(start.stored) {
            if at_finish.get(&key) == Some(&value) {
                let (equal, values) = found.entry(key).or_default();
                *equal += 1;
                values.insert(value);
            }
        }
    }
    let wanted = flow.joined_by.as_ref();
    let shared = found.into_iter().filter_map(|(key, (equal, values))| {
        let is_unique = share(values.len(), pairs) >= MOSTLY_UNIQUE;
        let equal = f64::from(equal) / f64::from(pairs.max(1));
        let is_id = is_unique && equal >= NEARLY_ALL && wanted.is_none_or(|wanted| *wanted == key);
        is_id.then(|| SharedId {
            steps: steps_of_flow(graph, flow, &key),
            equal,
            key,
        })
    });
    let mut shared: Vec<SharedId> = shared.collect();
    shared.sort_by_key(|one| std::cmp::Reverse(one.steps));
    shared
}

fn steps_of_flow(graph: &SpanGraph<'_>, flow: &FoundFlow, key: &str) -> usize {
    let reached = flow.runs.iter().flat_map(|run| run.reached.iter());
    let having = reached.filter_map(|at| graph.node(*at));
    let having = having.filter(|node| node.stored.keys().any(|known| known == key));
    let steps: BTreeSet<usize> = having.map(|node| node.step).collect();
    steps.len()
}

fn one_trace(graph: &SpanGraph<'_>, flow: &FoundFlow) -> Option<String> {
    let trace = |at: usize| graph.node(at).map(|node| node.stored.id().trace_id);
    let (mut pairs, mut same, mut traces) = (0_u32, 0_u32, BTreeSet::new());
    for (start, finish) in flow.finished() {
        pairs += 1;
        same += u32::from(trace(start) == trace(finish));
        traces.insert(trace(start));
    }
    let same = f64::from(same) / f64::from(pairs.max(1));
    let is_one = same >= NEARLY_ALL && share(traces.len(), pairs) >= MOSTLY_UNIQUE;
    is_one.then(|| {
        format!(
            "Start and finish are in the same trace in {} of the runs, and no attribute of both \
             identifies the run",
            format::whole_percent(same)
        )
    })
}

/// Returns the reason, if links and parents lead from the finish to the start.
fn linked(graph: &SpanGraph<'_>, flow: &FoundFlow) -> Option<String> {
    let (mut all, mut linked) = (0_u32, 0_u32);
    let finished = flow.runs.iter().filter(|run| run.finish.is_some());
    for at in finished.flat_map(|run| run.reached.iter()) {
        if !graph.is_consumer(*at) {
            continue;
        }
        all += 1;
        let carries = |how: &MessageConnection| {
            matches!(how, MessageConnection::Trace | MessageConnection::Link)
        };
        let passings = graph.passings(*at);
        let is_linked =
            passings.is_empty() || passings.iter().any(|one| one.how.iter().any(carries));
        linked += u32::from(is_linked);
    }
    let is_linked = f64::from(linked) / f64::from(all.max(1)) >= NEARLY_ALL;
    (all > 0 && is_linked).then(|| {
        "The traces are joined by span links, and no attribute of both ends identifies the run; \
         with `links` the links of every received span are stored"
            .to_owned()
    })
}

/// Returns the attributes that may name the customer, most specific first.
pub(super) fn customers<'s>(spans: impl Iterator<Item = &'s StoredSpan>) -> Vec<String> {
    let mut keys: BTreeMap<(usize, &str), u32> = BTreeMap::new();
    let mut all = 0_u32;
    for stored in spans {
        all += 1;
        let own: BTreeSet<&str> = stored.keys().collect();
        for key in own {
            if let Some(rank) = customer_rank(key) {
                *keys.entry((rank, key)).or_default() += 1;
            }
        }
    }
    let most = |having: u32| f64::from(having) / f64::from(all.max(1)) >= MOST;
    let named = keys.into_iter().filter(|(_, having)| most(*having));
    named.map(|((_, key), _)| key.to_owned()).collect()
}

/// Returns a lower rank for a better word; `None` if the attribute names no customer.
fn customer_rank(key: &str) -> Option<usize> {
    let lower = key.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    let is_name = last_word(key)
        .is_some_and(|last| matches!(last.as_str(), "id" | "name" | "key" | "uuid"))
        || CUSTOMER_WORDS.contains(&lower.as_str());
    let rank = words.find_map(|word| {
        let stem = word.strip_suffix("id").unwrap_or(word);
        let mut known = CUSTOMER_WORDS.iter();
        known.position(|known| *known == word || *known == stem)
    });
    rank.filter(|_| is_name)
}
