//! Writes the definition of an SLO for a flow.

use std::{collections::BTreeSet, time::Duration};

use super::{
    FlowDurations, ProposedFlow,
    correlation::{FlowCorrelation, correlation, customers},
    counted_by,
    endings::{FlowEndings, endings},
    flow::FoundFlow,
    free_name,
    graph::SpanGraph,
    message::span_attribute,
    queue::{self, QueueHop, TimedQueue},
    states::SuccessStates,
    step_text,
    yaml::{ProposalHead, YamlText, duration, scalar},
};
use crate::domain::{
    model::{format, ids::Name},
    slo::Catalog,
    traceql::quoted_attribute,
    workflow::shapes::StoredSpan,
};

/// The number of runs that are tested to find an SLO that counts a flow already.
const RUNS_TO_COMPARE: usize = 20;

/// The data that all proposals of one sample share.
#[derive(Debug)]
pub(super) struct Proposer<'g> {
    pub(super) graph: &'g SpanGraph<'g>,
    pub(super) catalog: &'g Catalog,
    /// Names in use.
    pub(super) names: BTreeSet<Name>,
    pub(super) one_in: u64,
    pub(super) covered: Duration,
}

impl Proposer<'_> {
    /// Proposes a workflow; `None` if nothing identifies its runs from end to end.
    pub(super) fn workflow(&mut self, flow: &FoundFlow) -> Option<ProposedFlow> {
        let graph = self.graph;
        let by = correlation(graph, flow)?;
        let durations = FlowDurations::of(&flow.durations(graph))?;
        let hops = queue::hops(graph, flow);
        let within = durations.limit();
        let limit = format::duration(within);
        let (from, to) = (flow.start.label(), flow.finish.label());
        let (title, words) = if from == to {
            let title = format!("{to} processed within {limit}");
            (title, vec![to, "processed"])
        } else {
            let title = format!("From {from} to {to} within {limit}");
            (title, vec![from, "to", to])
        };
        let name = free_name(&words, &mut self.names)?;
        let origin = self.origin(flow.runs.len(), &hops);
        let objective = objective_reason(&flow.durations(graph), within);
        let mut yaml = YamlText::begin(&ProposalHead {
            name: &name,
            title: &title,
            origin: &origin,
            service: &flow.start.service,
            objective_reason: &objective,
        });
        let ended = endings(graph, flow, by.key.as_deref());
        write_workflow(&mut yaml, flow, &by, &ended);
        yaml.field("within", &duration(within), &limit_reason(&durations));
        yaml.field("correlate", &format!("[{}]", scalar(&by.entry)), &by.reason);
        yaml.customer(&quoted(customers(spans_of(graph, flow))));
        self.write_targets(&mut yaml);
        Some(ProposedFlow {
            counted_by: self.counted_by(flow),
            name,
            title,
            started: flow.started,
            per_hour: self.per_hour(flow.started),
            finished_ratio: flow.finished_ratio,
            hops,
            durations,
            within,
            yaml: yaml.finish(),
        })
    }

    /// Returns the active SLO that counts this flow, by some of its runs.
    fn counted_by(&self, flow: &FoundFlow) -> Option<Name> {
        let finished = flow.runs.iter().filter_map(|run| Some((run, run.finish?)));
        let mut some = finished.take(RUNS_TO_COMPARE);
        some.find_map(|(run, finish)| {
            let last = self.graph.node(finish)?;
            let reached = run.reached.iter().filter_map(|at| self.graph.node(*at));
            // An SLO with another span at the end counts the flow too.
            let ends = reached.filter(|node| node.to >= last.from);
            let ends: Vec<&StoredSpan> = ends.map(|node| node.stored).collect();
            let start = self.graph.node(run.start)?.stored;
            counted_by(self.catalog, Some(start), &ends)
        })
    }

    /// Proposes a single span as an event that contains the start time of its work.
    pub(super) fn one_span(&mut self, queue: &TimedQueue<'_>) -> Option<ProposedFlow> {
        let step = &queue.step;
        let spans = queue.spans.iter();
        let mut lengths: Vec<Duration> = spans
            .filter_map(|span| queue.started_at.duration(span))
            .collect();
        lengths.sort_unstable();
        let durations = FlowDurations::of(&lengths)?;
        let within = durations.limit();
        let title = format!(
            "{} processed within {} of {}",
            step.label(),
            format::duration(within),
            queue.started_at.key
        );
        let name = free_name(&[step.label(), "in time"], &mut self.names)?;
        let origin = self.origin(queue.spans.len(), &[]);
        let mut yaml = YamlText::begin(&ProposalHead {
            name: &name,
            title: &title,
            origin: &origin,
            service: &step.service,
            objective_reason: &objective_reason(&lengths, within),
        });
        write_one_span(&mut yaml, queue, within, &durations);
        yaml.customer(&quoted(customers(queue.spans.iter().copied())));
        self.write_targets(&mut yaml);
        Some(ProposedFlow {
            counted_by: counted_by(self.catalog, None, &queue.spans),
            name,
            title,
            started: queue.spans.len(),
            per_hour: self.per_hour(queue.whole),
            finished_ratio: 1.0,
            hops: Vec::new(),
            durations,
            within,
            yaml: yaml.finish(),
        })
    }

    /// Writes the targets to notify, if there is only one choice.
    fn write_targets(&self, yaml: &mut YamlText) {
        let targets: Vec<&str> = self.catalog.targets.keys().map(Name::as_str).collect();
        match targets.as_slice() {
            [only] => {
                yaml.comment(2, "The only target that is declared");
                let only = scalar(only);
                yaml.line(2, &format!("notify: {{ page: [{only}], ticket: [{only}] }}"));
            }
            [] => yaml.comment(
                2,
                "Nobody is notified until there is a target: `notify: { page: [oncall], ticket: [oncall] }`.",
            ),
            [first, ..] => yaml.comment(
                2,
                &format!(
                    "Nobody is notified yet: name targets, as `notify: {{ page: [{first}], ticket: [{first}] }}`.",
                ),
            ),
        }
    }

    fn origin(&self, runs: usize, hops: &[QueueHop]) -> String {
        let runs = format::counted(i64::try_from(runs).unwrap_or(i64::MAX), "run");
        let through = match queue::names(hops).as_slice() {
            [] => String::new(),
            names => format!(" through {}", names.join(", ")),
        };
        format!(
            "Proposed from {runs}{through}, seen in {}. Check each choice; its reason is above it.",
            format::lasting(self.covered)
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn per_hour(&self, runs: usize) -> f64 {
        let hours = self.covered.as_secs_f64() / 3_600.0;
        // A sample of seconds does not allow an estimate for an hour.
        runs as f64 * self.one_in as f64 / hours.max(1.0 / 60.0)
    }
}

fn write_workflow(
    yaml: &mut YamlText,
    flow: &FoundFlow,
    by: &FlowCorrelation,
    ended: &FlowEndings,
) {
    yaml.line(4, "workflow:");
    let first = match flow.joined_by {
        Some(_) => "Of the spans with the same id these come first.",
        None => "Nothing before these spans sends or receives a message.",
    };
    let start = format!("{{ {} }}", flow.start.conditions());
    yaml.field("start", &scalar(&start), first);
    let last = match flow.joined_by {
        Some(_) => "the last of these spans",
        None => "behind which no other consumer follows",
    };
    let only = match &flow.success {
        Some(success) => format!(
            "Attempts that are tried again may be no errors, so only an end with a `{}` that means \
             success counts",
            success.key
        ),
        None => {
            "A retry may succeed after an error, so only an end without error counts".to_owned()
        }
    };
    let finished = format!(
        "{} of the starts that had the time for it led to {}, {last}. {only}",
        format::whole_percent(flow.finished_ratio),
        step_text(&flow.finish)
    );
    let state = flow.success.as_ref().map(SuccessStates::condition);
    let conditions = [flow.finish.conditions(), "status != error".to_owned()];
    let conditions: Vec<String> = conditions.into_iter().chain(state).collect();
    let finish = format!("{{ {} }}", conditions.join(" && "));
    yaml.field("finish", &scalar(&finish), &finished);
    for (field, chosen) in [("fail", &ended.fail), ("cancel", &ended.cancel)] {
        if let Some(chosen) = chosen {
            yaml.field(field, &scalar(&chosen.selector), &chosen.reason);
        }
    }
    if ended.fail.is_none() && by.key.is_some() {
        yaml.comment(
            6,
            "No span says that a run failed for good, so a run that fails counts when its time is over: \
             add `fail` if there is such a span.",
        );
    }
}

fn write_one_span(
    yaml: &mut YamlText,
    queue: &TimedQueue<'_>,
    within: Duration,
    durations: &FlowDurations,
) {
    let started_at = &queue.started_at;
    yaml.line(4, "span:");
    let selected = format!("{{ {} }}", queue.step.conditions());
    let reason = format!(
        "One event for each message that {} processes",
        step_text(&queue.step)
    );
    yaml.field("match", &scalar(&selected), &reason);
    let good = format!(
        "{{ status != error && workflow:duration <= {} }}",
        duration(within)
    );
    yaml.field("good", &scalar(&good), &limit_reason(durations));
    let attribute = quoted_attribute(&span_attribute(&started_at.key));
    let value = format!(
        "{{ attribute: {}, unit: {} }}",
        scalar(&attribute),
        started_at.unit
    );
    let reason = format!(
        "`{}` is a time before the message was sent, so the event lasts since the work began",
        started_at.key
    );
    yaml.field("startedAt", &value, &reason);
}

fn spans_of<'g>(
    graph: &'g SpanGraph<'_>,
    flow: &'g FoundFlow,
) -> impl Iterator<Item = &'g StoredSpan> {
    let ends = flow.finished().flat_map(|(start, finish)| [start, finish]);
    ends.filter_map(|at| Some(graph.node(at)?.stored))
}

fn quoted(keys: Vec<String>) -> Vec<String> {
    let names = keys.into_iter().map(|key| span_attribute(&key));
    names.map(|name| quoted_attribute(&name)).collect()
}

fn limit_reason(durations: &FlowDurations) -> String {
    let (percent, most) = durations.decisive();
    let runs = format::count(i64::try_from(durations.runs).unwrap_or(i64::MAX));
    let of = match percent {
        100 => format!("All {runs}"),
        percent => format!("{percent} % of the {runs}"),
    };
    format!(
        "{of} that finished took at most {}, half of them {}: half as long again, rounded up",
        format::duration(most),
        format::duration(durations.median)
    )
}

fn objective_reason(durations: &[Duration], within: Duration) -> String {
    let in_time = durations.iter().filter(|one| **one <= within).count();
    let all = u32::try_from(durations.len()).unwrap_or(u32::MAX);
    format!(
        "A usual objective to begin with: {} of those that finished did so in time",
        format::percent(super::share(in_time, all))
    )
}
