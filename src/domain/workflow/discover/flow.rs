//! Flows: from a message or a request to another span.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    graph::{SpanGraph, SpanNode},
    message::{MessageRole, StepKey},
    share,
    states::SuccessStates,
};
use crate::domain::model::{
    ids::TraceId,
    span::{AttributeScope, Span, SpanStatus, SpanView as _, Value},
    time::Timestamp,
};

/// The minimum number of finished runs.
const LEAST_RUNS: usize = 3;
/// The share of runs that must reach a step for it to end the flow; after a fan-out several steps
/// may.
const MOST_REACH: f64 = 0.5;
/// If no step has that share, the most frequently reached one is the end, with at least this share.
const SOME_REACH: f64 = 0.1;
/// Runs with one id are more complete than others if they reach this many times as many consumers.
const CLEARLY_MORE: f64 = 1.02;

/// Spans of one kind that led to spans of another.
#[derive(Debug)]
pub(super) struct FoundFlow {
    pub(super) start: StepKey,
    pub(super) finish: StepKey,
    /// The state of successful spans at the end.
    pub(super) success: Option<SuccessStates>,
    /// The observed starts.
    pub(super) started: usize,
    /// The runs that the sample contains completely.
    pub(super) runs: Vec<FlowRun>,
    /// The id that joins the spans, if nothing else does.
    pub(super) joined_by: Option<String>,
    /// The share of finished runs, among those that had as much time as the slowest finished one.
    pub(super) finished_ratio: f64,
}

/// One run of a flow.
#[derive(Clone, Debug)]
pub(super) struct FlowRun {
    pub(super) start: usize,
    /// The first span without error that ends it; `None` if there is none yet.
    pub(super) finish: Option<usize>,
    /// The spans that followed from the start.
    pub(super) reached: Arc<BTreeSet<usize>>,
}

impl FoundFlow {
    /// Returns the durations of finished runs, shortest first.
    pub(super) fn durations(&self, graph: &SpanGraph<'_>) -> Vec<Duration> {
        let finished = self.runs.iter().filter_map(|run| duration(graph, run));
        let mut durations: Vec<Duration> = finished.collect();
        durations.sort_unstable();
        durations
    }

    pub(super) fn finished(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs
            .iter()
            .filter_map(|run| Some((run.start, run.finish?)))
    }
}

fn duration(graph: &SpanGraph<'_>, run: &FlowRun) -> Option<Duration> {
    let end = graph.node(run.finish?)?.to;
    Some(end.saturating_since(graph.node(run.start)?.from))
}

/// A step that ends a flow.
#[derive(Debug)]
struct FlowEnd {
    step: usize,
    success: Option<SuccessStates>,
}

impl FlowEnd {
    fn of_step(graph: &SpanGraph<'_>, step: usize) -> Self {
        Self {
            step,
            success: SuccessStates::of_step(graph, step),
        }
    }

    fn is_success(&self, node: &SpanNode<'_>) -> bool {
        let says_so = |success: &SuccessStates| success.has(node.stored);
        node.step == self.step
            && node.stored.span().status != SpanStatus::Error
            && self.success.as_ref().is_none_or(says_so)
    }
}

/// A span that begins a run, and the spans that followed.
#[derive(Clone, Debug)]
struct StartedRun {
    start: usize,
    reached: Arc<BTreeSet<usize>>,
}

impl StartedRun {
    /// Returns the run of the flow to `end`, which may be any of the spans in `ended`.
    fn to(
        &self,
        graph: &SpanGraph<'_>,
        end: &FlowEnd,
        ended: impl Iterator<Item = usize>,
    ) -> FlowRun {
        let nodes = ended.filter_map(|at| Some((at, graph.node(at)?)));
        let finished = nodes.filter(|(_, node)| end.is_success(node));
        FlowRun {
            start: self.start,
            finish: finished.min_by_key(|(_, node)| node.to).map(|(at, _)| at),
            reached: Arc::clone(&self.reached),
        }
    }
}

