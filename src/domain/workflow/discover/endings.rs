//! The unsuccessful ends of a flow's runs, found by attributes that hold a state.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    flow::FoundFlow,
    graph::SpanGraph,
    message::span_attribute,
    states::{is_one_of, states_of},
};
use crate::domain::{
    model::format,
    traceql::{quoted_attribute, quoted_text},
};

const CANCELLED: [&str; 5] = ["cancelled", "canceled", "withdrawn", "revoked", "aborted"];
const FAILED: [&str; 8] = [
    "failed",
    "failure",
    "rejected",
    "dead_letter",
    "dead-letter",
    "deadletter",
    "timed_out",
    "expired",
];
/// The failure states to select if only cancellations were observed.
const USUAL_FAILURES: &str = "failed|failure|rejected|error";

/// A selector and why it was chosen.
#[derive(Debug)]
pub(super) struct ChosenSelector {
    pub(super) selector: String,
    pub(super) reason: String,
}

#[derive(Debug, Default)]
pub(super) struct FlowEndings {
    pub(super) fail: Option<ChosenSelector>,
    pub(super) cancel: Option<ChosenSelector>,
}

/// Runs with one value of a state, finished or not.
#[derive(Debug, Default)]
struct StateRuns {
    finished: u32,
    unfinished: u32,
}

/// Returns the states in which runs ended without finishing, of spans that have `id`.
pub(super) fn endings(graph: &SpanGraph<'_>, flow: &FoundFlow, id: Option<&str>) -> FlowEndings {
    let states = states(graph, flow, id);
    let mut keys: BTreeMap<&str, u32> = BTreeMap::new();
    for ((key, value), runs) in &states {
        if is_one_of(&CANCELLED, value) || is_one_of(&FAILED, value) {
            *keys.entry(key).or_default() += runs.unfinished;
        }
    }
    let Some((key, 1..)) = keys.into_iter().max_by_key(|(_, runs)| *runs) else {
        return FlowEndings::default();
    };
    let of_key = |words: &[&str]| -> Vec<(&str, u32)> {
        let seen = states.iter().filter(|((of, value), runs)| {
            of == key && is_one_of(words, value) && runs.unfinished > runs.finished
        });
        seen.map(|((_, value), runs)| (value.as_str(), runs.unfinished))
            .collect()
    };
    let attribute = quoted_attribute(&span_attribute(key));
    let cancel = chosen(&attribute, &of_key(&CANCELLED));
    let fail = chosen(&attribute, &of_key(&FAILED));
    let guessed = || ChosenSelector {
        selector: format!("{{ {attribute} =~ {} }}", quoted_text(USUAL_FAILURES)),
        reason: format!(
            "No run of the sample failed for good, so these are usual words for it in `{key}`: \
             write those that your services use"
        ),
    };
    FlowEndings {
        fail: fail.or_else(|| cancel.is_some().then(guessed)),
        cancel,
    }
}

fn states(
    graph: &SpanGraph<'_>,
    flow: &FoundFlow,
    id: Option<&str>,
) -> BTreeMap<(String, String), StateRuns> {
    let mut states: BTreeMap<(String, String), StateRuns> = BTreeMap::new();
    for run in &flow.runs {
        let nodes = run.reached.iter().filter_map(|at| graph.node(*at));
        let identified = nodes.filter(|node| id.is_none_or(|id| node.stored.text_of(id).is_some()));
        let of_run: BTreeSet<(String, String)> =
            identified.flat_map(|node| states_of(node.stored)).collect();
        for state in of_run {
            let runs = states.entry(state).or_default();
            match run.finish {
                Some(_) => runs.finished += 1,
                None => runs.unfinished += 1,
            }
        }
    }
    states
}

fn chosen(attribute: &str, seen: &[(&str, u32)]) -> Option<ChosenSelector> {
    let runs: u32 = seen.iter().map(|(_, runs)| runs).sum();
    let conditions = seen
        .iter()
        .map(|(value, _)| format!("{attribute} = {}", quoted_text(value)));
    let conditions: Vec<String> = conditions.collect();
    (!seen.is_empty()).then(|| ChosenSelector {
        selector: format!("{{ {} }}", conditions.join(" || ")),
        reason: format!(
            "Seen in {} that did not finish",
            format::counted(i64::from(runs), "run")
        ),
    })
}