/// Returns the flows that begin with a message, the most frequent first.
pub(super) fn through_queues(graph: &SpanGraph<'_>, now: Timestamp) -> Vec<FoundFlow> {
    let last = graph.last_consumers();
    let mut by_start: BTreeMap<usize, Vec<StartedRun>> = BTreeMap::new();
    for start in graph.sources() {
        if let Some(node) = graph.node(start).filter(|node| node.is_whole) {
            let runs = by_start.entry(node.step).or_default();
            let reached = Arc::new(graph.reached_from(start));
            runs.push(StartedRun { start, reached });
        }
    }
    let mut flows = Vec::new();
    for (step, starts) in by_start {
        let started = starts.len();
        let starts = most_complete(graph, starts);
        let ends: BTreeSet<usize> = starts
            .iter()
            .flat_map(|run| ends(graph, run.reached.intersection(&last)))
            .collect();
        let candidates = ends.into_iter().filter_map(|end| {
            let end = FlowEnd::of_step(graph, end);
            let runs = starts.iter().map(|run| {
                let ended = run.reached.intersection(&last).copied();
                run.to(graph, &end, ended)
            });
            let runs = runs.collect();
            let flow = flow(graph, step, end, runs, now)?;
            Some(FoundFlow { started, ..flow })
        });
        flows.extend(chosen(candidates.collect()));
    }
    flows.sort_by_key(|flow| std::cmp::Reverse(flow.runs.len()));
    flows
}

/// Returns the runs by which the flow is judged. If only an id joins traces, the sample has the
/// later spans of a run only if the hash of that id is in it: then the runs with the id that lead to
/// the most consumers are used.
fn most_complete(graph: &SpanGraph<'_>, starts: Vec<StartedRun>) -> Vec<StartedRun> {
    let mut by_key: BTreeMap<Option<String>, Vec<StartedRun>> = BTreeMap::new();
    for run in starts {
        for (key, _) in graph.joining_ids(run.start) {
            by_key.entry(Some(key)).or_default().push(run.clone());
        }
        by_key.entry(None).or_default().push(run);
    }
    let consumers_per_run = |runs: &[StartedRun]| {
        let reached = runs.iter().flat_map(|run| run.reached.iter());
        let consumers = reached.filter(|at| graph.is_consumer(**at)).count();
        share(consumers, u32::try_from(runs.len()).unwrap_or(u32::MAX))
    };
    let mut best: (f64, Vec<StartedRun>) = (0.0, Vec::new());
    for runs in by_key.into_values() {
        let depth = consumers_per_run(&runs);
        if runs.len() >= LEAST_RUNS && depth > best.0 * CLEARLY_MORE {
            best = (depth, runs);
        }
    }
    best.1
}

/// Returns the steps of these consumers.
fn ends<'c>(graph: &SpanGraph<'_>, last: impl Iterator<Item = &'c usize>) -> BTreeSet<usize> {
    let nodes = last.filter_map(|at| graph.node(*at));
    let steps: BTreeSet<usize> = nodes.map(|node| node.step).collect();
    let key = |step: usize| graph.steps.get(step);
    let is_processed = |queue: Option<&str>| {
        let keys = steps.iter().filter_map(|step| key(*step));
        let mut processed = keys.filter(|key| key.role == Some(MessageRole::Process));
        processed.any(|key| key.queue() == queue)
    };
    // If each message is processed by another span, its receipt is not the end.
    let is_end = |step: &usize| {
        key(*step)
            .is_some_and(|key| key.role == Some(MessageRole::Process) || !is_processed(key.queue()))
    };
    steps.iter().copied().filter(is_end).collect()
}

fn flow(
    graph: &SpanGraph<'_>,
    start: usize,
    end: FlowEnd,
    runs: Vec<FlowRun>,
    now: Timestamp,
) -> Option<FoundFlow> {
    let durations = runs.iter().filter_map(|run| duration(graph, run));
    let slowest = durations.max()?;
    let settled = runs.iter().filter(|run| {
        let start = graph.node(run.start).map(|node| node.from);
        start.is_some_and(|start| start + slowest <= now)
    });
    let (mut all, mut finished) = (0_u32, 0_u32);
    for run in settled {
        all += 1;
        finished += u32::from(run.finish.is_some());
    }
    let has_pattern = runs.iter().filter(|run| run.finish.is_some()).count() >= LEAST_RUNS;
    has_pattern.then_some(FoundFlow {
        start: graph.steps.get(start)?.clone(),
        finish: graph.steps.get(end.step)?.clone(),
        success: end.success,
        started: runs.len(),
        runs,
        joined_by: None,
        finished_ratio: match all {
            0 => 1.0,
            all => f64::from(finished) / f64::from(all),
        },
    })
}

fn chosen(mut flows: Vec<FoundFlow>) -> Vec<FoundFlow> {
    flows.sort_by(|one, other| other.finished_ratio.total_cmp(&one.finished_ratio));
    let most = flows
        .iter()
        .take_while(|flow| flow.finished_ratio >= MOST_REACH);
    let most = most.count();
    let is_frequent = |flow: &FoundFlow| flow.finished_ratio >= SOME_REACH;
    flows.truncate(most.max(1));
    flows.retain(is_frequent);
    flows
}

/// Returns the flows whose spans share only an id: each begins a trace without any message.
pub(super) fn by_id(graph: &SpanGraph<'_>, now: Timestamp) -> Vec<FoundFlow> {
    let mut by_value: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for at in roots(graph) {
        for id in graph.joining_ids(at) {
            by_value.entry(id).or_default().push(at);
        }
    }
    let mut by_start: BTreeMap<(String, usize), Vec<Vec<usize>>> = BTreeMap::new();
    for ((key, _), mut places) in by_value {
        places.sort_by_key(|at| graph.node(*at).map(|node| node.from));
        let first = places.first().and_then(|at| graph.node(*at));
        if let Some(first) = first {
            by_start.entry((key, first.step)).or_default().push(places);
        }
    }
    let mut flows: BTreeMap<(StepKey, StepKey), FoundFlow> = BTreeMap::new();
    for ((key, step), threads) in by_start {
        let found = of_threads(graph, step, &threads, now);
        for flow in found
            .into_iter()
            .filter(|flow| flow.finished_ratio >= MOST_REACH)
        {
            let flow = FoundFlow {
                joined_by: Some(key.clone()),
                ..flow
            };
            let ends = (flow.start.clone(), flow.finish.clone());
            // Ids that fewer other spans have are more specific.
            let is_better = flows.get(&ends).is_none_or(|known| {
                let known = known.joined_by.as_deref().unwrap_or_default();
                steps_with(graph, &key) < steps_with(graph, known)
            });
            if is_better {
                flows.insert(ends, flow);
            }
        }
    }
    flows.into_values().collect()
}

/// Returns the spans that begin a trace without messages, and that are not only reads.
fn roots(graph: &SpanGraph<'_>) -> impl Iterator<Item = usize> {
    let messages = graph.with_role(|role| role.is_some());
    let traces: BTreeSet<TraceId> = messages
        .filter_map(|at| Some(graph.node(at)?.stored.id().trace_id))
        .collect();
    let nodes = graph.nodes.iter().enumerate();
    nodes.filter_map(move |(at, node)| {
        let span = node.stored.span();
        let is_root = span.parent_span_id.is_none() && !traces.contains(&span.trace_id);
        (is_root && !is_read(node.stored.span())).then_some(at)
    })
}

/// Returns whether a span only reads, such as a status request, which does not end work.
fn is_read(span: &Span) -> bool {
    let methods = ["http.request.method", "http.method"];
    let mut methods = methods
        .iter()
        .filter_map(|key| span.attribute(AttributeScope::Span, key));
    methods.any(|method| matches!(method, Value::String(text) if matches!(&*text, "GET" | "HEAD")))
}

fn steps_with(graph: &SpanGraph<'_>, key: &str) -> usize {
    let having = graph.nodes.iter();
    let having = having.filter(|node| node.stored.keys().any(|known| known == key));
    let steps: BTreeSet<usize> = having.map(|node| node.step).collect();
    steps.len()
}

/// Returns the flow from the first step to the most frequent last one.
fn of_threads(
    graph: &SpanGraph<'_>,
    step: usize,
    threads: &[Vec<usize>],
    now: Timestamp,
) -> Option<FoundFlow> {
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for thread in threads {
        let end = thread.last().and_then(|at| graph.node(*at));
        if let Some(end) = end.filter(|end| end.step != step) {
            *last.entry(end.step).or_default() += 1;
        }
    }
    let (end, _) = last.into_iter().max_by_key(|(_, threads)| *threads)?;
    let end = FlowEnd::of_step(graph, end);
    let runs = threads.iter().filter_map(|thread| {
        let run = StartedRun {
            start: *thread.first()?,
            reached: Arc::new(thread.iter().copied().collect()),
        };
        Some(run.to(graph, &end, thread.iter().copied()))
    });
    let runs = runs.collect();
    flow(graph, step, end, runs, now)
}
